/* What the audit asks the ledger. */
#include "tenants/ledger_sqlite.h"

static const char BESIDE_SQL[] =
    "SELECT coalesce(sum(cpu_ns), 0) FROM usage u JOIN instance i ON i.id = u.instance"
    " WHERE u.day = ?1 AND u.hour = ?2 AND i.name <> ?3";

int ledger_cpu_beside(struct ledger *ledger, const char *instance, time_t hour, uint64_t *cpu_ns,
                      struct error *error) {
    sqlite3_stmt *statement = ledger_prepare(ledger, BESIDE_SQL, error);
    int64_t hours = hour / SECONDS_PER_HOUR;

    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, hours / HOURS_PER_DAY);
    sqlite3_bind_int64(statement, 2, hours % HOURS_PER_DAY);
    sqlite3_bind_text(statement, 3, instance, -1, SQLITE_STATIC);
    int result = sqlite3_step(statement) == SQLITE_ROW ? 0 : ledger_fail(ledger, error);
    if (result == 0)
        *cpu_ns = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return result;
}
