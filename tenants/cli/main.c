/* fpmuxctl: finds the verb and the options that all verbs share, and runs it. */
#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "tenants/cli/cli.h"
#include "tenants/cli/query.h"
#include "tenants/registry.h"
#include "tenants/spelling.h"

struct verb {
    const char *name;
    int (*run)(struct cli *cli, int argc, char **argv);
    const char *summary;
    const char *help; /* what follows "usage: fpmuxctl " */
};

struct cli {
    const struct verb *verb;
    const char *config_path; /* borrowed from argv, or NULL */
    struct config *config;   /* owned; NULL until somebody asks */
    bool wants_json;
    bool wants_help;
    bool wants_version;
};

static const struct verb verbs[] = {
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
    {"check", verb_check, "read the configuration and all tenants, and say what is wrong",
     "check [FILE...] [--json]\n"
     "\n"
     "Prints every error and warning as FILE:LINE:COLUMN: what is wrong. With FILEs, checks these\n"
     "as if they were in the registry, and nothing else.\n"},
    {"usage", verb_usage, "show what the organisations used",
     "usage [--tenant ID] [--from TIME] [--to TIME] [--period PERIOD]\n"
     "                [--by hour|day|month|all] [--with-idle] [--strict] [--json]\n"
     "\n"
     "Shows the running month, one line per tenant and month, if nothing else is asked for. Takes\n"
     "what was counted up to now into the ledger first, whether the daemon runs or not. --json\n"
     "prints the same as export --format json.\n"
     "\n" QUERY_HELP},
    {"export", verb_export, "write what the organisations used, for bills",
     "export [--format csv|json] [--output FILE] [--tenant ID] [--from TIME]\n"
     "                [--to TIME] [--period PERIOD] [--by hour|day|month|all] [--with-idle]\n"
     "                [--strict]\n"
     "\n"
     "Writes all of the ledger, one row per tenant and month, if nothing else is asked for.\n"
     "Takes what was counted up to now in first, whether the daemon runs or not. Times are UTC,\n"
     "ends exclusive; seconds have nine decimals; the unknown is empty (CSV) or null (JSON).\n"
     "\n"
     "  --output FILE  appears whole, or not at all\n" QUERY_HELP},
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
};

enum { VERBS = sizeof verbs / sizeof *verbs };

/* ---- What the verbs share ---- */

bool cli_wants_json(const struct cli *cli) {
    return cli->wants_json;
}

int cli_fail(const struct cli *cli, int code, const char *format, ...) {
    struct error error;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error.text, sizeof error.text, format, arguments);
    va_end(arguments);
    fflush(stdout);
    fprintf(stderr, "fpmuxctl%s%s: ", cli->verb != NULL ? " " : "",
            cli->verb != NULL ? cli->verb->name : "");
    for (const char *byte = error.text; *byte != '\0'; byte++) {
        if ((unsigned char)*byte < 0x20 || *byte == 0x7f)
            fprintf(stderr, "\\x%02x", (unsigned)*byte);
        else
            fputc(*byte, stderr);
    }
    fputc('\n', stderr);
    return code;
}

const struct config *cli_config(struct cli *cli) {
    struct error error;

    if (cli->config == NULL)
        cli->config = config_load(cli->config_path, &error);
    if (cli->config == NULL)
        exit(cli_fail(cli, EX_CONFIG, "%s", error.text));
    return cli->config;
}

int cli_load_registry(struct cli *cli, struct registry **registry) {
    const struct config *config = cli_config(cli);
    struct error error;

    *registry = registry_open(config, NULL, NULL, &error);
    if (*registry == NULL)
        return cli_fail(cli, EX_CONFIG, "%s: registry: %s", config->path, error.text);
    if (registry_load(*registry, &error) >= 0)
        return EX_OK;
    registry_close(*registry);
    *registry = NULL;
    return cli_fail(cli, EX_IOERR, "%s", error.text);
}

static void print_verb_help(const struct verb *verb, FILE *out) {
    fprintf(out, "usage: fpmuxctl %s", verb->help);
}

int cli_usage(const struct cli *cli) {
    print_verb_help(cli->verb, stderr);
    return EX_USAGE;
}

const char *cli_closest(const char *word, const char *const *words) {
    const char *closest = NULL;
    size_t nearest = 4; /* farther words are not what was meant */

    for (; *words != NULL; words++) {
        size_t far = spelling_distance(word, *words);
        if (far >= nearest || far >= strlen(*words))
            continue;
        nearest = far;
        closest = *words;
    }
    return closest;
}

/* ---- The command line ---- */

static void print_help(FILE *out) {
    fputs("usage: fpmuxctl [-c FILE] [--json] VERB ...\n\n", out);
    for (size_t i = 0; i < VERBS; i++)
        fprintf(out, "  %-8s %s\n", verbs[i].name, verbs[i].summary);
    fputs("\n"
          "  -c, --config FILE  the configuration (default: $FPMUX_CONFIG, or " CONFIG_DEFAULT_PATH
          ")\n"
          "      --json         print for programs\n"
          "  -h, --help         behind a verb: how that is used\n"
          "  -V, --version      print the version\n",
          out);
}

static bool is_option(const char *word, const char *letter, const char *name) {
    return strcmp(word, letter) == 0 || strcmp(word, name) == 0;
}

/* Takes the shared options out of argv, wherever they stand before a "--". Returns how many
 * arguments are left, or -1 when one lacks its value. */
static int take_shared_options(struct cli *cli, int argc, char **argv) {
    int left = 1;
    int i = 1;

    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0)
            cli->wants_json = true;
        else if (is_option(argv[i], "-h", "--help"))
            cli->wants_help = true;
        else if (is_option(argv[i], "-V", "--version"))
            cli->wants_version = true;
        else if (strncmp(argv[i], "--config=", 9) == 0)
            cli->config_path = argv[i] + 9;
        else if (is_option(argv[i], "-c", "--config") && i + 1 == argc)
            return -1;
        else if (is_option(argv[i], "-c", "--config"))
            cli->config_path = argv[++i];
        else
            argv[left++] = argv[i];
    }
    for (; i < argc; i++)
        argv[left++] = argv[i];
    argv[left] = NULL;
    return left;
}

static const struct verb *find_verb(const char *name) {
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

static int refuse_verb(const struct cli *cli, const char *name) {
    const char *names[VERBS + 1] = {0};

    for (size_t i = 0; i < VERBS; i++)
        names[i] = verbs[i].name;
    const char *closest = cli_closest(name, names);
    if (closest == NULL)
        return cli_fail(cli, EX_USAGE, "no verb \"%s\": see fpmuxctl --help", name);
    return cli_fail(cli, EX_USAGE, "no verb \"%s\": did you mean \"%s\"?", name, closest);
}

static int run(struct cli *cli, int argc, char **argv) {
    argc = take_shared_options(cli, argc, argv);
    if (argc < 0)
        return cli_fail(cli, EX_USAGE, "--config needs the path of a file");
    if (cli->wants_version) {
        puts("fpmuxctl " FPMUX_VERSION);
        return EX_OK;
    }
    if (argc < 2) {
        print_help(cli->wants_help ? stdout : stderr);
        return cli->wants_help ? EX_OK : EX_USAGE;
    }
    cli->verb = find_verb(argv[1]);
    if (cli->verb == NULL)
        return refuse_verb(cli, argv[1]);
    if (cli->wants_help) {
        print_verb_help(cli->verb, stdout);
        return EX_OK;
    }
    return cli->verb->run(cli, argc - 1, argv + 1);
}

int main(int argc, char **argv) {
    struct cli cli = {0};

    setlocale(LC_CTYPE, ""); /* tables count the columns of UTF-8 */
    int code = run(&cli, argc, argv);
    config_free(cli.config);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EX_OK)
        return cli_fail(&cli, EX_IOERR, "standard output: %s", strerror(errno));
    return code;
}
