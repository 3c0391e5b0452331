/* Carries out a whole plan: what is to go first, then role by role in the order in which they need
 * each other, several at a time. Threads, each with a connection to the engine of its own. */
#ifndef FPMUX_TENANTS_CONTAINERS_ROLLOUT_H
#define FPMUX_TENANTS_CONTAINERS_ROLLOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "tenants/containers/apply.h"
#include "tenants/containers/plan.h"

enum rollout_step { ROLLOUT_BEGUN, ROLLOUT_DONE, ROLLOUT_FAILED };

struct rollout {
    const struct config *config;
    const atomic_bool *stop; /* begin nothing more, end what waits */
    bool waits;              /* as in struct apply */
    /* Called by one thread at a time, whichever it is. error is NULL unless it failed. */
    void (*on_step)(void *context, const struct change *change, enum rollout_step step,
                    const struct error *error);
    void (*on_stopped)(void *context, const cJSON *inspect); /* may be NULL */
    void *context;
};

struct rollout_result {
    size_t done;
    size_t failed;
    size_t not_tried; /* because what they need failed, the engine went away, or stop */
    bool is_unreachable;
};

/* error is set when is_unreachable, or when nothing could be begun. */
struct rollout_result rollout_run(const struct rollout *rollout, const struct plan *plan,
                                  struct error *error);

#endif
