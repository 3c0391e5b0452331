/* fpmuxctl check: reads everything as the daemon would and says what is wrong; also what is right
 * in each file but not in all of them together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <uthash.h>

#include "tenants/cli/check_containers.h"
#include "tenants/cli/cli.h"
#include "tenants/cli/findings.h"
#include "tenants/cli/pricing.h"
#include "tenants/json.h"
#include "tenants/registry.h"

enum { FILE_BYTES_MAX = 1 << 20 };

/* A value that only one tenant may have, and the first that has it. */
struct owned_value {
    UT_hash_handle hh; /* by "what\nvalue", because one table is enough for all */
    const char *id;    /* borrowed from the registry */
    char key[];
};

struct check {
    struct cli *cli;
    const struct config *config;
    struct registry *registry;
    struct rates *rates; /* NULL: there are none, or they are in error */
    struct owned_value *values;
    struct container_check *containers;
    struct findings findings;
};

/* Owned by the caller. */
static char *path_of(const struct check *check, const struct tenant *tenant) {
    char *path;

    if (asprintf(&path, "%s/%s.json", strchr(check->config->registry, ':') + 1, tenant->id) < 0)
        abort();
    return path;
}

/* In the tenant's file, where section.key stands. */
static void find_at(struct check *check, enum severity severity, const struct tenant *tenant,
                    const char *section, const char *key, const char *reason) {
    struct json_document document;
    struct error error;
    char *path = path_of(check, tenant);

    if (json_load(&document, path, FILE_BYTES_MAX, &error)) {
        findings_add_at(&check->findings, severity, &document,
                        findings_place(&document, section, key), "%s", reason);
        json_deinit(&document);
    } else {
        findings_add(&check->findings, severity, error.text);
    }
    free(path);
}

/* ---- What two tenants must not share ---- */

/* The first tenant that has the value; NULL: it is this one. */
static const char *take_value(struct check *check, const struct tenant *tenant, const char *what,
                              const char *value) {
    size_t length = strlen(what) + 1 + strlen(value);
    struct owned_value *owned = malloc(sizeof *owned + length + 1);
    struct owned_value *other;

    if (owned == NULL)
        abort();
    stpcpy(stpcpy(stpcpy(owned->key, what), "\n"), value);
    owned->id = tenant->id;
    HASH_FIND(hh, check->values, owned->key, length, other);
    if (other != NULL) {
        free(owned);
        return other->id;
    }
    HASH_ADD_KEYPTR(hh, check->values, owned->key, length, owned);
    return NULL;
}

/* A session that PHP keeps in a shared directory is a login at every tenant of the pool. Where the
 * pool does not list the setting, the application is trusted to keep its sessions itself. */
static void check_sessions(struct check *check, const struct tenant *tenant) {
    const struct pool_config *pool = config_find_pool(check->config, tenant->pool);
    const char *path = tenant_setting(tenant, pool, "session.save_path");
    struct error error;
    char *value;

    if (path == NULL)
        return;
    if (asprintf(&value, "%s\n%s", tenant->pool, path) < 0)
        abort();
    const char *other = take_value(check, tenant, "session.save_path", value);
    free(value);
    if (other == NULL)
        return;
    error_set(&error,
              "session.save_path \"%s\" is tenant %s's, too: a session of one would be a login at "
              "the other; give each its own in \"php\"",
              path, other);
    find_at(check, SEVERITY_ERROR, tenant, "php", "session.save_path", error.text);
}

static const char *param_value(const struct tenant *tenant, const char *name) {
    for (size_t i = 0; i < tenant->param_count; i++) {
        if (strcmp(tenant->params[i].name, name) == 0 && !tenant->params[i].is_secret)
            return tenant->params[i].value;
    }
    return NULL;
}

static void check_data_root(struct check *check, const struct tenant *tenant) {
    const char *path = param_value(tenant, "DATAROOT");
    const char *other = path != NULL ? take_value(check, tenant, "DATAROOT", path) : NULL;
    struct error error;

    if (other == NULL)
        return;
    error_set(&error, "DATAROOT \"%s\" is tenant %s's, too", path, other);
    find_at(check, SEVERITY_WARNING, tenant, "params", "DATAROOT", error.text);
}

static void check_database(struct check *check, const struct tenant *tenant) {
    const char *host = param_value(tenant, "DBHOST");
    const char *name = param_value(tenant, "DBNAME");
    struct error error;
    char *value;

    if (name == NULL)
        return;
    if (asprintf(&value, "%s\n%s", host != NULL ? host : "", name) < 0)
        abort();
    const char *other = take_value(check, tenant, "DBNAME", value);
    free(value);
    if (other == NULL)
        return;
    error_set(&error, "database \"%s\" on \"%s\" is tenant %s's, too", name,
              host != NULL ? host : "the default host", other);
    find_at(check, SEVERITY_WARNING, tenant, "params", "DBNAME", error.text);
}

/* ---- Prices ---- */

static void check_rates(struct check *check) {
    const char *path = pricing_rates_path(check->config);
    struct error error;

    if (path == NULL)
        return;
    check->rates = rates_load(path, &error);
    if (check->rates == NULL)
        findings_add(&check->findings, SEVERITY_ERROR, error.text);
}

/* Without rates a plan's name has no meaning, and does no harm. */
static void check_tariff(struct check *check, const struct tenant *tenant) {
    struct error error;

    if (check->rates == NULL || rates_find_tariff(check->rates, tenant->plan.name) != NULL)
        return;
    error_set(&error, "the rates have no plan \"%s\", so this tenant can't be billed",
              tenant->plan.name);
    find_at(check, SEVERITY_ERROR, tenant, "plan", "name", error.text);
}

/* A limit that can never be reached. */
static void check_quota(struct check *check, const struct tenant *tenant) {
    const struct pool_config *pool = config_find_pool(check->config, tenant->pool);
    struct error error;

    if (tenant->plan.cpu_seconds_per_month == 0 || strncmp(pool->address, "unix:", 5) == 0)
        return;
    error_set(&error,
              "cpu_seconds_per_month has no effect: the address of pool \"%s\" is not a unix "
              "socket, so the CPU of its requests can't be known",
              tenant->pool);
    find_at(check, SEVERITY_WARNING, tenant, "plan", "cpu_seconds_per_month", error.text);
}

static void check_tenant(void *context, struct tenant *tenant) {
    struct check *check = context;
    char *path = path_of(check, tenant);

    check_sessions(check, tenant);
    check_tariff(check, tenant);
    check_quota(check, tenant);
    check_data_root(check, tenant);
    check_database(check, tenant);
    container_check_tenant(check->containers, tenant, path);
    free(path);
}

/* ---- The verb ---- */

static void on_error(void *context, const char *id, const char *text) {
    struct check *check = context;

    (void)id;
    findings_add(&check->findings, SEVERITY_ERROR, text);
}

/* One file as if it were in the registry, in place of the tenant of that id. */
static void check_file(struct check *check, const char *path) {
    struct error error;
    struct tenant *tenant = tenant_load(path, check->config, &error);

    if (tenant == NULL) {
        findings_add(&check->findings, SEVERITY_ERROR, error.text);
        return;
    }
    for (size_t i = 0; i < tenant->hosts.count; i++) {
        const char *host = tenant->hosts.items[i];
        const struct tenant *holder = registry_find_host(check->registry, host, strlen(host));
        if (holder == NULL || strcmp(holder->id, tenant->id) == 0)
            continue;
        error_set(&error, "%s:1:1: host \"%s\" is already tenant %s's", path, host, holder->id);
        findings_add(&check->findings, SEVERITY_ERROR, error.text);
    }
    container_check_tenant(check->containers, tenant, path);
    tenant_unref(tenant);
}

static void check_deinit(struct check *check) {
    struct owned_value *value;
    struct owned_value *next;

    HASH_ITER(hh, check->values, value, next) {
        HASH_DEL(check->values, value);
        free(value);
    }
    container_check_close(check->containers);
    findings_deinit(&check->findings);
    rates_free(check->rates);
    registry_close(check->registry);
}

int verb_check(struct cli *cli, int argc, char **argv) {
    struct check check = {.cli = cli, .config = cli_config(cli)};
    int first = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;

    if (first == 1 && argc > 1 && argv[1][0] == '-')
        return cli_usage(cli);
    int code = cli_load_registry(cli, &check.registry);
    if (code != EX_OK)
        return code;
    findings_init(&check.findings, cli_wants_json(cli));
    check.containers = container_check_open(check.config, &check.findings);
    for (int i = first; i < argc; i++)
        check_file(&check, argv[i]);
    if (first < argc) {
        findings_summarize(&check.findings, (size_t)(argc - first), "files");
    } else {
        container_check_config(check.containers);
        registry_each_error(check.registry, on_error, &check);
        check_rates(&check);
        registry_each(check.registry, check_tenant, &check);
        findings_summarize(&check.findings, registry_count(check.registry), "tenants");
    }
    code = check.findings.errors > 0 ? EX_DATAERR : EX_OK;
    check_deinit(&check);
    return code;
}
