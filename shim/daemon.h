/* What the modules of the running daemon share: one process, one loop, no locks. Sockets are
 * watched by the poller, the rest (timer, signals, threads) is libuv's, which the poller watches,
 * too.
 *
 *   web servers ──> listener ──> front ──> request ──> pool ──> backend ──> PHP-FPM
 *                                  ^          │          └ schedule            │
 *                                  └──────────┴───────── response <────────────┘──> meter
 *
 * Callbacks of the loop only mark what is to be done to OTHER objects (a front that broke, a pool
 * with work); daemon_turn() does it once per turn of the loop, when no other function is half way
 * through. That is why no code on a request's way has to expect the object in its hands to vanish.
 */
#ifndef FPMUX_SHIM_DAEMON_H
#define FPMUX_SHIM_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "shim/buffer.h"
#include "shim/front.h"
#include "shim/meter.h"
#include "shim/page.h"
#include "shim/params.h"
#include "shim/poller.h"
#include "shim/pool.h"
#include "shim/quota.h"
#include "shim/site.h"
#include "tenants/config.h"
#include "tenants/counters.h"
#include "tenants/registry.h"

enum { READ_BYTES = 65536, PEER_TEXT_MAX = 80 };

struct listener;
struct folder;

struct daemon {
    uv_loop_t loop;
    const struct config *config; /* borrowed */
    struct registry *registry;   /* owned, like all below */
    struct counters *counters;
    struct meter *meter;
    struct folder *folder;
    struct pages *pages;
    struct sites sites;
    struct quotas quotas;
    struct pool *pools;                /* as many as config->pool_count, in its order */
    struct listener *listeners;        /* the configuration's, a list */
    struct listener *tenant_listeners; /* uthash by tenant */
    struct front *fronts;              /* list of all */
    struct front *broken_fronts;       /* list of those to be closed at the end of the turn */
    struct poller poller;
    struct watch loop_watch; /* libuv's own descriptor */
    struct watch registry_watch;
    struct spool spool;
    struct cork cork;
    struct params params;            /* scratch: of the request being judged */
    uint8_t read_buffer[READ_BYTES]; /* scratch: of the read being handled */
    uint64_t started_serial;         /* requests so far: numbers them */
    uint16_t backend_request_id;     /* last one given out, 1..65535 */
    char instance[9];                /* random; the first part of request ids */
    bool has_paused_listeners;       /* descriptors ran out */
    bool has_loop_news;              /* libuv has something to do */
    bool is_stopped;
    bool is_stopping;
    uint64_t stop_by_ms; /* of the loop's clock */
    uv_timer_t tick;
    uv_signal_t signals[2];
};

/* Sets everything up and starts to listen. The reason for a failure is in error; *exit_code is one
 * of sysexits.h. */
struct daemon *daemon_new(const struct config *config, struct error *error, int *exit_code);
/* Serves until SIGTERM or SIGINT; requests that run are finished first. */
void daemon_run(struct daemon *daemon);
void daemon_free(struct daemon *daemon);

#endif
