/* What has to be done so that there is what there should be. Pure: two lists in, a list of changes
 * out, always the same for the same lists. Carried out by apply.c; also printed, by `plan`.
 *
 * A change leads from any state to the wanted one, also from what an interrupted run left behind:
 * a container that is as it should be is kept, whatever it is called; it is started unless it
 * runs; all others of the same tenant (or pool, or role) are stale and are removed. Only who
 * is not in the registry loses his container: a slip of the hand in his file is no farewell. */
#ifndef FPMUX_TENANTS_CONTAINERS_PLAN_H
#define FPMUX_TENANTS_CONTAINERS_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "tenants/containers/actual.h"
#include "tenants/containers/wanted.h"

enum change_kind {
    CHANGE_CREATE,   /* there is none */
    CHANGE_REPLACE,  /* what there is differs from what is wanted */
    CHANGE_START,    /* it is there, but does not run */
    CHANGE_FINISH,   /* it runs; what an interrupted run left is put in order */
    CHANGE_REMOVE,   /* nothing is wanted */
    CHANGE_CONFLICT, /* the name belongs to somebody else's container: nothing is done */
    CHANGE_NO_IMAGE, /* nothing is done */
    CHANGE_KINDS
};

struct change {
    enum change_kind kind;
    enum role role;
    const char *unit;            /* tenant or pool, "" for the others */
    const char *name;            /* the container's name */
    const struct wanted *wanted; /* NULL: CHANGE_REMOVE */
    const struct actual *kept;   /* as wanted, or NULL */
    const struct actual **stale; /* owned array */
    size_t stale_count;
    const struct actual *foreign; /* CHANGE_CONFLICT: whose the name is */
    const char *reason;           /* static text, "" where the kind says all */
};

struct plan {
    struct change *items; /* in the order of wanted; removals last */
    size_t count;
    size_t unchanged;
};

/* What an image's name stands for now. */
struct image {
    char *name;
    char *id; /* NULL: there is none of that name */
};

struct image_set {
    struct image *items;
    size_t count;
};

/* Which units are meant: NULL or empty lists stand for all. */
struct plan_scope {
    const char *const *units; /* "fpm", "shim", "proxy", or a tenant's id */
    size_t count;
    bool is_tenants_only;
};

bool plan_scope_has(const struct plan_scope *scope, enum role role, const char *unit);

/* plan borrows from all arguments. */
void plan_make(struct plan *plan, const struct wanted_set *wanted, const struct actual_set *actual,
               const struct image_set *images, const struct plan_scope *scope);
/* The plan that leaves nothing of what is in scope. */
void plan_make_removal(struct plan *plan, const struct actual_set *actual,
                       const struct plan_scope *scope);
void plan_deinit(struct plan *plan);

const char *change_kind_name(enum change_kind kind);

/* Whether nothing can be done about it by us. */
bool change_is_blocked(const struct change *change);

/* What is said of a unit: "centro1", "fpm default", "shim". */
enum { CHANGE_TITLE_BYTES = TENANT_ID_MAX + 8 };
void change_title(enum role role, const char *unit, char title[CHANGE_TITLE_BYTES]);

#endif
