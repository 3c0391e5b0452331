#include "tenants/containers/cron.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "tenants/containers/cron_schedule.h"
#include "tenants/containers/runner_protocol.h"
#include "tenants/containers/wanted.h"
#include "tenants/containers_config.h"
#include "tenants/log.h"

enum { TURN_MS_MIN = 1000, TURN_MS_MAX = 10000, STOP_SECONDS = RUNNER_GRACE_MS / 1000 + 2 };

enum job_state { JOB_RESTING, JOB_WAITING, JOB_RUNNING, JOB_ENDED };

/* A tenant that has a cron command. */
struct job {
    char id[TENANT_ID_MAX + 1];
    struct cron_clock clock;
    enum job_state state;
    struct tenant
        *tenant;      /* a reference, unless resting: taken and dropped by cron_turn()'s thread */
    unsigned seen;    /* the last turn in which the registry had it */
    struct job *prev; /* in waiting */
    struct job *next;
    UT_hash_handle hh;
};

struct cron {
    const struct config *config;
    cron_run_fn *run;
    struct charges *charges;
    pthread_t *threads;
    unsigned thread_count;
    atomic_int urgency; /* enum session_urgency */

    pthread_mutex_t mutex;  /* guards all below */
    pthread_cond_t changed; /* one more waits, one has ended, or is_stopping */
    struct job *jobs;       /* by id */
    struct job *waiting;    /* who waited longest comes first */
    unsigned running;
    bool is_stopping;
    struct error outage; /* why the last run could not be made; empty: it could */

    /* Of the turn that is being taken. */
    unsigned turn;
    time_t now;
    time_t next;
};

/* ---- What came of a run ---- */

/* The last line that a command wrote, on standard error (1) if it wrote any there. */
struct last_line {
    char text[2][256];
    size_t used[2];
    bool is_whole[2];
};

static void take_output(void *context, bool is_error, const char *bytes, size_t length) {
    struct last_line *line = context;

    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\n') {
            line->is_whole[is_error] = true;
            continue;
        }
        if (line->is_whole[is_error])
            line->used[is_error] = 0;
        line->is_whole[is_error] = false;
        if (line->used[is_error] < sizeof line->text[0] - 1)
            line->text[is_error][line->used[is_error]++] = bytes[i];
        line->text[is_error][line->used[is_error]] = '\0';
    }
}

/* An engine that is away makes every run fail: each reason is said once. */
static void note_outage(struct cron *cron, const struct command_result *result) {
    pthread_mutex_lock(&cron->mutex);
    bool is_new = strcmp(result->error.text, cron->outage.text) != 0;
    bool is_over = result->has_ended && cron->outage.text[0] != '\0';
    cron->outage = result->error;
    if (result->has_ended) /* the error then is the command's own affair */
        cron->outage.text[0] = '\0';
    pthread_mutex_unlock(&cron->mutex);
    if (is_over)
        log_notice("cron: commands run again");
    else if (!result->has_ended && is_new)
        log_error("cron: %s; commands do not run until that is mended", result->error.text);
}

static void tell(struct cron *cron, const struct job *job, const struct command_result *result,
                 const struct last_line *line) {
    double seconds = (double)result->wall_ns / 1e9;

    if (atomic_load(&cron->urgency) != SESSION_GO_ON)
        return; /* ended by us */
    note_outage(cron, result);
    if (!result->has_ended)
        return;
    const char *said = line->text[line->used[1] > 0];
    if (result->exit_code == 0)
        log_debug("cron %s: done after %.1f s, %.2f s of CPU", job->id, seconds,
                  (double)result->cpu_ns / 1e9);
    else if (result->error.text[0] != '\0')
        log_warning("cron %s: %s after %.1f s: %s", job->id, result->error.text, seconds, said);
    else
        log_warning("cron %s: exit %d after %.1f s: %s", job->id, result->exit_code, seconds, said);
}

/* ---- The threads ---- */

static void run_job(struct cron *cron, struct job *job) {
    const struct tenant *tenant = job->tenant;
    struct last_line line = {.used = {0}};
    struct command_result result;

    cron->run(&(struct command_request){.config = cron->config,
                                        .tenant = tenant,
                                        .command = &tenant->cron->command,
                                        .limit_ms = tenant->cron->limit_ms,
                                        .input = -1,
                                        .urgency = &cron->urgency,
                                        .charges = cron->charges,
                                        .on_output = take_output,
                                        .context = &line},
              &result);
    tell(cron, job, &result, &line);
}

static void *work(void *context) {
    struct cron *cron = context;

    pthread_mutex_lock(&cron->mutex);
    while (!cron->is_stopping) {
        struct job *job = cron->waiting;
        if (job == NULL) {
            pthread_cond_wait(&cron->changed, &cron->mutex);
            continue;
        }
        DL_DELETE(cron->waiting, job);
        job->state = JOB_RUNNING;
        cron->running++;
        pthread_mutex_unlock(&cron->mutex);
        run_job(cron, job);
        pthread_mutex_lock(&cron->mutex);
        job->state = JOB_ENDED;
        cron->running--;
        pthread_cond_broadcast(&cron->changed);
    }
    pthread_mutex_unlock(&cron->mutex);
    return NULL;
}

/* Signals are for who runs the controller. */
static void start_threads(struct cron *cron) {
    unsigned wanted = cron->config->containers->exec_parallel;
    sigset_t all, before;

    cron->threads = calloc(wanted, sizeof *cron->threads);
    if (cron->threads == NULL)
        abort();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (cron->thread_count < wanted &&
           pthread_create(&cron->threads[cron->thread_count], NULL, work, cron) == 0)
        cron->thread_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (cron->thread_count == 0)
        log_error("cron: no thread can be started: commands do not run");
}

/* ---- Turns; the mutex is held ---- */

static struct job *find_job(struct cron *cron, const char *id) {
    struct job *job;

    HASH_FIND_STR(cron->jobs, id, job);
    if (job != NULL)
        return job;
    job = calloc(1, sizeof *job);
    if (job == NULL)
        abort();
    snprintf(job->id, sizeof job->id, "%s", id);
    HASH_ADD_STR(cron->jobs, id, job);
    return job;
}

static void rest(struct cron *cron, struct job *job) {
    if (job->state == JOB_WAITING)
        DL_DELETE(cron->waiting, job);
    tenant_unref(job->tenant);
    job->tenant = NULL;
    job->state = JOB_RESTING;
}

static void visit_tenant(void *context, struct tenant *tenant) {
    struct cron *cron = context;

    if (tenant->cron == NULL || wanted_is_suspended(tenant, cron->now))
        return;
    struct job *job = find_job(cron, tenant->id);
    unsigned every_seconds = tenant->cron->every_seconds;
    time_t next = cron_clock_next(tenant->id, every_seconds, cron->now);
    if (next < cron->next)
        cron->next = next;
    job->seen = cron->turn;
    if (job->state == JOB_ENDED)
        rest(cron, job);
    if (job->state == JOB_WAITING) { /* its file may have changed meanwhile */
        tenant_unref(job->tenant);
        job->tenant = tenant_ref(tenant);
    }
    if (!cron_clock_take_turn(&job->clock, tenant->id, every_seconds, cron->now))
        return;
    if (job->state != JOB_RESTING) {
        log_debug("cron %s: its last run is not over, a turn is passed over", tenant->id);
        return;
    }
    job->tenant = tenant_ref(tenant);
    job->state = JOB_WAITING;
    DL_APPEND(cron->waiting, job);
}

/* Tenants that are gone, or are not to run any more. */
static void forget_unseen(struct cron *cron) {
    struct job *job, *next;

    HASH_ITER(hh, cron->jobs, job, next) {
        if (job->seen == cron->turn || job->state == JOB_RUNNING)
            continue;
        rest(cron, job);
        HASH_DEL(cron->jobs, job);
        free(job);
    }
}

unsigned cron_turn(struct cron *cron, const struct registry *registry, time_t now) {
    pthread_mutex_lock(&cron->mutex);
    cron->turn++;
    cron->now = now;
    cron->next = now + TURN_MS_MAX / 1000;
    registry_each(registry, visit_tenant, cron);
    forget_unseen(cron);
    bool needs_threads = cron->waiting != NULL && cron->thread_count == 0;
    time_t next = cron->next;
    pthread_cond_broadcast(&cron->changed);
    pthread_mutex_unlock(&cron->mutex);
    if (needs_threads)
        start_threads(cron);
    charges_tick(cron->charges);
    return next <= now ? TURN_MS_MIN : (unsigned)(next - now) * 1000;
}

/* ---- Lifecycle ---- */

struct cron *cron_new(const struct config *config, cron_run_fn *run) {
    struct cron *cron = calloc(1, sizeof *cron);

    if (cron == NULL)
        abort();
    cron->config = config;
    cron->run = run;
    cron->charges = charges_new(config);
    pthread_mutex_init(&cron->mutex, NULL);
    pthread_cond_init(&cron->changed, NULL);
    return cron;
}

static void end_runs(struct cron *cron) {
    struct timespec deadline;
    int code = 0;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += STOP_SECONDS;
    pthread_mutex_lock(&cron->mutex);
    cron->is_stopping = true;
    atomic_store(&cron->urgency, SESSION_STOP);
    pthread_cond_broadcast(&cron->changed);
    while (cron->running > 0 && code == 0)
        code = pthread_cond_clockwait(&cron->changed, &cron->mutex, CLOCK_MONOTONIC, &deadline);
    atomic_store(&cron->urgency, SESSION_ABANDON);
    pthread_mutex_unlock(&cron->mutex);
    for (unsigned i = 0; i < cron->thread_count; i++)
        pthread_join(cron->threads[i], NULL);
}

void cron_stop(struct cron *cron) {
    struct error error = {""};

    if (cron == NULL)
        return;
    end_runs(cron);
    cron->turn++;
    forget_unseen(cron);
    if (!charges_free(cron->charges, &error))
        log_error("cron: %s", error.text);
    pthread_cond_destroy(&cron->changed);
    pthread_mutex_destroy(&cron->mutex);
    free(cron->threads);
    free(cron);
}
