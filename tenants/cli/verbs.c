#include "tenants/cli/verbs.h"

#include <string.h>

#include "tenants/cli/cli.h"
#include "tenants/cli/pricing.h"

const struct verb verbs[] = {
    {"tenant", verb_tenant, "list, show and edit the organisations",
     "tenant list [--json]\n"
     "       fpmuxctl tenant show ID [--json]\n"
     "       fpmuxctl tenant add ID [--name NAME] [--host HOST]... [--pool POOL]\n"
     "                [--param NAME=VALUE]... [--secret NAME=FILE]... [--php KEY=VALUE]...\n"
     "                [--from FILE]\n"
     "       fpmuxctl tenant set ID PATH=VALUE... [--force]\n"
     "       fpmuxctl tenant remove ID...\n"
     "       fpmuxctl tenant suspend ID... [--force]\n"
     "       fpmuxctl tenant resume ID... [--force]\n"
     "       fpmuxctl tenant import FILE [--dry-run] [--prune] [--force] [--json]\n"
     "\n"
     "PATH is a key of the tenant's file (name, state, hosts, pool, token) or SECTION.KEY "
     "(params.,\n"
     "php., limits., plan., container., cron., labels.). hosts takes names with commas between\n"
     "them; an empty VALUE takes the key out. What is written is checked before, so that the\n"
     "daemon never meets a file that it would refuse.\n"
     "\n"
     "  --from FILE    start from this file; the other options come on top\n"
     "  --force        rewrite files that have comments, which are lost\n"
     "  --dry-run      say what would be done, and do nothing\n"
     "  --prune        remove the tenants that are not in FILE\n"},
    {"check", verb_check, "read the configuration, tenants and rates, and say what is wrong",
     "check [FILE...] [--json]\n"
     "\n"
     "Prints every error and warning as FILE:LINE:COLUMN: what is wrong. With FILEs, checks these\n"
     "as if they were in the registry, and nothing else.\n"},
    {"usage", verb_usage, "show what the organisations used",
     "usage [--tenant ID] [--from TIME] [--to TIME] [--period PERIOD]\n"
     "                [--by hour|day|month|all] [--tz ZONE] [--with-idle] [--strict] [--json]\n"
     "       fpmuxctl usage --bill [--rates FILE] [--tenant ID] [--from TIME] [--to TIME]\n"
     "                [--period PERIOD] [--tz ZONE] [--strict] [--json]\n"
     "\n"
     "Shows the running month, one line per tenant and month, if nothing else is asked for. Takes\n"
     "what was counted up to now into the ledger first, whether the daemon runs or not. --json\n"
     "prints the same as export --format json.\n"
     "\n"
     "  --bill         what each has to pay, by month\n" PRICING_HELP QUERY_HELP},
    {"export", verb_export, "write what the organisations used, for bills",
     "export [--format csv|json|focus|cloudevents] [--output FILE] [--columns LIST]\n"
     "                [--rates FILE] [--source URI] [--tenant ID] [--from TIME] [--to TIME]\n"
     "                [--period PERIOD] [--by hour|day|month|all] [--tz ZONE] [--with-idle]\n"
     "                [--strict]\n"
     "\n"
     "Writes all of the ledger, one row per tenant and month, if nothing else is asked for.\n"
     "Takes what was counted up to now in first, whether the daemon runs or not. Times are "
     "written\n"
     "in UTC, ends exclusive; seconds have nine decimals; the unknown is empty (CSV) or null "
     "(JSON).\n"
     "\n"
     "  --format       csv, json: usage; focus: charges as FOCUS 1.2 has them; cloudevents: usage\n"
     "                 as CloudEvents 1.0, with charges where there are rates\n"
     "  --columns LIST names with commas between them, in that order (csv); also \"name\"\n"
     "  --source URI   of CloudEvents (default: /fpmux); each ledger its own\n" PRICING_HELP
     "  --output FILE  appears whole, or not at all\n" QUERY_HELP},
    {"ledger", verb_ledger, "back up, check, merge and prune the ledger",
     "ledger backup FILE [--force]\n"
     "       fpmuxctl ledger verify [FILE] [--json]\n"
     "       fpmuxctl ledger merge FILE...\n"
     "       fpmuxctl ledger prune --before DATE [--sum-to-days] [--tz ZONE] [--dry-run]\n"
     "                [--force] [--vacuum]\n"
     "\n"
     "All of it while the daemon runs. A backup is one file, of one instant; it appears whole or\n"
     "not at all. verify says what it looked at, what is wrong, and how to mend it. merge takes\n"
     "in the ledgers of other hosts or backups; what is in several of them counts once, so it may\n"
     "be repeated. prune lets go of what was used before DATE; neither counters nor merges bring\n"
     "it back.\n"
     "\n"
     "  --force        backup: replace FILE; prune: the running month, too\n"
     "  --sum-to-days  keep a row for each day instead of each hour, of days of ZONE\n"
     "  --tz ZONE      whose days (default: `timezone` of the configuration, or UTC)\n"
     "  --dry-run      say what would be done, and do nothing\n"
     "  --vacuum       give the room back to the disk afterwards, where the ledger must fit once\n"
     "                 more\n"},
    {"exec", verb_exec, "run a command with an organisation's parameters",
     "exec ID [-i] [--timeout SECONDS] [--with-suspended] -- COMMAND [ARGUMENT]...\n"
     "       fpmuxctl exec ID... | --all [--pool POOL] [--parallel N] [--timeout SECONDS]\n"
     "                [--with-suspended] [--json] -- COMMAND [ARGUMENT]...\n"
     "\n"
     "Runs COMMAND in the php-fpm container of the tenant's pool, in the pool's root, with the\n"
     "tenant's parameters for an environment and nothing else; its CPU is charged to the tenant.\n"
     "With one ID, input, output and the exit code are the command's (126, 127, 128 + signal; "
     "124:\n"
     "ended after SECONDS). With more, each line has the id in front.\n"
     "\n"
     "  --all             all tenants that are neither suspended nor unpaid\n"
     "  --pool POOL       only those of POOL\n"
     "  --parallel N      at a time (default: containers.exec_parallel)\n"
     "  --with-suspended  the suspended and unpaid ones, too\n"
     "  -i                pass standard input on even if it is a terminal\n"
     "  --json            an object for each tenant; what the commands say goes to standard "
     "error\n"},
    {"cron", verb_cron, "run the organisations' cron commands once, now",
     "cron [ID...] [--json]\n"
     "\n"
     "Runs the command that the `cron` section of each tenant's file names, as exec would; all\n"
     "tenants that have one, if none is named. watch runs them when it is their turn.\n"},
    {"build", verb_build, "make the images of the containers",
     "build [DIR] [--no-cache]\n"
     "\n"
     "Makes the images that containers.images names from DIR, a clone of fpmux (default: the\n"
     "directory you are in). A registry is asked for the base image only; docker/base makes it\n"
     "where none can be reached.\n"
     "\n"
     "  --no-cache  make everything anew, as to get the distribution's updates\n"},
    {"audit", verb_audit, "compare what was charged with the kernel's own figures",
     "audit [--seconds N] [--json]\n"
     "\n"
     "Looks twice, N seconds apart (10), at the CPU that PHP-FPM's processes burned, and at what\n"
     "was charged to tenants and to \"(idle)\", and prints both and what is left over. Needs the\n"
     "daemon on this machine, with PHP-FPM's processes in sight.\n"},
    {"plan", verb_plan, "show what up would do",
     "plan [ID|fpm|shim|proxy]... [--detailed-exitcode] [--json]\n"
     "\n"
     "Compares the containers that there should be with those that there are, and changes\n"
     "nothing. Without names, all of them.\n"
     "\n"
     "  --detailed-exitcode  exit with 2 when there is something to do\n"},
    {"up", verb_up, "make the containers what they should be",
     "up [ID|fpm|shim|proxy]... [--tenants]\n"
     "\n"
     "Creates, replaces, starts and removes containers until all are as the configuration and\n"
     "the registry want them, and waits until each answers. What is as it should be is not\n"
     "touched, nor is any container of somebody else. May be interrupted and run again.\n"
     "\n"
     "  --tenants  the organisations' containers only\n"},
    {"down", verb_down, "stop and remove containers",
     "down [ID|fpm|shim|proxy]...\n"
     "\n"
     "Without names, all containers and networks of this system. Data, sockets and the ledger\n"
     "stay. Where watch runs, it starts again what the registry wants: suspend or remove the\n"
     "tenant, or stop watch before.\n"},
    {"ps", verb_ps, "list the containers",
     "ps [ID|fpm|shim|proxy]... [--json]\n"
     "\n"
     "Lists the containers that there are and that there should be, and what up would do.\n"},
    {"watch", verb_watch, "keep the containers what they should be",
     "watch\n"
     "\n"
     "Runs until it is stopped. Follows the registry and the engine: a file that is added brings\n"
     "a container up, one that is removed takes it down, a container that ends is started again.\n"
     "Runs the tenants' cron commands, and counts how long their containers run.\n"},
};

const size_t verb_count = sizeof verbs / sizeof *verbs;
_Static_assert(sizeof verbs / sizeof *verbs <= VERBS_MAX, "VERBS_MAX is too small");

static const struct verb_alias aliases[] = {
    {"print_centros", {"tenant", "list", NULL}},
    {"ps_running", {"ps", NULL}},
    {"run", {"up", NULL}},
    {"run_centro", {"up", NULL}},
    {"run_centros", {"up", "--tenants", NULL}},
    {"run_fpm", {"up", "fpm", NULL}},
    {"run_reverse_proxy", {"up", "proxy", NULL}},
    {"stop", {"down", NULL}},
};

const struct verb *verb_find(const char *name) {
    for (size_t i = 0; i < verb_count; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

const struct verb_alias *verb_find_alias(const char *name) {
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcmp(aliases[i].name, name) == 0)
            return &aliases[i];
    return NULL;
}
