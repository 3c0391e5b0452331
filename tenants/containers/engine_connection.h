/* What engine.c and engine_exec.c share: the connection, and how its failures are told. */
#ifndef FPMUX_TENANTS_CONTAINERS_ENGINE_CONNECTION_H
#define FPMUX_TENANTS_CONTAINERS_ENGINE_CONNECTION_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "tenants/containers/engine.h"
#include "tenants/error.h"

enum {
    ENGINE_CONNECT_SECONDS = 5,
    ENGINE_ANSWER_SECONDS = 120, /* of calls that the engine answers at once, when it is well */
};

struct engine {
    CURL *curl;              /* owned; keeps its connection from call to call */
    char *socket_path;       /* owned */
    char base[64];           /* "http://docker/v1.41": the host's name means nothing */
    const atomic_bool *stop; /* borrowed, or NULL */
};

bool engine_is_stopped(const struct engine *engine);

/* Where to connect to, how long to try, and nothing that the environment could change. */
void engine_set_address(const struct engine *engine, CURL *curl);

/* Tells why libcurl failed at what, "GET /containers/json". Always ENGINE_UNREACHABLE or
 * ENGINE_INTERRUPTED. */
enum engine_result engine_tell_failure(const struct engine *engine, CURL *curl, CURLcode code,
                                       const char *method, const char *path, struct error *error);

#endif
