#include "shim/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "shim/folder.h"
#include "shim/front.h"
#include "shim/listener.h"
#include "shim/probe.h"
#include "tenants/file.h"
#include "tenants/log.h"

enum { TICK_MS = 100, STOP_GRACE_MS = 30000 };

/* ---- One turn of the loop ---- */

static void close_broken_fronts(struct daemon *daemon) {
    struct front *front;

    while ((front = daemon->broken_fronts) != NULL) {
        daemon->broken_fronts = front->next_broken;
        front_close(front);
    }
}

static struct pool *pool_with_work(struct daemon *daemon) {
    for (size_t i = 0; i < daemon->config->pool_count; i++)
        if (daemon->pools[i].has_work)
            return &daemon->pools[i];
    return NULL;
}

/* Does what callbacks left to be done; closing a front makes work for pools, and pools may break
 * fronts. */
static void turn(struct daemon *daemon) {
    struct pool *pool;

    close_broken_fronts(daemon);
    while ((pool = pool_with_work(daemon)) != NULL) {
        pool_pump(pool);
        close_broken_fronts(daemon);
    }
}

/* ---- Stopping ---- */

static void begin_stop(struct daemon *daemon) {
    if (daemon->is_stopping) { /* asked twice: at once */
        daemon->stop_by_ms = 0;
        return;
    }
    log_notice("stopping: requests that run are finished first");
    daemon->is_stopping = true;
    daemon->stop_by_ms = uv_now(&daemon->loop) + STOP_GRACE_MS;
    listeners_close(daemon);
}

static void go_on_stopping(struct daemon *daemon) {
    bool is_overdue = uv_now(&daemon->loop) >= daemon->stop_by_ms;

    for (struct front *front = daemon->fronts; front != NULL; front = front->next)
        if (is_overdue || (front->request_count == 0 && front->unsent.length == 0))
            front_break(front, NULL);
    turn(daemon);
    if (daemon->fronts == NULL)
        daemon->is_stopped = true;
}

static void on_signal(uv_signal_t *signal, int number) {
    (void)number;
    begin_stop(signal->data);
    go_on_stopping(signal->data);
}

/* ---- What comes with time ---- */

static void end_lingering(struct daemon *daemon) {
    uint64_t now_ms = uv_now(&daemon->loop);

    for (struct front *front = daemon->fronts; front != NULL; front = front->next)
        if (front->is_lingering && front->lingers_until_ms <= now_ms)
            front_break(front, NULL);
}

static void on_tick(uv_timer_t *timer) {
    struct daemon *daemon = timer->data;
    uint64_t now_ns = uv_hrtime();

    for (size_t i = 0; i < daemon->config->pool_count; i++)
        pool_tick(&daemon->pools[i], now_ns);
    meter_sweep(daemon->meter);
    meter_tick(daemon->meter, time(NULL));
    quotas_tick(daemon, now_ns);
    end_lingering(daemon);
    listeners_resume(daemon);
    if (daemon->is_stopping)
        go_on_stopping(daemon);
}

static struct daemon *daemon_of(struct watch *watch, size_t offset) {
    return (struct daemon *)((char *)watch - offset);
}

static void on_registry_news(struct watch *watch, uint32_t events) {
    (void)events;
    registry_process(daemon_of(watch, offsetof(struct daemon, registry_watch))->registry);
}

static void on_loop_news(struct watch *watch, uint32_t events) {
    (void)events;
    daemon_of(watch, offsetof(struct daemon, loop_watch))->has_loop_news = true;
}

static void on_change(void *context, struct tenant *before, struct tenant *after) {
    struct daemon *daemon = context;

    if (daemon->is_stopping)
        return;
    listeners_on_change(daemon, before, after);
    site_on_change(daemon, before, after);
    quota_on_change(daemon, before, after);
}

/* ---- Start ---- */

static int prepare_directory(const char *key, const char *path, mode_t mode, struct error *error) {
    int result = file_prepare_directory(path, mode, error);

    if (result != 0)
        error_prefix(error, "%s", key);
    return result;
}

static int look_at_pages(const char *path, struct error *error) {
    int dir = path != NULL ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (dir >= 0)
        close(dir);
    else if (path != NULL)
        error_set(error, "pages: %s: %s", path, strerror(errno));
    return path == NULL || dir >= 0 ? 0 : -1;
}

/* What would otherwise come out with the first large upload or at the first bill. */
static int prepare_directories(const struct config *config, struct error *error) {
    char *counters = config_counters_dir(config);
    int result = prepare_directory("ledger", counters, 0750, error);

    free(counters);
    if (result == 0)
        result = prepare_directory("spool.dir", config->spool.dir, 0700, error);
    return result == 0 ? look_at_pages(config->pages, error) : result;
}

static int open_state(struct daemon *daemon, struct error *error) {
    const struct config *config = daemon->config;
    char *dir = config_counters_dir(config);

    daemon->spool = (struct spool){.loop = &daemon->loop,
                                   .dir = config->spool.dir,
                                   .memory_bytes = config->spool.memory_bytes,
                                   .cap_bytes = config->spool.bytes};
    daemon->counters = counters_open(dir, time(NULL), error);
    if (daemon->counters != NULL) {
        /* The meter takes over what dead predecessors left; only then may that be folded away. */
        daemon->meter = meter_new(daemon->counters, time(NULL));
        daemon->pages = pages_new(config->pages);
        if (daemon->meter == NULL || daemon->pages == NULL)
            error_set(error, "out of memory");
        else
            daemon->folder = folder_start(config->ledger, dir, error);
    }
    free(dir);
    return daemon->folder != NULL ? 0 : -1;
}

static int open_pools(struct daemon *daemon, struct error *error) {
    const struct config *config = daemon->config;

    daemon->pools = calloc(config->pool_count, sizeof *daemon->pools);
    if (daemon->pools == NULL) {
        error_set(error, "out of memory");
        return -1;
    }
    bool has_settings = false;
    for (size_t i = 0; i < config->pool_count; i++) {
        if (pool_init(&daemon->pools[i], daemon, &config->pools[i], error) != 0)
            return -1;
        has_settings |= config->pools[i].php.count > 0;
    }
    return has_settings ? probe_write_script(daemon, error) : 0;
}

static int open_registry(struct daemon *daemon, struct error *error) {
    daemon->registry = registry_open(daemon->config, on_change, daemon, error);
    if (daemon->registry == NULL) {
        error_prefix(error, "registry");
        return -1;
    }
    if (listeners_prepare_tenants(daemon, error) != 0)
        return -1;
    if (registry_load(daemon->registry, error) < 0)
        return -1;
    daemon->registry_watch = (struct watch){.fd = registry_watch_fd(daemon->registry),
                                            .events = EPOLLIN,
                                            .on_events = on_registry_news};
    return poller_add(&daemon->poller, &daemon->registry_watch);
}

static int start_handles(struct daemon *daemon) {
    static const int stops[] = {SIGTERM, SIGINT};

    daemon->tick.data = daemon;
    uv_timer_init(&daemon->loop, &daemon->tick);
    uv_timer_start(&daemon->tick, on_tick, TICK_MS, TICK_MS);
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        daemon->signals[i].data = daemon;
        uv_signal_init(&daemon->loop, &daemon->signals[i]);
        uv_signal_start(&daemon->signals[i], on_signal, stops[i]);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* the registry is followed anyway */
    daemon->loop_watch = (struct watch){
        .fd = uv_backend_fd(&daemon->loop), .events = EPOLLIN, .on_events = on_loop_news};
    uv_run(&daemon->loop, UV_RUN_NOWAIT); /* registers what was started with the kernel */
    return poller_add(&daemon->poller, &daemon->loop_watch);
}

/* One descriptor per front, backend, listener and worker: as many as the system allows. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void make_instance_name(struct daemon *daemon) {
    uint32_t random = 0;

    if (getrandom(&random, sizeof random, 0) != sizeof random)
        random = (uint32_t)getpid();
    snprintf(daemon->instance, sizeof daemon->instance, "%08x", random);
}

struct daemon *daemon_new(const struct config *config, struct error *error, int *exit_code) {
    struct daemon *daemon = calloc(1, sizeof *daemon);

    *exit_code = EX_OSERR;
    if (daemon == NULL || uv_loop_init(&daemon->loop) != 0) {
        error_set(error, "out of memory");
        free(daemon);
        return NULL;
    }
    daemon->config = config;
    raise_descriptor_limit();
    make_instance_name(daemon);
    int result = poller_init(&daemon->poller);
    if (result == 0)
        result = start_handles(daemon);
    if (result != 0)
        error_set(error, "epoll: %s", strerror(-result));
    if (result == 0) {
        *exit_code = EX_CONFIG;
        result = prepare_directories(config, error);
    }
    if (result == 0) {
        *exit_code = EX_OSERR;
        result = open_state(daemon, error);
    }
    if (result == 0) {
        *exit_code = EX_CONFIG;
        result = open_pools(daemon, error);
    }
    if (result == 0)
        result = open_registry(daemon, error);
    if (result == 0)
        quotas_begin(daemon, uv_hrtime());
    if (result == 0)
        result = listeners_open(daemon, error);
    if (result == 0)
        return daemon;
    daemon_free(daemon);
    return NULL;
}

void daemon_run(struct daemon *daemon) {
    log_notice("fpmux %s: ready: %zu tenants, %zu in error, %zu pools", FPMUX_VERSION,
               registry_count(daemon->registry), registry_error_count(daemon->registry),
               daemon->config->pool_count);
    while (!daemon->is_stopped) {
        turn(daemon);
        uv_update_time(&daemon->loop);
        poller_wait(&daemon->poller, uv_backend_timeout(&daemon->loop));
        uv_update_time(&daemon->loop);
        if (daemon->has_loop_news || uv_backend_timeout(&daemon->loop) == 0) {
            daemon->has_loop_news = false;
            uv_run(&daemon->loop, UV_RUN_NOWAIT);
        }
    }
}

/* ---- End ---- */

static void close_handle(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void daemon_free(struct daemon *daemon) {
    listeners_close(daemon);
    while (daemon->fronts != NULL)
        front_close(daemon->fronts);
    if (daemon->pools != NULL)
        for (size_t i = 0; i < daemon->config->pool_count && daemon->pools[i].daemon != NULL; i++)
            pool_deinit(&daemon->pools[i]);
    sites_free(&daemon->sites);
    quotas_free(&daemon->quotas);
    uv_walk(&daemon->loop, close_handle, NULL);
    uv_run(&daemon->loop, UV_RUN_DEFAULT);
    uv_loop_close(&daemon->loop);
    poller_deinit(&daemon->poller);
    if (daemon->registry != NULL)
        registry_close(daemon->registry);
    folder_stop(daemon->folder);
    meter_free(daemon->meter);
    if (daemon->counters != NULL)
        counters_close(daemon->counters);
    pages_free(daemon->pages);
    free(daemon->pools);
    free(daemon);
}
