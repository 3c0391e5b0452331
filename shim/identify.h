/* Which tenant is this? The first source that applies decides, in the configured order: the
 * tenant's own socket, FPMUX_TENANT (with FPMUX_TOKEN), the host name. Pure but for look-ups in
 * the registry; never a fallback from one tenant to another. */
#ifndef FPMUX_SHIM_IDENTIFY_H
#define FPMUX_SHIM_IDENTIFY_H

#include <time.h>

#include "shim/params.h"
#include "tenants/config.h"
#include "tenants/registry.h"

struct identity {
    struct tenant *tenant;  /* borrowed from the registry; set also when it is suspended or unpaid,
                               so that the refusal is counted under the right name; else NULL */
    struct refusal refusal; /* 404: no such tenant, or wrong token; 503: suspended, unpaid */
};

/* socket_tenant is the id whose socket the front came in by, or NULL for a shared listener. now is
 * wall-clock time, for paid_until. */
struct identity identify(const struct config *config, const struct registry *registry,
                         const char *socket_tenant, const struct params *params, time_t now);

#endif
