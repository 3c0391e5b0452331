#include "shim/folder.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "tenants/counters_sync.h"
#include "tenants/ledger.h"
#include "tenants/log.h"

static const uint64_t FOLD_EVERY_NS = 20000000000U;

struct folder {
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_cond_t changed;
    bool must_stop; /* under mutex */
    char *ledger;
    char *counters_dir;
    struct counters_synced synced;
    struct error failure; /* of the last fold, or empty; each reason is said once */
};

/* Opens the ledger anew each time: it may have been moved, restored or mended meanwhile. */
static bool fold_counters(const struct folder *folder, struct error *error) {
    struct ledger *ledger = ledger_open(folder->ledger, error);
    bool is_done = ledger != NULL && ledger_fold(ledger, folder->counters_dir, error) == 0;

    ledger_close(ledger);
    return is_done;
}

static void fold(struct folder *folder) {
    struct error error = {0}, fold_error;
    bool is_done = counters_sync_new(&folder->synced, folder->counters_dir, &error) == 0;

    if (!fold_counters(folder, &fold_error)) {
        error = fold_error;
        is_done = false;
    }
    if (is_done)
        error.text[0] = '\0';
    if (!is_done && strcmp(error.text, folder->failure.text) != 0)
        log_error("ledger: %s; counting goes on, and is taken in when that is mended "
                  "(fpmuxctl ledger verify says how)",
                  error.text);
    if (is_done && folder->failure.text[0] != '\0')
        log_notice("ledger: takes in what was counted again");
    folder->failure = error;
}

static void run(void *argument) {
    struct folder *folder = argument;
    bool must_stop = false;
    sigset_t all;

    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    while (!must_stop) {
        fold(folder);
        uv_mutex_lock(&folder->mutex);
        if (!folder->must_stop)
            uv_cond_timedwait(&folder->changed, &folder->mutex, FOLD_EVERY_NS);
        must_stop = folder->must_stop;
        uv_mutex_unlock(&folder->mutex);
    }
    fold(folder);
}

struct folder *folder_start(const char *ledger, const char *counters_dir, struct error *error) {
    struct folder *folder = calloc(1, sizeof *folder);

    if (folder == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    folder->ledger = strdup(ledger);
    folder->counters_dir = strdup(counters_dir);
    uv_mutex_init(&folder->mutex);
    uv_cond_init(&folder->changed);
    if (folder->ledger != NULL && folder->counters_dir != NULL &&
        uv_thread_create(&folder->thread, run, folder) == 0)
        return folder;
    error_set(error, "can't start the ledger's thread");
    free(folder->ledger);
    free(folder->counters_dir);
    free(folder);
    return NULL;
}

void folder_stop(struct folder *folder) {
    if (folder == NULL)
        return;
    uv_mutex_lock(&folder->mutex);
    folder->must_stop = true;
    uv_cond_signal(&folder->changed);
    uv_mutex_unlock(&folder->mutex);
    uv_thread_join(&folder->thread);
    uv_cond_destroy(&folder->changed);
    uv_mutex_destroy(&folder->mutex);
    counters_synced_deinit(&folder->synced);
    free(folder->ledger);
    free(folder->counters_dir);
    free(folder);
}
