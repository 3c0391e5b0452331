#include "shim/folder.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "tenants/counters_sync.h"
#include "tenants/log.h"

static const uint64_t FOLD_EVERY_NS = 20000000000U;

struct folder {
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_cond_t changed;               /* for the thread: must_stop or question */
    uv_cond_t answered;              /* for who asked */
    bool must_stop;                  /* under mutex, like the next three */
    struct month_question *question; /* owned; to be answered */
    bool is_new;                     /* the question was not tried yet */
    struct month_question *answer;   /* owned; the question, answered and not taken yet */
    char *ledger;
    char *counters_dir;
    struct counters_synced synced;
    struct error failure; /* of the last time, or empty; each reason is said once */
};

/* ---- Questions ---- */

static struct month_question *take_question(struct folder *folder) {
    uv_mutex_lock(&folder->mutex);
    struct month_question *question = folder->question;
    folder->question = NULL;
    uv_mutex_unlock(&folder->mutex);
    return question;
}

static void give_back(struct folder *folder, struct month_question *question, bool is_answered) {
    uv_mutex_lock(&folder->mutex);
    folder->is_new = false;
    if (is_answered)
        folder->answer = question;
    else
        folder->question = question;
    uv_cond_signal(&folder->answered);
    uv_mutex_unlock(&folder->mutex);
}

/* false: there was a question and the ledger did not answer it. */
static bool answer_question(struct folder *folder, struct ledger *ledger, struct error *error) {
    struct month_question *question = take_question(folder);

    if (question == NULL)
        return true;
    uint64_t began_ns = uv_hrtime();
    bool is_answered =
        ledger != NULL &&
        ledger_sum_use(ledger, question->month.from, question->month.to, question->except,
                       question->sums, question->count, error) == 0;
    question->took_ns = uv_hrtime() - began_ns;
    give_back(folder, question, is_answered);
    return is_answered;
}

void folder_ask(struct folder *folder, struct month_question *question) {
    uv_mutex_lock(&folder->mutex);
    folder->question = question;
    folder->is_new = true;
    uv_cond_signal(&folder->changed);
    uv_mutex_unlock(&folder->mutex);
}

struct month_question *folder_take_answer(struct folder *folder, uint64_t wait_ns) {
    uint64_t until_ns = wait_ns > 0 ? uv_hrtime() + wait_ns : 0;

    uv_mutex_lock(&folder->mutex);
    for (uint64_t now_ns; folder->answer == NULL && (now_ns = uv_hrtime()) < until_ns;)
        uv_cond_timedwait(&folder->answered, &folder->mutex, until_ns - now_ns);
    struct month_question *answer = folder->answer;
    folder->answer = NULL;
    uv_mutex_unlock(&folder->mutex);
    return answer;
}

/* ---- The thread ---- */

static void say(struct folder *folder, bool is_done, const struct error *error) {
    if (!is_done && strcmp(error->text, folder->failure.text) != 0)
        log_error("ledger: %s; counting goes on, and is taken in when that is mended; quotas go by "
                  "what was read last (fpmuxctl ledger verify says how to mend it)",
                  error->text);
    if (is_done && folder->failure.text[0] != '\0')
        log_notice("ledger: takes in what was counted again");
    folder->failure = *error;
    if (is_done)
        folder->failure.text[0] = '\0';
}

static bool fold(struct folder *folder, struct ledger *ledger, struct error *error) {
    bool is_synced = counters_sync_new(&folder->synced, folder->counters_dir, error) == 0;
    struct error fold_error;

    if (ledger_fold(ledger, folder->counters_dir, &fold_error) == 0)
        return is_synced;
    *error = fold_error;
    return false;
}

/* Opens the ledger anew each time: it may have been moved, restored or mended meanwhile. */
static void work(struct folder *folder, bool must_fold) {
    struct error error = {0};
    struct ledger *ledger = ledger_open(folder->ledger, &error);
    bool is_done = ledger != NULL && (!must_fold || fold(folder, ledger, &error));

    is_done = answer_question(folder, ledger, &error) && is_done;
    ledger_close(ledger);
    if (must_fold || !is_done) /* an answer does not say that folding works */
        say(folder, is_done, &error);
}

/* Sleeps until it is time to fold or there is something else to do. Returns whether to go on. */
static bool rest(struct folder *folder, uint64_t fold_at_ns) {
    uint64_t now_ns;

    uv_mutex_lock(&folder->mutex);
    while (!folder->must_stop && !(folder->question != NULL && folder->is_new) &&
           (now_ns = uv_hrtime()) < fold_at_ns)
        uv_cond_timedwait(&folder->changed, &folder->mutex, fold_at_ns - now_ns);
    bool must_stop = folder->must_stop;
    uv_mutex_unlock(&folder->mutex);
    return !must_stop;
}

static void run(void *argument) {
    struct folder *folder = argument;
    uint64_t fold_at_ns = 0;
    sigset_t all;

    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    do {
        bool must_fold = uv_hrtime() >= fold_at_ns;
        work(folder, must_fold);
        if (must_fold)
            fold_at_ns = uv_hrtime() + FOLD_EVERY_NS;
    } while (rest(folder, fold_at_ns));
    work(folder, true);
}

/* ---- Lifecycle ---- */

static void folder_free(struct folder *folder) {
    uv_cond_destroy(&folder->answered);
    uv_cond_destroy(&folder->changed);
    uv_mutex_destroy(&folder->mutex);
    counters_synced_deinit(&folder->synced);
    free(folder->question);
    free(folder->answer);
    free(folder->ledger);
    free(folder->counters_dir);
    free(folder);
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
    uv_cond_init(&folder->answered);
    if (folder->ledger != NULL && folder->counters_dir != NULL &&
        uv_thread_create(&folder->thread, run, folder) == 0)
        return folder;
    error_set(error, "can't start the ledger's thread");
    folder_free(folder);
    return NULL;
}

void folder_stop(struct folder *folder) {
    if (folder == NULL)
        return;
    uv_mutex_lock(&folder->mutex);
    folder->must_stop = true;
    free(folder->question); /* nobody will take its answer */
    folder->question = NULL;
    uv_cond_signal(&folder->changed);
    uv_mutex_unlock(&folder->mutex);
    uv_thread_join(&folder->thread);
    folder_free(folder);
}
