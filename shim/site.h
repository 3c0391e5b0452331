/* A tenant as the running daemon sees it: the registry's current version of it, its parameters
 * encoded, its lane in its pool's schedule, its account. Made at the tenant's first request,
 * follows the registry, and lives on until its last request has ended when the tenant is removed.
 */
#ifndef FPMUX_SHIM_SITE_H
#define FPMUX_SHIM_SITE_H

#include <stdbool.h>
#include <uthash.h>

#include "shim/params.h"
#include "shim/schedule.h"
#include "tenants/tenant.h"

struct account;
struct daemon;
struct pool;

struct site {
    char id[TENANT_ID_MAX + 1];
    struct tenant *tenant;      /* a reference; the current version */
    struct params_block *block; /* owned */
    struct pool *pool;
    struct lane lane; /* in pool's schedule */
    struct account *account;
    bool is_over_quota;
    unsigned holders; /* requests, and backends that are not at rest yet */
    bool is_gone;     /* not in the table any more; freed with its last holder */
    UT_hash_handle by_id;
};

struct sites {
    struct site *table; /* uthash by id */
};

/* The site of a tenant that the registry gave, held; site_release() it. NULL: out of memory. */
struct site *site_hold(struct daemon *daemon, struct tenant *tenant);
void site_hold_again(struct site *site);
void site_release(struct site *site);

/* Follows a change of the registry: a registry_change_fn for sites. */
void site_on_change(struct daemon *daemon, const struct tenant *before, struct tenant *after);

/* The month's allowance of that tenant is used up, or is not: it is refused or slowed down as its
 * plan says, from now on. What runs is finished; who waits and is to be refused is answered. */
void site_set_over_quota(struct daemon *daemon, const char *id, bool is_over);

/* Whether the tenant's requests are to be answered with PAGE_OVER_QUOTA. */
bool site_is_refused(const struct site *site);
#define SITE_REFUSED_REASON "the tenant has used up its plan of this month"

void sites_free(struct sites *sites);

#endif
