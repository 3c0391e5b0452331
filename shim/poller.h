/* Readiness of descriptors: one epoll set for everything on a request's way.
 *
 * libuv has no edge trigger, and backends need it ("the worker has read what we sent" is an
 * EPOLLOUT edge on a socket that was writable all the time). So sockets are watched here, and
 * libuv, which has the timers, the signals and the threads, is itself one of the watched
 * descriptors: its documented way to be embedded (uv_backend_fd). A request then costs one
 * epoll_wait() per wake. */
#ifndef FPMUX_SHIM_POLLER_H
#define FPMUX_SHIM_POLLER_H

#include <stdint.h>
#include <sys/epoll.h>

/* One watched descriptor; embedded in the object that owns it. */
struct watch {
    int fd;
    uint32_t events; /* what is waited for: EPOLL* bits */
    void (*on_events)(struct watch *watch, uint32_t events);
};

enum { POLLER_BATCH = 64 };

struct poller {
    int epoll;
    struct epoll_event batch[POLLER_BATCH]; /* of the epoll_wait() that is being handled */
    int batch_next;
    int batch_count;
};

/* 0, or a negative errno. */
int poller_init(struct poller *poller);
void poller_deinit(struct poller *poller);

/* Starts to watch; fd, events and on_events are set. 0, or a negative errno. */
int poller_add(struct poller *poller, struct watch *watch);

/* Waits for other events from now on; 0: for none but errors. */
void poller_change(struct poller *poller, struct watch *watch, uint32_t events);

/* Stops. Events already fetched for it are dropped, so that the owner may be freed at once. To be
 * called before the descriptor is closed. */
void poller_remove(struct poller *poller, struct watch *watch);

/* Waits for at most timeout_ms (-1: without end) and handles what came. */
void poller_wait(struct poller *poller, int timeout_ms);

#endif
