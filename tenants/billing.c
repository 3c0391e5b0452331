#include "tenants/billing.h"

#include <stdio.h>
#include <string.h>

/* ---- One row ---- */

/* Whether it is known how much of the SKU was used, and how much that is, in base units. */
static bool is_metered(const struct ledger_row *row, enum sku sku, uint64_t *quantity) {
    switch (sku) {
    case SKU_CPU:
        *quantity = row->values[COUNTER_CPU_NS];
        return row->has_cpu;
    case SKU_WORKER:
        *quantity = row->values[COUNTER_WALL_NS];
        return true;
    case SKU_REQUESTS:
        *quantity = row->values[COUNTER_REQUESTS];
        return true;
    case SKU_TRAFFIC:
        *quantity = row->values[COUNTER_BYTES_OUT];
        return true;
    case SKU_CONTAINER:
        *quantity = row->service_ns;
        return row->has_service;
    case SKU_COUNT:
        break;
    }
    return false;
}

static uint64_t above_allowance(const struct tariff *tariff, enum sku sku, uint64_t used) {
    return used > tariff->free[sku] ? used - tariff->free[sku] : 0;
}

static uint128_t in_pricing_units(enum sku sku, uint64_t quantity) {
    return decimal_divide((uint128_t)quantity * decimal_power(RATES_DECIMALS),
                          skus[sku].base_per_pricing);
}

static uint128_t cost_of(enum sku sku, uint64_t quantity, uint64_t price_nanos,
                         unsigned minor_digits) {
    uint64_t nanos_per_minor = decimal_power(RATES_DECIMALS - minor_digits);

    return decimal_divide((uint128_t)quantity * price_nanos,
                          (uint128_t)skus[sku].base_per_pricing * nanos_per_minor);
}

static struct charge charge_difference(const struct tariff *tariff, unsigned minor_digits,
                                       enum sku sku, uint64_t used_before, uint64_t used_after) {
    uint64_t before = above_allowance(tariff, sku, used_before);
    uint64_t after = above_allowance(tariff, sku, used_after);
    struct charge charge = {
        .sku = sku,
        .quantity = used_after - used_before,
        .price = tariff->prices[sku],
        .priced = in_pricing_units(sku, after) - in_pricing_units(sku, before),
    };

    charge.free = charge.quantity - (after - before);
    charge.list_cost = charge.priced * charge.price.nanos;
    charge.cost = cost_of(sku, after, charge.price.nanos, minor_digits) -
                  cost_of(sku, before, charge.price.nanos, minor_digits);
    return charge;
}

static void begin_month(struct billing *billing, const struct ledger_row *row) {
    bool is_same = strcmp(billing->tenant, row->tenant) == 0 &&
                   row->period_start >= billing->month.from &&
                   row->period_start < billing->month.to;

    if (is_same)
        return;
    *billing =
        (struct billing){.zone = billing->zone,
                         .month = period_around(LEDGER_BY_MONTH, billing->zone, row->period_start)};
    snprintf(billing->tenant, sizeof billing->tenant, "%s", row->tenant);
}

size_t billing_charge(struct billing *billing, const struct tariff *tariff, unsigned minor_digits,
                      const struct ledger_row *row, struct charge charges[SKU_COUNT]) {
    size_t count = 0;

    begin_month(billing, row);
    for (enum sku sku = 0; sku < SKU_COUNT; sku++) {
        uint64_t quantity;
        if (!is_metered(row, sku, &quantity) || quantity == 0)
            continue;
        uint64_t before = billing->used[sku];
        billing->used[sku] += quantity;
        charges[count++] = charge_difference(tariff, minor_digits, sku, before, billing->used[sku]);
    }
    return count;
}

/* ---- With the registry ---- */

static const struct tariff *find_tariff(const struct biller *biller, const struct tenant *tenant) {
    static const struct tariff nothing = {0};

    if (biller->rates == NULL)
        return &nothing;
    return rates_find_tariff(biller->rates, tenant != NULL ? tenant->plan.name : NULL);
}

bool biller_take(struct biller *biller, const struct ledger_row *row, struct bill *bill) {
    const struct rates *rates = biller->rates;

    *bill = (struct bill){.usage = row, .name = row->tenant, .rates = rates};
    if (biller->registry != NULL)
        bill->tenant = registry_find(biller->registry, row->tenant, strlen(row->tenant));
    if (bill->tenant != NULL)
        bill->name = bill->tenant->name;
    bill->count = billing_charge(&biller->billing, find_tariff(biller, bill->tenant),
                                 rates != NULL ? rates->minor_digits : 0, row, bill->charges);
    bill->month = biller->billing.month;
    if (row->period_start < biller->from)
        return false;
    biller->rows_partial += row->metering == METERING_PARTIAL;
    biller->rows_none += row->metering == METERING_NONE;
    return true;
}
