/* When it is whose turn to run its cron command. Pure: no clock, no thread.
 *
 * Turns lie on a grid of the tenant's own: every_seconds apart, shifted by a hash of its id, so
 * that a thousand tenants with the same period spread evenly over it, and keep their places when
 * others come and go or the controller starts anew. */
#ifndef FPMUX_TENANTS_CONTAINERS_CRON_SCHEDULE_H
#define FPMUX_TENANTS_CONTAINERS_CRON_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Which turn was last; all zero: a tenant that was never seen. Belongs to the caller. */
struct cron_clock {
    unsigned every_seconds;
    int64_t turn;
};

/* Whether a turn began since the last call; asking takes it. However many were missed in a pause,
 * it is one. False for a tenant that is new, whose period changed, or after the clock was set back:
 * the next one on the grid is the first. */
bool cron_clock_take_turn(struct cron_clock *clock, const char *id, unsigned every_seconds,
                          time_t now);

/* When the next turn begins; > now. */
time_t cron_clock_next(const char *id, unsigned every_seconds, time_t now);

#endif
