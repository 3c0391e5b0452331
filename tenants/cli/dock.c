#include "tenants/cli/dock.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "tenants/containers/lock.h"
#include "tenants/containers_config.h"

enum { LOCK_PAUSE_MS = 50 };

static atomic_bool is_stopped;

static void on_signal(int number) {
    (void)number;
    if (atomic_exchange(&is_stopped, true))
        _exit(EX_INTERRUPTED);
}

const atomic_bool *dock_catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    return &is_stopped;
}

/* A tenant that was removed may still have a container: any id is a unit, but one that neither the
 * registry nor the engine knows is a slip of the hand. */
static int check_unit(const struct dock *dock, const char *unit) {
    if (role_find(unit) < ROLE_TENANT || registry_find(dock->registry, unit, strlen(unit)) != NULL)
        return EX_OK;
    if (!is_tenant_id(unit, strlen(unit)))
        return cli_fail(dock->cli, EX_USAGE, "\"%s\" is no tenant's id, nor fpm, shim or proxy",
                        unit);
    struct actual_set actual;
    struct error error;
    bool is_there = false;
    enum engine_result result =
        actual_load(&actual, dock->engine, dock->config->containers->name, &error);
    if (result != ENGINE_OK)
        return dock_fail(dock, result, &error);
    for (size_t i = 0; i < actual.count; i++)
        is_there |= actual.items[i].is_ours && actual.items[i].role == ROLE_TENANT &&
                    strcmp(actual.items[i].unit, unit) == 0;
    actual_deinit(&actual);
    if (is_there)
        return EX_OK;
    return cli_no_tenant(dock->cli, dock->registry, unit);
}

int dock_open(struct dock *dock, struct cli *cli, const char *const *units) {
    struct error error;

    *dock = (struct dock){.cli = cli, .config = cli_config(cli), .lock = -1};
    if (!survey_check_config(dock->config, &error))
        return cli_fail(cli, EX_CONFIG, "%s", error.text);
    int code = cli_load_registry(cli, &dock->registry);
    if (code != EX_OK)
        return code;
    dock->stop = dock_catch_signals();
    dock->engine = engine_open(dock->config->containers->engine, dock->stop, &error);
    if (dock->engine == NULL)
        return dock_fail(dock, atomic_load(dock->stop) ? ENGINE_INTERRUPTED : ENGINE_UNREACHABLE,
                         &error);
    dock->scope.units = units;
    for (; code == EX_OK && units != NULL && units[dock->scope.count] != NULL; dock->scope.count++)
        code = check_unit(dock, units[dock->scope.count]);
    return code;
}

void dock_close(struct dock *dock) {
    dock_drop_lock(dock);
    engine_close(dock->engine);
    if (dock->registry != NULL)
        registry_close(dock->registry);
}

int dock_take_lock(struct dock *dock) {
    static const struct timespec moment = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};
    struct error error;
    enum lock_result result = lock_take(dock->config, "containers", &dock->lock, &error);

    if (result == LOCK_BUSY)
        fprintf(stderr, "waiting for another fpmuxctl that changes containers\n");
    /* A flock() that blocks would miss a signal which came just before it. */
    while (result == LOCK_BUSY) {
        if (atomic_load(dock->stop))
            return cli_fail(dock->cli, EX_INTERRUPTED, "interrupted");
        nanosleep(&moment, NULL);
        result = lock_take(dock->config, "containers", &dock->lock, &error);
    }
    if (result == LOCK_FAILED)
        return cli_fail(dock->cli, EX_NOPERM, "%s", error.text);
    return EX_OK;
}

struct telling {
    const struct dock *dock;
    int code;
};

static void tell_unclear(void *context, const char *id, const char *text) {
    struct telling *telling = context;
    const struct dock *dock = telling->dock;

    if (plan_scope_has(&dock->scope, ROLE_TENANT, id))
        telling->code = cli_fail(dock->cli, EX_DATAERR, "left as it is: %s", text);
}

int dock_tell_unclear(const struct dock *dock) {
    struct telling telling = {.dock = dock, .code = EX_OK};

    registry_each_error(dock->registry, tell_unclear, &telling);
    return telling.code;
}

static bool has_change(const struct plan *plan, const struct actual *actual) {
    for (size_t i = 0; i < plan->count; i++)
        if (plan->items[i].role == actual->role && strcmp(plan->items[i].unit, actual->unit) == 0)
            return true;
    return false;
}

int dock_tell_restarting(const struct dock *dock, const struct survey *survey) {
    char title[CHANGE_TITLE_BYTES];
    int code = EX_OK;

    for (size_t i = 0; i < survey->actual.count; i++) {
        const struct actual *actual = &survey->actual.items[i];
        if (!actual->is_ours || actual->state != CONTAINER_RESTARTING ||
            !plan_scope_has(&dock->scope, actual->role, actual->unit) ||
            has_change(&survey->plan, actual))
            continue;
        change_title(actual->role, actual->unit, title);
        code = cli_fail(dock->cli, EX_SOME_FAILED,
                        "%s: it ends and is started again; the reason is in: docker logs %s", title,
                        actual->name);
    }
    return code;
}

void dock_drop_lock(struct dock *dock) {
    if (dock->lock >= 0)
        close(dock->lock);
    dock->lock = -1;
}

int dock_fail(const struct dock *dock, enum engine_result result, const struct error *error) {
    if (result == ENGINE_INTERRUPTED)
        return cli_fail(dock->cli, EX_INTERRUPTED, "interrupted");
    return cli_fail(dock->cli, EX_UNAVAILABLE, "%s", error->text);
}

int dock_survey(struct dock *dock, struct survey *survey) {
    struct error error;

    switch (survey_take(survey, dock->engine, dock->config, dock->registry, &dock->scope,
                        time(NULL), &error)) {
    case SURVEY_OK:
        return EX_OK;
    case SURVEY_CONFIGURATION:
        return cli_fail(dock->cli, EX_CONFIG, "%s", error.text);
    case SURVEY_UNREACHABLE:
    case SURVEY_REFUSED:
        break;
    }
    if (atomic_load(dock->stop))
        return cli_fail(dock->cli, EX_INTERRUPTED, "interrupted");
    return cli_fail(dock->cli, EX_UNAVAILABLE, "%s", error.text);
}
