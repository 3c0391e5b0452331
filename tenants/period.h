/* Spans of time as operators write them, and the periods of a report. Pure: now is an argument.
 * All in UTC and whole hours, because the ledger's rows are hours of UTC; but for the one parser of
 * instants, for what other programs say. */
#ifndef FPMUX_TENANTS_PERIOD_H
#define FPMUX_TENANTS_PERIOD_H

#include <stdbool.h>
#include <time.h>

#include "tenants/error.h"
#include "tenants/ledger.h"

struct period {
    time_t from; /* inclusive */
    time_t to;   /* exclusive */
};

/* YYYY-MM, YYYY-MM-DD (both: the first second) or RFC 3339, which must be a whole hour. */
bool period_parse_time(const char *text, time_t *time, struct error *error);

/* RFC 3339 with any offset, down to nanoseconds, from 1970 on. */
bool period_parse_rfc3339(const char *text, struct timespec *time);

/* YYYY, YYYY-MM, YYYY-MM-DD, or today (also day), yesterday, month (the running one), last-month,
 * year, last-year. */
bool period_parse(const char *text, time_t now, struct period *period, struct error *error);

/* "hour", "day", "month", "all". */
bool period_parse_by(const char *text, enum ledger_by *by);

/* The period of that length that time lies in. LEDGER_BY_ALL: everything. */
struct period period_around(enum ledger_by by, time_t time);

/* RFC 3339, "2026-11-22T14:00:00Z". */
enum { PERIOD_TIME_BYTES = sizeof "2026-11-22T14:00:00Z" };
void period_format_time(time_t time, char out[PERIOD_TIME_BYTES]);

#endif
