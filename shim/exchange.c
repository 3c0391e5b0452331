#include "shim/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "shim/backend.h"
#include "shim/daemon.h"
#include "shim/front.h"
#include "shim/meter.h"
#include "shim/pool.h"
#include "shim/request.h"
#include "shim/site.h"

enum { PIECES_MAX = 8 };

/* ---- The request out ---- */

struct outgoing {
    struct iovec pieces[PIECES_MAX];
    size_t count;
};

static void push(struct outgoing *outgoing, const void *data, size_t length) {
    outgoing->pieces[outgoing->count++] = (struct iovec){(void *)data, length};
}

/* One system call; what the kernel does not take is kept in unsent. A connection that is dead is
 * noticed where its end is read. */
static void write_out(struct backend *backend, struct outgoing *outgoing) {
    struct msghdr message = {.msg_iov = outgoing->pieces, .msg_iovlen = outgoing->count};
    ssize_t sent = sendmsg(backend->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    size_t skip = sent > 0 ? (size_t)sent : 0;

    backend->has_sent_any |= sent > 0;
    for (size_t i = 0; i < outgoing->count; i++) {
        const struct iovec *piece = &outgoing->pieces[i];
        size_t taken = skip < piece->iov_len ? skip : piece->iov_len;
        skip -= taken;
        if (taken < piece->iov_len &&
            !bytes_append(&backend->unsent, (const uint8_t *)piece->iov_base + taken,
                          piece->iov_len - taken))
            shutdown(backend->watch.fd, SHUT_RDWR); /* out of memory: the end will be read */
    }
    outgoing->count = 0;
}

/* Sends the body, piece by piece, the terminator behind the last one, until the socket or the body
 * has no more. outgoing holds what goes first. */
static void send_body(struct backend *backend, struct outgoing *outgoing) {
    struct buffer *body = &backend->request->body;

    while (!backend->has_sent_all && backend->unsent.length == 0) {
        uint8_t header[FCGI_HEADER_LEN];
        uint8_t terminator[FCGI_HEADER_LEN];
        uint64_t left = buffer_left(body);
        size_t length = 0;
        const uint8_t *piece = left > 0 ? buffer_peek(body, &length) : NULL;
        if (length > FCGI_CONTENT_MAX)
            length = FCGI_CONTENT_MAX;
        if (length > 0) {
            fcgi_encode_header(header, FCGI_STDIN, backend->request_id, (uint16_t)length);
            push(outgoing, header, sizeof header);
            push(outgoing, piece, length);
        }
        if (left == length) {
            fcgi_encode_header(terminator, FCGI_STDIN, backend->request_id, 0);
            push(outgoing, terminator, sizeof terminator);
            backend->has_sent_all = true;
        }
        if (outgoing->count == 0)
            return; /* the rest comes from a file; exchange_send() is called then */
        write_out(backend, outgoing);
        buffer_consume(body, length);
    }
}

void exchange_send(struct backend *backend) {
    struct bytes *unsent = &backend->unsent;

    if (backend->state != BACKEND_RUNNING)
        return;
    if (unsent->length > 0) {
        ssize_t sent =
            send(backend->watch.fd, unsent->data, unsent->length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0)
            bytes_consume(unsent, (size_t)sent);
        if (unsent->length > 0)
            return;
    }
    send_body(backend, &(struct outgoing){0});
}

/* Sends the settings first if this worker has others, or none from us yet: PHP-FPM keeps them for
 * later requests, and never frees the old ones. */
static void push_php(struct backend *backend, const struct params_block *block,
                     struct outgoing *outgoing, uint8_t header[FCGI_HEADER_LEN]) {
    const char *php = params_block_php(block);
    size_t length = 0;
    const uint8_t *pair = params_block_php_pair(block, &length);

    if (php == NULL || (backend->php != NULL && strcmp(backend->php, php) == 0))
        return;
    free(backend->php);
    backend->php = strdup(php); /* NULL: they are sent again next time */
    fcgi_encode_header(header, FCGI_PARAMS, backend->request_id, (uint16_t)length);
    push(outgoing, header, FCGI_HEADER_LEN);
    push(outgoing, pair, length);
}

void exchange_start(struct backend *backend, struct request *request) {
    struct pool *pool = backend->pool;
    struct site *site = request->site;
    struct outgoing outgoing = {0};
    uint8_t begin[FCGI_BEGIN_BYTES];
    uint8_t php_header[FCGI_HEADER_LEN];

    /* A body that PHP does not read is taken for the next request by a PHP-FPM before the releases
     * of 19 November 2026: it travels as the last request of its connection. */
    backend->keeps_connection = pool->config->keep_bodies || buffer_total(&request->body) == 0;
    backend->request = request;
    backend->request_id = request->backend_id;
    backend->has_answered = false;
    backend->has_sent_any = false;
    backend->has_sent_all = false;
    backend->site = site;
    backend->last = site->account;
    site_hold_again(site);
    if (backend->worker != NULL)
        meter_assign(pool->daemon->meter, backend->worker, site->account);
    backend_set_state(backend, BACKEND_RUNNING);
    backend->started_ns = backend->since_ns;
    buffer_rewind(&request->body);
    request_on_started(request, backend);

    fcgi_encode_begin(begin, backend->request_id, FCGI_RESPONDER, backend->keeps_connection);
    push(&outgoing, begin, sizeof begin);
    push_php(backend, site->block, &outgoing, php_header);
    push(&outgoing, request->records.data, request->records.length);
    send_body(backend, &outgoing);
}

/* ---- The response in ---- */

/* The request's end, but its worker may still be busy. */
static void on_end_request(struct backend *backend) {
    struct request *request = backend->request;

    backend->request = NULL;
    if (!backend_has_delivered(backend))
        backend->keeps_connection = false; /* answered before it took the whole body */
    backend_set_state(backend, BACKEND_FINISHING);
    request_on_end(request);
}

/* Output after END_REQUEST comes under the old id: it must not reach the next client. */
static bool is_current(const struct backend *backend) {
    return backend->request != NULL && backend->decoder.header.request_id == backend->request_id;
}

static void on_header(struct backend *backend) {
    if (is_current(backend))
        backend->has_answered = true;
}

static void on_content(struct backend *backend, const uint8_t *piece, size_t length) {
    const struct fcgi_header *header = &backend->decoder.header;

    if (!is_current(backend))
        return;
    if (header->type == FCGI_STDOUT)
        request_on_stdout(backend->request, piece, length);
    else if (header->type == FCGI_STDERR)
        request_on_stderr(backend->request, piece, length);
}

/* A PHP-FPM before 8.2.13 closes the connection behind its answer. While it is not known which one
 * this is, it is asked once more: a request on a connection that is being closed would be lost. */
static void on_values(struct backend *backend) {
    struct pool *pool = backend->pool;

    pool_on_reachable(pool);
    pool->stays_after_values |= backend->has_told;
    backend->has_told = true;
    if (pool->stays_after_values)
        backend_set_state(backend, BACKEND_IDLE);
    else if (!pool->closes_after_values) /* else its end is on the way */
        backend_ask(backend);
}

static void on_record_end(struct backend *backend) {
    const struct fcgi_header *header = &backend->decoder.header;

    if (backend->state == BACKEND_ASKING && header->type == FCGI_GET_VALUES_RESULT) {
        on_values(backend);
    } else if (header->type == FCGI_END_REQUEST && is_current(backend)) {
        on_end_request(backend);
    }
}

/* false: what came is not FastCGI. */
static bool take_input(struct backend *backend, const uint8_t *input, size_t length) {
    for (;;) {
        const uint8_t *piece = NULL;
        size_t piece_length = 0;
        size_t used = 0;
        enum fcgi_event event =
            fcgi_decode(&backend->decoder, input, length, &used, &piece, &piece_length);
        input += used;
        length -= used;
        if (event == FCGI_EVENT_NONE)
            return true;
        if (event == FCGI_EVENT_BROKEN)
            return false;
        if (event == FCGI_EVENT_BEGIN)
            on_header(backend);
        else if (event == FCGI_EVENT_CONTENT)
            on_content(backend, piece, piece_length);
        else if (event == FCGI_EVENT_END)
            on_record_end(backend);
    }
}

/* The pid of the process that wrote, as the kernel vouches for it; 0: not told. */
static pid_t pid_of(struct msghdr *message) {
    struct ucred credentials = {0};

    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL;
         control = CMSG_NXTHDR(message, control))
        if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_CREDENTIALS)
            memcpy(&credentials, CMSG_DATA(control), sizeof credentials);
    return credentials.pid;
}

static ssize_t receive(struct backend *backend) {
    char control[CMSG_SPACE(sizeof(struct ucred))] __attribute__((aligned(8)));
    struct iovec piece = {backend->pool->daemon->read_buffer, READ_BYTES};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    bool wants_pid = backend->worker == NULL && backend->pool->address.is_unix;

    if (wants_pid) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
    }
    ssize_t length = recvmsg(backend->watch.fd, &message, MSG_DONTWAIT);
    if (length > 0 && wants_pid) /* on an empty read the kernel says pid 0 */
        backend_learn_worker(backend, pid_of(&message));
    return length;
}

/* The backend is of no more use; its request, if it has one, learns why. Frees the backend. */
static void fail(struct backend *backend, enum request_failure failure, const char *reason) {
    struct request *request = backend->request;

    backend->request = NULL;
    if (request != NULL) {
        /* Before our close: at the end of a connection the worker waits for it, or it is dead and
         * not reaped yet. Either way its clock stands still. */
        backend_settle(backend);
        request_on_failure(request, failure, reason);
    }
    backend_close(backend);
}

/* With the whole request sent, an end without a byte comes from a worker that drains: it never
 * began (one that died has left the terminator unread, which is a reset). One that died amid the
 * body may have begun, and have read all that was there. */
static bool was_never_begun(const struct backend *backend, int failure) {
    return failure == 0 && (backend_has_delivered(backend) || !backend->has_sent_any);
}

/* The connection has ended; failure is 0 or the errno. */
static void on_connection_end(struct backend *backend, int failure) {
    struct pool *pool = backend->pool;
    bool was_asking = backend->state == BACKEND_ASKING || backend->state == BACKEND_CONNECTING;

    if (was_asking && backend->has_told) {
        pool->closes_after_values = true;
        backend_close(backend);
        return;
    }
    if (backend->has_answered || !fcgi_decoder_is_between_records(&backend->decoder))
        fail(backend, FAILURE_CUT, "PHP-FPM's worker died while it answered");
    else if (was_never_begun(backend, failure))
        fail(backend, FAILURE_DRAINED, "PHP-FPM closed the connection without an answer");
    else
        fail(backend, FAILURE_RESET, "PHP-FPM's worker died before it answered");
    if (was_asking)
        pool_on_unreachable(pool, failure != 0 ? failure : ECONNRESET);
}

/* What came is not FastCGI. If that is the first thing that came, something else listens there. */
static void on_nonsense(struct backend *backend) {
    struct pool *pool = backend->pool;
    bool was_asking = backend->state == BACKEND_ASKING;

    fail(backend, FAILURE_CUT, "PHP-FPM sent what is not FastCGI");
    if (was_asking)
        pool_on_unreachable(pool, EPROTO);
}

/* Reads what there is. to_end: the peer may have closed behind what it wrote; as its edge has been
 * seen, nobody would tell again. false: the backend was freed. */
static bool read_all(struct backend *backend, bool to_end) {
    struct daemon *daemon = backend->pool->daemon;

    for (;;) {
        struct request *request = backend->request;
        if (request != NULL && buffer_is_full(&request->response)) {
            backend->is_paused = true;
            return true;
        }
        ssize_t length = receive(backend);
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0 && errno == EAGAIN)
            return true;
        if (length <= 0) {
            on_connection_end(backend, length < 0 ? errno : 0);
            return false;
        }
        if (backend->state == BACKEND_IDLE) { /* nobody asked for anything */
            backend_close(backend);
            return false;
        }
        if (request != NULL)
            front_cork(request->front);
        bool is_fcgi = take_input(backend, daemon->read_buffer, (size_t)length);
        front_uncork(daemon);
        if (!is_fcgi) {
            on_nonsense(backend);
            return false;
        }
        if (backend->state == BACKEND_ABANDONED)
            return true; /* what we shut down reads as ended, but its worker still runs */
        /* A short read is the last one, except where writers differ: a child may have written. */
        if (backend->state != BACKEND_RUNNING && length < READ_BYTES && !to_end)
            return true;
    }
}

void exchange_resume(struct backend *backend) {
    if (!backend->is_paused)
        return;
    backend->is_paused = false;
    /* The edge that tells of a free worker may have come while nobody read. */
    if (read_all(backend, true) && backend->state == BACKEND_FINISHING)
        backend_check(backend);
}

static void on_connected(struct backend *backend) {
    int failure = 0;
    socklen_t length = sizeof failure;

    getsockopt(backend->watch.fd, SOL_SOCKET, SO_ERROR, &failure, &length);
    if (failure == 0) {
        backend_ask(backend);
        return;
    }
    struct pool *pool = backend->pool;
    backend_close(backend);
    pool_on_unreachable(pool, failure);
}

void exchange_drain(struct backend *backend) {
    for (;;) {
        ssize_t length =
            recv(backend->watch.fd, backend->pool->daemon->read_buffer, READ_BYTES, MSG_DONTWAIT);
        if (length < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (length <= 0) {
            backend_close(backend);
            return;
        }
    }
}

void exchange_on_events(struct watch *watch, uint32_t events) {
    struct backend *backend = (struct backend *)watch; /* its first member */

    if (backend->state == BACKEND_CONNECTING) {
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
            on_connected(backend);
        return;
    }
    if (backend->state == BACKEND_ABANDONED) {
        backend_check(backend);
        return;
    }
    bool is_ending = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    bool has_input = is_ending || (events & EPOLLIN) != 0;
    if (has_input && !backend->is_paused && !read_all(backend, is_ending))
        return;
    if ((events & EPOLLOUT) != 0 && backend->state == BACKEND_RUNNING)
        exchange_send(backend);
    /* Over TCP there is nothing to wait for. */
    if (backend->state == BACKEND_FINISHING &&
        ((events & EPOLLOUT) != 0 || !backend->pool->address.is_unix))
        backend_check(backend);
}
