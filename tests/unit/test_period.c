/* Periods: what operators write, and where days and months end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tenants/period.h"
#include "tenants/timezone.h"

static void expect_period_at(const char *now_text, const char *text, const char *from,
                             const char *to) {
    char start[PERIOD_TIME_BYTES], end[PERIOD_TIME_BYTES];
    struct period period;
    struct error error;
    time_t now;

    assert_true(period_parse_time(now_text, PERIOD_UTC, &now, &error));
    if (!period_parse(text, PERIOD_UTC, now + 1234, &period, &error))
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
        if (period_parse(texts[i], PERIOD_UTC, 0, &period, &error))
            fail_msg("\"%s\" was taken", texts[i]);
}

static void expect_time(const char *text, const char *expected) {
    char found[PERIOD_TIME_BYTES];
    struct error error;
    time_t time;

    if (!period_parse_time(text, PERIOD_UTC, &time, &error))
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
        if (period_parse_time(texts[i], PERIOD_UTC, &time, &error))
            fail_msg("\"%s\" was taken", texts[i]);
    period_parse_time("2026-11-22T14:30:00Z", PERIOD_UTC, &time, &error);
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
    period_parse_time("2028-02-29T23:00:00Z", PERIOD_UTC, &time, &error);
    period_parse_time("2028-02-01", PERIOD_UTC, &from, &error);
    period_parse_time("2028-03-01", PERIOD_UTC, &to, &error);
    period = period_around(LEDGER_BY_HOUR, PERIOD_UTC, time + 3599);
    assert_int_equal(period.from, time);
    assert_int_equal(period.to, to);
    period = period_around(LEDGER_BY_DAY, PERIOD_UTC, time);
    assert_int_equal(period.from, to - 86400);
    assert_int_equal(period.to, to);
    period = period_around(LEDGER_BY_MONTH, PERIOD_UTC, to - 1);
    assert_int_equal(period.from, from);
    assert_int_equal(period.to, to);
    assert_int_equal(period_around(LEDGER_BY_MONTH, PERIOD_UTC, to).from, to);
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

/* ---- The operator's time zone ---- */

static time_t instant(const char *text) {
    struct error error;
    time_t time = 0;

    if (!period_parse_time(text, PERIOD_UTC, &time, &error))
        fail_msg("%s", error.text);
    return time;
}

static void enter(const char *zone) {
    struct error error;

    if (!timezone_enter(zone, &error))
        fail_msg("%s", error.text);
}

static void expect_local(const char *now, const char *text, const char *from, const char *to) {
    char start[PERIOD_TIME_BYTES], end[PERIOD_TIME_BYTES];
    struct period period;
    struct error error;

    if (!period_parse(text, PERIOD_LOCAL, instant(now), &period, &error))
        fail_msg("%s", error.text);
    period_format_time(period.from, start);
    period_format_time(period.to, end);
    assert_string_equal(start, from);
    assert_string_equal(end, to);
}

static void test_local_days_and_months_around_daylight_saving(void **state) {
    static const char now[] = "2026-03-29T12:00:00Z";

    (void)state;
    enter("Europe/Madrid");
    expect_local(now, "today", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"); /* 23 h */
    expect_local(now, "yesterday", "2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z");
    expect_local(now, "month", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z");
    expect_local(now, "last-month", "2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z");
    expect_local(now, "year", "2025-12-31T23:00:00Z", "2026-12-31T23:00:00Z");
    expect_local(now, "2026-10", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z");
    expect_local("2026-10-25T20:00:00Z", "today", "2026-10-24T22:00:00Z",
                 "2026-10-25T23:00:00Z"); /* 25 h */
    /* The date there is another one than that of UTC. */
    expect_local("2026-12-31T23:00:00Z", "month", "2026-12-31T23:00:00Z", "2027-01-31T23:00:00Z");
    expect_local("2026-12-31T22:00:00Z", "year", "2025-12-31T23:00:00Z", "2026-12-31T23:00:00Z");
}

static void test_local_days_in_the_south(void **state) {
    (void)state;
    enter("Australia/Sydney");
    expect_local("2026-04-05T02:00:00Z", "today", "2026-04-04T13:00:00Z", "2026-04-05T14:00:00Z");
    expect_local("2026-10-04T02:00:00Z", "today", "2026-10-03T14:00:00Z", "2026-10-04T13:00:00Z");
    expect_local("2026-10-04T02:00:00Z", "month", "2026-09-30T14:00:00Z", "2026-10-31T13:00:00Z");
    enter("Pacific/Auckland");
    expect_local("2026-12-31T11:00:00Z", "2027", "2026-12-31T11:00:00Z", "2027-12-31T11:00:00Z");
}

/* Where the clocks change at midnight, it is left out in one season and comes twice in the other.
 */
static void test_local_days_without_a_midnight(void **state) {
    (void)state;
    enter("America/Havana");
    expect_local("2026-03-08T12:00:00Z", "2026-03-08", "2026-03-08T05:00:00Z",
                 "2026-03-09T04:00:00Z");
    expect_local("2026-11-01T12:00:00Z", "2026-11-01", "2026-11-01T04:00:00Z",
                 "2026-11-02T05:00:00Z");
    expect_local("2026-11-01T12:00:00Z", "2026-11", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z");
    enter("America/Santiago");
    expect_local("2026-04-05T12:00:00Z", "2026-04-04", "2026-04-04T03:00:00Z",
                 "2026-04-05T04:00:00Z");
    expect_local("2026-09-06T12:00:00Z", "2026-09-06", "2026-09-06T04:00:00Z",
                 "2026-09-07T03:00:00Z");
}

/* Two years of every hour: the periods lie side by side, and each is one local date. */
static void expect_days_without_gaps(const char *zone) {
    time_t end = instant("2028-01-01");
    struct period day = {0}, month = {0};
    struct tm first = {0}, now;

    enter(zone);
    for (time_t time = instant("2026-01-01"); time < end; time += 3600) {
        struct period again = period_around(LEDGER_BY_DAY, PERIOD_LOCAL, time);
        struct period around = period_around(LEDGER_BY_MONTH, PERIOD_LOCAL, time);
        localtime_r(&time, &now);
        if (time < day.to) {
            assert_true(again.from == day.from && again.to == day.to);
            assert_int_equal(now.tm_yday, first.tm_yday);
        } else {
            assert_true(day.to == 0 || (again.from == day.to && now.tm_yday != first.tm_yday));
            localtime_r(&again.from, &first);
        }
        assert_true(again.from <= time && time < again.to && again.from % 3600 == 0);
        assert_true(around.from <= again.from && again.to <= around.to);
        assert_true(month.to == 0 || around.from == month.from || around.from == month.to);
        day = again;
        month = around;
    }
}

static void test_local_days_have_no_gaps(void **state) {
    static const char *const zones[] = {
        "UTC",          "Europe/Madrid",     "Europe/London",    "America/Havana",
        "Africa/Cairo", "America/Santiago",  "Australia/Sydney", "Pacific/Auckland",
        "Asia/Beirut",  "Antarctica/Troll",  "Pacific/Apia",     "Pacific/Kiritimati",
        "America/Nuuk", "Africa/Casablanca", "Europe/Dublin",    "America/Sao_Paulo",
        "Etc/GMT+12",   "Atlantic/Azores",
    };

    (void)state;
    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++)
        expect_days_without_gaps(zones[i]);
}

static void test_times_of_the_operators_zone(void **state) {
    struct error error;
    time_t time;

    (void)state;
    enter("Europe/Madrid");
    assert_true(period_parse_time("2026-11", PERIOD_LOCAL, &time, &error));
    assert_int_equal(time, instant("2026-10-31T23:00:00Z"));
    assert_true(period_parse_time("2026-07-01", PERIOD_LOCAL, &time, &error));
    assert_int_equal(time, instant("2026-06-30T22:00:00Z"));
    assert_true(period_parse_time("2026-07-01T00:00:00Z", PERIOD_LOCAL, &time, &error));
    assert_int_equal(time, instant("2026-07-01"));
    assert_false(period_parse_time("2026-02-29", PERIOD_LOCAL, &time, &error));
}

static void test_utc_is_utc_whatever_the_zone(void **state) {
    (void)state;
    enter("Europe/Madrid");
    test_names_of_periods(state);
    test_dates_are_periods(state);
    test_period_around_an_instant(state);
}

static void test_clock_shows_the_hour_that_comes_twice(void **state) {
    char text[PERIOD_CLOCK_BYTES];

    (void)state;
    enter("Europe/Madrid");
    period_format_clock(instant("2026-10-25T00:00:00Z"), PERIOD_LOCAL, text);
    assert_string_equal(text, "2026-10-25 02:00 +0200");
    period_format_clock(instant("2026-10-25T01:00:00Z"), PERIOD_LOCAL, text);
    assert_string_equal(text, "2026-10-25 02:00 +0100");
    period_format_clock(instant("2026-10-25T01:00:00Z"), PERIOD_UTC, text);
    assert_string_equal(text, "2026-10-25 01:00");
}

static void expect_no_zone(const char *name, const char *what) {
    struct error error = {""};

    if (timezone_enter(name, &error))
        fail_msg("\"%s\" was taken", name);
    if (strstr(error.text, what) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, what);
}

static void test_zone_that_is_none_is_refused(void **state) {
    static const char *const names[] = {
        "",          "Europe/Atlantis",     "Europe",
        "zone.tab",  "../../etc/localtime", "/etc/passwd",
        "CET-1CEST", "Madrid;rm",           ":Europe/Madrid",
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        expect_no_zone(names[i], "no time zone of this system");
}

static void test_zone_off_the_whole_hour_is_refused(void **state) {
    static const char *const names[] = {"Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns",
                                        "Australia/Adelaide", "Australia/Lord_Howe"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        expect_no_zone(names[i], "whole hour");
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
        cmocka_unit_test(test_local_days_and_months_around_daylight_saving),
        cmocka_unit_test(test_local_days_in_the_south),
        cmocka_unit_test(test_local_days_without_a_midnight),
        cmocka_unit_test(test_local_days_have_no_gaps),
        cmocka_unit_test(test_times_of_the_operators_zone),
        cmocka_unit_test(test_utc_is_utc_whatever_the_zone),
        cmocka_unit_test(test_clock_shows_the_hour_that_comes_twice),
        cmocka_unit_test(test_zone_that_is_none_is_refused),
        cmocka_unit_test(test_zone_off_the_whole_hour_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
