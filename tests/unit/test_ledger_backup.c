/* Backups of ledgers that are in use, and whether a ledger is found sound that is, and only that.
 */
#include "tests/support/care_fixture.h"

/* ---- Backup ---- */

static void test_backup_is_a_ledger_in_one_file(void **state) {
    struct ledger *ledger = open_filled();
    struct error error = {""};
    char path[128];

    (void)state;
    assert_int_equal(ledger_backup(ledger, copy_path, false, NULL, &error), 0);
    snprintf(path, sizeof path, "%s-wal", copy_path);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(source, sizeof source, "sqlite:%s", copy_path);
    struct ledger *copy = must_open();
    assert_int_equal(requests_of(copy, "a"), 4);
    assert_int_equal(requests_of(copy, "b"), 40);
    ledger_close(copy);
    ledger_close(ledger);
}

static void test_backup_replaces_nothing_unless_it_may(void **state) {
    struct ledger *ledger = open_filled();
    struct error error = {""};

    (void)state;
    int fd = open(copy_path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "mine", 4), 4);
    close(fd);
    assert_int_equal(ledger_backup(ledger, copy_path, false, NULL, &error), 1);
    assert_non_null(strstr(error.text, "File exists"));
    assert_int_equal(ledger_backup(ledger, copy_path, true, NULL, &error), 0);
    assert_int_equal(ledger_backup(ledger, "/tmp/fpmux-no/copy.db", true, NULL, &error), -1);
    ledger_close(ledger);
}

static void fold_meanwhile(void *context, int64_t done, int64_t total) {
    struct ledger *other = must_open();

    assert_true(done <= total);
    leave_file(HOUR_14, "a", 100);
    must_fold(other);
    ledger_close(other);
    ++*(int *)context;
}

static void test_backup_is_of_one_instant_while_others_fold(void **state) {
    struct ledger *ledger = open_filled();
    int steps = 0;
    struct ledger_progress progress = {.on_step = fold_meanwhile, .context = &steps};
    struct error error = {""};

    (void)state;
    /* More pages than a step copies. */
    run_sql("CREATE TABLE filling(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n"
            " WHERE i<12000) INSERT INTO filling SELECT randomblob(3500) FROM n");
    if (ledger_backup(ledger, copy_path, false, &progress, &error) != 0)
        fail_msg("%s", error.text);
    assert_true(steps >= 3);
    struct ledger *copy = must_open();
    assert_true(requests_of(copy, "a") >= 304);
    ledger_close(copy);
    snprintf(source, sizeof source, "sqlite:%s", copy_path);
    copy = must_open();
    assert_int_equal(requests_of(copy, "a"), 4);
    ledger_close(copy);
    ledger_close(ledger);
}

/* ---- Verify ---- */

struct findings {
    unsigned checked;
    char wrong[2048];
};

static void note_finding(void *context, const struct ledger_finding *finding) {
    struct findings *findings = context;
    size_t length = strlen(findings->wrong);

    findings->checked++;
    assert_true(finding->is_wrong == (finding->mend[0] != '\0'));
    if (finding->is_wrong)
        snprintf(findings->wrong + length, sizeof findings->wrong - length, "%s: %s\n",
                 finding->checked, finding->found);
}

static void expect_verified(const char *what) {
    struct findings findings = {0};
    unsigned wrong = ledger_verify(database, counters_dir, HOUR_14, note_finding, &findings);

    assert_true(findings.checked > 0);
    if (what == NULL && (wrong > 0 || findings.checked < 7))
        fail_msg("%s", findings.wrong);
    if (what != NULL && (wrong == 0 || strstr(findings.wrong, what) == NULL))
        fail_msg("\"%s\" does not say \"%s\"", findings.wrong, what);
}

static void test_sound_ledger_is_found_sound(void **state) {
    struct ledger *ledger = open_filled();

    (void)state;
    leave_file(HOUR_14, "a", 3);
    expect_verified(NULL);
    assert_int_equal(count_files(), 1); /* it takes nothing in */
    must_fold(ledger);
    must_prune(ledger, DAY_22, true);
    expect_verified(NULL);
    ledger_close(ledger);
    expect_verified(NULL);
}

static void test_what_is_wrong_is_found(void **state) {
    static const struct {
        const char *sql;
        const char *undo;
        const char *what;
    } cases[] = {
        {"UPDATE usage SET wall_ns=-1 WHERE account=1", "UPDATE usage SET wall_ns=0",
         "below zero: 4 rows"},
        {"UPDATE usage SET cpu_ns=1<<62 WHERE account=1", "UPDATE usage SET cpu_ns=0",
         "beyond what can be: 4 rows"},
        {"UPDATE usage SET bytes_out=1<<61 WHERE account=1", "UPDATE usage SET bytes_out=0",
         "beyond what can be"},
        {"UPDATE account SET id=77 WHERE id=2", "UPDATE account SET id=2 WHERE id=77",
         "all rows: 4 rows"},
        {"INSERT INTO service VALUES(99, 1, 'c', 2, 0, 0)", "DELETE FROM service", "runs of"},
        {"INSERT INTO folded VALUES(99, 1, 0)", "DELETE FROM folded WHERE instance=99",
         "all rows: 1 rows"},
    };

    (void)state;
    ledger_close(open_filled());
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        run_sql(cases[i].sql);
        expect_verified(cases[i].what);
        run_sql(cases[i].undo);
        expect_verified(NULL);
    }
    leave_file(HOUR_14, "a", 3);
    struct counters_file *files;
    struct error error;
    assert_int_equal(counters_list(counters_dir, &files, &error), 1);
    assert_int_equal(truncate(files[0].path, 1000), 0);
    expect_verified(files[0].path);
    free(files);
    unlink(database);
    expect_verified("No such file");
}

static void test_damaged_database_is_found(void **state) {
    (void)state;
    ledger_close(open_filled());
    run_sql("PRAGMA wal_checkpoint(TRUNCATE)");
    int fd = open(database, O_WRONLY);
    for (off_t page = 2; page < 12; page++)
        assert_int_equal(pwrite(fd, "damaged damaged damaged", 23, page * 4096 + 3), 23);
    expect_verified("structure of the file");
    assert_int_equal(pwrite(fd, "nonsense", 8, 0), 8);
    close(fd);
    expect_verified("not a database");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CARE(test_backup_is_a_ledger_in_one_file),
        CARE(test_backup_replaces_nothing_unless_it_may),
        CARE(test_backup_is_of_one_instant_while_others_fold),
        CARE(test_sound_ledger_is_found_sound),
        CARE(test_what_is_wrong_is_found),
        CARE(test_damaged_database_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
