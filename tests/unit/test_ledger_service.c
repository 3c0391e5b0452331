/* Runs of containers in the ledger: each second is billed once, whoever watched it how often. */
#include "tests/support/ledger_fixture.h"

#include <sys/stat.h>

#include "tenants/ledger_service.h"
#include "tenants/period.h"

#define SECOND INT64_C(1000000000)
#define HOUR (3600 * SECOND)
#define AT_14 (HOUR_14 * SECOND)

static const struct ledger_query by_hour = {.by = LEDGER_BY_HOUR};
static const struct ledger_query by_all = {.by = LEDGER_BY_ALL};

static void note(struct ledger *ledger, struct service_run run) {
    struct error error = {""};

    if (run.container == NULL)
        run.container = "c1";
    if (run.tenant == NULL)
        run.tenant = "a";
    if (ledger_note_service(ledger, &run, 1, &error) < 0)
        fail_msg("%s", error.text);
}

static void note_run(struct ledger *ledger, int64_t started_ns, int64_t until_ns) {
    note(ledger, (struct service_run){.started_ns = started_ns, .until_ns = until_ns});
}

static void note_end(struct ledger *ledger, int64_t started_ns, int64_t until_ns) {
    note(ledger,
         (struct service_run){.started_ns = started_ns, .until_ns = until_ns, .has_ended = true});
}

static void expect_service(struct ledger *ledger, const char *tenant, int64_t ns) {
    struct rows rows = ask(ledger, (struct ledger_query){.tenant = tenant, .by = LEDGER_BY_ALL});

    assert_int_equal(rows.count, 1);
    assert_true(rows.rows[0].has_service);
    assert_int_equal(rows.rows[0].service_ns, ns);
}

static void expect_row(const struct rows *rows, size_t index, const char *tenant, time_t start,
                       int64_t service_ns) {
    assert_true(index < rows->count);
    assert_string_equal(rows->tenants[index], tenant);
    assert_int_equal(rows->rows[index].period_start, start);
    assert_int_equal(rows->rows[index].service_ns, service_ns);
}

/* ---- What is noted ---- */

static void test_noting_again_adds_nothing(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    for (int i = 0; i < 3; i++)
        note_run(ledger, AT_14, AT_14 + 10 * SECOND);
    expect_service(ledger, "a", 10 * SECOND);
    ledger_close(ledger);
    ledger = must_open(); /* the controller was started anew */
    note_run(ledger, AT_14, AT_14 + 10 * SECOND + 1);
    note_end(ledger, AT_14, AT_14 + 25 * SECOND);
    note_end(ledger, AT_14, AT_14 + 25 * SECOND);
    expect_service(ledger, "a", 25 * SECOND);
    ledger_close(ledger);
}

static void test_end_stays_whatever_is_said_later(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    note_end(ledger, AT_14, AT_14 + 20 * SECOND);
    note_run(ledger, AT_14, AT_14 + 10 * SECOND);
    note_run(ledger, AT_14, AT_14 + 30 * SECOND);
    expect_service(ledger, "a", 20 * SECOND);
    ledger_close(ledger);
}

static void test_clock_that_was_wrong_leaves_nothing_behind(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    note_run(ledger, AT_14, AT_14 + 20000 * HOUR);
    note_run(ledger, AT_14, AT_14 + 60 * SECOND);
    expect_service(ledger, "a", 60 * SECOND);
    note_run(ledger, AT_14, AT_14 + 20000 * HOUR);
    note_end(ledger, AT_14, AT_14 + 70 * SECOND);
    expect_service(ledger, "a", 70 * SECOND);
    note_end(ledger, AT_14 + HOUR, AT_14); /* stepped back within the run */
    expect_service(ledger, "a", 70 * SECOND);
    ledger_close(ledger);
}

static void test_nothing_is_noted_when_one_fails(void **state) {
    struct service_run runs[] = {
        {.container = "c1", .tenant = "a", .started_ns = AT_14, .until_ns = AT_14 + 1},
        {.container = NULL, .tenant = "b", .started_ns = AT_14, .until_ns = AT_14 + 1},
    };
    struct ledger *ledger = must_open();
    struct error error = {""};

    (void)state;
    assert_int_equal(ledger_note_service(ledger, runs, 2, &error), -1);
    assert_non_null(strstr(error.text, database));
    assert_int_equal(ask(ledger, by_all).count, 0);
    assert_int_equal(ledger_note_service(ledger, runs, 1, &error), 0);
    expect_service(ledger, "a", 1);
    ledger_close(ledger);
}

/* ---- The run before ---- */

static struct service_run restarted(int64_t started_ns, int64_t previous_ended_ns) {
    return (struct service_run){.started_ns = started_ns,
                                .until_ns = started_ns + SECOND,
                                .previous_ended_ns = previous_ended_ns};
}

static void test_restart_while_nobody_watched_ends_the_run_before(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    note_run(ledger, AT_14, AT_14 + 10 * SECOND);
    for (int i = 0; i < 2; i++)
        note(ledger, restarted(AT_14 + 60 * SECOND, AT_14 + 50 * SECOND));
    expect_service(ledger, "a", 51 * SECOND);
    ledger_close(ledger);
}

static void test_only_the_newest_run_of_that_container_is_ended(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    note_run(ledger, AT_14 - HOUR, AT_14 - HOUR + SECOND);
    note_run(ledger, AT_14, AT_14 + SECOND);
    note(ledger, (struct service_run){.container = "other",
                                      .started_ns = AT_14 + 2 * SECOND,
                                      .until_ns = AT_14 + 3 * SECOND});
    note(ledger, restarted(AT_14 + 60 * SECOND, AT_14 + 50 * SECOND));
    struct rows rows = ask(ledger, by_hour);
    assert_int_equal(rows.count, 2);
    expect_row(&rows, 0, "a", HOUR_14 - 3600, SECOND);
    expect_row(&rows, 1, "a", HOUR_14, 51 * SECOND);
    ledger_close(ledger);
}

static void test_end_of_the_run_before_takes_back_what_a_wrong_clock_said(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    note_run(ledger, AT_14, AT_14 + 20000 * HOUR);
    note(ledger, restarted(AT_14 + 60 * SECOND, AT_14 + 50 * SECOND));
    expect_service(ledger, "a", 51 * SECOND);
    ledger_close(ledger);
}

static void test_end_that_was_seen_is_not_moved_by_a_later_restart(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    note_end(ledger, AT_14, AT_14 + 10 * SECOND);
    note(ledger, restarted(AT_14 + 60 * SECOND, AT_14 + 50 * SECOND));
    expect_service(ledger, "a", 11 * SECOND);
    ledger_close(ledger);
}

static void test_end_before_the_newest_run_began_is_not_its_end(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    note_run(ledger, AT_14, AT_14 + 10 * SECOND);
    note(ledger, restarted(AT_14 + 60 * SECOND, AT_14 - SECOND));
    expect_service(ledger, "a", 11 * SECOND);
    ledger_close(ledger);
}

static void test_clock_set_back_between_two_runs_does_not_end_the_second(void **state) {
    struct ledger *ledger = must_open();
    struct service_run run = restarted(AT_14 + 60 * SECOND, AT_14 + 100 * SECOND);

    (void)state;
    note_run(ledger, AT_14, AT_14 + 10 * SECOND);
    for (int minute = 2; minute <= 5; minute++) {
        run.until_ns = AT_14 + minute * 60 * SECOND;
        note(ledger, run);
    }
    expect_service(ledger, "a", 300 * SECOND);
    ledger_close(ledger);
}

static void expect_after_restarts(unsigned before, unsigned after, int64_t ns) {
    set_up(NULL);
    struct ledger *ledger = must_open();
    struct service_run run = restarted(AT_14 + 60 * SECOND, AT_14 + 50 * SECOND);
    run.restarts = after;
    note(ledger, (struct service_run){
                     .started_ns = AT_14, .until_ns = AT_14 + 10 * SECOND, .restarts = before});
    note(ledger, run);
    expect_service(ledger, "a", ns);
    ledger_close(ledger);
    tear_down(NULL);
}

static void test_runs_that_nobody_saw_are_not_made_up(void **state) {
    (void)state;
    expect_after_restarts(0, 1, 51 * SECOND);
    expect_after_restarts(4, 5, 51 * SECOND);
    expect_after_restarts(4, 0, 51 * SECOND); /* by hand */
    expect_after_restarts(0, 2, 11 * SECOND);
    expect_after_restarts(4, 4, 11 * SECOND);
    expect_after_restarts(4, 1, 11 * SECOND);
}

static void expect_after_boot(int64_t booted_ns, int64_t ns) {
    set_up(NULL);
    struct ledger *ledger = must_open();
    struct service_run run = restarted(AT_14 + 60 * SECOND, AT_14 + 50 * SECOND);
    run.booted_ns = booted_ns;
    note_run(ledger, AT_14, AT_14 + 10 * SECOND);
    note(ledger, run);
    expect_service(ledger, "a", ns);
    ledger_close(ledger);
    tear_down(NULL);
}

static void test_no_run_outlasts_the_host(void **state) {
    (void)state;
    expect_after_boot(AT_14 - SECOND, 51 * SECOND);
    expect_after_boot(AT_14 + 40 * SECOND, 11 * SECOND); /* the power was cut */
    expect_after_boot(AT_14 + 55 * SECOND, 51 * SECOND); /* it was shut down */
}

/* ---- What is reported ---- */

static void test_run_is_parted_among_hours_and_days(void **state) {
    struct ledger *ledger = must_open();
    int64_t midnight = (DAY_22 + 86400) * SECOND;

    (void)state;
    note_end(ledger, midnight - HOUR - 90 * SECOND - 1, midnight + 30 * SECOND + 2);
    struct rows rows = ask(ledger, by_hour);
    assert_int_equal(rows.count, 3);
    expect_row(&rows, 0, "a", DAY_22 + 22 * 3600, 90 * SECOND + 1);
    expect_row(&rows, 1, "a", DAY_22 + 23 * 3600, HOUR);
    expect_row(&rows, 2, "a", DAY_22 + 24 * 3600, 30 * SECOND + 2);
    rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_DAY});
    assert_int_equal(rows.count, 2);
    expect_row(&rows, 0, "a", DAY_22, HOUR + 90 * SECOND + 1);
    expect_row(&rows, 1, "a", DAY_22 + 86400, 30 * SECOND + 2);
    rows = ask(ledger, by_all);
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.rows[0].period_start, DAY_22 + 22 * 3600);
    assert_int_equal(rows.rows[0].period_end, DAY_22 + 25 * 3600);
    ledger_close(ledger);
}

static void test_run_that_ends_with_the_hour_is_in_that_hour_alone(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    note_end(ledger, AT_14, AT_14 + HOUR);
    struct rows rows = ask(ledger, by_hour);
    assert_int_equal(rows.count, 1);
    expect_row(&rows, 0, "a", HOUR_14, HOUR);
    rows = ask(ledger, by_all);
    assert_int_equal(rows.rows[0].period_end, HOUR_14 + 3600);
    rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_HOUR, .from = HOUR_14 + 3600});
    assert_int_equal(rows.count, 0);
    rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_HOUR, .to = HOUR_14});
    assert_int_equal(rows.count, 0);
    ledger_close(ledger);
}

static void test_run_is_cut_to_the_query(void **state) {
    struct ledger *ledger = must_open();
    struct ledger_query query = {.from = HOUR_14, .to = HOUR_14 + 7200};

    (void)state;
    note_end(ledger, AT_14 - 2000 * HOUR, AT_14 + 2000 * HOUR);
    for (query.by = LEDGER_BY_DAY; query.by <= LEDGER_BY_ALL; query.by++) {
        struct rows rows = ask(ledger, query);
        assert_int_equal(rows.count, 1);
        expect_row(&rows, 0, "a", HOUR_14, 2 * HOUR);
        assert_int_equal(rows.rows[0].period_end, HOUR_14 + 7200);
    }
    ledger_close(ledger);
}

static void test_containers_that_run_at_once_are_billed_once(void **state) {
    static const struct {
        const char *container;
        int64_t from_s, to_s;
    } runs[] = {
        {"c1", 0, 100}, {"c2", 90, 200}, {"c3", 110, 120}, {"c4", 110, 210}, {"c5", 300, 310},
    };
    struct ledger *ledger = must_open();

    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
        note(ledger, (struct service_run){.container = runs[i].container,
                                          .started_ns = AT_14 + runs[i].from_s * SECOND,
                                          .until_ns = AT_14 + runs[i].to_s * SECOND});
    expect_service(ledger, "a", 220 * SECOND);
    ledger_close(ledger);
}

static void test_containers_of_two_tenants_are_billed_twice(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    note(ledger,
         (struct service_run){.tenant = "a", .started_ns = AT_14, .until_ns = AT_14 + SECOND});
    note(ledger,
         (struct service_run){.tenant = "b", .started_ns = AT_14, .until_ns = AT_14 + 2 * SECOND});
    expect_service(ledger, "a", SECOND);
    expect_service(ledger, "b", 2 * SECOND);
    ledger_close(ledger);
}

static void test_service_is_unknown_before_the_first_run_and_none_after(void **state) {
    struct ledger *ledger = must_open();

    (void)state;
    for (int hour = -1; hour <= 2; hour++)
        leave_file(HOUR_14 + hour * 3600, "a", 1);
    leave_file(HOUR_14, "b", 1);
    must_fold(ledger);
    note_end(ledger, AT_14 + 60 * SECOND, AT_14 + 90 * SECOND);
    struct rows rows = ask(ledger, by_hour);
    assert_int_equal(rows.count, 5);
    assert_false(rows.rows[0].has_service);
    assert_true(rows.rows[1].has_service);
    expect_row(&rows, 1, "a", HOUR_14, 30 * SECOND);
    assert_int_equal(rows.rows[1].values[COUNTER_REQUESTS], 1);
    assert_true(rows.rows[2].has_service);
    expect_row(&rows, 2, "a", HOUR_14 + 3600, 0);
    assert_false(rows.rows[4].has_service);
    /* Also when the run lies outside of what is asked for. */
    rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_HOUR, .from = HOUR_14 + 3600});
    assert_int_equal(rows.count, 2);
    assert_true(rows.rows[0].has_service);
    rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_HOUR, .to = HOUR_14});
    assert_int_equal(rows.count, 1);
    assert_false(rows.rows[0].has_service);
    ledger_close(ledger);
}

static void test_tenant_without_requests_has_a_row(void **state) {
    static const char *const names[] = {"a", "b", "c", "d"};
    struct ledger *ledger = must_open();

    (void)state;
    leave_file(HOUR_14, "b", 7);
    leave_file(HOUR_14, "d", 7);
    must_fold(ledger);
    note(ledger,
         (struct service_run){.tenant = "c", .started_ns = AT_14, .until_ns = AT_14 + SECOND});
    note(ledger,
         (struct service_run){.tenant = "a", .started_ns = AT_14, .until_ns = AT_14 + SECOND});
    struct rows rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_MONTH});
    assert_int_equal(rows.count, 4);
    for (size_t i = 0; i < 4; i++) {
        expect_row(&rows, i, names[i], MONTH_11, i % 2 == 0 ? SECOND : 0);
        assert_int_equal(rows.rows[i].values[COUNTER_REQUESTS], i % 2 == 0 ? 0 : 7);
        assert_int_equal(rows.rows[i].metering, METERING_EXACT);
    }
    rows = ask(ledger, (struct ledger_query){.by = LEDGER_BY_MONTH, .tenant = "c"});
    assert_int_equal(rows.count, 1);
    expect_row(&rows, 0, "c", MONTH_11, SECOND);
    ledger_close(ledger);
}

static int note_meanwhile(void *context, const struct ledger_row *row) {
    struct rows *rows = context;

    if (rows->count == 0) {
        struct ledger *other = must_open();
        note(other,
             (struct service_run){.tenant = "b", .started_ns = AT_14, .until_ns = AT_14 + SECOND});
        leave_file(HOUR_14, "c", 1);
        must_fold(other);
        ledger_close(other);
    }
    return keep_row(context, row);
}

static void test_report_is_of_one_instant(void **state) {
    struct ledger *ledger = must_open();
    struct rows rows = {.count = 0};
    struct error error;

    (void)state;
    leave_file(HOUR_14, "a", 1);
    leave_file(HOUR_14, "b", 1);
    must_fold(ledger);
    assert_int_equal(ledger_query(ledger, &by_hour, note_meanwhile, &rows, &error), 0);
    assert_int_equal(rows.count, 2);
    assert_false(rows.rows[1].has_service);
    rows = ask(ledger, by_hour);
    assert_int_equal(rows.count, 3);
    expect_row(&rows, 1, "b", HOUR_14, SECOND);
    ledger_close(ledger);
}

/* ---- Against a model: one byte per second and tenant ---- */

enum { MODEL_TENANTS = 3, MODEL_HOURS = 60, MODEL_SECONDS = MODEL_HOURS * 3600 };
#define MODEL_START (MONTH_11 + 29 * 86400 - 12 * 3600) /* the month ends within */

static bool has_run[MODEL_TENANTS][MODEL_SECONDS];
static bool has_usage[MODEL_TENANTS][MODEL_HOURS];

static uint64_t seconds_in(int tenant, int hour) {
    uint64_t seconds = 0;

    for (int i = 0; i < 3600; i++)
        seconds += has_run[tenant][hour * 3600 + i];
    return seconds;
}

static bool is_asked_for(const struct ledger_query *query, time_t hour) {
    return hour >= query->from && (query->to == 0 || hour < query->to);
}

static struct rows ask_model(const struct ledger_query *query) {
    struct rows rows = {.count = 0};
    time_t limit = 0;

    for (int i = 0; i < MODEL_TENANTS * MODEL_HOURS; i++) {
        int tenant = i / MODEL_HOURS, hour = i % MODEL_HOURS;
        time_t start = MODEL_START + hour * 3600;
        uint64_t seconds = seconds_in(tenant, hour);
        if (hour == 0)
            limit = 0;
        if (!is_asked_for(query, start) || (seconds == 0 && !has_usage[tenant][hour]))
            continue;
        if (start >= limit) {
            struct period period = period_around(query->by, query->zone, start);
            time_t first = query->by == LEDGER_BY_ALL && query->from == 0 ? start : period.from;
            snprintf(rows.tenants[rows.count], sizeof rows.tenants[0], "%c", 'a' + tenant);
            rows.rows[rows.count++].period_start = first > query->from ? first : query->from;
            limit = period.to;
        }
        rows.rows[rows.count - 1].service_ns += seconds * (uint64_t)SECOND;
        rows.rows[rows.count - 1].values[COUNTER_REQUESTS] += has_usage[tenant][hour];
    }
    return rows;
}

static void expect_as_model(struct ledger *ledger, const struct ledger_query *query) {
    struct rows expected = ask_model(query);
    struct rows rows = ask(ledger, *query);

    assert_int_equal(rows.count, expected.count);
    for (size_t i = 0; i < rows.count; i++) {
        expect_row(&rows, i, expected.tenants[i], expected.rows[i].period_start,
                   (int64_t)expected.rows[i].service_ns);
        assert_int_equal(rows.rows[i].values[COUNTER_REQUESTS],
                         expected.rows[i].values[COUNTER_REQUESTS]);
    }
}

static void fill_model(struct ledger *ledger, unsigned runs_per_tenant) {
    char container[32];

    for (int i = 0; i < MODEL_HOURS; i += 1 + rand() % 6) {
        int tenant = rand() % MODEL_TENANTS;
        leave_file(MODEL_START + i * 3600, (const char[]){(char)('a' + tenant), '\0'}, 1);
        has_usage[tenant][i] = true;
    }
    must_fold(ledger);
    for (unsigned i = 0; i < MODEL_TENANTS * runs_per_tenant; i++) {
        int tenant = rand() % MODEL_TENANTS;
        int from = rand() % MODEL_SECONDS, to = from + rand() % (6 * 3600);
        to = to < MODEL_SECONDS ? to : MODEL_SECONDS;
        if (rand() % 2 == 0)
            to = (to + 3599) / 3600 * 3600;
        memset(&has_run[tenant][from], true, (size_t)(to - from));
        snprintf(container, sizeof container, "c%u", i);
        note(ledger, (struct service_run){.container = container,
                                          .tenant = (const char[]){(char)('a' + tenant), '\0'},
                                          .started_ns = (MODEL_START + from) * SECOND,
                                          .until_ns = (MODEL_START + to) * SECOND});
    }
}

static void test_reports_agree_with_a_model(void **state) {
    (void)state;
    srand(11);
    for (unsigned round = 0; round < 8; round++) {
        set_up(NULL);
        struct ledger *ledger = must_open();
        memset(has_run, false, sizeof has_run);
        memset(has_usage, false, sizeof has_usage);
        fill_model(ledger, 1 + round * 2);
        for (int i = 0; i < 24; i++) {
            struct ledger_query query = {.by = (enum ledger_by)(i % 4)};
            if (i >= 8)
                query.from = MODEL_START + rand() % MODEL_HOURS * 3600;
            if (i >= 16)
                query.to = query.from + (1 + rand() % MODEL_HOURS) * 3600;
            expect_as_model(ledger, &query);
        }
        ledger_close(ledger);
        tear_down(NULL);
    }
}

/* ---- Ledgers of before, and several at once ---- */

/* As version 1 made it, with one request of "a". */
static const char VERSION_1[] =
    "PRAGMA journal_mode=WAL;"
    "CREATE TABLE instance(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE account(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE day(day INTEGER PRIMARY KEY) STRICT;"
    "CREATE TABLE usage("
    "  day INTEGER NOT NULL, account INTEGER NOT NULL, hour INTEGER NOT NULL,"
    "  instance INTEGER NOT NULL,"
    "  requests INTEGER NOT NULL, requests_unmetered INTEGER NOT NULL, cpu_ns INTEGER NOT NULL,"
    "  wall_ns INTEGER NOT NULL, queue_ns INTEGER NOT NULL, send_ns INTEGER NOT NULL,"
    "  bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, errors_5xx INTEGER NOT NULL,"
    "  rejected INTEGER NOT NULL,"
    "  PRIMARY KEY(day, account, hour, instance)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE folded(instance INTEGER NOT NULL, hour INTEGER NOT NULL,"
    "  PRIMARY KEY(instance, hour)) STRICT, WITHOUT ROWID;"
    "INSERT INTO instance VALUES(1, 'i'); INSERT INTO account VALUES(1, 'a');"
    "INSERT INTO day VALUES(20779);" /* 2026-11-22 */
    "INSERT INTO usage VALUES(20779, 1, 14, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);"
    "PRAGMA application_id=1718644088; PRAGMA user_version=1;";

static void test_ledger_of_version_1_is_brought_up_to_date(void **state) {
    (void)state;
    run_sql(VERSION_1);
    for (int i = 0; i < 2; i++) {
        struct ledger *ledger = must_open();
        note_run(ledger, AT_14, AT_14 + SECOND);
        struct rows rows = ask(ledger, by_hour);
        assert_int_equal(rows.count, 1);
        expect_row(&rows, 0, "a", HOUR_14, SECOND);
        assert_int_equal(rows.rows[0].values[COUNTER_REQUESTS], 1);
        ledger_close(ledger);
    }
    run_sql("PRAGMA user_version=4");
    expect_refused(source, "newer version");
}

static void test_somebody_elses_version_1_is_left_alone(void **state) {
    (void)state;
    run_sql("CREATE TABLE other(a); PRAGMA user_version=1");
    expect_refused(source, "not a ledger");
    run_sql("CREATE TABLE service(a)"); /* fails if there is one */
}

static void read_version_1(void) {
    struct service_run run = {.container = "c1", .tenant = "a", .started_ns = 1, .until_ns = 2};
    struct error error = {""};
    struct ledger *ledger = ledger_open(source, &error);

    if (ledger == NULL) {
        fprintf(stderr, "%s\n", error.text);
        _exit(2);
    }
    struct rows rows = ask(ledger, by_hour);
    if (rows.count != 1 || rows.rows[0].has_service || rows.rows[0].values[COUNTER_REQUESTS] != 1)
        _exit(3);
    if (ledger_note_service(ledger, &run, 1, &error) == 0 ||
        strstr(error.text, "may only be read") == NULL)
        _exit(4);
    ledger_close(ledger);
}

static void allow_reading(const char *suffix) {
    char path[128];
    snprintf(path, sizeof path, "%s%s", database, suffix);
    assert_int_equal(chmod(path, 0644), 0);
}

static void test_reader_without_permission_reads_version_1(void **state) {
    (void)state;
    if (geteuid() != 0)
        skip();
    run_sql(VERSION_1);
    struct ledger *ledger = must_open();
    run_sql("DROP TABLE service; PRAGMA user_version=1");
    ledger_close(ledger); /* leaves the files that a reader needs */
    assert_int_equal(chmod(dir, 0755), 0);
    allow_reading("");
    allow_reading("-wal");
    allow_reading("-shm");
    as_user(65534, read_version_1);
}

enum { WRITERS = 4, WRITES = 25 };

/* Writer 0 folds, the others note the same runs. */
static void write_at_once(int writer) {
    struct error error = {""};
    struct ledger *ledger = ledger_open(source, &error);

    for (int i = 1; i <= WRITES && ledger != NULL; i++) {
        struct service_run run = {.container = "c1",
                                  .tenant = "a",
                                  .started_ns = AT_14,
                                  .until_ns = AT_14 + i * SECOND,
                                  .has_ended = i == WRITES};
        int result = writer == 0 ? ledger_fold(ledger, counters_dir, &error)
                                 : ledger_note_service(ledger, &run, 1, &error);
        if (result < 0)
            break;
    }
    if (error.text[0] != '\0')
        fprintf(stderr, "%s\n", error.text);
    _exit(error.text[0] != '\0');
}

static void test_several_processes_update_and_write_at_once(void **state) {
    pid_t children[WRITERS];

    (void)state;
    run_sql(VERSION_1);
    for (int i = 0; i < 20; i++)
        leave_file(HOUR_14, "a", 1);
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        if (children[i] == 0)
            write_at_once(i);
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
    struct ledger *ledger = must_open();
    struct rows rows = ask(ledger, by_hour);
    assert_int_equal(rows.count, 1);
    expect_row(&rows, 0, "a", HOUR_14, WRITES * SECOND);
    assert_int_equal(rows.rows[0].values[COUNTER_REQUESTS], 21);
    ledger_close(ledger);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_noting_again_adds_nothing),
        TEST(test_end_stays_whatever_is_said_later),
        TEST(test_clock_that_was_wrong_leaves_nothing_behind),
        TEST(test_nothing_is_noted_when_one_fails),
        TEST(test_restart_while_nobody_watched_ends_the_run_before),
        TEST(test_only_the_newest_run_of_that_container_is_ended),
        TEST(test_end_of_the_run_before_takes_back_what_a_wrong_clock_said),
        TEST(test_end_that_was_seen_is_not_moved_by_a_later_restart),
        TEST(test_end_before_the_newest_run_began_is_not_its_end),
        TEST(test_clock_set_back_between_two_runs_does_not_end_the_second),
        cmocka_unit_test(test_runs_that_nobody_saw_are_not_made_up),
        cmocka_unit_test(test_no_run_outlasts_the_host),
        TEST(test_run_is_parted_among_hours_and_days),
        TEST(test_run_that_ends_with_the_hour_is_in_that_hour_alone),
        TEST(test_run_is_cut_to_the_query),
        TEST(test_containers_that_run_at_once_are_billed_once),
        TEST(test_containers_of_two_tenants_are_billed_twice),
        TEST(test_service_is_unknown_before_the_first_run_and_none_after),
        TEST(test_tenant_without_requests_has_a_row),
        TEST(test_report_is_of_one_instant),
        cmocka_unit_test(test_reports_agree_with_a_model),
        TEST(test_ledger_of_version_1_is_brought_up_to_date),
        TEST(test_somebody_elses_version_1_is_left_alone),
        TEST(test_reader_without_permission_reads_version_1),
        TEST(test_several_processes_update_and_write_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
