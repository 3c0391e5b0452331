/* Reading the SQLite ledger: hours are summed up to the periods of a report here and not in SQL, so
 * that what a period is stays with period.h, and the sums are exact. */
#include "tenants/ledger_sqlite.h"

#include <stdio.h>
#include <string.h>

#include "tenants/period.h"

/* Account by account, day by day, hour by hour, without sorting: CROSS JOIN keeps the order. */
static const char QUERY_SQL[] =
    "SELECT a.id, a.name, u.day * 24 + u.hour, requests, requests_unmetered, cpu_ns, wall_ns,"
    "  queue_ns, send_ns, bytes_in, bytes_out, errors_5xx, rejected"
    " FROM account a CROSS JOIN day d CROSS JOIN usage u"
    " WHERE u.day=d.day AND u.account=a.id AND (?1 IS NULL OR a.name=?1) AND a.name<>?2"
    "  AND d.day BETWEEN ?3/24 AND ?4/24 AND u.day*24+u.hour>=?3 AND u.day*24+u.hour<?4"
    " ORDER BY a.name, d.day, u.hour";
enum { COLUMN_ACCOUNT, COLUMN_NAME, COLUMN_HOUR, COLUMN_COUNTERS };

/* Sums hours up to rows. */
struct summing {
    const struct ledger_query *query;
    int (*visit)(void *context, const struct ledger_row *row);
    void *context;
    int64_t account; /* of the row at hand; -1: there is none */
    char name[TENANT_ID_MAX + 1];
    time_t limit; /* the row's period ends here at the latest */
    struct ledger_row row;
};

/* The CPU of requests that ended in this row's period may belong to its neighbour, so the counters
 * need not match: whatever CPU is known is told. */
static void judge_metering(struct ledger_row *row) {
    uint64_t unmetered = row->values[COUNTER_REQUESTS_UNMETERED];

    row->metering = METERING_EXACT;
    if (unmetered > 0)
        row->metering = METERING_PARTIAL;
    if (unmetered > 0 && unmetered >= row->values[COUNTER_REQUESTS] &&
        row->values[COUNTER_CPU_NS] == 0)
        row->metering = METERING_NONE;
    row->has_cpu = row->metering != METERING_NONE;
}

static int emit_row(struct summing *summing) {
    if (summing->account < 0)
        return 0;
    summing->account = -1;
    judge_metering(&summing->row);
    return summing->visit(summing->context, &summing->row);
}

static void begin_row(struct summing *summing, sqlite3_stmt *statement, time_t hour) {
    const struct ledger_query *query = summing->query;
    struct period period = period_around(query->by, hour);

    if (query->by == LEDGER_BY_ALL)
        period.from = query->from > 0 ? query->from : hour;
    if (period.from < query->from)
        period.from = query->from;
    if (query->to > 0 && period.to > query->to)
        period.to = query->to;
    summing->account = sqlite3_column_int64(statement, COLUMN_ACCOUNT);
    snprintf(summing->name, sizeof summing->name, "%s",
             (const char *)sqlite3_column_text(statement, COLUMN_NAME));
    summing->limit = period.to;
    summing->row = (struct ledger_row){
        .tenant = summing->name, .period_start = period.from, .period_end = period.to};
}

static int add_hour(struct summing *summing, sqlite3_stmt *statement) {
    time_t hour = sqlite3_column_int64(statement, COLUMN_HOUR) * SECONDS_PER_HOUR;
    bool is_same = sqlite3_column_int64(statement, COLUMN_ACCOUNT) == summing->account &&
                   hour < summing->limit;

    if (!is_same) {
        int stop = emit_row(summing);
        if (stop != 0)
            return stop;
        begin_row(summing, statement, hour);
    }
    for (int i = 0; i < COUNTER_COUNT; i++)
        summing->row.values[i] += (uint64_t)sqlite3_column_int64(statement, COLUMN_COUNTERS + i);
    /* Everything without an end: up to the last hour that is there. */
    if (summing->query->by == LEDGER_BY_ALL && summing->query->to == 0)
        summing->row.period_end = hour + SECONDS_PER_HOUR;
    return 0;
}

static void bind_query(sqlite3_stmt *statement, const struct ledger_query *query) {
    bool wants_idle =
        query->with_idle || (query->tenant != NULL && strcmp(query->tenant, COUNTERS_IDLE) == 0);
    int64_t to = query->to > 0 ? query->to / SECONDS_PER_HOUR : INT64_MAX;

    if (query->tenant != NULL)
        sqlite3_bind_text(statement, 1, query->tenant, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, wants_idle ? "" : COUNTERS_IDLE, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, query->from / SECONDS_PER_HOUR);
    sqlite3_bind_int64(statement, 4, to);
}

int ledger_query(struct ledger *ledger, const struct ledger_query *query,
                 int (*visit)(void *context, const struct ledger_row *row), void *context,
                 struct error *error) {
    struct summing summing = {.query = query, .visit = visit, .context = context, .account = -1};
    sqlite3_stmt *statement = ledger_prepare(ledger, QUERY_SQL, error);
    int code = SQLITE_DONE;
    int stop = 0;

    if (statement == NULL)
        return -1;
    bind_query(statement, query);
    while (stop == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW)
        stop = add_hour(&summing, statement);
    int result = stop != 0 ? 1 : 0;
    if (code != SQLITE_DONE && stop == 0)
        result = ledger_fail(ledger, error);
    sqlite3_finalize(statement);
    if (result == 0 && emit_row(&summing) != 0)
        result = 1;
    return result;
}
