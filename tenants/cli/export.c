/* fpmuxctl export: the ledger for programs that make bills. A file (--output) appears whole or not
 * at all: it is written under another name and renamed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "tenants/cli/cli.h"
#include "tenants/cli/pricing.h"
#include "tenants/cli/query.h"
#include "tenants/report.h"

struct export_options {
    struct query_options common;
    struct report_options report;
    const char *output;     /* NULL: standard output */
    const char *rates_path; /* NULL: the usual one */
    struct pricing pricing; /* as far as the format needs it */
};

/* Where the report goes. */
struct output {
    FILE *stream;
    char *temporary; /* owned; NULL: the stream is written in place */
};

/* ---- The options ---- */

static int take_column(const struct cli *cli, struct report_options *report, const char *name) {
    unsigned column = 0;

    while (report_column_names[column] != NULL && strcmp(report_column_names[column], name) != 0)
        column++;
    if (report_column_names[column] == NULL) {
        const char *closest = cli_closest(name, report_column_names);
        return cli_fail(cli, EX_USAGE, "--columns: there is no column \"%s\"%s%s%s", name,
                        closest != NULL ? "; did you mean \"" : "", closest != NULL ? closest : "",
                        closest != NULL ? "\"?" : "");
    }
    if (report->column_count == REPORT_COLUMNS_MAX)
        return cli_fail(cli, EX_USAGE, "--columns: at most %d of them", REPORT_COLUMNS_MAX);
    report->columns[report->column_count++] = column;
    return EX_OK;
}

static int take_columns(const struct cli *cli, struct report_options *report, char *names) {
    int code = EX_OK;

    report->column_count = 0;
    for (char *name; code == EX_OK && (name = strsep(&names, ",")) != NULL;)
        code = take_column(cli, report, name);
    return code;
}

static int take_format(const struct cli *cli, struct report_options *report, const char *name) {
    report->format = report_find_format(name);
    if (report->format != NULL)
        return EX_OK;
    return cli_fail(cli, EX_USAGE, "--format: \"%s\" is none of csv, json, focus, cloudevents",
                    name);
}

static int take_option(const struct cli *cli, struct export_options *options, int code) {
    switch (code) {
    case 'f':
        return take_format(cli, &options->report, optarg);
    case 'c':
        return take_columns(cli, &options->report, optarg);
    case 'o':
        options->output = optarg;
        return EX_OK;
    case 's':
        options->report.source = optarg;
        return EX_OK;
    case PRICING_OPTION_RATES:
        options->rates_path = optarg;
        return EX_OK;
    default:
        return query_take_option(cli, &options->common, code, optarg);
    }
}

static int check_options(struct cli *cli, struct export_options *options) {
    const struct report_options *report = &options->report;

    if (report->column_count > 0 && !report_has_columns(report->format))
        return cli_fail(cli, EX_USAGE, "--columns is for --format csv");
    if (options->rates_path != NULL && !report_has_charges(report->format))
        return cli_fail(cli, EX_USAGE, "--rates is for --format focus and cloudevents");
    return query_finish(cli, &options->common, NULL);
}

static int parse_options(struct cli *cli, struct export_options *options, int argc, char **argv) {
    static const struct option table[] = {{"format", required_argument, NULL, 'f'},
                                          {"output", required_argument, NULL, 'o'},
                                          {"columns", required_argument, NULL, 'c'},
                                          {"source", required_argument, NULL, 's'},
                                          PRICING_OPTION,
                                          QUERY_OPTIONS};
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

/* ---- The output ---- */

/* Pipes and devices are written to; a rename would replace them. */
static bool is_replaceable(const char *path) {
    struct stat status;

    return lstat(path, &status) < 0 || S_ISREG(status.st_mode);
}

static int open_temporary(struct output *output, const char *path) {
    mode_t mask = umask(0);

    umask(mask);
    if (asprintf(&output->temporary, "%s.XXXXXX", path) < 0)
        abort();
    int fd = mkstemp(output->temporary);
    if (fd < 0)
        return -1;
    fchmod(fd, 0666 & ~mask);
    output->stream = fdopen(fd, "w");
    return output->stream != NULL ? 0 : -1;
}

static int open_output(struct output *output, const char *path) {
    *output = (struct output){.stream = stdout};
    if (path == NULL)
        return 0;
    if (is_replaceable(path))
        return open_temporary(output, path);
    output->stream = fopen(path, "we");
    return output->stream != NULL ? 0 : -1;
}

/* Gives the file its name once it is on the disk. */
static int commit_output(struct output *output, const char *path) {
    if (path == NULL)
        return 0;
    if (output->temporary != NULL && fsync(fileno(output->stream)) < 0)
        return -1;
    int result = fclose(output->stream);
    output->stream = NULL;
    if (result == 0 && output->temporary != NULL)
        result = rename(output->temporary, path);
    return result;
}

static void close_output(struct output *output, bool is_committed) {
    if (output->stream != NULL && output->stream != stdout)
        fclose(output->stream);
    if (output->temporary != NULL && !is_committed)
        unlink(output->temporary);
    free(output->temporary);
}

/* ---- The verb ---- */

static int write_report(const struct cli *cli, struct ledger *ledger,
                        const struct export_options *options, FILE *out) {
    struct report report;
    struct error error;

    report_begin(&report, &options->report, out);
    if (ledger_query(ledger, &options->common.query, report_row, &report, &error) < 0)
        return cli_fail(cli, EX_IOERR, "%s", error.text);
    if (report_end(&report, &error) < 0)
        return cli_fail(cli, EX_IOERR, "%s: %s",
                        options->output != NULL ? options->output : "standard output", error.text);
    return EX_OK;
}

static int export_rows(const struct cli *cli, struct ledger *ledger,
                       const struct export_options *options) {
    struct output output;
    bool is_committed = false;
    int code = EX_CANTCREAT;

    if (open_output(&output, options->output) == 0)
        code = write_report(cli, ledger, options, output.stream);
    else
        cli_fail(cli, code, "%s: %s", options->output, strerror(errno));
    if (code == EX_OK) {
        is_committed = commit_output(&output, options->output) == 0;
        if (!is_committed)
            code = cli_fail(cli, EX_IOERR, "%s: %s", options->output, strerror(errno));
    }
    close_output(&output, is_committed);
    return code;
}

/* What the format needs beside the ledger; then the rows. */
static int export_with_registry(struct cli *cli, struct ledger *ledger,
                                struct export_options *options) {
    struct report_options *report = &options->report;
    struct pricing *pricing = &options->pricing;
    int code = EX_OK;

    if (report_has_charges(report->format))
        code = pricing_open(cli, options->rates_path, report_needs_rates(report->format),
                            &options->common, pricing);
    else if (report_wants_names(report))
        code = cli_load_registry(cli, &pricing->registry);
    report->biller = &pricing->biller;
    report->registry = pricing->registry;
    if (code == EX_OK)
        code = export_rows(cli, ledger, options);
    if (code == EX_OK)
        pricing_tell_unmetered(cli, pricing);
    pricing_close(pricing);
    return code;
}

int verb_export(struct cli *cli, int argc, char **argv) {
    struct export_options options = {
        .common = {.query = {.by = LEDGER_BY_MONTH}, .now = time(NULL)},
        .report = {.format = report_find_format(cli_wants_json(cli) ? "json" : "csv"),
                   .source = "/fpmux"},
    };
    options.report.generated_at = options.common.now;
    bool is_complete;
    int code = parse_options(cli, &options, argc, argv);

    if (code != EX_OK)
        return code;
    struct ledger *ledger = query_open_ledger(cli, &is_complete);
    if (ledger == NULL)
        return EX_UNAVAILABLE;
    query_tell_deleted(ledger, &options.common);
    code = export_with_registry(cli, ledger, &options);
    ledger_close(ledger);
    if (code == EX_OK && options.common.is_strict && !is_complete)
        return EX_TEMPFAIL;
    return code;
}
