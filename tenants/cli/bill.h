/* fpmuxctl usage --bill: what a tenant has to pay for a month, for people and (--json) programs. */
#ifndef FPMUX_TENANTS_CLI_BILL_H
#define FPMUX_TENANTS_CLI_BILL_H

#include <stdbool.h>

#include "tenants/cli/pricing.h"

/* Prints the bills of all rows that options ask for, as they come. EX_OK, or the exit code of a
 * failure that was told. */
int bill_print(struct cli *cli, struct ledger *ledger, const struct query_options *options,
               struct pricing *pricing);

#endif
