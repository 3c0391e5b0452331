/* Edge-triggered readiness, which libuv does not offer: an epoll set of our own, itself watched by
 * the loop. Backends need it: "the worker has read what we sent" is an EPOLLOUT edge on a socket
 * that was writable all the time. */
#ifndef FPMUX_SHIM_EDGE_H
#define FPMUX_SHIM_EDGE_H

#include <stdint.h>
#include <sys/epoll.h>
#include <uv.h>

/* One watched descriptor; embedded in the object that owns it. */
struct edge_watch {
    int fd;
    void (*on_events)(struct edge_watch *watch, uint32_t events); /* EPOLL* bits */
};

enum { EDGE_BATCH = 64 };

struct edge {
    uv_poll_t poll;
    int epoll;
    struct epoll_event batch[EDGE_BATCH]; /* of the epoll_wait() that is being handled */
    int batch_next;
    int batch_count;
};

/* 0, or a negative errno. */
int edge_init(struct edge *edge, uv_loop_t *loop);
/* The poll handle is closed asynchronously: edge must live until the loop has run once more. */
void edge_close(struct edge *edge);

/* Starts watching watch->fd for everything. 0, or a negative errno. */
int edge_add(struct edge *edge, struct edge_watch *watch);

/* Stops; events already fetched for it are dropped, so that the owner may be freed at once. Call it
 * before the descriptor is closed. */
void edge_remove(struct edge *edge, struct edge_watch *watch);

#endif
