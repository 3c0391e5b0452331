/* What the files of the SQLite ledger share (ledger.c opens it, ledger_fold.c writes to it,
 * ledger_query.c reads it); nobody else includes this.
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

enum { SECONDS_PER_HOUR = 3600, HOURS_PER_DAY = 24 };

/* The columns of the counters in all statements stand in the order of enum counter. */
_Static_assert(COUNTER_COUNT == 10, "a new counter needs a column, and a step of the schema");

struct ledger {
    sqlite3 *db;
    char *path;
    bool is_read_only;
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

#endif
