/* Folds that come late: days of counter files at once, in any order; each hour keeps its own. */
#include "tests/support/ledger_fixture.h"

enum { HOUR = 3600, HOURS = 60 };

static void tick(struct counters *counters, time_t now) {
    struct error error = {""};

    if (!counters_tick(counters, now, &error))
        fail_msg("%s", error.text);
}

/* An amount that no other hour has. */
static uint64_t amount_of(int number) {
    return 1000 + (uint64_t)number * (uint64_t)number;
}

/* A daemon that counts through HOURS hours from start on, and nobody folds. */
static struct counters *count_hours(time_t start, const char *name) {
    struct counters *counters = must_count(start + 1);

    for (int number = 0; number < HOURS; number++) {
        tick(counters, start + number * HOUR + 7);
        add_to(counters, name, COUNTER_CPU_NS, amount_of(number));
        tick(counters, start + number * HOUR + HOUR - 1);
        add_to(counters, name, COUNTER_REQUESTS, 1);
    }
    return counters;
}

static struct rows hours_of(struct ledger *ledger, const char *name) {
    return ask(ledger, (struct ledger_query){.tenant = name, .by = LEDGER_BY_HOUR});
}

static void assert_hours(const struct rows *rows, time_t start, uint64_t times) {
    assert_int_equal(rows->count, HOURS);
    for (int number = 0; number < HOURS; number++) {
        const struct ledger_row *row = &rows->rows[number];
        assert_int_equal(row->period_start, start + number * HOUR);
        assert_int_equal(row->values[COUNTER_CPU_NS], times * amount_of(number));
        assert_int_equal(row->values[COUNTER_REQUESTS], times);
    }
}

static void test_hours_that_are_folded_days_later_keep_their_own(void **state) {
    struct counters *counters = count_hours(HOUR_14, "centro1");
    struct ledger *ledger = must_open();

    (void)state;
    assert_int_equal(count_files(), HOURS);
    must_fold(ledger);
    struct rows rows = hours_of(ledger, "centro1");
    assert_hours(&rows, HOUR_14, 1);
    assert_int_equal(count_files(), 1); /* the running one */
    counters_close(counters);
    must_fold(ledger);
    rows = hours_of(ledger, "centro1");
    assert_hours(&rows, HOUR_14, 1);
    ledger_close(ledger);
}

static void test_files_of_dead_and_running_daemons_are_summed_by_hour(void **state) {
    struct counters *dead = count_hours(HOUR_14, "centro1");
    counters_close(dead);
    struct counters *running = count_hours(HOUR_14, "centro1");
    struct ledger *ledger = must_open();

    (void)state;
    assert_int_equal(count_files(), 2 * HOURS);
    must_fold(ledger);
    must_fold(ledger);
    struct rows rows = hours_of(ledger, "centro1");
    assert_hours(&rows, HOUR_14, 2);
    counters_close(running);
    ledger_close(ledger);
}

static void test_older_hours_may_come_after_newer_ones(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    leave_file(HOUR_14 + 5 * HOUR, "centro1", 5);
    must_fold(ledger);
    leave_file(HOUR_14, "centro1", 2);
    leave_file(HOUR_14 - 30 * HOUR, "centro1", 1);
    must_fold(ledger);
    struct rows rows = hours_of(ledger, "centro1");
    assert_int_equal(rows.count, 3);
    assert_int_equal(rows.rows[0].period_start, HOUR_14 - 30 * HOUR);
    assert_int_equal(rows.rows[0].values[COUNTER_REQUESTS], 1);
    assert_int_equal(rows.rows[1].period_start, HOUR_14);
    assert_int_equal(rows.rows[1].values[COUNTER_REQUESTS], 2);
    assert_int_equal(rows.rows[2].period_start, HOUR_14 + 5 * HOUR);
    assert_int_equal(rows.rows[2].values[COUNTER_REQUESTS], 5);
    ledger_close(ledger);
}

/* The running hour is folded "so far" and again when it has long passed. */
static void test_hour_that_was_folded_so_far_is_completed_late(void **state) {
    struct counters *counters = must_count(HOUR_14);
    struct ledger *ledger = must_open();

    (void)state;
    add_to(counters, "centro1", COUNTER_REQUESTS, 3);
    must_fold(ledger);
    add_to(counters, "centro1", COUNTER_REQUESTS, 4);
    add_to(counters, "centro2", COUNTER_REQUESTS, 1);
    tick(counters, HOUR_14 + 9 * HOUR);
    add_to(counters, "centro1", COUNTER_REQUESTS, 8);
    must_fold(ledger);
    struct rows rows = hours_of(ledger, "centro1");
    assert_int_equal(rows.count, 2);
    assert_int_equal(rows.rows[0].period_start, HOUR_14);
    assert_int_equal(rows.rows[0].values[COUNTER_REQUESTS], 7);
    assert_int_equal(rows.rows[1].period_start, HOUR_14 + 9 * HOUR);
    assert_int_equal(rows.rows[1].values[COUNTER_REQUESTS], 8);
    rows = hours_of(ledger, "centro2");
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.rows[0].period_start, HOUR_14);
    counters_close(counters);
    ledger_close(ledger);
}

static void test_months_and_days_are_right_after_a_late_fold(void **state) {
    time_t december = MONTH_11 + 30 * 24 * HOUR;
    struct counters *counters = count_hours(december - HOURS / 2 * HOUR, "centro1");
    struct ledger *ledger = must_open();
    uint64_t halves[2] = {0};

    (void)state;
    for (int number = 0; number < HOURS; number++)
        halves[number >= HOURS / 2] += amount_of(number);
    must_fold(ledger);
    struct rows rows =
        ask(ledger, (struct ledger_query){.tenant = "centro1", .by = LEDGER_BY_MONTH});
    assert_int_equal(rows.count, 2);
    assert_int_equal(rows.rows[0].period_start, MONTH_11);
    assert_int_equal(rows.rows[1].period_start, december);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rows.rows[i].values[COUNTER_CPU_NS], halves[i]);
    rows = ask(ledger, (struct ledger_query){.tenant = "centro1", .by = LEDGER_BY_DAY});
    assert_int_equal(rows.count, 4); /* 6, 24, 24 and 6 hours */
    assert_int_equal(rows.rows[0].values[COUNTER_REQUESTS], 6);
    assert_int_equal(rows.rows[1].values[COUNTER_REQUESTS], 24);
    counters_close(counters);
    ledger_close(ledger);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_hours_that_are_folded_days_later_keep_their_own),
        TEST(test_files_of_dead_and_running_daemons_are_summed_by_hour),
        TEST(test_older_hours_may_come_after_newer_ones),
        TEST(test_hour_that_was_folded_so_far_is_completed_late),
        TEST(test_months_and_days_are_right_after_a_late_fold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
