/* Who runs next. Requests wait in their tenant's lane; among the lanes that may run, the one with
 * the smallest tag goes next. Today the tag is the order of arrival of the lane's first request, so
 * that the whole is first come, first served; a fair order is another tag.
 *
 *   schedule ──heap of lanes that may run──> lane ──list──> ticket, ticket, …
 *
 * A lane may run while it has tickets and runs fewer requests than its cap. Pure: time comes as an
 * argument (nanoseconds of a monotonic clock), nothing is freed here, tickets are embedded in the
 * requests they stand for. */
#ifndef FPMUX_SHIM_SCHEDULE_H
#define FPMUX_SHIM_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ticket {
    struct lane *lane; /* NULL: not waiting */
    struct ticket *next;
    struct ticket *previous;
    uint64_t order; /* of arrival */
    uint64_t queued_ns;
    uint64_t deadline_ns;
};

struct lane {
    struct ticket *first;
    struct ticket *last;
    unsigned waiting;
    unsigned running;
    unsigned waiting_cap;
    unsigned running_cap;
    uint64_t tag;
    size_t heap_index;         /* place in the schedule's heap; SIZE_MAX: not there */
    struct lane *next_waiting; /* all lanes with tickets, for deadlines */
    struct lane *previous_waiting;
};

struct schedule {
    struct lane **heap; /* owned; lanes borrowed */
    size_t heap_count;
    size_t heap_room;
    struct lane *waiting; /* list of lanes with tickets */
    size_t lanes;         /* all that there are: the heap has room for so many */
    uint64_t next_order;
    size_t tickets;
};

void schedule_init(struct schedule *schedule);
void schedule_deinit(struct schedule *schedule);

/* Makes room for the lane, so that nothing later can fail. false: out of memory. */
bool schedule_lane_init(struct schedule *schedule, struct lane *lane);
/* The lane must be empty. */
void schedule_lane_deinit(struct schedule *schedule, struct lane *lane);

/* At most waiting_cap requests wait beyond those that running_cap (≥ 1) lets run at once. */
void schedule_lane_set_caps(struct schedule *schedule, struct lane *lane, unsigned waiting_cap,
                            unsigned running_cap);

/* false: the lane's queue is full; the ticket is not in it. */
bool schedule_push(struct schedule *schedule, struct lane *lane, struct ticket *ticket,
                   uint64_t now_ns, uint64_t wait_ns);

/* The ticket whose turn it is, or NULL. It stays where it is. */
struct ticket *schedule_peek(const struct schedule *schedule);

/* The ticket leaves the queue and its request runs. */
void schedule_start(struct schedule *schedule, struct ticket *ticket);

/* A request that was started did not run after all: its ticket returns to where it was, and waits
 * anew: it is not to blame for the time it was away. The lane's schedule_finish() has been called
 * for it. */
void schedule_put_back(struct schedule *schedule, struct lane *lane, struct ticket *ticket,
                       uint64_t now_ns, uint64_t wait_ns);

/* A request of that lane no longer runs. */
void schedule_finish(struct schedule *schedule, struct lane *lane);

/* The ticket leaves the queue without having run. */
void schedule_cancel(struct schedule *schedule, struct ticket *ticket);

/* A ticket whose deadline has passed, or NULL. It stays where it is. */
struct ticket *schedule_overdue(const struct schedule *schedule, uint64_t now_ns);

#endif
