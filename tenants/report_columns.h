/* The columns of usage, the same in CSV and JSON. */
#ifndef FPMUX_TENANTS_REPORT_COLUMNS_H
#define FPMUX_TENANTS_REPORT_COLUMNS_H

#include <stdbool.h>

#include "tenants/report.h"

enum cell_kind { CELL_TEXT, CELL_NUMBER };

struct cell {
    enum cell_kind kind;
    bool is_known;
    const char *text; /* borrowed from the row, the registry or storage */
    char storage[DECIMAL_BYTES];
};

/* The columns of a report: how many, and the index in report_column_names of the nth of them. */
size_t report_column_count(const struct report_options *options);
unsigned report_column_at(const struct report_options *options, size_t nth);

/* What a row has in a column. cell is filled and holds what it points to. */
void report_fill_cell(struct cell *cell, const struct report_options *options, unsigned column,
                      const struct ledger_row *row);

/* "exact", "partial", "none". */
const char *report_metering_name(enum metering metering);

#endif
