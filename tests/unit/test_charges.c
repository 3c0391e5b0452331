/* CPU of commands: in the ledger under the right tenant, whatever happens to who counted it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tenants/containers/charges.h"
#include "tenants/ledger.h"

static char dir[64];
static char ledger_source[96];
static char counters_dir[96];
static struct config config;

static int set_up(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/fpmux-charges-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(ledger_source, sizeof ledger_source, "sqlite:%s/usage.db", dir);
    snprintf(counters_dir, sizeof counters_dir, "%s/counters", dir);
    config = (struct config){.ledger = ledger_source};
    return 0;
}

static int tear_down(void **state) {
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command); /* NOLINT(cert-env33-c): a directory of this test */
}

static int sum_up(void *context, const struct ledger_row *row) {
    uint64_t *sum = context;

    assert_int_equal(row->values[COUNTER_REQUESTS], 0);
    *sum += row->values[COUNTER_CPU_NS];
    return 0;
}

static uint64_t cpu_in_ledger(const char *tenant) {
    struct ledger_query query = {.tenant = tenant, .by = LEDGER_BY_ALL};
    struct error error = {""};
    uint64_t sum = 0;

    struct ledger *ledger = ledger_open(ledger_source, &error);
    assert_non_null(ledger);
    assert_int_equal(ledger_fold(ledger, counters_dir, &error), 0);
    assert_int_equal(ledger_query(ledger, &query, sum_up, &sum, &error), 0);
    ledger_close(ledger);
    return sum;
}

static size_t file_count(void) {
    struct counters_file *files;
    struct error error = {""};
    ssize_t count = counters_list(counters_dir, &files, &error);

    assert_true(count >= 0);
    free(files);
    return (size_t)count;
}

static void test_charges_are_in_the_ledger_and_leave_no_file(void **state) {
    struct charges *charges = charges_new(&config);
    struct error error = {""};

    (void)state;
    charges_add_cpu(charges, "centro1", 300);
    charges_add_cpu(charges, "centro2", 5);
    charges_add_cpu(charges, "centro1", 400);
    assert_true(charges_free(charges, &error));
    assert_int_equal(file_count(), 0);
    assert_int_equal(cpu_in_ledger("centro1"), 700);
    assert_int_equal(cpu_in_ledger("centro2"), 5);
}

static void test_nothing_is_made_where_nothing_is_charged(void **state) {
    struct charges *charges = charges_new(&config);
    struct error error = {""};

    (void)state;
    charges_tick(charges);
    assert_true(charges_free(charges, &error));
    assert_int_not_equal(access(counters_dir, F_OK), 0);
}

static void test_kill_loses_nothing_that_was_added(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        charges_add_cpu(charges_new(&config), "centro1", 700);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    assert_int_equal(file_count(), 1);
    assert_int_equal(cpu_in_ledger("centro1"), 700);
    assert_int_equal(file_count(), 0);
}

static void test_what_can_not_be_written_waits_in_memory(void **state) {
    struct charges *charges = charges_new(&config);
    struct error error = {""};

    (void)state;
    close(open(counters_dir, O_CREAT | O_WRONLY, 0600)); /* in the place of the directory */
    charges_add_cpu(charges, "centro1", 300);
    unlink(counters_dir);
    charges_add_cpu(charges, "centro1", 400);
    assert_true(charges_free(charges, &error));
    assert_int_equal(cpu_in_ledger("centro1"), 700);
}

static void test_what_was_never_written_is_told(void **state) {
    struct charges *charges = charges_new(&config);
    struct error error = {""};

    (void)state;
    close(open(counters_dir, O_CREAT | O_WRONLY, 0600));
    charges_add_cpu(charges, "centro1", 1500000000);
    assert_false(charges_free(charges, &error));
    assert_non_null(strstr(error.text, "1.500 s of CPU could not be charged"));
    assert_non_null(strstr(error.text, counters_dir));
}

static void *add_often(void *charges) {
    for (int i = 0; i < 5000; i++)
        charges_add_cpu(charges, "centro1", 1);
    return NULL;
}

static void test_threads_may_charge_at_the_same_time(void **state) {
    struct charges *charges = charges_new(&config);
    struct error error = {""};
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_often, charges), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_true(charges_free(charges, &error));
    assert_int_equal(cpu_in_ledger("centro1"), 20000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_charges_are_in_the_ledger_and_leave_no_file),
        TEST(test_nothing_is_made_where_nothing_is_charged),
        TEST(test_kill_loses_nothing_that_was_added),
        TEST(test_what_can_not_be_written_waits_in_memory),
        TEST(test_what_was_never_written_is_told),
        TEST(test_threads_may_charge_at_the_same_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
