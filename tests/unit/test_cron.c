/* Who runs, how many at a time, and what ends them: with a command that waits at a gate, on a fake
 * clock. */
#include "tests/support/registry_fixture.h"

#include <pthread.h>

#include "tenants/containers/cron.h"
#include "tenants/containers/cron_schedule.h"
#include "tenants/containers_config.h"

#define NOON ((time_t)1795348800)

enum { PARALLEL = 3, EVERY = 60 };

/* What the runs meet. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool is_open;
    unsigned running;
    unsigned most_running;
    unsigned begun;
    unsigned ended_by_stop;
    char ids[1024]; /* "a b " in the order in which they began */
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void run_at_gate(const struct command_request *request, struct command_result *result) {
    struct timespec soon;

    pthread_mutex_lock(&gate.mutex);
    gate.begun++;
    gate.running++;
    if (gate.running > gate.most_running)
        gate.most_running = gate.running;
    size_t used = strlen(gate.ids);
    snprintf(gate.ids + used, sizeof gate.ids - used, "%s ", request->tenant->id);
    pthread_cond_broadcast(&gate.changed);
    while (!gate.is_open && atomic_load(request->urgency) == SESSION_GO_ON) {
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec = soon.tv_nsec < 990000000 ? soon.tv_nsec + 10000000 : 999999999;
        pthread_cond_timedwait(&gate.changed, &gate.mutex, &soon);
    }
    gate.ended_by_stop += atomic_load(request->urgency) == SESSION_STOP;
    gate.running--;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
    *result = (struct command_result){.has_ended = true};
}

/* Until so many have begun and so many run; fails after ten seconds. */
static void await_runs(unsigned begun, unsigned running) {
    struct timespec deadline;
    int code = 0;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 10;
    pthread_mutex_lock(&gate.mutex);
    while ((gate.begun < begun || gate.running != running) && code == 0)
        code = pthread_cond_timedwait(&gate.changed, &gate.mutex, &deadline);
    pthread_mutex_unlock(&gate.mutex);
    assert_int_equal(code, 0);
}

static unsigned begun_until_now(void) {
    pthread_mutex_lock(&gate.mutex);
    unsigned begun = gate.begun;
    pthread_mutex_unlock(&gate.mutex);
    return begun;
}

static void open_gate(void) {
    pthread_mutex_lock(&gate.mutex);
    gate.is_open = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

struct bench {
    struct fixture *fixture;
    struct containers_config containers;
    char ledger[96];
    struct cron *cron;
};

static struct bench bench;

static int set_up_bench(void **state) {
    set_up(state);
    bench = (struct bench){.fixture = *state, .containers = {.exec_parallel = PARALLEL}};
    snprintf(bench.ledger, sizeof bench.ledger, "sqlite:%s/usage.db", bench.fixture->root);
    bench.fixture->config.containers = &bench.containers;
    bench.fixture->config.ledger = bench.ledger;
    gate.is_open = false;
    gate.running = gate.most_running = gate.begun = gate.ended_by_stop = 0;
    gate.ids[0] = '\0';
    bench.cron = cron_new(&bench.fixture->config, run_at_gate);
    return 0;
}

static int tear_down_bench(void **state) {
    open_gate();
    cron_stop(bench.cron);
    return tear_down(state);
}

static void write_cron_tenant(const char *id, const char *more) {
    char file[128];
    char text[512];

    snprintf(file, sizeof file, "%s.json", id);
    snprintf(text, sizeof text,
             "{\"hosts\": [\"%s.test\"], \"pool\": \"default\", %s"
             "\"cron\": {\"every_seconds\": %d, \"command\": [\"true\"]}}",
             id, more, EVERY);
    write_file(bench.fixture, file, text);
}

static void turn(time_t now) {
    cron_turn(bench.cron, bench.fixture->registry, now);
}

/* The tenants are first seen, and a period later each has had its turn. */
static void take_first_turns(void) {
    assert_int_equal(load(bench.fixture), 0);
    for (time_t now = NOON; now <= NOON + EVERY; now++)
        turn(now);
}

static void test_each_has_one_run_in_a_period(void **state) {
    (void)state;
    write_cron_tenant("a", "");
    write_cron_tenant("b", "");
    open_gate();
    take_first_turns();
    await_runs(2, 0);
    assert_int_equal(gate.begun, 2);
}

static void test_wish_to_be_called_again_is_the_next_turn(void **state) {
    (void)state;
    write_cron_tenant("a", "");
    load(bench.fixture);
    time_t next = cron_clock_next("a", EVERY, NOON);
    assert_int_equal(cron_turn(bench.cron, bench.fixture->registry, next - 3), 3000);
    assert_int_equal(gate.begun, 0);
    assert_int_equal(cron_turn(bench.cron, bench.fixture->registry, next), 10000);
    await_runs(1, 1);
}

static void test_no_more_run_than_are_allowed(void **state) {
    char id[8];

    (void)state;
    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof id, "t%d", i);
        write_cron_tenant(id, "");
    }
    take_first_turns();
    await_runs(PARALLEL, PARALLEL);
    open_gate();
    await_runs(10, 0);
    assert_int_equal(gate.begun, 10);
    assert_int_equal(gate.most_running, PARALLEL);
}

static void test_tenant_never_runs_twice_at_a_time(void **state) {
    (void)state;
    write_cron_tenant("a", "");
    take_first_turns();
    await_runs(1, 1);
    turn(NOON + 2 * EVERY);
    turn(NOON + 3 * EVERY);
    open_gate();
    await_runs(1, 0);
    assert_int_equal(gate.begun, 1);
    for (time_t now = NOON + 4 * EVERY; begun_until_now() < 2; now += EVERY)
        turn(now); /* once its thread has put it down */
    await_runs(2, 0);
    assert_int_equal(gate.most_running, 1);
}

static void test_suspended_unpaid_and_those_without_cron_do_not_run(void **state) {
    (void)state;
    write_cron_tenant("a", "");
    write_cron_tenant("b", "\"state\": \"suspended\", ");
    write_cron_tenant("c", "\"plan\": {\"paid_until\": \"2026-01-31\"}, ");
    write_tenant(bench.fixture, "d", "D", "d.test");
    open_gate();
    take_first_turns();
    await_runs(1, 0);
    assert_string_equal(gate.ids, "a ");
}

static void test_tenant_that_leaves_while_it_waits_does_not_run(void **state) {
    (void)state;
    for (int i = 0; i <= PARALLEL; i++) {
        const char id[2] = {(char)('a' + i), '\0'};
        write_cron_tenant(id, "");
    }
    take_first_turns();
    await_runs(PARALLEL, PARALLEL);
    for (int i = 0; i <= PARALLEL; i++) { /* whoever it is that waits */
        const char name[] = {(char)('a' + i), '.', 'j', 's', 'o', 'n', '\0'};
        remove_file(bench.fixture, name);
    }
    registry_process(bench.fixture->registry);
    assert_int_equal(registry_count(bench.fixture->registry), 0);
    turn(NOON + EVERY + 1);
    open_gate();
    await_runs(PARALLEL, 0);
    cron_stop(bench.cron);
    bench.cron = NULL;
    assert_int_equal(gate.begun, PARALLEL);
}

static void test_stop_ends_what_runs_and_begins_nothing(void **state) {
    char id[8];

    (void)state;
    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof id, "t%d", i);
        write_cron_tenant(id, "");
    }
    take_first_turns();
    await_runs(PARALLEL, PARALLEL);
    cron_stop(bench.cron);
    bench.cron = NULL;
    assert_int_equal(gate.running, 0);
    assert_int_equal(gate.begun, PARALLEL);
    assert_int_equal(gate.ended_by_stop, PARALLEL);
}

#define CRON_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_bench, tear_down_bench)

int main(void) {
    const struct CMUnitTest tests[] = {
        CRON_TEST(test_each_has_one_run_in_a_period),
        CRON_TEST(test_wish_to_be_called_again_is_the_next_turn),
        CRON_TEST(test_no_more_run_than_are_allowed),
        CRON_TEST(test_tenant_never_runs_twice_at_a_time),
        CRON_TEST(test_suspended_unpaid_and_those_without_cron_do_not_run),
        CRON_TEST(test_tenant_that_leaves_while_it_waits_does_not_run),
        CRON_TEST(test_stop_ends_what_runs_and_begins_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
