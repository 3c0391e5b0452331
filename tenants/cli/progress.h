/* The progress of long work on many things: on a terminal one line that changes, with the failures
 * above it; else a line for each thing that is finished. On standard error: standard output is for
 * results. Not for several threads at once. */
#ifndef FPMUX_TENANTS_CLI_PROGRESS_H
#define FPMUX_TENANTS_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

struct progress {
    const char *what; /* "containers" */
    size_t total;
    size_t done;
    size_t failed;
    size_t running;
    bool is_terminal;
};

void progress_begin(struct progress *progress, const char *what, size_t total);

/* One thing was begun: the line names it. */
void progress_start(struct progress *progress, const char *title);

/* One thing is finished; failure is NULL, or why it failed. */
void progress_finish(struct progress *progress, const char *title, const char *what_was_done,
                     const char *failure);

/* Clears the changing line. */
void progress_end(struct progress *progress);

#endif
