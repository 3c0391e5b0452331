#include "shim/edge.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct edge *edge = poll->data;

    (void)status;
    (void)events;
    edge->batch_count = epoll_wait(edge->epoll, edge->batch, EDGE_BATCH, 0);
    for (edge->batch_next = 0; edge->batch_next < edge->batch_count;) {
        const struct epoll_event *event = &edge->batch[edge->batch_next++];
        struct edge_watch *watch = event->data.ptr;
        if (watch != NULL)
            watch->on_events(watch, event->events);
    }
    edge->batch_count = 0;
}

int edge_init(struct edge *edge, uv_loop_t *loop) {
    *edge = (struct edge){.epoll = epoll_create1(EPOLL_CLOEXEC)};
    if (edge->epoll < 0)
        return -errno;
    int result = uv_poll_init(loop, &edge->poll, edge->epoll);
    if (result != 0) {
        close(edge->epoll);
        return result;
    }
    edge->poll.data = edge;
    return uv_poll_start(&edge->poll, UV_READABLE, on_poll);
}

static void on_closed(uv_handle_t *handle) {
    struct edge *edge = handle->data;
    close(edge->epoll);
}

void edge_close(struct edge *edge) {
    uv_close((uv_handle_t *)&edge->poll, on_closed);
}

int edge_add(struct edge *edge, struct edge_watch *watch) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = watch};

    return epoll_ctl(edge->epoll, EPOLL_CTL_ADD, watch->fd, &event) == 0 ? 0 : -errno;
}

void edge_remove(struct edge *edge, struct edge_watch *watch) {
    epoll_ctl(edge->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    for (int i = edge->batch_next; i < edge->batch_count; i++)
        if (edge->batch[i].data.ptr == watch)
            edge->batch[i].data.ptr = NULL;
}
