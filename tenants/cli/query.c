#include "tenants/cli/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "tenants/ledger_care.h"
#include "tenants/period.h"
#include "tenants/timezone.h"

static int take_tenant(const struct cli *cli, struct query_options *options, const char *value) {
    if (!is_tenant_id(value, strlen(value)) && strcmp(value, COUNTERS_IDLE) != 0)
        return cli_fail(cli, EX_USAGE, "--tenant: \"%s\" is no tenant id ([a-z0-9][a-z0-9-]{0,62})",
                        value);
    options->query.tenant = value;
    return EX_OK;
}

int query_take_option(const struct cli *cli, struct query_options *options, int code,
                      const char *value) {
    switch (code) {
    case QUERY_OPTION_TENANT:
        return take_tenant(cli, options, value);
    case QUERY_OPTION_FROM:
        options->from = value;
        return EX_OK;
    case QUERY_OPTION_TO:
        options->to = value;
        return EX_OK;
    case QUERY_OPTION_PERIOD:
        options->period = value;
        return EX_OK;
    case QUERY_OPTION_TZ:
        options->tz = value;
        return EX_OK;
    case QUERY_OPTION_BY:
        if (period_parse_by(value, &options->query.by))
            return EX_OK;
        return cli_fail(cli, EX_USAGE, "--by: \"%s\" is none of hour, day, month, all", value);
    case QUERY_OPTION_WITH_IDLE:
        options->query.with_idle = true;
        return EX_OK;
    case QUERY_OPTION_STRICT:
        options->is_strict = true;
        return EX_OK;
    default:
        return cli_usage(cli); /* getopt_long() has said what is wrong */
    }
}

int query_enter_zone(struct cli *cli, const char *name, enum period_zone *zone) {
    bool is_given = name != NULL;
    struct error error;

    if (!is_given)
        name = cli_config(cli)->timezone;
    *zone = strcmp(name, TIMEZONE_UTC) == 0 ? PERIOD_UTC : PERIOD_LOCAL;
    if (*zone == PERIOD_UTC || timezone_enter(name, &error))
        return EX_OK;
    if (is_given)
        return cli_fail(cli, EX_USAGE, "--tz: %s", error.text);
    return cli_fail(cli, EX_CONFIG, "%s: timezone: %s", cli_config(cli)->path, error.text);
}

static int read_period(const struct cli *cli, struct query_options *options, const char *text) {
    struct period period;
    struct error error;

    if (!period_parse(text, options->query.zone, options->now, &period, &error))
        return cli_fail(cli, EX_USAGE, "--period: %s", error.text);
    options->query.from = period.from;
    options->query.to = period.to;
    return EX_OK;
}

static int read_time(const struct cli *cli, const struct query_options *options, const char *name,
                     const char *text, time_t *time) {
    struct error error;

    if (text == NULL || period_parse_time(text, options->query.zone, time, &error))
        return EX_OK;
    return cli_fail(cli, EX_USAGE, "%s: %s", name, error.text);
}

int query_finish(struct cli *cli, struct query_options *options, const char *default_period) {
    struct ledger_query *query = &options->query;
    bool has_ends = options->from != NULL || options->to != NULL;
    int code = query_enter_zone(cli, options->tz, &query->zone);

    if (code != EX_OK)
        return code;
    if (options->period != NULL && has_ends)
        return cli_fail(cli, EX_USAGE, "--period and --from or --to exclude each other");
    if (options->period == NULL && !has_ends)
        options->period = default_period;
    if (options->period != NULL)
        return read_period(cli, options, options->period);
    code = read_time(cli, options, "--from", options->from, &query->from);
    if (code == EX_OK)
        code = read_time(cli, options, "--to", options->to, &query->to);
    if (code == EX_OK && options->to != NULL && query->to <= query->from)
        return cli_fail(cli, EX_USAGE, "--to is not after --from");
    return code;
}

static bool fold(const struct cli *cli, const struct config *config, struct ledger *ledger) {
    char *dir = config_counters_dir(config);
    struct error error;
    int result = ledger_fold(ledger, dir, &error);

    free(dir);
    if (result < 0)
        cli_fail(cli, EX_TEMPFAIL,
                 "figures may be missing, because counters could not be folded: %s", error.text);
    return result == 0;
}

struct ledger *query_open_ledger(struct cli *cli, bool *is_complete) {
    const struct config *config = cli_config(cli);
    struct error error;
    struct ledger *ledger = ledger_open(config->ledger, &error);

    if (ledger == NULL) {
        cli_fail(cli, EX_UNAVAILABLE, "%s", error.text);
        return NULL;
    }
    *is_complete = fold(cli, config, ledger);
    return ledger;
}

void query_tell_deleted(struct ledger *ledger, const struct query_options *options) {
    char before[PERIOD_TIME_BYTES];
    struct error error;
    time_t deleted = ledger_deleted_before(ledger, &error);

    if (deleted <= options->query.from)
        return;
    period_format_time(deleted, before);
    fprintf(stderr, "What was used before %s was deleted from the ledger (ledger prune).\n",
            before);
}
