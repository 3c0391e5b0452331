/* Which containers there should be: decided from the configuration and the registry alone. Pure;
 * what there is comes from actual.h, and plan.h puts the two side by side.
 *
 * A container is known by its role and, where several have the same, by an id: the tenant's, or
 * the pool's name. Everything about it is in the body of the engine's "create" call, and the hash
 * of that body, kept as a label, tells later whether a container is still what it should be. */
#ifndef FPMUX_TENANTS_CONTAINERS_WANTED_H
#define FPMUX_TENANTS_CONTAINERS_WANTED_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "tenants/config.h"
#include "tenants/registry.h"

/* In the order in which they are started: each needs those before it. */
enum role { ROLE_FPM, ROLE_SHIM, ROLE_PROXY, ROLE_TENANT, ROLES };

/* "fpm", "shim", "proxy", "tenant": on the command line, in labels, in names. */
const char *role_name(enum role role);
/* ROLES when there is none of that name. */
enum role role_find(const char *name);

/* What is not in the configuration but decides too. */
struct surroundings {
    uid_t shim_uid;            /* who the daemon runs as: the owner of tenant_sockets, */
    gid_t shim_gid;            /* and the group of the ledger's directory */
    const char *config_dir;    /* absolute, of the configuration's file */
    const char *config_path;   /* absolute */
    const char *config_digest; /* of what the daemon reads; a change starts the shim anew */
    time_t now;
};

/* The first 64 bits of SHA-256, in hex. */
enum { WANTED_HASH_BYTES = 2 * 8 + 1 };
void wanted_digest(const char *text, char hash[WANTED_HASH_BYTES]);

struct wanted {
    enum role role;
    char id[TENANT_ID_MAX + 1]; /* "" where the role has one container only */
    char *name;
    char *image;
    cJSON *body; /* of POST /containers/create, with all labels */
    char hash[WANTED_HASH_BYTES];
    struct string_list networks; /* to be joined besides the one in body, before the start */
    struct string_list volumes;  /* to be made before */
    char *socket;                /* on the host, which the shim makes: a tenant's own must be there
                                    before its start; the shim is ready when it accepts; or NULL */
    char *client;                /* PHP-FPM's: the uid that may connect to its socket; or NULL */
    char *host;                  /* a tenant's first host: what the proxy is asked for; or NULL */
};

struct wanted_set {
    struct wanted *items; /* by role; tenants by id */
    size_t count;
    struct string_list unclear; /* ids whose files are in error: what they want is not known */
};

/* A network that all of it needs. */
struct wanted_network {
    char *name;
    bool is_internal; /* without a way out */
};
enum { WANTED_NETWORKS = 3 };

/* config->containers is not NULL. */
void wanted_make(struct wanted_set *set, const struct config *config,
                 const struct registry *registry, const struct surroundings *around);
void wanted_deinit(struct wanted_set *set);

/* Borrowed, or NULL. */
const struct wanted *wanted_find(const struct wanted_set *set, enum role role, const char *id);

/* Whether that tenant's file is in error: its container, if there is one, is left as it is. */
bool wanted_is_unclear(const struct wanted_set *set, const char *id);

void wanted_networks(const struct config *config, struct wanted_network networks[WANTED_NETWORKS]);
void wanted_networks_deinit(struct wanted_network networks[WANTED_NETWORKS]);

/* Whether the tenant is to be kept from running: suspended, or no longer paid. */
bool wanted_is_suspended(const struct tenant *tenant, time_t now);

#endif
