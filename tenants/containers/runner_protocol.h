/* What fpmuxctl and fpmux-exec, its runner in the php-fpm container, say to each other over the
 * runner's standard input and output. A frame is a type, a length (4 bytes, big endian) and that
 * many bytes.
 *
 *   to the runner      ENVIRONMENT* ARGUMENT+ DIRECTORY USER? LIMIT? START, then INPUT*
 *                      INPUT_END; STOP at any time after START
 *   from the runner    OUTPUT, ERRORS, USAGE and CREDIT in any order, at the end USAGE and EXIT
 *
 * The runner's standard input stays open until EXIT came: its end means that fpmuxctl is gone, and
 * the command is ended. The runner must always be able to see that, so it never lets input wait:
 * at most RUNNER_WINDOW bytes of INPUT may be on their way, and CREDIT gives back what the
 * command took. */
#ifndef FPMUX_TENANTS_CONTAINERS_RUNNER_PROTOCOL_H
#define FPMUX_TENANTS_CONTAINERS_RUNNER_PROTOCOL_H

enum runner_frame {
    RUNNER_ENVIRONMENT = 'e', /* NAME=VALUE */
    RUNNER_ARGUMENT = 'a',    /* in order, the command itself first */
    RUNNER_DIRECTORY = 'd',   /* where the command runs */
    RUNNER_USER = 'u',        /* name of whom the command runs as; without it, as the runner */
    RUNNER_LIMIT = 'l',       /* ms (4 bytes) until it is stopped; without it, never */
    RUNNER_START = 's',       /* empty */
    RUNNER_INPUT = 'i',       /* for the command's standard input */
    RUNNER_INPUT_END = 'c',   /* empty: no more of it */
    RUNNER_STOP = 'k',        /* empty: SIGTERM, SIGKILL after RUNNER_GRACE_MS; EXIT still comes */

    RUNNER_OUTPUT = 'O', /* from the command's standard output */
    RUNNER_ERRORS = 'E', /* from the command's standard error */
    RUNNER_USAGE = 'U',  /* CPU so far of the command and all its descendants: ns (8 bytes) */
    RUNNER_CREDIT = 'C', /* bytes (4 bytes) of INPUT that were taken */
    RUNNER_EXIT = 'X',   /* enum runner_outcome (1 byte), value (4 bytes), text */
};

enum runner_outcome {
    RUNNER_EXITED = 1,      /* value: the exit code */
    RUNNER_KILLED = 2,      /* value: the signal */
    RUNNER_TIMED_OUT = 3,   /* value: 0 */
    RUNNER_NOT_STARTED = 4, /* value: 127 when there is no such command, else 126; text: why */
};

enum {
    RUNNER_HEADER_BYTES = 5,
    RUNNER_PAYLOAD_MAX = 128 * 1024,      /* Linux takes no longer word (MAX_ARG_STRLEN) */
    RUNNER_REQUEST_MAX = 2 * 1024 * 1024, /* all words together */
    RUNNER_WORDS_MAX = 4096,              /* of the environment, and of the command */
    RUNNER_WINDOW = 64 * 1024,
    RUNNER_USAGE_EVERY_MS = 1000,
    RUNNER_GRACE_MS = 5000,
};

#endif
