/* Who is over quota, on a clock and with a meter, a ledger and a log that the test makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/daemon.h"
#include "shim/folder.h"
#include "shim/quota.h"
#include "tenants/log.h"

#define SECOND_NS UINT64_C(1000000000)
#define NOVEMBER ((time_t)1793491200) /* 2026-11-01T00:00:00Z */
#define DECEMBER (NOVEMBER + 30 * 86400)

/* ---- The others ---- */

enum { TENANTS_MAX = 4, LOG_LINES_MAX = 16 };

struct account {
    char name[TENANT_ID_MAX + 1];
    struct month_use use;
};

static struct world {
    struct daemon daemon;
    struct account accounts[TENANTS_MAX];
    time_t month;
    struct month_question *question; /* not answered yet */
    struct month_question *answer;
    uint64_t waited_ns;
    unsigned over_count; /* sites that were told last that they are over */
    char over[TENANTS_MAX][TENANT_ID_MAX + 1];
    char log[LOG_LINES_MAX][512];
    unsigned log_lines;
    uint64_t now_ns;
} world;

struct account *meter_account(struct meter *meter, const char *name) {
    struct account *account = world.accounts;

    (void)meter;
    while (account->name[0] != '\0' && strcmp(account->name, name) != 0)
        account++;
    assert_true(account < world.accounts + TENANTS_MAX);
    snprintf(account->name, sizeof account->name, "%s", name);
    return account;
}

time_t meter_month(const struct meter *meter) {
    (void)meter;
    return world.month;
}

struct month_use meter_month_use(const struct account *account) {
    return account->use;
}

const char *counters_instance(const struct counters *counters) {
    (void)counters;
    return "own";
}

void folder_ask(struct folder *folder, struct month_question *question) {
    (void)folder;
    assert_null(world.question);
    assert_null(world.answer);
    assert_string_equal(question->except, "own");
    world.question = question;
}

struct month_question *folder_take_answer(struct folder *folder, uint64_t wait_ns) {
    struct month_question *answer = world.answer;

    (void)folder;
    world.waited_ns = wait_ns;
    world.answer = NULL;
    return answer;
}

void site_set_over_quota(struct daemon *daemon, const char *id, bool is_over) {
    unsigned at = 0;

    (void)daemon;
    while (at < world.over_count && strcmp(world.over[at], id) != 0)
        at++;
    if (is_over && at == world.over_count)
        snprintf(world.over[world.over_count++], sizeof world.over[0], "%s", id);
    else if (!is_over && at < world.over_count)
        memmove(world.over[at], world.over[--world.over_count], sizeof world.over[0]);
}

__attribute__((format(printf, 1, 0))) static void keep_line(const char *format, va_list arguments) {
    assert_true(world.log_lines < LOG_LINES_MAX);
    vsnprintf(world.log[world.log_lines++], sizeof world.log[0], format, arguments);
}

#define KEEP_LINE                                                                                  \
    va_list arguments;                                                                             \
    va_start(arguments, format);                                                                   \
    keep_line(format, arguments);                                                                  \
    va_end(arguments)

void log_error(const char *format, ...) {
    KEEP_LINE;
}
void log_warning(const char *format, ...) {
    KEEP_LINE;
}
void log_notice(const char *format, ...) {
    KEEP_LINE;
}

/* ---- What a test does ---- */

static int set_up(void **state) {
    (void)state;
    world = (struct world){.month = NOVEMBER, .now_ns = 100 * SECOND_NS};
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    quotas_free(&world.daemon.quotas);
    free(world.question);
    free(world.answer);
    return 0;
}

static struct tenant tenant_of(const char *id, uint64_t requests, uint64_t cpu_seconds,
                               enum plan_over over) {
    struct tenant tenant = {.plan = {.requests_per_month = requests,
                                     .cpu_seconds_per_month = cpu_seconds,
                                     .over = over}};

    snprintf(tenant.id, sizeof tenant.id, "%s", id);
    return tenant;
}

/* Also for one that is known already. */
static void limit(const char *id, uint64_t requests) {
    struct tenant tenant = tenant_of(id, requests, 0, PLAN_OVER_REFUSE);

    quota_on_change(&world.daemon, NULL, &tenant);
}

static void tick(void) {
    world.now_ns += SECOND_NS / 10;
    quotas_tick(&world.daemon, world.now_ns);
}

static void use(const char *id, uint64_t requests) {
    meter_account(NULL, id)->use.requests = requests;
    tick();
}

/* What the ledger says to the question that waits: so many requests of each. */
static void answer(uint64_t requests) {
    assert_non_null(world.question);
    world.answer = world.question;
    world.question = NULL;
    for (size_t i = 0; i < world.answer->count; i++)
        world.answer->sums[i].use = (struct month_use){.requests = requests};
}

static void expect_log(unsigned line, const char *text) {
    assert_true(line < world.log_lines);
    if (strstr(world.log[line], text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", world.log[line], text);
}

/* ---- Tests ---- */

static void test_quota_is_over_from_the_last_request_allowed_on(void **state) {
    (void)state;
    limit("one", 10);
    use("one", 9);
    assert_int_equal(world.over_count, 0);
    assert_false(quota_is_over(&world.daemon.quotas, "one"));
    use("one", 10);
    assert_int_equal(world.over_count, 1);
    assert_true(quota_is_over(&world.daemon.quotas, "one"));
    assert_false(quota_is_over(&world.daemon.quotas, "two"));
}

static void test_each_state_is_told_once(void **state) {
    (void)state;
    limit("one", 10);
    for (uint64_t i = 0; i <= 14; i++)
        use("one", i);
    assert_int_equal(world.log_lines, 2);
    expect_log(0, "tenant one: has used 80 % of its plan of this month: 8 of 10 requests");
    expect_log(1, "tenant one: has used up its plan of this month: 10 of 10 requests; its requests "
                  "are answered with 429 until the month ends (UTC) or plan.requests_per_month is "
                  "raised");
}

static void test_log_names_the_limit_to_raise(void **state) {
    struct tenant slow = tenant_of("one", 1000, 2, PLAN_OVER_SLOW);

    (void)state;
    quota_on_change(&world.daemon, NULL, &slow);
    meter_account(NULL, "one")->use.cpu_ns = 5 * SECOND_NS / 2;
    use("one", 7);
    assert_int_equal(world.log_lines, 1);
    expect_log(0, "CPU 2.500 of 2 s, 7 of 1000 requests; its requests run one at a time until the "
                  "month ends (UTC) or plan.cpu_seconds_per_month is raised");
}

static void test_raised_limit_counts_at_once_without_a_tick(void **state) {
    (void)state;
    limit("one", 10);
    use("one", 10);
    limit("one", 11);
    assert_int_equal(world.over_count, 0);
    assert_int_equal(world.log_lines, 2);
    expect_log(1, "tenant one: is within its plan again: 10 of 11 requests");
    limit("one", 10);
    assert_int_equal(world.over_count, 1);
    limit("one", 0); /* no limit at all */
    assert_int_equal(world.over_count, 0);
    use("one", 1000);
    assert_int_equal(world.over_count, 0);
    assert_null(world.daemon.quotas.table);
}

static void test_tenant_that_is_removed_is_forgotten(void **state) {
    struct tenant one = tenant_of("one", 10, 0, PLAN_OVER_REFUSE);

    (void)state;
    limit("one", 10);
    use("one", 10);
    quota_on_change(&world.daemon, &one, NULL);
    assert_int_equal(world.over_count, 0);
    assert_null(world.daemon.quotas.table);
    answer(5); /* to the question in which it was */
    tick();
    assert_int_equal(world.over_count, 0);
}

static void test_what_others_charged_counts_too(void **state) {
    (void)state;
    limit("one", 10);
    use("one", 3);
    assert_int_equal(world.over_count, 0);
    answer(7);
    tick();
    assert_int_equal(world.over_count, 1);
    expect_log(0, "10 of 10 requests");
}

static void test_new_month_begins_with_nothing_used(void **state) {
    (void)state;
    limit("one", 10);
    tick();
    answer(10);
    tick();
    assert_int_equal(world.over_count, 1);
    world.now_ns += 2 * SECOND_NS;
    tick();
    assert_non_null(world.question); /* asked in November */
    world.month = DECEMBER;
    use("one", 0);
    assert_int_equal(world.over_count, 0);
    expect_log(1, "within its plan again: 0 of 10 requests");
    answer(10); /* of November */
    tick();
    tick();
    assert_int_equal(world.over_count, 0);
    world.now_ns += 2 * SECOND_NS;
    tick();
    assert_int_equal(world.question->month.from, DECEMBER);
    answer(10);
    tick();
    assert_int_equal(world.over_count, 1);
}

static void test_ledger_is_asked_every_second(void **state) {
    unsigned asked = 0;

    (void)state;
    limit("one", 10);
    for (unsigned i = 0; i < 100; i++) {
        tick();
        if (world.question == NULL)
            continue;
        asked++;
        answer(0);
    }
    assert_in_range(asked, 8, 10);
}

static void test_slow_ledger_is_asked_seldom(void **state) {
    unsigned asked = 0;

    (void)state;
    limit("one", 10);
    for (unsigned i = 0; i < 1000; i++) {
        tick();
        if (world.question == NULL)
            continue;
        asked++;
        answer(0);
        world.answer->took_ns = SECOND_NS;
    }
    assert_in_range(asked, 4, 6); /* in 100 s, 20 s apart */
}

static void test_new_quota_is_asked_for_at_once_and_alone(void **state) {
    (void)state;
    limit("one", 10);
    tick();
    answer(0);
    tick();
    assert_null(world.question);
    limit("two", 10);
    tick();
    assert_non_null(world.question);
    assert_int_equal(world.question->count, 1);
    assert_string_equal(world.question->sums[0].tenant, "two");
    answer(10);
    tick();
    assert_int_equal(world.over_count, 1);
    assert_string_equal(world.over[0], "two");
}

static void test_start_waits_a_moment_for_the_ledger(void **state) {
    (void)state;
    quotas_begin(&world.daemon, world.now_ns);
    assert_null(world.question); /* without quotas there is nothing to ask */
    assert_int_equal(world.waited_ns, 0);
    limit("one", 10);
    quotas_begin(&world.daemon, world.now_ns);
    assert_in_range(world.waited_ns, SECOND_NS / 10, SECOND_NS);
    use("one", 10); /* it has not answered: what we charged counts */
    assert_int_equal(world.over_count, 1);
}

static void test_many_quotas_are_judged_apart(void **state) {
    static const char *const ids[] = {"one", "two", "three"};

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        limit(ids[i], 10 * (i + 1));
    for (unsigned i = 0; i < 3; i++)
        meter_account(NULL, ids[i])->use.requests = 20;
    tick();
    assert_int_equal(world.question->count, 3);
    assert_int_equal(world.over_count, 2);
    assert_false(quota_is_over(&world.daemon.quotas, "three"));
}

#define QUOTA(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        QUOTA(test_quota_is_over_from_the_last_request_allowed_on),
        QUOTA(test_each_state_is_told_once),
        QUOTA(test_log_names_the_limit_to_raise),
        QUOTA(test_raised_limit_counts_at_once_without_a_tick),
        QUOTA(test_tenant_that_is_removed_is_forgotten),
        QUOTA(test_what_others_charged_counts_too),
        QUOTA(test_new_month_begins_with_nothing_used),
        QUOTA(test_ledger_is_asked_every_second),
        QUOTA(test_slow_ledger_is_asked_seldom),
        QUOTA(test_new_quota_is_asked_for_at_once_and_alone),
        QUOTA(test_start_waits_a_moment_for_the_ledger),
        QUOTA(test_many_quotas_are_judged_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
