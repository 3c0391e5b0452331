#include "tenants/cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#define CLEAR_LINE "\r\033[K"

void progress_begin(struct progress *progress, const char *what, size_t total) {
    *progress =
        (struct progress){.what = what, .total = total, .is_terminal = isatty(STDERR_FILENO) == 1};
}

static void draw(const struct progress *progress, const char *title) {
    if (!progress->is_terminal)
        return;
    fprintf(stderr, CLEAR_LINE "%zu of %zu %s", progress->done, progress->total, progress->what);
    if (progress->failed > 0)
        fprintf(stderr, ", %zu failed", progress->failed);
    if (progress->running > 0)
        fprintf(stderr, ", %zu at work: %s", progress->running, title);
    fflush(stderr);
}

void progress_start(struct progress *progress, const char *title) {
    progress->running++;
    draw(progress, title);
}

/* Text of the engine's may steer a terminal. */
static void print_safely(const char *text) {
    for (; *text != '\0'; text++)
        fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, stderr);
}

void progress_finish(struct progress *progress, const char *title, const char *what_was_done,
                     const char *failure) {
    progress->running--;
    progress->done += failure == NULL;
    progress->failed += failure != NULL;
    if (progress->is_terminal && failure != NULL)
        fputs(CLEAR_LINE, stderr);
    if (failure != NULL) {
        fprintf(stderr, "%s: ", title);
        print_safely(failure);
        fputc('\n', stderr);
    } else if (!progress->is_terminal) {
        fprintf(stderr, "%s: %s\n", title, what_was_done);
    }
    draw(progress, title);
}

void progress_end(struct progress *progress) {
    if (progress->is_terminal)
        fputs(CLEAR_LINE, stderr);
}
