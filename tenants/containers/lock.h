/* One at a time changes the containers of a system: a lock beside its ledger, which every system
 * has once. It is gone with the process that holds it. */
#ifndef FPMUX_TENANTS_CONTAINERS_LOCK_H
#define FPMUX_TENANTS_CONTAINERS_LOCK_H

#include "tenants/config.h"
#include "tenants/error.h"

enum lock_result { LOCK_TAKEN, LOCK_BUSY, LOCK_FAILED };

/* *fd is the lock; close() gives it back. name tells locks of different uses apart:
 * "containers" is held during a change, "watch" as long as a controller runs. Does not wait. */
enum lock_result lock_take(const struct config *config, const char *name, int *fd,
                           struct error *error);

#endif
