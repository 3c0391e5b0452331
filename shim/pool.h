/* One PHP-FPM: its backends and the queue in front of them. A request handed to PHP-FPM can't be
 * taken back, so all waiting happens here, and there are never more backends than workers. */
#ifndef FPMUX_SHIM_POOL_H
#define FPMUX_SHIM_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/address.h"
#include "shim/backend.h"
#include "shim/page.h"
#include "shim/params.h"
#include "shim/schedule.h"
#include "tenants/config.h"

struct daemon;
struct request;

struct pool {
    struct daemon *daemon;
    const struct pool_config *config; /* borrowed */
    struct params_rules *rules;
    struct schedule schedule;
    struct address address;
    bool closes_after_values; /* a PHP-FPM before 8.2.13: no question ahead of a request */
    bool stays_after_values;  /* seen: not such a one */
    unsigned vain_asks;       /* connections in a row that were closed without an answer */
    bool has_work;            /* pool_pump() at the end of this turn */
    bool was_unreachable;     /* said in the log */
    bool was_unmetered;       /* said in the log */
    bool is_unsafe;           /* its OPcache lets tenants see each other's settings (probe.h) */
    bool is_probed;           /* the question is settled */
    bool is_probing;          /* is being asked */
    uint64_t probe_at_ms;
    struct backend *backends[BACKEND_STATES]; /* one list per state */
    unsigned counts[BACKEND_STATES];
};

/* address is resolved here. 0, or -1 with the reason. */
int pool_init(struct pool *pool, struct daemon *daemon, const struct pool_config *config,
              struct error *error);
void pool_deinit(struct pool *pool);

/* The pool of that name; the registry has checked that there is one. */
struct pool *pool_of(struct daemon *daemon, const char *name);

/* Queues a complete request. false: its tenant's queue is full. */
bool pool_enqueue(struct pool *pool, struct request *request);

/* Puts a request that did not run back to where it was in the queue. */
void pool_requeue(struct pool *pool, struct request *request);

/* Answers all that wait in that lane with a page. */
void pool_refuse_waiting(struct lane *lane, enum page_kind kind, const char *reason);

/* Starts what can be started: at the end of a turn in which has_work was set. */
void pool_pump(struct pool *pool);

/* A connection could not be made, or was closed before a worker answered on it: when no other one
 * lives, every waiting request is answered with 502. */
void pool_on_unreachable(struct pool *pool, int failure);
/* A worker answered. */
void pool_on_reachable(struct pool *pool);

/* Says once in the log that the CPU of this pool's requests is not known. */
void pool_say_unmetered(struct pool *pool, const char *why);

/* Deadlines, idle backends, tails: about every 100 ms. */
void pool_tick(struct pool *pool, uint64_t now_ns);

#endif
