/* The layout of a counter file, shared by its writer (counters.c) and its readers
 * (counters_read.c); nobody else includes this. All numbers are in the machine's own byte order:
 * the file never leaves the machine, and the magic number shows one that did.
 *
 *   0                          struct counters_header, then zeros up to one page
 *   COUNTERS_WORKERS_OFFSET    COUNTERS_WORKERS_MAX struct worker_record
 *   COUNTERS_SLOTS_OFFSET      slots of 64 bytes of name and counter_count words; the file is
 *                              allocated for more slots than slot_count says
 *
 * A slot's name is written before slot_count is raised (a release store, read with acquire), so
 * that nobody sees half a name. Everything else in a slot only grows, word by word. */
#ifndef FPMUX_TENANTS_COUNTERS_FORMAT_H
#define FPMUX_TENANTS_COUNTERS_FORMAT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "tenants/counters.h"

#define COUNTERS_MAGIC UINT64_C(0x50414d58554d5046) /* "FPMUXMAP" in a little-endian file */

enum {
    COUNTERS_VERSION = 1,
    COUNTERS_NAME_BYTES = TENANT_ID_MAX + 1,
    COUNTERS_INSTANCE_DIGITS = 32,
    COUNTERS_BOOT_BYTES = 40,
    COUNTERS_WORKERS_OFFSET = 4096,
    COUNTERS_SLOTS_OFFSET = 7 * 65536, /* a page boundary, with pages of 64 KiB, too */
};

struct counters_header {
    uint64_t magic;
    uint64_t version;
    uint64_t counter_count;         /* words in a slot: COUNTER_COUNT of the writer */
    int64_t hour;                   /* its first second */
    char instance[40];              /* NUL-terminated, as in the file's name */
    char boot[COUNTERS_BOOT_BYTES]; /* the kernel's boot id: pids of another boot mean nothing */
    _Atomic uint64_t slot_count;    /* slots that have a name */
    uint64_t is_without_workers;    /* 1: its writer takes no predecessor's workers over */
};

struct counters_slot {
    char name[COUNTERS_NAME_BYTES];
    _Atomic uint64_t values[COUNTER_COUNT];
};

_Static_assert(sizeof(struct worker_record) == 96, "part of the file format");
_Static_assert(offsetof(struct counters_header, slot_count) == 112, "part of the file format");
_Static_assert(sizeof(struct counters_slot) == 64 + 8 * COUNTER_COUNT, "no padding in a slot");
_Static_assert(COUNTERS_WORKERS_OFFSET + COUNTERS_WORKERS_MAX * sizeof(struct worker_record) <=
                   COUNTERS_SLOTS_OFFSET,
               "the table of workers ends before the slots");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "other processes read the words, too");

/* "INSTANCE-2026112214.map", or ".INSTANCE-2026112214.tmp" while it is being made. */
enum { COUNTERS_FILE_NAME_MAX = 64 };
void counters_file_name(char out[COUNTERS_FILE_NAME_MAX], const char *instance, time_t hour,
                        bool is_temporary);

/* The boot id of the running kernel; empty when there is no /proc. */
void counters_boot_id(char out[COUNTERS_BOOT_BYTES]);

/* The workers that the dead writers in dir knew (owned array in *records), none of another boot.
 * Where several know the same (pid, start), the one with the highest clock. Returns how many, -1 on
 * error; a file that is damaged is left out. */
ssize_t counters_dead_workers(const char *dir, struct worker_record **records, struct error *error);

#endif
