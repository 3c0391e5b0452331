/* What did a request cost? The CPU clocks of PHP-FPM's workers, read from outside, and the counters
 * they are charged to.
 *
 * The meter belongs to the WORKER, not to the connection: what a worker burned since it was last
 * read is owed by the account that ran on it last. That covers what happens after END_REQUEST
 * (fastcgi_finish_request(), shutdown functions, tear-down) and after a connection was closed. The
 * table of workers lies in the counters' file, so that a successor charges what was in flight when
 * its predecessor was killed.
 *
 * Sources of the figures (Linux):
 *   - clock_gettime() on the clock of another process needs no privilege, takes a fifth of a
 *     microsecond and is exact while that process sleeps; while it runs, it moves with the
 *     scheduler's ticks.
 *   - children that a script ran and waited for are not in it, but in cutime and cstime of
 *     /proc/PID/stat, in steps of 10 ms.
 *   - what a worker burned between its last reading and its end is in its parent's (masters.h).
 *   - (pid, start time) is a process; a pid alone is not. A pidfd tells whether it still lives.
 *
 * All calls from the loop's thread. Times are nanoseconds of the monotonic clock. */
#ifndef FPMUX_SHIM_METER_H
#define FPMUX_SHIM_METER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tenants/counters.h"
#include "tenants/ledger.h"

struct meter;
struct account; /* somebody who is charged; lives as long as the meter */
struct worker;  /* a process of PHP-FPM that answered us */

/* Takes over the workers that dead predecessors left in the counters' directory. counters is
 * borrowed, now is wall-clock time. NULL: out of memory. */
struct meter *meter_new(struct counters *counters, time_t now);
void meter_free(struct meter *meter);

/* The account of that name, made at first sight. NULL: out of memory. */
struct account *meter_account(struct meter *meter, const char *name);
void meter_add(struct meter *meter, struct account *account, enum counter counter, uint64_t amount);

/* The first second of the month (UTC) that is being counted, and what this meter has charged to the
 * account in it. Like the counters' hour, the month never steps back. */
time_t meter_month(const struct meter *meter);
struct month_use meter_month_use(const struct account *account);

/* The worker with that pid as the kernel told it (SCM_CREDENTIALS), held until meter_release().
 * NULL when it can't be metered: pid ≤ 0 (not visible from here; the clock of pid 0 would be our
 * own), gone already, table full. The worker is read, so that what it burned before is charged to
 * who ran on it last; one never seen before starts as COUNTERS_IDLE. */
struct worker *meter_worker(struct meter *meter, pid_t pid);
void meter_release(struct worker *worker); /* NULL is allowed */

/* From now on account runs on worker. Called while the worker sleeps, this reads what the account
 * before it still owes: a reading at the moment when a worker becomes free may come before it has
 * gone to sleep, and be old by up to a tick. */
void meter_assign(struct meter *meter, struct worker *worker, struct account *account);

/* At the end of a request: reads the worker's clock and charges the difference. with_children also
 * reads what children that were waited for burned (3 to 10 us: only for requests that ran for a
 * millisecond or longer; those of shorter ones are read by the next sweep). A process that is gone
 * can't be read; that is noticed by the next sweep. */
void meter_read(struct meter *meter, struct worker *worker, bool with_children);

/* To be called about every 100 ms: reads every worker, forgets the dead that nobody holds, and
 * charges what they burned after their last reading: to COUNTERS_IDLE, as a worker's start is, or
 * to the account whose request it was if that could not be read at its end. */
void meter_sweep(struct meter *meter);

/* Moves on to a new hour's counters, and to a new month. now is wall-clock time. */
void meter_tick(struct meter *meter, time_t now);

#endif
