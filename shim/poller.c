#include "shim/poller.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

int poller_init(struct poller *poller) {
    *poller = (struct poller){.epoll = epoll_create1(EPOLL_CLOEXEC)};
    return poller->epoll >= 0 ? 0 : -errno;
}

void poller_deinit(struct poller *poller) {
    if (poller->epoll >= 0)
        close(poller->epoll);
}

static int control(struct poller *poller, int operation, struct watch *watch) {
    struct epoll_event event = {.events = watch->events, .data.ptr = watch};

    return epoll_ctl(poller->epoll, operation, watch->fd, &event) == 0 ? 0 : -errno;
}

int poller_add(struct poller *poller, struct watch *watch) {
    return control(poller, EPOLL_CTL_ADD, watch);
}

void poller_change(struct poller *poller, struct watch *watch, uint32_t events) {
    if (watch->events == events)
        return;
    watch->events = events;
    control(poller, EPOLL_CTL_MOD, watch);
}

void poller_remove(struct poller *poller, struct watch *watch) {
    epoll_ctl(poller->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    for (int i = poller->batch_next; i < poller->batch_count; i++)
        if (poller->batch[i].data.ptr == watch)
            poller->batch[i].data.ptr = NULL;
}

void poller_wait(struct poller *poller, int timeout_ms) {
    poller->batch_count = epoll_wait(poller->epoll, poller->batch, POLLER_BATCH, timeout_ms);
    for (poller->batch_next = 0; poller->batch_next < poller->batch_count;) {
        const struct epoll_event *event = &poller->batch[poller->batch_next++];
        struct watch *watch = event->data.ptr;
        if (watch != NULL)
            watch->on_events(watch, event->events);
    }
    poller->batch_count = 0;
}
