#include "tenants/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio_ext.h>
#include <string.h>

#include "tenants/report_format.h"

#define NS_PER_SECOND UINT64_C(1000000000)

static const struct report_format *const formats[] = {
    &report_csv,
    &report_json,
    &report_focus,
    &report_cloudevents,
};

const struct report_format *report_find_format(const char *name) {
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i]->name, name) == 0)
            return formats[i];
    return NULL;
}

bool report_has_charges(const struct report_format *format) {
    return format->bill != NULL;
}

bool report_needs_rates(const struct report_format *format) {
    return format->needs_rates;
}

bool report_has_columns(const struct report_format *format) {
    return format->has_columns;
}

void report_begin(struct report *report, const struct report_options *options, FILE *out) {
    *report = (struct report){.options = options, .out = out};
    __fsetlocking(out, FSETLOCKING_BYCALLER); /* one thread writes it, a few bytes at a time */
    options->format->begin(report);
}

static void put_bill(const struct report *report, const struct ledger_row *row) {
    struct bill bill;

    if (biller_take(report->options->biller, row, &bill))
        report->options->format->bill(report, &bill);
}

int report_row(void *context, const struct ledger_row *row) {
    struct report *report = context;

    if (report_has_charges(report->options->format))
        put_bill(report, row);
    else
        report->options->format->row(report, row);
    report->has_rows = true;
    return ferror(report->out) ? 1 : 0;
}

int report_end(struct report *report, struct error *error) {
    report->options->format->end(report);
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
