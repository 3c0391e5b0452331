#include "shim/meter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include "shim/masters.h"
#include "tenants/log.h"
#include "tenants/period.h"
#include "tenants/process.h"

/* A process that starts another one and waits for it burns more than this itself (PHP's exec(): 47
 * to 70 us); the tear-down of a small script burns less (13 to 22 us on the same machine). */
static const uint64_t CHILD_COSTS_NS = 30000;

struct account {
    struct counters_account counters;
    struct month_use month; /* charged in the running month */
    UT_hash_handle by_name;
};

struct worker {
    pid_t pid;
    unsigned holders;
    unsigned record;         /* its place in the counters' table */
    int pidfd;               /* pins the process: a reused pid is another pidfd */
    int stat;                /* /proc/PID/stat, or -1 where it can't be read */
    struct account *account; /* who ran on it last */
    struct master *master;   /* held; or NULL */
    uint64_t rested_ns;      /* its clock when its last request had ended */
    uint64_t children_at_ns; /* its clock when its children's time was read */
    bool is_buried;          /* its end is known to the master */
    bool was_missed;         /* it ended with a request, before it could be read */
    UT_hash_handle by_pid;
};

struct meter {
    struct counters *counters;
    struct period month;
    struct account *accounts; /* uthash by name */
    struct account *idle;
    struct worker *workers; /* uthash by pid */
    struct masters masters;
    uint64_t swept_ns;    /* when */
    uint64_t start_ticks; /* when we started, in the unit of /proc/PID/stat */
    unsigned next_record; /* where the search for a free record begins */
    bool is_hour_stuck;   /* a new hour's file could not be made; said once */
    bool is_table_full;   /* said once */
};

/* ---- What the kernel says ---- */

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
    if (counter == COUNTER_REQUESTS)
        account->month.requests += amount;
    else if (counter == COUNTER_CPU_NS)
        account->month.cpu_ns += amount;
}

time_t meter_month(const struct meter *meter) {
    return meter->month.from;
}

struct month_use meter_month_use(const struct account *account) {
    return account->month;
}

/* ---- Workers ---- */

static struct worker_record *record_of(const struct meter *meter, const struct worker *worker) {
    return &counters_workers(meter->counters)[worker->record];
}

/* Frees it. Its record stays. */
static void drop(struct meter *meter, struct worker *worker) {
    HASH_DELETE(by_pid, meter->workers, worker);
    masters_release(worker->master);
    close(worker->pidfd);
    if (worker->stat >= 0)
        close(worker->stat);
    free(worker);
}

/* It has ended: what it burned since its last reading is with its master. */
static void bury(struct meter *meter, struct worker *worker) {
    const struct worker_record *record = record_of(meter, worker);

    if (!worker->is_buried && worker->master != NULL)
        master_bury(worker->master, record->cpu_ns + record->children_ns,
                    worker->was_missed ? worker->account : NULL);
    worker->is_buried = true;
}

static void forget(struct meter *meter, struct worker *worker) {
    bury(meter, worker);
    record_of(meter, worker)->pid = 0;
    drop(meter, worker);
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

/* The record a worker begins with that no predecessor knew. */
static struct worker_record fresh_record(const struct meter *meter, pid_t pid,
                                         const struct process_stat *stat) {
    struct worker_record record = {.start_ticks = stat->start_ticks};

    if (record.start_ticks < meter->start_ticks) {
        /* It lived before us: what it burned then is not ours to charge. */
        process_read_clock(pid, &record.cpu_ns);
        record.children_ns = stat->children_ns;
    }
    return record;
}

/* Starts to follow a process, with its record as given: of a predecessor, or empty. */
static struct worker *follow(struct meter *meter, pid_t pid, const struct worker_record *known) {
    struct worker *worker = calloc(1, sizeof *worker);
    struct process_stat stat = {0};
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
    worker->stat = process_open_stat(pid);
    if (worker->stat >= 0 && process_read_stat(worker->stat, &stat))
        worker->master = masters_hold(&meter->masters, stat.parent);
    struct account *account = known != NULL ? meter_account(meter, known->account) : NULL;
    if (account != NULL)
        worker->account = account;
    struct worker_record fresh = known != NULL ? *known : fresh_record(meter, pid, &stat);
    fresh.pid = 0;
    *record_of(meter, worker) = fresh;
    name_account(record_of(meter, worker), worker->account, pid);
    HASH_ADD(by_pid, meter->workers, pid, sizeof worker->pid, worker);
    return worker;
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

static bool read_clock(struct meter *meter, struct worker *worker) {
    uint64_t cpu_ns;

    if (!process_read_clock(worker->pid, &cpu_ns))
        return false;
    charge(meter, worker, &record_of(meter, worker)->cpu_ns, cpu_ns);
    return true;
}

static void read_children(struct meter *meter, struct worker *worker) {
    struct worker_record *record = record_of(meter, worker);
    struct process_stat stat;

    if (worker->stat >= 0 && process_read_stat(worker->stat, &stat))
        charge(meter, worker, &record->children_ns, stat.children_ns);
    worker->children_at_ns = record->cpu_ns;
}

/* Reads the clock, and the children's time if there can be more of it than at that clock. */
static void catch_up(struct meter *meter, struct worker *worker, uint64_t since_ns) {
    if (read_clock(meter, worker) && record_of(meter, worker)->cpu_ns - since_ns >= CHILD_COSTS_NS)
        read_children(meter, worker);
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
    catch_up(meter, worker, worker->rested_ns); /* it may have had a tail, after its connection */
    return worker;
}

void meter_release(struct worker *worker) {
    if (worker != NULL)
        worker->holders--;
}

void meter_read(struct meter *meter, struct worker *worker, bool with_children) {
    worker->was_missed = !read_clock(meter, worker);
    worker->rested_ns = record_of(meter, worker)->cpu_ns;
    if (with_children)
        read_children(meter, worker);
}

void meter_assign(struct meter *meter, struct worker *worker, struct account *account) {
    if (worker->account == account)
        return;
    read_clock(meter, worker);
    worker->account = account;
    name_account(record_of(meter, worker), account, worker->pid);
}

static void charge_end(void *context, struct account *account, uint64_t cpu_ns) {
    struct meter *meter = context;

    meter_add(meter, account != NULL ? account : meter->idle, COUNTER_CPU_NS, cpu_ns);
}

static uint64_t monotonic_ns(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

void meter_sweep(struct meter *meter) {
    uint64_t now_ns = monotonic_ns();
    struct worker *worker;
    struct worker *next;

    HASH_ITER(by_pid, meter->workers, worker, next) {
        /* In this order: a clock read before the process is seen alive was its own. */
        if (is_alive(worker))
            catch_up(meter, worker, worker->children_at_ns);
        else if (worker->holders == 0)
            forget(meter, worker);
        else
            bury(meter, worker);
    }
    /* Each of those who ended was read by the sweep before, so more than that it can't be. */
    masters_settle(&meter->masters, now_ns - meter->swept_ns, charge_end, meter);
    meter->swept_ns = now_ns;
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

struct meter *meter_new(struct counters *counters, time_t now) {
    struct meter *meter = calloc(1, sizeof *meter);
    struct process_stat self;

    if (meter == NULL)
        return NULL;
    meter->counters = counters;
    meter->month = period_around(LEDGER_BY_MONTH, PERIOD_UTC, now);
    meter->swept_ns = monotonic_ns();
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
    HASH_ITER(by_pid, meter->workers, worker, next_worker)
    drop(meter, worker);
    masters_deinit(&meter->masters);
    HASH_ITER(by_name, meter->accounts, account, next_account) {
        HASH_DELETE(by_name, meter->accounts, account);
        free(account);
    }
    free(meter);
}

static void follow_month(struct meter *meter, time_t now) {
    if (now < meter->month.to)
        return;
    meter->month = period_around(LEDGER_BY_MONTH, PERIOD_UTC, now);
    for (struct account *account = meter->accounts; account != NULL;
         account = account->by_name.next)
        account->month = (struct month_use){0};
}

void meter_tick(struct meter *meter, time_t now) {
    struct error error;
    bool is_current = counters_tick(meter->counters, now, &error);

    if (!is_current && !meter->is_hour_stuck)
        log_error("meter: %s; the running hour's counters stay in use, nothing is lost",
                  error.text);
    if (is_current && meter->is_hour_stuck)
        log_notice("meter: counters are written to a file of the running hour again");
    meter->is_hour_stuck = !is_current;
    follow_month(meter, now);
}
