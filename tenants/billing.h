/* From what a tenant used to what it costs. Pure and exact: whole numbers of 128 bits, no floating
 * point, no I/O.
 *
 * Rounding and allowances are decided by the month, whatever the length of the rows. A month's
 * cost of a SKU is what exceeds the allowance times the price, rounded half up to the currency's
 * minor unit, once. A row gets the difference that it makes to the month so far: so the rows of a
 * month, by hour or by day, add up to the very figure of the row of the whole month, the allowance
 * is used up by the earliest usage, and no row is negative. */
#ifndef FPMUX_TENANTS_BILLING_H
#define FPMUX_TENANTS_BILLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "tenants/decimal.h"
#include "tenants/ledger.h"
#include "tenants/names.h"
#include "tenants/period.h"
#include "tenants/rates.h"
#include "tenants/registry.h"

struct charge {
    enum sku sku;
    uint64_t quantity; /* what was used, in base units; never 0 */
    uint64_t free;     /* how much of that the allowance covers */
    struct price price;
    uint128_t priced;    /* the rest, in 10^-RATES_DECIMALS of the pricing unit, rounded */
    uint128_t list_cost; /* priced times price: 10^-CHARGE_LIST_DECIMALS of the currency */
    uint128_t cost;      /* minor units of the currency */
};

enum { CHARGE_LIST_DECIMALS = 2 * RATES_DECIMALS };

/* The month of a tenant, up to the last row. Zero it to begin, but for the zone. */
struct billing {
    enum period_zone zone; /* whose months; PERIOD_UTC is 0 */
    char tenant[TENANT_ID_MAX + 1];
    struct period month;
    uint64_t used[SKU_COUNT];
};

/* What the row costs. Rows come ordered by tenant and time, none reaching over the end of a month,
 * and from the beginning of each month on. What is not known or was not used makes no charge; what
 * has no price makes one without cost. Returns how many charges there are. */
size_t billing_charge(struct billing *billing, const struct tariff *tariff, unsigned minor_digits,
                      const struct ledger_row *row, struct charge charges[SKU_COUNT]);

/* ---- With the registry ---- */

/* Bills rows of the ledger: who the tenant is and which prices it has come from the registry, as it
 * is now. A tenant that is in it no more has the common prices. */
struct biller {
    const struct rates *rates;       /* borrowed; NULL: nothing has a price */
    const struct registry *registry; /* borrowed; NULL: no tenant is known */
    time_t from; /* rows before this only use up allowances: the query began with the month */
    struct billing billing;
    uint64_t rows_partial; /* whose CPU was not wholly known, … */
    uint64_t rows_none;    /* … or not at all, and is not charged for */
};

struct bill {
    const struct ledger_row *usage; /* borrowed from the visit */
    const struct tenant *tenant;    /* borrowed; NULL: it is in the registry no more */
    const char *name;               /* the tenant's, or its id */
    struct period month;
    const struct rates *rates; /* NULL: nothing has a price */
    size_t count;
    struct charge charges[SKU_COUNT];
};

/* false: the row is before the time that was asked for. */
bool biller_take(struct biller *biller, const struct ledger_row *row, struct bill *bill);

#endif
