#include "shim/masters.h"

#include <stdlib.h>
#include <unistd.h>

#include "tenants/process.h"

/* The kernel tells user and system time in steps of 10 ms each: so much more may have been burned
 * before we looked first, and is not ours to charge. */
static const uint64_t UNTOLD_NS = 20000000;

struct master {
    struct master *next;
    pid_t pid;
    uint64_t start_ticks;
    int stat; /* its /proc/PID/stat */
    unsigned holders;
    unsigned burials;  /* since the last settling */
    uint64_t known_ns; /* of its children's time: charged, or not ours */
    struct account *account;
};

static struct master *find(const struct masters *masters, const struct process_stat *stat) {
    struct master *master = masters->first;

    while (master != NULL && (master->pid != stat->pid || master->start_ticks != stat->start_ticks))
        master = master->next;
    return master;
}

static struct master *add(struct masters *masters, const struct process_stat *stat) {
    struct master *master = calloc(1, sizeof *master);

    if (master == NULL)
        return NULL;
    *master = (struct master){.next = masters->first,
                              .pid = stat->pid,
                              .start_ticks = stat->start_ticks,
                              .stat = process_open_stat(stat->pid),
                              .known_ns = stat->children_ns + UNTOLD_NS};
    masters->first = master;
    return master;
}

struct master *masters_hold(struct masters *masters, pid_t pid) {
    struct process_stat stat;

    /* Parent 1 adopts whose master is gone, and others. */
    if (pid <= 1 || !process_find(pid, &stat))
        return NULL;
    struct master *master = find(masters, &stat);
    if (master == NULL)
        master = add(masters, &stat);
    if (master != NULL)
        master->holders++;
    return master;
}

static void forget(struct masters *masters, struct master *master) {
    struct master **link = &masters->first;

    while (*link != master)
        link = &(*link)->next;
    *link = master->next;
    if (master->stat >= 0)
        close(master->stat);
    free(master);
}

void masters_release(struct master *master) {
    if (master != NULL)
        master->holders--;
}

void master_bury(struct master *master, uint64_t known_ns, struct account *account) {
    master->burials++;
    master->known_ns += known_ns;
    if (account != NULL)
        master->account = account;
}

/* What those who were buried burned beyond what was known. */
static uint64_t take_rest(struct master *master, const struct process_stat *stat,
                          uint64_t limit_ns) {
    uint64_t most_ns = limit_ns * master->burials;

    master->burials = 0;
    if (stat->children_ns <= master->known_ns)
        return 0;
    uint64_t rest_ns = stat->children_ns - master->known_ns;
    master->known_ns = stat->children_ns;
    return rest_ns < most_ns ? rest_ns : most_ns;
}

void masters_settle(struct masters *masters, uint64_t limit_ns, masters_charge_fn *charge,
                    void *context) {
    struct master *next;

    for (struct master *master = masters->first; master != NULL; master = next) {
        struct process_stat stat;
        next = master->next;
        if (master->burials == 0 && master->holders > 0)
            continue;
        if (!process_read_stat(master->stat, &stat)) { /* it has ended, too */
            master->burials = 0;
            if (master->holders == 0)
                forget(masters, master);
            continue;
        }
        uint64_t rest_ns = take_rest(master, &stat, limit_ns);
        if (rest_ns > 0)
            charge(context, master->account, rest_ns);
        master->account = NULL;
    }
}

void masters_deinit(struct masters *masters) {
    while (masters->first != NULL)
        forget(masters, masters->first);
}
