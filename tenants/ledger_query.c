/* Reading the SQLite ledger: hours are summed up to the periods of a report here and not in SQL, so
 * that what a period is stays with period.h, and the sums are exact.
 *
 * Two streams are merged, both ordered by tenant's name and time: the hours of usage, and the spans
 * in which a container ran. Each adds to the row at hand until it leads beyond that row. */
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

#define NS_PER_SECOND INT64_C(1000000000)

struct summing {
    const struct ledger_query *query;
    int (*visit)(void *context, const struct ledger_row *row);
    void *context;
    struct error *error;
    sqlite3_stmt *usage;
    int64_t usage_account; /* of the hour at hand; LEDGER_NO_ACCOUNT: that was the last one */
    struct service_spans spans;

    bool has_row;    /* one is being summed */
    int64_t account; /* of the row at hand, or of the last one */
    char name[TENANT_ID_MAX + 1];
    int64_t first_run_ns;
    time_t limit; /* the row's period ends here at the latest */
    struct ledger_row row;
};

/* Years go up to 9999 in reports, and up to 2262 in nanoseconds. */
static int64_t in_ns(time_t time) {
    return time > INT64_MAX / NS_PER_SECOND ? INT64_MAX : time * NS_PER_SECOND;
}

static int next_hour(struct summing *summing) {
    int code = sqlite3_step(summing->usage);

    summing->usage_account = LEDGER_NO_ACCOUNT;
    if (code == SQLITE_ROW)
        summing->usage_account = sqlite3_column_int64(summing->usage, COLUMN_ACCOUNT);
    else if (code != SQLITE_DONE)
        return ledger_fail(summing->spans.ledger, summing->error);
    return 0;
}

static time_t hour_at_hand(const struct summing *summing) {
    return sqlite3_column_int64(summing->usage, COLUMN_HOUR) * SECONDS_PER_HOUR;
}

static const char *name_at_hand(const struct summing *summing) {
    return (const char *)sqlite3_column_text(summing->usage, COLUMN_NAME);
}

/* ---- The row at hand ---- */

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

/* 0, or 1 when visit wants no more. */
static int emit_row(struct summing *summing) {
    if (!summing->has_row)
        return 0;
    summing->has_row = false;
    judge_metering(&summing->row);
    summing->row.has_service = summing->first_run_ns < in_ns(summing->row.period_end);
    return summing->visit(summing->context, &summing->row) != 0 ? 1 : 0;
}

static int begin_account(struct summing *summing, int64_t account, const char *name) {
    summing->account = account;
    snprintf(summing->name, sizeof summing->name, "%s", name);
    return service_spans_find_first(&summing->spans, account, &summing->first_run_ns,
                                    summing->error);
}

static void begin_row(struct summing *summing, time_t time) {
    const struct ledger_query *query = summing->query;
    struct period period = period_around(query->by, query->zone, time);

    if (query->by == LEDGER_BY_ALL)
        period.from = query->from > 0 ? query->from : time - time % SECONDS_PER_HOUR;
    if (period.from < query->from)
        period.from = query->from;
    if (query->to > 0 && period.to > query->to)
        period.to = query->to;
    summing->has_row = true;
    summing->limit = period.to;
    summing->row = (struct ledger_row){
        .tenant = summing->name, .period_start = period.from, .period_end = period.to};
    if (query->by == LEDGER_BY_ALL && query->to == 0)
        summing->row.period_end = period.from; /* see reach_end() */
}

/* Makes the row at hand the account's that time lies in. 0, 1 when visit wants no more, or -1. */
static int reach_row(struct summing *summing, int64_t account, const char *name, time_t time) {
    bool is_same = account == summing->account;

    if (summing->has_row && is_same && time < summing->limit)
        return 0;
    if (emit_row(summing) != 0)
        return 1;
    if (!is_same && begin_account(summing, account, name) < 0)
        return -1;
    begin_row(summing, time);
    return 0;
}

/* A row of everything without an end goes up to the last hour in which there is something. */
static void reach_end(struct summing *summing, int64_t end_ns) {
    time_t end = end_ns / NS_PER_SECOND + (end_ns % NS_PER_SECOND > 0 ? 1 : 0);

    end = (end + SECONDS_PER_HOUR - 1) / SECONDS_PER_HOUR * SECONDS_PER_HOUR;
    if (summing->row.period_end < end && summing->limit > end)
        summing->row.period_end = end;
}

/* ---- The two streams ---- */

static int add_hour(struct summing *summing) {
    time_t hour = hour_at_hand(summing);
    int result = reach_row(summing, summing->usage_account, name_at_hand(summing), hour);

    if (result != 0)
        return result;
    for (int i = 0; i < COUNTER_COUNT; i++)
        summing->row.values[i] +=
            (uint64_t)sqlite3_column_int64(summing->usage, COLUMN_COUNTERS + i);
    reach_end(summing, in_ns(hour + SECONDS_PER_HOUR));
    return next_hour(summing);
}

/* As much of the span as lies in one row. */
static int add_span(struct summing *summing) {
    struct service_spans *spans = &summing->spans;
    int result = reach_row(summing, spans->account, spans->name, spans->from_ns / NS_PER_SECOND);

    if (result != 0)
        return result;
    int64_t limit_ns = in_ns(summing->limit);
    int64_t end_ns = spans->to_ns < limit_ns ? spans->to_ns : limit_ns;
    summing->row.service_ns += (uint64_t)(end_ns - spans->from_ns);
    reach_end(summing, end_ns);
    spans->from_ns = end_ns;
    return end_ns < spans->to_ns ? 0 : service_spans_next(spans, summing->error);
}

/* Names are compared only where one of the streams comes to another account. */
static bool is_span_next(const struct summing *summing) {
    const struct service_spans *spans = &summing->spans;

    if (spans->account == LEDGER_NO_ACCOUNT || summing->usage_account == LEDGER_NO_ACCOUNT)
        return spans->account != LEDGER_NO_ACCOUNT;
    if (spans->account == summing->usage_account)
        return spans->from_ns < in_ns(hour_at_hand(summing));
    if (spans->account == summing->account || summing->usage_account == summing->account)
        return spans->account == summing->account;
    return strcmp(spans->name, name_at_hand(summing)) < 0;
}

static int visit_rows(struct summing *summing) {
    int result = next_hour(summing);

    if (result == 0)
        result = service_spans_next(&summing->spans, summing->error);
    while (result == 0 && (summing->usage_account != LEDGER_NO_ACCOUNT ||
                           summing->spans.account != LEDGER_NO_ACCOUNT))
        result = is_span_next(summing) ? add_span(summing) : add_hour(summing);
    return result == 0 ? emit_row(summing) : result;
}

/* ---- Days of which only the sum is left ---- */

static const char SUMMED_SQL[] =
    "SELECT start*3600, end*3600, zone FROM summed WHERE end>?1/3600 AND start<?2/3600";

static int refuse_summed(const struct summing *summing, const struct period *day,
                         const char *zone) {
    char from[PERIOD_TIME_BYTES], to[PERIOD_TIME_BYTES];

    period_format_time(day->from, from);
    period_format_time(day->to, to);
    error_set(summing->error,
              "%s: from %s to %s only the sum is left, of a day of %s: ask for days or months of "
              "that time zone (--tz), or for other times",
              summing->spans.ledger->path, from, to, zone);
    return -1;
}

/* Each such day must lie in one row, or outside of what is asked for. */
static int check_summed(const struct summing *summing, sqlite3_stmt *statement) {
    const struct ledger_query *query = summing->query;
    int code;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct period day = {sqlite3_column_int64(statement, 0),
                             sqlite3_column_int64(statement, 1)};
        struct period row = period_around(query->by, query->zone, day.from);
        bool is_whole =
            row.to >= day.to && query->from <= day.from && (query->to == 0 || query->to >= day.to);
        if (!is_whole)
            return refuse_summed(summing, &day, (const char *)sqlite3_column_text(statement, 2));
    }
    return code == SQLITE_DONE ? 0 : ledger_fail(summing->spans.ledger, summing->error);
}

static int refuse_what_is_summed(const struct summing *summing) {
    const struct ledger *ledger = summing->spans.ledger;
    const struct ledger_query *query = summing->query;

    if (ledger->version < LEDGER_VERSION_PRUNE)
        return 0;
    sqlite3_stmt *statement = ledger_prepare(ledger, SUMMED_SQL, summing->error);
    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, query->from);
    sqlite3_bind_int64(statement, 2, query->to > 0 ? query->to : INT64_MAX);
    int result = check_summed(summing, statement);
    sqlite3_finalize(statement);
    return result;
}

/* ---- The query ---- */

static void bind_usage(sqlite3_stmt *statement, const struct ledger_query *query) {
    bool wants_idle =
        query->with_idle || (query->tenant != NULL && strcmp(query->tenant, COUNTERS_IDLE) == 0);
    int64_t to = query->to > 0 ? query->to / SECONDS_PER_HOUR : INT64_MAX;

    if (query->tenant != NULL)
        sqlite3_bind_text(statement, 1, query->tenant, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, wants_idle ? "" : COUNTERS_IDLE, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, query->from / SECONDS_PER_HOUR);
    sqlite3_bind_int64(statement, 4, to);
}

static int query_streams(struct summing *summing, const struct ledger *ledger) {
    const struct ledger_query *query = summing->query;
    int64_t end_ns = query->to > 0 ? in_ns(query->to) : INT64_MAX;
    int result = -1;

    summing->usage = ledger_prepare(ledger, QUERY_SQL, summing->error);
    if (service_spans_open(&summing->spans, ledger, query->tenant, in_ns(query->from), end_ns,
                           summing->error) == 0 &&
        summing->usage != NULL && refuse_what_is_summed(summing) == 0) {
        bind_usage(summing->usage, query);
        result = visit_rows(summing);
    }
    sqlite3_finalize(summing->usage);
    service_spans_close(&summing->spans);
    return result;
}

int ledger_query(struct ledger *ledger, const struct ledger_query *query,
                 int (*visit)(void *context, const struct ledger_row *row), void *context,
                 struct error *error) {
    struct summing summing = {.query = query,
                              .visit = visit,
                              .context = context,
                              .error = error,
                              .account = LEDGER_NO_ACCOUNT};

    /* All statements see the ledger as it was when the first of them began. */
    if (ledger_run(ledger, "BEGIN", error) < 0)
        return -1;
    int result = query_streams(&summing, ledger);
    sqlite3_exec(ledger->db, "COMMIT", NULL, NULL, NULL);
    return result;
}
