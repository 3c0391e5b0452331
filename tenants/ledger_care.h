/* Taking care of a ledger: copies, checks, putting those of several hosts together, and letting go
 * of what is old. All of it while the daemon goes on folding into it; whoever has to wait for the
 * other one waits a few seconds, and the daemon's counters grow meanwhile.
 *
 * Blocking; for the tool. */
#ifndef FPMUX_TENANTS_LEDGER_CARE_H
#define FPMUX_TENANTS_LEDGER_CARE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "tenants/error.h"
#include "tenants/ledger.h"

/* How far long work has come, as done of total; NULL where nobody looks. */
struct ledger_progress {
    void (*on_step)(void *context, int64_t done, int64_t total);
    void *context;
};

/* ---- Backup ---- */

/* Copies the ledger as it is at one instant to path, which appears whole and synced or not at all.
 * The copy is one file that needs no other beside it. Returns 0, 1 when there is something at path
 * and may_replace is false, or -1. */
int ledger_backup(struct ledger *ledger, const char *path, bool may_replace,
                  const struct ledger_progress *progress, struct error *error);

/* ---- Verify ---- */

/* One thing that was looked at. All texts are borrowed for the call. */
struct ledger_finding {
    const char *checked; /* "accounts and days of all rows" */
    bool is_wrong;
    const char *found; /* what is wrong, or what is good to know; may be empty */
    const char *mend;  /* what to do; empty unless it is wrong */
};

typedef void ledger_finding_fn(void *context, const struct ledger_finding *finding);

/* Looks at the ledger at path without writing to it, and at the counter files of counters_dir
 * unless that is NULL. Returns how many things are wrong. */
unsigned ledger_verify(const char *path, const char *counters_dir, time_t now,
                       ledger_finding_fn *visit, void *context);

/* ---- Merge ---- */

struct ledger_merged {
    uint64_t rows;         /* of usage that were new, or larger than what was known */
    uint64_t runs;         /* of containers, the same */
    time_t deleted_before; /* the other ledger has let go of what was before; 0: of nothing */
};

/* Takes in what the ledger at path knows, in one transaction; that one is only read. Instances of
 * counters have random names, so what two ledgers say of one (instance, hour) is the same thing
 * seen at two moments: the larger values hold, and what this ledger has seen to its end is not
 * taken in again. So merging a file twice, or two files that overlap, changes nothing; nor does it
 * bring back what was pruned here.
 *
 * Of a day that the other one has summed up, this one must know all hours or none but those that
 * are in the sum: else the file is refused, since a sum can't be taken apart. 0, or -1 with the
 * reason and nothing taken in. */
int ledger_merge(struct ledger *ledger, const char *path, struct ledger_merged *merged,
                 struct error *error);

/* ---- Prune ---- */

struct ledger_prune {
    time_t before;         /* a whole hour: the beginning of a day of the zone */
    bool sums_to_days;     /* else what is older is deleted */
    enum period_zone zone; /* whose days */
    const char *zone_name; /* to be remembered with the sums */
    bool is_dry_run;       /* only count */
};

struct ledger_pruned {
    uint64_t rows; /* hourly rows that were summed up, or rows that were deleted */
    uint64_t sums; /* rows that stand for the former; 0 in a dry run */
    uint64_t runs; /* of containers, deleted */
    uint64_t left; /* hourly rows that stay, see below */
};

/* Only what was folded to its end is pruned, since more may come of the rest. It is remembered that
 * it was folded, so neither counter files nor merges bring it back. A transaction a day: may be
 * interrupted and run again. 0, or -1 with the reason. */
int ledger_prune(struct ledger *ledger, const struct ledger_prune *prune,
                 const struct ledger_progress *progress, struct ledger_pruned *pruned,
                 struct error *error);

/* The rows that were let go of leave room in the file for others; this gives it back to the disk.
 * Needs as much room again while it runs, and writers wait for it. 0, or -1. */
int ledger_vacuum(struct ledger *ledger, struct error *error);

/* What was used before this was deleted; 0: nothing was; -1 on error. */
time_t ledger_deleted_before(struct ledger *ledger, struct error *error);

#endif
