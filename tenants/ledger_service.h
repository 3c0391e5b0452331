/* How long each tenant's container ran, in the ledger. Kept are runs, from the engine's start of a
 * container to its end, and not increments: who says again what it sees of a run adds nothing, so
 * it may be restarted at any time, several may watch at once, and of two ledgers the union is
 * right. A tenant's time in a report is the union of the runs of its containers, so two that run
 * at once, while one replaces the other, are billed once. All times are the host's clock, in
 * nanoseconds since 1970.
 *
 * What was seen of a run last replaces what was seen before, so that a clock that stood wrong for a
 * while leaves nothing behind; its end, once it is known, stays.
 *
 * When a container was restarted while nobody watched, the engine still tells when the run before
 * its present one ended. The ledger ends the newest run that it knows of the container then, if
 * that can be the same one. It is not when the host was booted meanwhile (the engine says of a run
 * that a power cut ended that it ended when the engine came up), nor when the engine's count of
 * restarts shows that there were others in between; a restart by hand sets that count to 0, and
 * then there is taken to be one. Runs that began and ended while nobody watched are not in the
 * ledger: nothing tells of them. */
#ifndef FPMUX_TENANTS_LEDGER_SERVICE_H
#define FPMUX_TENANTS_LEDGER_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenants/error.h"
#include "tenants/ledger.h"

struct service_run {
    const char *container; /* the engine's id */
    const char *tenant;
    int64_t started_ns; /* with container: which run */
    int64_t until_ns;   /* seen running, or ended; not before started_ns */
    bool has_ended;
    unsigned restarts; /* how many times in a row the engine restarted it by itself for this run */
    int64_t previous_ended_ns; /* the end of the run before; 0: there was none, or none is known */
    int64_t booted_ns;         /* of the host; 0: not known */
};

/* In one transaction, beside folds and other writers. 0, or -1 with the reason, and then nothing of
 * it was noted. */
int ledger_note_service(struct ledger *ledger, const struct service_run *runs, size_t count,
                        struct error *error);

#endif
