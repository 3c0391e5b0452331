#include "tenants/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/cgroup.h"
#include "tenants/process.h"

enum { TRIES_MAX = 20 }; /* the daemon writes all the time: a look must fall between two charges */

/* ---- The counters ---- */

struct sums {
    uint64_t tenants_ns;
    uint64_t idle_ns;
};

static void add_account(void *context, const char *account, const uint64_t values[COUNTER_COUNT]) {
    struct sums *sums = context;

    if (strcmp(account, COUNTERS_IDLE) == 0)
        sums->idle_ns += values[COUNTER_CPU_NS];
    else
        sums->tenants_ns += values[COUNTER_CPU_NS];
}

/* What the workers burned since the daemon read them last. */
static uint64_t sum_pending(const struct worker_record *records, size_t count) {
    uint64_t pending = 0;

    for (size_t i = 0; i < count; i++) {
        struct process_stat stat;
        uint64_t cpu_ns;
        if (!process_find(records[i].pid, &stat) || stat.start_ticks != records[i].start_ticks ||
            !process_read_clock(records[i].pid, &cpu_ns))
            continue;
        if (cpu_ns > records[i].cpu_ns)
            pending += cpu_ns - records[i].cpu_ns;
        if (stat.children_ns > records[i].children_ns)
            pending += stat.children_ns - records[i].children_ns;
    }
    return pending;
}

/* Until nothing was charged while we looked, or as near as it gets. Returns the number of workers,
 * -1 on error. */
static ssize_t read_counters(const struct counters_file *file, struct worker_record *records,
                             struct audit_look *look, struct error *error) {
    ssize_t count = 0;

    for (int tries = 0; tries < TRIES_MAX; tries++) {
        struct sums before = {0};
        struct sums after = {0};
        if (counters_read(file, add_account, &before, error) < 0)
            return -1;
        count = counters_read_workers(file, records, error);
        if (count < 0)
            return -1;
        look->pending_ns = sum_pending(records, (size_t)count);
        if (counters_read(file, add_account, &after, error) < 0)
            return -1;
        look->charged_ns = after.tenants_ns;
        look->idle_ns = after.idle_ns;
        if (memcmp(&before, &after, sizeof before) == 0)
            break;
    }
    return count;
}

/* ---- PHP-FPM ---- */

struct children {
    pid_t master;
    uint64_t sum_ns;
    size_t count;
};

static void add_child(void *context, const struct process_stat *stat) {
    struct children *children = context;
    uint64_t cpu_ns;

    if (stat->parent != children->master || !process_read_clock(stat->pid, &cpu_ns))
        return;
    children->sum_ns += cpu_ns + stat->children_ns;
    children->count++;
}

/* Until no worker ended while we looked: it would be in both sums, or in none. */
static bool read_fpm(struct audit_fpm *fpm) {
    struct process_stat before;
    struct process_stat after;

    for (int tries = 0; tries < TRIES_MAX; tries++) {
        struct children children = {.master = fpm->master};
        if (!process_find(fpm->master, &before))
            return false;
        process_each(add_child, &children);
        if (!process_find(fpm->master, &after))
            return false;
        fpm->start_ticks = after.start_ticks;
        fpm->own_ns = after.own_ns;
        fpm->ended_ns = after.children_ns;
        fpm->workers_ns = children.sum_ns;
        fpm->workers = children.count;
        if (before.children_ns == after.children_ns)
            break;
    }
    process_read_clock(fpm->master, &fpm->own_ns);
    fpm->has_cgroup = cgroup_of_its_own(fpm->master, fpm->cgroup, sizeof fpm->cgroup) &&
                      cgroup_read_cpu(fpm->cgroup, &fpm->cgroup_ns);
    return true;
}

static bool knows_master(const struct audit_look *look, pid_t master) {
    for (size_t i = 0; i < look->fpm_count; i++)
        if (look->fpms[i].master == master)
            return true;
    return false;
}

static void find_fpms(struct audit_look *look, const struct worker_record *records, size_t count) {
    look->fpms = calloc(count + 1, sizeof *look->fpms);
    if (look->fpms == NULL)
        abort();
    for (size_t i = 0; i < count; i++) {
        struct process_stat stat;
        if (!process_find(records[i].pid, &stat) || stat.start_ticks != records[i].start_ticks ||
            stat.parent <= 1 || knows_master(look, stat.parent))
            continue;
        struct audit_fpm *fpm = &look->fpms[look->fpm_count];
        fpm->master = stat.parent;
        look->fpm_count += read_fpm(fpm);
    }
}

/* ---- A look ---- */

/* The daemon's running file is the one that is written to and has workers. */
static bool find_file(const char *dir, struct counters_file *found, struct worker_record *records,
                      struct error *error) {
    struct counters_file *files;
    ssize_t count = counters_list(dir, &files, error);
    bool is_found = false;

    if (count < 0)
        return false;
    for (size_t i = 0; i < (size_t)count && !is_found; i++) {
        struct error ignored;
        *found = files[i];
        is_found = !files[i].is_final && counters_read_workers(found, records, &ignored) > 0;
    }
    free(files);
    if (!is_found)
        error_set(error,
                  "no daemon counts the CPU of a PHP-FPM in %s: it must run, see PHP-FPM's pids, "
                  "and have handed it a request",
                  dir);
    return is_found;
}

int audit_take(const char *counters_dir, struct audit_look *look, struct error *error) {
    struct worker_record *records = calloc(COUNTERS_WORKERS_MAX, sizeof *records);
    struct counters_file file;
    ssize_t count = -1;

    *look = (struct audit_look){0};
    if (records == NULL)
        abort();
    if (find_file(counters_dir, &file, records, error)) {
        clock_gettime(CLOCK_MONOTONIC, &look->at);
        memcpy(look->instance, file.instance, sizeof look->instance);
        look->hour = file.hour;
        count = read_counters(&file, records, look, error);
    }
    if (count >= 0)
        find_fpms(look, records, (size_t)count);
    free(records);
    return count < 0 ? -1 : 0;
}

void audit_deinit(struct audit_look *look) {
    free(look->fpms);
    *look = (struct audit_look){0};
}

/* ---- Two looks ---- */

static const struct audit_fpm *find_master(const struct audit_look *look,
                                           const struct audit_fpm *wanted) {
    for (size_t i = 0; i < look->fpm_count; i++)
        if (look->fpms[i].master == wanted->master &&
            look->fpms[i].start_ticks == wanted->start_ticks)
            return &look->fpms[i];
    return NULL;
}

static bool add_fpm(const struct audit_fpm *before, const struct audit_fpm *after,
                    struct audit_result *result) {
    if (before == NULL || before->has_cgroup != after->has_cgroup)
        return false;
    uint64_t processes_ns =
        after->workers_ns + after->ended_ns - before->workers_ns - before->ended_ns;
    result->has_cgroup |= after->has_cgroup;
    result->kernel_ns +=
        after->has_cgroup ? after->cgroup_ns - before->cgroup_ns - (after->own_ns - before->own_ns)
                          : processes_ns;
    return true;
}

bool audit_compare(const struct audit_look *before, const struct audit_look *after,
                   struct audit_result *result) {
    *result = (struct audit_result){0};
    if (strcmp(before->instance, after->instance) != 0 || before->hour != after->hour ||
        before->fpm_count > after->fpm_count)
        return false;
    for (size_t i = 0; i < after->fpm_count; i++)
        if (!add_fpm(find_master(before, &after->fpms[i]), &after->fpms[i], result))
            return false;
    result->seconds = (double)(after->at.tv_sec - before->at.tv_sec) +
                      (double)(after->at.tv_nsec - before->at.tv_nsec) / 1e9;
    result->charged_ns = after->charged_ns - before->charged_ns;
    result->idle_ns = after->idle_ns - before->idle_ns;
    result->pending_ns = (int64_t)(after->pending_ns - before->pending_ns);
    if (result->has_cgroup)
        result->commands_ns = after->commands_ns - before->commands_ns;
    uint64_t accounted_ns = result->charged_ns + result->idle_ns + result->commands_ns;
    result->remainder_ns = (int64_t)(result->kernel_ns - accounted_ns) - result->pending_ns;
    return true;
}
