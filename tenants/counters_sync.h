/* Makes the counter files that are in use survive a power cut. The daemon makes a file on the
 * thread that serves requests, which must not wait for a disk; so it is synced from another one,
 * soon after. What was counted in it before is lost in a power cut, as is what was counted since
 * the last fold: the ledger is what is synced again and again, not the counters. */
#ifndef FPMUX_TENANTS_COUNTERS_SYNC_H
#define FPMUX_TENANTS_COUNTERS_SYNC_H

#include <stddef.h>

#include "tenants/counters.h"
#include "tenants/error.h"

/* The running files that were synced; starts empty. */
struct counters_synced {
    struct counters_file *files; /* owned */
    size_t count;
};

/* Syncs the running files of dir that are not among these, and dir itself. 0, or -1 with the
 * reason; then those that failed come again with the next call. */
int counters_sync_new(struct counters_synced *synced, const char *dir, struct error *error);

void counters_synced_deinit(struct counters_synced *synced);

#endif
