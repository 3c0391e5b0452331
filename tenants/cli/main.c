/* fpmuxctl: finds the verb and the options that all verbs share, and runs it. */
#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "tenants/cli/cli.h"
#include "tenants/cli/verbs.h"
#include "tenants/registry.h"
#include "tenants/spelling.h"

struct cli {
    const struct verb *verb;
    const char *config_path; /* borrowed from argv, or NULL */
    struct config *config;   /* owned; NULL until somebody asks */
    bool wants_json;
    bool wants_help;
    bool wants_version;
};

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

void cli_forget_config(struct cli *cli) {
    config_free(cli->config);
    cli->config = NULL;
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

struct error_search {
    const char *id;
    struct error error;
};

static void note_error(void *context, const char *id, const char *text) {
    struct error_search *search = context;

    if (strcmp(id, search->id) == 0)
        error_set(&search->error, "%s", text);
}

int cli_no_tenant(const struct cli *cli, const struct registry *registry, const char *id) {
    struct error_search search = {.id = id};

    registry_each_error(registry, note_error, &search);
    if (search.error.text[0] != '\0')
        return cli_fail(cli, EX_DATAERR, "%s", search.error.text);
    return cli_fail(cli, EX_NOINPUT, "no tenant \"%s\"", id);
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
    for (size_t i = 0; i < verb_count; i++)
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

static int refuse_verb(const struct cli *cli, const char *name) {
    const char *names[VERBS_MAX + 1] = {0};

    for (size_t i = 0; i < verb_count; i++)
        names[i] = verbs[i].name;
    const char *closest = cli_closest(name, names);
    if (closest == NULL)
        return cli_fail(cli, EX_USAGE, "no verb \"%s\": see fpmuxctl --help", name);
    return cli_fail(cli, EX_USAGE, "no verb \"%s\": did you mean \"%s\"?", name, closest);
}

static int run_verb(struct cli *cli, int argc, char **argv);

/* The paper's names stand for one or two words of ours. */
static int run_alias(struct cli *cli, const struct verb_alias *alias, int argc, char **argv) {
    char **words = calloc((size_t)argc + 2, sizeof *words);
    int count = 0;

    if (words == NULL)
        abort();
    for (; alias->words[count] != NULL; count++)
        words[count] = (char *)alias->words[count];
    for (int i = 1; i < argc; i++)
        words[count++] = argv[i];
    int code = run_verb(cli, count, words);
    free(words);
    return code;
}

static int run_verb(struct cli *cli, int argc, char **argv) {
    const struct verb_alias *alias = verb_find_alias(argv[0]);

    if (alias != NULL)
        return run_alias(cli, alias, argc, argv);
    cli->verb = verb_find(argv[0]);
    if (cli->verb == NULL)
        return refuse_verb(cli, argv[0]);
    if (!cli->wants_help)
        return cli->verb->run(cli, argc, argv);
    print_verb_help(cli->verb, stdout);
    return EX_OK;
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
    return run_verb(cli, argc - 1, argv + 1);
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
