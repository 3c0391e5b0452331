/* Rows of the ledger as text for programs, written as they come: nothing is kept. Pure but for the
 * stream. Seconds are written from integer nanoseconds with nine decimals; no floating point
 * touches a figure that becomes money. What is not known is empty (CSV) or null (JSON), never 0. */
#ifndef FPMUX_TENANTS_REPORT_H
#define FPMUX_TENANTS_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "tenants/error.h"
#include "tenants/ledger.h"

struct report_format;

/* "csv" or "json"; NULL when there is no such format. */
const struct report_format *report_find_format(const char *name);

struct report {
    const struct report_format *format;
    FILE *out; /* borrowed */
    bool has_rows;
};

/* The head; generated_at is what the JSON says about itself. */
void report_begin(struct report *report, const struct report_format *format, FILE *out,
                  time_t generated_at);

/* A visitor for ledger_query(), context is the struct report. Stops at a write error. */
int report_row(void *context, const struct ledger_row *row);

/* The end, flushed. 0, or -1 when anything could not be written. */
int report_end(struct report *report, struct error *error);

/* ---- For people ---- */

enum { REPORT_AMOUNT_BYTES = 32 };

/* "12.3 ms", "4.56 s", "2 h 03 min": three digits that matter, cut, not rounded up. */
void report_format_seconds(uint64_t ns, char out[REPORT_AMOUNT_BYTES]);

/* "512 B", "4.56 MB" (decimal units), cut. */
void report_format_bytes(uint64_t bytes, char out[REPORT_AMOUNT_BYTES]);

#endif
