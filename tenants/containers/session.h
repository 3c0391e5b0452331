/* The client's side of one run of fpmux-exec: speaks runner_protocol.h over the connection that
 * engine_exec() gave, within the engine's own frames. Knows neither tenants nor bills. */
#ifndef FPMUX_TENANTS_CONTAINERS_SESSION_H
#define FPMUX_TENANTS_CONTAINERS_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenants/config.h"
#include "tenants/error.h"

/* How soon a session is to end; raised by a signal handler or another thread, never lowered. */
enum session_urgency {
    SESSION_GO_ON,
    SESSION_STOP,   /* end the command, and wait for it */
    SESSION_ABANDON /* return at once; the runner ends the command */
};

/* All borrowed until session_run() returns. */
struct session_request {
    const struct string_list *environment; /* NAME=VALUE: all that the command gets */
    const struct string_list *command;
    const char *directory;
    const char *user;  /* whom the command runs as; NULL: as the runner */
    unsigned limit_ms; /* 0: none */
    /* A runner tells what was used every second. One that is not heard for so long is given up:
     * its container is paused, or the engine hangs. 0: wait for ever. */
    unsigned silence_ms;
    int input; /* read for the command's standard input; -1: that is empty */
    const atomic_int *urgency;

    /* May block: then the command's output waits. */
    void (*on_output)(void *context, bool is_error, const char *bytes, size_t length);
    /* What the command and its descendants used since the last call. */
    void (*on_cpu)(void *context, uint64_t ns);
    void *context;
};

enum session_end {
    SESSION_EXITED,      /* value: the exit code */
    SESSION_KILLED,      /* value: the signal */
    SESSION_TIMED_OUT,   /* it was ended because of limit_ms */
    SESSION_NOT_STARTED, /* value: 127 when there is no such command, else 126 */
    SESSION_BROKEN       /* the connection ended first, or no runner answered */
};

struct session_result {
    enum session_end end;
    int value;
    struct error error; /* for the last two: why */
};

/* Returns when the command and all its descendants have ended. fd becomes non-blocking; the
 * caller closes it. */
void session_run(int fd, const struct session_request *request, struct session_result *result);

#endif
