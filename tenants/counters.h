/* The crash-proof counters: what each tenant used in the running hour, in a file that is mapped
 * into memory. The daemon adds to it on the way of every request with plain stores and no system
 * call; a kill -9 loses nothing, because the pages belong to the kernel.
 *
 *   DIR/INSTANCE-HOUR.map    one file per (instance, hour); INSTANCE is random (128 bits, hex),
 *                            HOUR is UTC, 2026112214. Slots are never reused in a file, counters
 *                            only grow, the file is preallocated (a sparse one on a full disk
 *                            would be SIGBUS).
 *
 * The writer holds a lock (flock) on the file of the running hour. A file that nobody has locked
 * is final, because its hour has passed or its writer died: it never changes again, and after it
 * was folded into the ledger it may be unlinked. Readers need no lock: each value is one aligned
 * 64-bit word, so a reader sees each counter as it was at some instant.
 *
 * The hour never steps back: when the clock is set back, the running file stays in use until the
 * clock has caught up.
 *
 * The table of FPM's workers lies in the file, too, so that a successor can charge what was in
 * flight when its predecessor was killed, from the clocks of the workers that live on. */
#ifndef FPMUX_TENANTS_COUNTERS_H
#define FPMUX_TENANTS_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "tenants/error.h"
#include "tenants/names.h"

/* The order is part of the file format: append, never reorder. */
enum counter {
    COUNTER_REQUESTS,           /* handed to a worker, whatever came of it */
    COUNTER_REQUESTS_UNMETERED, /* of those that ran: CPU not known */
    COUNTER_CPU_NS,
    COUNTER_WALL_NS,    /* worker occupied */
    COUNTER_QUEUE_NS,   /* waited for a worker */
    COUNTER_SEND_NS,    /* END_REQUEST seen to last byte written to the front */
    COUNTER_BYTES_IN,   /* bodies */
    COUNTER_BYTES_OUT,  /* responses, head and body */
    COUNTER_ERRORS_5XX, /* answers of 500 and above, PHP's and ours */
    COUNTER_REJECTED,   /* refused by us before a worker was taken; not in REQUESTS */
    COUNTER_COUNT
};

/* The name under which CPU that no tenant caused is charged. Not a tenant id, so it can't clash. */
#define COUNTERS_IDLE "(idle)"

/* A name that is charged, and where its counters are in the running file. Belongs to the caller;
 * set with counters_account_init(), valid across hours. */
struct counters_account {
    char name[TENANT_ID_MAX + 1];
    uint32_t slot;
    uint32_t generation; /* of the file in which slot is valid; 0: not looked up yet */
};

/* What is remembered of one worker; part of the file format. */
struct worker_record {
    uint64_t start_ticks;            /* field 22 of /proc/PID/stat; (pid, start) is the identity */
    uint64_t cpu_ns;                 /* its CPU clock when last read */
    uint64_t children_ns;            /* its waited-for children's CPU when last read */
    int32_t pid;                     /* 0: the record is free */
    uint32_t reserved;               /* zero */
    char account[TENANT_ID_MAX + 1]; /* who ran on it last, or COUNTERS_IDLE */
};

enum { COUNTERS_WORKERS_MAX = 4096 };

struct counters;

/* The writer. Makes dir when it is missing, makes this hour's file. NULL when that fails. What root
 * makes belongs to the owner of the directory in which it is made, so that the daemon can fold it.
 */
struct counters *counters_open(const char *dir, time_t now, struct error *error);

/* The same for a process that runs beside the daemon and has no workers: it is nobody's successor,
 * so what a dead daemon left stays unclaimed for the next one. */
struct counters *counters_open_without_workers(const char *dir, time_t now, struct error *error);

/* Unlocks the running file, which makes it final. */
void counters_close(struct counters *counters);

/* Moves on to a new file when the hour of now is a later one. Call it about once a second. Worker
 * records move along. When the new file can't be made (disk full), the old one stays in use, so
 * that nothing is lost, and the call returns false with the reason until it succeeds; the same
 * while amounts wait in memory, because the running file can't grow. */
bool counters_tick(struct counters *counters, time_t now, struct error *error);

void counters_account_init(struct counters_account *account, const char *name);

/* Adds to the running hour. Never fails: an account for which the file has no room and can't grow
 * is counted in memory and written as soon as there is room. */
void counters_add(struct counters *counters, struct counters_account *account, enum counter counter,
                  uint64_t amount);

/* The name under which all that was added here stands in the ledger; borrowed. */
const char *counters_instance(const struct counters *counters);

/* The table of workers of the running file: COUNTERS_WORKERS_MAX records. The address changes with
 * counters_tick(): ask again after it. */
struct worker_record *counters_workers(struct counters *counters);

/* Copies the records that dead predecessors of this boot had left in dir when counters_open() was
 * called to out (room for COUNTERS_WORKERS_MAX); where several know the same (pid, start), the one
 * with the highest clock. Returns how many. */
size_t counters_predecessors(const struct counters *counters, struct worker_record *out);

/* ---- Reading, for the ledger and for tests ---- */

struct counters_file {
    char path[512];
    char instance[33];
    time_t hour;   /* its first second */
    bool is_final; /* nobody writes to it any more */
    /* Final, and no successor has taken its workers over yet: whoever folds it must keep it. */
    bool is_unclaimed;
};

/* Lists the counter files of dir (owned array in *files), by instance and hour. Returns how many, 0
 * when there is no such directory, -1 on error. */
ssize_t counters_list(const char *dir, struct counters_file **files, struct error *error);

typedef void counters_visit_fn(void *context, const char *account,
                               const uint64_t values[COUNTER_COUNT]);

/* Calls visit for each account. A file that is damaged or was cut gives an error, 0 is success.
 * What a power cut leaves as zeros, because it never came to the disk, is no damage: there is
 * nothing in it. */
int counters_read(const struct counters_file *file, counters_visit_fn *visit, void *context,
                  struct error *error);

/* Copies the table of workers, of a writer of this boot, to out (room for COUNTERS_WORKERS_MAX).
 * Returns how many there are, -1 on error. */
ssize_t counters_read_workers(const struct counters_file *file, struct worker_record *out,
                              struct error *error);

#endif
