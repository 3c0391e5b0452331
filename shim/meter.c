#include "shim/meter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include "tenants/log.h"
#include "tenants/process.h"

struct account {
    struct counters_account counters;
    UT_hash_handle by_name;
};

struct worker {
    pid_t pid;
    unsigned holders;
    unsigned record;         /* its place in the counters' table */
    int pidfd;               /* pins the process: a reused pid is another pidfd */
    int stat;                /* /proc/PID/stat, or -1 where it can't be read */
    struct account *account; /* who ran on it last */
    UT_hash_handle by_pid;
};

struct meter {
    struct counters *counters;
    struct account *accounts; /* uthash by name */
    struct account *idle;
    struct worker *workers; /* uthash by pid */
    uint64_t start_ticks;   /* when we started, in the unit of /proc/PID/stat */
    unsigned next_record;   /* where the search for a free record begins */
    bool is_hour_stuck;     /* a new hour's file could not be made; said once */
    bool is_table_full;     /* said once */
};

/* ---- What the kernel says ---- */

static int open_stat(pid_t pid) {
    char path[32];

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Signal 0 is never delivered; EPERM also means that the process lives. */
static bool is_alive(const struct worker *worker) {
    return syscall(SYS_pidfd_send_signal, worker->pidfd, 0, NULL, 0) == 0 || errno != ESRCH;
}

/* ---- Accounts ---- */

struct account *meter_account(struct meter *meter, const char *name) {
    struct account *account = NULL;
    size_t length = strlen(name);

    HASH_FIND(by_name, meter->accounts, name, length, account);
    if (account != NULL)
        return account;
    account = calloc(1, sizeof *account);
    if (account == NULL)
        return NULL;
    counters_account_init(&account->counters, name);
    HASH_ADD_KEYPTR(by_name, meter->accounts, account->counters.name, length, account);
    return account;
}

void meter_add(struct meter *meter, struct account *account, enum counter counter,
               uint64_t amount) {
    counters_add(meter->counters, &account->counters, counter, amount);
}

/* ---- Workers ---- */

static struct worker_record *record_of(const struct meter *meter, const struct worker *worker) {
    return &counters_workers(meter->counters)[worker->record];
}

static void forget(struct meter *meter, struct worker *worker) {
    record_of(meter, worker)->pid = 0;
    HASH_DELETE(by_pid, meter->workers, worker);
    close(worker->pidfd);
    if (worker->stat >= 0)
        close(worker->stat);
    free(worker);
}

/* While the name is half written, the record counts as free: a successor that finds it so after a
 * kill must not charge somebody whose name is a mixture. */
static void name_account(struct worker_record *record, const struct account *account, pid_t pid) {
    __atomic_store_n(&record->pid, 0, __ATOMIC_SEQ_CST);
    memcpy(record->account, account->counters.name, sizeof record->account);
    __atomic_store_n(&record->pid, pid, __ATOMIC_SEQ_CST);
}

static int free_record(struct meter *meter) {
    const struct worker_record *records = counters_workers(meter->counters);

    for (unsigned i = 0; i < COUNTERS_WORKERS_MAX; i++) {
        unsigned index = (meter->next_record + i) % COUNTERS_WORKERS_MAX;
        if (records[index].pid != 0)
            continue;
        meter->next_record = index + 1;
        return (int)index;
    }
    if (!meter->is_table_full)
        log_error("meter: more than %d PHP-FPM workers at once: the CPU of the others is not known",
                  COUNTERS_WORKERS_MAX);
    meter->is_table_full = true;
    return -1;
}

/* Starts to follow a process, with its record as given: of a predecessor, or empty. */
static struct worker *follow(struct meter *meter, pid_t pid, const struct worker_record *known) {
    struct worker *worker = calloc(1, sizeof *worker);
    int record = free_record(meter);

    if (worker == NULL || record < 0) {
        free(worker);
        return NULL;
    }
    *worker = (struct worker){.pid = pid, .record = (unsigned)record, .account = meter->idle};
    worker->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (worker->pidfd < 0) {
        free(worker);
        return NULL;
    }
    worker->stat = open_stat(pid);
    struct process_stat stat = {0};
    struct worker_record fresh = {.pid = pid};
    if (worker->stat >= 0 && process_read_stat(worker->stat, &stat))
        fresh.start_ticks = stat.start_ticks;
    if (known != NULL) {
        fresh = *known;
        worker->account = meter_account(meter, known->account);
        if (worker->account == NULL)
            worker->account = meter->idle;
    } else if (fresh.start_ticks < meter->start_ticks) {
        /* It lived before us: what it burned then is not ours to charge. */
        process_read_clock(pid, &fresh.cpu_ns);
        fresh.children_ns = stat.children_ns;
    }
    fresh.pid = 0;
    *record_of(meter, worker) = fresh;
    name_account(record_of(meter, worker), worker->account, pid);
    HASH_ADD(by_pid, meter->workers, pid, sizeof worker->pid, worker);
    return worker;
}

struct worker *meter_worker(struct meter *meter, pid_t pid) {
    struct worker *worker = NULL;

    if (pid <= 0)
        return NULL;
    HASH_FIND(by_pid, meter->workers, &pid, sizeof pid, worker);
    if (worker != NULL && !is_alive(worker)) {
        if (worker->holders > 0) /* a connection to the dead one is still to be closed */
            return NULL;
        forget(meter, worker);
        worker = NULL;
    }
    if (worker == NULL)
        worker = follow(meter, pid, NULL);
    if (worker == NULL)
        return NULL;
    worker->holders++;
    meter_read(meter, worker, false);
    return worker;
}

void meter_release(struct worker *worker) {
    if (worker != NULL)
        worker->holders--;
}

/* The record is written before the charge: killed in between, the nanoseconds since the last
 * reading are lost rather than charged twice. */
static void charge(struct meter *meter, const struct worker *worker, uint64_t *last,
                   uint64_t now_ns) {
    if (now_ns <= *last)
        return;
    uint64_t burned = now_ns - *last;
    *last = now_ns;
    meter_add(meter, worker->account, COUNTER_CPU_NS, burned);
}

void meter_read(struct meter *meter, struct worker *worker, bool with_children) {
    struct worker_record *record = record_of(meter, worker);
    struct process_stat stat;
    uint64_t cpu_ns;

    if (process_read_clock(worker->pid, &cpu_ns))
        charge(meter, worker, &record->cpu_ns, cpu_ns);
    if (with_children && worker->stat >= 0 && process_read_stat(worker->stat, &stat))
        charge(meter, worker, &record->children_ns, stat.children_ns);
}

void meter_assign(struct meter *meter, struct worker *worker, struct account *account) {
    if (worker->account == account)
        return;
    meter_read(meter, worker, false);
    worker->account = account;
    name_account(record_of(meter, worker), account, worker->pid);
}

void meter_sweep(struct meter *meter) {
    struct worker *worker;
    struct worker *next;

    HASH_ITER(by_pid, meter->workers, worker, next) {
        /* In this order: a clock read before the process is seen alive was its own. */
        if (is_alive(worker))
            meter_read(meter, worker, false);
        else if (worker->holders == 0)
            forget(meter, worker);
    }
}

/* ---- Lifecycle ---- */

/* Follows the workers of dead predecessors that still live: what they burned since is charged to
 * whom the predecessor had on them. */
static void adopt_workers(struct meter *meter) {
    struct worker_record *records = calloc(COUNTERS_WORKERS_MAX, sizeof *records);

    if (records == NULL)
        return;
    size_t count = counters_predecessors(meter->counters, records);
    for (size_t i = 0; i < count; i++) {
        struct process_stat stat;
        if (records[i].start_ticks != 0 && process_find(records[i].pid, &stat) &&
            stat.start_ticks == records[i].start_ticks)
            follow(meter, records[i].pid, &records[i]);
    }
    free(records);
    meter_sweep(meter);
}

struct meter *meter_new(struct counters *counters) {
    struct meter *meter = calloc(1, sizeof *meter);
    struct process_stat self;

    if (meter == NULL)
        return NULL;
    meter->counters = counters;
    if (process_find(getpid(), &self))
        meter->start_ticks = self.start_ticks;
    meter->idle = meter_account(meter, COUNTERS_IDLE);
    if (meter->idle == NULL) {
        free(meter);
        return NULL;
    }
    adopt_workers(meter);
    return meter;
}

void meter_free(struct meter *meter) {
    struct worker *worker;
    struct worker *next_worker;
    struct account *account;
    struct account *next_account;

    if (meter == NULL)
        return;
    /* The records stay in the file: they are what a successor takes over. */
    HASH_ITER(by_pid, meter->workers, worker, next_worker) {
        HASH_DELETE(by_pid, meter->workers, worker);
        close(worker->pidfd);
        if (worker->stat >= 0)
            close(worker->stat);
        free(worker);
    }
    HASH_ITER(by_name, meter->accounts, account, next_account) {
        HASH_DELETE(by_name, meter->accounts, account);
        free(account);
    }
    free(meter);
}

void meter_tick(struct meter *meter) {
    struct error error;
    bool is_current = counters_tick(meter->counters, time(NULL), &error);

    if (!is_current && !meter->is_hour_stuck)
        log_error("meter: %s; the running hour's counters stay in use, nothing is lost",
                  error.text);
    if (is_current && meter->is_hour_stuck)
        log_notice("meter: counters are written to a file of the running hour again");
    meter->is_hour_stuck = !is_current;
}
