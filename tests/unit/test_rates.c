/* rates.json: what is taken, digit by digit, and what is refused and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tenants/rates.h"

#define HEAD "{\"currency\": \"EUR\", \"provider\": \"P\", "

static struct rates *parse(const char *text) {
    struct error error = {""};
    struct rates *rates = rates_parse("r", text, strlen(text), &error);

    assert_string_equal(error.text, "");
    assert_non_null(rates);
    return rates;
}

static void test_prices_are_taken_digit_by_digit(void **state) {
    struct rates *rates = parse(HEAD "\"prices\": {\"core_hour\": \"0.045\", \"gb_out\": 0.1,\n"
                                     " \"worker_hour\": 0.300000001 /* no double has it */,"
                                     " \"million_requests\": 0}}");
    const struct price *prices = rates->base.prices;

    (void)state;
    assert_int_equal(prices[SKU_CPU].nanos, 45000000);
    assert_int_equal(prices[SKU_TRAFFIC].nanos, 100000000);
    assert_int_equal(prices[SKU_WORKER].nanos, 300000001);
    assert_true(prices[SKU_REQUESTS].is_set);
    assert_int_equal(prices[SKU_REQUESTS].nanos, 0);
    assert_false(prices[SKU_CONTAINER].is_set);
    assert_int_equal(rates->minor_digits, 2);
    rates_free(rates);
}

static void test_free_units_are_counted_in_base_units(void **state) {
    struct rates *rates =
        parse(HEAD "\"prices\": {}, \"free_per_month\": {\"core_hour\": \"10\", "
                   "\"container_hour\": 0.000000001, \"million_requests\": \"0.000001\", "
                   "\"gb_out\": \"0.000000001\"}}");

    (void)state;
    assert_int_equal(rates->base.free[SKU_CPU], UINT64_C(36000000000000));
    assert_int_equal(rates->base.free[SKU_CONTAINER], 3600);
    assert_int_equal(rates->base.free[SKU_REQUESTS], 1);
    assert_int_equal(rates->base.free[SKU_TRAFFIC], 1);
    assert_int_equal(rates->base.free[SKU_WORKER], 0);
    rates_free(rates);
}

static void test_plans_take_the_rest_from_the_base_wherever_it_stands(void **state) {
    struct rates *rates =
        parse("{\"plans\": {\"basic\": {}, \"big\": {\"prices\": {\"core_hour\": \"0.02\"},"
              " \"free_per_month\": {\"gb_out\": \"2\"}}}, \"currency\": \"JPY\","
              " \"provider\": \"P\", \"free_per_month\": {\"gb_out\": 1, \"core_hour\": 1},"
              " \"prices\": {\"core_hour\": \"0.05\", \"gb_out\": \"0.1\"}}");
    const struct tariff *big = rates_find_tariff(rates, "big");

    (void)state;
    assert_ptr_equal(rates_find_tariff(rates, NULL), &rates->base);
    assert_null(rates_find_tariff(rates, "bigger"));
    assert_int_equal(rates_find_tariff(rates, "basic")->prices[SKU_CPU].nanos, 50000000);
    assert_int_equal(big->prices[SKU_CPU].nanos, 20000000);
    assert_int_equal(big->prices[SKU_TRAFFIC].nanos, 100000000);
    assert_int_equal(big->free[SKU_TRAFFIC], 2000000000);
    assert_int_equal(big->free[SKU_CPU], UINT64_C(3600000000000));
    assert_int_equal(rates->minor_digits, 0);
    rates_free(rates);
}

static void test_the_account_is_the_provider_unless_it_is_given(void **state) {
    struct rates *rates = parse(HEAD "\"prices\": {}}");

    (void)state;
    assert_string_equal(rates->account_id, "P");
    assert_string_equal(rates->account_name, "P");
    rates_free(rates);
    rates = parse(HEAD "\"prices\": {}, \"account\": {\"id\": \"a\", \"name\": \"A\"}}");
    assert_string_equal(rates->account_id, "a");
    assert_string_equal(rates->account_name, "A");
    rates_free(rates);
}

static void test_mistakes_are_told_with_their_place(void **state) {
    static const struct {
        const char *text;
        const char *expected;
    } cases[] = {
        {"{}", "r:1:1: \"currency\" is missing"},
        {"{\"currency\": \"EUR\"}", "r:1:1: \"provider\" is missing"},
        {"{\"currency\": \"EUR\", \"provider\": \"P\"}", "r:1:1: \"prices\" is missing"},
        {"{\"currency\": \"EURO\"}", "r:1:14: \"currency\" must be a code of ISO 4217"},
        {"{\"currency\": 1}", "r:1:14: \"currency\" must be"},
        {"{\"provider\": \"\"}", "r:1:14: \"provider\" must be"},
        {"{\"prices\": {\n\"core_hours\": \"1\"}}", "r:2:1: unknown key \"core_hours\""},
        {"{\"prices\": {\"core_hour\": -1}}", "r:1:26: \"core_hour\" must be a decimal"},
        {"{\"prices\": {\"core_hour\": 1e-3}}", "r:1:26: \"core_hour\" must be a decimal"},
        {"{\"prices\": {\"core_hour\": \"1 \"}}", "r:1:26: \"core_hour\" must be a decimal"},
        {"{\"prices\": {\"core_hour\": true}}", "r:1:26: \"core_hour\" must be a decimal"},
        {"{\"prices\": {\"core_hour\": \"0.0000000001\"}}", "at most 9 decimals"},
        {"{\"prices\": {\"core_hour\": 1000000}}", "r:1:26: \"core_hour\" must be below 1000000"},
        {"{\"free_per_month\": {\"million_requests\": 0.0000001}}", "whole requests"},
        {"{\"free_per_month\": {\"core_hour\": \"9999999\"}}", "is more than can be counted"},
        {HEAD "\"prices\": {}, \"plans\": []}", "\"plans\" must be an object"},
        {HEAD "\"prices\": {}, \"plans\": {\"A b\": {}}}", "can't be a plan's name"},
        {HEAD "\"prices\": {}, \"plans\": {\"a\": {\"price\": {}}}}", "unknown key \"price\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error error = {""};
        assert_null(rates_parse("r", cases[i].text, strlen(cases[i].text), &error));
        if (strstr(error.text, cases[i].expected) == NULL)
            fail_msg("%s: %s", cases[i].text, error.text);
    }
}

static void test_the_example_is_right(void **state) {
    struct error error = {""};
    struct rates *rates = rates_load("../tenants/examples/rates.json", &error);

    (void)state;
    assert_string_equal(error.text, "");
    assert_non_null(rates);
    for (enum sku sku = 0; sku < SKU_COUNT; sku++)
        assert_true(rates->base.prices[sku].is_set);
    assert_non_null(rates_find_tariff(rates, "premium"));
    rates_free(rates);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prices_are_taken_digit_by_digit),
        cmocka_unit_test(test_free_units_are_counted_in_base_units),
        cmocka_unit_test(test_plans_take_the_rest_from_the_base_wherever_it_stands),
        cmocka_unit_test(test_the_account_is_the_provider_unless_it_is_given),
        cmocka_unit_test(test_mistakes_are_told_with_their_place),
        cmocka_unit_test(test_the_example_is_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
