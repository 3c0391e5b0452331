/* A backend's states, its worker, its beginning and end. What is said over it is in exchange.c. */
#include "shim/backend.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/daemon.h"
#include "shim/exchange.h"
#include "shim/meter.h"
#include "shim/request.h"
#include "tenants/log.h"

enum {
    /* SIOCOUTQ below this: all was read. A lone terminator counts 768; the kernel itself may hold a
     * reference of 1 while it wakes us. */
    UNREAD_NOTHING = 200,
    CHILDREN_WORTH_READING_NS = 1000000
};

/* ---- States and lists ---- */

static void unlist(struct backend *backend) {
    struct pool *pool = backend->pool;

    if (backend->previous != NULL)
        backend->previous->next = backend->next;
    else
        pool->backends[backend->state] = backend->next;
    if (backend->next != NULL)
        backend->next->previous = backend->previous;
    pool->counts[backend->state]--;
}

static void list(struct backend *backend, enum backend_state state) {
    struct pool *pool = backend->pool;

    backend->state = state;
    backend->since_ns = uv_hrtime();
    backend->previous = NULL;
    backend->next = pool->backends[state];
    if (backend->next != NULL)
        backend->next->previous = backend;
    pool->backends[state] = backend;
    pool->counts[state]++;
}

/* The only place where a state changes. */
void backend_set_state(struct backend *backend, enum backend_state state) {
    unlist(backend);
    list(backend, state);
    backend->pool->has_work = true;
}

static struct meter *meter_of(const struct backend *backend) {
    return backend->pool->daemon->meter;
}

/* ---- The worker ---- */

/* The worker is free (or gone): what it burned is charged, the tenant's place is given back. */
void backend_settle(struct backend *backend) {
    struct site *site = backend->site;

    if (site == NULL)
        return;
    uint64_t wall_ns = uv_hrtime() - backend->started_ns;
    if (backend->worker != NULL)
        meter_read(meter_of(backend), backend->worker, wall_ns >= CHILDREN_WORTH_READING_NS);
    meter_add(meter_of(backend), site->account, COUNTER_WALL_NS, wall_ns);
    schedule_finish(&backend->pool->schedule, &site->lane);
    backend->site = NULL;
    backend->pool->has_work = true;
    site_release(site);
}

static bool is_worker_free(const struct backend *backend) {
    int unread = 0;

    /* TCP counts what the peer's kernel has not acknowledged, which tells nothing of the worker. */
    return !backend->pool->address.is_unix || ioctl(backend->watch.fd, SIOCOUTQ, &unread) != 0 ||
           unread < UNREAD_NOTHING;
}

bool backend_has_delivered(const struct backend *backend) {
    return backend->has_sent_all && backend->unsent.length == 0;
}

/* Whether an abandoned worker's unread terminator tells that it is busy; else it is free only when
 * it closes its end. */
static bool tells_when_free(const struct backend *backend) {
    return backend->pool->address.is_unix && backend_has_delivered(backend);
}

void backend_check(struct backend *backend) {
    if (backend->state == BACKEND_ABANDONED && !tells_when_free(backend)) {
        exchange_drain(backend);
        return;
    }
    if (!is_worker_free(backend))
        return;
    if (backend->state == BACKEND_ABANDONED) {
        backend_close(backend);
        return;
    }
    backend_settle(backend);
    if (backend->keeps_connection)
        backend_set_state(backend, BACKEND_IDLE);
    else
        backend_close(backend);
}

void backend_learn_worker(struct backend *backend, pid_t pid) {
    struct pool *pool = backend->pool;

    backend->worker = meter_worker(meter_of(backend), pid);
    if (backend->worker != NULL && backend->site != NULL)
        meter_assign(meter_of(backend), backend->worker, backend->site->account);
    if (backend->worker == NULL)
        pool_say_unmetered(pool, "its processes are in another pid namespace");
}

/* ---- Opening and closing ---- */

void backend_ask(struct backend *backend) {
    uint8_t question[64];
    struct pool *pool = backend->pool;

    /* After connect(): set before, the kernel would bind our end to a name. */
    int on = 1;
    if (pool->address.is_unix)
        setsockopt(backend->watch.fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    if (pool->closes_after_values) {
        backend_set_state(backend, BACKEND_IDLE);
        return;
    }
    size_t length = fcgi_encode_pair(question + FCGI_HEADER_LEN, FCGI_MPXS_CONNS,
                                     sizeof FCGI_MPXS_CONNS - 1, "", 0);
    fcgi_encode_header(question, FCGI_GET_VALUES, 0, (uint16_t)length);
    length += FCGI_HEADER_LEN;
    backend_set_state(backend, BACKEND_ASKING);
    if (send(backend->watch.fd, question, length, MSG_NOSIGNAL) != (ssize_t)length)
        log_debug("pool %s: asking: %s", pool->config->name, strerror(errno)); /* EOF follows */
}

int backend_open(struct pool *pool) {
    int fd = socket(pool->address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    int result = connect(fd, (struct sockaddr *)&pool->address.storage, pool->address.length);
    struct backend *backend = NULL;
    if (result == 0 || errno == EINPROGRESS)
        backend = calloc(1, sizeof *backend);
    if (backend == NULL) {
        result = -errno;
        close(fd);
        return result;
    }
    backend->pool = pool;
    backend->watch = (struct watch){.fd = fd,
                                    .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .on_events = exchange_on_events};
    fcgi_decoder_init(&backend->decoder);
    bytes_init(&backend->unsent, SIZE_MAX / 2); /* bounded by one writev() */
    list(backend, BACKEND_CONNECTING);
    int failure = poller_add(&pool->daemon->poller, &backend->watch);
    if (failure != 0) {
        backend_close(backend);
        return failure;
    }
    if (result == 0)
        backend_ask(backend);
    return 0;
}

void backend_close(struct backend *backend) {
    backend_settle(backend);
    poller_remove(&backend->pool->daemon->poller, &backend->watch);
    unlist(backend);
    backend->pool->has_work = true;
    close(backend->watch.fd);
    meter_release(backend->worker);
    bytes_deinit(&backend->unsent);
    free(backend->php);
    free(backend);
}

bool backend_is_stale(const struct backend *backend) {
    uint8_t byte;
    ssize_t length = recv(backend->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return length >= 0 || (errno != EAGAIN && errno != EINTR);
}

void backend_abandon(struct backend *backend) {
    if (backend->request == NULL)
        return; /* it has failed by itself */
    backend->request = NULL;
    backend->is_paused = false;
    /* PHP notices at its next write. Where it would be told, but then nothing would tell us when
     * its worker is free (over TCP, or amid a body), the script is left to run. */
    shutdown(backend->watch.fd, tells_when_free(backend) ? SHUT_RDWR : SHUT_WR);
    backend_set_state(backend, BACKEND_ABANDONED);
}
