/* Whether a ledger can be trusted, and what is to be done if not. It only reads. Each check says
 * what it looked at, so that silence is never taken for a check. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/counters.h"
#include "tenants/ledger_care.h"
#include "tenants/ledger_sqlite.h"

static const char MEND_LEDGER[] =
    "stop fpmux, move the ledger away with its -wal and -shm files, start fpmux, then ledger merge "
    "the last good backup and what \"sqlite3 DAMAGED .recover | sqlite3 SAVED\" saves: what is in "
    "both counts once";
static const char MEND_COUNTERS[] =
    "put back the file from a backup, or move it away: that gives up what was counted in it since "
    "it was last taken in";

struct verifying {
    const struct ledger *ledger;
    ledger_finding_fn *visit;
    void *context;
    unsigned wrong_count;
};

static void report(struct verifying *verifying, const char *checked, bool is_wrong,
                   const char *found, const char *mend) {
    struct ledger_finding finding = {
        .checked = checked, .is_wrong = is_wrong, .found = found, .mend = is_wrong ? mend : ""};

    verifying->wrong_count += is_wrong;
    verifying->visit(verifying->context, &finding);
}

/* ---- The database ---- */

/* The pages and indexes themselves, by SQLite. */
static void check_structure(struct verifying *verifying) {
    static const char checked[] = "structure of the file";
    struct error error = {""};
    sqlite3_stmt *statement =
        ledger_prepare(verifying->ledger, "PRAGMA integrity_check(1)", &error);
    char found[512] = "";

    if (statement != NULL && sqlite3_step(statement) == SQLITE_ROW)
        snprintf(found, sizeof found, "%s", (const char *)sqlite3_column_text(statement, 0));
    else
        snprintf(found, sizeof found, "%s", sqlite3_errmsg(verifying->ledger->db));
    sqlite3_finalize(statement);
    bool is_wrong = strcmp(found, "ok") != 0;
    report(verifying, checked, is_wrong, is_wrong ? found : "", MEND_LEDGER);
}

/* Rows that there must not be. */
static const struct {
    const char *checked;
    const char *sql; /* how many there are */
    int version;     /* of the schema: the first that can have them */
} ROW_CHECKS[] = {
    {"accounts, instances and days of all rows",
     "SELECT (SELECT count(*) FROM usage u WHERE"
     "   NOT EXISTS(SELECT 1 FROM account WHERE id=u.account)"
     "   OR NOT EXISTS(SELECT 1 FROM instance WHERE id=u.instance)"
     "   OR NOT EXISTS(SELECT 1 FROM day d WHERE d.day=u.day))"
     " + (SELECT count(*) FROM folded f"
     "   WHERE NOT EXISTS(SELECT 1 FROM instance WHERE id=f.instance))",
     1},
    {"runs of containers",
     "SELECT count(*) FROM service s WHERE started_ns<0"
     " OR NOT EXISTS(SELECT 1 FROM account WHERE id=s.account)",
     2},
    {"hours of all rows", "SELECT count(*) FROM usage WHERE hour NOT BETWEEN 0 AND 23 OR day<0", 1},
    {"no counter below zero",
     "SELECT count(*) FROM usage WHERE min(requests, requests_unmetered, cpu_ns, wall_ns, queue_ns,"
     "  send_ns, bytes_in, bytes_out, errors_5xx, rejected)<0",
     1},
    /* 31 years of CPU, in an hour or in the days for which a full disk kept a file in use; and more
     * requests and bytes than a machine moves. */
    {"no counter beyond what can be",
     "SELECT count(*) FROM usage WHERE max(cpu_ns, wall_ns)>1000000000000000000"
     "  OR max(requests, requests_unmetered, errors_5xx, rejected)>1000000000000"
     "  OR max(bytes_in, bytes_out)>1000000000000000000",
     1},
};

static void check_rows(struct verifying *verifying, const char *checked, const char *sql) {
    struct error error = {""};
    int64_t count = ledger_ask_number(verifying->ledger, sql, &error);
    char found[64];

    snprintf(found, sizeof found, "%" PRId64 " rows are wrong", count);
    if (count < 0)
        report(verifying, checked, true, error.text, MEND_LEDGER);
    else
        report(verifying, checked, count > 0, count > 0 ? found : "", MEND_LEDGER);
}

/* Not wrong in itself: what was counted is right, but stands in an hour to come. */
static void note_hours_to_come(struct verifying *verifying, time_t now) {
    struct error error = {""};
    int64_t hour = now / SECONDS_PER_HOUR;
    int64_t count = ledger_ask(verifying->ledger,
                               "SELECT count(*) FROM usage WHERE day>=?1/24 AND day*24+hour>?1",
                               &hour, 1, &error);
    char found[128] = "";

    if (count < 0)
        return; /* said by the checks before */
    if (count > 0)
        snprintf(found, sizeof found,
                 "%" PRId64 " rows are of hours to come: the clock of a host is or was ahead",
                 count);
    report(verifying, "hours that have not been", false, found, "");
}

static void check_ledger(struct verifying *verifying, const char *path, time_t now) {
    static const char checked[] = "a ledger of fpmux, of a version that can be read";
    struct error error = {""};
    struct ledger *ledger = ledger_open_to_read(path, &error);
    char found[64];

    verifying->ledger = ledger;
    if (ledger == NULL) {
        report(verifying, checked, true, error.text, MEND_LEDGER);
        return;
    }
    snprintf(found, sizeof found, "version %d", ledger->version);
    report(verifying, checked, false, found, "");
    check_structure(verifying);
    for (size_t i = 0; i < sizeof ROW_CHECKS / sizeof ROW_CHECKS[0]; i++)
        if (ledger->version >= ROW_CHECKS[i].version)
            check_rows(verifying, ROW_CHECKS[i].checked, ROW_CHECKS[i].sql);
    note_hours_to_come(verifying, now);
    ledger_close(ledger);
}

/* ---- The counter files ---- */

static void ignore_account(void *context, const char *account,
                           const uint64_t values[COUNTER_COUNT]) {
    (void)context;
    (void)account;
    (void)values;
}

static void check_file(struct verifying *verifying, const struct counters_file *file) {
    struct error error;

    if (counters_read(file, ignore_account, NULL, &error) < 0)
        report(verifying, "counter file", true, error.text, MEND_COUNTERS);
}

static void check_counters(struct verifying *verifying, const char *dir) {
    struct counters_file *files;
    struct error error;
    ssize_t count = counters_list(dir, &files, &error);
    size_t final_count = 0;
    char found[128];

    if (count < 0) {
        report(verifying, "counter files", true, error.text, "make that directory readable");
        return;
    }
    for (ssize_t i = 0; i < count; i++) {
        check_file(verifying, &files[i]);
        final_count += files[i].is_final && !files[i].is_unclaimed;
    }
    free(files);
    snprintf(found, sizeof found, "%zd looked at, %zu of them to be taken in to their end", count,
             final_count);
    report(verifying, "counter files", false, found, "");
}

unsigned ledger_verify(const char *path, const char *counters_dir, time_t now,
                       ledger_finding_fn *visit, void *context) {
    struct verifying verifying = {.visit = visit, .context = context};

    check_ledger(&verifying, path, now);
    if (counters_dir != NULL)
        check_counters(&verifying, counters_dir);
    return verifying.wrong_count;
}
