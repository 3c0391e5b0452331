#include "tenants/containers/rollout.h"

#include <pthread.h>
#include <stdlib.h>

#include "tenants/containers_config.h"

enum { THREADS_MAX = 64 }; /* the bound of containers.parallel */

/* Changes that don't need each other. */
struct phase {
    const struct rollout *rollout;
    const struct change **changes;
    size_t count;
    atomic_size_t next;
    pthread_mutex_t lock; /* of what follows, and of the callbacks */
    struct rollout_result *result;
    struct error *error;
};

/* ---- A thread ---- */

static void on_stopped(void *context, const cJSON *inspect) {
    struct phase *phase = context;

    pthread_mutex_lock(&phase->lock);
    phase->rollout->on_stopped(phase->rollout->context, inspect);
    pthread_mutex_unlock(&phase->lock);
}

static void tell(struct phase *phase, const struct change *change, enum rollout_step step,
                 const struct error *error) {
    pthread_mutex_lock(&phase->lock);
    phase->result->done += step == ROLLOUT_DONE;
    phase->result->failed += step == ROLLOUT_FAILED;
    phase->rollout->on_step(phase->rollout->context, change, step, error);
    pthread_mutex_unlock(&phase->lock);
}

static void note_unreachable(struct phase *phase, const struct error *error) {
    pthread_mutex_lock(&phase->lock);
    phase->result->is_unreachable = true;
    *phase->error = *error;
    pthread_mutex_unlock(&phase->lock);
}

static bool may_go_on(struct phase *phase) {
    pthread_mutex_lock(&phase->lock);
    bool is_unreachable = phase->result->is_unreachable;
    pthread_mutex_unlock(&phase->lock);
    return !is_unreachable && !atomic_load(phase->rollout->stop);
}

static void carry_out(struct phase *phase, struct engine *engine, const struct change *change) {
    const struct rollout *rollout = phase->rollout;
    const struct apply apply = {.config = rollout->config,
                                .engine = engine,
                                .stop = rollout->stop,
                                .waits = rollout->waits,
                                .on_stopped = rollout->on_stopped != NULL ? on_stopped : NULL,
                                .context = phase};
    struct error error;

    tell(phase, change, ROLLOUT_BEGUN, NULL);
    enum engine_result result = apply_change(&apply, change, &error);
    if (result == ENGINE_UNREACHABLE)
        note_unreachable(phase, &error);
    tell(phase, change, result == ENGINE_OK ? ROLLOUT_DONE : ROLLOUT_FAILED,
         result == ENGINE_OK ? NULL : &error);
}

static void *work(void *context) {
    struct phase *phase = context;
    struct error error;
    struct engine *engine =
        engine_open(phase->rollout->config->containers->engine, phase->rollout->stop, &error);

    if (engine == NULL) {
        if (!atomic_load(phase->rollout->stop))
            note_unreachable(phase, &error);
        return NULL;
    }
    while (may_go_on(phase)) {
        size_t index = atomic_fetch_add(&phase->next, 1);
        if (index >= phase->count)
            break;
        carry_out(phase, engine, phase->changes[index]);
    }
    engine_close(engine);
    return NULL;
}

/* ---- Phases ---- */

static void run_phase(struct phase *phase) {
    pthread_t threads[THREADS_MAX];
    size_t wanted = phase->rollout->config->containers->parallel;
    size_t count = 0;

    if (wanted > phase->count)
        wanted = phase->count;
    while (count < wanted && pthread_create(&threads[count], NULL, work, phase) == 0)
        count++;
    if (count == 0 && wanted > 0)
        work(phase);
    while (count > 0)
        pthread_join(threads[--count], NULL);
}

/* What goes does so before anything comes, and from the outside in, so that requests which run are
 * finished; what comes needs what stands before it. */
static const struct {
    bool is_removal;
    enum role role;
} phases[] = {
    {true, ROLE_PROXY}, {true, ROLE_TENANT}, {true, ROLE_SHIM},   {true, ROLE_FPM},
    {false, ROLE_FPM},  {false, ROLE_SHIM},  {false, ROLE_PROXY}, {false, ROLE_TENANT},
};
enum { PHASES = sizeof phases / sizeof *phases };

static void collect(struct phase *phase, const struct plan *plan, int number) {
    phase->count = 0;
    atomic_store(&phase->next, 0);
    for (size_t i = 0; i < plan->count; i++) {
        const struct change *change = &plan->items[i];
        if (change->role == phases[number].role &&
            (change->kind == CHANGE_REMOVE) == phases[number].is_removal)
            phase->changes[phase->count++] = change;
    }
}

struct rollout_result rollout_run(const struct rollout *rollout, const struct plan *plan,
                                  struct error *error) {
    struct rollout_result result = {0};
    struct phase phase = {
        .rollout = rollout, .lock = PTHREAD_MUTEX_INITIALIZER, .result = &result, .error = error};

    phase.changes = calloc(plan->count + 1, sizeof *phase.changes);
    if (phase.changes == NULL)
        abort();
    for (int number = 0; number < PHASES; number++) {
        size_t failed = result.failed;
        collect(&phase, plan, number);
        run_phase(&phase);
        if (result.is_unreachable || (!phases[number].is_removal && result.failed > failed))
            break; /* the next ones need these */
    }
    free(phase.changes);
    result.not_tried = plan->count - result.done - result.failed;
    return result;
}
