/* Carries out one change of a plan, call by call, on the engine. Each step leaves something that
 * the next plan understands, so an interruption at any point is mended by doing it again.
 *
 * A tenant's web server is replaced without a gap: the new one is started beside the old one, both
 * under the same name in the proxy's eyes, and the old one goes when the new one answers. What can
 * be there only once (a port, the sockets) goes first. */
#ifndef FPMUX_TENANTS_CONTAINERS_APPLY_H
#define FPMUX_TENANTS_CONTAINERS_APPLY_H

#include <stdatomic.h>
#include <stdbool.h>

#include "tenants/config.h"
#include "tenants/containers/engine.h"
#include "tenants/containers/plan.h"

struct apply {
    const struct config *config;
    struct engine *engine; /* of this thread */
    const atomic_bool *stop;
    bool waits; /* until it answers: a tenant's web server through the proxy */
    /* A container of ours has been stopped and is about to be removed; inspect is the engine's
     * answer. Called on this thread; may be NULL. */
    void (*on_stopped)(void *context, const cJSON *inspect);
    void *context;
};

/* ENGINE_OK, or what went wrong, with the error in words for the operator. */
enum engine_result apply_change(const struct apply *apply, const struct change *change,
                                struct error *error);

/* Makes the networks that are missing. */
enum engine_result apply_networks(const struct apply *apply, struct error *error);

/* Removes the networks; one that others use stays. */
enum engine_result apply_remove_networks(const struct apply *apply, struct error *error);

#endif
