#include "shim/site.h"

#include <stdlib.h>
#include <string.h>

#include "shim/daemon.h"

/* The one place that says what a tenant may take at a time, and where a plan that is used up makes
 * it slow. */
static void set_caps(struct site *site) {
    const struct tenant *tenant = site->tenant;
    bool is_slow = site->is_over_quota && tenant->plan.over == PLAN_OVER_SLOW;

    schedule_lane_set_caps(&site->pool->schedule, &site->lane, tenant->limits.queue,
                           is_slow ? 1 : tenant->limits.concurrency);
    site->pool->has_work = true; /* more may run at once now */
}

/* Takes tenant as the current version. */
static bool take_version(struct site *site, struct tenant *tenant) {
    struct params_block *block = params_block_new(tenant, site->pool->config);

    if (block == NULL)
        return false;
    params_block_free(site->block);
    site->block = block;
    tenant_unref(site->tenant);
    site->tenant = tenant_ref(tenant);
    set_caps(site);
    return true;
}

static void site_free(struct site *site) {
    schedule_lane_deinit(&site->pool->schedule, &site->lane);
    params_block_free(site->block);
    tenant_unref(site->tenant);
    free(site);
}

static struct site *site_new(struct daemon *daemon, struct tenant *tenant) {
    struct site *site = calloc(1, sizeof *site);

    if (site == NULL)
        return NULL;
    memcpy(site->id, tenant->id, sizeof site->id);
    site->pool = pool_of(daemon, tenant->pool);
    site->account = meter_account(daemon->meter, tenant->id);
    site->is_over_quota = quota_is_over(&daemon->quotas, tenant->id);
    if (!schedule_lane_init(&site->pool->schedule, &site->lane)) {
        free(site);
        return NULL;
    }
    if (site->account == NULL || !take_version(site, tenant)) {
        site_free(site);
        return NULL;
    }
    HASH_ADD_KEYPTR(by_id, daemon->sites.table, site->id, strlen(site->id), site);
    return site;
}

static struct site *site_find(struct daemon *daemon, const char *id) {
    struct site *site;

    HASH_FIND(by_id, daemon->sites.table, id, strlen(id), site);
    return site;
}

struct site *site_hold(struct daemon *daemon, struct tenant *tenant) {
    struct site *site = site_find(daemon, tenant->id);

    if (site == NULL)
        site = site_new(daemon, tenant);
    if (site != NULL)
        site->holders++;
    return site;
}

void site_hold_again(struct site *site) {
    site->holders++;
}

void site_release(struct site *site) {
    if (--site->holders == 0 && site->is_gone)
        site_free(site);
}

static void retire(struct daemon *daemon, struct site *site) {
    HASH_DELETE(by_id, daemon->sites.table, site);
    site->is_gone = true;
    if (site->holders == 0)
        site_free(site);
}

/* A site that can't follow (no memory, or now in another pool) is retired; the tenant's next
 * request makes a new one. */
void site_on_change(struct daemon *daemon, const struct tenant *before, struct tenant *after) {
    struct site *site = site_find(daemon, before != NULL ? before->id : after->id);

    if (site == NULL)
        return;
    if (after == NULL || pool_of(daemon, after->pool) != site->pool || !take_version(site, after))
        retire(daemon, site);
}

bool site_is_refused(const struct site *site) {
    return site->is_over_quota && site->tenant->plan.over == PLAN_OVER_REFUSE;
}

void site_set_over_quota(struct daemon *daemon, const char *id, bool is_over) {
    struct site *site = site_find(daemon, id);

    if (site == NULL)
        return; /* when it is made it asks */
    site->is_over_quota = is_over;
    set_caps(site);
    if (site_is_refused(site))
        pool_refuse_waiting(&site->lane, PAGE_OVER_QUOTA, SITE_REFUSED_REASON);
}

void sites_free(struct sites *sites) {
    struct site *site;
    struct site *next;

    HASH_ITER(by_id, sites->table, site, next) {
        HASH_DELETE(by_id, sites->table, site);
        site_free(site);
    }
}
