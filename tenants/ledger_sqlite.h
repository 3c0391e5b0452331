/* What the files of the SQLite ledger share (ledger.c opens it, ledger_fold.c takes counters in,
 * ledger_service.c keeps the runs of containers, ledger_query.c reads all of it, ledger_month.c
 * sums up what plans limit); nobody else includes this.
 *
 * One row of usage per (instance, hour, account) with absolute values; whoever writes a row again
 * writes the larger value of each counter, so the order and number of folds do not matter.
 *
 * The rows lie by day, then account, then hour: all folds of a day touch the day's own part of the
 * tree only, and a report reads, account by account, one run of rows per day. The days there are
 * stand in a table of their own, so that the query visits no others. */
#ifndef FPMUX_TENANTS_LEDGER_SQLITE_H
#define FPMUX_TENANTS_LEDGER_SQLITE_H

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
    bool
        has_service; /* false: an old ledger that can't be written, and so not brought up to date */
};

/* Sets the error from SQLite's; returns -1. */
int ledger_fail(const struct ledger *ledger, struct error *error);

/* Runs statements that have no parameters and whose rows are of no interest. 0, or -1. */
int ledger_run(const struct ledger *ledger, const char *sql, struct error *error);

/* Owned by the caller (sqlite3_finalize); NULL on error. */
sqlite3_stmt *ledger_prepare(const struct ledger *ledger, const char *sql, struct error *error);

/* Runs a statement that is bound to its end and makes it ready for the next time. Returns whether
 * it had a row (1) or not (0), -1 on error. */
int ledger_finish(const struct ledger *ledger, sqlite3_stmt *statement, struct error *error);

/* The number that a statement without parameters yields, -1 on error. */
int64_t ledger_ask_number(const struct ledger *ledger, const char *sql, struct error *error);

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
