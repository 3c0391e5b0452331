/* Bytes come in two layers: the engine puts a header of 8 bytes in front of what it read from the
 * runner's standard output (1) or standard error (2), cut anywhere; the runner's frames lie in the
 * first. What comes before the first whole frame may be the engine's words instead ("OCI runtime
 * exec failed: …"), so it is kept until a frame proves otherwise. */
#include "tenants/containers/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tenants/containers/runner_protocol.h"

enum {
    STREAM_HEADER_BYTES = 8,
    STREAM_OUTPUT = 1,
    STREAM_ERRORS = 2,
    INPUT_CHUNK_BYTES = 16 * 1024,
    READ_BYTES = 32 * 1024,
    LOOK_UP_MS = 200, /* how long a change of urgency may go unseen */
};

struct session {
    const struct session_request *request;
    struct session_result *result;
    int fd;
    bool is_over;

    uint8_t *output; /* owned: frames to the runner, from start to end */
    size_t output_start;
    size_t output_end;
    uint32_t credit;
    bool has_input_ended;
    bool has_sent_stop;

    uint8_t stream_header[STREAM_HEADER_BYTES];
    size_t stream_header_used;
    uint32_t stream_left; /* bytes to the next header */
    uint8_t *frame;       /* owned: header and payload, as far as they have come */
    size_t frame_used;
    bool has_frame;   /* a whole one came: the runner is there */
    bool is_no_frame; /* what came can't be one */
    char words[300];  /* what was said that is no frame */
    size_t words_used;
    uint64_t cpu_ns;
    int64_t heard_at; /* ms */
};

static int64_t now_ms(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static uint32_t get_u32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put_u32(uint8_t *bytes, uint32_t value) {
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes);

    if (memory == NULL)
        abort();
    return memory;
}

/* ---- To the runner ---- */

static void put_frame(struct session *session, enum runner_frame type, const void *payload,
                      size_t length) {
    uint8_t *frame = session->output + session->output_end;

    frame[0] = (uint8_t)type;
    put_u32(frame + 1, (uint32_t)length);
    if (length > 0)
        memcpy(frame + RUNNER_HEADER_BYTES, payload, length);
    session->output_end += RUNNER_HEADER_BYTES + length;
}

static size_t words_bytes(const struct string_list *words) {
    size_t bytes = 0;

    for (size_t i = 0; i < words->count; i++)
        bytes += RUNNER_HEADER_BYTES + strlen(words->items[i]);
    return bytes;
}

static void put_words(struct session *session, enum runner_frame type,
                      const struct string_list *words) {
    for (size_t i = 0; i < words->count; i++)
        put_frame(session, type, words->items[i], strlen(words->items[i]));
}

/* The buffer has room for the request, and after it was sent for one chunk of input and a STOP. */
static void put_request(struct session *session) {
    const struct session_request *request = session->request;
    const char *user = request->user != NULL ? request->user : "";
    uint8_t limit[4];

    session->output = allocate(words_bytes(request->environment) + words_bytes(request->command) +
                               strlen(request->directory) + strlen(user) + INPUT_CHUNK_BYTES +
                               (size_t)8 * RUNNER_HEADER_BYTES);
    put_words(session, RUNNER_ENVIRONMENT, request->environment);
    put_words(session, RUNNER_ARGUMENT, request->command);
    put_frame(session, RUNNER_DIRECTORY, request->directory, strlen(request->directory));
    if (request->user != NULL)
        put_frame(session, RUNNER_USER, user, strlen(user));
    put_u32(limit, request->limit_ms);
    put_frame(session, RUNNER_LIMIT, limit, sizeof limit);
    put_frame(session, RUNNER_START, NULL, 0);
    if (request->input < 0) {
        put_frame(session, RUNNER_INPUT_END, NULL, 0);
        session->has_input_ended = true;
    }
}

static bool has_output(const struct session *session) {
    return session->output_end > session->output_start;
}

static bool wants_input(const struct session *session) {
    return !session->has_input_ended && session->credit > 0 && !has_output(session);
}

static void read_input(struct session *session) {
    uint8_t bytes[INPUT_CHUNK_BYTES];
    size_t room = session->credit < sizeof bytes ? session->credit : sizeof bytes;
    ssize_t length = read(session->request->input, bytes, room);

    if (length < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (length > 0) {
        put_frame(session, RUNNER_INPUT, bytes, (size_t)length);
        session->credit -= (uint32_t)length;
        return;
    }
    put_frame(session, RUNNER_INPUT_END, NULL, 0);
    session->has_input_ended = true;
}

/* A broken connection is seen where it is read: there may be words about it. */
static void write_output(struct session *session) {
    ssize_t length = send(session->fd, session->output + session->output_start,
                          session->output_end - session->output_start, MSG_NOSIGNAL);

    if (length < 0 && errno != EAGAIN && errno != EINTR) {
        session->has_input_ended = true;
        length = (ssize_t)(session->output_end - session->output_start);
    }
    if (length > 0)
        session->output_start += (size_t)length;
    if (has_output(session))
        return;
    session->output_start = 0;
    session->output_end = 0;
}

/* ---- From the runner ---- */

static void note_cpu(struct session *session, const uint8_t *payload) {
    uint64_t cpu_ns = (uint64_t)get_u32(payload) << 32 | get_u32(payload + 4);

    if (cpu_ns > session->cpu_ns)
        session->request->on_cpu(session->request->context, cpu_ns - session->cpu_ns);
    if (cpu_ns > session->cpu_ns)
        session->cpu_ns = cpu_ns;
}

static void note_exit(struct session *session, const uint8_t *payload, size_t length) {
    static const enum session_end ends[] = {
        [RUNNER_EXITED] = SESSION_EXITED,
        [RUNNER_KILLED] = SESSION_KILLED,
        [RUNNER_TIMED_OUT] = SESSION_TIMED_OUT,
        [RUNNER_NOT_STARTED] = SESSION_NOT_STARTED,
    };
    struct session_result *result = session->result;

    if (payload[0] < RUNNER_EXITED || payload[0] > RUNNER_NOT_STARTED)
        return;
    result->end = ends[payload[0]];
    result->value = (int)get_u32(payload + 1);
    error_set(&result->error, "%.*s", (int)length - 5, (const char *)payload + 5);
    session->is_over = true;
}

/* Types of a newer runner are passed over. */
static void take_frame(struct session *session, uint8_t type, const uint8_t *payload,
                       size_t length) {
    const struct session_request *request = session->request;

    if (type == RUNNER_OUTPUT || type == RUNNER_ERRORS)
        request->on_output(request->context, type == RUNNER_ERRORS, (const char *)payload, length);
    else if (type == RUNNER_CREDIT && length == 4)
        session->credit += get_u32(payload);
    else if (type == RUNNER_USAGE && length == 8)
        note_cpu(session, payload);
    else if (type == RUNNER_EXIT && length >= 5)
        note_exit(session, payload, length);
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static void keep_words(struct session *session, const uint8_t *bytes, size_t length) {
    size_t kept = smaller(length, sizeof session->words - 1 - session->words_used);

    memcpy(session->words + session->words_used, bytes, kept);
    session->words_used += kept;
}

/* Returns how many bytes of the frame are still missing; 0: it is whole. */
static size_t missing_of_frame(struct session *session) {
    if (session->frame_used < RUNNER_HEADER_BYTES)
        return RUNNER_HEADER_BYTES - session->frame_used;
    size_t length = get_u32(session->frame + 1);
    session->is_no_frame = session->is_no_frame || length > RUNNER_PAYLOAD_MAX;
    return RUNNER_HEADER_BYTES + length - session->frame_used;
}

static void take_runner_bytes(struct session *session, const uint8_t *bytes, size_t length) {
    if (!session->has_frame)
        keep_words(session, bytes, length);
    while (!session->is_no_frame && !session->is_over) {
        size_t missing = missing_of_frame(session);
        if (missing == 0) {
            session->has_frame = true;
            session->words_used = 0;
            take_frame(session, session->frame[0], session->frame + RUNNER_HEADER_BYTES,
                       session->frame_used - RUNNER_HEADER_BYTES);
            session->frame_used = 0;
            continue;
        }
        size_t taken = session->is_no_frame ? 0 : smaller(missing, length);
        if (taken == 0)
            return;
        memcpy(session->frame + session->frame_used, bytes, taken);
        session->frame_used += taken;
        bytes += taken;
        length -= taken;
    }
}

static void take_stream_bytes(struct session *session, const uint8_t *bytes, size_t length) {
    if (session->stream_header[0] == STREAM_OUTPUT)
        take_runner_bytes(session, bytes, length);
    else
        keep_words(session, bytes, length); /* the runner's own complaint, or the engine's */
}

static void take_bytes(struct session *session, const uint8_t *bytes, size_t length) {
    while (length > 0 && !session->is_over) {
        size_t taken;
        if (session->stream_left > 0) {
            taken = smaller(length, session->stream_left);
            take_stream_bytes(session, bytes, taken);
            session->stream_left -= (uint32_t)taken;
        } else {
            taken = smaller(length, STREAM_HEADER_BYTES - session->stream_header_used);
            memcpy(session->stream_header + session->stream_header_used, bytes, taken);
            session->stream_header_used += taken;
        }
        if (session->stream_header_used == STREAM_HEADER_BYTES) {
            session->stream_left = get_u32(session->stream_header + 4);
            session->stream_header_used = 0;
        }
        bytes += taken;
        length -= taken;
    }
}

static void tell_break(struct session *session) {
    session->words[session->words_used] = '\0';
    session->words[strcspn(session->words, "\r\n")] = '\0';
    if (session->words[0] != '\0')
        error_set(&session->result->error, "the runner failed: %s", session->words);
    else
        error_set(&session->result->error, "the connection ended before the command did: the "
                                           "container was stopped, or the runner was killed");
    session->is_over = true;
}

static void read_runner(struct session *session) {
    uint8_t bytes[READ_BYTES];
    ssize_t length = recv(session->fd, bytes, sizeof bytes, 0);

    session->heard_at = now_ms();
    if (length > 0)
        take_bytes(session, bytes, (size_t)length);
    else if (length == 0 || (errno != EAGAIN && errno != EINTR))
        tell_break(session);
}

/* ---- The loop ---- */

static void look_at_urgency(struct session *session) {
    int urgency = atomic_load(session->request->urgency);

    if (urgency == SESSION_ABANDON) {
        error_set(&session->result->error, "abandoned");
        session->is_over = true;
    } else if (urgency == SESSION_STOP && !session->has_sent_stop && !has_output(session)) {
        put_frame(session, RUNNER_STOP, NULL, 0);
        session->has_sent_stop = true;
    }
}

/* Only while nothing is there to be read: what we leave lying is no silence. */
static void look_at_silence(struct session *session) {
    unsigned silence_ms = session->request->silence_ms;

    if (silence_ms == 0 || now_ms() - session->heard_at < silence_ms)
        return;
    error_set(&session->result->error,
              "the runner has said nothing for %g s and is given up: is its container paused, or "
              "does the engine hang?",
              silence_ms / 1000.0);
    session->is_over = true;
}

static void wait_and_act(struct session *session) {
    struct pollfd fds[] = {
        {.fd = session->fd, .events = (short)(POLLIN | (has_output(session) ? POLLOUT : 0))},
        {.fd = wants_input(session) ? session->request->input : -1, .events = POLLIN},
    };

    if (poll(fds, 2, LOOK_UP_MS) < 0)
        return;
    if (fds[0].revents == 0)
        look_at_silence(session);
    if ((fds[0].revents & POLLOUT) != 0)
        write_output(session);
    if ((fds[0].revents & ~POLLOUT) != 0)
        read_runner(session);
    if (fds[1].revents != 0 && !session->is_over)
        read_input(session);
}

void session_run(int fd, const struct session_request *request, struct session_result *result) {
    struct session session = {.request = request,
                              .result = result,
                              .fd = fd,
                              .credit = RUNNER_WINDOW,
                              .heard_at = now_ms(),
                              .frame = allocate(RUNNER_HEADER_BYTES + RUNNER_PAYLOAD_MAX)};

    *result = (struct session_result){.end = SESSION_BROKEN};
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    put_request(&session);
    size_t request_bytes = session.output_end;
    for (look_at_urgency(&session); !session.is_over; look_at_urgency(&session))
        wait_and_act(&session);
    explicit_bzero(session.output, request_bytes); /* it has the tenant's secrets */
    free(session.output);
    free(session.frame);
}
