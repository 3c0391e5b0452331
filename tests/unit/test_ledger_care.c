/* Merging and pruning ledgers: whatever is done how often and in what order,
 * each figure is in a bill once. */
#include "tests/support/care_fixture.h"

#include <sys/stat.h>

#include "tenants/ledger_service.h"
#include "tenants/period.h"
#include "tenants/timezone.h"

/* ---- Merge ---- */

/* Another host's ledger, made from the same directory of counters in turns. */
static void leave_other(time_t hour, const char *tenant, uint64_t requests) {
    struct ledger *other = open_other();

    leave_file(hour, tenant, requests);
    must_fold(other);
    ledger_close(other);
}

static void test_merging_again_changes_nothing(void **state) {
    struct ledger *ledger = open_filled();

    (void)state;
    leave_other(HOUR_14, "a", 100);
    leave_other(HOUR_14, "c", 1000);
    assert_int_equal(must_merge(ledger, other_database).rows, 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(must_merge(ledger, other_database).rows, 0);
    assert_int_equal(requests_of(ledger, "a"), 104);
    assert_int_equal(requests_of(ledger, "b"), 40);
    assert_int_equal(requests_of(ledger, "c"), 1000);
    assert_int_equal(ask(ledger, (struct ledger_query){.tenant = "a", .by = LEDGER_BY_HOUR}).count,
                     5);
    ledger_close(ledger);
}

static void test_overlapping_files_count_once(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    leave_other(HOUR_14, "a", 1);
    struct ledger *other = open_other();
    must_back_up(other, copy_path);
    ledger_close(other);
    leave_other(HOUR_14 + HOUR, "a", 10);
    assert_int_equal(must_merge(ledger, other_database).rows, 2);
    assert_int_equal(must_merge(ledger, copy_path).rows, 0);
    assert_int_equal(requests_of(ledger, "a"), 11);
    /* And the other way round. */
    must_back_up(ledger, other_database);
    other = open_other();
    must_merge(other, database);
    assert_int_equal(requests_of(other, "a"), 11);
    ledger_close(other);
    ledger_close(ledger);
}

static void test_hour_that_still_ran_is_completed_by_a_later_merge(void **state) {
    struct ledger *ledger = must_open();
    struct ledger *other = open_other();
    struct counters *counters = must_count(HOUR_14);

    (void)state;
    add_to(counters, "a", COUNTER_REQUESTS, 3);
    must_fold(other);
    must_back_up(other, copy_path);
    must_merge(ledger, copy_path);
    assert_int_equal(requests_of(ledger, "a"), 3);
    add_to(counters, "a", COUNTER_REQUESTS, 4);
    counters_close(counters);
    must_fold(other);
    must_merge(ledger, other_database);
    must_merge(ledger, copy_path);
    assert_int_equal(requests_of(ledger, "a"), 7);
    ledger_close(other);
    ledger_close(ledger);
}

static void test_merge_is_a_union_of_runs(void **state) {
    struct ledger *ledger = must_open(), *other = open_other();
    struct service_run run = {.container = "c1", .tenant = "a", .started_ns = HOUR_14 * SECOND};
    struct error error;

    (void)state;
    run.until_ns = run.started_ns + 10 * SECOND;
    assert_int_equal(ledger_note_service(ledger, &run, 1, &error), 0);
    run.until_ns = run.started_ns + 30 * SECOND;
    assert_int_equal(ledger_note_service(other, &run, 1, &error), 0);
    run.container = "c2";
    run.started_ns += 20 * SECOND;
    run.until_ns = run.started_ns + 20 * SECOND;
    assert_int_equal(ledger_note_service(other, &run, 1, &error), 0);
    assert_int_equal(must_merge(ledger, other_database).runs, 2);
    assert_int_equal(must_merge(ledger, other_database).runs, 0);
    struct rows rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_ALL});
    assert_int_equal(rows.rows[0].service_ns, 40 * SECOND);
    /* An end that is known holds, though it is earlier. */
    run = (struct service_run){.container = "c1",
                               .tenant = "a",
                               .started_ns = HOUR_14 * SECOND,
                               .until_ns = HOUR_14 * SECOND + 5 * SECOND,
                               .has_ended = true};
    assert_int_equal(ledger_note_service(ledger, &run, 1, &error), 0);
    assert_int_equal(must_merge(ledger, other_database).runs, 0);
    rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_ALL});
    assert_int_equal(rows.rows[0].service_ns, 25 * SECOND);
    ledger_close(other);
    ledger_close(ledger);
}

static void test_what_is_no_ledger_is_not_merged(void **state) {
    struct ledger *ledger = open_filled();

    (void)state;
    expect_merge_refused(ledger, database, "this ledger itself");
    expect_merge_refused(ledger, "/tmp/fpmux-no.db", "No such file");
    ledger_close(open_other());
    sqlite3 *db;
    assert_int_equal(sqlite3_open(other_database, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=4", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    expect_merge_refused(ledger, other_database, "newer version");
    assert_int_equal(requests_of(ledger, "a"), 4);
    ledger_close(ledger);
}

static void test_merged_file_is_not_written_to(void **state) {
    static char before[1 << 18], after[1 << 18];
    struct ledger *ledger = must_open();

    (void)state;
    leave_other(HOUR_14, "a", 1);
    struct ledger *other = open_other();
    must_back_up(other, copy_path);
    ledger_close(other);
    int fd = open(copy_path, O_RDONLY);
    ssize_t length = pread(fd, before, sizeof before, 0);
    assert_int_equal(chmod(copy_path, 0400), 0);
    must_merge(ledger, copy_path);
    assert_int_equal(pread(fd, after, sizeof after, 0), length);
    assert_memory_equal(before, after, (size_t)length);
    close(fd);
    ledger_close(ledger);
}

/* ---- Prune ---- */

static void test_sums_leave_days_and_months_as_they_were(void **state) {
    struct ledger *ledger = open_filled();
    struct rows before = ask(ledger, (struct ledger_query){.by = LEDGER_BY_DAY});

    (void)state;
    struct ledger_pruned pruned = must_prune(ledger, DAY_22 + DAY, true);
    assert_int_equal(pruned.rows, 8);
    assert_int_equal(pruned.left, 0);
    assert_int_equal(must_prune(ledger, DAY_22 + DAY, true).rows, 0);
    struct rows after = ask(ledger, (struct ledger_query){.by = LEDGER_BY_DAY});
    assert_int_equal(after.count, before.count);
    for (size_t i = 0; i < after.count; i++) {
        assert_string_equal(after.tenants[i], before.tenants[i]);
        assert_int_equal(after.rows[i].period_start, before.rows[i].period_start);
        assert_int_equal(after.rows[i].period_end, before.rows[i].period_end);
        assert_memory_equal(after.rows[i].values, before.rows[i].values,
                            sizeof after.rows[i].values);
    }
    assert_int_equal(requests_of(ledger, "b"), 40);
    ledger_close(ledger);
}

static void expect_query_refused(struct ledger *ledger, struct ledger_query query) {
    struct rows rows = {.count = 0};
    struct error error = {""};

    assert_int_equal(ledger_query(ledger, &query, keep_row, &rows, &error), -1);
    assert_non_null(strstr(error.text, "only the sum is left"));
}

static void test_what_sums_can_not_answer_is_refused(void **state) {
    struct ledger *ledger = open_filled();

    (void)state;
    must_prune(ledger, DAY_22, true);
    expect_query_refused(ledger, (struct ledger_query){.by = LEDGER_BY_HOUR});
    expect_query_refused(ledger,
                         (struct ledger_query){.by = LEDGER_BY_MONTH, .from = DAY_22 - HOUR});
    expect_query_refused(ledger, (struct ledger_query){.by = LEDGER_BY_ALL, .to = DAY_22 - HOUR});
    struct rows rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_HOUR, .from = DAY_22});
    assert_int_equal(rows.count, 2);
    ledger_close(ledger);
}

static void test_pruned_hours_do_not_come_back_from_counters(void **state) {
    struct ledger *ledger = must_open();
    struct counters_file *files;
    struct error error;
    char saved[600];

    (void)state;
    for (int sums = 0; sums < 2; sums++) {
        leave_file(DAY_22 - DAY + sums * HOUR, "a", 5);
        assert_int_equal(counters_list(counters_dir, &files, &error), 1);
        snprintf(saved, sizeof saved, "%s/saved", dir);
        assert_int_equal(link(files[0].path, saved), 0);
        must_fold(ledger);
        must_prune(ledger, DAY_22, sums == 0);
        assert_int_equal(rename(saved, files[0].path), 0);
        must_fold(ledger);
        assert_int_equal(count_files(), 0);
        assert_int_equal(requests_of(ledger, "a"), sums == 0 ? 5 : 0);
        free(files);
    }
    ledger_close(ledger);
}

static void test_late_counters_are_added_to_the_sum(void **state) {
    struct ledger *ledger = open_filled();

    (void)state;
    must_prune(ledger, DAY_22, true);
    /* They lay on a disk that was away; one is of the hour at which the sum stands. */
    leave_file(DAY_22 - DAY, "a", 100);
    leave_file(DAY_22 - DAY + 5 * HOUR, "a", 1000);
    must_fold(ledger);
    assert_int_equal(requests_by(ledger, "a", DAY_22 - DAY, DAY_22), 1103);
    assert_int_equal(must_prune(ledger, DAY_22, true).rows, 2);
    assert_int_equal(requests_by(ledger, "a", DAY_22 - DAY, DAY_22), 1103);
    ledger_close(ledger);
}

static void test_late_hour_of_the_same_daemon_is_added_to_the_sum(void **state) {
    struct counters *counters = must_count(DAY_22 - DAY);
    struct ledger *ledger = must_open();
    struct counters_file *files;
    struct error error;
    char saved[600];

    (void)state;
    add_to(counters, "a", COUNTER_REQUESTS, 1);
    assert_true(counters_tick(counters, DAY_22 - DAY + HOUR, &error));
    add_to(counters, "a", COUNTER_REQUESTS, 10);
    counters_close(counters);
    assert_int_equal(counters_list(counters_dir, &files, &error), 2);
    snprintf(saved, sizeof saved, "%s/saved", dir);
    assert_int_equal(rename(files[0].path, saved), 0);
    must_fold(ledger);
    assert_int_equal(must_prune(ledger, DAY_22, true).rows, 1);
    assert_int_equal(rename(saved, files[0].path), 0);
    must_fold(ledger);
    assert_int_equal(requests_of(ledger, "a"), 11);
    for (int i = 0; i < 2; i++) {
        must_prune(ledger, DAY_22, true);
        assert_int_equal(requests_of(ledger, "a"), 11);
    }
    free(files);
    ledger_close(ledger);
}

static void test_hours_not_seen_to_their_end_are_left(void **state) {
    struct ledger *ledger = must_open();
    struct counters *counters = must_count(DAY_22 - DAY);

    (void)state;
    add_to(counters, "a", COUNTER_REQUESTS, 3);
    must_fold(ledger);
    for (int sums = 0; sums < 2; sums++) {
        struct ledger_pruned pruned = must_prune(ledger, DAY_22, sums != 0);
        assert_int_equal(pruned.rows, 0);
        assert_int_equal(pruned.left, 1);
    }
    add_to(counters, "a", COUNTER_REQUESTS, 4);
    counters_close(counters);
    must_fold(ledger);
    assert_int_equal(requests_of(ledger, "a"), 7);
    assert_int_equal(must_prune(ledger, DAY_22, true).rows, 1);
    assert_int_equal(requests_of(ledger, "a"), 7);
    ledger_close(ledger);
}

static void test_deleting_is_remembered(void **state) {
    struct ledger *ledger = open_filled();
    struct error error;

    (void)state;
    assert_int_equal(ledger_deleted_before(ledger, &error), 0);
    must_prune(ledger, DAY_22 - DAY, true);
    assert_int_equal(ledger_deleted_before(ledger, &error), 0);
    must_prune(ledger, DAY_22, false);
    must_prune(ledger, DAY_22 - DAY, false);
    assert_int_equal(ledger_deleted_before(ledger, &error), DAY_22);
    assert_int_equal(requests_of(ledger, "a"), 1);
    ledger_close(ledger);
}

static void test_dry_run_changes_nothing(void **state) {
    struct ledger *ledger = open_filled();
    struct ledger_prune prune = {.before = DAY_22, .zone_name = "UTC", .is_dry_run = true};
    struct ledger_pruned pruned;
    struct error error;

    (void)state;
    for (int sums = 0; sums < 2; sums++) {
        prune.sums_to_days = sums != 0;
        assert_int_equal(ledger_prune(ledger, &prune, NULL, &pruned, &error), 0);
        assert_int_equal(pruned.rows, 6);
    }
    assert_int_equal(requests_of(ledger, "a"), 4);
    assert_int_equal(must_prune(ledger, DAY_22, false).rows, 6);
    ledger_close(ledger);
}

static void test_days_of_a_zone_are_summed_as_they_were(void **state) {
    struct ledger_prune prune = {
        .sums_to_days = true, .zone = PERIOD_LOCAL, .zone_name = "Europe/Madrid"};
    struct ledger_query query = {.by = LEDGER_BY_DAY, .zone = PERIOD_LOCAL};
    struct ledger *ledger = must_open();
    struct ledger_pruned pruned;
    struct error error = {""};

    (void)state;
    assert_true(timezone_enter("Europe/Madrid", &error));
    assert_true(period_parse_time("2026-10-27", PERIOD_LOCAL, &prune.before, &error));
    /* Every hour around the change of the clocks: days of 24, 24, 25 and 24 hours. */
    for (int hour = 1; hour <= 97; hour++)
        leave_file(prune.before - hour * HOUR, "a", 1);
    must_fold(ledger);
    for (int round = 0; round < 2; round++) {
        struct rows rows = ask(ledger, query);
        assert_int_equal(rows.count, 4);
        assert_int_equal(rows.rows[1].values[COUNTER_REQUESTS], 24);
        assert_int_equal(rows.rows[2].values[COUNTER_REQUESTS], 25);
        if (ledger_prune(ledger, &prune, NULL, &pruned, &error) < 0)
            fail_msg("%s", error.text);
    }
    expect_query_refused(ledger, (struct ledger_query){.by = LEDGER_BY_DAY});
    prune.zone = PERIOD_UTC;
    prune.before = prune.before / DAY * DAY;
    assert_int_equal(ledger_prune(ledger, &prune, NULL, &pruned, &error), -1);
    assert_non_null(strstr(error.text, "another time zone"));
    assert_true(timezone_enter("UTC", &error));
    ledger_close(ledger);
}

/* ---- Merge and prune together ---- */

static void test_merge_does_not_bring_back_what_was_pruned(void **state) {
    (void)state;
    for (int sums = 0; sums < 2; sums++) {
        set_up_two(NULL);
        struct ledger *ledger = must_open();
        leave_other(DAY_22 - DAY, "a", 5);
        leave_other(DAY_22 + HOUR, "a", 10);
        must_merge(ledger, other_database);
        must_prune(ledger, DAY_22, sums != 0);
        assert_int_equal(must_merge(ledger, other_database).rows, 0);
        assert_int_equal(requests_of(ledger, "a"), sums ? 15 : 10);
        /* Of a host that is new here it does come in. */
        unlink(other_database);
        leave_other(DAY_22 - DAY, "a", 100);
        assert_int_equal(must_merge(ledger, other_database).rows, 1);
        assert_int_equal(requests_of(ledger, "a"), sums ? 115 : 110);
        ledger_close(ledger);
        tear_down(NULL);
    }
}

static void test_sums_of_the_other_ledger_are_taken_once(void **state) {
    struct ledger *ledger = must_open(), *fresh;

    (void)state;
    leave_other(DAY_22 - DAY, "a", 5);
    must_merge(ledger, other_database); /* one hour of the day, by itself */
    leave_other(DAY_22 - DAY + HOUR, "a", 10);
    leave_other(DAY_22 - DAY + HOUR, "b", 7);
    struct ledger *other = open_other();
    must_back_up(other, copy_path); /* hourly */
    must_prune(other, DAY_22, true);
    for (int i = 0; i < 2; i++) {
        must_merge(ledger, other_database);
        assert_int_equal(requests_of(ledger, "a"), 15);
        assert_int_equal(requests_of(ledger, "b"), 7);
    }
    must_merge(ledger, copy_path);
    assert_int_equal(requests_of(ledger, "a"), 15);
    /* Hours first, their sum later: nothing is added either. */
    snprintf(source, sizeof source, "sqlite:%s/fresh.db", dir);
    fresh = must_open();
    must_merge(fresh, copy_path);
    must_merge(fresh, other_database);
    must_merge(fresh, copy_path);
    assert_int_equal(requests_of(fresh, "a"), 15);
    assert_int_equal(requests_of(fresh, "b"), 7);
    ledger_close(fresh);
    ledger_close(other);
    ledger_close(ledger);
}

/* One daemon that ran for four hours of one day. */
static void count_four_hours(struct ledger *first_two, struct ledger *all) {
    struct counters *counters = must_count(DAY_22 - DAY);
    struct error error;

    for (int hour = 0; hour < 4; hour++) {
        assert_true(counters_tick(counters, DAY_22 - DAY + hour * HOUR, &error));
        add_to(counters, "a", COUNTER_REQUESTS, 1U << hour);
        if (hour == 2 && first_two != NULL)
            must_fold(first_two);
    }
    counters_close(counters);
    must_fold(all);
}

static void test_part_of_a_day_is_completed_by_the_sum_of_all(void **state) {
    struct ledger *ledger = must_open(), *other = open_other();

    (void)state;
    /* `other` gets what `ledger` has folded, and then all of it. */
    count_four_hours(ledger, other);
    must_merge(other, database);
    must_prune(other, DAY_22, true);
    assert_int_equal(requests_of(ledger, "a"), 1 + 2 + 4);
    must_merge(ledger, other_database);
    must_merge(ledger, other_database);
    assert_int_equal(requests_of(ledger, "a"), 1 + 2 + 4 + 8);
    ledger_close(other);
    ledger_close(ledger);
}

static void test_sums_that_can_not_be_told_apart_are_refused(void **state) {
    struct ledger *ledger = must_open(), *other = open_other();

    (void)state;
    count_four_hours(ledger, other); /* two hours are only here, two only there */
    must_prune(other, DAY_22, true);
    expect_merge_refused(ledger, other_database, "before it was pruned");
    assert_int_equal(requests_of(ledger, "a"), 1 + 2 + 4);
    ledger_close(other);
    ledger_close(ledger);
}

static void test_sum_of_less_than_is_known_adds_nothing(void **state) {
    struct ledger *ledger = must_open(), *other = open_other();

    (void)state;
    count_four_hours(other, ledger);
    must_merge(ledger, other_database);
    must_prune(other, DAY_22, true);
    assert_int_equal(must_merge(ledger, other_database).rows, 0);
    assert_int_equal(requests_of(ledger, "a"), 1 + 2 + 4 + 8);
    ledger_close(other);
    ledger_close(ledger);
}

static void test_sum_does_not_bring_back_what_was_deleted(void **state) {
    struct ledger *ledger = must_open(), *other = open_other();

    (void)state;
    count_four_hours(ledger, other);
    must_merge(other, database);
    must_prune(ledger, DAY_22, false);
    must_prune(other, DAY_22, true);
    expect_merge_refused(ledger, other_database, "before it was pruned");
    assert_int_equal(requests_of(ledger, "a"), 4); /* an hour that still ran */
    ledger_close(other);
    ledger_close(ledger);
}

static void test_deleted_time_of_the_other_ledger_is_told(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    leave_other(DAY_22 - DAY, "a", 5);
    struct ledger *other = open_other();
    must_back_up(other, copy_path);
    must_prune(other, DAY_22, false);
    assert_int_equal(must_merge(ledger, other_database).deleted_before, DAY_22);
    /* What it has deleted is not taken for known. */
    assert_int_equal(must_merge(ledger, copy_path).rows, 1);
    assert_int_equal(requests_of(ledger, "a"), 5);
    ledger_close(other);
    ledger_close(ledger);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CARE(test_merging_again_changes_nothing),
        CARE(test_overlapping_files_count_once),
        CARE(test_hour_that_still_ran_is_completed_by_a_later_merge),
        CARE(test_merge_is_a_union_of_runs),
        CARE(test_what_is_no_ledger_is_not_merged),
        CARE(test_merged_file_is_not_written_to),
        CARE(test_sums_leave_days_and_months_as_they_were),
        CARE(test_what_sums_can_not_answer_is_refused),
        CARE(test_pruned_hours_do_not_come_back_from_counters),
        CARE(test_late_counters_are_added_to_the_sum),
        CARE(test_late_hour_of_the_same_daemon_is_added_to_the_sum),
        CARE(test_hours_not_seen_to_their_end_are_left),
        CARE(test_deleting_is_remembered),
        CARE(test_dry_run_changes_nothing),
        CARE(test_days_of_a_zone_are_summed_as_they_were),
        cmocka_unit_test(test_merge_does_not_bring_back_what_was_pruned),
        CARE(test_sums_of_the_other_ledger_are_taken_once),
        CARE(test_part_of_a_day_is_completed_by_the_sum_of_all),
        CARE(test_sums_that_can_not_be_told_apart_are_refused),
        CARE(test_sum_of_less_than_is_known_adds_nothing),
        CARE(test_sum_does_not_bring_back_what_was_deleted),
        CARE(test_deleted_time_of_the_other_ledger_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
