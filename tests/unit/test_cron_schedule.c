/* When it is whose turn: on a fake clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "tenants/containers/cron_schedule.h"

#define NOON ((time_t)1795348800)

static unsigned count_turns(struct cron_clock *clock, const char *id, unsigned every, time_t from,
                            time_t to) {
    unsigned count = 0;

    for (time_t now = from; now < to; now++)
        count += cron_clock_take_turn(clock, id, every, now);
    return count;
}

static void test_there_is_one_turn_in_each_period(void **state) {
    struct cron_clock clock = {0};

    (void)state;
    assert_false(cron_clock_take_turn(&clock, "centro1", 60, NOON));
    for (int minute = 0; minute < 100; minute++)
        assert_int_equal(
            count_turns(&clock, "centro1", 60, NOON + minute * 60 + 1, NOON + minute * 60 + 61), 1);
}

static void test_next_turn_is_when_it_is_taken(void **state) {
    static const unsigned periods[] = {1, 7, 60, 3600, 86400};

    (void)state;
    for (size_t i = 0; i < sizeof periods / sizeof *periods; i++) {
        struct cron_clock clock = {0};
        time_t next = cron_clock_next("centro1", periods[i], NOON);
        assert_true(next > NOON && next <= NOON + (time_t)periods[i]);
        cron_clock_take_turn(&clock, "centro1", periods[i], NOON);
        assert_false(cron_clock_take_turn(&clock, "centro1", periods[i], next - 1));
        assert_true(cron_clock_take_turn(&clock, "centro1", periods[i], next));
        assert_false(cron_clock_take_turn(&clock, "centro1", periods[i], next));
    }
}

static void test_tenants_spread_over_the_period(void **state) {
    unsigned in_second[60] = {0};
    char id[16];

    (void)state;
    for (int i = 1; i <= 600; i++) {
        snprintf(id, sizeof id, "centro%d", i);
        in_second[cron_clock_next(id, 60, NOON) % 60]++;
    }
    for (int second = 0; second < 60; second++) /* ten of each on average */
        assert_in_range(in_second[second], 1, 25);
}

static void test_places_do_not_depend_on_when_it_began(void **state) {
    struct cron_clock early = {0};
    struct cron_clock late = {0};

    (void)state;
    cron_clock_take_turn(&early, "centro1", 60, NOON - 1000);
    cron_clock_take_turn(&early, "centro1", 60, NOON);
    cron_clock_take_turn(&late, "centro1", 60, NOON);
    for (time_t now = NOON; now < NOON + 200; now++)
        assert_int_equal(cron_clock_take_turn(&early, "centro1", 60, now),
                         cron_clock_take_turn(&late, "centro1", 60, now));
}

static void test_pause_makes_one_turn_of_those_missed(void **state) {
    struct cron_clock clock = {0};

    (void)state;
    cron_clock_take_turn(&clock, "centro1", 60, NOON);
    assert_true(cron_clock_take_turn(&clock, "centro1", 60, NOON + 36000));
    assert_int_equal(count_turns(&clock, "centro1", 60, NOON + 36001, NOON + 36061), 1);
}

static void test_changed_period_waits_for_its_first_turn(void **state) {
    struct cron_clock clock = {0};

    (void)state;
    cron_clock_take_turn(&clock, "centro1", 86400, NOON);
    assert_false(cron_clock_take_turn(&clock, "centro1", 60, NOON + 3600));
    assert_int_equal(count_turns(&clock, "centro1", 60, NOON + 3601, NOON + 3661), 1);
}

static void test_clock_set_back_does_not_stop_the_turns(void **state) {
    struct cron_clock clock = {0};

    (void)state;
    cron_clock_take_turn(&clock, "centro1", 60, NOON);
    assert_false(cron_clock_take_turn(&clock, "centro1", 60, NOON - 7200));
    assert_int_equal(count_turns(&clock, "centro1", 60, NOON - 7199, NOON - 7139), 1);
}

#define TEST(name) cmocka_unit_test(name)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_there_is_one_turn_in_each_period),
        TEST(test_next_turn_is_when_it_is_taken),
        TEST(test_tenants_spread_over_the_period),
        TEST(test_places_do_not_depend_on_when_it_began),
        TEST(test_pause_makes_one_turn_of_those_missed),
        TEST(test_changed_period_waits_for_its_first_turn),
        TEST(test_clock_set_back_does_not_stop_the_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
