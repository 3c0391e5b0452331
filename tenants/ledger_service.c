/* The runs of containers in the SQLite ledger: noting them, and reading a tenant's as spans that do
 * not overlap. */
#include "tenants/ledger_service.h"

#include "tenants/ledger_sqlite.h"

/* ---- Writing ---- */

enum { STATEMENT_ACCOUNT, STATEMENT_PREVIOUS, STATEMENT_RUN, STATEMENT_COUNT };

static const char *const NOTE_SQL[STATEMENT_COUNT] = {
    [STATEMENT_ACCOUNT] = "INSERT INTO account(name) VALUES(?1) ON CONFLICT DO NOTHING",
    /* ?4: restarts, ?5: the end of the run before, ?6: boot of the host. */
    [STATEMENT_PREVIOUS] =
        "UPDATE service SET until_ns=?5, has_ended=1"
        " WHERE account=(SELECT id FROM account WHERE name=?1) AND container=?2"
        "  AND started_ns=(SELECT max(started_ns) FROM service"
        "   WHERE account=(SELECT id FROM account WHERE name=?1) AND container=?2"
        "    AND started_ns<?3)"
        "  AND has_ended=0 AND started_ns<=?5 AND (started_ns>=?6 OR ?5<?6)"
        "  AND (?4=0 OR restarts=?4-1)",
    [STATEMENT_RUN] =
        "INSERT INTO service VALUES((SELECT id FROM account WHERE name=?1), ?3, ?2, ?7,"
        "  ?8, ?4)"
        " ON CONFLICT DO UPDATE SET until_ns=excluded.until_ns, has_ended=excluded.has_ended"
        " WHERE excluded.has_ended>=has_ended",
};

static void bind_run(sqlite3_stmt *statement, const struct service_run *run) {
    sqlite3_bind_text(statement, 1, run->tenant, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, run->container, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, run->started_ns);
    sqlite3_bind_int64(statement, 4, run->restarts);
}

static int note_run(const struct ledger *ledger, sqlite3_stmt *const statements[STATEMENT_COUNT],
                    const struct service_run *run, struct error *error) {
    sqlite3_stmt *previous = statements[STATEMENT_PREVIOUS];
    sqlite3_stmt *present = statements[STATEMENT_RUN];

    sqlite3_bind_text(statements[STATEMENT_ACCOUNT], 1, run->tenant, -1, SQLITE_STATIC);
    if (ledger_finish(ledger, statements[STATEMENT_ACCOUNT], error) < 0)
        return -1;
    if (run->previous_ended_ns > 0) {
        bind_run(previous, run);
        sqlite3_bind_int64(previous, 5, run->previous_ended_ns);
        sqlite3_bind_int64(previous, 6, run->booted_ns);
        if (ledger_finish(ledger, previous, error) < 0)
            return -1;
    }
    bind_run(present, run);
    sqlite3_bind_int64(present, 7, run->until_ns);
    sqlite3_bind_int(present, 8, run->has_ended);
    return ledger_finish(ledger, present, error);
}

static int note_runs(const struct ledger *ledger, const struct service_run *runs, size_t count,
                     struct error *error) {
    sqlite3_stmt *statements[STATEMENT_COUNT] = {NULL};
    int result = 0;

    for (int i = 0; i < STATEMENT_COUNT && result == 0; i++) {
        statements[i] = ledger_prepare(ledger, NOTE_SQL[i], error);
        result = statements[i] != NULL ? 0 : -1;
    }
    for (size_t i = 0; i < count && result == 0; i++)
        result = note_run(ledger, statements, &runs[i], error);
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(statements[i]);
    return result;
}

int ledger_note_service(struct ledger *ledger, const struct service_run *runs, size_t count,
                        struct error *error) {
    if (ledger->is_read_only) {
        error_set(error, "%s: may only be read", ledger->path);
        return -1;
    }
    if (ledger_run(ledger, "BEGIN IMMEDIATE", error) < 0)
        return -1;
    return ledger_end(ledger, note_runs(ledger, runs, count, error), error);
}

/* ---- Reading ---- */

static const char SPANS_SQL[] =
    "SELECT a.id, a.name, s.started_ns, s.until_ns FROM account a CROSS JOIN service s"
    " WHERE s.account=a.id AND (?1 IS NULL OR a.name=?1) AND s.started_ns<?3 AND s.until_ns>?2"
    " ORDER BY a.name, s.started_ns";
enum { COLUMN_ACCOUNT, COLUMN_NAME, COLUMN_STARTED, COLUMN_UNTIL };

static const char FIRST_SQL[] = "SELECT min(started_ns) FROM service WHERE account=?1";

int service_spans_open(struct service_spans *spans, const struct ledger *ledger, const char *tenant,
                       int64_t from_ns, int64_t to_ns, struct error *error) {
    *spans = (struct service_spans){.ledger = ledger, .low_ns = from_ns, .high_ns = to_ns};
    if (ledger->version < LEDGER_VERSION_SERVICE)
        return 0;
    spans->runs = ledger_prepare(ledger, SPANS_SQL, error);
    spans->first = ledger_prepare(ledger, FIRST_SQL, error);
    if (spans->runs == NULL || spans->first == NULL)
        return -1;
    if (tenant != NULL)
        sqlite3_bind_text(spans->runs, 1, tenant, -1, SQLITE_STATIC);
    sqlite3_bind_int64(spans->runs, 2, from_ns);
    sqlite3_bind_int64(spans->runs, 3, to_ns);
    return 0;
}

void service_spans_close(struct service_spans *spans) {
    sqlite3_finalize(spans->runs);
    sqlite3_finalize(spans->first);
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int service_spans_next(struct service_spans *spans, struct error *error) {
    spans->account = LEDGER_NO_ACCOUNT;
    if (spans->runs == NULL)
        return 0;
    int code;
    while ((code = sqlite3_step(spans->runs)) == SQLITE_ROW) {
        int64_t account = sqlite3_column_int64(spans->runs, COLUMN_ACCOUNT);
        if (account != spans->covered_account)
            spans->covered_ns = spans->low_ns;
        spans->covered_account = account;
        spans->from_ns =
            larger(sqlite3_column_int64(spans->runs, COLUMN_STARTED), spans->covered_ns);
        spans->to_ns = smaller(sqlite3_column_int64(spans->runs, COLUMN_UNTIL), spans->high_ns);
        if (spans->to_ns <= spans->from_ns)
            continue;
        spans->covered_ns = spans->to_ns;
        spans->account = account;
        spans->name = (const char *)sqlite3_column_text(spans->runs, COLUMN_NAME);
        return 0;
    }
    return code == SQLITE_DONE ? 0 : ledger_fail(spans->ledger, error);
}

int service_spans_find_first(struct service_spans *spans, int64_t account, int64_t *first_ns,
                             struct error *error) {
    *first_ns = INT64_MAX;
    if (spans->first == NULL)
        return 0;
    sqlite3_bind_int64(spans->first, 1, account);
    int code = sqlite3_step(spans->first);
    if (code == SQLITE_ROW && sqlite3_column_type(spans->first, 0) != SQLITE_NULL)
        *first_ns = sqlite3_column_int64(spans->first, 0);
    int result = code == SQLITE_ROW ? 0 : ledger_fail(spans->ledger, error);
    sqlite3_reset(spans->first);
    return result;
}
