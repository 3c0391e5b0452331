/* fpmux-exec: runs one command of a tenant in the php-fpm container, for `fpmuxctl exec` and
 * `cron`, and tells what CPU it used. It takes no arguments: the command and its environment, which
 * has the tenant's secrets, come in frames on standard input (runner_protocol.h), so that they are
 * on no command line and in no `docker inspect`.
 *
 *   fpmuxctl == frames ==> [input] ---> [feed] ---> command and its descendants
 *            <== frames == [output] <---------------
 *
 * The command is not trusted with the bill and with its time limit: the runner is root, and the
 * command another user, who can neither look into the runner nor stop or kill it. Of the runner it
 * has nothing but three pipes. Where both are the same user, as in tests, the runner is at least
 * not dumpable, which closes its memory and its descriptors in /proc.
 *
 * Buffers are fixed. When fpmuxctl does not read, the command's output waits in the command; input
 * is bounded by the window, so the end of standard input is always seen. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "tenants/containers/descendants.h"
#include "tenants/containers/runner_protocol.h"

enum {
    CHUNK_BYTES = 32 * 1024, /* of the command's output in one frame, at most */
    CONTROL_BYTES = 1024,    /* of the output buffer are kept free for USAGE, CREDIT and EXIT */
    OUTPUT_BYTES = 2 * CHUNK_BYTES + CONTROL_BYTES,
    KILL_AGAIN_MS = 100,
};

#define NEVER INT64_MAX

/* Bytes from start to end wait to be taken. */
struct buffer {
    uint8_t *bytes;
    size_t capacity;
    size_t start;
    size_t end;
};

struct words {
    char *items[RUNNER_WORDS_MAX + 1]; /* owned; NULL at the end */
    size_t count;
};

struct request {
    struct words environment;
    struct words command;
    char *directory;
    char *user;        /* NULL: as the runner */
    uint32_t limit_ms; /* 0: none */
    size_t bytes;
};

/* How it ended; kind 0: status says it. */
struct outcome {
    enum runner_outcome kind;
    int value;
    char text[CONTROL_BYTES / 4];
};

struct runner {
    struct request request;
    struct buffer input;  /* frames from fpmuxctl, not parsed yet */
    struct buffer feed;   /* for the command's standard input */
    struct buffer output; /* frames to fpmuxctl */
    int signals;
    int command_input; /* our ends of the command's pipes; -1: closed */
    int command_output;
    int command_errors;
    pid_t pid;  /* of the command; 0 until it was started */
    int status; /* of the command, once it was waited for */
    struct outcome outcome;
    bool has_children;
    bool has_input_end;
    bool is_stopping;
    bool is_asker_gone;
    bool has_told_exit;
    uint32_t credit;  /* bytes of input taken and not told yet */
    uint64_t cpu_ns;  /* highest figure yet: what is told never falls */
    int64_t usage_at; /* ms, as the next two */
    int64_t limit_at;
    int64_t kill_at;
};

static _Noreturn void give_up(int code, const char *what) {
    descendants_signal(SIGKILL); /* nobody would watch over them */
    fprintf(stderr, "fpmux-exec: %s\n", what);
    exit(code);
}

static int64_t now_ms(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- Buffers and numbers ---- */

static void buffer_init(struct buffer *buffer, size_t capacity) {
    *buffer = (struct buffer){.bytes = malloc(capacity), .capacity = capacity};
    if (buffer->bytes == NULL)
        give_up(EX_OSERR, "out of memory");
}

static size_t buffer_used(const struct buffer *buffer) {
    return buffer->end - buffer->start;
}

/* Moves what is there to the beginning; returns how much fits behind it. */
static size_t buffer_make_room(struct buffer *buffer) {
    size_t used = buffer_used(buffer);

    if (buffer->start > 0)
        memmove(buffer->bytes, buffer->bytes + buffer->start, used);
    buffer->start = 0;
    buffer->end = used;
    return buffer->capacity - used;
}

static void buffer_append(struct buffer *buffer, const void *bytes, size_t length) {
    memcpy(buffer->bytes + buffer->end, bytes, length);
    buffer->end += length;
}

static uint32_t get_u32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put_u32(uint8_t *bytes, uint32_t value) {
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* ---- Frames to fpmuxctl ---- */

/* False: there is no room for it now. */
static bool put_frame(struct runner *runner, enum runner_frame type, const void *payload,
                      size_t length) {
    uint8_t header[RUNNER_HEADER_BYTES] = {(uint8_t)type};

    if (buffer_make_room(&runner->output) < sizeof header + length)
        return false;
    put_u32(header + 1, (uint32_t)length);
    buffer_append(&runner->output, header, sizeof header);
    buffer_append(&runner->output, payload, length);
    return true;
}

static bool put_usage(struct runner *runner) {
    uint64_t cpu_ns = descendants_cpu_ns();
    uint8_t payload[8];

    if (cpu_ns > runner->cpu_ns)
        runner->cpu_ns = cpu_ns;
    put_u32(payload, (uint32_t)(runner->cpu_ns >> 32));
    put_u32(payload + 4, (uint32_t)runner->cpu_ns);
    return put_frame(runner, RUNNER_USAGE, payload, sizeof payload);
}

static void put_credit(struct runner *runner) {
    uint8_t payload[4];

    put_u32(payload, runner->credit);
    if (runner->credit > 0 && put_frame(runner, RUNNER_CREDIT, payload, sizeof payload))
        runner->credit = 0;
}

static void put_exit(struct runner *runner) {
    const struct outcome *outcome = &runner->outcome;
    uint8_t payload[5 + sizeof outcome->text] = {(uint8_t)outcome->kind};
    size_t length = strlen(outcome->text);

    put_u32(payload + 1, (uint32_t)outcome->value);
    memcpy(payload + 5, outcome->text, length);
    put_frame(runner, RUNNER_EXIT, payload, 5 + length);
}

/* ---- Starting the command ---- */

/* What the child reports instead of running the command. */
struct start_failure {
    enum { AT_USER, AT_DIRECTORY, AT_COMMAND } where;
    int code;
};

struct pipes {
    int input[2];
    int output[2];
    int errors[2];
    int failure[2];
};

/* With its groups, and for good: no capability outlives it. The pipes are given away, too, so that
 * /dev/stdout can be opened. False with the reason in errno. */
static bool become_user(const char *name) {
    const struct passwd *user = getpwnam(name);

    if (user == NULL)
        errno = ENOENT;
    if (user == NULL || initgroups(name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0)
        return false;
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fchown(fd, user->pw_uid, user->pw_gid) < 0)
            return false;
    return setuid(user->pw_uid) == 0;
}

static _Noreturn void become_command(const struct request *request, const struct pipes *pipes) {
    struct start_failure failure = {.where = AT_USER};
    sigset_t none;

    setsid();
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(pipes->input[0], STDIN_FILENO);
    dup2(pipes->output[1], STDOUT_FILENO);
    dup2(pipes->errors[1], STDERR_FILENO); /* all others are closed by execvp() */
    if (request->user == NULL || become_user(request->user))
        failure.where = AT_DIRECTORY;
    if (failure.where == AT_DIRECTORY && chdir(request->directory) == 0) {
        failure.where = AT_COMMAND;
        environ = (char **)request->environment.items; /* whose PATH execvp() searches */
        execvp(request->command.items[0], (char **)request->command.items);
    }
    failure.code = errno;
    ssize_t written = write(pipes->failure[1], &failure, sizeof failure);
    _exit(written == (ssize_t)sizeof failure ? 127 : 126);
}

static void make_pipes(struct pipes *pipes) {
    if (pipe2(pipes->input, O_CLOEXEC) < 0 || pipe2(pipes->output, O_CLOEXEC) < 0 ||
        pipe2(pipes->errors, O_CLOEXEC) < 0 || pipe2(pipes->failure, O_CLOEXEC) < 0)
        give_up(EX_OSERR, strerror(errno));
}

static void forget_words(struct words *words) {
    for (size_t i = 0; i < words->count; i++) {
        explicit_bzero(words->items[i], strlen(words->items[i]));
        free(words->items[i]);
    }
    words->count = 0;
}

static bool is_missing(const struct start_failure *failure) {
    return failure->where == AT_COMMAND && (failure->code == ENOENT || failure->code == ENOTDIR);
}

static const char *reason_of(const struct start_failure *failure) {
    if (failure->where == AT_USER && failure->code == ENOENT)
        return "no such user";
    return is_missing(failure) ? "command not found" : strerror(failure->code);
}

static void note_start_failure(struct runner *runner, const struct start_failure *failure) {
    const struct request *request = &runner->request;
    struct outcome *outcome = &runner->outcome;
    const char *const subjects[] = {[AT_USER] = request->user,
                                    [AT_DIRECTORY] = request->directory,
                                    [AT_COMMAND] = request->command.items[0]};

    outcome->kind = RUNNER_NOT_STARTED;
    outcome->value = is_missing(failure) ? 127 : 126;
    snprintf(outcome->text, sizeof outcome->text, "%.200s: %s", subjects[failure->where],
             reason_of(failure));
}

/* Returns when the command runs, or its child has said why it can't. */
static void start_command(struct runner *runner) {
    struct start_failure failure;
    struct pipes pipes;

    make_pipes(&pipes);
    runner->pid = fork();
    if (runner->pid < 0)
        give_up(EX_OSERR, strerror(errno));
    if (runner->pid == 0)
        become_command(&runner->request, &pipes);
    close(pipes.input[0]);
    close(pipes.output[1]);
    close(pipes.errors[1]);
    close(pipes.failure[1]);
    runner->command_input = pipes.input[1];
    runner->command_output = pipes.output[0];
    runner->command_errors = pipes.errors[0];
    fcntl(runner->command_input, F_SETFL, O_NONBLOCK);
    fcntl(runner->command_output, F_SETFL, O_NONBLOCK);
    fcntl(runner->command_errors, F_SETFL, O_NONBLOCK);
    if (read(pipes.failure[0], &failure, sizeof failure) == (ssize_t)sizeof failure)
        note_start_failure(runner, &failure);
    close(pipes.failure[0]);
}

static void start(struct runner *runner) {
    struct request *request = &runner->request;

    if (request->command.count == 0 || request->directory == NULL)
        give_up(EX_PROTOCOL, "START without a command or a directory");
    runner->usage_at = now_ms() + RUNNER_USAGE_EVERY_MS;
    if (request->limit_ms > 0)
        runner->limit_at = now_ms() + request->limit_ms;
    start_command(runner);
    forget_words(&request->environment);
    forget_words(&request->command);
}

/* ---- Frames from fpmuxctl ---- */

static char *take_word(struct request *request, const uint8_t *payload, size_t length) {
    char *word = strndup((const char *)payload, length);

    request->bytes += length + 1;
    if (word == NULL || request->bytes > RUNNER_REQUEST_MAX)
        give_up(EX_PROTOCOL, "the request is too large");
    return word;
}

static void add_word(struct request *request, struct words *words, const uint8_t *payload,
                     size_t length) {
    if (words->count == RUNNER_WORDS_MAX)
        give_up(EX_PROTOCOL, "the request has too many words");
    words->items[words->count++] = take_word(request, payload, length);
    words->items[words->count] = NULL;
}

static void take_request_frame(struct runner *runner, enum runner_frame type,
                               const uint8_t *payload, size_t length) {
    struct request *request = &runner->request;

    if (type == RUNNER_ENVIRONMENT)
        add_word(request, &request->environment, payload, length);
    else if (type == RUNNER_ARGUMENT)
        add_word(request, &request->command, payload, length);
    else if (type == RUNNER_DIRECTORY && request->directory == NULL)
        request->directory = take_word(request, payload, length);
    else if (type == RUNNER_USER && request->user == NULL)
        request->user = take_word(request, payload, length);
    else if (type == RUNNER_LIMIT && length == 4)
        request->limit_ms = get_u32(payload);
    else if (type == RUNNER_START)
        start(runner);
    else
        give_up(EX_PROTOCOL, "no such frame in a request");
}

static void stop_command(struct runner *runner) {
    if (runner->is_stopping)
        return;
    runner->is_stopping = true;
    runner->kill_at = now_ms() + RUNNER_GRACE_MS;
    descendants_signal(SIGTERM);
}

/* Once the command reads no more, what comes is taken and dropped. */
static void take_input(struct runner *runner, const uint8_t *payload, size_t length) {
    if (runner->command_input < 0)
        runner->credit += (uint32_t)length;
    else if (length <= buffer_make_room(&runner->feed))
        buffer_append(&runner->feed, payload, length);
    else
        give_up(EX_PROTOCOL, "more input than there was credit for");
}

static void take_frame(struct runner *runner, enum runner_frame type, const uint8_t *payload,
                       size_t length) {
    if (runner->pid == 0)
        take_request_frame(runner, type, payload, length);
    else if (type == RUNNER_INPUT && !runner->has_input_end)
        take_input(runner, payload, length);
    else if (type == RUNNER_INPUT_END)
        runner->has_input_end = true;
    else if (type == RUNNER_STOP)
        stop_command(runner);
    else
        give_up(EX_PROTOCOL, "no such frame while a command runs");
}

static void take_frames(struct runner *runner) {
    struct buffer *input = &runner->input;

    while (buffer_used(input) >= RUNNER_HEADER_BYTES) {
        const uint8_t *frame = input->bytes + input->start;
        size_t length = get_u32(frame + 1);
        if (length > RUNNER_PAYLOAD_MAX)
            give_up(EX_PROTOCOL, "a frame is too long");
        if (buffer_used(input) < RUNNER_HEADER_BYTES + length)
            return;
        take_frame(runner, frame[0], frame + RUNNER_HEADER_BYTES, length);
        input->start += RUNNER_HEADER_BYTES + length;
    }
}

/* ---- The six descriptors ---- */

static void lose_asker(struct runner *runner) {
    if (runner->pid == 0)
        exit(EX_OK); /* before it had asked for anything */
    runner->is_asker_gone = true;
    close_fd(&runner->command_input);
    close_fd(&runner->command_output);
    close_fd(&runner->command_errors);
    stop_command(runner);
}

static void read_asker(struct runner *runner) {
    struct buffer *input = &runner->input;
    size_t room = buffer_make_room(input);
    ssize_t length = read(STDIN_FILENO, input->bytes + input->end, room);

    if (length > 0) {
        input->end += (size_t)length;
        take_frames(runner);
    } else if (length == 0 || (errno != EAGAIN && errno != EINTR)) {
        lose_asker(runner);
    }
}

static void write_asker(struct runner *runner) {
    struct buffer *output = &runner->output;
    ssize_t length = write(STDOUT_FILENO, output->bytes + output->start, buffer_used(output));

    if (length > 0)
        output->start += (size_t)length;
    else if (length < 0 && errno != EAGAIN && errno != EINTR)
        lose_asker(runner);
}

static void feed_command(struct runner *runner) {
    struct buffer *feed = &runner->feed;
    size_t used = buffer_used(feed);
    ssize_t length = write(runner->command_input, feed->bytes + feed->start, used);

    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length < 0) {
        close_fd(&runner->command_input);
        length = (ssize_t)used;
    }
    feed->start += (size_t)length;
    runner->credit += (uint32_t)length;
}

static bool has_room_for_output(const struct runner *runner) {
    return buffer_used(&runner->output) <= OUTPUT_BYTES - CONTROL_BYTES - CHUNK_BYTES / 2;
}

/* One frame, if there is room for it; closes *fd at its end. Once no descendant is left, nobody
 * has to be waited for: who else may hold the pipe has nothing to say. */
static void read_command(struct runner *runner, int *fd, enum runner_frame type) {
    struct buffer *output = &runner->output;

    if (*fd < 0 || !has_room_for_output(runner))
        return;
    size_t room = buffer_make_room(output) - CONTROL_BYTES - RUNNER_HEADER_BYTES;
    uint8_t *header = output->bytes + output->end;
    ssize_t length =
        read(*fd, header + RUNNER_HEADER_BYTES, room < CHUNK_BYTES ? room : CHUNK_BYTES);
    if (length > 0) {
        header[0] = (uint8_t)type;
        put_u32(header + 1, (uint32_t)length);
        output->end += RUNNER_HEADER_BYTES + (size_t)length;
    } else if (length == 0 || !runner->has_children || (errno != EAGAIN && errno != EINTR)) {
        close_fd(fd);
    }
}

static void take_signals(struct runner *runner) {
    struct signalfd_siginfo info;

    while (read(runner->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            continue;
        if (runner->pid == 0)
            exit(EX_TEMPFAIL);
        stop_command(runner);
    }
}

static void reap(struct runner *runner) {
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == runner->pid)
            runner->status = status;
    runner->has_children = pid == 0;
}

/* ---- The loop ---- */

static void act_on_time(struct runner *runner) {
    int64_t now = now_ms();

    if (now >= runner->limit_at) {
        runner->limit_at = NEVER;
        runner->outcome.kind = RUNNER_TIMED_OUT;
        stop_command(runner);
    }
    if (now >= runner->kill_at) {
        /* Again, because one may have been born meanwhile. */
        runner->kill_at = runner->has_children ? now + KILL_AGAIN_MS : NEVER;
        descendants_signal(SIGKILL);
    }
    if (now >= runner->usage_at) {
        runner->usage_at = now + RUNNER_USAGE_EVERY_MS;
        put_usage(runner);
    }
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int poll_timeout(const struct runner *runner) {
    int64_t next = earlier(earlier(runner->usage_at, runner->limit_at), runner->kill_at);
    int64_t left = next == NEVER ? -1 : next - now_ms();

    if (next != NEVER && left < 0)
        return 0;
    return (int)earlier(left, INT32_MAX);
}

static void wait_and_act(struct runner *runner, bool is_draining) {
    bool has_room = has_room_for_output(runner);
    struct pollfd fds[] = {
        {.fd = runner->is_asker_gone ? -1 : STDIN_FILENO, .events = POLLIN},
        {.fd = buffer_used(&runner->output) > 0 ? STDOUT_FILENO : -1, .events = POLLOUT},
        {.fd = runner->signals, .events = POLLIN},
        {.fd = buffer_used(&runner->feed) > 0 ? runner->command_input : -1, .events = POLLOUT},
        {.fd = has_room ? runner->command_output : -1, .events = POLLIN},
        {.fd = has_room ? runner->command_errors : -1, .events = POLLIN},
    };

    poll(fds, sizeof fds / sizeof *fds, is_draining && has_room ? 0 : poll_timeout(runner));
    if (fds[0].revents != 0)
        read_asker(runner);
    if (fds[1].revents != 0 && !runner->is_asker_gone)
        write_asker(runner);
    if (fds[2].revents != 0)
        take_signals(runner);
    if (fds[3].revents != 0 && runner->command_input >= 0)
        feed_command(runner);
    if (fds[4].revents != 0 || is_draining)
        read_command(runner, &runner->command_output, RUNNER_OUTPUT);
    if (fds[5].revents != 0 || is_draining)
        read_command(runner, &runner->command_errors, RUNNER_ERRORS);
}

static void tell_exit(struct runner *runner) {
    struct outcome *outcome = &runner->outcome;

    if (outcome->kind == 0) {
        bool is_killed = WIFSIGNALED(runner->status);
        outcome->kind = is_killed ? RUNNER_KILLED : RUNNER_EXITED;
        outcome->value = is_killed ? WTERMSIG(runner->status) : WEXITSTATUS(runner->status);
    }
    put_usage(runner);
    put_exit(runner);
    runner->has_told_exit = true;
    runner->usage_at = NEVER;
}

/* Until the last descendant is gone, and fpmuxctl has read all of it or is gone, too. */
static void run(struct runner *runner) {
    for (;;) {
        reap(runner);
        bool is_over = runner->pid > 0 && !runner->has_children;
        bool is_draining = is_over && (runner->command_output >= 0 || runner->command_errors >= 0);
        bool is_written = buffer_used(&runner->output) == 0 || runner->is_asker_gone;
        if (is_over && !is_draining && is_written) {
            if (runner->has_told_exit || runner->is_asker_gone)
                return;
            tell_exit(runner);
        }
        act_on_time(runner);
        put_credit(runner);
        if (runner->has_input_end && buffer_used(&runner->feed) == 0)
            close_fd(&runner->command_input);
        wait_and_act(runner, is_draining);
    }
}

/* ---- Being the runner ---- */

static int open_signals(void) {
    sigset_t mask;

    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void become_runner(struct runner *runner) {
    *runner = (struct runner){.command_input = -1,
                              .command_output = -1,
                              .command_errors = -1,
                              .usage_at = NEVER,
                              .limit_at = NEVER,
                              .kill_at = NEVER};
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            give_up(EX_OSERR, "standard input, output and error must be open");
    close_range(STDERR_FILENO + 1, ~0U, 0);
    runner->signals = open_signals();
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ||
        fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK) < 0 ||
        runner->signals < 0)
        give_up(EX_OSERR, strerror(errno));
    buffer_init(&runner->input, RUNNER_HEADER_BYTES + RUNNER_PAYLOAD_MAX);
    buffer_init(&runner->feed, RUNNER_WINDOW);
    buffer_init(&runner->output, OUTPUT_BYTES);
}

int main(int argc, char **argv) {
    static struct runner runner;

    if (argc > 1) {
        fprintf(stderr, "%s takes no arguments: fpmuxctl exec starts it\n", argv[0]);
        return EX_USAGE;
    }
    become_runner(&runner);
    run(&runner);
    return EX_OK;
}
