/* fpmuxctl watch: the controller, with the cron commands and the ledger of service beside it. */
#include <stdio.h>
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
};

static void on_inspect(void *context, const cJSON *inspect) {
    struct watching *watching = context;

    service_book_note(&watching->book, inspect);
}

static int64_t on_turn(void *context) {
    struct watching *watching = context;

    service_book_write(&watching->book);
    return cron_turn(watching->cron, watching->dock->registry, time(NULL));
}

/* The controller asks for the whole again: what changed is of no interest here. With a callback the
 * registry logs what is wrong with its files. */
static void on_change(void *context, struct tenant *before, struct tenant *after) {
    (void)context;
    (void)before;
    (void)after;
}

static int watch(struct dock *dock) {
    struct watching watching = {.dock = dock};
    struct error error;
    const struct controller controller = {.config = dock->config,
                                          .registry = dock->registry,
                                          .stop = dock->stop,
                                          .on_inspect = on_inspect,
                                          .on_turn = on_turn,
                                          .context = &watching};
    int lock;

    if (lock_take(dock->config, "watch", false, &lock, &error) != LOCK_TAKEN)
        return cli_fail(dock->cli, EX_TEMPFAIL, "%s: is watch running already?", error.text);
    service_book_open(&watching.book, dock->config);
    watching.cron = cron_new(dock->config, command_run);
    log_notice("watching over %s", dock->config->registry);
    int result = controller_run(&controller, &error);
    cron_stop(watching.cron);
    service_book_close(&watching.book);
    close(lock);
    if (result < 0)
        return cli_fail(dock->cli, EX_OSERR, "%s", error.text);
    log_notice("watch ends; the containers go on");
    return EX_OK;
}

int verb_watch(struct cli *cli, int argc, char **argv) {
    struct dock dock;
    struct error error;

    (void)argv;
    if (argc > 1)
        return cli_usage(cli);
    int code = dock_open(&dock, cli, NULL);
    if (code == EX_OK) {
        registry_close(dock.registry);
        dock.registry = registry_open(dock.config, on_change, NULL, &error);
        if (dock.registry == NULL || registry_load(dock.registry, &error) < 0)
            code = cli_fail(cli, EX_IOERR, "%s", error.text);
    }
    if (code == EX_OK)
        code = watch(&dock);
    dock_close(&dock);
    return code;
}
