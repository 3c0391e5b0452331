/* What a tenant's plan allows in a month, and how much of it is used. Pure: the same judgement for
 * the daemon, which acts on it, and for the tool, which shows it. Months are those of UTC. */
#ifndef FPMUX_TENANTS_ALLOWANCE_H
#define FPMUX_TENANTS_ALLOWANCE_H

#include <stdbool.h>
#include <time.h>

#include "tenants/ledger.h"
#include "tenants/period.h"
#include "tenants/tenant.h"

enum allowance {
    ALLOWANCE_FREE,
    ALLOWANCE_NEAR, /* four fifths of a limit are used */
    ALLOWANCE_OVER  /* all of a limit is used: one more request would be above it */
};

/* What one tenant used in a month that is not over. */
struct month_so_far {
    struct period month;
    time_t now;
    struct month_use use;
};

/* Whether the plan limits a month at all; what has no limit is always free. */
bool allowance_is_limited(const struct tenant_plan *plan);

/* "free", "near", "over". */
const char *allowance_name(enum allowance allowance);

enum allowance allowance_judge(const struct tenant_plan *plan, struct month_use use);

/* How much of the limit that is nearest is used, in percent. */
double allowance_used_percent(const struct tenant_plan *plan, struct month_use use);

/* What will be used by the end of the month if it goes on as it did from its beginning until now:
 * used divided by the time that passed, times the length of the month. Negative: the month is less
 * than an hour old, which tells nothing. */
double allowance_forecast(double used, struct period month, time_t now);

#endif
