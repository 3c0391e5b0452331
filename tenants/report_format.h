/* What a format of reports is made of; for report*.c only. */
#ifndef FPMUX_TENANTS_REPORT_FORMAT_H
#define FPMUX_TENANTS_REPORT_FORMAT_H

#include "tenants/report.h"

struct report_format {
    const char *name;
    bool has_columns; /* they may be chosen */
    bool needs_rates;
    void (*begin)(const struct report *report);
    void (*row)(const struct report *report, const struct ledger_row *row); /* one of these … */
    void (*bill)(const struct report *report, const struct bill *bill);     /* … two, else NULL */
    void (*end)(const struct report *report);
};

extern const struct report_format report_csv;
extern const struct report_format report_json;
extern const struct report_format report_focus;
extern const struct report_format report_cloudevents;

#endif
