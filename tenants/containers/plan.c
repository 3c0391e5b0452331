#include "tenants/containers/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[CHANGE_KINDS] = {
    [CHANGE_CREATE] = "create",     [CHANGE_REPLACE] = "replace", [CHANGE_START] = "start",
    [CHANGE_FINISH] = "finish",     [CHANGE_REMOVE] = "remove",   [CHANGE_CONFLICT] = "conflict",
    [CHANGE_NO_IMAGE] = "no image",
};

const char *change_kind_name(enum change_kind kind) {
    return kind_names[kind];
}

bool change_is_blocked(const struct change *change) {
    return change->kind == CHANGE_CONFLICT || change->kind == CHANGE_NO_IMAGE;
}

void change_title(enum role role, const char *unit, char title[CHANGE_TITLE_BYTES]) {
    const char *before = role == ROLE_TENANT ? "" : role_name(role);

    snprintf(title, CHANGE_TITLE_BYTES, "%s%s%s", before,
             before[0] != '\0' && unit[0] != '\0' ? " " : "", unit);
}

bool plan_scope_has(const struct plan_scope *scope, enum role role, const char *unit) {
    const char *word = role == ROLE_TENANT ? unit : role_name(role);

    for (size_t i = 0; i < scope->count; i++)
        if (strcmp(scope->units[i], word) == 0)
            return true;
    return scope->count == 0 && (role == ROLE_TENANT || !scope->is_tenants_only);
}

/* NULL: there is no such image. */
static const char *find_image(const struct image_set *images, const char *name) {
    for (size_t i = 0; i < images->count; i++)
        if (strcmp(images->items[i].name, name) == 0)
            return images->items[i].id;
    return NULL;
}

/* ---- One unit ---- */

static bool is_of(const struct actual *actual, enum role role, const char *unit) {
    return actual->is_ours && actual->role == role && strcmp(actual->unit, unit) == 0;
}

static const char *why_stale(const struct wanted *wanted, const struct actual *actual,
                             const char *image_id) {
    if (actual->state == CONTAINER_GONE)
        return "it is dead";
    bool is_other_image = image_id != NULL && strcmp(actual->image_id, image_id) != 0;
    bool is_other_body = strcmp(actual->hash, wanted->hash) != 0;
    /* An image that lost its name to a newer one is shown by its id. */
    bool has_name = strncmp(actual->image, "sha256:", strlen("sha256:")) != 0;
    if (is_other_body && has_name && strcmp(actual->image, wanted->image) != 0)
        return "another image is wanted";
    if (is_other_image)
        return "its image was built anew";
    return is_other_body ? "its configuration changed" : NULL;
}

static bool is_up(const struct actual *actual) {
    return actual->state == CONTAINER_RUNNING || actual->state == CONTAINER_RESTARTING;
}

/* Of two that are as wanted, the one that runs, and then the one with the right name. */
static bool is_better(const struct wanted *wanted, const struct actual *candidate,
                      const struct actual *other) {
    if (other == NULL || is_up(candidate) != is_up(other))
        return other == NULL || is_up(candidate);
    return strcmp(candidate->name, wanted->name) == 0;
}

static void add_stale(struct change *change, const struct actual *actual) {
    change->stale = realloc(change->stale, (change->stale_count + 1) * sizeof *change->stale);
    if (change->stale == NULL)
        abort();
    change->stale[change->stale_count++] = actual;
}

static void sort_out(struct change *change, const struct actual_set *actual, const char *image_id) {
    const struct wanted *wanted = change->wanted;

    for (size_t i = 0; i < actual->count; i++) {
        const struct actual *item = &actual->items[i];
        if (is_of(item, wanted->role, wanted->id) && why_stale(wanted, item, image_id) == NULL &&
            is_better(wanted, item, change->kept))
            change->kept = item;
    }
    for (size_t i = 0; i < actual->count; i++) {
        const struct actual *item = &actual->items[i];
        if (is_of(item, wanted->role, wanted->id) && item != change->kept) {
            const char *reason = why_stale(wanted, item, image_id);
            add_stale(change, item);
            change->reason = reason != NULL ? reason : "there is one too many";
        }
        if (!item->is_ours && strcmp(item->name, wanted->name) == 0)
            change->foreign = item;
    }
}

/* False: nothing is to be done. */
static bool judge(struct change *change, bool has_image) {
    const struct wanted *wanted = change->wanted;

    change->kind = CHANGE_FINISH;
    if (change->kept == NULL)
        change->kind = change->stale_count > 0 ? CHANGE_REPLACE : CHANGE_CREATE;
    else if (!is_up(change->kept))
        change->kind = CHANGE_START;
    else if (change->stale_count == 0 && strcmp(change->kept->name, wanted->name) == 0)
        return false;
    if (change->foreign != NULL) /* not even what is ours goes: there would be nothing instead */
        change->kind = CHANGE_CONFLICT;
    else if (change->kept == NULL && !has_image)
        change->kind = CHANGE_NO_IMAGE;
    if (change->kind == CHANGE_START)
        change->reason = container_state_name(change->kept->state);
    return true;
}

/* ---- All ---- */

static void add_change(struct plan *plan, const struct change *change) {
    plan->items = realloc(plan->items, (plan->count + 1) * sizeof *plan->items);
    if (plan->items == NULL)
        abort();
    plan->items[plan->count++] = *change;
}

static void plan_wanted(struct plan *plan, const struct wanted *wanted,
                        const struct actual_set *actual, const struct image_set *images) {
    struct change change = {.role = wanted->role,
                            .unit = wanted->id,
                            .name = wanted->name,
                            .wanted = wanted,
                            .reason = ""};
    const char *image_id = find_image(images, wanted->image);

    sort_out(&change, actual, image_id);
    if (judge(&change, image_id != NULL))
        add_change(plan, &change);
    else
        plan->unchanged++;
}

/* Each container of a unit that is not wanted is a change of its own. */
static void plan_removal(struct plan *plan, const struct actual *actual) {
    struct change change = {.kind = CHANGE_REMOVE,
                            .role = actual->role,
                            .unit = actual->unit,
                            .name = actual->name,
                            .reason = ""};

    add_stale(&change, actual);
    add_change(plan, &change);
}

void plan_make(struct plan *plan, const struct wanted_set *wanted, const struct actual_set *actual,
               const struct image_set *images, const struct plan_scope *scope) {
    *plan = (struct plan){0};
    for (size_t i = 0; i < wanted->count; i++)
        if (plan_scope_has(scope, wanted->items[i].role, wanted->items[i].id))
            plan_wanted(plan, &wanted->items[i], actual, images);
    for (size_t i = 0; i < actual->count; i++) {
        const struct actual *item = &actual->items[i];
        bool is_unclear = item->role == ROLE_TENANT && wanted_is_unclear(wanted, item->unit);
        if (item->is_ours && plan_scope_has(scope, item->role, item->unit) && !is_unclear &&
            wanted_find(wanted, item->role, item->unit) == NULL)
            plan_removal(plan, item);
    }
}

void plan_make_removal(struct plan *plan, const struct actual_set *actual,
                       const struct plan_scope *scope) {
    *plan = (struct plan){0};
    for (size_t i = 0; i < actual->count; i++)
        if (actual->items[i].is_ours &&
            plan_scope_has(scope, actual->items[i].role, actual->items[i].unit))
            plan_removal(plan, &actual->items[i]);
}

void plan_deinit(struct plan *plan) {
    for (size_t i = 0; i < plan->count; i++)
        free(plan->items[i].stale);
    free(plan->items);
    *plan = (struct plan){0};
}
