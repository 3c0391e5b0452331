/* The meter with real processes as workers: children that burn CPU when they are told to, and tell
 * what their own clock says. */
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
#include <time.h>
#include <unistd.h>

#include "shim/meter.h"
#include "tenants/counters.h"

enum { MS = 1000000, SLACK_NS = 2 * MS };

/* ---- Workers ---- */

/* What a worker is told: to burn itself, to have a child burn, and how much. */
struct order {
    bool by_child;
    uint64_t cpu_ns;
};

struct process {
    pid_t pid;
    int orders; /* write ends and read ends, seen from here */
    int answers;
};

static uint64_t own_cpu_ns(void) {
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

static void burn_here(uint64_t cpu_ns) {
    uint64_t end = own_cpu_ns() + cpu_ns;

    while (own_cpu_ns() < end)
        ;
}

static void work(int orders, int answers) {
    struct order order;

    while (read(orders, &order, sizeof order) == sizeof order) {
        if (!order.by_child) {
            burn_here(order.cpu_ns);
        } else if (fork() == 0) {
            burn_here(order.cpu_ns);
            _exit(0);
        } else {
            wait(NULL);
        }
        uint64_t now_ns = own_cpu_ns();
        if (write(answers, &now_ns, sizeof now_ns) != sizeof now_ns)
            break;
    }
    _exit(0);
}

static struct process start(void) {
    struct process process;
    int orders[2];
    int answers[2];

    assert_int_equal(pipe(orders), 0);
    assert_int_equal(pipe(answers), 0);
    process.pid = fork();
    assert_true(process.pid >= 0);
    if (process.pid == 0) {
        close(orders[1]);
        close(answers[0]);
        work(orders[0], answers[1]);
    }
    close(orders[0]);
    close(answers[1]);
    process.orders = orders[1];
    process.answers = answers[0];
    return process;
}

/* What the worker's clock says when it is done. */
static uint64_t give(const struct process *process, struct order order) {
    uint64_t now_ns = 0;

    assert_int_equal(write(process->orders, &order, sizeof order), sizeof order);
    assert_int_equal(read(process->answers, &now_ns, sizeof now_ns), sizeof now_ns);
    return now_ns;
}

static uint64_t burn(const struct process *process, unsigned ms) {
    return give(process, (struct order){false, (uint64_t)ms * MS});
}

static void end(const struct process *process) {
    kill(process->pid, SIGKILL);
    assert_int_equal(waitpid(process->pid, NULL, 0), process->pid);
    close(process->orders);
    close(process->answers);
}

/* ---- The meter ---- */

static char dir[64];
static struct counters *counters;
static struct meter *meter;

static void open_meter(void) {
    struct error error = {""};

    counters = counters_open(dir, time(NULL), &error);
    if (counters == NULL)
        fail_msg("%s", error.text);
    meter = meter_new(counters, time(NULL));
    assert_non_null(meter);
}

static void close_meter(void) {
    meter_free(meter);
    counters_close(counters);
}

/* A worker that knows nothing of the counters' file: a fork of ours would hold its lock on. */
static struct process start_apart(void) {
    close_meter();
    struct process process = start();
    open_meter();
    return process;
}

static int set_up(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/fpmux-meter-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    open_meter();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    close_meter();
    DIR *stream = opendir(dir);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        unlinkat(dirfd(stream), entry->d_name, 0);
    closedir(stream);
    return rmdir(dir);
}

struct sum {
    const char *name;
    uint64_t cpu_ns;
};

static void sum_up(void *context, const char *account, const uint64_t values[COUNTER_COUNT]) {
    struct sum *sum = context;

    if (strcmp(sum->name, account) == 0)
        sum->cpu_ns += values[COUNTER_CPU_NS];
}

/* What that account was charged in an hour (0: in all), in the files of all that ran. */
static uint64_t charged_in(const char *name, time_t hour) {
    struct sum sum = {.name = name};
    struct counters_file *files = NULL;
    struct error error = {""};
    ssize_t count = counters_list(dir, &files, &error);

    assert_true(count > 0);
    for (ssize_t i = 0; i < count; i++)
        if (hour == 0 || files[i].hour == hour)
            assert_int_equal(counters_read(&files[i], sum_up, &sum, &error), 0);
    free(files);
    return sum.cpu_ns;
}

static uint64_t charged(const char *name) {
    return charged_in(name, 0);
}

static void assert_near(uint64_t actual_ns, uint64_t expected_ns) {
    assert_in_range(actual_ns + SLACK_NS, expected_ns, expected_ns + (uint64_t)2 * SLACK_NS);
}

static unsigned records(void) {
    const struct worker_record *table = counters_workers(counters);
    unsigned count = 0;

    for (unsigned i = 0; i < COUNTERS_WORKERS_MAX; i++)
        count += table[i].pid != 0;
    return count;
}

/* ---- Tests ---- */

static void test_meter_refuses_what_is_no_process_of_another(void **state) {
    struct process process = start();

    (void)state;
    assert_null(meter_worker(meter, 0)); /* its clock would be our own */
    assert_null(meter_worker(meter, -1));
    assert_null(meter_worker(meter, -process.pid));
    end(&process);
    assert_null(meter_worker(meter, process.pid));
    assert_int_equal(records(), 0);
    meter_release(NULL);
}

static void test_meter_knows_an_account_again(void **state) {
    (void)state;
    assert_ptr_equal(meter_account(meter, "one"), meter_account(meter, "one"));
    assert_ptr_not_equal(meter_account(meter, "one"), meter_account(meter, "two"));
}

static void test_meter_charges_a_worker_never_seen_to_nobody(void **state) {
    struct process process = start();
    uint64_t clock_ns = burn(&process, 20);

    (void)state;
    struct worker *worker = meter_worker(meter, process.pid);
    assert_non_null(worker);
    assert_near(charged(COUNTERS_IDLE), clock_ns);
    clock_ns = burn(&process, 10);
    meter_read(meter, worker, false);
    assert_near(charged(COUNTERS_IDLE), clock_ns);
    meter_release(worker);
    end(&process);
}

static void test_meter_does_not_charge_what_was_burned_before_its_time(void **state) {
    (void)state;
    struct worker *worker = meter_worker(meter, 1); /* older than we are */
    if (worker == NULL)
        skip();
    assert_near(charged(COUNTERS_IDLE), 0);
    meter_release(worker);
}

static void test_meter_charges_who_runs_on_the_worker(void **state) {
    struct process process = start();
    struct worker *worker = meter_worker(meter, process.pid);

    (void)state;
    meter_assign(meter, worker, meter_account(meter, "one"));
    uint64_t before_ns = charged(COUNTERS_IDLE); /* its start, up to here */
    uint64_t one_ns = burn(&process, 30);
    meter_read(meter, worker, false);
    assert_near(charged("one"), one_ns - before_ns);
    meter_assign(meter, worker, meter_account(meter, "two"));
    uint64_t two_ns = burn(&process, 15);
    meter_read(meter, worker, false);
    meter_read(meter, worker, true);
    assert_near(charged("one"), one_ns - before_ns);
    assert_near(charged("two"), two_ns - one_ns);
    assert_int_equal(charged(COUNTERS_IDLE), before_ns);
    meter_release(worker);
    end(&process);
}

/* What a long request burned is of the hours in which it did; and back goes no hour. */
static void test_meter_charges_the_hour_in_which_cpu_was_burned(void **state) {
    struct process process = start();
    struct worker *worker = meter_worker(meter, process.pid);
    time_t hour = time(NULL) / 3600 * 3600;
    struct error error;

    (void)state;
    meter_assign(meter, worker, meter_account(meter, "one"));
    uint64_t before_ns = charged(COUNTERS_IDLE);
    uint64_t first_ns = burn(&process, 30);
    meter_sweep(meter);
    assert_true(counters_tick(counters, hour + 3600, &error));
    uint64_t second_ns = burn(&process, 10);
    assert_true(counters_tick(counters, hour - 7200, &error)); /* the clock is set back */
    meter_sweep(meter);
    uint64_t third_ns = burn(&process, 10);
    meter_sweep(meter);
    assert_near(charged_in("one", hour), first_ns - before_ns);
    assert_near(charged_in("one", hour + 3600), third_ns - first_ns);
    assert_near(charged("one"), third_ns - before_ns);
    assert_true(second_ns < third_ns);
    meter_release(worker);
    end(&process);
}

static void test_meter_keeps_two_workers_apart(void **state) {
    struct process processes[2] = {start(), start()};
    struct worker *workers[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        workers[i] = meter_worker(meter, processes[i].pid);
        meter_assign(meter, workers[i], meter_account(meter, i == 0 ? "one" : "two"));
    }
    burn(&processes[0], 25);
    burn(&processes[1], 5);
    meter_sweep(meter);
    assert_near(charged("one"), 25 * MS);
    assert_near(charged("two"), 5 * MS);
    for (int i = 0; i < 2; i++) {
        meter_release(workers[i]);
        end(&processes[i]);
    }
}

static void test_meter_charges_a_tail_after_the_connection_to_its_own_account(void **state) {
    struct process process = start();
    struct worker *worker = meter_worker(meter, process.pid);

    (void)state;
    meter_assign(meter, worker, meter_account(meter, "one"));
    meter_read(meter, worker, false);
    meter_release(worker);
    burn(&process, 20);
    worker = meter_worker(meter, process.pid); /* by another connection */
    assert_near(charged("one"), 20 * MS);
    meter_assign(meter, worker, meter_account(meter, "two"));
    burn(&process, 10);
    meter_release(worker);
    meter_sweep(meter); /* without any connection */
    assert_near(charged("one"), 20 * MS);
    assert_near(charged("two"), 10 * MS);
    end(&process);
}

static void test_meter_charges_children_that_were_waited_for_when_asked(void **state) {
    struct process process = start();
    struct worker *worker = meter_worker(meter, process.pid);

    (void)state;
    meter_assign(meter, worker, meter_account(meter, "one"));
    give(&process, (struct order){true, 60 * MS});
    meter_read(meter, worker, false);
    assert_in_range(charged("one"), 0, 15 * MS);
    meter_read(meter, worker, true);
    assert_in_range(charged("one"), 40 * MS, 90 * MS); /* in ticks of 10 ms */
    uint64_t once_ns = charged("one");
    meter_read(meter, worker, true);
    assert_int_equal(charged("one"), once_ns);
    meter_release(worker);
    end(&process);
}

static void test_meter_charges_children_of_a_tail_to_who_had_it(void **state) {
    struct process process = start();
    struct worker *worker = meter_worker(meter, process.pid);

    (void)state;
    meter_assign(meter, worker, meter_account(meter, "one"));
    meter_read(meter, worker, true);
    meter_release(worker);
    give(&process, (struct order){true, 60 * MS});
    worker = meter_worker(meter, process.pid); /* by another connection */
    meter_assign(meter, worker, meter_account(meter, "two"));
    meter_read(meter, worker, true);
    assert_in_range(charged("one"), 40 * MS, 90 * MS);
    assert_in_range(charged("two"), 0, 5 * MS);
    meter_release(worker);
    end(&process);
}

static void test_meter_charges_children_while_a_request_runs(void **state) {
    struct process process = start();
    struct worker *worker = meter_worker(meter, process.pid);

    (void)state;
    meter_assign(meter, worker, meter_account(meter, "one"));
    give(&process, (struct order){true, 60 * MS});
    meter_sweep(meter);
    assert_in_range(charged("one"), 40 * MS, 90 * MS);
    meter_release(worker);
    end(&process);
}

/* The steps of 10 ms: two of them may not be told yet. */
static void test_meter_charges_the_end_of_a_worker_to_nobody(void **state) {
    struct process process = start();
    struct worker *worker = meter_worker(meter, process.pid);

    (void)state;
    meter_assign(meter, worker, meter_account(meter, "one"));
    burn(&process, 10);
    meter_sweep(meter);
    meter_read(meter, worker, true); /* its request ends well */
    meter_release(worker);
    uint64_t one_ns = charged("one");
    uint64_t idle_ns = charged(COUNTERS_IDLE);
    burn(&process, 100);
    end(&process);
    meter_sweep(meter);
    assert_int_equal(charged("one"), one_ns);
    assert_in_range(charged(COUNTERS_IDLE) - idle_ns, 55 * MS, 105 * MS);
    uint64_t once_ns = charged(COUNTERS_IDLE);
    meter_sweep(meter);
    assert_int_equal(charged(COUNTERS_IDLE), once_ns);
}

static void test_meter_charges_the_end_of_a_request_that_could_not_be_read(void **state) {
    struct process process = start();
    struct worker *worker = meter_worker(meter, process.pid);

    (void)state;
    meter_assign(meter, worker, meter_account(meter, "one"));
    meter_sweep(meter);
    uint64_t idle_ns = charged(COUNTERS_IDLE);
    burn(&process, 100);
    end(&process);
    meter_read(meter, worker, true); /* too late */
    assert_in_range(charged("one"), 0, 5 * MS);
    meter_sweep(meter);
    assert_in_range(charged("one"), 55 * MS, 105 * MS);
    assert_int_equal(charged(COUNTERS_IDLE), idle_ns);
    meter_release(worker);
}

static void test_meter_charges_no_end_of_those_it_never_met(void **state) {
    struct process process = start();
    struct process stranger = start();
    struct worker *worker = meter_worker(meter, process.pid);

    (void)state;
    meter_assign(meter, worker, meter_account(meter, "one"));
    burn(&process, 10);
    meter_sweep(meter);
    uint64_t idle_ns = charged(COUNTERS_IDLE);
    burn(&stranger, 100);
    end(&stranger);
    meter_sweep(meter);
    assert_int_equal(charged(COUNTERS_IDLE), idle_ns);
    assert_near(charged("one"), 10 * MS);
    meter_release(worker);
    end(&process);
}

static void test_meter_forgets_the_dead_that_nobody_holds(void **state) {
    struct process process = start();
    struct worker *worker = meter_worker(meter, process.pid);

    (void)state;
    meter_assign(meter, worker, meter_account(meter, "one"));
    burn(&process, 10);
    meter_read(meter, worker, false);
    end(&process);
    meter_read(meter, worker, true); /* can't be read: nothing happens */
    meter_sweep(meter);
    assert_int_equal(records(), 1);
    assert_null(meter_worker(meter, process.pid));
    meter_release(worker);
    meter_sweep(meter);
    assert_int_equal(records(), 0);
    assert_near(charged("one"), 10 * MS);
}

static void test_meter_knows_many_workers_one_after_the_other(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct process process = start();
        struct worker *worker = meter_worker(meter, process.pid);
        assert_non_null(worker);
        meter_assign(meter, worker, meter_account(meter, "one"));
        burn(&process, 2);
        meter_read(meter, worker, false);
        meter_release(worker);
        end(&process);
        meter_sweep(meter);
    }
    assert_int_equal(records(), 0);
    assert_in_range(charged("one"), 38 * MS, 60 * MS);
}

static void test_meter_takes_over_what_its_predecessor_had_running(void **state) {
    struct process process = start_apart();
    struct worker *worker = meter_worker(meter, process.pid);

    (void)state;
    meter_assign(meter, worker, meter_account(meter, "one"));
    burn(&process, 20);
    meter_read(meter, worker, false);
    uint64_t seen_ns = charged("one");
    close_meter(); /* as good as killed: what follows was never read by it */
    burn(&process, 30);
    open_meter();
    assert_near(charged("one"), seen_ns + 30 * MS);
    assert_int_equal(records(), 1);
    worker = meter_worker(meter, process.pid);
    meter_assign(meter, worker, meter_account(meter, "two"));
    burn(&process, 10);
    meter_read(meter, worker, false);
    assert_near(charged("two"), 10 * MS);
    assert_near(charged("one"), seen_ns + 30 * MS);
    assert_near(charged(COUNTERS_IDLE), 0);
    meter_release(worker);
    end(&process);
}

static void test_meter_takes_children_over_that_its_predecessor_did_not_see(void **state) {
    struct process process = start_apart();
    struct worker *worker = meter_worker(meter, process.pid);

    (void)state;
    meter_assign(meter, worker, meter_account(meter, "one"));
    meter_read(meter, worker, true);
    close_meter();
    give(&process, (struct order){true, 60 * MS});
    open_meter();
    assert_in_range(charged("one"), 40 * MS, 90 * MS);
    end(&process);
}

static void test_meter_does_not_take_over_the_dead(void **state) {
    struct process process = start_apart();
    struct worker *worker = meter_worker(meter, process.pid);

    (void)state;
    meter_assign(meter, worker, meter_account(meter, "one"));
    close_meter();
    end(&process);
    open_meter();
    assert_int_equal(records(), 0);
}

static void test_meter_does_not_take_another_process_of_the_same_pid_over(void **state) {
    struct process process = start_apart();
    struct worker *worker = meter_worker(meter, process.pid);
    struct worker_record *table = counters_workers(counters);

    (void)state;
    meter_assign(meter, worker, meter_account(meter, "one"));
    for (unsigned i = 0; i < COUNTERS_WORKERS_MAX; i++)
        if (table[i].pid == process.pid)
            table[i].start_ticks--;
    close_meter();
    burn(&process, 20);
    open_meter();
    assert_near(charged("one"), 0);
    assert_int_equal(records(), 0);
    end(&process);
}

static void test_meter_tells_what_it_charged_this_month(void **state) {
    static const time_t november = 1793491200, december = november + 30 * 86400;

    (void)state;
    close_meter();
    struct error error;
    counters = counters_open(dir, december - 10, &error);
    meter = meter_new(counters, december - 10);
    struct account *one = meter_account(meter, "one");
    struct process process = start();
    struct worker *worker = meter_worker(meter, process.pid);
    meter_assign(meter, worker, one);
    burn(&process, 20);
    meter_sweep(meter);
    meter_add(meter, one, COUNTER_REQUESTS, 3);
    meter_add(meter, one, COUNTER_BYTES_OUT, 1000);
    meter_tick(meter, december - 1);
    assert_int_equal(meter_month(meter), november);
    assert_int_equal(meter_month_use(one).requests, 3);
    assert_int_equal(meter_month_use(one).cpu_ns, charged("one"));
    assert_near(meter_month_use(one).cpu_ns, 20 * MS);
    meter_tick(meter, december);
    assert_int_equal(meter_month(meter), december);
    assert_int_equal(meter_month_use(one).requests, 0);
    assert_int_equal(meter_month_use(one).cpu_ns, 0);
    meter_add(meter, one, COUNTER_REQUESTS, 1);
    meter_tick(meter, december - 3600); /* the clock was set back: it is December all the same */
    assert_int_equal(meter_month(meter), december);
    assert_int_equal(meter_month_use(one).requests, 1);
    meter_release(worker);
    end(&process);
}

#define METERED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        METERED(test_meter_refuses_what_is_no_process_of_another),
        METERED(test_meter_knows_an_account_again),
        METERED(test_meter_charges_a_worker_never_seen_to_nobody),
        METERED(test_meter_does_not_charge_what_was_burned_before_its_time),
        METERED(test_meter_charges_who_runs_on_the_worker),
        METERED(test_meter_charges_the_hour_in_which_cpu_was_burned),
        METERED(test_meter_keeps_two_workers_apart),
        METERED(test_meter_charges_a_tail_after_the_connection_to_its_own_account),
        METERED(test_meter_charges_children_that_were_waited_for_when_asked),
        METERED(test_meter_charges_children_of_a_tail_to_who_had_it),
        METERED(test_meter_charges_children_while_a_request_runs),
        METERED(test_meter_charges_the_end_of_a_worker_to_nobody),
        METERED(test_meter_charges_the_end_of_a_request_that_could_not_be_read),
        METERED(test_meter_charges_no_end_of_those_it_never_met),
        METERED(test_meter_forgets_the_dead_that_nobody_holds),
        METERED(test_meter_knows_many_workers_one_after_the_other),
        METERED(test_meter_takes_over_what_its_predecessor_had_running),
        METERED(test_meter_takes_children_over_that_its_predecessor_did_not_see),
        METERED(test_meter_does_not_take_over_the_dead),
        METERED(test_meter_does_not_take_another_process_of_the_same_pid_over),
        METERED(test_meter_tells_what_it_charged_this_month),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
