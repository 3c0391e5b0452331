/* What plans limit, asked of the ledger. */
#include "tests/support/ledger_fixture.h"

#define DECEMBER (MONTH_11 + 30 * 86400)

static struct month_use use_of(const char *tenant, const char *except) {
    struct ledger *ledger = must_open();
    struct month_sum sum = {.tenant = ""};
    struct error error = {""};

    must_fold(ledger);
    snprintf(sum.tenant, sizeof sum.tenant, "%s", tenant);
    if (ledger_sum_use(ledger, MONTH_11, DECEMBER, except, &sum, 1, &error) < 0)
        fail_msg("%s", error.text);
    ledger_close(ledger);
    return sum.use;
}

static void charge(time_t hour, const char *tenant, uint64_t requests, uint64_t cpu_ns) {
    struct counters *counters = must_count(hour);

    add_to(counters, tenant, COUNTER_REQUESTS, requests);
    add_to(counters, tenant, COUNTER_CPU_NS, cpu_ns);
    counters_close(counters);
}

static void test_hours_and_instances_of_the_month_are_summed(void **state) {
    (void)state;
    charge(HOUR_14, "one", 1, 100);
    charge(HOUR_14, "one", 2, 200);
    charge(HOUR_14 + 3600, "one", 4, 400);
    charge(DAY_22 - 86400, "one", 8, 800);
    charge(HOUR_14, "two", 16, 1600);
    assert_int_equal(use_of("one", NULL).requests, 15);
    assert_int_equal(use_of("one", NULL).cpu_ns, 1500);
    assert_int_equal(use_of("two", NULL).requests, 16);
}

static void test_other_months_do_not_count(void **state) {
    (void)state;
    charge(MONTH_11 - 3600, "one", 1, 1);
    charge(MONTH_11, "one", 2, 2);
    charge(DECEMBER - 3600, "one", 4, 4);
    charge(DECEMBER, "one", 8, 8);
    assert_int_equal(use_of("one", NULL).requests, 6);
    assert_int_equal(use_of("one", NULL).cpu_ns, 6);
}

static void test_tenant_that_the_ledger_does_not_know_has_used_nothing(void **state) {
    (void)state;
    assert_int_equal(use_of("one", NULL).requests, 0);
    charge(HOUR_14, "two", 1, 1);
    assert_int_equal(use_of("one", NULL).requests, 0);
    assert_int_equal(use_of("one", NULL).cpu_ns, 0);
}

static void test_instance_that_knows_better_is_left_out(void **state) {
    struct counters *own = must_count(HOUR_14);

    (void)state;
    charge(HOUR_14, "one", 1, 10);
    add_to(own, "one", COUNTER_REQUESTS, 2);
    assert_int_equal(use_of("one", counters_instance(own)).requests, 1);
    assert_int_equal(use_of("one", NULL).requests, 3);
    assert_int_equal(use_of("one", "00000000000000000000000000000000").requests, 3);
    counters_close(own);
}

static void test_many_are_answered_at_once(void **state) {
    struct month_sum sums[] = {{.tenant = "b"}, {.tenant = "nobody"}, {.tenant = "a"}};
    struct ledger *ledger = must_open();
    struct error error;

    (void)state;
    charge(HOUR_14, "a", 1, 0);
    charge(HOUR_14, "b", 2, 0);
    must_fold(ledger);
    assert_int_equal(ledger_sum_use(ledger, MONTH_11, DECEMBER, NULL, sums, 3, &error), 0);
    assert_int_equal(sums[0].use.requests, 2);
    assert_int_equal(sums[1].use.requests, 0);
    assert_int_equal(sums[2].use.requests, 1);
    ledger_close(ledger);
}

static void test_damaged_ledger_is_an_error(void **state) {
    struct ledger *ledger = must_open();
    struct month_sum sum = {.tenant = "one"};
    struct error error = {""};

    (void)state;
    run_sql("DROP TABLE usage");
    assert_int_equal(ledger_sum_use(ledger, MONTH_11, DECEMBER, NULL, &sum, 1, &error), -1);
    assert_non_null(strstr(error.text, "usage"));
    ledger_close(ledger);
}

/* The cost must not grow with the tenants or months that are not asked for: no table is walked
 * through, and nothing sorted. The statement is the one that runs, as SQLite tells it. */
static char traced[2048];

static int keep_statement(unsigned type, void *context, void *statement, void *text) {
    (void)type;
    (void)context;
    (void)statement;
    if (strncmp(text, "SELECT sum", 10) == 0)
        snprintf(traced, sizeof traced, "%s", (const char *)text);
    return 0;
}

static int trace_database(sqlite3 *db, const char **message, const void *routines) {
    (void)message;
    (void)routines;
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, keep_statement, NULL);
}

static void test_only_rows_that_are_asked_for_are_read(void **state) {
    char sql[sizeof traced + 32], plan[1024] = "";
    sqlite3_stmt *statement;
    sqlite3 *db;

    (void)state;
    charge(HOUR_14, "one", 1, 1);
    sqlite3_auto_extension((void (*)(void))trace_database);
    use_of("one", "x");
    sqlite3_reset_auto_extension();
    assert_true(traced[0] != '\0');
    snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN %s", traced);
    assert_int_equal(sqlite3_open(database, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW)
        snprintf(plan + strlen(plan), sizeof plan - strlen(plan), "%s\n",
                 (const char *)sqlite3_column_text(statement, 3));
    sqlite3_finalize(statement);
    sqlite3_close(db);
    assert_null(strstr(plan, "SCAN"));
    assert_null(strstr(plan, "TEMP B-TREE"));
    assert_non_null(strstr(plan, "SEARCH u USING PRIMARY KEY (day=? AND account=?)"));
    assert_non_null(strstr(plan, "SEARCH d USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_hours_and_instances_of_the_month_are_summed),
        TEST(test_other_months_do_not_count),
        TEST(test_tenant_that_the_ledger_does_not_know_has_used_nothing),
        TEST(test_instance_that_knows_better_is_left_out),
        TEST(test_many_are_answered_at_once),
        TEST(test_damaged_ledger_is_an_error),
        TEST(test_only_rows_that_are_asked_for_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
