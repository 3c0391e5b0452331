/* When something that failed is tried again, on a clock that only the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "tenants/containers/backoff.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static int set_up(void **state) {
    *state = backoff_new();
    return 0;
}

static int tear_down(void **state) {
    backoff_free(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* How long after now_ms it may be tried again. */
static int64_t wait_of(const struct backoff *backoff, const char *name, int64_t now_ms) {
    int64_t ms = 0;

    while (!backoff_allows(backoff, name, now_ms + ms))
        ms++;
    return ms;
}

static void test_what_was_never_tried_may_be_tried(void **state) {
    assert_true(backoff_allows(*state, "a", 0));
    assert_true(backoff_allows(*state, "", INT64_MAX));
    assert_int_equal(backoff_next_ms(*state, 0), -1);
    backoff_forget(*state, "a");
}

static void test_each_failure_doubles_the_wait_up_to_a_minute(void **state) {
    static const int64_t waits[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};

    for (int64_t start = 0; start < 2; start++) { /* the clock may begin at zero */
        int64_t now = start * HOUR;
        const char *name = start == 0 ? "a" : "b";
        for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
            backoff_note_failure(*state, name, now);
            assert_int_equal(backoff_next_ms(*state, now), waits[i] * SECOND);
            assert_int_equal(wait_of(*state, name, now), waits[i] * SECOND);
            now += waits[i] * SECOND;
        }
    }
}

static void test_success_that_lasts_lets_the_next_try_be_at_once(void **state) {
    backoff_note_success(*state, "a", 0);
    assert_true(backoff_allows(*state, "a", 0));
    backoff_note_success(*state, "a", MINUTE);
    assert_true(backoff_allows(*state, "a", MINUTE));
    assert_int_equal(backoff_next_ms(*state, MINUTE), -1);
}

static void test_successes_that_do_not_last_have_to_wait_longer_and_longer(void **state) {
    static const int64_t waits[] = {0, 1, 2, 4, 8, 16, 32, 60, 60};
    int64_t now = HOUR;

    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        backoff_note_success(*state, "a", now);
        if (wait_of(*state, "a", now) != waits[i] * SECOND)
            fail_msg("after %zu starts the wait is %d ms", i + 1, (int)wait_of(*state, "a", now));
        now += waits[i] * SECOND + 1; /* it dies at once and is started when that is allowed */
    }
}

static void test_who_worked_for_a_minute_has_its_failures_forgotten(void **state) {
    int64_t now = HOUR;

    for (int i = 0; i < 6; i++)
        backoff_note_failure(*state, "a", now++);
    backoff_note_success(*state, "a", now);
    now += HOUR; /* works */
    backoff_note_failure(*state, "a", now);
    assert_int_equal(wait_of(*state, "a", now), SECOND);
}

static void test_failures_that_are_far_apart_are_not_forgotten(void **state) {
    int64_t now = HOUR;

    backoff_note_failure(*state, "a", now);
    backoff_note_failure(*state, "a", now += HOUR);
    assert_int_equal(wait_of(*state, "a", now), 2 * SECOND);
}

static void test_success_after_many_failures_does_not_count_until_it_lasted(void **state) {
    int64_t now = HOUR;

    for (int i = 0; i < 7; i++) {
        backoff_note_failure(*state, "a", now);
        now += MINUTE;
    }
    backoff_note_success(*state, "a", now);
    assert_int_equal(wait_of(*state, "a", now), MINUTE);
    now += MINUTE + SECOND; /* as soon as it may: it only waited */
    backoff_note_success(*state, "a", now);
    assert_int_equal(wait_of(*state, "a", now), MINUTE);
    now += 2 * MINUTE;
    backoff_note_success(*state, "a", now);
    assert_int_equal(wait_of(*state, "a", now), 0);
}

static void test_names_do_not_wait_for_each_other(void **state) {
    backoff_note_failure(*state, "a", 0);
    assert_false(backoff_allows(*state, "a", 0));
    assert_true(backoff_allows(*state, "b", 0));
    assert_true(backoff_allows(*state, "", 0));
    assert_true(backoff_allows(*state, "aa", 0));
}

static void test_next_is_the_first_of_those_that_wait(void **state) {
    backoff_note_failure(*state, "a", 0);
    backoff_note_failure(*state, "a", 0);   /* until 2000 */
    backoff_note_failure(*state, "b", 500); /* until 1500 */
    backoff_note_success(*state, "c", 0);
    assert_int_equal(backoff_next_ms(*state, 500), 1000);
    assert_int_equal(backoff_next_ms(*state, 1500), 500);
    assert_int_equal(backoff_next_ms(*state, 2000), -1);
}

static void test_what_is_forgotten_begins_anew(void **state) {
    for (int i = 0; i < 5; i++)
        backoff_note_failure(*state, "a", i);
    backoff_forget(*state, "a");
    assert_true(backoff_allows(*state, "a", 5));
    assert_int_equal(backoff_next_ms(*state, 5), -1);
    backoff_note_failure(*state, "a", 5);
    assert_int_equal(wait_of(*state, "a", 5), SECOND);
}

static void test_many_names_are_kept_apart(void **state) {
    char name[16];

    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "centro%d", i);
        if (i % 3 == 0)
            backoff_note_failure(*state, name, i);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "centro%d", i);
        assert_int_equal(backoff_allows(*state, name, i), i % 3 != 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_never_tried_may_be_tried),
        TEST(test_each_failure_doubles_the_wait_up_to_a_minute),
        TEST(test_success_that_lasts_lets_the_next_try_be_at_once),
        TEST(test_successes_that_do_not_last_have_to_wait_longer_and_longer),
        TEST(test_who_worked_for_a_minute_has_its_failures_forgotten),
        TEST(test_failures_that_are_far_apart_are_not_forgotten),
        TEST(test_success_after_many_failures_does_not_count_until_it_lasted),
        TEST(test_names_do_not_wait_for_each_other),
        TEST(test_next_is_the_first_of_those_that_wait),
        TEST(test_what_is_forgotten_begins_anew),
        TEST(test_many_names_are_kept_apart),
    };
    return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
