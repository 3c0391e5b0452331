#include "tenants/containers/descendants.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#include "tenants/process.h"

static const uint64_t NS_PER_SECOND = 1000000000;

struct process {
    struct process_stat stat;
    bool is_ours;
};

struct processes {
    struct process *items; /* owned */
    size_t count;
};

static void note(void *context, const struct process_stat *stat) {
    struct processes *found = context;
    struct process *grown = reallocarray(found->items, found->count + 1, sizeof *found->items);

    if (grown == NULL)
        return;
    found->items = grown;
    found->items[found->count++] = (struct process){.stat = *stat};
}

static bool is_ours(const struct processes *all, pid_t pid) {
    if (pid == getpid())
        return true;
    for (size_t i = 0; i < all->count; i++)
        if (all->items[i].stat.pid == pid)
            return all->items[i].is_ours;
    return false;
}

/* A child may be listed before its parent, so it takes rounds: as many as they are deep at most. */
static struct processes list_descendants(void) {
    struct processes all = {0};
    bool has_news = true;

    process_each(note, &all);
    while (has_news) {
        has_news = false;
        for (size_t i = 0; i < all.count; i++) {
            struct process *process = &all.items[i];
            if (process->is_ours || !is_ours(&all, process->stat.parent))
                continue;
            process->is_ours = true;
            has_news = true;
        }
    }
    return all;
}

/* ---- CPU ---- */

static uint64_t timeval_ns(struct timeval time) {
    return (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_usec * 1000;
}

/* Nothing is counted twice: whoever still has a clock after all of /proc was read had not been
 * waited for then, so no parent's figure has it. */
uint64_t descendants_cpu_ns(void) {
    struct rusage waited;
    uint64_t own;

    getrusage(RUSAGE_CHILDREN, &waited);
    uint64_t sum = timeval_ns(waited.ru_utime) + timeval_ns(waited.ru_stime);
    struct processes all = list_descendants();
    for (size_t i = 0; i < all.count; i++)
        if (all.items[i].is_ours && process_read_clock(all.items[i].stat.pid, &own))
            sum += own + all.items[i].stat.children_ns;
    free(all.items);
    return sum;
}

/* ---- Signals ---- */

void descendants_signal(int signal) {
    struct processes all = list_descendants();

    for (size_t i = 0; i < all.count; i++)
        if (all.items[i].is_ours)
            kill(all.items[i].stat.pid, signal);
    free(all.items);
}
