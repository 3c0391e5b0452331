/* fpmux: the daemon. Reads the command line and the configuration, then hands over. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "shim/daemon.h"
#include "tenants/config.h"
#include "tenants/log.h"
#include "tenants/registry.h"

static const char help[] =
    "fpmux: many organisations on one PHP-FPM, each with its own settings, each metered\n"
    "\n"
    "  fpmux [--config FILE] [--check] [--debug]\n"
    "\n"
    "  -c, --config FILE  the configuration; else $FPMUX_CONFIG, else " CONFIG_DEFAULT_PATH "\n"
    "      --check        read the configuration and all tenants, say what is wrong, and end\n"
    "      --debug        log more\n"
    "  -V, --version\n"
    "  -h, --help\n"
    "\n"
    "Ends on SIGTERM or SIGINT, when the requests that run are finished. See fpmux(8).\n";

struct options {
    const char *config;
    bool checks;
};

static void print_error(void *context, const char *id, const char *text) {
    (void)context;
    (void)id;
    log_error("%s", text);
}

static int check(const struct config *config) {
    struct error error;
    struct registry *registry = registry_open(config, NULL, NULL, &error);
    int errors = registry != NULL ? registry_load(registry, &error) : -1;

    if (errors < 0) {
        log_error("%s: registry: %s", config->path, error.text);
    } else {
        registry_each_error(registry, print_error, NULL);
        printf("%s: can be used; %zu tenants, %d in error\n", config->path,
               registry_count(registry), errors);
    }
    if (registry != NULL)
        registry_close(registry);
    return errors < 0 ? EX_CONFIG : errors > 0 ? EX_DATAERR : EX_OK;
}

static int serve(const struct config *config) {
    struct error error;
    int exit_code = EX_OK;
    struct daemon *daemon = daemon_new(config, &error, &exit_code);

    if (daemon == NULL) {
        log_error("%s: %s", config->path, error.text);
        return exit_code;
    }
    daemon_run(daemon);
    daemon_free(daemon);
    return EX_OK;
}

/* Fills options. Returns an exit code, or -1 to go on. */
static int read_options(int argc, char **argv, struct options *options) {
    enum { OPTION_CHECK = 256, OPTION_DEBUG };
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'},   {"check", no_argument, NULL, OPTION_CHECK},
        {"debug", no_argument, NULL, OPTION_DEBUG}, {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},           {0}};
    int option;

    while ((option = getopt_long(argc, argv, "c:Vh", known, NULL)) != -1) {
        switch (option) {
        case 'c':
            options->config = optarg;
            break;
        case OPTION_CHECK:
            options->checks = true;
            break;
        case OPTION_DEBUG:
            log_set_level(LOG_LEVEL_DEBUG);
            break;
        case 'V':
            printf("fpmux %s\n", FPMUX_VERSION);
            return EX_OK;
        case 'h':
            fputs(help, stdout);
            return EX_OK;
        default:
            fputs(help, stderr);
            return EX_USAGE;
        }
    }
    if (optind == argc)
        return -1;
    fprintf(stderr, "fpmux: %s: no argument is expected; see fpmux --help\n", argv[optind]);
    return EX_USAGE;
}

int main(int argc, char **argv) {
    struct options options = {0};
    struct error error;

    int result = read_options(argc, argv, &options);
    if (result >= 0)
        return result;
    struct config *config = config_load(options.config, &error);
    if (config == NULL) {
        log_error("%s", error.text);
        return EX_CONFIG;
    }
    result = options.checks ? check(config) : serve(config);
    config_free(config);
    return result;
}
