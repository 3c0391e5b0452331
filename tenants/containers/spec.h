/* The body of the engine's "create" call for each role: image, mounts, networks, and what the
 * container must not be able to do. Pure. What a tenant's container gets is its socket's
 * directory and the code, both read-only, and its hosts; no secret is in any body. */
#ifndef FPMUX_TENANTS_CONTAINERS_SPEC_H
#define FPMUX_TENANTS_CONTAINERS_SPEC_H

#include <cjson/cJSON.h>

#include "tenants/containers/wanted.h"

/* Labels by which containers, networks and volumes are known again. */
#define LABEL_SYSTEM "fpmux.system" /* containers.name: whose they are */
#define LABEL_ROLE "fpmux.role"
#define LABEL_TENANT "fpmux.tenant"
#define LABEL_POOL "fpmux.pool"
#define LABEL_HASH "fpmux.hash"

/* Names of networks and volumes; owned by the caller. */
char *spec_name(const struct config *config, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Each owned by the caller; without LABEL_HASH. */
cJSON *spec_fpm(const struct config *config, const struct pool_config *pool,
                const struct surroundings *around);
cJSON *spec_shim(const struct config *config, const struct surroundings *around);
cJSON *spec_proxy(const struct config *config);
cJSON *spec_tenant(const struct config *config, const struct tenant *tenant);

#endif
