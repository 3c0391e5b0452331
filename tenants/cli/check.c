/* fpmuxctl check: reads everything as the daemon would and says what is wrong; also what is right
 * in each file but not in all of them together. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <uthash.h>

#include "tenants/cli/cli.h"
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
    cJSON *findings; /* with --json: what is found, else NULL */
    size_t errors;
    size_t warnings;
};

enum severity { SEVERITY_ERROR, SEVERITY_WARNING };

/* ---- What is found ---- */

/* ":NUMBER" at *at, which is moved behind it. */
static bool take_number(const char **at, unsigned long *number) {
    char *end;

    if ((*at)[0] != ':' || (*at)[1] < '0' || (*at)[1] > '9')
        return false;
    *number = strtoul(*at + 1, &end, 10);
    *at = end;
    return true;
}

/* "FILE:LINE:COLUMN: message" in its parts; what has no position is all message. */
static void add_finding(cJSON *findings, enum severity severity, const char *text) {
    cJSON *finding = cJSON_CreateObject();
    unsigned long line;
    unsigned long column;

    cJSON_AddStringToObject(finding, "severity", severity == SEVERITY_ERROR ? "error" : "warning");
    for (const char *colon = strchr(text, ':'); colon != NULL; colon = strchr(colon + 1, ':')) {
        const char *at = colon;
        if (!take_number(&at, &line) || !take_number(&at, &column) || strncmp(at, ": ", 2) != 0)
            continue;
        char *file = strndup(text, (size_t)(colon - text));
        cJSON_AddStringToObject(finding, "file", file);
        cJSON_AddNumberToObject(finding, "line", (double)line);
        cJSON_AddNumberToObject(finding, "column", (double)column);
        free(file);
        text = at + 2;
        break;
    }
    cJSON_AddStringToObject(finding, "message", text);
    cJSON_AddItemToArray(findings, finding);
}

static void print_safely(const char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            printf("\\x%02x", (unsigned)*text);
        else
            putchar(*text);
    }
    putchar('\n');
}

static void find(struct check *check, enum severity severity, const char *text) {
    check->errors += severity == SEVERITY_ERROR;
    check->warnings += severity == SEVERITY_WARNING;
    if (check->findings != NULL) {
        add_finding(check->findings, severity, text);
        return;
    }
    print_safely(text);
}

/* The same, with the place in the tenant's file where section.key stands, or the section, or the
 * whole. */
static void find_at(struct check *check, enum severity severity, const struct tenant *tenant,
                    const char *section, const char *key, const char *reason) {
    struct json_document document;
    struct error error;
    char *path;

    if (asprintf(&path, "%s/%s.json", strchr(check->config->registry, ':') + 1, tenant->id) < 0)
        abort();
    if (json_load(&document, path, FILE_BYTES_MAX, &error)) {
        const cJSON *object = cJSON_GetObjectItemCaseSensitive(document.root, section);
        const cJSON *node = cJSON_GetObjectItemCaseSensitive(object, key);
        json_error_at(&document,
                      node != NULL     ? node
                      : object != NULL ? object
                                       : document.root,
                      &error, "%s", reason);
        json_deinit(&document);
    }
    find(check, severity, error.text);
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
    error_set(&error, "warning: DATAROOT \"%s\" is tenant %s's, too", path, other);
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
    error_set(&error, "warning: database \"%s\" on \"%s\" is tenant %s's, too", name,
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
        find(check, SEVERITY_ERROR, error.text);
}

/* Without rates a plan's name has no meaning, and does no harm. */
static void check_plan(struct check *check, const struct tenant *tenant) {
    struct error error;

    if (check->rates == NULL || rates_find_tariff(check->rates, tenant->plan.name) != NULL)
        return;
    error_set(&error, "the rates have no plan \"%s\", so this tenant can't be billed",
              tenant->plan.name);
    find_at(check, SEVERITY_ERROR, tenant, "plan", "name", error.text);
}

static void check_tenant(void *context, struct tenant *tenant) {
    check_sessions(context, tenant);
    check_plan(context, tenant);
    check_data_root(context, tenant);
    check_database(context, tenant);
}

/* ---- The verb ---- */

static void on_error(void *context, const char *id, const char *text) {
    (void)id;
    find(context, SEVERITY_ERROR, text);
}

/* One file as if it were in the registry, in place of the tenant of that id. */
static void check_file(struct check *check, const char *path) {
    struct error error;
    struct tenant *tenant = tenant_load(path, check->config, &error);

    if (tenant == NULL) {
        find(check, SEVERITY_ERROR, error.text);
        return;
    }
    for (size_t i = 0; i < tenant->hosts.count; i++) {
        const char *host = tenant->hosts.items[i];
        const struct tenant *holder = registry_find_host(check->registry, host, strlen(host));
        if (holder == NULL || strcmp(holder->id, tenant->id) == 0)
            continue;
        error_set(&error, "%s:1:1: host \"%s\" is already tenant %s's", path, host, holder->id);
        find(check, SEVERITY_ERROR, error.text);
    }
    tenant_unref(tenant);
}

/* what is in the plural. */
static void print_count(size_t count, const char *what) {
    printf("%zu %.*s", count, (int)strlen(what) - (count == 1), what);
}

static void summarize(const struct check *check, size_t count, const char *what) {
    if (check->findings != NULL) {
        cJSON *root = cJSON_CreateObject();
        cJSON_AddNumberToObject(root, what, (double)count);
        cJSON_AddNumberToObject(root, "errors", (double)check->errors);
        cJSON_AddNumberToObject(root, "warnings", (double)check->warnings);
        cJSON_AddItemReferenceToObject(root, "findings", check->findings);
        char *text = cJSON_Print(root);
        if (text == NULL)
            abort();
        puts(text);
        cJSON_free(text);
        cJSON_Delete(root);
        return;
    }
    print_count(count, what);
    fputs(", ", stdout);
    if (check->errors == 0)
        fputs("no error", stdout);
    else
        print_count(check->errors, "errors");
    if (check->warnings > 0) {
        fputs(", ", stdout);
        print_count(check->warnings, "warnings");
    }
    putchar('\n');
}

static void check_deinit(struct check *check) {
    struct owned_value *value;
    struct owned_value *next;

    HASH_ITER(hh, check->values, value, next) {
        HASH_DEL(check->values, value);
        free(value);
    }
    cJSON_Delete(check->findings);
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
    if (cli_wants_json(cli))
        check.findings = cJSON_CreateArray();
    for (int i = first; i < argc; i++)
        check_file(&check, argv[i]);
    if (first < argc) {
        summarize(&check, (size_t)(argc - first), "files");
    } else {
        registry_each_error(check.registry, on_error, &check);
        check_rates(&check);
        registry_each(check.registry, check_tenant, &check);
        summarize(&check, registry_count(check.registry), "tenants");
    }
    code = check.errors > 0 ? EX_DATAERR : EX_OK;
    check_deinit(&check);
    return code;
}
