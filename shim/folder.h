/* Folds the counters into the ledger, about every twenty seconds, on a thread of its own: SQLite
 * may block (a locked database, a slow disk), and no request may wait for it. The counters go on
 * growing in their file meanwhile, so a fold that fails loses nothing: the next one takes it in. */
#ifndef FPMUX_SHIM_FOLDER_H
#define FPMUX_SHIM_FOLDER_H

#include "tenants/error.h"

struct folder;

/* ledger is "sqlite:PATH", counters_dir where the counters are; both are copied. NULL on failure.
 */
struct folder *folder_start(const char *ledger, const char *counters_dir, struct error *error);

/* Folds once more and ends the thread. NULL is allowed. */
void folder_stop(struct folder *folder);

#endif
