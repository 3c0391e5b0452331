/* fpmuxctl ledger: copies of the ledger, checks, putting those of several hosts together, and
 * letting go of what is old. */
#include <cjson/cJSON.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "tenants/cli/cli.h"
#include "tenants/cli/query.h"
#include "tenants/ledger_care.h"
#include "tenants/period.h"

#define CLEAR_LINE "\r\033[K"

/* ---- What the verbs share ---- */

static void print_step(void *context, int64_t done, int64_t total) {
    if (total > 0)
        fprintf(stderr, CLEAR_LINE "%s: %d %%", (const char *)context, (int)(done * 100 / total));
    if (done >= total)
        fputs(CLEAR_LINE, stderr);
    fflush(stderr);
}

/* NULL where nobody looks. */
static const struct ledger_progress *progress_of(struct ledger_progress *progress, char *what) {
    *progress = (struct ledger_progress){.on_step = print_step, .context = what};
    return isatty(STDERR_FILENO) ? progress : NULL;
}

static const char *database_of(const struct config *config) {
    return strchr(config->ledger, ':') + 1;
}

/* The ledger of the configuration. NULL: it can't be opened, which was told. */
static struct ledger *open_ledger(struct cli *cli) {
    struct error error;
    struct ledger *ledger = ledger_open(cli_config(cli)->ledger, &error);

    if (ledger == NULL)
        cli_fail(cli, EX_UNAVAILABLE, "%s", error.text);
    return ledger;
}

/* ---- backup ---- */

static int back_up(struct cli *cli, const char *path, bool may_replace) {
    bool is_complete;
    struct ledger *ledger = query_open_ledger(cli, &is_complete);
    struct ledger_progress progress;
    struct error error;

    if (ledger == NULL)
        return EX_UNAVAILABLE;
    int result = ledger_backup(ledger, path, may_replace, progress_of(&progress, "backup"), &error);
    ledger_close(ledger);
    if (result > 0)
        return cli_fail(cli, EX_CANTCREAT, "%s; --force replaces it", error.text);
    if (result < 0)
        return cli_fail(cli, EX_IOERR, "%s", error.text);
    return is_complete ? EX_OK : EX_TEMPFAIL;
}

static int run_backup(struct cli *cli, int argc, char **argv) {
    static const struct option table[] = {{"force", no_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
    bool may_replace = false;
    int code;

    while ((code = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (code != 'f')
            return cli_usage(cli);
        may_replace = true;
    }
    if (optind + 1 != argc)
        return cli_usage(cli);
    return back_up(cli, argv[optind], may_replace);
}

/* ---- verify ---- */

static void print_finding(void *context, const struct ledger_finding *finding) {
    (void)context;
    printf("%-6s %s%s%s\n", finding->is_wrong ? "WRONG" : "ok", finding->checked,
           finding->found[0] != '\0' ? ": " : "", finding->found);
    if (finding->is_wrong)
        printf("       to mend it: %s\n", finding->mend);
}

static void collect_finding(void *context, const struct ledger_finding *finding) {
    cJSON *item = cJSON_CreateObject();

    cJSON_AddStringToObject(item, "checked", finding->checked);
    cJSON_AddBoolToObject(item, "ok", !finding->is_wrong);
    cJSON_AddStringToObject(item, "found", finding->found);
    cJSON_AddStringToObject(item, "mend", finding->mend);
    cJSON_AddItemToArray(context, item);
}

static unsigned verify_as_json(const char *path, const char *counters_dir) {
    cJSON *findings = cJSON_CreateArray();
    unsigned wrong = ledger_verify(path, counters_dir, time(NULL), collect_finding, findings);
    char *text = cJSON_Print(findings);

    if (text == NULL)
        abort();
    puts(text);
    cJSON_free(text);
    cJSON_Delete(findings);
    return wrong;
}

static int run_verify(struct cli *cli, int argc, char **argv) {
    static const struct option table[] = {{NULL, 0, NULL, 0}};
    char *counters_dir = NULL;
    const char *path;

    if (getopt_long(argc, argv, "", table, NULL) != -1 || argc - optind > 1)
        return cli_usage(cli);
    if (optind < argc) {
        path = argv[optind];
    } else {
        path = database_of(cli_config(cli));
        counters_dir = config_counters_dir(cli_config(cli));
    }
    unsigned wrong = cli_wants_json(cli)
                         ? verify_as_json(path, counters_dir)
                         : ledger_verify(path, counters_dir, time(NULL), print_finding, NULL);
    free(counters_dir);
    return wrong > 0 ? EX_DATAERR : EX_OK;
}

/* ---- merge ---- */

static void keep_first_wrong(void *context, const struct ledger_finding *finding) {
    char *first = context;

    if (finding->is_wrong && first[0] == '\0')
        snprintf(first, sizeof(struct error), "%s: %s", finding->checked, finding->found);
}

/* A damaged file is not merged: what is wrong in it would be in the bills for good. */
static int merge_file(const struct cli *cli, struct ledger *ledger, const char *path) {
    struct ledger_merged merged;
    struct error error = {""};
    char before[PERIOD_TIME_BYTES];

    if (ledger_verify(path, NULL, time(NULL), keep_first_wrong, error.text) > 0)
        return cli_fail(cli, EX_DATAERR, "%s: not merged: %s (fpmuxctl ledger verify says more)",
                        path, error.text);
    if (ledger_merge(ledger, path, &merged, &error) < 0)
        return cli_fail(cli, EX_DATAERR, "%s", error.text);
    printf("%s: %" PRIu64 " rows and %" PRIu64 " runs of containers taken in\n", path, merged.rows,
           merged.runs);
    if (merged.deleted_before == 0)
        return EX_OK;
    period_format_time(merged.deleted_before, before);
    fprintf(stderr, "%s: what was used before %s had been deleted from it\n", path, before);
    return EX_OK;
}

static int run_merge(struct cli *cli, int argc, char **argv) {
    static const struct option table[] = {{NULL, 0, NULL, 0}};
    int code = EX_OK;

    if (getopt_long(argc, argv, "", table, NULL) != -1 || optind == argc)
        return cli_usage(cli);
    struct ledger *ledger = open_ledger(cli);
    if (ledger == NULL)
        return EX_UNAVAILABLE;
    for (int i = optind; i < argc; i++) {
        int result = merge_file(cli, ledger, argv[i]);
        code = code == EX_OK ? result : code;
    }
    ledger_close(ledger);
    return code;
}

/* ---- prune ---- */

struct prune_options {
    const char *before, *tz;
    struct ledger_prune prune;
    bool is_forced;
    bool has_vacuum;
};

static int parse_prune(const struct cli *cli, struct prune_options *options, int argc,
                       char **argv) {
    static const struct option table[] = {{"before", required_argument, NULL, 'b'},
                                          {"sum-to-days", no_argument, NULL, 's'},
                                          {"tz", required_argument, NULL, 't'},
                                          {"dry-run", no_argument, NULL, 'n'},
                                          {"force", no_argument, NULL, 'f'},
                                          {"vacuum", no_argument, NULL, 'v'},
                                          {NULL, 0, NULL, 0}};
    int code;

    while ((code = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (code == '?')
            return cli_usage(cli);
        if (code == 'b')
            options->before = optarg;
        if (code == 't')
            options->tz = optarg;
        options->prune.sums_to_days |= code == 's';
        options->prune.is_dry_run |= code == 'n';
        options->is_forced |= code == 'f';
        options->has_vacuum |= code == 'v';
    }
    return optind == argc && options->before != NULL ? EX_OK : cli_usage(cli);
}

/* Whole days only, and not of the running month unless it is meant. */
static int check_prune(struct cli *cli, struct prune_options *options) {
    struct ledger_prune *prune = &options->prune;
    time_t now = time(NULL);
    struct error error;
    int code = query_enter_zone(cli, options->tz, &prune->zone);

    if (code != EX_OK)
        return code;
    prune->zone_name = options->tz != NULL ? options->tz : cli_config(cli)->timezone;
    if (!period_parse_time(options->before, prune->zone, &prune->before, &error))
        return cli_fail(cli, EX_USAGE, "--before: %s", error.text);
    if (period_around(LEDGER_BY_DAY, prune->zone, prune->before).from != prune->before)
        return cli_fail(cli, EX_USAGE, "--before: \"%s\" is not the beginning of a day in %s",
                        options->before, prune->zone_name);
    if (prune->before > now)
        return cli_fail(cli, EX_USAGE, "--before: \"%s\" is to come", options->before);
    if (prune->before > period_around(LEDGER_BY_MONTH, prune->zone, now).from &&
        !options->is_forced)
        return cli_fail(cli, EX_USAGE,
                        "--before: the running month is not pruned: its bill is still to come; "
                        "--force does it all the same");
    return EX_OK;
}

static void print_pruned(const struct prune_options *options, const struct ledger_pruned *pruned) {
    const char *would = options->prune.is_dry_run ? "would be " : "";

    if (options->prune.sums_to_days)
        printf("%" PRIu64 " hourly rows %ssummed up", pruned->rows, would);
    else
        printf("%" PRIu64 " rows %sdeleted", pruned->rows, would);
    if (pruned->sums > 0)
        printf(", %" PRIu64 " rows stand for them", pruned->sums);
    if (pruned->runs > 0)
        printf(", and %" PRIu64 " runs of containers", pruned->runs);
    putchar('\n');
    if (pruned->left > 0)
        printf("%" PRIu64 " hourly rows stay: they are of hours that were never taken in to their "
               "end\n",
               pruned->left);
}

static int prune(const struct cli *cli, struct ledger *ledger,
                 const struct prune_options *options) {
    struct ledger_progress progress;
    struct ledger_pruned pruned;
    struct error error;

    if (ledger_prune(ledger, &options->prune, progress_of(&progress, "prune"), &pruned, &error) < 0)
        return cli_fail(cli, EX_IOERR, "%s", error.text);
    print_pruned(options, &pruned);
    if (!options->has_vacuum || options->prune.is_dry_run)
        return EX_OK;
    if (ledger_vacuum(ledger, &error) < 0)
        return cli_fail(cli, EX_IOERR, "--vacuum: %s", error.text);
    return EX_OK;
}

static int run_prune(struct cli *cli, int argc, char **argv) {
    struct prune_options options = {0};
    int code = parse_prune(cli, &options, argc, argv);

    if (code == EX_OK)
        code = check_prune(cli, &options);
    if (code != EX_OK)
        return code;
    struct ledger *ledger = open_ledger(cli);
    if (ledger == NULL)
        return EX_UNAVAILABLE;
    code = prune(cli, ledger, &options);
    ledger_close(ledger);
    return code;
}

/* ---- The verb ---- */

int verb_ledger(struct cli *cli, int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(struct cli *cli, int argc, char **argv);
    } verbs[] = {
        {"backup", run_backup}, {"verify", run_verify}, {"merge", run_merge}, {"prune", run_prune}};
    static const char *const names[] = {"backup", "verify", "merge", "prune", NULL};

    if (argc < 2)
        return cli_usage(cli);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(cli, argc - 1, argv + 1);
    const char *closest = cli_closest(argv[1], names);
    return cli_fail(cli, EX_USAGE, "no \"ledger %s\": %s%s%s", argv[1],
                    closest != NULL ? "did you mean \"" : "see fpmuxctl ledger --help",
                    closest != NULL ? closest : "", closest != NULL ? "\"?" : "");
}
