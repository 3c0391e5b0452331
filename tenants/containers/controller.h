/* The loop that keeps containers as the registry wants them, for as long as it runs: `fpmuxctl
 * watch`. It looks when the registry or the engine has news, and every 20 s for what nobody
 * tells; it makes a plan and has it carried out on other threads, so that it goes on listening.
 * What fails is tried again, each time later. An engine that goes away is waited for. */
#ifndef FPMUX_TENANTS_CONTAINERS_CONTROLLER_H
#define FPMUX_TENANTS_CONTAINERS_CONTROLLER_H

#include <cjson/cJSON.h>
#include <stdatomic.h>

#include "tenants/config.h"
#include "tenants/error.h"
#include "tenants/registry.h"

/* on_turn wants the loop to end; what is being carried out is finished first. */
enum { CONTROLLER_LEAVE = -2 };

struct controller {
    const struct config *config;
    struct registry *registry; /* loaded; nobody else touches it meanwhile */
    const atomic_bool *stop;
    /* The engine's view of a tenant's container, when something happened to it and every 20 s.
     * All calls are made on the thread that runs the loop. */
    void (*on_inspect)(void *context, const cJSON *inspect);
    /* Once a turn. Returns in how many ms it wants the next one at the latest (-1: whenever), or
     * CONTROLLER_LEAVE. */
    int64_t (*on_turn)(void *context);
    void *context;
};

/* Runs until *stop, or until on_turn leaves. 0, or -1 when it can't begin. */
int controller_run(const struct controller *controller, struct error *error);

#endif
