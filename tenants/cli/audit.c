/* fpmuxctl audit: the bill against the kernel. */
#include "tenants/audit.h"

#include <cjson/cJSON.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "tenants/cli/cli.h"
#include "tenants/cli/query.h"

enum { SECONDS_DEFAULT = 10, SECONDS_MAX = 3600, TRIES_MAX = 3 };

static bool take(const struct config *config, struct ledger *ledger, struct audit_look *look,
                 struct error *error) {
    char *dir = config_counters_dir(config);
    bool is_taken =
        ledger_fold(ledger, dir, error) == 0 && audit_take(dir, look, error) == 0 &&
        ledger_cpu_beside(ledger, look->instance, look->hour, &look->commands_ns, error) == 0;

    free(dir);
    return is_taken;
}

static double seconds(int64_t ns) {
    return (double)ns / 1e9;
}

/* Of the kernel's figure, in percent. */
static double share(const struct audit_result *result) {
    return result->kernel_ns == 0 ? 0
                                  : 100 * (double)result->remainder_ns / (double)result->kernel_ns;
}

static void print_line(const char *what, int64_t ns) {
    printf("  %-44s %12.6f s\n", what, seconds(ns));
}

static void print_fpms(const struct audit_look *look) {
    for (size_t i = 0; i < look->fpm_count; i++) {
        const struct audit_fpm *fpm = &look->fpms[i];
        printf("PHP-FPM %d, %zu workers%s%s\n", (int)fpm->master, fpm->workers,
               fpm->has_cgroup ? ", " : "", fpm->has_cgroup ? fpm->cgroup : "");
    }
}

static void print_text(const struct audit_look *look, const struct audit_result *result) {
    print_fpms(look);
    printf("CPU in %.1f s\n", result->seconds);
    print_line(result->has_cgroup ? "the kernel: control group without the master"
                                  : "the kernel: workers, and the master's children",
               (int64_t)result->kernel_ns);
    print_line("charged to tenants", (int64_t)result->charged_ns);
    print_line("charged to (idle)", (int64_t)result->idle_ns);
    print_line("burned, and charged at the next reading", result->pending_ns);
    if (result->has_cgroup)
        print_line("charged by exec and cron", (int64_t)result->commands_ns);
    print_line("remainder", result->remainder_ns);
    printf("  %-44s %12.3f %%\n", "", share(result));
    puts("In the remainder can be: processes that a script left running behind, whom nobody waits\n"
         "for; the last moments of a worker that was killed; steps of 10 ms in which the kernel\n"
         "counts children and processes that ended; CPU of workers that fpmux has not met.");
}

static void print_json(const struct audit_look *look, const struct audit_result *result) {
    const struct {
        const char *key;
        int64_t ns;
    } figures[] = {
        {"kernel_seconds", (int64_t)result->kernel_ns},
        {"tenants_seconds", (int64_t)result->charged_ns},
        {"idle_seconds", (int64_t)result->idle_ns},
        {"pending_seconds", result->pending_ns},
        {"commands_seconds", (int64_t)result->commands_ns},
        {"remainder_seconds", result->remainder_ns},
    };
    cJSON *root = cJSON_CreateObject();

    cJSON_AddNumberToObject(root, "seconds", result->seconds);
    cJSON_AddStringToObject(root, "source", result->has_cgroup ? "cgroup" : "processes");
    cJSON_AddNumberToObject(root, "php_fpms", (double)look->fpm_count);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        cJSON_AddNumberToObject(root, figures[i].key, seconds(figures[i].ns));
    char *text = cJSON_Print(root);
    if (text == NULL)
        abort();
    puts(text);
    cJSON_free(text);
    cJSON_Delete(root);
}

/* EX_OK, EX_TEMPFAIL when the two looks can't be compared, or another code that was told. */
static int audit_once(struct cli *cli, struct ledger *ledger, unsigned wait_seconds) {
    const struct config *config = cli_config(cli);
    const struct timespec wait = {.tv_sec = wait_seconds};
    struct audit_look before = {0};
    struct audit_look after = {0};
    struct audit_result result;
    struct error error;
    int code = EX_OK;

    if (!take(config, ledger, &before, &error) || nanosleep(&wait, NULL) != 0 ||
        !take(config, ledger, &after, &error))
        code = cli_fail(cli, EX_UNAVAILABLE, "%s", error.text);
    else if (!audit_compare(&before, &after, &result))
        code = EX_TEMPFAIL;
    else if (cli_wants_json(cli))
        print_json(&after, &result);
    else
        print_text(&after, &result);
    audit_deinit(&before);
    audit_deinit(&after);
    return code;
}

static bool parse_seconds(const char *text, unsigned *result) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    *result = (unsigned)value;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && value >= 1 && value <= SECONDS_MAX;
}

int verb_audit(struct cli *cli, int argc, char **argv) {
    static const struct option options[] = {{"seconds", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    unsigned wait_seconds = SECONDS_DEFAULT;
    bool is_complete;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 's')
            return cli_usage(cli);
        if (!parse_seconds(optarg, &wait_seconds))
            return cli_fail(cli, EX_USAGE, "--seconds: \"%s\" is no number from 1 to %d", optarg,
                            SECONDS_MAX);
    }
    if (optind < argc)
        return cli_usage(cli);
    struct ledger *ledger = query_open_ledger(cli, &is_complete);
    if (ledger == NULL)
        return EX_UNAVAILABLE;
    int code = EX_TEMPFAIL;
    for (int tries = 0; code == EX_TEMPFAIL && tries < TRIES_MAX; tries++)
        code = audit_once(cli, ledger, wait_seconds);
    ledger_close(ledger);
    if (code == EX_TEMPFAIL)
        cli_fail(cli, code, "the hour, the daemon or PHP-FPM changed each time; try again");
    return code;
}
