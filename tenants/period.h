/* Spans of time as operators write them, and the periods of a report: days and months of UTC, or of
 * the operator's time zone. Pure: now is an argument, and so is whose days are meant.
 *
 * All of them begin and end at whole hours of UTC, because the ledger's rows are hours of UTC, but
 * for the one parser of instants, for what other programs say. A local day begins with the first
 * hour of its date, so that one of 23 or 25 hours is as long as it was, and one without midnight,
 * where the clocks are set forward then, begins at one. */
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
bool period_parse_time(const char *text, enum period_zone zone, time_t *time, struct error *error);

/* RFC 3339 with any offset, down to nanoseconds, from 1970 on. */
bool period_parse_rfc3339(const char *text, struct timespec *time);

/* YYYY, YYYY-MM, YYYY-MM-DD, or today (also day), yesterday, month (the running one), last-month,
 * year, last-year. */
bool period_parse(const char *text, enum period_zone zone, time_t now, struct period *period,
                  struct error *error);

/* "hour", "day", "month", "all". */
bool period_parse_by(const char *text, enum ledger_by *by);

/* The period of that length that time lies in. LEDGER_BY_ALL: everything. Hours are of UTC. */
struct period period_around(enum ledger_by by, enum period_zone zone, time_t time);

/* RFC 3339, "2026-11-22T14:00:00Z". */
enum { PERIOD_TIME_BYTES = sizeof "2026-11-22T14:00:00Z" };
void period_format_time(time_t time, char out[PERIOD_TIME_BYTES]);

/* For people, as a clock of that zone shows it: "2026-11-22 15:00", and with the offset where the
 * zone is not UTC, because an hour comes twice in autumn: "2026-11-22 15:00 +0100". */
enum { PERIOD_CLOCK_BYTES = sizeof "2026-11-22 15:00 +0100" };
void period_format_clock(time_t time, enum period_zone zone, char out[PERIOD_CLOCK_BYTES]);

#endif
