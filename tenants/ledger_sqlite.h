/* What the files of the SQLite ledger share (ledger.c opens it, ledger_fold.c takes counters in,
 * ledger_service.c keeps the runs of containers, ledger_query.c reads all of it, ledger_month.c
 * sums up what plans limit; ledger_backup.c, _verify.c, _merge.c and _prune.c take care of the
 * file); nobody else includes this.
 *
 * One row of usage per (instance, hour, account) with absolute values; whoever writes a row again
 * writes the larger value of each counter, so the order and number of folds do not matter.
 *
 * The rows lie by day, then account, then hour: all folds of a day touch the day's own part of the
 * tree only, and a report reads, account by account, one run of rows per day. The days there are
 * stand in a table of their own, so that the query visits no others. */
#ifndef FPMUX_TENANTS_LEDGER_SQLITE_H
#define FPMUX_TENANTS_LEDGER_SQLITE_H

#include <limits.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "tenants/error.h"
#include "tenants/ledger.h"

enum { SECONDS_PER_HOUR = 3600, HOURS_PER_DAY = 24, LEDGER_NO_ACCOUNT = -1 };

/* The columns of the counters in all statements stand in the order of enum counter. */
_Static_assert(COUNTER_COUNT == 10, "a new counter needs a column, and a step of the schema");

struct ledger {
    sqlite3 *db;
    char *path;
    bool is_read_only;
    int version; /* of the schema; older than ours where it can't be written */
};

/* The first version that has runs of containers, and the first that was ever pruned. */
enum { LEDGER_VERSION_SERVICE = 2, LEDGER_VERSION_PRUNE = 3 };

/* What has become of the figures of an (instance, hour) that was folded to its end. Whatever it is,
 * they are not taken in again. */
enum fate {
    FATE_HOURLY, /* they are in `usage` */
    FATE_SUMMED, /* they are in the sum of their day: a row of `usage` at the hour in which the day
                    begins, under an instance of their own, whose name is theirs and DAYS_SUFFIX */
    FATE_DELETED,
};
#define DAYS_SUFFIX ".days"

/* The rest of an upsert into `usage`, by which each counter gets the larger value; a row that does
 * not change is not written again. */
#define LEDGER_UPSERT_LARGER                                                                       \
    " ON CONFLICT DO UPDATE SET requests=max(requests, excluded.requests),"                        \
    "  requests_unmetered=max(requests_unmetered, excluded.requests_unmetered),"                   \
    "  cpu_ns=max(cpu_ns, excluded.cpu_ns), wall_ns=max(wall_ns, excluded.wall_ns),"               \
    "  queue_ns=max(queue_ns, excluded.queue_ns), send_ns=max(send_ns, excluded.send_ns),"         \
    "  bytes_in=max(bytes_in, excluded.bytes_in),"                                                 \
    "  bytes_out=max(bytes_out, excluded.bytes_out),"                                              \
    "  errors_5xx=max(errors_5xx, excluded.errors_5xx),"                                           \
    "  rejected=max(rejected, excluded.rejected)"                                                  \
    " WHERE excluded.requests>requests OR excluded.requests_unmetered>requests_unmetered"          \
    "  OR excluded.cpu_ns>cpu_ns OR excluded.wall_ns>wall_ns OR excluded.queue_ns>queue_ns"        \
    "  OR excluded.send_ns>send_ns OR excluded.bytes_in>bytes_in"                                  \
    "  OR excluded.bytes_out>bytes_out OR excluded.errors_5xx>errors_5xx"                          \
    "  OR excluded.rejected>rejected"

/* Sets the error from SQLite's; returns -1. */
int ledger_fail(const struct ledger *ledger, struct error *error);

/* Runs statements that have no parameters and whose rows are of no interest. 0, or -1. */
int ledger_run(const struct ledger *ledger, const char *sql, struct error *error);

/* Owned by the caller (sqlite3_finalize); NULL on error. */
sqlite3_stmt *ledger_prepare(const struct ledger *ledger, const char *sql, struct error *error);

/* Runs a statement that is bound to its end and makes it ready for the next time. Returns whether
 * it had a row (1) or not (0), -1 on error. */
int ledger_finish(const struct ledger *ledger, sqlite3_stmt *statement, struct error *error);

/* A statement whose parameters are these numbers: how many rows it changed, or the number that it
 * yields; -1 on error. */
int64_t ledger_change(const struct ledger *ledger, const char *sql, const int64_t *values,
                      int count, struct error *error);
int64_t ledger_ask(const struct ledger *ledger, const char *sql, const int64_t *values, int count,
                   struct error *error);

/* Opens somebody else's ledger to read it: nothing is made, written or brought up to date. */
struct ledger *ledger_open_to_read(const char *path, struct error *error);

/* The URI by which SQLite opens it so. One that has no WAL has no writer either: a backup, that may
 * lie where no lock can be had. */
enum { LEDGER_URI_BYTES = 3 * PATH_MAX + 64 };
void ledger_uri(char out[LEDGER_URI_BYTES], const char *path);

/* The number that a statement without parameters yields, -1 on error. */
int64_t ledger_ask_number(const struct ledger *ledger, const char *sql, struct error *error);

/* Ends the transaction that was begun: commits it if result is 0, else takes all of it back.
 * Returns 0, or -1. */
int ledger_end(const struct ledger *ledger, int result, struct error *error);

/* ---- Runs of containers, as reports need them (ledger_service.c) ---- */

/* The time in which a container of a tenant ran, in spans that don't overlap, ordered by tenant's
 * name and time. */
struct service_spans {
    const struct ledger *ledger;
    sqlite3_stmt *runs;  /* NULL: the ledger has none */
    sqlite3_stmt *first; /* of an account */
    int64_t low_ns, high_ns;
    int64_t covered_account, covered_ns; /* the account's time before this is in spans already */

    /* The span at hand; whoever has used up its beginning may move from_ns on. */
    int64_t account;  /* LEDGER_NO_ACCOUNT: that was the last one */
    const char *name; /* borrowed until the next span */
    int64_t from_ns, to_ns;
};

/* Spans are cut to the time between from_ns and to_ns; tenant NULL: all. The first is at hand after
 * service_spans_next(). To be closed whether this succeeds (0) or not (-1). */
int service_spans_open(struct service_spans *spans, const struct ledger *ledger, const char *tenant,
                       int64_t from_ns, int64_t to_ns, struct error *error);
void service_spans_close(struct service_spans *spans);

/* 0, or -1 on error. */
int service_spans_next(struct service_spans *spans, struct error *error);

/* When the first run of an account began, whatever time was asked for; INT64_MAX: none is known. */
int service_spans_find_first(struct service_spans *spans, int64_t account, int64_t *first_ns,
                             struct error *error);

#endif
