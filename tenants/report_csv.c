/* Rows of usage as CSV (RFC 4180). */
#include "tenants/report_columns.h"
#include "tenants/report_format.h"
#include "tenants/report_text.h"

static void begin(const struct report *report) {
    size_t count = report_column_count(report->options);

    for (size_t nth = 0; nth < count; nth++)
        fprintf(report->out, "%s%s", nth > 0 ? "," : "",
                report_column_names[report_column_at(report->options, nth)]);
    fputs("\r\n", report->out);
}

static void put_row(const struct report *report, const struct ledger_row *row) {
    size_t count = report_column_count(report->options);

    for (size_t nth = 0; nth < count; nth++) {
        struct cell cell;
        report_fill_cell(&cell, report->options, report_column_at(report->options, nth), row);
        if (nth > 0)
            fputc(',', report->out);
        if (!cell.is_known)
            continue;
        if (cell.kind == CELL_NUMBER)
            fputs(cell.text, report->out);
        else
            report_put_csv_guarded(report->out, cell.text);
    }
    fputs("\r\n", report->out);
}

static void end(const struct report *report) {
    (void)report;
}

const struct report_format report_csv = {
    .name = "csv", .has_columns = true, .begin = begin, .row = put_row, .end = end};
