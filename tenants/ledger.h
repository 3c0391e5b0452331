/* The durable sum of all charges, per tenant and hour: what bills are made from. SQLite in WAL mode
 * today; the interface knows no SQL, so that PostgreSQL can stand behind it later.
 *
 * Folding takes the counter files (counters.h) into the ledger. A row is the absolute value of one
 * (instance, hour, tenant): folding the same file again writes the same value, so it adds nothing,
 * whatever was interrupted when. The file of the running hour is folded as "so far". A final file
 * is unlinked after the transaction that holds it was committed and synced (unless a successor has
 * still to take its workers over, counters.h); that it was folded is remembered for good, so that
 * it adds nothing if it comes back from a backup.
 *
 * Blocking: the daemon calls it on a thread of its own. */
#ifndef FPMUX_TENANTS_LEDGER_H
#define FPMUX_TENANTS_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "tenants/counters.h"
#include "tenants/error.h"

struct ledger; /* for one thread at a time */

/* source is "sqlite:PATH"; the file is made when it is missing, and belongs to the owner of its
 * directory even when root makes it. Opened for reading only when it can't be written. */
struct ledger *ledger_open(const char *source, struct error *error);
void ledger_close(struct ledger *ledger);

/* Takes all counter files of dir in. Returns 0, or -1 with the reason; a damaged file is an error,
 * but the other files are folded all the same. May be called by several processes at a time. */
int ledger_fold(struct ledger *ledger, const char *counters_dir, struct error *error);

enum ledger_by { LEDGER_BY_HOUR, LEDGER_BY_DAY, LEDGER_BY_MONTH, LEDGER_BY_ALL };

/* Whose days and months. LOCAL: the zone of the process, entered with timezone_enter(). */
enum period_zone { PERIOD_UTC, PERIOD_LOCAL };

struct ledger_query {
    const char *tenant; /* NULL: all */
    time_t from;        /* inclusive, 0: from the beginning */
    time_t to;          /* exclusive, 0: no end */
    enum ledger_by by;  /* length of one row's period */
    enum period_zone zone;
    bool with_idle; /* also the account COUNTERS_IDLE */
};

/* none: requests ran, and of none the CPU is known; partial: of some it is not; exact: of all that
 * ran, also when none ran. */
enum metering { METERING_NONE, METERING_PARTIAL, METERING_EXACT };

struct ledger_row {
    const char *tenant; /* borrowed for the call */
    time_t period_start;
    time_t period_end; /* exclusive */
    uint64_t values[COUNTER_COUNT];
    bool has_cpu;        /* false: nothing of the CPU is known */
    bool has_service;    /* a run of the tenant's container was known before the period's end */
    uint64_t service_ns; /* how long it ran (ledger_service.h), as far as it was seen */
    enum metering metering;
};

/* Calls visit for each row, ordered by tenant and period; the first and last period are cut to from
 * and to. There is a row where something was used or a container ran. All of them are of one
 * instant, and rows are made as they are visited, not kept. visit returns 0 to go on. Returns 0, 1
 * when visit stopped it, -1 on error. */
int ledger_query(struct ledger *ledger, const struct ledger_query *query,
                 int (*visit)(void *context, const struct ledger_row *row), void *context,
                 struct error *error);

/* CPU that others than the instance charged in that hour, as far as it was folded. 0, or -1. */
int ledger_cpu_beside(struct ledger *ledger, const char *instance, time_t hour, uint64_t *cpu_ns,
                      struct error *error);

/* What plans limit by the month. */
struct month_use {
    uint64_t requests;
    uint64_t cpu_ns;
};

struct month_sum {
    char tenant[TENANT_ID_MAX + 1];
    struct month_use use;
};

/* Fills in what each of these tenants used between from (inclusive) and to (exclusive), whole days
 * of UTC, all as of one instant. What an instance of counters charged can be left out: one that
 * still runs knows better itself. except is its name, or NULL. 0, or -1 on error. */
int ledger_sum_use(struct ledger *ledger, time_t from, time_t to, const char *except,
                   struct month_sum *sums, size_t count, struct error *error);

#endif
