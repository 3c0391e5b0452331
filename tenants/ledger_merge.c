/* Putting the ledger of another host into this one: see ledger_care.h for what holds.
 *
 * The other file is attached read-only as `theirs`. Numbers of accounts and instances are each
 * file's own, so two temporary tables translate them by name; a third holds the sums of days that
 * the other one has made, and what is to be done with each. */
#include <sys/stat.h>

#include "tenants/ledger_care.h"
#include "tenants/ledger_sqlite.h"

static const char FORGET_TABLES[] = "DROP VIEW IF EXISTS temp.their_folded;"
                                    "DROP TABLE IF EXISTS temp.account_of;"
                                    "DROP TABLE IF EXISTS temp.instance_of;"
                                    "DROP TABLE IF EXISTS temp.sum_of;";

static const char TRANSLATE[] =
    "INSERT INTO main.account(name) SELECT name FROM theirs.account WHERE true"
    "  ON CONFLICT DO NOTHING;"
    "INSERT INTO main.instance(name) SELECT name FROM theirs.instance WHERE true"
    "  ON CONFLICT DO NOTHING;"
    "INSERT INTO main.day SELECT day FROM theirs.day WHERE true ON CONFLICT DO NOTHING;"
    "CREATE TABLE temp.account_of(id INTEGER PRIMARY KEY, ours INTEGER NOT NULL);"
    "INSERT INTO account_of SELECT t.id, o.id FROM theirs.account t"
    "  JOIN main.account o ON o.name=t.name;"
    "CREATE TABLE temp.instance_of(id INTEGER PRIMARY KEY, ours INTEGER NOT NULL,"
    "  has_sums INTEGER NOT NULL);"
    "INSERT INTO instance_of SELECT t.id, o.id, t.name LIKE '%" DAYS_SUFFIX "'"
    "  FROM theirs.instance t JOIN main.instance o ON o.name=t.name;"
    /* One for each instance and day; `hours` is the instance whose hours were summed up. */
    "CREATE TABLE temp.sum_of(sums INTEGER, hours INTEGER, start INTEGER, end INTEGER,"
    "  in_theirs INTEGER, in_ours INTEGER, in_both INTEGER, deleted INTEGER);";

static const char VIEW_FOLDED[] =
    "CREATE TEMP VIEW their_folded AS SELECT i.ours AS instance, f.hour, f.fate"
    "  FROM theirs.folded f JOIN instance_of i ON i.id=f.instance";
static const char VIEW_FOLDED_BEFORE_PRUNE[] =
    "CREATE TEMP VIEW their_folded AS SELECT i.ours AS instance, f.hour, 0 AS fate"
    "  FROM theirs.folded f JOIN instance_of i ON i.id=f.instance";

/* ---- Days that they have summed up ---- */

static const char OTHER_DAYS[] =
    "SELECT EXISTS(SELECT 1 FROM theirs.summed t JOIN main.summed o"
    "  ON t.start<o.end AND o.start<t.end WHERE t.start<>o.start OR t.end<>o.end)";

static const char FIND_SUMS[] =
    "INSERT INTO sum_of(sums, hours, start, end)"
    " SELECT DISTINCT u.instance, h.id, s.start, s.end"
    "  FROM theirs.summed s CROSS JOIN theirs.usage u ON u.day=s.start/24 AND u.hour=s.start%24"
    "  JOIN instance_of i ON i.id=u.instance AND i.has_sums"
    "  JOIN main.instance n ON n.id=i.ours"
    "  JOIN main.instance h ON h.name || '" DAYS_SUFFIX "'=n.name;"
    "UPDATE sum_of SET"
    "  in_theirs=(SELECT count(*) FROM their_folded t WHERE t.instance=hours AND t.fate=1"
    "   AND t.hour>=start AND t.hour<end),"
    "  in_ours=(SELECT count(*) FROM main.folded o WHERE o.instance=hours"
    "   AND o.hour>=start AND o.hour<end),"
    "  in_both=(SELECT count(*) FROM main.folded o JOIN their_folded t"
    "   ON t.instance=o.instance AND t.hour=o.hour WHERE o.instance=hours AND t.fate=1"
    "   AND o.hour>=start AND o.hour<end),"
    "  deleted=(SELECT count(*) FROM main.folded o WHERE o.instance=hours AND o.fate=2"
    "   AND o.hour>=start AND o.hour<end);";

static const char FORGET_KNOWN_SUMS[] = "DELETE FROM sum_of WHERE in_both=in_theirs";
/* What is left has hours that are new here; it must have all those that are not. */
static const char HAS_MIXED_SUM[] =
    "SELECT EXISTS(SELECT 1 FROM sum_of WHERE in_both<in_ours OR deleted>0)";

static const char TAKE_SUMS[] =
    /* The hours that were known one by one are in the sum. */
    "DELETE FROM main.usage WHERE EXISTS(SELECT 1 FROM sum_of s JOIN their_folded t"
    "   ON t.instance=s.hours AND t.fate=1 AND t.hour>=s.start AND t.hour<s.end"
    "  WHERE s.hours=usage.instance AND t.hour=usage.day*24+usage.hour)"
    " AND day BETWEEN (SELECT min(start)/24 FROM sum_of) AND (SELECT max(end)/24 FROM sum_of);"
    "INSERT INTO main.folded SELECT t.instance, t.hour, 1 FROM sum_of s JOIN their_folded t"
    "  ON t.instance=s.hours AND t.fate=1 AND t.hour>=s.start AND t.hour<s.end"
    "  WHERE true ON CONFLICT DO UPDATE SET fate=1;"
    "INSERT INTO main.summed SELECT * FROM theirs.summed t"
    "  WHERE t.start IN (SELECT start FROM sum_of) ON CONFLICT DO NOTHING;";

#define THEIR_COUNTERS                                                                             \
    "u.requests, u.requests_unmetered, u.cpu_ns, u.wall_ns, u.queue_ns, u.send_ns, u.bytes_in,"    \
    " u.bytes_out, u.errors_5xx, u.rejected"

static const char COPY_SUMS[] =
    "INSERT INTO main.usage SELECT u.day, a.ours, u.hour, i.ours, " THEIR_COUNTERS
    " FROM sum_of s CROSS JOIN theirs.usage u ON u.day=s.start/24 AND u.hour=s.start%24"
    "   AND u.instance=s.sums"
    " JOIN account_of a ON a.id=u.account JOIN instance_of i ON i.id=u.instance"
    " WHERE true" LEDGER_UPSERT_LARGER;

/* ---- Hours, and the runs of containers ---- */

static const char COPY_HOURS[] =
    "INSERT INTO main.usage SELECT u.day, a.ours, u.hour, i.ours, " THEIR_COUNTERS
    " FROM theirs.usage u CROSS JOIN account_of a ON a.id=u.account"
    " CROSS JOIN instance_of i ON i.id=u.instance"
    " WHERE NOT i.has_sums AND NOT EXISTS(SELECT 1 FROM main.folded f"
    "  WHERE f.instance=i.ours AND f.hour=u.day*24+u.hour)" LEDGER_UPSERT_LARGER;
static const char COPY_FOLDED[] =
    "INSERT INTO main.folded SELECT instance, hour, 0 FROM their_folded WHERE fate=0"
    "  ON CONFLICT DO NOTHING";

/* An end that is known holds; else what was seen last. Runs of a time that was let go of would come
 * back. */
static const char COPY_RUNS[] =
    "INSERT INTO main.service"
    " SELECT a.ours, started_ns, container, until_ns, has_ended, restarts"
    "  FROM theirs.service s JOIN account_of a ON a.id=s.account"
    "  WHERE until_ns>(SELECT ifnull(max(before), 0)*3600000000000 FROM main.deleted)"
    " ON CONFLICT DO UPDATE SET until_ns=excluded.until_ns, has_ended=excluded.has_ended"
    "  WHERE (excluded.has_ended, excluded.until_ns)>(has_ended, until_ns)";

static int change(const struct ledger *ledger, const char *sql, uint64_t *count,
                  struct error *error) {
    int64_t changed = ledger_change(ledger, sql, NULL, 0, error);

    *count += changed > 0 ? (uint64_t)changed : 0;
    return changed < 0 ? -1 : 0;
}

/* Why a file can't be merged, or NULL; failures leave -1 in *result. */
static const char *find_obstacle(const struct ledger *ledger, int *result, struct error *error) {
    int64_t has_other_days = ledger_ask_number(ledger, OTHER_DAYS, error);

    *result = -1;
    if (has_other_days > 0)
        return "its days were summed up in another time zone";
    if (has_other_days < 0 || ledger_run(ledger, FIND_SUMS, error) < 0 ||
        ledger_run(ledger, FORGET_KNOWN_SUMS, error) < 0)
        return NULL;
    int64_t has_mixed_sum = ledger_ask_number(ledger, HAS_MIXED_SUM, error);
    if (has_mixed_sum > 0)
        return "it has the sum of a day of which this ledger knows other hours: merge a backup "
               "from before it was pruned";
    *result = has_mixed_sum < 0 ? -1 : 0;
    return NULL;
}

static int merge_sums(const struct ledger *ledger, struct ledger_merged *merged,
                      struct error *error) {
    int result;
    const char *obstacle = find_obstacle(ledger, &result, error);

    if (obstacle != NULL)
        error_set(error, "%s", obstacle);
    if (result < 0 || ledger_run(ledger, TAKE_SUMS, error) < 0)
        return -1;
    return change(ledger, COPY_SUMS, &merged->rows, error);
}

static int merge_all(const struct ledger *ledger, int version, struct ledger_merged *merged,
                     struct error *error) {
    bool may_be_pruned = version >= LEDGER_VERSION_PRUNE;

    if (ledger_run(ledger, TRANSLATE, error) < 0 ||
        ledger_run(ledger, may_be_pruned ? VIEW_FOLDED : VIEW_FOLDED_BEFORE_PRUNE, error) < 0)
        return -1;
    if (may_be_pruned && merge_sums(ledger, merged, error) < 0)
        return -1;
    if (change(ledger, COPY_HOURS, &merged->rows, error) < 0 ||
        ledger_run(ledger, COPY_FOLDED, error) < 0)
        return -1;
    if (version < LEDGER_VERSION_SERVICE)
        return 0;
    return change(ledger, COPY_RUNS, &merged->runs, error);
}

static int merge_attached(const struct ledger *ledger, int version, struct ledger_merged *merged,
                          struct error *error) {
    if (ledger_run(ledger, "BEGIN IMMEDIATE", error) < 0)
        return -1;
    int result = ledger_end(ledger, merge_all(ledger, version, merged, error), error);
    sqlite3_exec(ledger->db, FORGET_TABLES, NULL, NULL, NULL);
    return result;
}

static int attach(const struct ledger *ledger, const char *path, struct error *error) {
    sqlite3_stmt *statement = ledger_prepare(ledger, "ATTACH ?1 AS theirs", error);
    char uri[LEDGER_URI_BYTES];

    if (statement == NULL)
        return -1;
    ledger_uri(uri, path);
    sqlite3_bind_text(statement, 1, uri, -1, SQLITE_STATIC);
    int result = ledger_finish(ledger, statement, error);
    sqlite3_finalize(statement);
    return result < 0 ? -1 : 0;
}

/* What the other one is; -1 for one that can't be merged. */
static int look_at(const char *path, struct ledger_merged *merged, struct error *error) {
    struct ledger *theirs = ledger_open_to_read(path, error);

    if (theirs == NULL)
        return -1;
    int version = theirs->version;
    merged->deleted_before = ledger_deleted_before(theirs, error);
    ledger_close(theirs);
    return merged->deleted_before < 0 ? -1 : version;
}

static bool is_same_file(const char *path, const char *other) {
    struct stat one, two;

    return stat(path, &one) == 0 && stat(other, &two) == 0 && one.st_dev == two.st_dev &&
           one.st_ino == two.st_ino;
}

int ledger_merge(struct ledger *ledger, const char *path, struct ledger_merged *merged,
                 struct error *error) {
    *merged = (struct ledger_merged){0};
    if (ledger->is_read_only) {
        error_set(error, "%s: may only be read", ledger->path);
        return -1;
    }
    if (is_same_file(ledger->path, path)) {
        error_set(error, "%s: is this ledger itself", path);
        return -1;
    }
    int version = look_at(path, merged, error);
    if (version < 0)
        return -1;
    int result = attach(ledger, path, error);
    if (result == 0) {
        result = merge_attached(ledger, version, merged, error);
        sqlite3_exec(ledger->db, "DETACH theirs", NULL, NULL, NULL);
    }
    if (result < 0)
        error_prefix(error, "%s", path);
    return result;
}
