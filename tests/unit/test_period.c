/* Periods: what operators write, and where days and months end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tenants/period.h"

static void expect_period_at(const char *now_text, const char *text, const char *from,
                             const char *to) {
    char start[PERIOD_TIME_BYTES], end[PERIOD_TIME_BYTES];
    struct period period;
    struct error error;
    time_t now;

    assert_true(period_parse_time(now_text, &now, &error));
    if (!period_parse(text, now + 1234, &period, &error))
        fail_msg("%s", error.text);
    period_format_time(period.from, start);
    period_format_time(period.to, end);
    assert_string_equal(start, from);
    assert_string_equal(end, to);
}

static void test_names_of_periods(void **state) {
    static const char now[] = "2026-11-22T14:00:00Z";

    (void)state;
    expect_period_at(now, "today", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z");
    expect_period_at(now, "day", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z");
    expect_period_at(now, "yesterday", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z");
    expect_period_at(now, "month", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
    expect_period_at(now, "last-month", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z");
    expect_period_at(now, "year", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    expect_period_at(now, "last-year", "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
}

static void test_periods_around_ends_of_months_and_years(void **state) {
    (void)state;
    expect_period_at("2026-01-01T00:00:00Z", "last-month", "2025-12-01T00:00:00Z",
                     "2026-01-01T00:00:00Z");
    expect_period_at("2026-01-01T00:00:00Z", "yesterday", "2025-12-31T00:00:00Z",
                     "2026-01-01T00:00:00Z");
    expect_period_at("2026-12-31T23:00:00Z", "month", "2026-12-01T00:00:00Z",
                     "2027-01-01T00:00:00Z");
    expect_period_at("2026-03-31T12:00:00Z", "last-month", "2026-02-01T00:00:00Z",
                     "2026-03-01T00:00:00Z");
    expect_period_at("2028-03-01T00:00:00Z", "yesterday", "2028-02-29T00:00:00Z",
                     "2028-03-01T00:00:00Z");
    expect_period_at("2026-03-01T00:00:00Z", "yesterday", "2026-02-28T00:00:00Z",
                     "2026-03-01T00:00:00Z");
}

static void test_dates_are_periods(void **state) {
    static const char now[] = "2026-11-22T14:00:00Z";

    (void)state;
    expect_period_at(now, "2028", "2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z");
    expect_period_at(now, "2028-02", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z");
    expect_period_at(now, "2026-12", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
    expect_period_at(now, "2028-02-29", "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z");
    expect_period_at(now, "2026-12-31", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z");
}

static void test_what_is_no_period_is_refused(void **state) {
    static const char *const texts[] = {
        "",     "2026-13",   "2026-00", "2026-02-29",  "2100-02-29", "2026-11-31", "2026-1",
        "1969", "2026-11-2", "monthly", "2026-11-22 ", " 2026",      "0000",       "2026/11"};
    struct period period;
    struct error error;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (period_parse(texts[i], 0, &period, &error))
            fail_msg("\"%s\" was taken", texts[i]);
}

static void expect_time(const char *text, const char *expected) {
    char found[PERIOD_TIME_BYTES];
    struct error error;
    time_t time;

    if (!period_parse_time(text, &time, &error))
        fail_msg("%s", error.text);
    period_format_time(time, found);
    assert_string_equal(found, expected);
}

static void test_times(void **state) {
    (void)state;
    expect_time("2026-11", "2026-11-01T00:00:00Z");
    expect_time("2026-11-22", "2026-11-22T00:00:00Z");
    expect_time("2026-11-22T14:00:00Z", "2026-11-22T14:00:00Z");
    expect_time("2026-11-22t14:00:00z", "2026-11-22T14:00:00Z");
    expect_time("2026-11-22 14:00:00.000Z", "2026-11-22T14:00:00Z");
    expect_time("2026-12-01T00:00:00+01:00", "2026-11-30T23:00:00Z");
    expect_time("2028-02-29T20:30:00-04:30", "2028-03-01T01:00:00Z");
}

static void test_what_is_no_time_is_refused(void **state) {
    static const char *const texts[] = {
        "",
        "2026",
        "now",
        "2026-11-22T14",
        "2026-11-22T14:00",
        "2026-11-22T14:00:00",
        "2026-11-22T24:00:00Z",
        "2026-11-22T23:60:00Z",
        "2026-11-22T23:59:60Z",
        "2026-02-30T00:00:00Z",
        "2026-11-22T14:00:00.5Z",
        "2026-11-22T14:00:00.Z",
        "2026-11-22T14:00:00+1:00",
        "2026-11-22T14:00:00+24:00",
        "2026-11-22T14:00:00+01:00x",
        "2026-11-22T14:00:00",
        "1970-01-01T00:00:00+01:00",
        "2026-11-22T14:30:00Z",
        "2026-11-22T14:00:01Z",
        "2026-11-22T14:00:00+05:30",
    };
    struct error error;
    time_t time;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (period_parse_time(texts[i], &time, &error))
            fail_msg("\"%s\" was taken", texts[i]);
    period_parse_time("2026-11-22T14:30:00Z", &time, &error);
    assert_non_null(strstr(error.text, "whole hour"));
}

static void expect_instant(const char *text, time_t seconds, long ns) {
    struct timespec time;

    if (!period_parse_rfc3339(text, &time))
        fail_msg("\"%s\" was refused", text);
    assert_int_equal(time.tv_sec, seconds);
    assert_int_equal(time.tv_nsec, ns);
}

static void test_instants_of_other_programs(void **state) {
    struct timespec time;

    (void)state;
    expect_instant("1970-01-01T00:00:00Z", 0, 0);
    expect_instant("2026-11-22T14:00:01.5Z", 1795356001, 500000000);
    expect_instant("2026-11-22T14:00:01.000000001Z", 1795356001, 1);
    expect_instant("2026-11-22T14:00:01.9999999999999Z", 1795356001, 999999999);
    expect_instant("2026-11-22T15:30:01.04+01:30", 1795356001, 40000000);
    assert_false(period_parse_rfc3339("0001-01-01T00:00:00Z", &time));
    assert_false(period_parse_rfc3339("2026-11-22", &time));
    assert_false(period_parse_rfc3339("2026-11-22T14:00:01.Z", &time));
}

static void test_period_around_an_instant(void **state) {
    struct error error;
    struct period period;
    time_t time, from, to;

    (void)state;
    period_parse_time("2028-02-29T23:00:00Z", &time, &error);
    period_parse_time("2028-02-01", &from, &error);
    period_parse_time("2028-03-01", &to, &error);
    period = period_around(LEDGER_BY_HOUR, time + 3599);
    assert_int_equal(period.from, time);
    assert_int_equal(period.to, to);
    period = period_around(LEDGER_BY_DAY, time);
    assert_int_equal(period.from, to - 86400);
    assert_int_equal(period.to, to);
    period = period_around(LEDGER_BY_MONTH, to - 1);
    assert_int_equal(period.from, from);
    assert_int_equal(period.to, to);
    assert_int_equal(period_around(LEDGER_BY_MONTH, to).from, to);
}

static void test_lengths_of_periods(void **state) {
    enum ledger_by by;

    (void)state;
    assert_true(period_parse_by("day", &by));
    assert_int_equal(by, LEDGER_BY_DAY);
    assert_true(period_parse_by("all", &by));
    assert_int_equal(by, LEDGER_BY_ALL);
    assert_false(period_parse_by("week", &by));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_periods),
        cmocka_unit_test(test_periods_around_ends_of_months_and_years),
        cmocka_unit_test(test_dates_are_periods),
        cmocka_unit_test(test_what_is_no_period_is_refused),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_what_is_no_time_is_refused),
        cmocka_unit_test(test_instants_of_other_programs),
        cmocka_unit_test(test_period_around_an_instant),
        cmocka_unit_test(test_lengths_of_periods),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
