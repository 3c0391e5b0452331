#include "shim/pool.h"

#include <stdio.h>
#include <string.h>

#include "shim/daemon.h"
#include "shim/exchange.h"
#include "shim/probe.h"
#include "shim/request.h"
#include "shim/site.h"
#include "tenants/log.h"

enum { VAIN_ASKS_MAX = 3 };

/* ---- Lifecycle ---- */

int pool_init(struct pool *pool, struct daemon *daemon, const struct pool_config *config,
              struct error *error) {
    *pool = (struct pool){.daemon = daemon, .config = config};
    schedule_init(&pool->schedule);
    pool->rules = params_rules_new(config);
    if (pool->rules == NULL) {
        error_set(error, "pool %s: out of memory", config->name);
        return -1;
    }
    int result = address_resolve(config->address, &pool->address, error);
    if (result != 0)
        error_prefix(error, "pool %s", config->name);
    else if (!pool->address.is_unix)
        pool_say_unmetered(pool, "its address is not a unix socket");
    return result;
}

void pool_deinit(struct pool *pool) {
    for (int state = 0; state < BACKEND_STATES; state++)
        while (pool->backends[state] != NULL)
            backend_close(pool->backends[state]);
    params_rules_free(pool->rules);
    schedule_deinit(&pool->schedule);
}

struct pool *pool_of(struct daemon *daemon, const char *name) {
    for (size_t i = 0; i < daemon->config->pool_count; i++)
        if (strcmp(daemon->pools[i].config->name, name) == 0)
            return &daemon->pools[i];
    return NULL;
}

void pool_say_unmetered(struct pool *pool, const char *why) {
    if (pool->was_unmetered)
        return;
    pool->was_unmetered = true;
    log_warning(
        "pool %s: the CPU of its requests can't be known: %s; the bills' cpu_seconds will be "
        "empty",
        pool->config->name, why);
}

/* ---- The queue ---- */

static struct request *request_of(struct ticket *ticket) {
    return (struct request *)ticket; /* its first member */
}

static uint64_t wait_ns_of(const struct request *request) {
    return (uint64_t)request->site->tenant->limits.queue_ms * 1000000U;
}

bool pool_enqueue(struct pool *pool, struct request *request) {
    pool->has_work = true;
    return schedule_push(&pool->schedule, &request->site->lane, &request->ticket, uv_hrtime(),
                         wait_ns_of(request));
}

void pool_requeue(struct pool *pool, struct request *request) {
    request->state = REQUEST_QUEUED;
    request->backend = NULL;
    pool->has_work = true;
    schedule_put_back(&pool->schedule, &request->site->lane, &request->ticket, uv_hrtime(),
                      wait_ns_of(request));
}

void pool_refuse_waiting(struct lane *lane, enum page_kind kind, const char *reason) {
    while (lane->first != NULL)
        request_refuse(request_of(lane->first), kind, reason);
}

static unsigned count_backends(const struct pool *pool) {
    unsigned count = 0;

    for (int state = 0; state < BACKEND_STATES; state++)
        count += pool->counts[state];
    return count;
}

/* The tenant's last worker, where it is free: its settings need not be sent and its caches are
 * warm. Else the one that was used last. */
static struct backend *pick(const struct pool *pool, const struct site *site) {
    struct backend *first = pool->backends[BACKEND_IDLE];

    for (struct backend *backend = first; backend != NULL; backend = backend->next)
        if (backend->last == site->account)
            return backend;
    return first;
}

/* As many connections as requests wait for, within the pool's workers. */
static void open_more(struct pool *pool) {
    unsigned coming = pool->counts[BACKEND_CONNECTING] + pool->counts[BACKEND_ASKING];

    while (coming < pool->schedule.tickets && count_backends(pool) < pool->config->workers) {
        int failure = backend_open(pool);
        if (failure != 0) {
            pool_on_unreachable(pool, -failure);
            return;
        }
        coming++;
    }
}

void pool_pump(struct pool *pool) {
    struct ticket *ticket;

    while ((ticket = schedule_peek(&pool->schedule)) != NULL) {
        struct request *request = request_of(ticket);
        struct backend *backend = pick(pool, request->site);
        if (backend == NULL)
            break;
        /* What may not be run twice is not risked on a connection that has ended meanwhile. */
        if (!request->is_safe && backend_is_stale(backend)) {
            backend_close(backend);
            continue;
        }
        schedule_start(&pool->schedule, ticket);
        exchange_start(backend, request);
    }
    if (ticket != NULL)
        open_more(pool);
    pool->has_work = ticket != NULL && pool->backends[BACKEND_IDLE] != NULL;
}

/* ---- When PHP-FPM can't be reached ---- */

static void fail_waiting(struct pool *pool, const char *reason) {
    while (pool->schedule.waiting != NULL)
        request_refuse(request_of(pool->schedule.waiting->first), PAGE_BAD_GATEWAY, reason);
}

void pool_on_unreachable(struct pool *pool, int failure) {
    char reason[256];

    pool->has_work = true;
    pool->vain_asks++;
    if (count_backends(pool) > pool->counts[BACKEND_ABANDONED] || pool->schedule.tickets == 0)
        return; /* those that live will serve what waits */
    if (failure == ECONNRESET && pool->vain_asks <= VAIN_ASKS_MAX)
        return; /* PHP-FPM restarts: once more */
    snprintf(reason, sizeof reason, "PHP-FPM at %s can't be reached: %s", pool->config->address,
             strerror(failure));
    if (!pool->was_unreachable)
        log_error("pool %s: %s; is it running, may this user connect, and does it take "
                  "connections from here?",
                  pool->config->name, reason);
    pool->was_unreachable = true;
    fail_waiting(pool, reason);
}

void pool_on_reachable(struct pool *pool) {
    if (pool->was_unreachable)
        log_notice("pool %s: PHP-FPM answers again", pool->config->name);
    pool->was_unreachable = false;
    pool->vain_asks = 0;
}

/* ---- Time ---- */

static void end_overdue(struct pool *pool, uint64_t now_ns) {
    struct backend *next;
    struct ticket *ticket;

    while ((ticket = schedule_overdue(&pool->schedule, now_ns)) != NULL)
        request_refuse(request_of(ticket), PAGE_UNAVAILABLE, "waited for queue_seconds");
    for (struct backend *backend = pool->backends[BACKEND_RUNNING]; backend != NULL;
         backend = next) {
        next = backend->next;
        if (backend->request->deadline_ns <= now_ns)
            request_refuse(backend->request, PAGE_GATEWAY_TIMEOUT, "ran for request_seconds");
    }
}

static void check_all(struct pool *pool, enum backend_state state) {
    struct backend *next;

    for (struct backend *backend = pool->backends[state]; backend != NULL; backend = next) {
        next = backend->next;
        backend_check(backend);
    }
}

/* PHP-FPM counts idle time on a connection against request_terminate_timeout and kills the worker:
 * closing in time leaves no trace. */
static void close_idle(struct pool *pool, uint64_t now_ns) {
    uint64_t idle_ns = (uint64_t)pool->config->idle_ms * 1000000U;
    struct backend *next;

    for (struct backend *backend = pool->backends[BACKEND_IDLE]; backend != NULL; backend = next) {
        next = backend->next;
        if (now_ns - backend->since_ns >= idle_ns)
            backend_close(backend);
    }
}

void pool_tick(struct pool *pool, uint64_t now_ns) {
    end_overdue(pool, now_ns);
    check_all(pool, BACKEND_FINISHING);
    check_all(pool, BACKEND_ABANDONED);
    close_idle(pool, now_ns);
    probe_ask(pool);
}
