/* The comparison of two looks, made up; and looks at a daemon's counters whose worker is a child of
 * this process, which so stands for PHP-FPM's master. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tenants/audit.h"
#include "tenants/counters.h"
#include "tenants/process.h"

enum { MS = 1000000 };

/* ---- Two looks ---- */

static struct audit_fpm fpms_before[2];
static struct audit_fpm fpms_after[2];
static struct audit_look before;
static struct audit_look after;

/* 10 s in which 1000 ms were burned by workers, 200 ms by those that ended; 1100 were charged. */
static int make_looks(void **state) {
    (void)state;
    fpms_before[0] = (struct audit_fpm){.master = 10,
                                        .start_ticks = 5,
                                        .workers = 4,
                                        .own_ns = 70 * MS,
                                        .workers_ns = 4000 * (uint64_t)MS,
                                        .ended_ns = 9000 * (uint64_t)MS};
    fpms_after[0] = fpms_before[0];
    fpms_after[0].own_ns += 30 * MS;
    fpms_after[0].workers_ns += 1000 * MS;
    fpms_after[0].ended_ns += 200 * MS;
    before = (struct audit_look){.at = {.tv_sec = 100, .tv_nsec = 900 * MS},
                                 .instance = "a",
                                 .hour = 7200,
                                 .charged_ns = 500 * MS,
                                 .idle_ns = 50 * MS,
                                 .pending_ns = 20 * MS,
                                 .commands_ns = 3 * MS,
                                 .fpms = fpms_before,
                                 .fpm_count = 1};
    after = before;
    after.at = (struct timespec){.tv_sec = 111, .tv_nsec = 400 * MS};
    after.charged_ns += 1100 * MS;
    after.idle_ns += 60 * MS;
    after.pending_ns += 25 * MS;
    after.fpms = fpms_after;
    return 0;
}

static void test_remainder_is_what_nobody_was_charged(void **state) {
    struct audit_result result;

    (void)state;
    assert_true(audit_compare(&before, &after, &result));
    assert_true(result.seconds > 10.49 && result.seconds < 10.51);
    assert_int_equal(result.kernel_ns, 1200 * MS);
    assert_int_equal(result.charged_ns, 1100 * MS);
    assert_int_equal(result.idle_ns, 60 * MS);
    assert_int_equal(result.pending_ns, 25 * MS);
    assert_int_equal(result.remainder_ns, 15 * MS);
    assert_false(result.has_cgroup);
}

static void test_more_charged_than_burned_is_a_negative_remainder(void **state) {
    struct audit_result result;

    (void)state;
    after.charged_ns += 100 * MS;
    assert_true(audit_compare(&before, &after, &result));
    assert_int_equal(result.remainder_ns, -85 * MS);
}

static void test_less_pending_than_before_was_burned_before(void **state) {
    struct audit_result result;

    (void)state;
    after.pending_ns = before.pending_ns - 10 * MS;
    assert_true(audit_compare(&before, &after, &result));
    assert_int_equal(result.pending_ns, -10 * MS);
    assert_int_equal(result.remainder_ns, 50 * MS);
}

/* What ends moves from the workers to the ended. */
static void test_worker_that_ended_is_in_one_sum(void **state) {
    struct audit_result result;

    (void)state;
    fpms_after[0].workers_ns -= 3000 * (uint64_t)MS;
    fpms_after[0].ended_ns += 3000 * (uint64_t)MS;
    assert_true(audit_compare(&before, &after, &result));
    assert_int_equal(result.kernel_ns, 1200 * MS);
}

static void test_control_group_counts_without_the_master(void **state) {
    struct audit_result result;

    (void)state;
    fpms_before[0].has_cgroup = fpms_after[0].has_cgroup = true;
    fpms_before[0].cgroup_ns = 777 * MS;
    fpms_after[0].cgroup_ns = 777 * MS + 1300 * (uint64_t)MS;
    after.commands_ns += 40 * MS;
    assert_true(audit_compare(&before, &after, &result));
    assert_true(result.has_cgroup);
    assert_int_equal(result.kernel_ns, 1270 * MS);
    assert_int_equal(result.commands_ns, 40 * MS);
    assert_int_equal(result.remainder_ns, 45 * MS);
}

static void test_commands_do_not_count_where_only_workers_are_seen(void **state) {
    struct audit_result result;

    (void)state;
    after.commands_ns += 40 * MS;
    assert_true(audit_compare(&before, &after, &result));
    assert_int_equal(result.commands_ns, 0);
    assert_int_equal(result.remainder_ns, 15 * MS);
}

static void test_several_masters_are_summed_in_any_order(void **state) {
    struct audit_result result;

    (void)state;
    fpms_before[1] = (struct audit_fpm){.master = 11, .start_ticks = 6, .workers_ns = 100 * MS};
    fpms_after[1] = fpms_after[0];
    fpms_after[0] = (struct audit_fpm){.master = 11, .start_ticks = 6, .workers_ns = 105 * MS};
    before.fpm_count = after.fpm_count = 2;
    assert_true(audit_compare(&before, &after, &result));
    assert_int_equal(result.kernel_ns, 1205 * MS);
}

static void assert_not_comparable(void) {
    struct audit_result result;

    assert_false(audit_compare(&before, &after, &result));
    make_looks(NULL);
    assert_true(audit_compare(&before, &after, &result));
}

static void test_looks_at_different_things_are_not_compared(void **state) {
    (void)state;
    after.hour += 3600;
    assert_not_comparable();
    strcpy(after.instance, "b"); /* another daemon */
    assert_not_comparable();
    fpms_after[0].master = 12;
    assert_not_comparable();
    fpms_after[0].start_ticks++; /* another process with that pid */
    assert_not_comparable();
    fpms_after[0].has_cgroup = true;
    assert_not_comparable();
    after.fpm_count = 0; /* PHP-FPM is gone */
    assert_not_comparable();
    after.fpm_count = 2; /* one more was met */
    fpms_after[1] = (struct audit_fpm){.master = 11};
    assert_not_comparable();
}

/* ---- A look ---- */

static char dir[64];

/* A child that burns what it is told and says when it is done. */
struct worker {
    pid_t pid;
    int orders;
    int answers;
};

static void burn_as_told(int orders, int answers) {
    uint64_t until_ns = 0;
    uint64_t now_ns = 0;
    unsigned ms;

    while (read(orders, &ms, sizeof ms) == sizeof ms) {
        process_read_clock(getpid(), &now_ns);
        for (until_ns = now_ns + (uint64_t)ms * MS; now_ns < until_ns;)
            process_read_clock(getpid(), &now_ns);
        if (write(answers, &ms, sizeof ms) != sizeof ms)
            break;
    }
    _exit(0);
}

static struct worker start(void) {
    struct worker worker;
    int orders[2];
    int answers[2];

    assert_int_equal(pipe(orders), 0);
    assert_int_equal(pipe(answers), 0);
    worker = (struct worker){fork(), orders[1], answers[0]};
    if (worker.pid == 0) {
        close(orders[1]);
        burn_as_told(orders[0], answers[1]);
    }
    close(orders[0]);
    close(answers[1]);
    return worker;
}

static void burn(const struct worker *worker, unsigned ms) {
    assert_int_equal(write(worker->orders, &ms, sizeof ms), sizeof ms);
    assert_int_equal(read(worker->answers, &ms, sizeof ms), sizeof ms);
}

static void end(const struct worker *worker) {
    close(worker->orders);
    close(worker->answers);
    kill(worker->pid, SIGKILL);
    waitpid(worker->pid, NULL, 0);
}

static int make_dir(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/fpmux-audit-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state) {
    (void)state;
    DIR *stream = opendir(dir);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        unlinkat(dirfd(stream), entry->d_name, 0);
    closedir(stream);
    return rmdir(dir);
}

static struct counters *open_counters(void) {
    struct error error = {""};
    struct counters *counters = counters_open(dir, time(NULL), &error);

    if (counters == NULL)
        fail_msg("%s", error.text);
    return counters;
}

static struct worker_record record_of(const struct worker *worker) {
    struct worker_record record = {.pid = worker->pid, .account = "one"};
    struct process_stat stat;

    assert_true(process_find(worker->pid, &stat));
    assert_true(process_read_clock(worker->pid, &record.cpu_ns));
    record.start_ticks = stat.start_ticks;
    return record;
}

static void add_cpu(struct counters *counters, const char *name, uint64_t ns) {
    struct counters_account account;

    counters_account_init(&account, name);
    counters_add(counters, &account, COUNTER_CPU_NS, ns);
}

static struct audit_look look(void) {
    struct error error = {""};
    struct audit_look taken;

    if (audit_take(dir, &taken, &error) != 0)
        fail_msg("%s", error.text);
    return taken;
}

static void assert_near(int64_t actual_ns, int64_t expected_ns) {
    if (llabs(actual_ns - expected_ns) > 3 * MS)
        fail_msg("%.3f ms instead of %.3f ms", (double)actual_ns / MS, (double)expected_ns / MS);
}

static void test_look_sees_both_sides(void **state) {
    struct worker worker = start(); /* before the lock on the counters is held */
    struct counters *counters = open_counters();
    struct audit_result result;

    (void)state;
    counters_workers(counters)[5] = record_of(&worker);
    add_cpu(counters, "one", 7);
    struct audit_look first = look();
    assert_int_equal(first.fpm_count, 1);
    assert_int_equal(first.fpms[0].master, getpid());
    assert_true(first.fpms[0].workers >= 1);
    assert_int_equal(first.charged_ns, 7);
    burn(&worker, 60);
    add_cpu(counters, "one", 20 * MS);
    add_cpu(counters, COUNTERS_IDLE, 4 * MS);
    struct audit_look second = look();
    assert_true(audit_compare(&first, &second, &result));
    assert_int_equal(result.charged_ns, 20 * MS);
    assert_int_equal(result.idle_ns, 4 * MS);
    assert_near(result.pending_ns, 60 * MS); /* its record was not touched */
    assert_near((int64_t)result.kernel_ns, 60 * MS);
    assert_near(result.remainder_ns, -24 * MS);
    audit_deinit(&first);
    audit_deinit(&second);
    end(&worker);
    counters_close(counters);
}

static void test_worker_that_ends_between_the_looks_is_not_lost(void **state) {
    struct worker workers[2] = {start(), start()};
    struct counters *counters = open_counters();
    struct audit_result result;

    (void)state;
    for (int i = 0; i < 2; i++)
        counters_workers(counters)[i] = record_of(&workers[i]);
    struct audit_look first = look();
    burn(&workers[0], 200);
    end(&workers[0]);
    counters_workers(counters)[0].pid = 0;
    add_cpu(counters, "one", 200 * MS);
    struct audit_look second = look();
    assert_true(audit_compare(&first, &second, &result));
    assert_in_range(result.kernel_ns, 175 * MS, 230 * MS); /* two figures in steps of 10 ms */
    assert_int_equal(second.fpms[0].workers, first.fpms[0].workers - 1);
    audit_deinit(&first);
    audit_deinit(&second);
    end(&workers[1]);
    counters_close(counters);
}

static void test_record_of_another_process_with_that_pid_is_nobodys(void **state) {
    struct worker worker = start();
    struct counters *counters = open_counters();

    (void)state;
    struct worker_record record = record_of(&worker);
    record.start_ticks--;
    record.cpu_ns = 0;
    counters_workers(counters)[0] = record;
    burn(&worker, 20);
    struct audit_look taken = look();
    assert_int_equal(taken.fpm_count, 0);
    assert_int_equal(taken.pending_ns, 0);
    audit_deinit(&taken);
    end(&worker);
    counters_close(counters);
}

static void assert_no_daemon(const char *where) {
    struct error error = {""};
    struct audit_look taken;

    assert_int_equal(audit_take(where, &taken, &error), -1);
    assert_non_null(strstr(error.text, "no daemon counts"));
    audit_deinit(&taken);
}

static void test_without_a_running_daemon_the_reason_is_told(void **state) {
    struct worker worker = start();

    (void)state;
    assert_no_daemon("/nonexistent");
    assert_no_daemon(dir);
    struct counters *counters = open_counters();
    assert_no_daemon(dir); /* it has met no worker */
    counters_workers(counters)[0] = record_of(&worker);
    struct audit_look taken = look();
    audit_deinit(&taken);
    counters_close(counters);
    assert_no_daemon(dir); /* it has ended */
    end(&worker);
}

#define COMPARED(test) cmocka_unit_test_setup(test, make_looks)
#define LOOKED(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void) {
    const struct CMUnitTest tests[] = {
        COMPARED(test_remainder_is_what_nobody_was_charged),
        COMPARED(test_more_charged_than_burned_is_a_negative_remainder),
        COMPARED(test_less_pending_than_before_was_burned_before),
        COMPARED(test_worker_that_ended_is_in_one_sum),
        COMPARED(test_control_group_counts_without_the_master),
        COMPARED(test_commands_do_not_count_where_only_workers_are_seen),
        COMPARED(test_several_masters_are_summed_in_any_order),
        COMPARED(test_looks_at_different_things_are_not_compared),
        LOOKED(test_look_sees_both_sides),
        LOOKED(test_worker_that_ends_between_the_looks_is_not_lost),
        LOOKED(test_record_of_another_process_with_that_pid_is_nobodys),
        LOOKED(test_without_a_running_daemon_the_reason_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
