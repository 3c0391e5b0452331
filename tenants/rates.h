/* What things cost: rates.json, written by the operator, read strictly into a typed object. Prices
 * are taken from the file's text, digit by digit; a double never touches them.
 *
 * What is charged for is a SKU: one counter of the ledger in a unit that has a price. Counters are
 * in base units (nanoseconds, requests, bytes); a price is for the pricing unit, which is a whole
 * number of them. */
#ifndef FPMUX_TENANTS_RATES_H
#define FPMUX_TENANTS_RATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenants/error.h"

#define RATES_DEFAULT_PATH "/etc/fpmux/rates.json"

enum sku { SKU_CPU, SKU_WORKER, SKU_REQUESTS, SKU_TRAFFIC, SKU_CONTAINER, SKU_COUNT };

struct sku_info {
    const char *id;
    const char *key;            /* in rates.json */
    const char *meter;          /* what it is, for people */
    const char *pricing_unit;   /* in the form that FOCUS prescribes */
    uint64_t base_per_pricing;  /* base units in a pricing unit */
    const char *consumed_unit;  /* the same for what was used, … */
    unsigned consumed_decimals; /* … of which a base unit is the last decimal */
    const char *people_unit;    /* the pricing unit, after "0.045 EUR per" */
};

extern const struct sku_info skus[SKU_COUNT];

/* Prices are below a million of the currency, in 10^-9 of it. */
enum { RATES_DECIMALS = 9 };
#define RATES_PRICE_MAX (UINT64_C(1000000) * UINT64_C(1000000000))

struct price {
    bool is_set; /* false: it is not charged for */
    uint64_t nanos;
};

struct tariff {
    char *name; /* of the plan; NULL: for who has none */
    struct price prices[SKU_COUNT];
    uint64_t free[SKU_COUNT]; /* per tenant and month, in base units */
};

struct rates {
    char *currency; /* ISO 4217 */
    unsigned minor_digits;
    char *provider;     /* who sends the bill */
    char *account_id;   /* the account that all tenants are below; the provider when not given */
    char *account_name; /* the same */
    struct tariff base;
    struct tariff *plans; /* each with what it does not set taken from base */
    size_t plan_count;
};

/* NULL on failure, with FILE:LINE:COLUMN and the reason. */
struct rates *rates_load(const char *path, struct error *error);

/* The same from text in memory; name stands for the path in messages. */
struct rates *rates_parse(const char *name, const char *text, size_t length, struct error *error);

void rates_free(struct rates *rates); /* NULL is allowed */

/* The plan's tariff; the base for NULL; NULL when there is no such plan. Borrowed. */
const struct tariff *rates_find_tariff(const struct rates *rates, const char *plan);

#endif
