#include "tenants/report_columns.h"

#include <string.h>

#include "tenants/decimal.h"
#include "tenants/period.h"

enum { NS_DECIMALS = 9 };

enum column {
    COLUMN_TENANT,
    COLUMN_PERIOD_START,
    COLUMN_PERIOD_END,
    COLUMN_REQUESTS,
    COLUMN_CPU,
    COLUMN_WALL,
    COLUMN_QUEUE,
    COLUMN_BYTES_IN,
    COLUMN_BYTES_OUT,
    COLUMN_ERRORS,
    COLUMN_REJECTED,
    COLUMN_SERVICE,
    COLUMN_METERING,
    COLUMN_UNMETERED,
    USUAL_COLUMNS,
    COLUMN_NAME = USUAL_COLUMNS,
    COLUMN_COUNT
};

const char *const report_column_names[COLUMN_COUNT + 1] = {
    [COLUMN_TENANT] = "tenant",
    [COLUMN_PERIOD_START] = "period_start",
    [COLUMN_PERIOD_END] = "period_end",
    [COLUMN_REQUESTS] = "requests",
    [COLUMN_CPU] = "cpu_seconds",
    [COLUMN_WALL] = "wall_seconds",
    [COLUMN_QUEUE] = "queue_seconds",
    [COLUMN_BYTES_IN] = "bytes_in",
    [COLUMN_BYTES_OUT] = "bytes_out",
    [COLUMN_ERRORS] = "errors_5xx",
    [COLUMN_REJECTED] = "rejected",
    [COLUMN_SERVICE] = "service_seconds",
    [COLUMN_METERING] = "metering",
    [COLUMN_UNMETERED] = "requests_unmetered",
    [COLUMN_NAME] = "name",
};

const char *report_metering_name(enum metering metering) {
    static const char *const names[] = {
        [METERING_NONE] = "none",
        [METERING_PARTIAL] = "partial",
        [METERING_EXACT] = "exact",
    };

    return names[metering];
}

size_t report_column_count(const struct report_options *options) {
    return options->column_count > 0 ? options->column_count : USUAL_COLUMNS;
}

unsigned report_column_at(const struct report_options *options, size_t nth) {
    return options->column_count > 0 ? options->columns[nth] : (unsigned)nth;
}

bool report_wants_names(const struct report_options *options) {
    for (size_t nth = 0; nth < options->column_count; nth++)
        if (options->columns[nth] == COLUMN_NAME)
            return true;
    return false;
}

/* ---- Cells ---- */

static void set_text(struct cell *cell, const char *text) {
    cell->kind = CELL_TEXT;
    cell->is_known = text != NULL;
    cell->text = text;
}

static void set_time(struct cell *cell, time_t time) {
    period_format_time(time, cell->storage);
    set_text(cell, cell->storage);
}

static void set_count(struct cell *cell, uint64_t count) {
    cell->kind = CELL_NUMBER;
    cell->is_known = true;
    decimal_format(count, 0, cell->storage);
    cell->text = cell->storage;
}

static void set_seconds(struct cell *cell, uint64_t ns, bool is_known) {
    cell->kind = CELL_NUMBER;
    cell->is_known = is_known;
    decimal_format(ns, NS_DECIMALS, cell->storage);
    cell->text = cell->storage;
}

static const char *name_of(const struct registry *registry, const char *id) {
    const struct tenant *tenant = registry != NULL ? registry_find(registry, id, strlen(id)) : NULL;

    return tenant != NULL ? tenant->name : NULL;
}

void report_fill_cell(struct cell *cell, const struct report_options *options, unsigned column,
                      const struct ledger_row *row) {
    const uint64_t *values = row->values;

    switch ((enum column)column) {
    case COLUMN_TENANT:
        set_text(cell, row->tenant);
        break;
    case COLUMN_PERIOD_START:
        set_time(cell, row->period_start);
        break;
    case COLUMN_PERIOD_END:
        set_time(cell, row->period_end);
        break;
    case COLUMN_REQUESTS:
        set_count(cell, values[COUNTER_REQUESTS]);
        break;
    case COLUMN_CPU:
        set_seconds(cell, values[COUNTER_CPU_NS], row->has_cpu);
        break;
    case COLUMN_WALL:
        set_seconds(cell, values[COUNTER_WALL_NS], true);
        break;
    case COLUMN_QUEUE:
        set_seconds(cell, values[COUNTER_QUEUE_NS], true);
        break;
    case COLUMN_BYTES_IN:
        set_count(cell, values[COUNTER_BYTES_IN]);
        break;
    case COLUMN_BYTES_OUT:
        set_count(cell, values[COUNTER_BYTES_OUT]);
        break;
    case COLUMN_ERRORS:
        set_count(cell, values[COUNTER_ERRORS_5XX]);
        break;
    case COLUMN_REJECTED:
        set_count(cell, values[COUNTER_REJECTED]);
        break;
    case COLUMN_SERVICE:
        set_seconds(cell, row->service_ns, row->has_service);
        break;
    case COLUMN_METERING:
        set_text(cell, report_metering_name(row->metering));
        break;
    case COLUMN_UNMETERED:
        set_count(cell, values[COUNTER_REQUESTS_UNMETERED]);
        break;
    case COLUMN_NAME:
        set_text(cell, name_of(options->registry, row->tenant));
        break;
    case COLUMN_COUNT:
        break;
    }
}
