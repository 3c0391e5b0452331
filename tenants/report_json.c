/* Rows of usage as one JSON object. */
#include "tenants/period.h"
#include "tenants/report_columns.h"
#include "tenants/report_format.h"
#include "tenants/report_text.h"

static void begin(const struct report *report) {
    char time[PERIOD_TIME_BYTES];

    period_format_time(report->options->generated_at, time);
    fprintf(report->out, "{\"version\":1,\"generated_at\":\"%s\",\"rows\":[", time);
}

static void put_cell(FILE *out, const struct cell *cell) {
    if (!cell->is_known)
        fputs("null", out);
    else if (cell->kind == CELL_NUMBER)
        fputs(cell->text, out);
    else
        report_put_json(out, cell->text);
}

static void put_row(const struct report *report, const struct ledger_row *row) {
    size_t count = report_column_count(report->options);

    fputs(report->has_rows ? ",\n" : "\n", report->out);
    for (size_t nth = 0; nth < count; nth++) {
        unsigned column = report_column_at(report->options, nth);
        struct cell cell;
        report_fill_cell(&cell, report->options, column, row);
        fprintf(report->out, "%c\"%s\":", nth > 0 ? ',' : '{', report_column_names[column]);
        put_cell(report->out, &cell);
    }
    fputc('}', report->out);
}

static void end(const struct report *report) {
    fputs("\n]}\n", report->out);
}

const struct report_format report_json = {
    .name = "json", .begin = begin, .row = put_row, .end = end};
