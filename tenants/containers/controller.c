#include "tenants/containers/controller.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "tenants/containers/apply.h"
#include "tenants/containers/backoff.h"
#include "tenants/containers/events.h"
#include "tenants/containers/hosts.h"
#include "tenants/containers/lock.h"
#include "tenants/containers/rollout.h"
#include "tenants/containers/spec.h"
#include "tenants/containers/survey.h"
#include "tenants/containers_config.h"
#include "tenants/log.h"

enum {
    LOOK_MS = 20000, /* between two looks that nobody asked for */
    PAUSE_MS = 300,  /* after a pass: what happens at once is one pass */
    AWAY_MS = 1000,  /* between two tries to reach the engine, or the lock */
    STOP_MS = 1000,  /* a signal may come just before poll() */
    PATH_BYTES = 512
};

#define NEVER INT64_MAX

/* What became of one change. */
struct outcome {
    char title[CHANGE_TITLE_BYTES];
    enum change_kind kind;
    bool has_failed;
    struct outcome *next;
};

/* A plan that is being carried out on other threads. */
struct pass {
    bool is_running;
    pthread_t thread;
    struct survey survey;
    struct rollout rollout;
    struct rollout_result result;
    struct error error;
    int lock;
    struct outcome *outcomes; /* owned list */
    cJSON *stopped;           /* array of what was inspected before a removal */
};

struct loop {
    const struct controller *controller;
    struct engine *engine; /* NULL: away */
    bool was_away_told;
    struct error told; /* what all have to wait for; "" when nothing is wrong */
    struct events *events;
    struct backoff *backoff;
    struct pass pass;
    int pass_fd;        /* readable when the pass is over */
    bool has_news;      /* a pass is due */
    int64_t not_before; /* of the next pass */
    int64_t next_retry; /* of what was held back or failed; NEVER: nothing was */
    int64_t next_look;
};

static int64_t now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- The engine ---- */

static void lose_engine(struct loop *loop, const struct error *error) {
    engine_close(loop->engine);
    loop->engine = NULL;
    if (!loop->was_away_told && !atomic_load(loop->controller->stop))
        log_error("%s; containers are looked after again once it is back", error->text);
    loop->was_away_told = true;
    loop->has_news = true;
    loop->not_before = now_ms() + AWAY_MS;
}

static bool have_engine(struct loop *loop) {
    struct error error;

    if (loop->engine != NULL)
        return true;
    loop->engine =
        engine_open(loop->controller->config->containers->engine, loop->controller->stop, &error);
    if (loop->engine == NULL) {
        lose_engine(loop, &error);
        return false;
    }
    if (loop->was_away_told)
        log_notice("the engine is back");
    loop->was_away_told = false;
    return true;
}

/* ---- What runs ---- */

static void inspect(struct loop *loop, const char *container) {
    char path[PATH_BYTES];
    struct error error;
    cJSON *reply = NULL;

    if (!have_engine(loop))
        return;
    snprintf(path, sizeof path, "/containers/%s/json", container);
    enum engine_result result = engine_call(loop->engine, "GET", path, NULL, &reply, &error);
    if (result == ENGINE_OK)
        loop->controller->on_inspect(loop->controller->context, reply);
    else if (result == ENGINE_UNREACHABLE)
        lose_engine(loop, &error);
    cJSON_Delete(reply);
}

static void inspect_tenants(struct loop *loop, const struct actual_set *actual) {
    for (size_t i = 0; i < actual->count && loop->engine != NULL; i++)
        if (actual->items[i].is_ours && actual->items[i].role == ROLE_TENANT)
            inspect(loop, actual->items[i].id);
}

/* ---- A pass, on its threads ---- */

static void on_step(void *context, const struct change *change, enum rollout_step step,
                    const struct error *error) {
    struct pass *pass = context;

    if (step == ROLLOUT_BEGUN)
        return;
    struct outcome *outcome = calloc(1, sizeof *outcome);
    if (outcome == NULL)
        abort();
    change_title(change->role, change->unit, outcome->title);
    outcome->kind = change->kind;
    outcome->has_failed = step == ROLLOUT_FAILED;
    outcome->next = pass->outcomes;
    pass->outcomes = outcome;
    if (error != NULL)
        log_error("%s: %s: %s", outcome->title, change_kind_name(change->kind), error->text);
    else
        log_notice("%s: %s done%s%s", outcome->title, change_kind_name(change->kind),
                   change->reason[0] != '\0' ? ": " : "", change->reason);
}

static void on_stopped(void *context, const cJSON *reply) {
    struct pass *pass = context;

    cJSON_AddItemToArray(pass->stopped, cJSON_Duplicate(reply, true));
}

static void *carry_out(void *context) {
    struct loop *loop = context;
    uint64_t one = 1;

    loop->pass.result =
        rollout_run(&loop->pass.rollout, &loop->pass.survey.plan, &loop->pass.error);
    while (write(loop->pass_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    return NULL;
}

/* ---- A pass, seen from the loop ---- */

/* What has to wait is left out of this pass. */
static void hold_back(struct loop *loop, struct plan *plan) {
    int64_t now = now_ms();
    size_t kept = 0;

    for (size_t i = 0; i < plan->count; i++) {
        struct change *change = &plan->items[i];
        char title[CHANGE_TITLE_BYTES];
        change_title(change->role, change->unit, title);
        if (backoff_allows(loop->backoff, title, now))
            plan->items[kept++] = *change;
        else
            free(change->stale);
    }
    loop->next_retry = kept < plan->count ? now + backoff_next_ms(loop->backoff, now) : NEVER;
    plan->count = kept;
}

/* Who only has to be started did run before; what was made anew has no past. */
static void settle(struct loop *loop, const struct outcome *outcome) {
    if (outcome->has_failed)
        backoff_note_failure(loop->backoff, outcome->title, now_ms());
    else if (outcome->kind == CHANGE_START)
        backoff_note_success(loop->backoff, outcome->title, now_ms());
    else
        backoff_forget(loop->backoff, outcome->title);
}

static void end_pass(struct loop *loop) {
    struct pass *pass = &loop->pass;
    const cJSON *reply;
    uint64_t count;

    while (read(loop->pass_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    pthread_join(pass->thread, NULL);
    while (pass->outcomes != NULL) {
        struct outcome *outcome = pass->outcomes;
        pass->outcomes = outcome->next;
        settle(loop, outcome);
        free(outcome);
    }
    cJSON_ArrayForEach(reply, pass->stopped)
        loop->controller->on_inspect(loop->controller->context, reply);
    if (pass->result.is_unreachable)
        lose_engine(loop, &pass->error);
    cJSON_Delete(pass->stopped);
    survey_deinit(&pass->survey);
    close(pass->lock);
    pass->is_running = false;
    int64_t now = now_ms();
    loop->not_before = now + (pass->result.not_tried > 0 ? AWAY_MS : PAUSE_MS);
    loop->has_news |= pass->result.not_tried > 0;
    if (pass->result.failed > 0)
        loop->next_retry = now + backoff_next_ms(loop->backoff, now);
}

static bool begin_thread(struct loop *loop) {
    struct pass *pass = &loop->pass;

    pass->outcomes = NULL;
    pass->stopped = cJSON_CreateArray();
    pass->rollout = (struct rollout){.config = loop->controller->config,
                                     .stop = loop->controller->stop,
                                     .on_step = on_step,
                                     .on_stopped = on_stopped,
                                     .context = pass};
    int code = pthread_create(&pass->thread, NULL, carry_out, loop);
    if (code == 0)
        return true;
    log_error("a pass over the containers: %s", strerror(code));
    cJSON_Delete(pass->stopped);
    return false;
}

/* It is looked at again and again. */
static void tell_once(struct loop *loop, const struct error *error) {
    if (!atomic_load(loop->controller->stop) && strcmp(loop->told.text, error->text) != 0)
        log_error("%s", error->text);
    loop->told = *error;
}

/* False: the engine or something that all need is not as it should be; that was told. */
static bool look(struct loop *loop, bool with_service) {
    const struct controller *controller = loop->controller;
    const struct apply apply = {
        .config = controller->config, .engine = loop->engine, .stop = controller->stop};
    const struct plan_scope everything = {0};
    struct error hosts_error;
    struct error error;
    enum engine_result result = apply_networks(&apply, &error);
    enum survey_result survey = SURVEY_REFUSED;

    if (hosts_publish(controller->config, controller->registry, &hosts_error) < 0)
        log_error("%s; for the proxy a site that is down looks unknown", hosts_error.text);
    if (result == ENGINE_OK)
        survey = survey_take(&loop->pass.survey, loop->engine, controller->config,
                             controller->registry, &everything, time(NULL), &error);
    if (survey == SURVEY_OK) {
        loop->told.text[0] = '\0';
        if (with_service)
            inspect_tenants(loop, &loop->pass.survey.actual);
        return true;
    }
    if (result == ENGINE_UNREACHABLE || survey == SURVEY_UNREACHABLE)
        lose_engine(loop, &error);
    else
        tell_once(loop, &error);
    return false;
}

static void begin_pass(struct loop *loop) {
    struct error error;
    int64_t now = now_ms();
    bool is_look = now >= loop->next_look;

    loop->not_before = now + AWAY_MS; /* unless it works */
    if (!have_engine(loop) ||
        lock_take(loop->controller->config, "containers", &loop->pass.lock, &error) != LOCK_TAKEN)
        return;
    loop->has_news = false;
    if (!look(loop, is_look)) {
        loop->has_news = true;
        close(loop->pass.lock);
        return;
    }
    if (is_look)
        loop->next_look = now + LOOK_MS;
    hold_back(loop, &loop->pass.survey.plan);
    loop->pass.is_running = loop->pass.survey.plan.count > 0 && begin_thread(loop);
    if (loop->pass.is_running)
        return;
    survey_deinit(&loop->pass.survey);
    close(loop->pass.lock);
    loop->not_before = now + PAUSE_MS;
}

/* ---- The loop ---- */

static void take_events(struct loop *loop) {
    struct string_list containers;
    bool was_away;

    events_take(loop->events, &containers, &was_away);
    loop->has_news = true;
    if (was_away)
        loop->next_look = 0;
    for (size_t i = 0; i < containers.count; i++)
        inspect(loop, containers.items[i]);
    string_list_deinit(&containers);
}

static void shorten(int64_t *wait, int64_t other) {
    if (other >= 0 && other < *wait)
        *wait = other;
}

static int64_t at_least_zero(int64_t ms) {
    return ms > 0 ? ms : 0;
}

static int how_long(const struct loop *loop, int64_t turn_ms) {
    int64_t now = now_ms();
    int64_t wait = STOP_MS;

    shorten(&wait, turn_ms);
    if (!loop->pass.is_running) {
        shorten(&wait, at_least_zero(loop->next_look - now));
        shorten(&wait, at_least_zero(loop->next_retry - now));
    }
    if (loop->has_news && !loop->pass.is_running)
        shorten(&wait, at_least_zero(loop->not_before - now));
    return (int)wait;
}

static void turn(struct loop *loop, struct pollfd fds[3]) {
    if (fds[0].revents != 0) {
        registry_process(loop->controller->registry);
        loop->has_news = true;
    }
    if (fds[1].revents != 0)
        take_events(loop);
    if (fds[2].revents != 0)
        end_pass(loop);
    int64_t now = now_ms();
    bool is_due = loop->has_news || now >= loop->next_look || now >= loop->next_retry;
    if (!loop->pass.is_running && is_due && now >= loop->not_before)
        begin_pass(loop);
}

int controller_run(const struct controller *controller, struct error *error) {
    struct loop loop = {.controller = controller, .has_news = true, .next_retry = NEVER};

    loop.events = events_open(controller->config, error);
    if (loop.events == NULL)
        return -1;
    loop.backoff = backoff_new();
    loop.pass_fd = eventfd(0, EFD_CLOEXEC);
    int64_t wanted_ms = 0;
    while (!atomic_load(controller->stop) && wanted_ms != CONTROLLER_LEAVE) {
        struct pollfd fds[] = {
            {.fd = registry_watch_fd(controller->registry), .events = POLLIN},
            {.fd = events_fd(loop.events), .events = POLLIN},
            {.fd = loop.pass_fd, .events = POLLIN},
        };
        if (poll(fds, 3, how_long(&loop, wanted_ms)) < 0)
            memset(fds, 0, sizeof fds);
        turn(&loop, fds);
        wanted_ms = controller->on_turn(controller->context);
    }
    if (loop.pass.is_running)
        end_pass(&loop);
    close(loop.pass_fd);
    engine_close(loop.engine);
    events_close(loop.events);
    backoff_free(loop.backoff);
    return 0;
}
