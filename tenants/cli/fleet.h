/* What `exec` and `cron` share: commands of one or many tenants in their php-fpm containers,
 * several at a time, interrupted by Ctrl-C, and what came of each. */
#ifndef FPMUX_TENANTS_CLI_FLEET_H
#define FPMUX_TENANTS_CLI_FLEET_H

#include "tenants/cli/cli.h"
#include "tenants/containers/command.h"
#include "tenants/registry.h"

struct fleet_job {
    const struct tenant *tenant; /* borrowed from the registry */
    const struct string_list *command;
    unsigned limit_ms;
    /* Set by fleet_run(). */
    struct command_result result;
    bool was_begun;
};

struct fleet {
    struct cli *cli;
    struct fleet_job *jobs; /* owned */
    size_t count;
    size_t left_out; /* tenants that should run but can't, which was told */
};

/* Whose commands may run. */
struct fleet_choice {
    const char *pool; /* NULL: any */
    bool with_suspended;
};

/* The configuration's containers; ends the program with EX_CONFIG when it has none. */
const struct containers_config *fleet_containers(struct cli *cli);

/* Adds one tenant, which must be there and run. EX_OK, or the exit code of a failure that was told.
 */
int fleet_add(struct fleet *fleet, const struct registry *registry, const char *id,
              const struct fleet_choice *choice);

/* Adds all tenants of the choice. A tenant whose file is in error is told and left out. */
void fleet_add_all(struct fleet *fleet, const struct registry *registry,
                   const struct fleet_choice *choice);

void fleet_deinit(struct fleet *fleet);

/* Runs the only job as if it were run here: its output is ours, its exit code is returned. */
int fleet_run_alone(struct fleet *fleet, int input);

/* Runs all, so many at a time; each line of output has the tenant's id in front, and the failures
 * are summed up at the end. 0, 1 when any failed, EX_UNAVAILABLE, or 128 + signal when interrupted.
 */
int fleet_run(struct fleet *fleet, unsigned parallel);

#endif
