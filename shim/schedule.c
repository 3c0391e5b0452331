#include "shim/schedule.h"

#include <stdlib.h>

enum { FIRST_HEAP_ROOM = 16 };
static const size_t NOT_IN_HEAP = SIZE_MAX;

void schedule_init(struct schedule *schedule) {
    *schedule = (struct schedule){0};
}

void schedule_deinit(struct schedule *schedule) {
    free(schedule->heap);
    *schedule = (struct schedule){0};
}

/* ---- The heap of lanes that may run, smallest tag first ---- */

static void heap_put(struct schedule *schedule, size_t index, struct lane *lane) {
    schedule->heap[index] = lane;
    lane->heap_index = index;
}

static void heap_rise(struct schedule *schedule, size_t index, struct lane *lane) {
    while (index > 0) {
        struct lane *parent = schedule->heap[(index - 1) / 2];
        if (parent->tag <= lane->tag)
            break;
        heap_put(schedule, index, parent);
        index = (index - 1) / 2;
    }
    heap_put(schedule, index, lane);
}

static void heap_sink(struct schedule *schedule, size_t index, struct lane *lane) {
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= schedule->heap_count)
            break;
        if (child + 1 < schedule->heap_count &&
            schedule->heap[child + 1]->tag < schedule->heap[child]->tag)
            child++;
        if (schedule->heap[child]->tag >= lane->tag)
            break;
        heap_put(schedule, index, schedule->heap[child]);
        index = child;
    }
    heap_put(schedule, index, lane);
}

static void heap_remove(struct schedule *schedule, struct lane *lane) {
    size_t index = lane->heap_index;
    struct lane *moved = schedule->heap[--schedule->heap_count];

    lane->heap_index = NOT_IN_HEAP;
    if (moved == lane)
        return;
    heap_sink(schedule, index, moved);
    heap_rise(schedule, moved->heap_index, moved);
}

static bool heap_reserve(struct schedule *schedule, size_t lanes) {
    if (lanes <= schedule->heap_room)
        return true;
    size_t room = schedule->heap_room > 0 ? schedule->heap_room * 2 : FIRST_HEAP_ROOM;
    struct lane **heap = realloc(schedule->heap, room * sizeof(struct lane *));
    if (heap == NULL)
        return false;
    schedule->heap = heap;
    schedule->heap_room = room;
    return true;
}

/* ---- Lanes ---- */

bool schedule_lane_init(struct schedule *schedule, struct lane *lane) {
    *lane = (struct lane){.running_cap = 1, .heap_index = NOT_IN_HEAP};
    if (!heap_reserve(schedule, schedule->lanes + 1))
        return false;
    schedule->lanes++;
    return true;
}

void schedule_lane_deinit(struct schedule *schedule, struct lane *lane) {
    if (lane->heap_index != NOT_IN_HEAP)
        heap_remove(schedule, lane);
    schedule->lanes--;
}

/* Brings the lane's place in the heap in line with what it is now: the one place that decides
 * whether a lane may run. */
static void place(struct schedule *schedule, struct lane *lane) {
    bool may_run = lane->first != NULL && lane->running < lane->running_cap;

    if (lane->heap_index != NOT_IN_HEAP)
        heap_remove(schedule, lane);
    if (!may_run)
        return;
    lane->tag = lane->first->order;
    heap_rise(schedule, schedule->heap_count++, lane);
}

void schedule_lane_set_caps(struct schedule *schedule, struct lane *lane, unsigned waiting_cap,
                            unsigned running_cap) {
    lane->waiting_cap = waiting_cap;
    lane->running_cap = running_cap > 0 ? running_cap : 1;
    place(schedule, lane);
}

static void list_lane(struct schedule *schedule, struct lane *lane) {
    lane->previous_waiting = NULL;
    lane->next_waiting = schedule->waiting;
    if (schedule->waiting != NULL)
        schedule->waiting->previous_waiting = lane;
    schedule->waiting = lane;
}

static void unlist_lane(struct schedule *schedule, struct lane *lane) {
    if (lane->previous_waiting != NULL)
        lane->previous_waiting->next_waiting = lane->next_waiting;
    else
        schedule->waiting = lane->next_waiting;
    if (lane->next_waiting != NULL)
        lane->next_waiting->previous_waiting = lane->previous_waiting;
}

/* ---- Tickets ---- */

bool schedule_push(struct schedule *schedule, struct lane *lane, struct ticket *ticket,
                   uint64_t now_ns, uint64_t wait_ns) {
    /* A request that could run at once if a worker is free is not yet one that waits. */
    unsigned startable = lane->running < lane->running_cap ? lane->running_cap - lane->running : 0;

    if (lane->waiting >= startable && lane->waiting - startable >= lane->waiting_cap)
        return false;
    *ticket = (struct ticket){.lane = lane,
                              .previous = lane->last,
                              .order = schedule->next_order++,
                              .queued_ns = now_ns,
                              .deadline_ns = now_ns + wait_ns};
    if (lane->last != NULL)
        lane->last->next = ticket;
    else
        lane->first = ticket;
    lane->last = ticket;
    lane->waiting++;
    schedule->tickets++;
    if (lane->first == ticket) {
        list_lane(schedule, lane);
        place(schedule, lane);
    }
    return true;
}

struct ticket *schedule_peek(const struct schedule *schedule) {
    return schedule->heap_count > 0 ? schedule->heap[0]->first : NULL;
}

static void unlink_ticket(struct schedule *schedule, struct ticket *ticket) {
    struct lane *lane = ticket->lane;

    if (ticket->previous != NULL)
        ticket->previous->next = ticket->next;
    else
        lane->first = ticket->next;
    if (ticket->next != NULL)
        ticket->next->previous = ticket->previous;
    else
        lane->last = ticket->previous;
    ticket->lane = NULL;
    lane->waiting--;
    schedule->tickets--;
    if (lane->first == NULL)
        unlist_lane(schedule, lane);
}

void schedule_start(struct schedule *schedule, struct ticket *ticket) {
    struct lane *lane = ticket->lane;

    unlink_ticket(schedule, ticket);
    lane->running++;
    place(schedule, lane);
}

void schedule_put_back(struct schedule *schedule, struct lane *lane, struct ticket *ticket,
                       uint64_t now_ns, uint64_t wait_ns) {
    ticket->queued_ns = now_ns;
    ticket->deadline_ns = now_ns + wait_ns;
    ticket->lane = lane;
    ticket->previous = NULL;
    ticket->next = lane->first;
    if (lane->first != NULL)
        lane->first->previous = ticket;
    else
        lane->last = ticket;
    lane->first = ticket;
    lane->waiting++;
    schedule->tickets++;
    if (ticket->next == NULL)
        list_lane(schedule, lane);
    place(schedule, lane);
}

void schedule_finish(struct schedule *schedule, struct lane *lane) {
    lane->running--;
    place(schedule, lane);
}

void schedule_cancel(struct schedule *schedule, struct ticket *ticket) {
    struct lane *lane = ticket->lane;

    unlink_ticket(schedule, ticket);
    place(schedule, lane);
}

/* Within a lane the first ticket has waited longest; a limit that was lowered meanwhile counts for
 * new tickets only. */
struct ticket *schedule_overdue(const struct schedule *schedule, uint64_t now_ns) {
    for (struct lane *lane = schedule->waiting; lane != NULL; lane = lane->next_waiting)
        if (lane->first->deadline_ns <= now_ns)
            return lane->first;
    return NULL;
}
