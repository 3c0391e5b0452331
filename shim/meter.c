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
#include "tenants/period.h"

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
    UT_hash_handle by_pid;
};

struct meter {
    struct counters *counters;
    struct period month;
    struct account *accounts; /* uthash by name */
    struct account *idle;
    struct worker *workers; /* uthash by pid */
    uint64_t start_ticks;   /* when we started, in the unit of /proc/PID/stat */
    unsigned next_record;   /* where the search for a free record begins */
    bool is_hour_stuck;     /* a new hour's file could not be made; said once */
    bool is_table_full;     /* said once */
};

/* ---- What the kernel says ---- */

/* The layout of a clock id is the kernel's interface (include/linux/posix-timers.h): complement of
 * the pid, then "whole process, scheduler's nanoseconds" (2). */
static bool read_clock(pid_t pid, uint64_t *cpu_ns) {
    struct timespec time;

    if (clock_gettime((clockid_t)((~(unsigned)pid << 3) | 2U), &time) != 0)
        return false;
    *cpu_ns = (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
    return true;
}

/* What we need of /proc/PID/stat; see proc(5). */
struct process_stat {
    uint64_t start_ticks; /* field 22 */
    uint64_t children_ns; /* fields 16 and 17, cutime and cstime */
};

/* Through a descriptor opened once: it stays with the process, so it can't show another's. */
static bool read_stat(int file, struct process_stat *stat) {
    char text[1024];
    ssize_t length = pread(file, text, sizeof text - 1, 0);

    if (length <= 0)
        return false;
    text[length] = '\0';
    char *field = strrchr(text, ')'); /* ends field 2, the name, which may hold anything */
    uint64_t ticks = 0;
    for (int number = 3; field != NULL && number <= 22; number++) {
        field = strchr(field + 1, ' ');
        if (field == NULL)
            return false;
        if (number == 16 || number == 17)
            ticks += strtoull(field + 1, NULL, 10);
        if (number == 22)
            stat->start_ticks = strtoull(field + 1, NULL, 10);
    }
    stat->children_ns = ticks * (1000000000U / (uint64_t)sysconf(_SC_CLK_TCK));
    return field != NULL;
}

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
    if (worker->stat >= 0 && read_stat(worker->stat, &stat))
        fresh.start_ticks = stat.start_ticks;
    if (known != NULL) {
        fresh = *known;
        worker->account = meter_account(meter, known->account);
        if (worker->account == NULL)
            worker->account = meter->idle;
    } else if (fresh.start_ticks < meter->start_ticks) {
        /* It lived before us: what it burned then is not ours to charge. */
        read_clock(pid, &fresh.cpu_ns);
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

    if (read_clock(worker->pid, &cpu_ns))
        charge(meter, worker, &record->cpu_ns, cpu_ns);
    if (with_children && worker->stat >= 0 && read_stat(worker->stat, &stat))
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

static uint64_t own_start_ticks(void) {
    struct process_stat stat = {0};
    int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

    if (file >= 0) {
        read_stat(file, &stat);
        close(file);
    }
    return stat.start_ticks;
}

/* Follows the workers of dead predecessors that still live: what they burned since is charged to
 * whom the predecessor had on them. */
static void adopt_workers(struct meter *meter) {
    struct worker_record *records = calloc(COUNTERS_WORKERS_MAX, sizeof *records);

    if (records == NULL)
        return;
    size_t count = counters_predecessors(meter->counters, records);
    for (size_t i = 0; i < count; i++) {
        struct process_stat stat;
        int file = open_stat(records[i].pid);
        if (file < 0)
            continue;
        if (records[i].start_ticks != 0 && read_stat(file, &stat) &&
            stat.start_ticks == records[i].start_ticks)
            follow(meter, records[i].pid, &records[i]);
        close(file);
    }
    free(records);
    meter_sweep(meter);
}

struct meter *meter_new(struct counters *counters, time_t now) {
    struct meter *meter = calloc(1, sizeof *meter);

    if (meter == NULL)
        return NULL;
    meter->counters = counters;
    meter->month = period_around(LEDGER_BY_MONTH, now);
    meter->start_ticks = own_start_ticks();
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

static void follow_month(struct meter *meter, time_t now) {
    if (now < meter->month.to)
        return;
    meter->month = period_around(LEDGER_BY_MONTH, now);
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
