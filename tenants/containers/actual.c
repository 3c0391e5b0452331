#include "tenants/containers/actual.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/containers/spec.h"

static const char *const state_names[CONTAINER_STATES] = {
    [CONTAINER_CREATED] = "created", [CONTAINER_RUNNING] = "running",
    [CONTAINER_PAUSED] = "paused",   [CONTAINER_RESTARTING] = "restarting",
    [CONTAINER_EXITED] = "exited",   [CONTAINER_GONE] = "dead",
};

const char *container_state_name(enum container_state state) {
    return state_names[state];
}

/* Never NULL. Borrowed. */
static const char *text_of(const cJSON *object, const char *key) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

    return text != NULL ? text : "";
}

static char *copy_of(const char *text) {
    char *copy = strdup(text);

    if (copy == NULL)
        abort();
    return copy;
}

static enum container_state find_state(const char *name) {
    for (int state = 0; state < CONTAINER_STATES; state++)
        if (strcmp(state_names[state], name) == 0)
            return (enum container_state)state;
    return CONTAINER_GONE;
}

/* A container may have several names (links); the plain one has a single slash, at its start. */
static const char *plain_name(const cJSON *container) {
    const cJSON *name;

    cJSON_ArrayForEach(name, cJSON_GetObjectItemCaseSensitive(container, "Names")) {
        const char *text = cJSON_GetStringValue(name);
        if (text != NULL && text[0] == '/' && strchr(text + 1, '/') == NULL)
            return text + 1;
    }
    return "";
}

static void read_labels(struct actual *actual, const cJSON *labels, const char *system) {
    enum role role = role_find(text_of(labels, LABEL_ROLE));
    const char *unit = "";

    if (strcmp(text_of(labels, LABEL_SYSTEM), system) != 0 || role == ROLES)
        return;
    actual->is_ours = true;
    actual->role = role;
    if (role == ROLE_TENANT)
        unit = text_of(labels, LABEL_TENANT);
    else if (role == ROLE_FPM)
        unit = text_of(labels, LABEL_POOL);
    snprintf(actual->unit, sizeof actual->unit, "%s", unit);
    snprintf(actual->hash, sizeof actual->hash, "%s", text_of(labels, LABEL_HASH));
}

static void read_container(struct actual *actual, const cJSON *container, const char *system) {
    *actual = (struct actual){
        .id = copy_of(text_of(container, "Id")),
        .name = copy_of(plain_name(container)),
        .image = copy_of(text_of(container, "Image")),
        .image_id = copy_of(text_of(container, "ImageID")),
        .status = copy_of(text_of(container, "Status")),
        .state = find_state(text_of(container, "State")),
    };
    const cJSON *created = cJSON_GetObjectItemCaseSensitive(container, "Created");
    if (cJSON_IsNumber(created))
        actual->created = (time_t)created->valuedouble;
    read_labels(actual, cJSON_GetObjectItemCaseSensitive(container, "Labels"), system);
}

/* Ours by role and unit, so that lists and plans come in the same order each time. */
static int compare(const void *left, const void *right) {
    const struct actual *a = left;
    const struct actual *b = right;

    if (a->is_ours != b->is_ours)
        return a->is_ours ? -1 : 1;
    if (a->role != b->role)
        return a->role < b->role ? -1 : 1;
    int order = strcmp(a->unit, b->unit);
    return order != 0 ? order : strcmp(a->name, b->name);
}

void actual_read(struct actual_set *set, const cJSON *list, const char *system) {
    const cJSON *container;

    *set = (struct actual_set){0};
    set->items = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *set->items);
    if (set->items == NULL)
        abort();
    cJSON_ArrayForEach(container, list)
        read_container(&set->items[set->count++], container, system);
    qsort(set->items, set->count, sizeof *set->items, compare);
}

enum engine_result actual_load(struct actual_set *set, struct engine *engine, const char *system,
                               struct error *error) {
    cJSON *list = NULL;
    enum engine_result result =
        engine_call(engine, "GET", "/containers/json?all=1", NULL, &list, error);

    if (result == ENGINE_OK && !cJSON_IsArray(list)) {
        error_set(error, "GET /containers/json: the answer is no list of containers");
        result = ENGINE_REFUSED;
    }
    if (result == ENGINE_OK)
        actual_read(set, list, system);
    cJSON_Delete(list);
    return result;
}

void actual_deinit(struct actual_set *set) {
    for (size_t i = 0; i < set->count; i++) {
        free(set->items[i].id);
        free(set->items[i].name);
        free(set->items[i].image);
        free(set->items[i].image_id);
        free(set->items[i].status);
    }
    free(set->items);
    *set = (struct actual_set){0};
}
