/* Waiting until a container does its work. Asks as its clients would: the proxy over HTTP, a
 * tenant's web server through the proxy, the shim at its socket, PHP-FPM at its own. Gives up at
 * once when the container ended, and after containers.ready_seconds. */
#ifndef FPMUX_TENANTS_CONTAINERS_READY_H
#define FPMUX_TENANTS_CONTAINERS_READY_H

#include <stdatomic.h>

#include "tenants/config.h"
#include "tenants/containers/engine.h"
#include "tenants/containers/wanted.h"

struct ready {
    const struct config *config;
    struct engine *engine;
    const atomic_bool *stop;
};

enum ready_for {
    READY_ITSELF,     /* it answers at its own address: others of the same name may answer, too */
    READY_FOR_CLIENTS /* it answers where its clients ask */
};

/* id is the container's. ENGINE_REFUSED with the reason when it does not become ready. */
enum engine_result ready_wait(const struct ready *ready, const struct wanted *wanted,
                              const char *id, enum ready_for whom, struct error *error);

/* Until there is a socket at path. */
enum engine_result ready_wait_for_socket(const struct ready *ready, const char *path,
                                         struct error *error);

/* ENGINE_INTERRUPTED when stopped meanwhile. */
enum engine_result ready_pause(const struct ready *ready, int ms, struct error *error);

#endif
