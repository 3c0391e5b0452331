/* The bare relay: as cheap as a user-space hop between a web server and PHP-FPM can be, and so the
 * yardstick for fpmux in the bench. One epoll loop; each request of a front is lent one persistent
 * backend connection, bytes are copied, six parameters are added, and that is all:
 *
 *   front --whole request, + six parameters--> backend --bytes as they come--> front
 *
 * It knows no tenants, meters nothing, checks nothing, and blocks in write() when a front does not
 * read. For the bench only: requests up to REQUEST_MAX bytes, one at a time on each front. */
#include <errno.h>
#include <fastcgi.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { REQUEST_MAX = 65536, EVENTS_MAX = 64, BACKLOG = 511, FDS_MAX = 1024 };
enum { FLAGS_OFFSET = FCGI_HEADER_LEN + 2 }; /* of a request's BEGIN_REQUEST record */

enum peer_kind { PEER_LISTENER, PEER_FRONT, PEER_BACKEND };

struct peer { /* what epoll hands back; first member of each kind */
    enum peer_kind kind;
    int fd; /* -1: closed */
};

struct backend {
    struct peer peer;
    bool is_lent;
    struct front *front;       /* borrowed while lent; NULL: it went away before the answer ended */
    SLIST_ENTRY(backend) link; /* among the idle ones */
    uint8_t header[FCGI_HEADER_LEN]; /* of the record that is passing */
    size_t header_have;
    size_t record_left; /* bytes of content and padding still to come */
};

struct front {
    struct peer peer;
    struct backend *backend; /* borrowed while a request runs, else NULL */
    TAILQ_ENTRY(front) link; /* in the queue of those that wait for a backend */
    bool is_waiting;
    bool is_kept;      /* FCGI_KEEP_CONN: it stays open after the answer */
    size_t have;       /* bytes of request */
    size_t scanned;    /* bytes of whole records among them */
    size_t params_end; /* where the empty PARAMS record begins; 0: not seen yet */
    uint8_t request[REQUEST_MAX];
};

struct relay {
    int epoll;
    const char *backend_address;
    SLIST_HEAD(, backend) idle;
    TAILQ_HEAD(, front) waiting;
    struct front *fronts; /* by descriptor: FDS_MAX of them, their pages untouched until used */
    uint8_t added[512];   /* the PARAMS record with six parameters; its id is never compared */
    size_t added_length;
};

static void die(const char *what) {
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* A socket for "unix:PATH" or "tcp:HOST:PORT", listening or connected. */
static int open_socket(const char *address, bool is_listener) {
    struct sockaddr_storage storage = {0};
    socklen_t length = sizeof(struct sockaddr_un);
    if (strncmp(address, "unix:", 5) == 0) {
        struct sockaddr_un *local = (struct sockaddr_un *)&storage;
        local->sun_family = AF_UNIX;
        snprintf(local->sun_path, sizeof(local->sun_path), "%s", address + 5);
    } else {
        char host[64] = "", port[16] = "";
        struct addrinfo *found = NULL;
        const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
        if (sscanf(address, "tcp:%63[^:]:%15s", host, port) != 2 ||
            getaddrinfo(host, port, &hints, &found) != 0)
            die(address);
        length = found->ai_addrlen;
        memcpy(&storage, found->ai_addr, length);
        freeaddrinfo(found);
    }
    int one = 1;
    int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (!is_listener && connect(fd, (struct sockaddr *)&storage, length) < 0)
        die(address);
    if (is_listener &&
        (bind(fd, (struct sockaddr *)&storage, length) < 0 || listen(fd, BACKLOG) < 0))
        die(address);
    return fd;
}

static void watch(struct relay *relay, struct peer *peer) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    if (epoll_ctl(relay->epoll, EPOLL_CTL_ADD, peer->fd, &event) < 0)
        die("epoll_ctl");
}

static void encode_added_params(struct relay *relay) {
    static const char *const params[][2] = {{"DBHOST", "localhost:/run/mysqld/mysqld.sock"},
                                            {"DBNAME", "bench"},
                                            {"DBUSER", "bench"},
                                            {"DBPASS", "bench"},
                                            {"WWWROOT", "http://bench.example"},
                                            {"DATAROOT", "/srv/bench"}};
    uint8_t *end = relay->added + FCGI_HEADER_LEN;
    for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
        size_t name = strlen(params[i][0]), value = strlen(params[i][1]);
        *end++ = (uint8_t)name;
        *end++ = (uint8_t)value;
        end = mempcpy(end, params[i][0], name);
        end = mempcpy(end, params[i][1], value);
    }
    relay->added_length = (size_t)(end - relay->added);
    size_t content = relay->added_length - FCGI_HEADER_LEN;
    const uint8_t header[FCGI_HEADER_LEN] = {FCGI_VERSION_1,          FCGI_PARAMS,      0, 1,
                                             (uint8_t)(content >> 8), (uint8_t)content, 0, 0};
    memcpy(relay->added, header, sizeof(header));
}

static void front_close(struct relay *relay, struct front *front) {
    if (front->is_waiting)
        TAILQ_REMOVE(&relay->waiting, front, link);
    if (front->backend)
        front->backend->front = NULL;
    close(front->peer.fd);
    front->peer.fd = -1;
}

/* ---- lending ---- */

/* Sends the front's request, whole, with the six parameters before its empty PARAMS record. */
static bool send_request(struct relay *relay, struct front *front, struct backend *backend) {
    front->request[FLAGS_OFFSET] |= FCGI_KEEP_CONN;
    struct iovec parts[] = {
        {front->request, front->params_end},
        {relay->added, relay->added_length},
        {front->request + front->params_end, front->scanned - front->params_end}};
    size_t length = front->scanned + relay->added_length;
    return writev(backend->peer.fd, parts, 3) == (ssize_t)length;
}

static void lend(struct relay *relay, struct front *front) {
    struct backend *backend = SLIST_FIRST(&relay->idle);
    SLIST_REMOVE_HEAD(&relay->idle, link);
    if (backend->peer.fd < 0) { /* PHP-FPM closed it */
        backend->peer.fd = open_socket(relay->backend_address, false);
        watch(relay, &backend->peer);
    }
    backend->is_lent = true;
    backend->front = front;
    backend->header_have = backend->record_left = 0;
    front->backend = backend;
    if (!send_request(relay, front, backend))
        die("request to the backend");
}

static void backend_becomes_idle(struct relay *relay, struct backend *backend) {
    backend->is_lent = false;
    SLIST_INSERT_HEAD(&relay->idle, backend, link);
    struct front *front = TAILQ_FIRST(&relay->waiting);
    if (!front)
        return;
    TAILQ_REMOVE(&relay->waiting, front, link);
    front->is_waiting = false;
    lend(relay, front);
}

/* ---- the way there ---- */

/* Walks over the records that are whole; true when the request is (its empty STDIN has come). */
static bool request_is_whole(struct front *front) {
    while (front->have - front->scanned >= FCGI_HEADER_LEN) {
        const uint8_t *header = front->request + front->scanned;
        size_t content = (size_t)header[4] << 8 | header[5];
        size_t record = FCGI_HEADER_LEN + content + header[6];
        if (front->have - front->scanned < record)
            return false;
        if (header[1] == FCGI_BEGIN_REQUEST && front->scanned == 0)
            front->is_kept = header[FLAGS_OFFSET] & FCGI_KEEP_CONN;
        if (header[1] == FCGI_PARAMS && content == 0)
            front->params_end = front->scanned;
        front->scanned += record;
        if (header[1] == FCGI_STDIN && content == 0)
            return true;
    }
    return false;
}

static void front_is_readable(struct relay *relay, struct front *front) {
    size_t space = REQUEST_MAX - front->have;
    ssize_t got = recv(front->peer.fd, front->request + front->have, space, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) { /* gone, or a request above the limit */
        front_close(relay, front);
        return;
    }
    front->have += (size_t)got;
    if (!request_is_whole(front))
        return;
    front->is_waiting = SLIST_EMPTY(&relay->idle);
    if (front->is_waiting)
        TAILQ_INSERT_TAIL(&relay->waiting, front, link);
    else
        lend(relay, front);
}

/* ---- the way back ---- */

/* Follows the records in bytes that pass; true when END_REQUEST was the last of them. */
static bool response_has_ended(struct backend *backend, const uint8_t *bytes, size_t length) {
    bool has_ended = false;
    while (length > 0) {
        if (backend->record_left == 0) {
            backend->header[backend->header_have++] = *bytes++;
            length--;
            if (backend->header_have < FCGI_HEADER_LEN)
                continue;
            const uint8_t *header = backend->header;
            backend->record_left = ((size_t)header[4] << 8 | header[5]) + header[6];
            backend->header_have = 0;
        }
        size_t passing = length < backend->record_left ? length : backend->record_left;
        backend->record_left -= passing;
        bytes += passing;
        length -= passing;
        has_ended = backend->record_left == 0 && backend->header[1] == FCGI_END_REQUEST;
    }
    return has_ended;
}

static bool write_all(int fd, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = send(fd, bytes, length, MSG_NOSIGNAL);
        if (written < 0)
            return false;
        bytes += written;
        length -= (size_t)written;
    }
    return true;
}

static void front_is_answered(struct relay *relay, struct front *front) {
    front->backend->front = NULL;
    front->backend = NULL;
    front->have = front->scanned = front->params_end = 0;
    if (!front->is_kept)
        front_close(relay, front);
}

static void backend_close(struct backend *backend) {
    close(backend->peer.fd);
    backend->peer.fd = -1;
}

static void backend_is_readable(struct relay *relay, struct backend *backend) {
    static uint8_t chunk[65536];
    ssize_t got = recv(backend->peer.fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    bool is_gone = got <= 0;
    bool has_ended = is_gone || response_has_ended(backend, chunk, (size_t)got);
    struct front *front = backend->front;
    if (front && (is_gone || !write_all(front->peer.fd, chunk, (size_t)got)))
        front_close(relay, front);
    if (is_gone)
        backend_close(backend);
    if (!has_ended || !backend->is_lent)
        return;
    if (backend->front)
        front_is_answered(relay, backend->front);
    backend_becomes_idle(relay, backend);
}

/* ---- the loop ---- */

static void listener_is_readable(struct relay *relay, const struct peer *listener) {
    int one = 1;
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (fd >= FDS_MAX)
        die("too many fronts");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* no effect on a unix socket */
    struct front *front = &relay->fronts[fd];
    front->peer = (struct peer){PEER_FRONT, fd};
    front->backend = NULL;
    front->is_waiting = false;
    front->have = front->scanned = front->params_end = 0;
    watch(relay, &front->peer);
}

static void dispatch(struct relay *relay, struct peer *peer) {
    if (peer->fd < 0) /* closed by an earlier event of this batch */
        return;
    switch (peer->kind) {
    case PEER_LISTENER:
        listener_is_readable(relay, peer);
        break;
    case PEER_FRONT:
        front_is_readable(relay, (struct front *)peer);
        break;
    case PEER_BACKEND:
        backend_is_readable(relay, (struct backend *)peer);
        break;
    }
}

int main(int argc, char **argv) {
    long workers = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    if (workers < 1 || workers > 1024) {
        fputs("usage: relay unix:FRONT|tcp:HOST:PORT unix:BACKEND|tcp:HOST:PORT WORKERS\n", stderr);
        return 64;
    }
    struct relay relay = {.epoll = epoll_create1(EPOLL_CLOEXEC),
                          .backend_address = argv[2],
                          .fronts = calloc(FDS_MAX, sizeof(struct front))};
    struct backend *backends = calloc((size_t)workers, sizeof(*backends));
    if (!relay.fronts || !backends)
        die("calloc");
    SLIST_INIT(&relay.idle);
    TAILQ_INIT(&relay.waiting);
    for (long i = 0; i < workers; i++) {
        backends[i].peer = (struct peer){PEER_BACKEND, -1};
        SLIST_INSERT_HEAD(&relay.idle, &backends[i], link);
    }
    encode_added_params(&relay);
    struct peer listener = {PEER_LISTENER, open_socket(argv[1], true)};
    watch(&relay, &listener);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(relay.epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++)
            dispatch(&relay, events[i].data.ptr);
    }
}
