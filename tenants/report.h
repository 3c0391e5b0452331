/* Rows of the ledger as text for programs, written as they come: nothing is kept. Pure but for the
 * stream. Seconds are written from integer nanoseconds with nine decimals; no floating point
 * touches a figure that becomes money. What is not known is empty (CSV) or null (JSON), never 0.
 *
 * A format is a row of the table in report.c and a file of its own, report_<format>.c:
 *
 *     csv, json           rows of usage (report_columns.h): what was measured
 *     focus, cloudevents  charges (billing.h): what it comes to, one line for each SKU */
#ifndef FPMUX_TENANTS_REPORT_H
#define FPMUX_TENANTS_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "tenants/billing.h"
#include "tenants/error.h"
#include "tenants/ledger.h"

struct report_format;

/* "csv", "json", "focus" or "cloudevents"; NULL when there is no such format. */
const struct report_format *report_find_format(const char *name);

/* Whether its lines are charges: then there must be a biller, … */
bool report_has_charges(const struct report_format *format);

/* … and whether that must have rates. */
bool report_needs_rates(const struct report_format *format);

/* Whether columns may be chosen. */
bool report_has_columns(const struct report_format *format);

/* The names of the columns of usage; NULL at the end. */
extern const char *const report_column_names[];

enum { REPORT_COLUMNS_MAX = 64 };

struct report_options {
    const struct report_format *format;
    time_t generated_at;
    struct biller *biller;                /* borrowed; for formats that have charges */
    const struct registry *registry;      /* borrowed; for the column `name` */
    const char *source;                   /* borrowed; of CloudEvents */
    size_t column_count;                  /* 0: the usual ones */
    unsigned columns[REPORT_COLUMNS_MAX]; /* indices of report_column_names */
};

/* Whether the column `name` is among the chosen, so that a registry is wanted. */
bool report_wants_names(const struct report_options *options);

struct report {
    const struct report_options *options; /* borrowed */
    FILE *out;                            /* borrowed */
    bool has_rows;
};

/* The head. */
void report_begin(struct report *report, const struct report_options *options, FILE *out);

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
