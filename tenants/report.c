#include "tenants/report.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "tenants/period.h"

#define NS_PER_SECOND UINT64_C(1000000000)

struct report_format {
    const char *name;
    void (*begin)(struct report *report, time_t generated_at);
    void (*row)(struct report *report, const struct ledger_row *row);
    void (*end)(struct report *report);
};

/* ---- The columns, the same in all formats ---- */

enum column_kind { COLUMN_TEXT, COLUMN_NUMBER };

struct cell {
    enum column_kind kind;
    bool is_known;
    const char *text; /* borrowed from the row or from storage */
    char storage[48];
};

static void set_text(struct cell *cell, const char *text) {
    cell->kind = COLUMN_TEXT;
    cell->is_known = true;
    cell->text = text;
}

static void set_time(struct cell *cell, time_t time) {
    period_format_time(time, cell->storage);
    set_text(cell, cell->storage);
}

static void set_count(struct cell *cell, uint64_t count) {
    cell->kind = COLUMN_NUMBER;
    cell->is_known = true;
    snprintf(cell->storage, sizeof cell->storage, "%" PRIu64, count);
    cell->text = cell->storage;
}

static void set_seconds(struct cell *cell, uint64_t ns, bool is_known) {
    cell->kind = COLUMN_NUMBER;
    cell->is_known = is_known;
    snprintf(cell->storage, sizeof cell->storage, "%" PRIu64 ".%09" PRIu64, ns / NS_PER_SECOND,
             ns % NS_PER_SECOND);
    cell->text = cell->storage;
}

static const char *const METERING_NAMES[] = {
    [METERING_NONE] = "none",
    [METERING_PARTIAL] = "partial",
    [METERING_EXACT] = "exact",
};

static const char *const COLUMNS[] = {
    "tenant",       "period_start",    "period_end", "requests",           "cpu_seconds",
    "wall_seconds", "queue_seconds",   "bytes_in",   "bytes_out",          "errors_5xx",
    "rejected",     "service_seconds", "metering",   "requests_unmetered",
};
enum { COLUMN_COUNT = sizeof COLUMNS / sizeof COLUMNS[0] };

static void fill_cells(struct cell cells[COLUMN_COUNT], const struct ledger_row *row) {
    const uint64_t *values = row->values;
    struct cell *cell = cells;

    set_text(cell++, row->tenant);
    set_time(cell++, row->period_start);
    set_time(cell++, row->period_end);
    set_count(cell++, values[COUNTER_REQUESTS]);
    set_seconds(cell++, values[COUNTER_CPU_NS], row->has_cpu);
    set_seconds(cell++, values[COUNTER_WALL_NS], true);
    set_seconds(cell++, values[COUNTER_QUEUE_NS], true);
    set_count(cell++, values[COUNTER_BYTES_IN]);
    set_count(cell++, values[COUNTER_BYTES_OUT]);
    set_count(cell++, values[COUNTER_ERRORS_5XX]);
    set_count(cell++, values[COUNTER_REJECTED]);
    set_seconds(cell++, row->service_ns, row->has_service);
    set_text(cell++, METERING_NAMES[row->metering]);
    set_count(cell, values[COUNTER_REQUESTS_UNMETERED]);
}

/* ---- CSV: RFC 4180 ---- */

/* A spreadsheet runs a field that begins like this as a formula; a leading quote makes it text. */
static bool is_formula(const char *text) {
    return *text != '\0' && strchr("=+-@\t\r", *text) != NULL;
}

static void put_csv_text(FILE *out, const char *text) {
    const char *guard = is_formula(text) ? "'" : "";

    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(guard, out);
        fputs(text, out);
        return;
    }
    fputc('"', out);
    fputs(guard, out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static void csv_begin(struct report *report, time_t generated_at) {
    (void)generated_at;
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        fprintf(report->out, "%s%s", i > 0 ? "," : "", COLUMNS[i]);
    fputs("\r\n", report->out);
}

static void csv_row(struct report *report, const struct ledger_row *row) {
    struct cell cells[COLUMN_COUNT];

    fill_cells(cells, row);
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        if (i > 0)
            fputc(',', report->out);
        if (cells[i].is_known)
            put_csv_text(report->out, cells[i].text);
    }
    fputs("\r\n", report->out);
}

static void csv_end(struct report *report) {
    (void)report;
}

/* ---- JSON ---- */

/* Not cJSON, which holds a number as a double and the whole document in memory. */
static void put_json_text(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20)
            fprintf(out, "\\u%04x", byte);
        else if (byte == '"' || byte == '\\')
            fprintf(out, "\\%c", byte);
        else
            fputc(byte, out);
    }
    fputc('"', out);
}

static void put_json_cell(FILE *out, const struct cell *cell) {
    if (!cell->is_known)
        fputs("null", out);
    else if (cell->kind == COLUMN_NUMBER)
        fputs(cell->text, out);
    else
        put_json_text(out, cell->text);
}

static void json_begin(struct report *report, time_t generated_at) {
    char time[PERIOD_TIME_BYTES];

    period_format_time(generated_at, time);
    fprintf(report->out, "{\"version\":1,\"generated_at\":\"%s\",\"rows\":[", time);
}

static void json_row(struct report *report, const struct ledger_row *row) {
    struct cell cells[COLUMN_COUNT];

    fill_cells(cells, row);
    fputs(report->has_rows ? ",\n" : "\n", report->out);
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        fprintf(report->out, "%c\"%s\":", i > 0 ? ',' : '{', COLUMNS[i]);
        put_json_cell(report->out, &cells[i]);
    }
    fputc('}', report->out);
}

static void json_end(struct report *report) {
    fputs("\n]}\n", report->out);
}

/* ---- Reports ---- */

static const struct report_format FORMATS[] = {
    {"csv", csv_begin, csv_row, csv_end},
    {"json", json_begin, json_row, json_end},
};

const struct report_format *report_find_format(const char *name) {
    for (size_t i = 0; i < sizeof FORMATS / sizeof FORMATS[0]; i++)
        if (strcmp(FORMATS[i].name, name) == 0)
            return &FORMATS[i];
    return NULL;
}

void report_begin(struct report *report, const struct report_format *format, FILE *out,
                  time_t generated_at) {
    *report = (struct report){.format = format, .out = out};
    format->begin(report, generated_at);
}

int report_row(void *context, const struct ledger_row *row) {
    struct report *report = context;

    report->format->row(report, row);
    report->has_rows = true;
    return ferror(report->out) ? 1 : 0;
}

int report_end(struct report *report, struct error *error) {
    report->format->end(report);
    if (fflush(report->out) == 0 && !ferror(report->out))
        return 0;
    error_set(error, "%s", strerror(errno != 0 ? errno : EIO));
    return -1;
}

/* ---- For people ---- */

/* Three digits of amount / unit: "1.23", "12.3", "123". */
static void format_scaled(uint64_t amount, uint64_t unit, const char *name,
                          char out[REPORT_AMOUNT_BYTES]) {
    uint64_t whole = amount / unit;
    uint64_t thousandths = amount % unit / (unit / 1000);

    if (whole < 10)
        snprintf(out, REPORT_AMOUNT_BYTES, "%" PRIu64 ".%02" PRIu64 " %s", whole, thousandths / 10,
                 name);
    else if (whole < 100)
        snprintf(out, REPORT_AMOUNT_BYTES, "%" PRIu64 ".%" PRIu64 " %s", whole, thousandths / 100,
                 name);
    else
        snprintf(out, REPORT_AMOUNT_BYTES, "%" PRIu64 " %s", whole, name);
}

void report_format_seconds(uint64_t ns, char out[REPORT_AMOUNT_BYTES]) {
    uint64_t minutes = ns / NS_PER_SECOND / 60;

    if (ns == 0)
        snprintf(out, REPORT_AMOUNT_BYTES, "0 s");
    else if (minutes >= 60)
        snprintf(out, REPORT_AMOUNT_BYTES, "%" PRIu64 " h %02" PRIu64 " min", minutes / 60,
                 minutes % 60);
    else if (ns >= NS_PER_SECOND)
        format_scaled(ns, NS_PER_SECOND, "s", out);
    else if (ns >= 1000000)
        format_scaled(ns, 1000000, "ms", out);
    else
        format_scaled(ns, 1000, "us", out);
}

void report_format_bytes(uint64_t bytes, char out[REPORT_AMOUNT_BYTES]) {
    static const char *const names[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    uint64_t unit = 1000;
    size_t i = 0;

    if (bytes < unit) {
        snprintf(out, REPORT_AMOUNT_BYTES, "%" PRIu64 " B", bytes);
        return;
    }
    for (; bytes / unit >= 1000; unit *= 1000)
        i++;
    format_scaled(bytes, unit, names[i], out);
}
