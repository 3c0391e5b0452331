/* What the tenants used of their plans this month, for `tenant list` and `tenant show`. */
#ifndef FPMUX_TENANTS_CLI_MONTH_H
#define FPMUX_TENANTS_CLI_MONTH_H

#include <stddef.h>
#include <time.h>

#include "tenants/cli/cli.h"
#include "tenants/ledger.h"
#include "tenants/period.h"

struct month {
    struct period period;
    time_t now;
    struct month_sum *sums; /* owned; by id, of tenants whose plan has a limit */
    size_t count;
};

/* Takes in what was counted and asks the ledger, if any tenant (or the one named id) has a limit;
 * otherwise the ledger is not touched. What can't be known is told on standard error and is not in
 * it. To be released with month_deinit(). */
void month_load(struct month *month, struct cli *cli, const struct registry *registry,
                const char *id);
void month_deinit(struct month *month);

/* NULL: the tenant's plan has no limit, or what it used is not known. */
const struct month_use *month_find(const struct month *month, const char *id);

#endif
