/* Letting go of old rows of the SQLite ledger: day by day, each in a transaction of its own, so
 * that folds come in between.
 *
 * What is to go are the rows whose (instance, hour) stands in `folded` with FATE_HOURLY; what
 * becomes of it is noted there in the same transaction. The sum of a day is kept per instance, so
 * that a merge can tell what is in it. */
#include "tenants/ledger_care.h"
#include "tenants/ledger_sqlite.h"
#include "tenants/period.h"

/* ?1: from this hour on, ?2: before this one. */
#define ROWS_OF_HOURS                                                                              \
    " FROM usage u CROSS JOIN folded f WHERE u.day BETWEEN ?1/24 AND (?2-1)/24"                    \
    "  AND u.day*24+u.hour>=?1 AND u.day*24+u.hour<?2"                                             \
    "  AND f.instance=u.instance AND f.hour=u.day*24+u.hour AND f.fate=0"

static const char COUNT_ROWS[] = "SELECT count(*)" ROWS_OF_HOURS;
static const char COUNT_LEFT[] =
    "SELECT count(*) FROM usage u WHERE u.day BETWEEN ?1/24 AND (?2-1)/24"
    "  AND u.day*24+u.hour>=?1 AND u.day*24+u.hour<?2"
    "  AND NOT EXISTS(SELECT 1 FROM folded f WHERE f.instance=u.instance"
    "   AND f.hour=u.day*24+u.hour)"
    "  AND (SELECT name FROM instance WHERE id=u.instance) NOT LIKE '%" DAYS_SUFFIX "'";
static const char DELETE_ROWS[] =
    "DELETE FROM usage WHERE day BETWEEN ?1/24 AND (?2-1)/24"
    "  AND day*24+hour>=?1 AND day*24+hour<?2"
    "  AND EXISTS(SELECT 1 FROM folded f WHERE f.instance=usage.instance"
    "   AND f.hour=usage.day*24+usage.hour AND f.fate=0)";
static const char HAS_HOURS[] =
    "SELECT EXISTS(SELECT 1 FROM folded WHERE fate=0 AND hour>=?1 AND hour<?2)";
static const char DELETE_EMPTY_DAYS[] =
    "DELETE FROM day WHERE day<=?1/24 AND NOT EXISTS(SELECT 1 FROM usage u WHERE u.day=day.day)";

/* A day that was summed up has other ends: it began in another time zone. */
static const char HAS_OTHER_DAY[] =
    "SELECT EXISTS(SELECT 1 FROM summed WHERE start<?2 AND end>?1 AND (start<>?1 OR end<>?2))";
static const char NAME_INSTANCES[] =
    "INSERT INTO instance(name) SELECT i.name || '" DAYS_SUFFIX "' FROM instance i WHERE i.id IN"
    "  (SELECT instance FROM folded WHERE fate=0 AND hour>=?1 AND hour<?2) ON CONFLICT DO NOTHING";
/* What is in the sum already was taken out of the hours, so this adds. */
static const char ADD_SUMS[] =
    "INSERT INTO usage"
    " SELECT ?1/24, u.account, ?1%24,"
    "  (SELECT id FROM instance WHERE name=(SELECT name FROM instance WHERE id=u.instance)"
    "   || '" DAYS_SUFFIX "'),"
    "  sum(u.requests), sum(u.requests_unmetered), sum(u.cpu_ns), sum(u.wall_ns), sum(u.queue_ns),"
    "  sum(u.send_ns), sum(u.bytes_in), sum(u.bytes_out), sum(u.errors_5xx), "
    "sum(u.rejected)" ROWS_OF_HOURS " GROUP BY u.account, u.instance"
    " ON CONFLICT DO UPDATE SET requests=requests+excluded.requests,"
    "  requests_unmetered=requests_unmetered+excluded.requests_unmetered,"
    "  cpu_ns=cpu_ns+excluded.cpu_ns, wall_ns=wall_ns+excluded.wall_ns,"
    "  queue_ns=queue_ns+excluded.queue_ns, send_ns=send_ns+excluded.send_ns,"
    "  bytes_in=bytes_in+excluded.bytes_in, bytes_out=bytes_out+excluded.bytes_out,"
    "  errors_5xx=errors_5xx+excluded.errors_5xx, rejected=rejected+excluded.rejected";
static const char NOTE_SUMMED[] = "UPDATE folded SET fate=1 WHERE fate=0 AND hour>=?1 AND hour<?2";

static const char CUTS_A_SUM[] = "SELECT EXISTS(SELECT 1 FROM summed WHERE start<?1 AND end>?1)";
static const char COUNT_SUMS[] =
    "SELECT count(*) FROM usage u WHERE u.day BETWEEN ?1/24 AND (?2-1)/24"
    "  AND u.day*24+u.hour>=?1 AND u.day*24+u.hour<?2"
    "  AND (SELECT name FROM instance WHERE id=u.instance) LIKE '%" DAYS_SUFFIX "'";
static const char DELETE_SUMS[] =
    "DELETE FROM usage WHERE day BETWEEN ?1/24 AND (?2-1)/24"
    "  AND day*24+hour>=?1 AND day*24+hour<?2"
    "  AND (SELECT name FROM instance WHERE id=usage.instance) LIKE '%" DAYS_SUFFIX "'";
static const char NOTE_DELETED[] =
    "UPDATE folded SET fate=2 WHERE (fate=0 AND hour>=?1 AND hour<?2) OR (fate=1"
    "  AND hour>=(SELECT min(start) FROM summed WHERE start>=?1 AND start<?2)"
    "  AND hour<(SELECT max(end) FROM summed WHERE start>=?1 AND start<?2))";
static const char DELETE_SUMMED[] = "DELETE FROM summed WHERE start>=?1 AND start<?2";
static const char DELETE_RUNS[] = "DELETE FROM service WHERE until_ns<=?1*3600000000000";
static const char FORGET_BEFORE[] = "DELETE FROM deleted WHERE before<?1";
static const char NOTE_BEFORE[] =
    "INSERT INTO deleted SELECT ?1 WHERE NOT EXISTS(SELECT 1 FROM deleted)";

static const char FIRST_DAY[] = "SELECT ifnull(min(day), 1<<30) FROM day";

struct pruning {
    const struct ledger *ledger;
    const struct ledger_prune *prune;
    struct ledger_pruned *pruned;
    struct error *error;
    int64_t hours[2]; /* of the day at hand: ?1 and ?2 of all statements */
};

static int64_t change(const struct pruning *pruning, const char *sql) {
    return ledger_change(pruning->ledger, sql, pruning->hours, 2, pruning->error);
}

static int64_t ask(const struct pruning *pruning, const char *sql) {
    return ledger_ask(pruning->ledger, sql, pruning->hours, 2, pruning->error);
}

/* Adds what the statement changed to a count. 0, or -1. */
static int change_and_count(const struct pruning *pruning, const char *sql, uint64_t *count) {
    int64_t changed = change(pruning, sql);

    *count += changed > 0 ? (uint64_t)changed : 0;
    return changed < 0 ? -1 : 0;
}

static int refuse_day(const struct pruning *pruning, int64_t hour) {
    char time[PERIOD_TIME_BYTES];

    period_format_time(hour * SECONDS_PER_HOUR, time);
    error_set(pruning->error,
              "%s: %s lies within a day that was summed up in another time zone: use that one",
              pruning->ledger->path, time);
    return -1;
}

/* ---- One day ---- */

static int note_zone(const struct pruning *pruning) {
    sqlite3_stmt *statement = ledger_prepare(
        pruning->ledger, "INSERT INTO summed VALUES(?1, ?2, ?3) ON CONFLICT DO NOTHING",
        pruning->error);

    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, pruning->hours[0]);
    sqlite3_bind_int64(statement, 2, pruning->hours[1]);
    sqlite3_bind_text(statement, 3, pruning->prune->zone_name, -1, SQLITE_STATIC);
    int result = ledger_finish(pruning->ledger, statement, pruning->error);
    sqlite3_finalize(statement);
    return result < 0 ? -1 : 0;
}

static int sum_day(const struct pruning *pruning) {
    int64_t has_other = ask(pruning, HAS_OTHER_DAY);

    if (has_other != 0)
        return has_other < 0 ? -1 : refuse_day(pruning, pruning->hours[0]);
    if (change(pruning, "INSERT INTO day VALUES(?1/24) ON CONFLICT DO NOTHING") < 0 ||
        change(pruning, NAME_INSTANCES) < 0 || note_zone(pruning) < 0 ||
        change_and_count(pruning, ADD_SUMS, &pruning->pruned->sums) < 0 ||
        change_and_count(pruning, DELETE_ROWS, &pruning->pruned->rows) < 0 ||
        change(pruning, NOTE_SUMMED) < 0 || change(pruning, DELETE_EMPTY_DAYS) < 0)
        return -1;
    return 0;
}

static int delete_day(const struct pruning *pruning) {
    if (change_and_count(pruning, DELETE_ROWS, &pruning->pruned->rows) < 0 ||
        change_and_count(pruning, DELETE_SUMS, &pruning->pruned->rows) < 0 ||
        change(pruning, NOTE_DELETED) < 0 || change(pruning, DELETE_SUMMED) < 0 ||
        change(pruning, DELETE_EMPTY_DAYS) < 0)
        return -1;
    return 0;
}

static int prune_day(const struct pruning *pruning) {
    bool sums = pruning->prune->sums_to_days;
    int64_t has_hours = ask(pruning, HAS_HOURS);

    if (has_hours < 0 || (sums && has_hours == 0))
        return has_hours < 0 ? -1 : 0;
    if (ledger_run(pruning->ledger, "BEGIN IMMEDIATE", pruning->error) < 0)
        return -1;
    return ledger_end(pruning->ledger, sums ? sum_day(pruning) : delete_day(pruning),
                      pruning->error);
}

/* ---- All of them ---- */

static int prune_days(struct pruning *pruning, time_t first,
                      const struct ledger_progress *progress) {
    const struct ledger_prune *prune = pruning->prune;
    time_t begin = first;

    while (first < prune->before) {
        struct period day = period_around(LEDGER_BY_DAY, prune->zone, first);
        pruning->hours[0] = day.from / SECONDS_PER_HOUR;
        pruning->hours[1] = day.to / SECONDS_PER_HOUR;
        if (prune_day(pruning) < 0)
            return -1;
        first = day.to;
        if (progress != NULL)
            progress->on_step(progress->context, first - begin, prune->before - begin);
    }
    return 0;
}

static int delete_runs(const struct pruning *pruning) {
    if (change_and_count(pruning, DELETE_RUNS, &pruning->pruned->runs) < 0 ||
        change(pruning, FORGET_BEFORE) < 0 || change(pruning, NOTE_BEFORE) < 0)
        return -1;
    return 0;
}

static int finish_deleting(struct pruning *pruning) {
    pruning->hours[0] = pruning->prune->before / SECONDS_PER_HOUR;
    if (ledger_run(pruning->ledger, "BEGIN IMMEDIATE", pruning->error) < 0)
        return -1;
    return ledger_end(pruning->ledger, delete_runs(pruning), pruning->error);
}

static int count_rows(const struct pruning *pruning) {
    int64_t rows = ask(pruning, COUNT_ROWS);
    int64_t sums = pruning->prune->sums_to_days ? 0 : ask(pruning, COUNT_SUMS);

    if (rows < 0 || sums < 0)
        return -1;
    pruning->pruned->rows = (uint64_t)(rows + sums);
    return 0;
}

static int prune_all(struct pruning *pruning, time_t first,
                     const struct ledger_progress *progress) {
    if (pruning->prune->is_dry_run)
        return count_rows(pruning);
    if (prune_days(pruning, first, progress) < 0)
        return -1;
    return pruning->prune->sums_to_days ? 0 : finish_deleting(pruning);
}

int ledger_prune(struct ledger *ledger, const struct ledger_prune *prune,
                 const struct ledger_progress *progress, struct ledger_pruned *pruned,
                 struct error *error) {
    struct pruning pruning = {.ledger = ledger, .prune = prune, .pruned = pruned, .error = error};
    int64_t cut = prune->before / SECONDS_PER_HOUR;

    *pruned = (struct ledger_pruned){0};
    if (ledger->is_read_only) {
        error_set(error, "%s: may only be read", ledger->path);
        return -1;
    }
    int64_t cuts = ledger_ask(ledger, CUTS_A_SUM, &cut, 1, error);
    int64_t first_day = ledger_ask_number(ledger, FIRST_DAY, error);
    if (cuts < 0 || first_day < 0)
        return -1;
    if (cuts != 0)
        return refuse_day(&pruning, cut);
    int64_t whole[2] = {first_day * HOURS_PER_DAY, cut};
    if (whole[0] >= cut)
        return 0;
    pruning.hours[0] = whole[0];
    pruning.hours[1] = whole[1];
    if (prune_all(&pruning, whole[0] * SECONDS_PER_HOUR, progress) < 0)
        return -1;
    int64_t left = ledger_ask(ledger, COUNT_LEFT, whole, 2, error);
    pruned->left = left > 0 ? (uint64_t)left : 0;
    return left < 0 ? -1 : 0;
}

int ledger_vacuum(struct ledger *ledger, struct error *error) {
    if (ledger_run(ledger, "VACUUM", error) < 0)
        return -1;
    return ledger_run(ledger, "PRAGMA wal_checkpoint(TRUNCATE)", error);
}

time_t ledger_deleted_before(struct ledger *ledger, struct error *error) {
    static const char sql[] = "SELECT ifnull(max(before), 0)*3600 FROM deleted";

    return ledger->version < LEDGER_VERSION_PRUNE ? 0 : ledger_ask_number(ledger, sql, error);
}
