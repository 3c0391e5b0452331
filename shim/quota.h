/* Who has used up what its plan allows in this month? Follows the tenants with such limits, and
 * says it to their sites.
 *
 *   used this month = what others charged (a predecessor, fpmuxctl exec and cron; from the ledger)
 *                   + what this process charged (from the meter, exact at any moment)
 *
 * The ledger's rows of this process are left out of the former, so nothing is counted twice or
 * missed, whatever is folded when. What others charged is asked for again and again, at most every
 * second, and never so often that the asking takes more than a twentieth of a core.
 *
 * At the start the first answer is awaited for half a second. From a ledger that takes longer it
 * comes later; until then tenants are judged by what this process charged. */
#ifndef FPMUX_SHIM_QUOTA_H
#define FPMUX_SHIM_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "tenants/tenant.h"

struct daemon;
struct quota; /* of one tenant whose plan has a limit */

struct quotas {
    struct quota *table; /* uthash by id */
    size_t unknown;      /* of which the ledger has not said yet what others charged */
    time_t month;        /* for which the table holds */
    bool is_asking;
    uint64_t ask_at_ns; /* for all of them again */
};

/* Follows a change of the registry: a registry_change_fn for quotas, called after that for sites.
 */
void quota_on_change(struct daemon *daemon, const struct tenant *before, struct tenant *after);

/* After the registry was loaded, before the first request. */
void quotas_begin(struct daemon *daemon, uint64_t now_ns);

/* Judges all of them: about every 100 ms, after meter_tick(). */
void quotas_tick(struct daemon *daemon, uint64_t now_ns);

/* As judged last; false for a tenant without limits. */
bool quota_is_over(const struct quotas *quotas, const char *id);

void quotas_free(struct quotas *quotas);

#endif
