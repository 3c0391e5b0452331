#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tenants/currency.h"
#include "tenants/decimal.h"

static void expect_parsed(const char *text, unsigned decimals, uint64_t expected) {
    uint64_t value = 1;

    if (!decimal_parse(text, strlen(text), decimals, &value) || value != expected)
        fail_msg("\"%s\" is %llu", text, (unsigned long long)value);
}

static void expect_refused(const char *text, unsigned decimals) {
    uint64_t value;

    if (decimal_parse(text, strlen(text), decimals, &value))
        fail_msg("\"%s\" is taken for %llu", text, (unsigned long long)value);
}

static void test_decimals_are_read_digit_by_digit(void **state) {
    (void)state;
    expect_parsed("0", 9, 0);
    expect_parsed("0.045", 9, 45000000);
    expect_parsed("0.000000001", 9, 1);
    expect_parsed("0.10", 2, 10);
    expect_parsed("007.5", 9, 7500000000);
    expect_parsed("9007199254740993", 0, UINT64_C(9007199254740993)); /* no double holds it */
    expect_parsed("18446744073.709551615", 9, UINT64_MAX);
    expect_parsed("1", 18, UINT64_C(1000000000000000000));
}

static void test_what_is_no_decimal_is_refused(void **state) {
    static const char *const texts[] = {
        "",   ".",   ".5",   "5.",  "1.2.3", "-1",   "+1",    "1e-2",     " 1",
        "1 ", "1,5", "0x10", "NaN", "1_000", "1..2", "0.1\t", "\xd9\xa1", "0.0000000001"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect_refused(texts[i], 9);
    expect_refused("0.5", 0);
    expect_refused("18446744073.709551616", 9);
    expect_refused("18446744073709551616", 0);
    expect_refused("18446744074", 9);
}

static void test_only_the_given_length_is_read(void **state) {
    uint64_t value;

    (void)state;
    assert_true(decimal_parse("0.5,", 3, 9, &value));
    assert_int_equal(value, 500000000);
}

static void test_halves_are_rounded_up(void **state) {
    (void)state;
    assert_true(decimal_divide(5, 10) == 1);
    assert_true(decimal_divide(4, 10) == 0);
    assert_true(decimal_divide(15, 10) == 2);
    assert_true(decimal_divide(25, 10) == 3);
    assert_true(decimal_divide(1, 3) == 0);
    assert_true(decimal_divide(2, 3) == 1);
    assert_true(decimal_divide(0, 7) == 0);
    assert_true(decimal_divide(7, 1) == 7);
}

static void expect_formatted(uint128_t value, unsigned decimals, const char *full,
                             const char *brief) {
    char text[DECIMAL_BYTES];

    decimal_format(value, decimals, text);
    assert_string_equal(text, full);
    decimal_format_short(value, decimals, text);
    assert_string_equal(text, brief);
}

static void test_decimals_are_written(void **state) {
    (void)state;
    expect_formatted(0, 2, "0.00", "0");
    expect_formatted(1250, 2, "12.50", "12.5");
    expect_formatted(1200, 2, "12.00", "12");
    expect_formatted(5, 3, "0.005", "0.005");
    expect_formatted(100, 0, "100", "100");
    expect_formatted(UINT64_MAX, 9, "18446744073.709551615", "18446744073.709551615");
}

static void test_128_bits_are_written(void **state) {
    uint128_t ten_to_20 = (uint128_t)UINT64_C(10000000000) * UINT64_C(10000000000);

    (void)state;
    expect_formatted(ten_to_20, 0, "100000000000000000000", "100000000000000000000");
    expect_formatted(ten_to_20 + 7, 18, "100.000000000000000007", "100.000000000000000007");
    expect_formatted(~(uint128_t)0, 0, "340282366920938463463374607431768211455",
                     "340282366920938463463374607431768211455");
    expect_formatted(~(uint128_t)0, 18, "340282366920938463463.374607431768211455",
                     "340282366920938463463.374607431768211455");
}

static void test_currencies_have_their_minor_units(void **state) {
    static const struct {
        const char *code;
        unsigned digits;
    } known[] = {{"EUR", 2}, {"JPY", 0}, {"BHD", 3}, {"CLF", 4}, {"XPF", 0},
                 {"AED", 2}, {"ZWG", 2}, {"BIF", 0}, {"TND", 3}, {"USD", 2}};
    static const char *const unknown[] = {"", "EU", "EURO", "eur", "XXX", "URE", "R A", "EU "};
    unsigned digits;

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_true(currency_find(known[i].code, &digits));
        assert_int_equal(digits, known[i].digits);
    }
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_false(currency_find(unknown[i], &digits));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decimals_are_read_digit_by_digit),
        cmocka_unit_test(test_what_is_no_decimal_is_refused),
        cmocka_unit_test(test_only_the_given_length_is_read),
        cmocka_unit_test(test_halves_are_rounded_up),
        cmocka_unit_test(test_decimals_are_written),
        cmocka_unit_test(test_128_bits_are_written),
        cmocka_unit_test(test_currencies_have_their_minor_units),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
