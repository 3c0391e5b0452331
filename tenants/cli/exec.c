/* fpmuxctl exec: a command of the application, with a tenant's parameters for an environment. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "tenants/cli/cli.h"
#include "tenants/cli/fleet.h"
#include "tenants/containers_config.h"

enum { OPTION_ALL = 256, OPTION_PARALLEL, OPTION_POOL, OPTION_TIMEOUT, OPTION_WITH_SUSPENDED };

struct exec_options {
    struct fleet_choice choice;
    bool wants_all;
    bool wants_input;
    unsigned parallel; /* 0: the configuration's */
    unsigned limit_ms;
    struct string_list command; /* borrowed from argv */
};

static int take_number(struct cli *cli, const char *name, const char *text, double max,
                       double *number) {
    char *end;

    *number = strtod(text, &end);
    if (end == text || *end != '\0' || !(*number > 0 && *number <= max))
        return cli_fail(cli, EX_USAGE, "%s: \"%s\" is not a number from 0 to %g", name, text, max);
    return EX_OK;
}

static int take_option(struct cli *cli, struct exec_options *options, int code) {
    double number = 0;
    int result = EX_OK;

    switch (code) {
    case OPTION_ALL:
        options->wants_all = true;
        return EX_OK;
    case OPTION_PARALLEL:
        result = take_number(cli, "--parallel", optarg, 1000, &number);
        options->parallel = number < 1 ? 1 : (unsigned)number;
        return result;
    case OPTION_POOL:
        options->choice.pool = optarg;
        return EX_OK;
    case OPTION_TIMEOUT:
        result = take_number(cli, "--timeout", optarg, 1e6, &number);
        options->limit_ms = number < 0.001 ? 1 : (unsigned)(number * 1000);
        return result;
    case OPTION_WITH_SUSPENDED:
        options->choice.with_suspended = true;
        return EX_OK;
    case 'i':
        options->wants_input = true;
        return EX_OK;
    default:
        return cli_usage(cli);
    }
}

/* Options and ids lie before the first "--", the command behind it: its own "--" and its options
 * are its own. Returns the index of "--", or argc. */
static int find_command(int argc, char **argv) {
    int i = 1;

    while (i < argc && strcmp(argv[i], "--") != 0)
        i++;
    return i;
}

static int take_options(struct cli *cli, struct exec_options *options, int argc, char **argv) {
    static const struct option known[] = {
        {"all", no_argument, NULL, OPTION_ALL},
        {"parallel", required_argument, NULL, OPTION_PARALLEL},
        {"pool", required_argument, NULL, OPTION_POOL},
        {"timeout", required_argument, NULL, OPTION_TIMEOUT},
        {"with-suspended", no_argument, NULL, OPTION_WITH_SUSPENDED},
        {NULL, 0, NULL, 0},
    };
    int code;

    while ((code = getopt_long(argc, argv, "i", known, NULL)) != -1) {
        int result = take_option(cli, options, code);
        if (result != EX_OK)
            return result;
    }
    if (options->wants_all == (optind < argc))
        return cli_fail(cli, EX_USAGE, "either ids of tenants, or --all");
    if (options->choice.pool != NULL && !options->wants_all)
        return cli_fail(cli, EX_USAGE, "--pool goes with --all");
    if (options->choice.pool != NULL &&
        config_find_pool(cli_config(cli), options->choice.pool) == NULL)
        return cli_fail(cli, EX_USAGE, "no pool \"%s\"", options->choice.pool);
    return EX_OK;
}

static int choose_tenants(struct fleet *fleet, const struct registry *registry,
                          const struct exec_options *options, char **ids, size_t count) {
    if (options->wants_all)
        fleet_add_all(fleet, registry, &options->choice);
    for (size_t i = 0; i < count; i++) {
        int code = fleet_add(fleet, registry, ids[i], &options->choice);
        if (code != EX_OK)
            return code;
    }
    for (size_t i = 0; i < fleet->count; i++) {
        fleet->jobs[i].command = &options->command;
        fleet->jobs[i].limit_ms = options->limit_ms;
    }
    return EX_OK;
}

static int run(struct fleet *fleet, const struct exec_options *options) {
    bool has_input = options->wants_input || !isatty(STDIN_FILENO);

    if (!options->wants_all && fleet->count == 1)
        return fleet_run_alone(fleet, has_input ? STDIN_FILENO : -1);
    return fleet_run(fleet, options->parallel != 0 ? options->parallel
                                                   : fleet_containers(fleet->cli)->exec_parallel);
}

int verb_exec(struct cli *cli, int argc, char **argv) {
    struct exec_options options = {0};
    struct fleet fleet = {.cli = cli};
    struct registry *registry;
    int end = find_command(argc, argv);

    if (end + 1 >= argc)
        return cli_fail(cli, EX_USAGE,
                        "what is to be run comes behind \"--\": fpmuxctl exec "
                        "centro1 -- php -v");
    options.command =
        (struct string_list){.items = argv + end + 1, .count = (size_t)(argc - end - 1)};
    int code = take_options(cli, &options, end, argv);
    if (code != EX_OK)
        return code;
    fleet_containers(cli);
    code = cli_load_registry(cli, &registry);
    if (code != EX_OK)
        return code;
    code = choose_tenants(&fleet, registry, &options, argv + optind, (size_t)(end - optind));
    if (code == EX_OK)
        code = run(&fleet, &options);
    fleet_deinit(&fleet);
    registry_close(registry);
    return code;
}
