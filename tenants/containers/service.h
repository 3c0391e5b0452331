/* What the engine says of a tenant's container, as a run for the ledger (tenants/ledger_service.h).
 * Pure, but for the reading of the clock.
 *
 * The engine tells when the present or last run began, when the last one that is over ended, and
 * nothing of those before. Its times are not taken where they can't be right: those that lie in the
 * future, because the clock was set back (the run is told again once the clock has caught up), and
 * an end after the boot of the host for a run that began before, which is when the engine found out
 * that the power had been cut: such a run ends where it was last seen. A clock that is set while a
 * container runs makes its run longer or shorter by as much. */
#ifndef FPMUX_TENANTS_CONTAINERS_SERVICE_H
#define FPMUX_TENANTS_CONTAINERS_SERVICE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "tenants/ledger_service.h"

struct service_clock {
    int64_t now_ns;    /* since 1970 */
    int64_t booted_ns; /* when the host was, by the same clock; 0: not known */
};

/* To be read after the engine answered, or what just happened lies in the future. The engine is
 * taken to run on this host. */
struct service_clock service_read_clock(void);

/* From the answer to GET /containers/ID/json, which the run borrows its names from. False when
 * there is nothing to note: it is no tenant's container, it never ran, or its times are not taken.
 * A paused container runs; one that waits for its restart does not. */
bool service_read_run(const cJSON *inspect, const struct service_clock *clock,
                      struct service_run *run);

#endif
