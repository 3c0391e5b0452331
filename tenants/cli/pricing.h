/* What it takes to make charges of the ledger's rows, for `usage --bill` and `export`: the rates,
 * the registry that says which plan a tenant has, and the biller over both. */
#ifndef FPMUX_TENANTS_CLI_PRICING_H
#define FPMUX_TENANTS_CLI_PRICING_H

#include <stdbool.h>

#include "tenants/billing.h"
#include "tenants/cli/cli.h"
#include "tenants/cli/query.h"

/* The option of both verbs, with a code that no other has. */
#define PRICING_OPTION                                                                             \
    { "rates", required_argument, NULL, PRICING_OPTION_RATES }
enum { PRICING_OPTION_RATES = QUERY_OPTION_LAST + 1 };
#define PRICING_HELP                                                                               \
    "  --rates FILE   what things cost (default: `rates` of the configuration, or\n"               \
    "                 " RATES_DEFAULT_PATH ")\n"

/* The file of the configuration's rates; NULL: there is none. Borrowed from config. */
const char *pricing_rates_path(const struct config *config);

struct pricing {
    struct rates *rates; /* owned; NULL: there are none */
    struct registry *registry;
    struct biller biller;
};

/* Checks that the query asks for whole periods, and lets it begin with a month, because allowances
 * do; what comes before options' own beginning, the biller keeps to itself. rates_path may be NULL.
 * EX_OK, or the exit code of a failure that was told; to be closed in both cases. */
int pricing_open(struct cli *cli, const char *rates_path, bool needs_rates,
                 struct query_options *options, struct pricing *pricing);
void pricing_close(struct pricing *pricing);

/* Says on standard error how much CPU was not known, and so not charged for. */
void pricing_tell_unmetered(const struct cli *cli, const struct pricing *pricing);

#endif
