/* Is all CPU that PHP-FPM burns charged to somebody? Two looks at the same processes, one through
 * the counters of the daemon and one through the kernel, some time apart: what the workers burned
 * in between against what was charged. What is left over is told, not explained away.
 *
 * The kernel's side is the control group of PHP-FPM where it has one for itself, and else the sum
 * of its processes: those that live, and, in the master's children time, those that ended. In a
 * control group are also processes that a script left running behind (exec("… &")), which nobody
 * waits for: no other figure has them. */
#ifndef FPMUX_TENANTS_AUDIT_H
#define FPMUX_TENANTS_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "tenants/counters.h"
#include "tenants/error.h"

enum { AUDIT_CGROUP_BYTES = 512 };

/* One PHP-FPM: a master and its workers. All figures are absolute, of the moment of the look. */
struct audit_fpm {
    pid_t master;
    uint64_t start_ticks;
    size_t workers;
    uint64_t own_ns;     /* of the master itself: forking, watching; nobody's */
    uint64_t workers_ns; /* of the workers that live, with the children they waited for */
    uint64_t ended_ns;   /* of those that ended */
    bool has_cgroup;     /* of its own; then: */
    uint64_t cgroup_ns;  /* all that ever ran in it */
    char cgroup[AUDIT_CGROUP_BYTES];
};

struct audit_look {
    struct timespec at; /* monotonic */
    char instance[33];  /* of the daemon, and the hour of its counters: */
    time_t hour;
    uint64_t charged_ns;    /* to tenants */
    uint64_t idle_ns;       /* to COUNTERS_IDLE */
    uint64_t pending_ns;    /* burned since each worker was last read */
    uint64_t commands_ns;   /* charged by others in that hour: exec and cron, in the same group */
    struct audit_fpm *fpms; /* owned */
    size_t fpm_count;
};

/* What happened between two looks. */
struct audit_result {
    double seconds;
    uint64_t charged_ns;
    uint64_t idle_ns;
    uint64_t commands_ns; /* 0 without has_cgroup */
    int64_t pending_ns; /* charged later than it was burned: more or less than at the first look */
    uint64_t kernel_ns;
    int64_t remainder_ns;
    bool has_cgroup; /* kernel_ns is that of control groups, without the masters */
};

/* counters_dir is the daemon's. commands_ns is left for the caller to set, from the ledger. 0, or
 * -1: no daemon runs, or it has not met a worker yet. */
int audit_take(const char *counters_dir, struct audit_look *look, struct error *error);
void audit_deinit(struct audit_look *look);

/* False when the looks can't be compared, because the hour, the daemon or a master is another one:
 * take both again. */
bool audit_compare(const struct audit_look *before, const struct audit_look *after,
                   struct audit_result *result);

#endif
