/* Runs the tenants' cron commands when it is their turn (cron_schedule.h): a bounded number at a
 * time, never two of one tenant, those of suspended and unpaid tenants not at all. Results are
 * logged, CPU is charged.
 *
 *   resting --its turn--> waiting --a thread is free--> running --> ended --cron_turn()--> resting
 *
 * A turn that comes while the tenant's last run still waits or runs is passed over. All calls come
 * from one thread; the commands run on threads of the module's own. */
#ifndef FPMUX_TENANTS_CONTAINERS_CRON_H
#define FPMUX_TENANTS_CONTAINERS_CRON_H

#include <time.h>

#include "tenants/containers/command.h"
#include "tenants/registry.h"

struct cron;

/* How a command is run: command_run(). */
typedef void cron_run_fn(const struct command_request *request, struct command_result *result);

/* config has containers; it is borrowed for the lifetime. */
struct cron *cron_new(const struct config *config, cron_run_fn *run);

/* Looks whose turn it is, and has these run. Returns in how many ms it wants to be called again at
 * the latest (1000 to 10000; a second late is no harm); a change of the registry is seen then. */
unsigned cron_turn(struct cron *cron, const struct registry *registry, time_t now);

/* Ends what runs, waits for it (up to the grace that a command has, and a little), and frees. NULL
 * is allowed. */
void cron_stop(struct cron *cron);

#endif
