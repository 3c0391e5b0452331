/* The ledger: what was counted is in it once, whoever folds how often and dies when. */
#include "tests/support/ledger_fixture.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static uint64_t requests_of(struct ledger *ledger, const char *tenant) {
    struct rows rows = ask(ledger, (struct ledger_query){.tenant = tenant, .by = LEDGER_BY_ALL});

    return rows.count == 0 ? 0 : rows.rows[0].values[COUNTER_REQUESTS];
}

static void test_folding_twice_adds_nothing(void **state) {
    struct counters *counters = must_count(HOUR_14);
    struct ledger *ledger = must_open();

    (void)state;
    add_to(counters, "centro1", COUNTER_REQUESTS, 5);
    must_fold(ledger);
    must_fold(ledger);
    assert_int_equal(requests_of(ledger, "centro1"), 5);
    add_to(counters, "centro1", COUNTER_REQUESTS, 2);
    must_fold(ledger);
    assert_int_equal(requests_of(ledger, "centro1"), 7);
    assert_int_equal(count_files(), 1);
    counters_close(counters);
    must_fold(ledger);
    must_fold(ledger);
    assert_int_equal(requests_of(ledger, "centro1"), 7);
    assert_int_equal(count_files(), 0);
    ledger_close(ledger);
}

static void test_all_counters_arrive(void **state) {
    struct counters *counters = must_count(HOUR_14);
    struct ledger *ledger = must_open();

    (void)state;
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        add_to(counters, "centro1", (enum counter)i, UINT64_C(10000000000) + i);
    must_fold(ledger);
    counters_close(counters);
    struct rows rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_HOUR});
    assert_int_equal(rows.count, 1);
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        assert_true(rows.rows[0].values[i] == UINT64_C(10000000000) + i);
    assert_int_equal(rows.rows[0].period_start, HOUR_14);
    assert_int_equal(rows.rows[0].period_end, HOUR_14 + 3600);
    assert_false(rows.rows[0].has_service);
    ledger_close(ledger);
}

/* Each counter alone must be enough to write a row again. */
static void test_each_counter_grows_by_itself(void **state) {
    struct counters *counters = must_count(HOUR_14);
    struct ledger *ledger = must_open();

    (void)state;
    for (unsigned i = 0; i < COUNTER_COUNT; i++) {
        for (uint64_t round = 1; round <= 2; round++) {
            add_to(counters, "centro1", (enum counter)i, 1);
            must_fold(ledger);
            struct rows rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_HOUR});
            assert_int_equal(rows.rows[0].values[i], round);
        }
    }
    counters_close(counters);
    ledger_close(ledger);
}

static void test_instances_of_one_hour_are_summed(void **state) {
    struct counters *one = must_count(HOUR_14);
    struct counters *two = must_count(HOUR_14);
    struct ledger *ledger = must_open();

    (void)state;
    add_to(one, "centro1", COUNTER_REQUESTS, 1);
    add_to(two, "centro1", COUNTER_REQUESTS, 2);
    must_fold(ledger);
    counters_close(one);
    add_to(two, "centro1", COUNTER_REQUESTS, 4);
    must_fold(ledger);
    assert_int_equal(requests_of(ledger, "centro1"), 7);
    assert_int_equal(count_files(), 1);
    counters_close(two);
    ledger_close(ledger);
}

static void copy_file(const char *from, const char *to) {
    static char bytes[1 << 20];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t length = read(in, bytes, sizeof bytes);

    assert_true(length > 0 && write(out, bytes, (size_t)length) == length);
    close(in);
    close(out);
}

static void test_file_that_comes_back_from_a_backup_adds_nothing(void **state) {
    struct ledger *ledger = must_open();
    struct counters_file *files;
    struct error error;
    char backup[128];

    (void)state;
    leave_file(HOUR_14, "centro1", 5);
    assert_int_equal(counters_list(counters_dir, &files, &error), 1);
    snprintf(backup, sizeof backup, "%s/backup", dir);
    copy_file(files[0].path, backup);
    must_fold(ledger);
    copy_file(backup, files[0].path);
    /* Even one that says more: what was folded as final is final. */
    int fd = open(files[0].path, O_WRONLY);
    assert_int_equal(pwrite(fd, "\xff", 1, 7 * 65536 + 64), 1);
    close(fd);
    must_fold(ledger);
    assert_int_equal(requests_of(ledger, "centro1"), 5);
    assert_int_equal(count_files(), 0);
    free(files);
    ledger_close(ledger);
}

static void test_file_with_unclaimed_workers_is_folded_but_kept(void **state) {
    struct counters *counters = must_count(HOUR_14);
    struct ledger *ledger = must_open();
    static struct worker_record found[COUNTERS_WORKERS_MAX];

    (void)state;
    add_to(counters, "centro1", COUNTER_REQUESTS, 5);
    counters_workers(counters)[0] = (struct worker_record){.pid = 9, .start_ticks = 1};
    counters_close(counters);
    must_fold(ledger);
    must_fold(ledger);
    assert_int_equal(requests_of(ledger, "centro1"), 5);
    assert_int_equal(count_files(), 1);
    counters = must_count(HOUR_14 + 3600);
    assert_int_equal(counters_predecessors(counters, found), 1);
    must_fold(ledger);
    assert_int_equal(count_files(), 1);
    assert_int_equal(requests_of(ledger, "centro1"), 5);
    counters_close(counters);
    ledger_close(ledger);
}

static void test_damaged_file_does_not_stop_the_others(void **state) {
    struct ledger *ledger = must_open();
    struct counters_file *files;
    struct error error = {""};

    (void)state;
    for (int i = 0; i < 3; i++)
        leave_file(HOUR_14, "a", 5);
    assert_int_equal(counters_list(counters_dir, &files, &error), 3);
    assert_int_equal(truncate(files[1].path, 1000), 0);
    assert_int_equal(ledger_fold(ledger, counters_dir, &error), -1);
    assert_non_null(strstr(error.text, files[1].path));
    assert_int_equal(requests_of(ledger, "a"), 10);
    assert_int_equal(count_files(), 1);
    free(files);
    ledger_close(ledger);
}

static void test_nothing_of_a_damaged_file_is_kept(void **state) {
    struct counters *counters = must_count(HOUR_14);
    struct ledger *ledger = must_open();
    struct counters_file *files;
    struct error error = {""};

    (void)state;
    add_to(counters, "good", COUNTER_REQUESTS, 1);
    add_to(counters, "bad", COUNTER_REQUESTS, 1);
    counters_close(counters);
    assert_int_equal(counters_list(counters_dir, &files, &error), 1);
    int fd = open(files[0].path, O_WRONLY);
    assert_int_equal(pwrite(fd, "\x07", 1, 7 * 65536 + 64 + 80), 1); /* the second name */
    assert_int_equal(ledger_fold(ledger, counters_dir, &error), -1);
    assert_int_equal(requests_of(ledger, "good"), 0);
    assert_int_equal(pwrite(fd, "b", 1, 7 * 65536 + 64 + 80), 1);
    close(fd);
    must_fold(ledger);
    assert_int_equal(requests_of(ledger, "good"), 1);
    assert_int_equal(requests_of(ledger, "bad"), 1);
    free(files);
    ledger_close(ledger);
}

/* A child folds files that another child makes, and is killed at any moment. */
static void test_kill_while_folding_loses_and_doubles_nothing(void **state) {
    uint64_t expected = 0;
    struct error error;

    (void)state;
    srand(7);
    for (unsigned round = 0; round < 50; round++) {
        leave_file(HOUR_14 + 3600 * (round % 5), "centro1", round + 1);
        leave_file(HOUR_14 + 3600 * (round % 5), "other", 1);
        expected += round + 1;
        pid_t child = fork();
        if (child == 0) {
            struct ledger *ledger = ledger_open(source, &error);
            ledger_fold(ledger, counters_dir, &error);
            _exit(0);
        }
        struct timespec while_it_works = {.tv_nsec = rand() % 8000000};
        nanosleep(&while_it_works, NULL);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    struct ledger *ledger = must_open();
    must_fold(ledger);
    assert_int_equal(requests_of(ledger, "centro1"), expected);
    assert_int_equal(count_files(), 0);
    ledger_close(ledger);
}

static void test_several_processes_fold_and_open_at_once(void **state) {
    enum { FOLDERS = 4 };
    pid_t children[FOLDERS];
    struct error error;

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        leave_file(HOUR_14 + 3600 * (i % 3), "centro1", 1);
    for (int i = 0; i < FOLDERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct ledger *ledger = ledger_open(source, &error);
            if (ledger == NULL || ledger_fold(ledger, counters_dir, &error) < 0) {
                fprintf(stderr, "%s\n", error.text);
                _exit(1);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < FOLDERS; i++) {
        int status;
        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
    struct ledger *ledger = must_open();
    assert_int_equal(requests_of(ledger, "centro1"), 20);
    assert_int_equal(count_files(), 0);
    ledger_close(ledger);
}

static void test_rows_are_ordered_and_summed_by_period(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    leave_file(DAY_22 + 86400, "b", 100);
    leave_file(DAY_22 + 23 * 3600, "b", 10);
    leave_file(HOUR_14, "b", 1);
    leave_file(HOUR_14, "b", 2);
    leave_file(HOUR_14, "a", 5);
    leave_file(MONTH_11 - 3600, "a", 7);
    must_fold(ledger);
    struct rows rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_HOUR});
    assert_int_equal(rows.count, 5);
    assert_string_equal(rows.tenants[0], "a");
    assert_int_equal(rows.rows[0].period_start, MONTH_11 - 3600);
    assert_string_equal(rows.tenants[2], "b");
    assert_int_equal(rows.rows[2].values[COUNTER_REQUESTS], 3);
    rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_DAY, .tenant = "b"});
    assert_int_equal(rows.count, 2);
    assert_int_equal(rows.rows[0].values[COUNTER_REQUESTS], 13);
    assert_int_equal(rows.rows[0].period_start, DAY_22);
    assert_int_equal(rows.rows[0].period_end, DAY_22 + 86400);
    rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_MONTH});
    assert_int_equal(rows.count, 3);
    assert_int_equal(rows.rows[0].period_end, MONTH_11);
    assert_int_equal(rows.rows[1].period_start, MONTH_11);
    assert_int_equal(rows.rows[2].values[COUNTER_REQUESTS], 113);
    rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_ALL});
    assert_int_equal(rows.count, 2);
    assert_int_equal(rows.rows[0].period_start, MONTH_11 - 3600);
    assert_int_equal(rows.rows[0].period_end, HOUR_14 + 3600);
    ledger_close(ledger);
}

static void test_periods_are_cut_to_the_query(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    leave_file(HOUR_14 - 3600, "a", 1);
    leave_file(HOUR_14, "a", 10);
    leave_file(HOUR_14 + 3600, "a", 100);
    must_fold(ledger);
    struct rows rows = ask(
        ledger, (struct ledger_query){.by = LEDGER_BY_DAY, .from = HOUR_14, .to = HOUR_14 + 3600});
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.rows[0].values[COUNTER_REQUESTS], 10);
    assert_int_equal(rows.rows[0].period_start, HOUR_14);
    assert_int_equal(rows.rows[0].period_end, HOUR_14 + 3600);
    rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_ALL, .from = DAY_22, .to = HOUR_14});
    assert_int_equal(rows.rows[0].values[COUNTER_REQUESTS], 1);
    assert_int_equal(rows.rows[0].period_start, DAY_22);
    assert_int_equal(rows.rows[0].period_end, HOUR_14);
    rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_HOUR, .from = HOUR_14 + 7200});
    assert_int_equal(rows.count, 0);
    ledger_close(ledger);
}

static void test_idle_time_is_left_out_unless_asked_for(void **state) {
    struct ledger *ledger = must_open();
    struct counters *counters = must_count(HOUR_14);

    (void)state;
    add_to(counters, COUNTERS_IDLE, COUNTER_CPU_NS, 8);
    add_to(counters, "a", COUNTER_CPU_NS, 9);
    counters_close(counters);
    must_fold(ledger);
    assert_int_equal(ask(ledger, (struct ledger_query){.by = LEDGER_BY_ALL}).count, 1);
    struct rows rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_ALL, .with_idle = true});
    assert_int_equal(rows.count, 2);
    assert_string_equal(rows.tenants[0], COUNTERS_IDLE);
    rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_ALL, .tenant = COUNTERS_IDLE});
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.rows[0].values[COUNTER_CPU_NS], 8);
    ledger_close(ledger);
}

static void expect_metering(uint64_t requests, uint64_t unmetered, uint64_t cpu_ns,
                            enum metering metering) {
    set_up(NULL);
    struct counters *counters = must_count(HOUR_14);
    struct ledger *ledger = must_open();
    add_to(counters, "a", COUNTER_REJECTED, 1);
    add_to(counters, "a", COUNTER_REQUESTS, requests);
    add_to(counters, "a", COUNTER_REQUESTS_UNMETERED, unmetered);
    add_to(counters, "a", COUNTER_CPU_NS, cpu_ns);
    counters_close(counters);
    must_fold(ledger);
    struct rows rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_HOUR});
    assert_int_equal(rows.rows[0].metering, metering);
    assert_int_equal(rows.rows[0].has_cpu, metering != METERING_NONE);
    ledger_close(ledger);
    tear_down(NULL);
}

static void test_metering_says_what_is_known(void **state) {
    (void)state;
    expect_metering(0, 0, 0, METERING_EXACT);
    expect_metering(2, 0, 5, METERING_EXACT);
    expect_metering(2, 1, 5, METERING_PARTIAL);
    expect_metering(2, 1, 0, METERING_PARTIAL);
    expect_metering(2, 2, 0, METERING_NONE);
    expect_metering(2, 2, 5, METERING_PARTIAL); /* a tail of the hour before */
    expect_metering(0, 1, 0, METERING_NONE);    /* it began in the hour before */
}

static int stop_at_once(void *context, const struct ledger_row *row) {
    (void)row;
    ++*(int *)context;
    return 1;
}

static void test_visitor_can_stop(void **state) {
    struct ledger *ledger = must_open();
    struct ledger_query query = {.by = LEDGER_BY_HOUR};
    struct error error;
    int visits = 0;

    (void)state;
    leave_file(HOUR_14, "a", 1);
    leave_file(HOUR_14, "b", 1);
    leave_file(HOUR_14, "c", 1);
    must_fold(ledger);
    assert_int_equal(ledger_query(ledger, &query, stop_at_once, &visits, &error), 1);
    assert_int_equal(visits, 1);
    ledger_close(ledger);
}

static void test_missing_counters_are_no_error(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    must_fold(ledger);
    assert_int_equal(ask(ledger, (struct ledger_query){.by = LEDGER_BY_MONTH}).count, 0);
    ledger_close(ledger);
}

static void test_full_disk_keeps_the_files(void **state) {
    struct ledger *ledger = must_open();
    struct rlimit limit;
    struct error error = {""};

    (void)state;
    struct counters *counters = must_count(HOUR_14);
    for (unsigned i = 0; i < 3000; i++) {
        char name[32];
        snprintf(name, sizeof name, "t%u", i);
        add_to(counters, name, COUNTER_REQUESTS, 1);
    }
    counters_close(counters);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 65536;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int result = ledger_fold(ledger, counters_dir, &error);
    limit.rlim_cur = RLIM_INFINITY;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(result, -1);
    assert_non_null(strstr(error.text, database));
    assert_int_equal(count_files(), 1);
    assert_int_equal(requests_of(ledger, "t7"), 0);
    must_fold(ledger);
    assert_int_equal(requests_of(ledger, "t7"), 1);
    assert_int_equal(requests_of(ledger, "t2999"), 1);
    ledger_close(ledger);
}

static void test_what_is_no_ledger_is_refused(void **state) {
    (void)state;
    expect_refused("postgres:x", "sqlite:PATH");
    expect_refused("sqlite:", "sqlite:PATH");
    expect_refused("sqlite:/tmp/fpmux-no/usage.db", "/tmp/fpmux-no: No such file");
    int fd = open(database, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "hello, this is no database", 26), 26);
    close(fd);
    expect_refused(source, "not a database");
    unlink(database);
    run_sql("CREATE TABLE other(a); PRAGMA user_version=1");
    expect_refused(source, "not a ledger");
    unlink(database);
    run_sql("CREATE TABLE other(a)");
    expect_refused(source, "not a ledger");
    unlink(database);
    expect_refused("sqlite:/tmp", "/tmp: not a regular file");
    ledger_close(must_open());
    run_sql("PRAGMA user_version=4");
    expect_refused(source, "newer version");
}

static void fold_here(void) {
    struct error error = {""};
    struct ledger *ledger = ledger_open(source, &error);

    if (ledger == NULL || ledger_fold(ledger, counters_dir, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        _exit(2);
    }
    ledger_close(ledger);
}

static void count_here(void) {
    struct error error = {""};
    struct counters *counters = counters_open(counters_dir, HOUR_14, &error);

    if (counters == NULL)
        _exit(3);
    add_to(counters, "a", COUNTER_REQUESTS, 1);
    counters_close(counters);
}

static void test_ledger_made_by_root_belongs_to_the_daemon(void **state) {
    enum { DAEMON = 65534 };
    struct stat status;

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(dir, DAEMON, DAEMON), 0);
    as_user(DAEMON, count_here);
    fold_here();
    assert_int_equal(stat(database, &status), 0);
    assert_int_equal(status.st_uid, DAEMON);
    assert_int_equal(status.st_gid, DAEMON);
    as_user(DAEMON, count_here);
    as_user(DAEMON, fold_here);
    struct ledger *ledger = must_open();
    assert_int_equal(requests_of(ledger, "a"), 2);
    ledger_close(ledger);
}

static void read_without_writing(void) {
    struct error error = {""};
    struct ledger *ledger = ledger_open(source, &error);

    if (ledger == NULL) {
        fprintf(stderr, "%s\n", error.text);
        _exit(2);
    }
    if (ledger_fold(ledger, counters_dir, &error) == 0)
        _exit(3);
    if (requests_of(ledger, "a") != 5)
        _exit(4);
    ledger_close(ledger);
}

static void test_reader_without_permission_sees_what_is_there(void **state) {
    (void)state;
    if (geteuid() != 0)
        skip();
    leave_file(HOUR_14, "a", 5);
    struct ledger *ledger = must_open();
    must_fold(ledger);
    ledger_close(ledger);
    leave_file(HOUR_14, "a", 5);
    char path[128];
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(chmod(counters_dir, 0755), 0);
    assert_int_equal(chmod(database, 0644), 0);
    snprintf(path, sizeof path, "%s-wal", database);
    assert_int_equal(chmod(path, 0644), 0);
    snprintf(path, sizeof path, "%s-shm", database);
    assert_int_equal(chmod(path, 0644), 0);
    as_user(65534, read_without_writing);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_folding_twice_adds_nothing),
        TEST(test_all_counters_arrive),
        TEST(test_each_counter_grows_by_itself),
        TEST(test_instances_of_one_hour_are_summed),
        TEST(test_file_that_comes_back_from_a_backup_adds_nothing),
        TEST(test_file_with_unclaimed_workers_is_folded_but_kept),
        TEST(test_damaged_file_does_not_stop_the_others),
        TEST(test_nothing_of_a_damaged_file_is_kept),
        TEST(test_kill_while_folding_loses_and_doubles_nothing),
        TEST(test_several_processes_fold_and_open_at_once),
        TEST(test_rows_are_ordered_and_summed_by_period),
        TEST(test_periods_are_cut_to_the_query),
        TEST(test_idle_time_is_left_out_unless_asked_for),
        cmocka_unit_test(test_metering_says_what_is_known),
        TEST(test_visitor_can_stop),
        TEST(test_missing_counters_are_no_error),
        TEST(test_full_disk_keeps_the_files),
        TEST(test_what_is_no_ledger_is_refused),
        TEST(test_ledger_made_by_root_belongs_to_the_daemon),
        TEST(test_reader_without_permission_sees_what_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
