/* What the engine says of a container, as a run for the ledger. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tenants/containers/service.h"

#define NEVER "0001-01-01T00:00:00Z"
#define SECOND INT64_C(1000000000)
#define AT_14 (INT64_C(1795356000) * SECOND) /* 2026-11-22T14:00:00Z */

/* The engine's answer, as far as it is of interest; the caller frees it. */
static cJSON *inspected(const char *status, const char *started, const char *finished,
                        int restarts) {
    bool is_restarting = strcmp(status, "restarting") == 0;
    bool is_running =
        is_restarting || strcmp(status, "running") == 0 || strcmp(status, "paused") == 0;
    char text[1024];

    snprintf(text, sizeof text,
             "{\"Id\":\"8d12a9ed\",\"State\":{\"Status\":\"%s\",\"Running\":%s,\"Paused\":%s,"
             "\"Restarting\":%s,\"StartedAt\":\"%s\",\"FinishedAt\":\"%s\"},\"RestartCount\":%d,"
             "\"Config\":{\"Labels\":{\"fpmux.role\":\"tenant\",\"fpmux.tenant\":\"centro1\"}}}",
             status, is_running ? "true" : "false",
             strcmp(status, "paused") == 0 ? "true" : "false", is_restarting ? "true" : "false",
             started, finished, restarts);
    cJSON *inspect = cJSON_Parse(text);
    assert_non_null(inspect);
    return inspect;
}

/* Whether there is something to note at 14:00. */
static bool read_at(const char *status, const char *started, const char *finished,
                    int64_t booted_ns, struct service_run *run) {
    struct service_clock clock = {.now_ns = AT_14, .booted_ns = booted_ns};
    cJSON *inspect = inspected(status, started, finished, 3);
    bool is_noted = service_read_run(inspect, &clock, run);

    if (is_noted) {
        assert_string_equal(run->container, "8d12a9ed");
        assert_string_equal(run->tenant, "centro1");
        assert_int_equal(run->restarts, 3);
        assert_int_equal(run->booted_ns, booted_ns);
    }
    run->container = run->tenant = NULL; /* of the tree */
    cJSON_Delete(inspect);
    return is_noted;
}

static void test_running_container_ran_until_now(void **state) {
    static const char *const statuses[] = {"running", "paused"};
    struct service_run run;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_true(read_at(statuses[i], "2026-11-22T13:59:58.123456789Z", NEVER, 0, &run));
        assert_int_equal(run.started_ns, AT_14 - 2 * SECOND + 123456789);
        assert_int_equal(run.until_ns, AT_14);
        assert_false(run.has_ended);
        assert_int_equal(run.previous_ended_ns, 0);
    }
}

static void test_running_container_tells_the_end_of_the_run_before(void **state) {
    struct service_run run;

    (void)state;
    assert_true(
        read_at("running", "2026-11-22T13:59:00Z", "2026-11-22T13:58:59.5Z", AT_14 - 1, &run));
    assert_int_equal(run.previous_ended_ns, AT_14 - 61 * SECOND + SECOND / 2);
    assert_int_equal(run.until_ns, AT_14);
}

static void test_container_that_is_not_running_ran_until_its_end(void **state) {
    static const char *const statuses[] = {"exited", "dead", "restarting"};
    struct service_run run;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_true(
            read_at(statuses[i], "2026-11-22T13:00:00Z", "2026-11-22T13:30:00.00000001Z", 0, &run));
        assert_int_equal(run.started_ns, AT_14 - 3600 * SECOND);
        assert_int_equal(run.until_ns, AT_14 - 1800 * SECOND + 10);
        assert_true(run.has_ended);
        assert_int_equal(run.previous_ended_ns, 0);
    }
}

static void test_container_that_never_ran_is_not_noted(void **state) {
    struct service_run run;

    (void)state;
    assert_false(read_at("created", NEVER, NEVER, 0, &run));
    assert_false(read_at("exited", NEVER, "2026-11-22T13:30:00Z", 0, &run));
    assert_false(read_at("running", "", NEVER, 0, &run));
    assert_false(read_at("running", "2026-11-22 13:30", NEVER, 0, &run));
}

static void test_times_in_the_future_are_waited_for(void **state) {
    struct service_run run;

    (void)state;
    assert_false(read_at("running", "2026-11-22T14:00:00.000000001Z", NEVER, 0, &run));
    assert_false(read_at("exited", "2026-11-22T14:00:01Z", "2026-11-22T14:00:02Z", 0, &run));
    assert_false(read_at("exited", "2026-11-22T13:00:00Z", "2026-11-22T14:00:02Z", 0, &run));
    assert_false(read_at("running", "9999-12-31T23:59:59Z", NEVER, 0, &run));
    assert_true(read_at("running", "2026-11-22T14:00:00Z", "2026-11-22T14:00:02Z", 0, &run));
    assert_int_equal(run.until_ns, run.started_ns);
    assert_int_equal(run.previous_ended_ns, 0);
}

static void test_end_is_never_before_the_start(void **state) {
    struct service_run run;

    (void)state;
    assert_true(read_at("exited", "2026-11-22T13:00:00Z", "2026-11-22T12:00:00Z", 0, &run));
    assert_int_equal(run.until_ns, run.started_ns);
}

static void test_end_that_the_engine_made_up_after_a_power_cut_is_not_taken(void **state) {
    struct service_run run;
    int64_t booted_ns = AT_14 - 600 * SECOND;

    (void)state;
    assert_false(
        read_at("exited", "2026-11-22T10:00:00Z", "2026-11-22T13:50:00Z", booted_ns, &run));
    assert_false(
        read_at("restarting", "2026-11-22T10:00:00Z", "2026-11-22T13:51:00Z", booted_ns, &run));
    assert_true(read_at("exited", "2026-11-22T10:00:00Z", "2026-11-22T13:49:59Z", booted_ns, &run));
    assert_true(read_at("exited", "2026-11-22T13:50:00Z", "2026-11-22T13:51:00Z", booted_ns, &run));
    assert_true(read_at("running", "2026-11-22T10:00:00Z", NEVER, booted_ns, &run));
}

static void test_offsets_are_read(void **state) {
    struct service_run run;

    (void)state;
    assert_true(read_at("running", "2026-11-22T14:30:00.25+01:00", NEVER, 0, &run));
    assert_int_equal(run.started_ns, AT_14 - 1800 * SECOND + SECOND / 4);
}

static void expect_passed_by(const char *text) {
    struct service_clock clock = {.now_ns = AT_14};
    struct service_run run;
    cJSON *inspect = cJSON_Parse(text);

    assert_non_null(inspect);
    if (service_read_run(inspect, &clock, &run))
        fail_msg("%s was noted", text);
    cJSON_Delete(inspect);
}

#define STATE "\"State\":{\"Running\":true,\"StartedAt\":\"2026-11-22T13:00:00Z\"}"
#define LABELS(role, tenant)                                                                       \
    "\"Config\":{\"Labels\":{\"fpmux.role\":" role ",\"fpmux.tenant\":" tenant "}}"

static void test_other_containers_are_passed_by(void **state) {
    (void)state;
    expect_passed_by("{}");
    expect_passed_by("{\"Id\":\"1\"," STATE "}");
    expect_passed_by("{\"Id\":\"1\"," STATE ",\"Config\":{\"Labels\":null}}");
    expect_passed_by("{\"Id\":\"1\"," STATE "," LABELS("\"fpm\"", "\"a\"") "}");
    expect_passed_by("{\"Id\":\"1\"," STATE "," LABELS("\"tenant\"", "\"\"") "}");
    expect_passed_by("{\"Id\":\"1\"," STATE "," LABELS("\"tenant\"", "\"(idle)\"") "}");
    expect_passed_by("{\"Id\":\"1\"," STATE "," LABELS("\"tenant\"", "7") "}");
    expect_passed_by("{\"Id\":\"1\",\"State\":\"up\"," LABELS("\"tenant\"", "\"a\"") "}");
    expect_passed_by("{" STATE "," LABELS("\"tenant\"", "\"a\"") "}");
}

static void test_clock_tells_now_and_the_boot(void **state) {
    struct service_clock clock = service_read_clock();
    long long booted_s = 0;
    char line[256];
    FILE *stat = fopen("/proc/stat", "re");

    (void)state;
    assert_non_null(stat);
    while (booted_s == 0 && fgets(line, sizeof line, stat) != NULL)
        if (strncmp(line, "btime ", 6) == 0)
            booted_s = strtoll(line + 6, NULL, 10);
    fclose(stat);
    assert_in_range(clock.now_ns / SECOND, time(NULL) - 5, time(NULL));
    assert_in_range(clock.booted_ns / SECOND, booted_s - 1, booted_s + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_running_container_ran_until_now),
        cmocka_unit_test(test_running_container_tells_the_end_of_the_run_before),
        cmocka_unit_test(test_container_that_is_not_running_ran_until_its_end),
        cmocka_unit_test(test_container_that_never_ran_is_not_noted),
        cmocka_unit_test(test_times_in_the_future_are_waited_for),
        cmocka_unit_test(test_end_is_never_before_the_start),
        cmocka_unit_test(test_end_that_the_engine_made_up_after_a_power_cut_is_not_taken),
        cmocka_unit_test(test_offsets_are_read),
        cmocka_unit_test(test_other_containers_are_passed_by),
        cmocka_unit_test(test_clock_tells_now_and_the_boot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
