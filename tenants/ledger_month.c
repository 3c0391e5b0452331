/* What plans limit, summed up tenant by tenant: for each one a look at its run of rows per day of
 * the month, so that few tenants cost little however many there are. */
#include "tenants/ledger_sqlite.h"

/* CROSS JOIN keeps the order: days first, then the account's rows of the day by the primary key. */
static const char SUM_SQL[] = "SELECT sum(requests), sum(cpu_ns) FROM day d CROSS JOIN usage u"
                              " WHERE d.day>=?2 AND d.day<?3 AND u.day=d.day"
                              "  AND u.account=(SELECT id FROM account WHERE name=?1)"
                              "  AND u.instance IS NOT (SELECT id FROM instance WHERE name=?4)";
enum { COLUMN_REQUESTS, COLUMN_CPU_NS };

enum { SECONDS_PER_DAY = SECONDS_PER_HOUR * HOURS_PER_DAY };

static int sum_tenant(const struct ledger *ledger, sqlite3_stmt *statement, struct month_sum *sum,
                      struct error *error) {
    sqlite3_bind_text(statement, 1, sum->tenant, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) != SQLITE_ROW) /* an aggregate always has one */
        return ledger_fail(ledger, error);
    /* Where there are no rows it is NULL, which reads as 0. */
    sum->use.requests = (uint64_t)sqlite3_column_int64(statement, COLUMN_REQUESTS);
    sum->use.cpu_ns = (uint64_t)sqlite3_column_int64(statement, COLUMN_CPU_NS);
    sqlite3_reset(statement);
    return 0;
}

static int sum_all(const struct ledger *ledger, sqlite3_stmt *statement, struct month_sum *sums,
                   size_t count, struct error *error) {
    int result = ledger_run(ledger, "BEGIN", error); /* all of one instant */

    if (result < 0)
        return result;
    for (size_t i = 0; i < count && result == 0; i++)
        result = sum_tenant(ledger, statement, &sums[i], error);
    sqlite3_reset(statement);
    sqlite3_exec(ledger->db, "COMMIT", NULL, NULL, NULL);
    return result;
}

int ledger_sum_use(struct ledger *ledger, time_t from, time_t to, const char *except,
                   struct month_sum *sums, size_t count, struct error *error) {
    sqlite3_stmt *statement = ledger_prepare(ledger, SUM_SQL, error);

    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 2, from / SECONDS_PER_DAY);
    sqlite3_bind_int64(statement, 3, to / SECONDS_PER_DAY);
    sqlite3_bind_text(statement, 4, except, -1, SQLITE_STATIC);
    int result = sum_all(ledger, statement, sums, count, error);
    sqlite3_finalize(statement);
    return result;
}
