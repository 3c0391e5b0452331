#include "tenants/cli/query.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "tenants/period.h"

static int take_period(const struct cli *cli, struct query_options *options, const char *value) {
    struct period period;
    struct error error;

    if (!period_parse(value, options->now, &period, &error))
        return cli_fail(cli, EX_USAGE, "--period: %s", error.text);
    options->has_period = true;
    options->query.from = period.from;
    options->query.to = period.to;
    return EX_OK;
}

static int take_time(const struct cli *cli, const char *name, const char *value, time_t *time,
                     bool *is_given) {
    struct error error;

    *is_given = true;
    if (period_parse_time(value, time, &error))
        return EX_OK;
    return cli_fail(cli, EX_USAGE, "%s: %s", name, error.text);
}

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
        return take_time(cli, "--from", value, &options->query.from, &options->has_from_to);
    case QUERY_OPTION_TO:
        return take_time(cli, "--to", value, &options->query.to, &options->has_from_to);
    case QUERY_OPTION_PERIOD:
        return take_period(cli, options, value);
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

int query_check(const struct cli *cli, const struct query_options *options) {
    if (options->has_period && options->has_from_to)
        return cli_fail(cli, EX_USAGE, "--period and --from or --to exclude each other");
    if (options->query.to > 0 && options->query.to <= options->query.from)
        return cli_fail(cli, EX_USAGE, "--to is not after --from");
    return EX_OK;
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
