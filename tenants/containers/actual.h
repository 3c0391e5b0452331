/* Which containers there are: one call to the engine, read into typed objects. Also those that are
 * not ours, because a name can be taken by one. */
#ifndef FPMUX_TENANTS_CONTAINERS_ACTUAL_H
#define FPMUX_TENANTS_CONTAINERS_ACTUAL_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "tenants/containers/engine.h"
#include "tenants/containers/wanted.h"

enum container_state {
    CONTAINER_CREATED, /* never started */
    CONTAINER_RUNNING,
    CONTAINER_PAUSED,
    CONTAINER_RESTARTING, /* it died, and the engine waits a moment before it starts it again */
    CONTAINER_EXITED,
    CONTAINER_GONE, /* dead, or being removed */
    CONTAINER_STATES
};

struct actual {
    char *id; /* the engine's, hex */
    char *name;
    bool is_ours; /* has our system's label; what follows is set for those only */
    enum role role;
    char unit[TENANT_ID_MAX + 1]; /* tenant or pool, "" for the others */
    char hash[WANTED_HASH_BYTES];
    char *image;    /* as it was named */
    char *image_id; /* what that was */
    enum container_state state;
    char *status; /* the engine's words: "Up 3 minutes", "Exited (1) 2 hours ago" */
    time_t created;
};

struct actual_set {
    struct actual *items; /* ours first, by role and unit */
    size_t count;
};

const char *container_state_name(enum container_state state);

enum engine_result actual_load(struct actual_set *set, struct engine *engine, const char *system,
                               struct error *error);
/* The same from the engine's answer to GET /containers/json?all=1. Pure. */
void actual_read(struct actual_set *set, const cJSON *list, const char *system);
void actual_deinit(struct actual_set *set);

#endif
