#include "tenants/cli/pricing.h"

#include <inttypes.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "tenants/period.h"

/* ---- The query ---- */

static bool is_boundary(const struct ledger_query *query, time_t time) {
    return time == 0 || period_around(query->by, query->zone, time).from == time;
}

static int check_query(const struct cli *cli, const struct ledger_query *query) {
    static const char *const names[] = {
        [LEDGER_BY_HOUR] = "hours", [LEDGER_BY_DAY] = "days", [LEDGER_BY_MONTH] = "months"};

    if (query->by == LEDGER_BY_ALL)
        return cli_fail(cli, EX_USAGE, "--by all: a charge is of a month at most");
    if (query->with_idle || (query->tenant != NULL && strcmp(query->tenant, COUNTERS_IDLE) == 0))
        return cli_fail(cli, EX_USAGE, "nobody is charged for the CPU of " COUNTERS_IDLE);
    if (!is_boundary(query, query->from) || !is_boundary(query, query->to))
        return cli_fail(
            cli, EX_USAGE, "charges are of whole %s: the time must begin and end with one%s",
            names[query->by], query->by == LEDGER_BY_MONTH ? "; see --by day and --by hour" : "");
    return EX_OK;
}

/* ---- The rates ---- */

const char *pricing_rates_path(const struct config *config) {
    if (config->rates != NULL)
        return config->rates;
    return access(RATES_DEFAULT_PATH, F_OK) == 0 ? RATES_DEFAULT_PATH : NULL;
}

static int load_rates(struct cli *cli, const char *path, bool is_needed, struct rates **rates) {
    struct error error;

    if (path == NULL)
        path = pricing_rates_path(cli_config(cli));
    if (path == NULL && is_needed)
        return cli_fail(cli, EX_CONFIG,
                        "there are no prices: name a file with --rates or \"rates\" in %s, or "
                        "write " RATES_DEFAULT_PATH,
                        cli_config(cli)->path);
    if (path == NULL)
        return EX_OK;
    *rates = rates_load(path, &error);
    return *rates != NULL ? EX_OK : cli_fail(cli, EX_CONFIG, "%s", error.text);
}

/* ---- The registry ---- */

struct judgement {
    const struct cli *cli;
    const struct rates *rates;
    const char *wanted; /* the one tenant that is asked for, or NULL */
    int code;
};

/* A tenant whose file can't be read has a plan that is not known: a bill would be wrong. */
static void judge_error(void *context, const char *id, const char *text) {
    struct judgement *judgement = context;

    if (judgement->wanted == NULL || strcmp(judgement->wanted, id) == 0)
        judgement->code = cli_fail(judgement->cli, EX_DATAERR, "%s", text);
}

static void judge_plan(void *context, struct tenant *tenant) {
    struct judgement *judgement = context;

    if ((judgement->wanted == NULL || strcmp(judgement->wanted, tenant->id) == 0) &&
        rates_find_tariff(judgement->rates, tenant->plan.name) == NULL)
        judgement->code =
            cli_fail(judgement->cli, EX_DATAERR, "tenant %s: the rates have no plan \"%s\"",
                     tenant->id, tenant->plan.name);
}

static int load_registry(struct cli *cli, const char *wanted, struct pricing *pricing) {
    struct judgement judgement = {.cli = cli, .rates = pricing->rates, .wanted = wanted};
    int code = cli_load_registry(cli, &pricing->registry);

    if (code != EX_OK || pricing->rates == NULL)
        return code;
    registry_each_error(pricing->registry, judge_error, &judgement);
    registry_each(pricing->registry, judge_plan, &judgement);
    return judgement.code;
}

/* ---- Both ---- */

int pricing_open(struct cli *cli, const char *rates_path, bool needs_rates,
                 struct query_options *options, struct pricing *pricing) {
    struct ledger_query *query = &options->query;

    *pricing = (struct pricing){0};
    int code = check_query(cli, query);
    if (code == EX_OK)
        code = load_rates(cli, rates_path, needs_rates, &pricing->rates);
    if (code == EX_OK)
        code = load_registry(cli, query->tenant, pricing);
    if (code != EX_OK)
        return code;
    pricing->biller = (struct biller){.rates = pricing->rates,
                                      .registry = pricing->registry,
                                      .from = query->from,
                                      .billing = {.zone = query->zone}};
    if (query->from > 0)
        query->from = period_around(LEDGER_BY_MONTH, query->zone, query->from).from;
    return EX_OK;
}

void pricing_close(struct pricing *pricing) {
    registry_close(pricing->registry);
    rates_free(pricing->rates);
}

void pricing_tell_unmetered(const struct cli *cli, const struct pricing *pricing) {
    const struct biller *biller = &pricing->biller;

    if (pricing->rates != NULL && biller->rows_none + biller->rows_partial > 0)
        cli_fail(cli, EX_OK,
                 "CPU that is not known is not charged: of %" PRIu64 " rows all of it, of %" PRIu64
                 " some of it",
                 biller->rows_none, biller->rows_partial);
}
