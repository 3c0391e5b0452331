/* Charges on exact figures: rounding, allowances, months, and what is not known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tenants/billing.h"
#include "tenants/currency.h"

#define MONTH_11 ((time_t)1793491200) /* 2026-11-01T00:00:00Z */
#define MONTH_12 (MONTH_11 + (time_t)30 * 86400)
#define NS_PER_HOUR UINT64_C(3600000000000)

enum { CENTS = 2 };

static struct ledger_row row_at(const char *tenant, time_t start) {
    return (struct ledger_row){.tenant = tenant,
                               .period_start = start,
                               .period_end = start + 3600,
                               .has_cpu = true,
                               .metering = METERING_EXACT};
}

static struct tariff tariff_of(enum sku sku, uint64_t price_nanos, uint64_t free) {
    struct tariff tariff = {0};

    tariff.prices[sku] = (struct price){.is_set = true, .nanos = price_nanos};
    tariff.free[sku] = free;
    return tariff;
}

/* The charge of one row that used nothing but this. */
static struct charge charge_cpu(struct billing *billing, const struct tariff *tariff, time_t start,
                                uint64_t ns) {
    struct ledger_row row = row_at("a", start);
    struct charge charges[SKU_COUNT];

    row.values[COUNTER_CPU_NS] = ns;
    assert_int_equal(billing_charge(billing, tariff, CENTS, &row, charges), 1);
    assert_int_equal(charges[0].sku, SKU_CPU);
    return charges[0];
}

static uint64_t cost_alone(uint64_t price_nanos, uint64_t ns) {
    struct tariff tariff = tariff_of(SKU_CPU, price_nanos, 0);
    struct billing billing = {0};

    return (uint64_t)charge_cpu(&billing, &tariff, MONTH_11, ns).cost;
}

static void test_costs_are_exact(void **state) {
    (void)state;
    assert_int_equal(cost_alone(45000000, NS_PER_HOUR), 5); /* 4.5 cents */
    assert_int_equal(cost_alone(45000000, 2 * NS_PER_HOUR), 9);
    assert_int_equal(cost_alone(45000000, NS_PER_HOUR * 100), 450);
    assert_int_equal(cost_alone(0, NS_PER_HOUR), 0);
    assert_int_equal(cost_alone(1, NS_PER_HOUR), 0);
}

static void test_halves_of_a_cent_are_rounded_up(void **state) {
    (void)state;
    assert_int_equal(cost_alone(10000000, NS_PER_HOUR / 2), 1);     /* 0.5 */
    assert_int_equal(cost_alone(10000000, NS_PER_HOUR / 2 - 1), 0); /* a nanosecond less */
    assert_int_equal(cost_alone(10000000, NS_PER_HOUR * 3 / 2), 2); /* 1.5 */
    assert_int_equal(cost_alone(10000000, NS_PER_HOUR * 5 / 2), 3); /* 2.5, not to even */
    assert_int_equal(cost_alone(10000000, NS_PER_HOUR * 5 / 2 - 1), 2);
}

static void test_huge_figures_are_exact(void **state) {
    struct tariff tariff = tariff_of(SKU_CPU, RATES_PRICE_MAX - 1, 0);
    struct billing billing = {0};
    char text[DECIMAL_BYTES];

    (void)state;
    /* 10^6 core-hours at 0.123456789: 123456.789; at the highest price, 999999999999.999. */
    assert_int_equal(cost_alone(123456789, 1000000 * NS_PER_HOUR), 12345679);
    assert_int_equal(cost_alone(RATES_PRICE_MAX - 1, 1000000 * NS_PER_HOUR),
                     UINT64_C(100000000000000));
    struct charge charge = charge_cpu(&billing, &tariff, MONTH_11, UINT64_MAX);
    decimal_format(charge.cost, CENTS, text);
    /* 18446744073709551615 ns are 5124095.576030431004 h. */
    assert_string_equal(text, "5124095576030.43");
    decimal_format(charge.list_cost, CHARGE_LIST_DECIMALS, text);
    assert_string_equal(text, "5124095576030.425875904423969569");
}

static void test_the_largest_counters_and_prices_do_not_overflow(void **state) {
    struct ledger_row row = row_at("a", MONTH_11);
    struct tariff tariff = tariff_of(SKU_REQUESTS, RATES_PRICE_MAX - 1, 0);
    struct billing billing = {0};
    struct charge charges[SKU_COUNT];
    char text[DECIMAL_BYTES];

    (void)state;
    row.values[COUNTER_REQUESTS] = UINT64_MAX;
    assert_int_equal(billing_charge(&billing, &tariff, CURRENCY_DIGITS_MAX, &row, charges), 1);
    decimal_format(charges[0].list_cost, CHARGE_LIST_DECIMALS, text);
    assert_string_equal(text, "18446744073709533168.255926290448385000");
    decimal_format(charges[0].cost, CURRENCY_DIGITS_MAX, text);
    assert_string_equal(text, "18446744073709533168.2559");
}

static void test_the_allowance_is_free_to_its_last_unit(void **state) {
    struct tariff tariff = tariff_of(SKU_CPU, 10000000, NS_PER_HOUR);
    struct billing billing = {0};

    (void)state;
    struct charge charge = charge_cpu(&billing, &tariff, MONTH_11, NS_PER_HOUR - 1);
    assert_int_equal(charge.free, NS_PER_HOUR - 1);
    assert_true(charge.cost == 0 && charge.priced == 0);
    charge = charge_cpu(&billing, &tariff, MONTH_11 + 3600, 1);
    assert_int_equal(charge.free, 1);
    assert_true(charge.priced == 0);
    charge = charge_cpu(&billing, &tariff, MONTH_11 + 7200, NS_PER_HOUR);
    assert_int_equal(charge.free, 0);
    assert_true(charge.cost == 1 && charge.priced == 1000000000);
}

static void test_a_row_over_the_edge_is_free_in_part(void **state) {
    struct tariff tariff = tariff_of(SKU_CPU, 10000000, NS_PER_HOUR);
    struct billing billing = {0};
    struct charge charge = charge_cpu(&billing, &tariff, MONTH_11, 3 * NS_PER_HOUR);

    (void)state;
    assert_int_equal(charge.quantity, 3 * NS_PER_HOUR);
    assert_int_equal(charge.free, NS_PER_HOUR);
    assert_true(charge.cost == 2 && charge.priced == 2000000000);
}

static void test_each_month_and_each_tenant_begins_anew(void **state) {
    struct tariff tariff = tariff_of(SKU_CPU, 10000000, NS_PER_HOUR);
    struct billing billing = {0};
    struct ledger_row other = row_at("b", MONTH_12);
    struct charge charges[SKU_COUNT];

    (void)state;
    assert_int_equal(charge_cpu(&billing, &tariff, MONTH_12 - 3600, NS_PER_HOUR).free, NS_PER_HOUR);
    assert_int_equal(charge_cpu(&billing, &tariff, MONTH_12, NS_PER_HOUR).free, NS_PER_HOUR);
    assert_int_equal(billing.month.from, MONTH_12);
    assert_int_equal(charge_cpu(&billing, &tariff, MONTH_12 + 3600, NS_PER_HOUR).free, 0);
    other.values[COUNTER_CPU_NS] = NS_PER_HOUR;
    billing_charge(&billing, &tariff, CENTS, &other, charges);
    assert_int_equal(charges[0].free, NS_PER_HOUR);
}

/* Hours that are a third of a cent each: alone, each would cost nothing. */
static void test_hours_add_up_to_their_month(void **state) {
    struct tariff tariff = tariff_of(SKU_CPU, 3333333, NS_PER_HOUR * 7 / 2);
    struct billing by_hour = {0};
    struct billing by_month = {0};
    struct charge sum = {0};
    uint64_t ns = 0;

    (void)state;
    for (unsigned hour = 0; hour < 720; hour++) {
        uint64_t used = NS_PER_HOUR / 7 * (hour % 11 + 1) + hour;
        struct charge charge = charge_cpu(&by_hour, &tariff, MONTH_11 + hour * 3600, used);
        assert_true(charge.cost <= 1);
        ns += used;
        sum.free += charge.free;
        sum.cost += charge.cost;
        sum.priced += charge.priced;
        sum.list_cost += charge.list_cost;
    }
    struct charge month = charge_cpu(&by_month, &tariff, MONTH_11, ns);
    assert_int_equal(sum.free, month.free);
    assert_true(sum.cost == month.cost && sum.cost > 200);
    assert_true(sum.priced == month.priced);
    assert_true(sum.list_cost == month.list_cost);
}

static void test_all_that_is_known_and_used_is_charged(void **state) {
    struct ledger_row row = row_at("a", MONTH_11);
    struct tariff tariff = {0};
    struct billing billing = {0};
    struct charge charges[SKU_COUNT];

    (void)state;
    row.values[COUNTER_CPU_NS] = 1;
    row.values[COUNTER_WALL_NS] = 2;
    row.values[COUNTER_REQUESTS] = 3;
    row.values[COUNTER_BYTES_OUT] = 4;
    row.service_ns = 5;
    row.has_service = true;
    assert_int_equal(billing_charge(&billing, &tariff, CENTS, &row, charges), SKU_COUNT);
    for (unsigned i = 0; i < SKU_COUNT; i++) {
        assert_int_equal(charges[i].sku, i);
        assert_int_equal(charges[i].quantity, i + 1);
        assert_false(charges[i].price.is_set);
        assert_true(charges[i].cost == 0);
    }
}

static void test_the_unknown_is_not_charged(void **state) {
    struct ledger_row row = row_at("a", MONTH_11);
    struct tariff tariff = {0};
    struct billing billing = {0};
    struct charge charges[SKU_COUNT];

    (void)state;
    row.has_cpu = false;
    row.metering = METERING_NONE;
    row.values[COUNTER_CPU_NS] = 5;
    row.service_ns = 5;
    row.values[COUNTER_REQUESTS] = 3;
    assert_int_equal(billing_charge(&billing, &tariff, CENTS, &row, charges), 1);
    assert_int_equal(charges[0].sku, SKU_REQUESTS);
}

/* ---- With rates ---- */

static void test_rows_before_the_time_use_up_the_allowance(void **state) {
    struct rates rates = {.base = tariff_of(SKU_CPU, 10000000, NS_PER_HOUR), .minor_digits = CENTS};
    struct biller biller = {.rates = &rates, .from = MONTH_11 + 3600};
    struct ledger_row row = row_at("a", MONTH_11);
    struct bill bill;

    (void)state;
    row.values[COUNTER_CPU_NS] = NS_PER_HOUR;
    assert_false(biller_take(&biller, &row, &bill));
    row.period_start += 3600;
    assert_true(biller_take(&biller, &row, &bill));
    assert_int_equal(bill.count, 1);
    assert_int_equal(bill.charges[0].free, 0);
    assert_true(bill.charges[0].cost == 1);
    assert_string_equal(bill.name, "a");
    assert_int_equal(bill.month.from, MONTH_11);
    assert_int_equal(bill.month.to, MONTH_12);
}

static void test_rows_whose_cpu_is_not_known_are_counted(void **state) {
    static const enum metering meterings[] = {METERING_NONE, METERING_PARTIAL, METERING_EXACT};
    struct biller biller = {0};
    struct ledger_row row = row_at("a", MONTH_11);
    struct bill bill;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        row.metering = meterings[i];
        assert_true(biller_take(&biller, &row, &bill));
    }
    assert_int_equal(biller.rows_none, 1);
    assert_int_equal(biller.rows_partial, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_costs_are_exact),
        cmocka_unit_test(test_halves_of_a_cent_are_rounded_up),
        cmocka_unit_test(test_huge_figures_are_exact),
        cmocka_unit_test(test_the_largest_counters_and_prices_do_not_overflow),
        cmocka_unit_test(test_the_allowance_is_free_to_its_last_unit),
        cmocka_unit_test(test_a_row_over_the_edge_is_free_in_part),
        cmocka_unit_test(test_each_month_and_each_tenant_begins_anew),
        cmocka_unit_test(test_hours_add_up_to_their_month),
        cmocka_unit_test(test_all_that_is_known_and_used_is_charged),
        cmocka_unit_test(test_the_unknown_is_not_charged),
        cmocka_unit_test(test_rows_before_the_time_use_up_the_allowance),
        cmocka_unit_test(test_rows_whose_cpu_is_not_known_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
