/* fpmuxctl up and down: make it so, and take it away. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "tenants/cli/cli.h"
#include "tenants/cli/dock.h"
#include "tenants/cli/progress.h"
#include "tenants/cli/service_book.h"
#include "tenants/containers/apply.h"
#include "tenants/containers/hosts.h"
#include "tenants/containers/rollout.h"
#include "tenants/containers_config.h"

struct run {
    struct dock *dock;
    struct progress progress;
    struct service_book book;
};

static const char *const done_words[CHANGE_KINDS] = {
    [CHANGE_CREATE] = "created",  [CHANGE_REPLACE] = "replaced", [CHANGE_START] = "started",
    [CHANGE_FINISH] = "finished", [CHANGE_REMOVE] = "removed",
};

static void on_step(void *context, const struct change *change, enum rollout_step step,
                    const struct error *error) {
    struct run *run = context;
    char title[CHANGE_TITLE_BYTES];

    change_title(change->role, change->unit, title);
    if (step == ROLLOUT_BEGUN)
        progress_start(&run->progress, title);
    else
        progress_finish(&run->progress, title, done_words[change->kind],
                        error != NULL ? error->text : NULL);
}

static void on_stopped(void *context, const cJSON *inspect) {
    struct run *run = context;

    service_book_note(&run->book, inspect);
}

/* What is left to say after the work. */
static int conclude(const struct dock *dock, const struct rollout_result *result,
                    const struct error *error) {
    if (result->is_unreachable)
        return cli_fail(dock->cli, EX_UNAVAILABLE, "%s (%zu done, %zu left to do: run it again)",
                        error->text, result->done, result->failed + result->not_tried);
    if (atomic_load(dock->stop))
        return cli_fail(dock->cli, EX_INTERRUPTED,
                        "interrupted: %zu done, %zu left to do; run it again to go on",
                        result->done, result->failed + result->not_tried);
    if (result->failed > 0)
        return cli_fail(dock->cli, EX_SOME_FAILED, "%zu done, %zu failed, %zu not tried",
                        result->done, result->failed, result->not_tried);
    return EX_OK;
}

static int carry_out(struct dock *dock, const struct plan *plan) {
    struct run run = {.dock = dock};
    const struct rollout rollout = {.config = dock->config,
                                    .stop = dock->stop,
                                    .waits = true,
                                    .on_step = on_step,
                                    .on_stopped = on_stopped,
                                    .context = &run};
    struct error error;

    service_book_open(&run.book, dock->config);
    progress_begin(&run.progress, "containers", plan->count);
    struct rollout_result result = rollout_run(&rollout, plan, &error);
    progress_end(&run.progress);
    service_book_close(&run.book);
    return conclude(dock, &result, &error);
}

static int with_networks(struct dock *dock,
                         enum engine_result (*act)(const struct apply *, struct error *)) {
    const struct apply apply = {.config = dock->config, .engine = dock->engine, .stop = dock->stop};
    struct error error;
    enum engine_result result = act(&apply, &error);

    return result == ENGINE_OK ? EX_OK : dock_fail(dock, result, &error);
}

static int bring_up(struct dock *dock) {
    struct survey survey;
    struct error error;

    if (!survey_check_directories(dock->config, &error))
        return cli_fail(dock->cli, EX_CONFIG, "%s", error.text);
    int code = with_networks(dock, apply_networks);
    if (code == EX_OK && hosts_publish(dock->config, dock->registry, &error) < 0)
        code = cli_fail(dock->cli, EX_CANTCREAT, "%s", error.text);
    if (code == EX_OK)
        code = dock_survey(dock, &survey);
    if (code != EX_OK)
        return code;
    size_t unchanged = survey.plan.unchanged;
    size_t count = survey.plan.count;
    code = carry_out(dock, &survey.plan);
    if (code == EX_OK) {
        printf("%zu changed, %zu were as they should be\n", count, unchanged);
        int restarting = dock_tell_restarting(dock, &survey);
        int unclear = dock_tell_unclear(dock);
        code = unclear != EX_OK ? unclear : restarting;
    }
    survey_deinit(&survey);
    return code;
}

int verb_up(struct cli *cli, int argc, char **argv) {
    static const struct option options[] = {{"tenants", no_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    struct dock dock;
    bool is_tenants_only = false;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 't')
            return cli_usage(cli);
        is_tenants_only = true;
    }
    int code = dock_open(&dock, cli, (const char *const *)argv + optind);
    dock.scope.is_tenants_only = is_tenants_only;
    if (code == EX_OK)
        code = dock_take_lock(&dock);
    if (code == EX_OK)
        code = bring_up(&dock);
    dock_close(&dock);
    return code;
}

static int take_down(struct dock *dock) {
    struct actual_set actual;
    struct error error;
    struct plan plan;
    enum engine_result result =
        actual_load(&actual, dock->engine, dock->config->containers->name, &error);

    if (result != ENGINE_OK)
        return dock_fail(dock, result, &error);
    plan_make_removal(&plan, &actual, &dock->scope);
    size_t count = plan.count;
    int code = carry_out(dock, &plan);
    plan_deinit(&plan);
    actual_deinit(&actual);
    if (code == EX_OK && dock->scope.count == 0)
        code = with_networks(dock, apply_remove_networks);
    if (code == EX_OK)
        printf("%zu removed\n", count);
    return code;
}

int verb_down(struct cli *cli, int argc, char **argv) {
    struct dock dock;

    if (argc > 1 && argv[1][0] == '-')
        return cli_usage(cli);
    int code = dock_open(&dock, cli, (const char *const *)argv + 1);
    if (code == EX_OK)
        code = dock_take_lock(&dock);
    if (code == EX_OK)
        code = take_down(&dock);
    dock_close(&dock);
    return code;
}
