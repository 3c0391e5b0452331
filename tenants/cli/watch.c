/* fpmuxctl watch: the controller, with the cron commands and the ledger of service beside it. */
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "tenants/cli/cli.h"
#include "tenants/cli/dock.h"
#include "tenants/cli/service_book.h"
#include "tenants/containers/controller.h"
#include "tenants/containers/cron.h"
#include "tenants/containers/lock.h"
#include "tenants/log.h"

struct watching {
    struct dock *dock;
    struct service_book book;
    struct cron *cron;
    struct stat config_file; /* as it was when it was read, or when it was last found wrong */
    bool has_new_config;
};

static void on_inspect(void *context, const cJSON *inspect) {
    struct watching *watching = context;

    service_book_note(&watching->book, inspect);
}

static bool is_same_file(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* `up` reads the configuration each time: who watches by an older one would undo its work. A wrong
 * one changes nothing. */
static bool has_new_config(struct watching *watching) {
    const char *path = watching->dock->config->path;
    struct stat now;
    struct error error;

    if (stat(path, &now) != 0 || is_same_file(&now, &watching->config_file))
        return false;
    watching->config_file = now;
    struct config *config = config_load(path, &error);
    if (config == NULL)
        log_error("%s; the configuration that was read before stays in use", error.text);
    config_free(config);
    return config != NULL;
}

static int64_t on_turn(void *context) {
    struct watching *watching = context;

    service_book_write(&watching->book);
    watching->has_new_config = has_new_config(watching);
    if (watching->has_new_config)
        return CONTROLLER_LEAVE;
    return cron_turn(watching->cron, watching->dock->registry, time(NULL));
}

/* The controller asks for the whole again: what changed is of no interest here. */
static void on_change(void *context, struct tenant *before, struct tenant *after) {
    (void)context;
    (void)before;
    (void)after;
}

/* Until a signal, or (*begins_anew) until there is a new configuration. */
static int watch(struct dock *dock, bool *begins_anew) {
    struct watching watching = {.dock = dock};
    struct error error;
    const struct controller controller = {.config = dock->config,
                                          .registry = dock->registry,
                                          .stop = dock->stop,
                                          .on_inspect = on_inspect,
                                          .on_turn = on_turn,
                                          .context = &watching};
    int lock;

    if (!survey_check_directories(dock->config, &error))
        return cli_fail(dock->cli, EX_CONFIG, "%s", error.text);
    if (lock_take(dock->config, "watch", &lock, &error) != LOCK_TAKEN)
        return cli_fail(dock->cli, EX_TEMPFAIL, "%s: is watch running already?", error.text);
    if (stat(dock->config->path, &watching.config_file) != 0)
        watching.config_file = (struct stat){0};
    service_book_open(&watching.book, dock->config);
    watching.cron = cron_new(dock->config, command_run);
    log_notice("watching over %s", dock->config->registry);
    int result = controller_run(&controller, &error);
    cron_stop(watching.cron);
    service_book_close(&watching.book);
    close(lock);
    *begins_anew = watching.has_new_config && !atomic_load(dock->stop);
    log_notice(*begins_anew ? "the configuration changed: watch begins anew"
                            : "watch ends; the containers go on");
    return result == 0 ? EX_OK : cli_fail(dock->cli, EX_OSERR, "%s", error.text);
}

/* With a callback the registry logs what is wrong with its files. */
static int follow_registry(struct dock *dock) {
    struct error error;

    registry_close(dock->registry);
    dock->registry = registry_open(dock->config, on_change, NULL, &error);
    if (dock->registry != NULL && registry_load(dock->registry, &error) >= 0)
        return EX_OK;
    return cli_fail(dock->cli, EX_IOERR, "%s", error.text);
}

int verb_watch(struct cli *cli, int argc, char **argv) {
    bool begins_anew = false;
    struct dock dock;
    int code = EX_OK;

    (void)argv;
    if (argc > 1)
        return cli_usage(cli);
    do {
        cli_forget_config(cli);
        code = dock_open(&dock, cli, NULL);
        if (code == EX_OK)
            code = follow_registry(&dock);
        if (code == EX_OK)
            code = watch(&dock, &begins_anew);
        dock_close(&dock);
    } while (code == EX_OK && begins_anew);
    return code;
}
