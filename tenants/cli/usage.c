/* fpmuxctl usage: what the organisations used, as a table for people; --json is what export
 * writes. With --bill: what they have to pay for it. */
#include <errno.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "tenants/cli/bill.h"
#include "tenants/cli/cli.h"
#include "tenants/cli/pricing.h"
#include "tenants/cli/query.h"
#include "tenants/period.h"
#include "tenants/report.h"

enum {
    COLUMN_TENANT,
    COLUMN_PERIOD,
    COLUMN_REQUESTS,
    COLUMN_CPU,
    COLUMN_WALL,
    COLUMN_QUEUED,
    COLUMN_IN,
    COLUMN_OUT,
    COLUMN_ERRORS,
    COLUMN_REJECTED,
    COLUMN_SERVICE,
    COLUMN_METERING,
    COLUMN_COUNT
};

static const char *const TITLES[COLUMN_COUNT] = {
    "TENANT", "PERIOD", "REQUESTS", "CPU",      "WALL",    "QUEUED",
    "IN",     "OUT",    "5XX",      "REJECTED", "SERVICE", "METERING",
};

struct usage_options {
    struct query_options common;
    bool wants_bill;
    const char *rates_path; /* NULL: the usual one */
};

struct table {
    struct libscols_table *lines;
    const struct ledger_query *query;
    struct ledger_row total;
    bool has_unknown; /* some row's CPU is not wholly known */
    size_t row_count;
};

static void require(int result) {
    if (result == 0)
        return;
    fprintf(stderr, "fpmuxctl: table: %s\n", strerror(-result));
    exit(EX_OSERR);
}

static void table_init(struct table *table, const struct ledger_query *query) {
    *table =
        (struct table){.lines = scols_new_table(), .query = query, .total = {.tenant = "total"}};
    require(table->lines == NULL ? -ENOMEM : 0);
    scols_table_set_termforce(table->lines,
                              isatty(STDOUT_FILENO) ? SCOLS_TERMFORCE_AUTO : SCOLS_TERMFORCE_NEVER);
    for (int i = 0; i < COLUMN_COUNT; i++) {
        bool is_text = i == COLUMN_TENANT || i == COLUMN_PERIOD || i == COLUMN_METERING;
        struct libscols_column *column =
            scols_table_new_column(table->lines, TITLES[i], 0, is_text ? 0 : SCOLS_FL_RIGHT);
        require(column == NULL ? -ENOMEM : 0);
    }
}

/* "2026-11", "2026-11-22", "2026-11-22 14:00"; a cut or free period with both its ends. */
static void format_period(const struct ledger_row *row, const struct ledger_query *query, char *out,
                          size_t room) {
    static const size_t lengths[] = {
        [LEDGER_BY_HOUR] = PERIOD_CLOCK_BYTES, [LEDGER_BY_DAY] = 10, [LEDGER_BY_MONTH] = 7};
    struct period whole = period_around(query->by, query->zone, row->period_start);
    char start[PERIOD_CLOCK_BYTES], end[PERIOD_CLOCK_BYTES];

    period_format_clock(row->period_start, query->zone, start);
    period_format_clock(row->period_end, query->zone, end);
    if (whole.from == row->period_start && whole.to == row->period_end &&
        query->by != LEDGER_BY_ALL)
        snprintf(out, room, "%.*s", (int)lengths[query->by], start);
    else
        snprintf(out, room, "%s to %s", start, end);
}

static void set_count(struct libscols_line *line, size_t column, uint64_t count) {
    char text[REPORT_AMOUNT_BYTES];

    snprintf(text, sizeof text, "%" PRIu64, count);
    require(scols_line_set_data(line, column, text));
}

static void set_seconds(struct libscols_line *line, size_t column, uint64_t ns) {
    char text[REPORT_AMOUNT_BYTES];

    report_format_seconds(ns, text);
    require(scols_line_set_data(line, column, text));
}

static void set_bytes(struct libscols_line *line, size_t column, uint64_t bytes) {
    char text[REPORT_AMOUNT_BYTES];

    report_format_bytes(bytes, text);
    require(scols_line_set_data(line, column, text));
}

/* "exact", "none", or how many requests the CPU figure leaves out. */
static void set_metering(struct libscols_line *line, const struct ledger_row *row) {
    char text[64];

    snprintf(text, sizeof text, "%s", row->metering == METERING_NONE ? "none" : "exact");
    if (row->metering == METERING_PARTIAL)
        snprintf(text, sizeof text, "partial (%" PRIu64 " not metered)",
                 row->values[COUNTER_REQUESTS_UNMETERED]);
    require(scols_line_set_data(line, COLUMN_METERING, text));
}

static void add_line(struct table *table, const struct ledger_row *row, const char *period) {
    struct libscols_line *line = scols_table_new_line(table->lines, NULL);
    const uint64_t *values = row->values;

    require(line == NULL ? -ENOMEM : 0);
    require(scols_line_set_data(line, COLUMN_TENANT, row->tenant));
    require(scols_line_set_data(line, COLUMN_PERIOD, period));
    set_count(line, COLUMN_REQUESTS, values[COUNTER_REQUESTS]);
    if (row->has_cpu)
        set_seconds(line, COLUMN_CPU, values[COUNTER_CPU_NS]);
    else
        require(scols_line_set_data(line, COLUMN_CPU, "unknown"));
    set_seconds(line, COLUMN_WALL, values[COUNTER_WALL_NS]);
    set_seconds(line, COLUMN_QUEUED, values[COUNTER_QUEUE_NS]);
    set_bytes(line, COLUMN_IN, values[COUNTER_BYTES_IN]);
    set_bytes(line, COLUMN_OUT, values[COUNTER_BYTES_OUT]);
    set_count(line, COLUMN_ERRORS, values[COUNTER_ERRORS_5XX]);
    set_count(line, COLUMN_REJECTED, values[COUNTER_REJECTED]);
    if (row->has_service)
        set_seconds(line, COLUMN_SERVICE, row->service_ns);
    set_metering(line, row);
}

static int visit_row(void *context, const struct ledger_row *row) {
    struct table *table = context;
    char period[64];

    format_period(row, table->query, period, sizeof period);
    add_line(table, row, period);
    for (int i = 0; i < COUNTER_COUNT; i++)
        table->total.values[i] += row->values[i];
    table->total.has_cpu = table->total.has_cpu || row->has_cpu;
    table->total.has_service = table->total.has_service || row->has_service;
    table->total.service_ns += row->service_ns;
    table->has_unknown = table->has_unknown || row->metering != METERING_EXACT;
    table->row_count++;
    return 0;
}

static void add_total(struct table *table) {
    table->total.metering = METERING_EXACT;
    if (table->has_unknown)
        table->total.metering = table->total.has_cpu ? METERING_PARTIAL : METERING_NONE;
    add_line(table, &table->total, "");
}

/* Where nothing runs in containers, nothing is said of them. */
static void hide_service(struct table *table) {
    struct libscols_column *column = scols_table_get_column(table->lines, COLUMN_SERVICE);

    require(scols_column_set_flags(column, SCOLS_FL_HIDDEN));
}

static int print_table(const struct cli *cli, struct ledger *ledger,
                       const struct query_options *options) {
    struct table table;
    struct error error;
    int code = EX_OK;

    table_init(&table, &options->query);
    if (ledger_query(ledger, &options->query, visit_row, &table, &error) < 0)
        code = cli_fail(cli, EX_IOERR, "%s", error.text);
    else if (table.row_count == 0)
        fprintf(stderr, "Nothing was used in that time.\n");
    else {
        add_total(&table);
        if (!table.total.has_service)
            hide_service(&table);
        require(scols_print_table(table.lines));
    }
    scols_unref_table(table.lines);
    return code;
}

static int print_json(const struct cli *cli, struct ledger *ledger,
                      const struct query_options *options) {
    struct report_options format = {.format = report_find_format("json"),
                                    .generated_at = options->now};
    struct report report;
    struct error error;

    report_begin(&report, &format, stdout);
    if (ledger_query(ledger, &options->query, report_row, &report, &error) < 0 ||
        report_end(&report, &error) < 0)
        return cli_fail(cli, EX_IOERR, "%s", error.text);
    return EX_OK;
}

/* ---- The verb ---- */

static int take_option(const struct cli *cli, struct usage_options *options, int code) {
    if (code == 'b')
        options->wants_bill = true;
    else if (code == PRICING_OPTION_RATES)
        options->rates_path = optarg;
    else
        return query_take_option(cli, &options->common, code, optarg);
    return EX_OK;
}

static int check_options(struct cli *cli, struct usage_options *options) {
    if (options->rates_path != NULL && !options->wants_bill)
        return cli_fail(cli, EX_USAGE, "--rates is for --bill");
    if (options->wants_bill && options->common.query.by != LEDGER_BY_MONTH)
        return cli_fail(cli, EX_USAGE, "--bill is by month; see export --format focus");
    return query_finish(cli, &options->common, "month");
}

static int parse_options(struct cli *cli, struct usage_options *options, int argc, char **argv) {
    static const struct option table[] = {
        {"bill", no_argument, NULL, 'b'}, PRICING_OPTION, QUERY_OPTIONS};
    int code;

    while ((code = getopt_long(argc, argv, "", table, NULL)) != -1) {
        int result = take_option(cli, options, code);
        if (result != EX_OK)
            return result;
    }
    if (optind < argc)
        return cli_fail(cli, EX_USAGE, "what is \"%s\"?", argv[optind]);
    return check_options(cli, options);
}

static int print_bills(struct cli *cli, struct ledger *ledger, struct usage_options *options) {
    struct pricing pricing;
    int code = pricing_open(cli, options->rates_path, true, &options->common, &pricing);

    if (code == EX_OK)
        code = bill_print(cli, ledger, &options->common, &pricing);
    pricing_close(&pricing);
    return code;
}

int verb_usage(struct cli *cli, int argc, char **argv) {
    struct usage_options options = {
        .common = {.query = {.by = LEDGER_BY_MONTH}, .now = time(NULL)}};
    bool is_complete;
    int code = parse_options(cli, &options, argc, argv);

    if (code != EX_OK)
        return code;
    struct ledger *ledger = query_open_ledger(cli, &is_complete);
    if (ledger == NULL)
        return EX_UNAVAILABLE;
    query_tell_deleted(ledger, &options.common);
    if (options.wants_bill)
        code = print_bills(cli, ledger, &options);
    else
        code = cli_wants_json(cli) ? print_json(cli, ledger, &options.common)
                                   : print_table(cli, ledger, &options.common);
    ledger_close(ledger);
    if (code == EX_OK && options.common.is_strict && !is_complete)
        return EX_TEMPFAIL;
    return code;
}
