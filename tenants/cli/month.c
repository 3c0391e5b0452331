#include "tenants/cli/month.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "tenants/allowance.h"
#include "tenants/cli/query.h"
#include "tenants/registry.h"

struct selection {
    struct month *month;
    const char *id; /* NULL: all */
};

static void select_tenant(void *context, struct tenant *tenant) {
    const struct selection *selection = context;
    struct month *month = selection->month;

    if (!allowance_is_limited(&tenant->plan) ||
        (selection->id != NULL && strcmp(selection->id, tenant->id) != 0))
        return;
    memcpy(month->sums[month->count++].tenant, tenant->id, sizeof tenant->id);
}

static bool ask_ledger(struct month *month, struct cli *cli) {
    struct error error;
    bool is_complete;
    struct ledger *ledger = query_open_ledger(cli, &is_complete);

    if (ledger == NULL)
        return false; /* which was told */
    int result = ledger_sum_use(ledger, month->period.from, month->period.to, NULL, month->sums,
                                month->count, &error);
    ledger_close(ledger);
    if (result < 0)
        cli_fail(cli, EX_UNAVAILABLE, "%s", error.text);
    return result == 0;
}

void month_load(struct month *month, struct cli *cli, const struct registry *registry,
                const char *id) {
    *month = (struct month){.now = time(NULL)};
    struct selection selection = {month, id};
    month->period = period_around(LEDGER_BY_MONTH, PERIOD_UTC, month->now);
    month->sums = calloc(registry_count(registry) + 1, sizeof *month->sums);
    if (month->sums == NULL)
        abort();
    registry_each(registry, select_tenant, &selection);
    if (month->count > 0 && !ask_ledger(month, cli))
        month->count = 0;
}

void month_deinit(struct month *month) {
    free(month->sums);
}

static int compare_id(const void *id, const void *sum) {
    return strcmp(id, ((const struct month_sum *)sum)->tenant);
}

const struct month_use *month_find(const struct month *month, const char *id) {
    const struct month_sum *sum =
        month->count > 0 ? bsearch(id, month->sums, month->count, sizeof *month->sums, compare_id)
                         : NULL;

    return sum != NULL ? &sum->use : NULL;
}
