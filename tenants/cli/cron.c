/* fpmuxctl cron: the tenants' own cron commands, once and now. `fpmuxctl watch` runs them when it
 * is their turn. */
#include <getopt.h>
#include <sysexits.h>

#include "tenants/cli/cli.h"
#include "tenants/cli/fleet.h"
#include "tenants/containers_config.h"

static void take_cron_commands(struct fleet *fleet) {
    size_t kept = 0;

    for (size_t i = 0; i < fleet->count; i++) {
        const struct tenant_cron *cron = fleet->jobs[i].tenant->cron;
        if (cron == NULL)
            continue;
        fleet->jobs[i].command = &cron->command;
        fleet->jobs[i].limit_ms = cron->limit_ms;
        fleet->jobs[kept++] = fleet->jobs[i];
    }
    fleet->count = kept;
}

static int choose_tenants(struct fleet *fleet, const struct registry *registry, char **ids,
                          size_t count) {
    const struct fleet_choice choice = {0};

    if (count == 0)
        fleet_add_all(fleet, registry, &choice);
    for (size_t i = 0; i < count; i++) {
        int code = fleet_add(fleet, registry, ids[i], &choice);
        if (code != EX_OK)
            return code;
        if (fleet->jobs[i].tenant->cron == NULL)
            return cli_fail(fleet->cli, EX_DATAERR, "%s has no cron command", ids[i]);
    }
    take_cron_commands(fleet);
    return EX_OK;
}

int verb_cron(struct cli *cli, int argc, char **argv) {
    static const struct option known[] = {{NULL, 0, NULL, 0}};
    struct fleet fleet = {.cli = cli};
    struct registry *registry;

    if (getopt_long(argc, argv, "", known, NULL) != -1)
        return cli_usage(cli);
    unsigned parallel = fleet_containers(cli)->exec_parallel;
    int code = cli_load_registry(cli, &registry);
    if (code != EX_OK)
        return code;
    code = choose_tenants(&fleet, registry, argv + optind, (size_t)(argc - optind));
    if (code == EX_OK)
        code = fleet_run(&fleet, parallel);
    fleet_deinit(&fleet);
    registry_close(registry);
    return code;
}
