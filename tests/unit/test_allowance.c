/* What a plan allows in a month: judged to the nanosecond and to the request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tenants/allowance.h"

#define SECOND_NS UINT64_C(1000000000)
#define NOVEMBER ((time_t)1793491200) /* 2026-11-01T00:00:00Z */

static enum allowance judge(uint64_t cpu_limit, uint64_t request_limit, uint64_t cpu_ns,
                            uint64_t requests) {
    struct tenant_plan plan = {.cpu_seconds_per_month = cpu_limit,
                               .requests_per_month = request_limit};

    return allowance_judge(&plan, (struct month_use){.requests = requests, .cpu_ns = cpu_ns});
}

static void test_plan_without_limits_is_always_free(void **state) {
    struct tenant_plan plan = {.over = PLAN_OVER_REFUSE};

    (void)state;
    assert_false(allowance_is_limited(&plan));
    assert_int_equal(judge(0, 0, UINT64_MAX, UINT64_MAX), ALLOWANCE_FREE);
    plan.cpu_seconds_per_month = 1;
    assert_true(allowance_is_limited(&plan));
    plan = (struct tenant_plan){.requests_per_month = 1};
    assert_true(allowance_is_limited(&plan));
}

static void test_cpu_is_judged_to_the_nanosecond(void **state) {
    (void)state;
    assert_int_equal(judge(10, 0, 0, 0), ALLOWANCE_FREE);
    assert_int_equal(judge(10, 0, 8 * SECOND_NS - 1, 0), ALLOWANCE_FREE);
    assert_int_equal(judge(10, 0, 8 * SECOND_NS, 0), ALLOWANCE_NEAR);
    assert_int_equal(judge(10, 0, 10 * SECOND_NS - 1, 0), ALLOWANCE_NEAR);
    assert_int_equal(judge(10, 0, 10 * SECOND_NS, 0), ALLOWANCE_OVER);
    assert_int_equal(judge(1, 0, 800000000 - 1, 0), ALLOWANCE_FREE);
    assert_int_equal(judge(1, 0, 800000000, 0), ALLOWANCE_NEAR);
    assert_int_equal(judge(3, 0, 2400000000 - 1, 0), ALLOWANCE_FREE);
    assert_int_equal(judge(3, 0, 2400000000, 0), ALLOWANCE_NEAR);
}

static void test_requests_are_judged_to_the_request(void **state) {
    (void)state;
    assert_int_equal(judge(0, 100, 0, 79), ALLOWANCE_FREE);
    assert_int_equal(judge(0, 100, 0, 80), ALLOWANCE_NEAR);
    assert_int_equal(judge(0, 100, 0, 99), ALLOWANCE_NEAR);
    assert_int_equal(judge(0, 100, 0, 100), ALLOWANCE_OVER);
    assert_int_equal(judge(0, 1, 0, 0), ALLOWANCE_FREE);
    assert_int_equal(judge(0, 1, 0, 1), ALLOWANCE_OVER);
    assert_int_equal(judge(0, 7, 0, 5), ALLOWANCE_FREE); /* 71 % */
    assert_int_equal(judge(0, 7, 0, 6), ALLOWANCE_NEAR); /* 86 % */
}

static void test_largest_limits_do_not_wrap(void **state) {
    uint64_t largest = UINT64_C(1) << 53;

    (void)state;
    assert_int_equal(judge(largest, largest, UINT64_MAX, 1), ALLOWANCE_FREE);
    assert_int_equal(judge(0, largest, 0, largest / 5 * 4), ALLOWANCE_FREE);
    assert_int_equal(judge(0, largest, 0, largest / 5 * 4 + 4), ALLOWANCE_NEAR);
    assert_int_equal(judge(0, largest, 0, largest), ALLOWANCE_OVER);
    assert_int_equal(judge(0, largest, 0, UINT64_MAX), ALLOWANCE_OVER);
}

static void test_limit_that_is_nearest_counts(void **state) {
    struct tenant_plan plan = {.cpu_seconds_per_month = 10, .requests_per_month = 100};

    (void)state;
    assert_int_equal(judge(10, 100, 8 * SECOND_NS, 100), ALLOWANCE_OVER);
    assert_int_equal(judge(10, 100, 10 * SECOND_NS, 80), ALLOWANCE_OVER);
    assert_int_equal(judge(10, 100, 8 * SECOND_NS, 0), ALLOWANCE_NEAR);
    struct month_use use = {.requests = 25, .cpu_ns = 5 * SECOND_NS};
    assert_true(allowance_used_percent(&plan, use) == 50);
    use.requests = 75;
    assert_true(allowance_used_percent(&plan, use) == 75);
}

static void test_forecast_goes_on_as_it_went_so_far(void **state) {
    struct period month = period_around(LEDGER_BY_MONTH, PERIOD_UTC, NOVEMBER + 5);

    (void)state;
    assert_true(allowance_forecast(30, month, NOVEMBER + 10 * 86400) == 90);
    assert_true(allowance_forecast(0, month, NOVEMBER + 10 * 86400) == 0);
    assert_true(allowance_forecast(1, month, NOVEMBER + 3600) == 720);
    assert_true(allowance_forecast(1, month, NOVEMBER + 3599) < 0);
    assert_true(allowance_forecast(1, month, NOVEMBER - 1) < 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_without_limits_is_always_free),
        cmocka_unit_test(test_cpu_is_judged_to_the_nanosecond),
        cmocka_unit_test(test_requests_are_judged_to_the_request),
        cmocka_unit_test(test_largest_limits_do_not_wrap),
        cmocka_unit_test(test_limit_that_is_nearest_counts),
        cmocka_unit_test(test_forecast_goes_on_as_it_went_so_far),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
