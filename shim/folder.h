/* The ledger's thread: SQLite may block (a locked database, a slow disk), and no request may wait
 * for it.
 *
 * It folds the counters into the ledger about every twenty seconds. They go on growing in their
 * file meanwhile, so a fold that fails loses nothing: the next one takes it in. And it answers the
 * question what tenants used this month, one question at a time. */
#ifndef FPMUX_SHIM_FOLDER_H
#define FPMUX_SHIM_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenants/error.h"
#include "tenants/ledger.h"
#include "tenants/period.h"

struct folder;

/* What did these tenants use in that month, without what the instance of counters charged? */
struct month_question {
    struct period month;
    const char *except; /* borrowed */
    uint64_t took_ns;   /* set by the answer, as sums[].use are */
    size_t count;
    struct month_sum sums[];
};

/* ledger is "sqlite:PATH", counters_dir where the counters are; both are copied. NULL on failure.
 */
struct folder *folder_start(const char *ledger, const char *counters_dir, struct error *error);

/* Folds once more and ends the thread. NULL is allowed. */
void folder_stop(struct folder *folder);

/* Takes the question (allocated with malloc) to be answered at once, but after the first fold,
 * which brings in what predecessors counted. While the ledger can't be read, which is logged, it is
 * tried again with each fold. There must be no other question under way. */
void folder_ask(struct folder *folder, struct month_question *question);

/* The question that was answered, for the caller to free, or NULL as long as there is none. Waits
 * for it for that long at most. */
struct month_question *folder_take_answer(struct folder *folder, uint64_t wait_ns);

#endif
