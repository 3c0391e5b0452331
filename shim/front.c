#include "shim/front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/daemon.h"
#include "shim/intake.h"
#include "shim/request.h"
#include "tenants/log.h"

enum {
    VALUES_BYTES_MAX = 1024, /* of a GET_VALUES or BEGIN_REQUEST record */
    LINGER_MS = 30000
};

/* ---- Lifecycle ---- */

static void on_events(struct watch *watch, uint32_t events);

static void set_events(struct front *front, uint32_t events) {
    if (!front->is_broken)
        poller_change(&front->daemon->poller, &front->watch, events);
}

bool front_open(struct daemon *daemon, int fd, bool is_tcp, const char *tenant) {
    struct front *front = calloc(1, sizeof *front);

    if (front == NULL) {
        close(fd);
        return false;
    }
    front->watch = (struct watch){.fd = fd, .events = EPOLLIN, .on_events = on_events};
    if (poller_add(&daemon->poller, &front->watch) != 0) {
        free(front);
        close(fd);
        return false;
    }
    front->daemon = daemon;
    front->is_tcp = is_tcp;
    snprintf(front->tenant, sizeof front->tenant, "%s", tenant);
    fcgi_decoder_init(&front->decoder);
    bytes_init(&front->values, VALUES_BYTES_MAX);
    bytes_init(&front->unsent, SIZE_MAX / 2); /* bounded by what one writev() may hold */
    front->next = daemon->fronts;
    if (daemon->fronts != NULL)
        daemon->fronts->previous = front;
    daemon->fronts = front;
    return true;
}

void front_break(struct front *front, const char *reason) {
    char peer[PEER_TEXT_MAX];

    if (front->is_broken)
        return;
    if (reason != NULL) {
        front_describe(front, peer, sizeof peer);
        log_notice("front %s: closed: %s", peer, reason);
    }
    set_events(front, 0);
    front->is_broken = true;
    front->next_broken = front->daemon->broken_fronts;
    front->daemon->broken_fronts = front;
}

void front_close(struct front *front) {
    while (front->requests != NULL)
        request_on_front_gone(front->requests); /* forgets itself */
    if (front->previous != NULL)
        front->previous->next = front->next;
    else
        front->daemon->fronts = front->next;
    if (front->next != NULL)
        front->next->previous = front->previous;
    poller_remove(&front->daemon->poller, &front->watch);
    close(front->watch.fd);
    bytes_deinit(&front->values);
    bytes_deinit(&front->unsent);
    free(front);
}

void front_describe(const struct front *front, char *text, size_t size) {
    struct sockaddr_storage peer = {0};
    socklen_t length = sizeof peer;
    char name[PEER_TEXT_MAX] = "?";

    if (!front->is_tcp) {
        struct ucred peer_process = {0};
        length = sizeof peer_process;
        getsockopt(front->watch.fd, SOL_SOCKET, SO_PEERCRED, &peer_process, &length);
        snprintf(text, size, "unix%s%s pid %d uid %d", front->tenant[0] != '\0' ? ":" : "",
                 front->tenant, (int)peer_process.pid, (int)peer_process.uid);
        return;
    }
    if (getpeername(front->watch.fd, (struct sockaddr *)&peer, &length) == 0) {
        if (peer.ss_family == AF_INET)
            uv_ip4_name((struct sockaddr_in *)&peer, name, sizeof name);
        else
            uv_ip6_name((struct sockaddr_in6 *)&peer, name, sizeof name);
    }
    snprintf(text, size, "%s", name);
}

/* ---- The list of requests ---- */

static void list_last(struct front *front, struct request *request) {
    request->next = NULL;
    request->previous = front->last;
    if (front->last != NULL)
        front->last->next = request;
    else
        front->requests = request;
    front->last = request;
    front->request_count++;
}

static void unlist(struct front *front, struct request *request) {
    if (request->previous != NULL)
        request->previous->next = request->next;
    else
        front->requests = request->next;
    if (request->next != NULL)
        request->next->previous = request->previous;
    else
        front->last = request->previous;
    front->request_count--;
}

struct request *front_find(const struct front *front, uint16_t id) {
    struct request *request = front->requests;

    while (request != NULL && request->id != id)
        request = request->next;
    return request;
}

/* ---- Sending ---- */

bool front_can_send(const struct front *front) {
    return front->unsent.length == 0 && !front->is_broken;
}

/* The last answer is with the kernel, and the peer did not ask for more. */
static void finish_sending(struct front *front) {
    if (!front->closes_when_sent || front->is_lingering || front->requests != NULL)
        return;
    if (!front->must_linger) {
        front_break(front, NULL);
        return;
    }
    shutdown(front->watch.fd, SHUT_WR);
    front->is_lingering = true;
    front->lingers_until_ms = uv_now(&front->daemon->loop) + LINGER_MS;
}

static void try_finish(struct front *front) {
    bool is_corked = front->daemon->cork.front == front && front->daemon->cork.count > 0;

    if (!is_corked && front_can_send(front))
        finish_sending(front);
}

void front_close_when_sent(struct front *front, bool must_linger) {
    front->closes_when_sent = true;
    front->must_linger |= must_linger;
    try_finish(front);
}

/* Keeps what the kernel did not take of the pieces. */
static void keep_unsent(struct front *front, const struct iovec *pieces, unsigned count,
                        size_t sent) {
    for (unsigned i = 0; i < count; i++) {
        size_t skip = sent < pieces[i].iov_len ? sent : pieces[i].iov_len;
        sent -= skip;
        if (!bytes_append(&front->unsent, (const uint8_t *)pieces[i].iov_base + skip,
                          pieces[i].iov_len - skip)) {
            front_break(front, "out of memory");
            return;
        }
    }
}

static void write_pieces(struct front *front, const struct iovec *pieces, unsigned count) {
    struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = count};

    if (front->is_broken)
        return;
    ssize_t sent = 0;
    if (front->unsent.length == 0) {
        do {
            sent = sendmsg(front->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        } while (sent < 0 && errno == EINTR);
        if (sent < 0 && errno != EAGAIN) {
            front_break(front, NULL);
            return;
        }
    }
    keep_unsent(front, pieces, count, sent > 0 ? (size_t)sent : 0);
    if (front->unsent.length > 0)
        set_events(front, front->watch.events | EPOLLOUT);
    else
        finish_sending(front);
}

void front_send_bytes(struct front *front, const uint8_t *data, size_t length) {
    struct iovec piece = {(void *)data, length};

    write_pieces(front, &piece, 1);
}

void front_cork(struct front *front) {
    front->daemon->cork.front = front;
    front->daemon->cork.count = 0;
}

static void flush_cork(struct cork *cork) {
    unsigned count = cork->count;

    cork->count = 0;
    if (count > 0)
        write_pieces(cork->front, cork->pieces, count);
}

void front_uncork(struct daemon *daemon) {
    struct front *front = daemon->cork.front;

    if (front == NULL)
        return;
    flush_cork(&daemon->cork);
    daemon->cork.front = NULL;
}

/* One record and perhaps END_REQUEST as pieces, with framing for the bytes we make. */
static unsigned frame(const struct front_message *message, const uint8_t *content, size_t length,
                      bool ends, struct iovec pieces[3], uint8_t framing[][FCGI_END_BYTES]) {
    unsigned count = 0;

    if (length > 0) {
        fcgi_encode_header(framing[0], message->type, message->request_id, (uint16_t)length);
        pieces[count++] = (struct iovec){framing[0], FCGI_HEADER_LEN};
        pieces[count++] = (struct iovec){(void *)content, length};
    }
    if (ends) {
        fcgi_encode_end(framing[count], message->request_id, 0, message->protocol_status);
        pieces[count] = (struct iovec){framing[count], FCGI_END_BYTES};
        count++;
    }
    return count;
}

void front_send(struct front *front, const struct front_message *message) {
    struct daemon *daemon = front->daemon;
    struct cork *cork = &daemon->cork;
    bool is_gathered =
        cork->front == front &&
        (message->length == 0 || (message->content >= daemon->read_buffer &&
                                  message->content < daemon->read_buffer + READ_BYTES));
    size_t done = 0;

    if (cork->front == front && (!is_gathered || cork->count + 6 > CORK_PIECES))
        flush_cork(cork);
    do {
        struct iovec own_pieces[3];
        uint8_t own_framing[3][FCGI_END_BYTES];
        size_t length = message->length - done;
        if (length > FCGI_CONTENT_MAX)
            length = FCGI_CONTENT_MAX;
        bool ends = message->ends && done + length == message->length;
        const uint8_t *content = message->content != NULL ? message->content + done : NULL;
        if (is_gathered) {
            cork->count += frame(message, content, length, ends, &cork->pieces[cork->count],
                                 &cork->framing[cork->count]);
        } else {
            unsigned count = frame(message, content, length, ends, own_pieces, own_framing);
            write_pieces(front, own_pieces, count);
        }
        done += length;
    } while (done < message->length);
}

/* In turns: each request with something to say sends one piece, then the next one. */
void front_write_more(struct front *front) {
    bool has_written = true;

    while (has_written && front_can_send(front)) {
        unsigned turns = front->request_count;
        has_written = false;
        while (turns-- > 0 && front->requests != NULL && front_can_send(front)) {
            struct request *request = front->requests;
            unlist(front, request);
            list_last(front, request); /* before it writes: it may be gone afterwards */
            has_written |= request_write_more(request);
        }
    }
}

static void on_writable(struct front *front) {
    ssize_t sent = send(front->watch.fd, front->unsent.data, front->unsent.length,
                        MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        front_break(front, NULL);
        return;
    }
    if (sent > 0)
        bytes_consume(&front->unsent, (size_t)sent);
    if (front->unsent.length > 0)
        return;
    bytes_deinit(&front->unsent); /* an idle front shall be small */
    set_events(front, front->watch.events & ~(uint32_t)EPOLLOUT);
    finish_sending(front);
    front_write_more(front);
}

/* ---- Requests ---- */

void front_adopt(struct front *front, struct request *request) {
    list_last(front, request);
}

void front_forget(struct front *front, struct request *request) {
    if (front->current == request)
        front->current = NULL;
    unlist(front, request);
    if (!request->keeps_connection)
        front_close_when_sent(front, !request->has_body);
    else
        try_finish(front);
}

void front_pause(struct front *front) {
    set_events(front, front->watch.events & ~(uint32_t)EPOLLIN);
}

void front_resume(struct front *front) {
    set_events(front, front->watch.events | EPOLLIN);
}

/* ---- Readiness ---- */

static void on_readable(struct front *front) {
    uint8_t *input = front->daemon->read_buffer;
    ssize_t length = read(front->watch.fd, input, READ_BYTES);

    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length <= 0) {
        bool is_cut = !fcgi_decoder_is_between_records(&front->decoder) && !front->is_lingering;
        front_break(front, is_cut ? "the peer left in the middle of a record" : NULL);
        return;
    }
    if (!front->is_lingering)
        intake_take(front, input, (size_t)length);
}

static void on_events(struct watch *watch, uint32_t events) {
    struct front *front = (struct front *)watch; /* its first member */
    bool is_paused = (watch->events & EPOLLIN) == 0;

    if ((events & EPOLLOUT) != 0 && !front->is_broken)
        on_writable(front);
    if ((events & EPOLLIN) != 0 && !front->is_broken)
        on_readable(front);
    else if ((events & (EPOLLHUP | EPOLLERR)) != 0 && is_paused)
        front_break(front, NULL); /* the peer is gone, and we do not read: it would tell for ever */
}
