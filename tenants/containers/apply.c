#include "tenants/containers/apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/containers/ready.h"
#include "tenants/containers/spec.h"
#include "tenants/containers_config.h"

/* How long the proxy may go on using an address that it has looked up (resolver … valid=1s), and a
 * little more. */
enum { NAME_CACHE_MS = 1200, PATH_BYTES = 512 };

#define NEXT_SUFFIX ".next" /* a replacement, until it takes the name of the one before */

/* ---- Calls ---- */

static enum engine_result post(const struct apply *apply, const char *path, const cJSON *body,
                               struct error *error) {
    return engine_call(apply->engine, "POST", path, body, NULL, error);
}

static enum engine_result inspect(const struct apply *apply, const char *id, cJSON **reply,
                                  struct error *error) {
    char path[PATH_BYTES];

    snprintf(path, sizeof path, "/containers/%s/json", id);
    return engine_call(apply->engine, "GET", path, NULL, reply, error);
}

static enum engine_result make_volume(const struct apply *apply, const char *name,
                                      struct error *error) {
    cJSON *body = cJSON_CreateObject();

    cJSON_AddStringToObject(body, "Name", name);
    cJSON_AddStringToObject(cJSON_AddObjectToObject(body, "Labels"), LABEL_SYSTEM,
                            apply->config->containers->name);
    enum engine_result result = post(apply, "/volumes/create", body, error);
    cJSON_Delete(body);
    return result;
}

/* *id is owned by the caller. */
static enum engine_result create(const struct apply *apply, const struct wanted *wanted,
                                 const char *name, char **id, struct error *error) {
    char path[PATH_BYTES];
    cJSON *reply = NULL;
    enum engine_result result = ENGINE_OK;

    *id = NULL;
    for (size_t i = 0; result == ENGINE_OK && i < wanted->volumes.count; i++)
        result = make_volume(apply, wanted->volumes.items[i], error);
    if (result != ENGINE_OK)
        return result;
    snprintf(path, sizeof path, "/containers/create?name=%s", name);
    result = engine_call(apply->engine, "POST", path, wanted->body, &reply, error);
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(reply, "Id"));
    if (result == ENGINE_OK && text != NULL)
        *id = strdup(text);
    cJSON_Delete(reply);
    if (result == ENGINE_OK && *id == NULL) {
        error_set(error, "the engine made %s, but did not say its id", name);
        return ENGINE_REFUSED;
    }
    return result;
}

/* Joins what is not joined yet: an interrupted run may have come half the way. */
static enum engine_result join_networks(const struct apply *apply, const struct wanted *wanted,
                                        const char *id, struct error *error) {
    cJSON *container = NULL;
    char path[PATH_BYTES];

    if (wanted->networks.count == 0)
        return ENGINE_OK;
    enum engine_result result = inspect(apply, id, &container, error);
    const cJSON *joined = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(container, "NetworkSettings"), "Networks");
    cJSON *body = cJSON_CreateObject();
    cJSON_AddStringToObject(body, "Container", id);
    for (size_t i = 0; result == ENGINE_OK && i < wanted->networks.count; i++) {
        const char *network = wanted->networks.items[i];
        if (cJSON_GetObjectItemCaseSensitive(joined, network) != NULL)
            continue;
        snprintf(path, sizeof path, "/networks/%s/connect", network);
        result = post(apply, path, body, error);
        if (result != ENGINE_OK)
            error_prefix(error, "network %s", network);
    }
    cJSON_Delete(body);
    cJSON_Delete(container);
    return result;
}

/* The engine's words are kept; what the operator can do about them is added. */
static void explain_start(const struct wanted *wanted, const struct config *config,
                          struct error *error) {
    bool is_port = strstr(error->text, "address already in use") != NULL ||
                   strstr(error->text, "port is already allocated") != NULL;

    if (is_port && wanted->role == ROLE_PROXY)
        error_prefix(error,
                     "port %u of this host is taken; see who has it with: ss -ltnp 'sport = :%u', "
                     "or set containers.proxy_port",
                     config->containers->proxy_port, config->containers->proxy_port);
}

static enum engine_result start(const struct apply *apply, const struct wanted *wanted,
                                const char *id, bool is_paused, struct error *error) {
    char path[PATH_BYTES];
    enum engine_result result = join_networks(apply, wanted, id, error);

    if (result != ENGINE_OK)
        return result;
    snprintf(path, sizeof path, "/containers/%s/%s", id, is_paused ? "unpause" : "start");
    result = post(apply, path, NULL, error);
    if (result != ENGINE_OK)
        explain_start(wanted, apply->config, error);
    return result;
}

static bool has_text(const cJSON *array, const char *text) {
    const cJSON *item;

    cJSON_ArrayForEach(item, array) {
        if (strcmp(item->valuestring, text) == 0)
            return true;
    }
    return false;
}

static bool has_all_names(const cJSON *container, const struct wanted *wanted) {
    const cJSON *joined = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(container, "NetworkSettings"), "Networks");
    const cJSON *endpoints = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(wanted->body, "NetworkingConfig"), "EndpointsConfig");
    const cJSON *endpoint;
    const cJSON *alias;

    cJSON_ArrayForEach(endpoint, endpoints) {
        const cJSON *names = cJSON_GetObjectItemCaseSensitive(
            cJSON_GetObjectItemCaseSensitive(joined, endpoint->string), "Aliases");
        cJSON_ArrayForEach(alias, cJSON_GetObjectItemCaseSensitive(endpoint, "Aliases")) {
            if (!has_text(names, alias->valuestring))
                return false;
        }
    }
    return true;
}

/* One that was there before. An engine that was killed just after it made a container may have
 * forgotten the names by which the proxy finds it. */
static enum engine_result start_again(const struct apply *apply, const struct wanted *wanted,
                                      const char *id, bool is_paused, struct error *error) {
    cJSON *container = NULL;
    enum engine_result result = inspect(apply, id, &container, error);

    if (result == ENGINE_OK && !has_all_names(container, wanted)) {
        error_set(error, "the engine has forgotten its names");
        result = ENGINE_REFUSED;
    }
    cJSON_Delete(container);
    return result == ENGINE_OK ? start(apply, wanted, id, is_paused, error) : result;
}

static enum engine_result rename_to(const struct apply *apply, const char *id, const char *name,
                                    struct error *error) {
    char path[PATH_BYTES];

    snprintf(path, sizeof path, "/containers/%s/rename?name=%s", id, name);
    return post(apply, path, NULL, error);
}

/* Stopped first, in peace: what it had begun is finished, and when it ended is known. */
static enum engine_result take_away(const struct apply *apply, const struct actual *actual,
                                    struct error *error) {
    char path[PATH_BYTES];
    cJSON *container = NULL;

    snprintf(path, sizeof path, "/containers/%s/stop", actual->id);
    enum engine_result result = post(apply, path, NULL, error);
    if (result == ENGINE_UNREACHABLE || result == ENGINE_INTERRUPTED)
        return result;
    if (apply->on_stopped != NULL && inspect(apply, actual->id, &container, error) == ENGINE_OK)
        apply->on_stopped(apply->context, container);
    cJSON_Delete(container);
    snprintf(path, sizeof path, "/containers/%s?force=true&v=true", actual->id);
    result = engine_call(apply->engine, "DELETE", path, NULL, NULL, error);
    return result == ENGINE_MISSING ? ENGINE_OK : result;
}

static enum engine_result take_stale_away(const struct apply *apply, const struct change *change,
                                          struct error *error) {
    enum engine_result result = ENGINE_OK;

    for (size_t i = 0; result == ENGINE_OK && i < change->stale_count; i++)
        result = take_away(apply, change->stale[i], error);
    return result;
}

/* ---- The steps of a change ---- */

/* A bind mount wants its directory, and Docker keeps the one that it found. */
static enum engine_result wait_for_socket(const struct ready *ready, const struct wanted *wanted,
                                          struct error *error) {
    if (wanted->role != ROLE_TENANT || wanted->socket == NULL)
        return ENGINE_OK;
    return ready_wait_for_socket(ready, wanted->socket, error);
}

static bool has_name(const struct change *change, const char *name) {
    for (size_t i = 0; i < change->stale_count; i++)
        if (strcmp(change->stale[i]->name, name) == 0)
            return true;
    return false;
}

/* A new one beside those that go must be called otherwise for a while: *is_next. */
static enum engine_result create_beside(const struct apply *apply, const struct change *change,
                                        char **id, bool *is_next, struct error *error) {
    const char *name = change->wanted->name;
    enum engine_result result = ENGINE_OK;
    char next[PATH_BYTES];

    snprintf(next, sizeof next, "%s" NEXT_SUFFIX, name);
    *is_next = has_name(change, name);
    if (!*is_next)
        return create(apply, change->wanted, name, id, error);
    for (size_t i = 0; result == ENGINE_OK && i < change->stale_count; i++)
        if (strcmp(change->stale[i]->name, next) == 0) /* is stale, too: it goes at once */
            result = take_away(apply, change->stale[i], error);
    return result == ENGINE_OK ? create(apply, change->wanted, next, id, error) : result;
}

/* The new one runs: the others go when it answers. */
static enum engine_result hand_over(const struct apply *apply, const struct change *change,
                                    const struct ready *ready, const char *id,
                                    struct error *error) {
    enum engine_result result = ENGINE_OK;

    if (change->stale_count > 0) {
        result = ready_wait(ready, change->wanted, id, READY_ITSELF, error);
        if (result == ENGINE_OK)
            result = ready_pause(ready, NAME_CACHE_MS, error);
    }
    if (result == ENGINE_OK)
        result = take_stale_away(apply, change, error);
    return result;
}

static enum engine_result bring_up(const struct apply *apply, const struct change *change,
                                   const struct ready *ready, struct error *error);

/* An engine that was killed while it started a container may never be able to start it again. */
static enum engine_result make_anew(const struct apply *apply, const struct change *change,
                                    const struct actual *kept, const struct ready *ready,
                                    struct error *error) {
    struct change anew = *change;
    enum engine_result result = take_away(apply, kept, error);

    anew.kind = CHANGE_CREATE;
    anew.kept = NULL;
    return result == ENGINE_OK ? bring_up(apply, &anew, ready, error) : result;
}

static enum engine_result bring_up(const struct apply *apply, const struct change *change,
                                   const struct ready *ready, struct error *error) {
    const struct wanted *wanted = change->wanted;
    const struct actual *kept = change->kept;
    bool is_tenant = wanted->role == ROLE_TENANT;
    bool is_paused = kept != NULL && kept->state == CONTAINER_PAUSED;
    bool is_misnamed = kept != NULL && strcmp(kept->name, wanted->name) != 0;
    char *id = kept != NULL ? strdup(kept->id) : NULL;
    enum engine_result result = wait_for_socket(ready, wanted, error);

    if (result == ENGINE_OK && !is_tenant)
        result = take_stale_away(apply, change, error);
    if (result == ENGINE_OK && id == NULL)
        result = is_tenant ? create_beside(apply, change, &id, &is_misnamed, error)
                           : create(apply, wanted, wanted->name, &id, error);
    if (result == ENGINE_OK && kept != NULL && change->kind == CHANGE_START) {
        result = start_again(apply, wanted, id, is_paused, error);
        if (result == ENGINE_REFUSED) {
            free(id);
            return make_anew(apply, change, kept, ready, error);
        }
    } else if (result == ENGINE_OK && change->kind != CHANGE_FINISH) {
        result = start(apply, wanted, id, false, error);
    }
    if (result == ENGINE_OK && is_tenant)
        result = hand_over(apply, change, ready, id, error);
    if (result == ENGINE_OK && is_misnamed)
        result = rename_to(apply, id, wanted->name, error);
    if (result == ENGINE_OK && apply->waits)
        result = ready_wait(ready, wanted, id, READY_FOR_CLIENTS, error);
    free(id);
    return result;
}

static enum engine_result refuse(const struct change *change, struct error *error) {
    if (change->kind == CHANGE_CONFLICT)
        error_set(error,
                  "the name %s belongs to container %.12s, which is not fpmux's and is left alone; "
                  "rename or remove it, or set containers.name",
                  change->name, change->foreign->id);
    else
        error_set(error,
                  "there is no image %s; build it with: fpmuxctl build, or fetch it with: "
                  "docker pull %s",
                  change->wanted->image, change->wanted->image);
    return ENGINE_REFUSED;
}

enum engine_result apply_change(const struct apply *apply, const struct change *change,
                                struct error *error) {
    const struct ready ready = {
        .config = apply->config, .engine = apply->engine, .stop = apply->stop};

    if (change_is_blocked(change))
        return refuse(change, error);
    if (change->kind == CHANGE_REMOVE)
        return take_stale_away(apply, change, error);
    return bring_up(apply, change, &ready, error);
}

/* ---- Networks ---- */

/* ENGINE_MISSING when there is none of that name. */
static enum engine_result find_network(const struct apply *apply,
                                       const struct wanted_network *network, bool *is_ours,
                                       struct error *error) {
    char path[PATH_BYTES];
    cJSON *reply = NULL;

    snprintf(path, sizeof path, "/networks/%s", network->name);
    enum engine_result result = engine_call(apply->engine, "GET", path, NULL, &reply, error);
    const char *system = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(reply, "Labels"), LABEL_SYSTEM));
    *is_ours = system != NULL && strcmp(system, apply->config->containers->name) == 0;
    cJSON_Delete(reply);
    return result;
}

static enum engine_result make_network(const struct apply *apply,
                                       const struct wanted_network *network, struct error *error) {
    cJSON *body = cJSON_CreateObject();

    cJSON_AddStringToObject(body, "Name", network->name);
    cJSON_AddTrueToObject(body, "CheckDuplicate");
    cJSON_AddStringToObject(body, "Driver", "bridge");
    cJSON_AddBoolToObject(body, "Internal", network->is_internal);
    cJSON_AddStringToObject(cJSON_AddObjectToObject(body, "Labels"), LABEL_SYSTEM,
                            apply->config->containers->name);
    enum engine_result result = post(apply, "/networks/create", body, error);
    cJSON_Delete(body);
    return result == ENGINE_CONFLICT ? ENGINE_OK : result; /* somebody else made it just now */
}

static enum engine_result need_network(const struct apply *apply,
                                       const struct wanted_network *network, struct error *error) {
    bool is_ours;
    enum engine_result result = find_network(apply, network, &is_ours, error);

    if (result == ENGINE_MISSING)
        return make_network(apply, network, error);
    if (result != ENGINE_OK || is_ours)
        return result;
    error_set(error, "a network %s is there that is not fpmux's; remove it, or set containers.name",
              network->name);
    return ENGINE_REFUSED;
}

enum engine_result apply_networks(const struct apply *apply, struct error *error) {
    struct wanted_network networks[WANTED_NETWORKS];
    enum engine_result result = ENGINE_OK;

    wanted_networks(apply->config, networks);
    for (int i = 0; result == ENGINE_OK && i < WANTED_NETWORKS; i++)
        result = need_network(apply, &networks[i], error);
    wanted_networks_deinit(networks);
    return result;
}

static enum engine_result remove_network(const struct apply *apply,
                                         const struct wanted_network *network,
                                         struct error *error) {
    char path[PATH_BYTES];
    bool is_ours;
    enum engine_result result = find_network(apply, network, &is_ours, error);

    if (result == ENGINE_OK && is_ours) {
        snprintf(path, sizeof path, "/networks/%s", network->name);
        result = engine_call(apply->engine, "DELETE", path, NULL, NULL, error);
    }
    bool is_used = result == ENGINE_REFUSED && strstr(error->text, "active endpoints") != NULL;
    return result == ENGINE_MISSING || is_used ? ENGINE_OK : result;
}

enum engine_result apply_remove_networks(const struct apply *apply, struct error *error) {
    struct wanted_network networks[WANTED_NETWORKS];
    enum engine_result result = ENGINE_OK;

    wanted_networks(apply->config, networks);
    for (int i = 0; result == ENGINE_OK && i < WANTED_NETWORKS; i++)
        result = remove_network(apply, &networks[i], error);
    wanted_networks_deinit(networks);
    return result;
}
