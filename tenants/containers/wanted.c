#include "tenants/containers/wanted.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/containers/spec.h"
#include "tenants/containers_config.h"
#include "tenants/fields.h"

static const char *const role_names[ROLES] = {
    [ROLE_FPM] = "fpm", [ROLE_SHIM] = "shim", [ROLE_PROXY] = "proxy", [ROLE_TENANT] = "tenant"};

const char *role_name(enum role role) {
    return role_names[role];
}

enum role role_find(const char *name) {
    enum role role = ROLE_FPM;

    while (role < ROLES && strcmp(role_names[role], name) != 0)
        role++;
    return role;
}

bool wanted_is_suspended(const struct tenant *tenant, time_t now) {
    return tenant->state == TENANT_SUSPENDED ||
           (tenant->plan.paid_until != 0 && tenant->plan.paid_until <= now);
}

/* ---- One container ---- */

static char *copy(const char *text) {
    char *result = strdup(text);

    if (result == NULL)
        abort();
    return result;
}

void wanted_digest(const char *text, char hash[WANTED_HASH_BYTES]) {
    unsigned char bytes[EVP_MAX_MD_SIZE];

    if (EVP_Digest(text, strlen(text), bytes, NULL, EVP_sha256(), NULL) != 1)
        abort();
    for (size_t i = 0; i < 8; i++)
        snprintf(hash + 2 * i, 3, "%02x", bytes[i]);
}

/* Takes text. */
static void append(struct string_list *list, char *text) {
    list->items = realloc(list->items, (list->count + 1) * sizeof *list->items);
    if (list->items == NULL)
        abort();
    list->items[list->count++] = text;
}

/* Takes body. The hash covers the networks too; it is made last. */
static struct wanted *add(struct wanted_set *set, enum role role, const char *id, char *name,
                          cJSON *body) {
    set->items = realloc(set->items, (set->count + 1) * sizeof *set->items);
    if (set->items == NULL)
        abort();
    struct wanted *wanted = &set->items[set->count++];
    *wanted = (struct wanted){.role = role, .name = name, .body = body};
    snprintf(wanted->id, sizeof wanted->id, "%s", id);
    wanted->image = copy(cJSON_GetObjectItem(body, "Image")->valuestring);
    return wanted;
}

static void seal(struct wanted *wanted) {
    cJSON *networks = cJSON_CreateStringArray((const char *const *)wanted->networks.items,
                                              (int)wanted->networks.count);

    cJSON_AddItemToObject(wanted->body, "Networks", networks);
    char *text = cJSON_PrintUnformatted(wanted->body);
    if (text == NULL)
        abort();
    wanted_digest(text, wanted->hash);
    cJSON_free(text);
    cJSON_DeleteItemFromObject(wanted->body, "Networks"); /* no member of the engine's */
    cJSON_AddStringToObject(cJSON_GetObjectItem(wanted->body, "Labels"), LABEL_HASH, wanted->hash);
}

/* ---- All of them ---- */

struct making {
    struct wanted_set *set;
    const struct config *config;
    const struct surroundings *around;
};

static char *socket_of(const struct config *config, const struct tenant *tenant) {
    char *path;

    if (asprintf(&path, "%s/%s/fpmux.sock", config->tenant_sockets, tenant->id) < 0)
        abort();
    return path;
}

static void add_fpm(struct making *making, const struct pool_config *pool) {
    const struct config *config = making->config;
    struct wanted *wanted =
        add(making->set, ROLE_FPM, pool->name, spec_name(config, "fpm-%s", pool->name),
            spec_fpm(config, pool, making->around));

    append(&wanted->volumes, spec_name(config, "fpm-%s", pool->name));
    append(&wanted->volumes, spec_name(config, "tmp-%s", pool->name));
    if (asprintf(&wanted->client, "%u", (unsigned)making->around->shim_uid) < 0)
        abort();
    for (size_t i = 0; i < config->containers->networks.count; i++)
        append(&wanted->networks, copy(config->containers->networks.items[i]));
    seal(wanted);
}

static void add_shim(struct making *making) {
    const struct config *config = making->config;
    struct wanted *wanted = add(making->set, ROLE_SHIM, "", spec_name(config, "shim"),
                                spec_shim(config, making->around));

    seal(wanted);
}

static void add_proxy(struct making *making) {
    const struct config *config = making->config;
    struct wanted *wanted =
        add(making->set, ROLE_PROXY, "", spec_name(config, "proxy"), spec_proxy(config));

    append(&wanted->networks, spec_name(config, "edge"));
    seal(wanted);
}

/* A tenant without a host can't be asked for anything. */
static void add_tenant(void *context, struct tenant *tenant) {
    struct making *making = context;
    const struct config *config = making->config;
    bool is_stopped =
        tenant->plan.stop_container && wanted_is_suspended(tenant, making->around->now);

    if (tenant->hosts.count == 0 || is_stopped)
        return;
    struct wanted *wanted =
        add(making->set, ROLE_TENANT, tenant->id, spec_name(config, "tenant-%s", tenant->id),
            spec_tenant(config, tenant));
    wanted->socket = socket_of(config, tenant);
    wanted->host = copy(tenant->hosts.items[0]);
    seal(wanted);
}

static void add_unclear(void *context, const char *id, const char *text) {
    struct making *making = context;

    (void)text;
    append(&making->set->unclear, copy(id));
}

/* Whether the shim serves is seen at the socket of any of its tenants. */
static void share_socket(struct wanted_set *set) {
    struct wanted *shim = (struct wanted *)wanted_find(set, ROLE_SHIM, "");

    for (size_t i = 0; i < set->count && shim->socket == NULL; i++)
        if (set->items[i].socket != NULL)
            shim->socket = copy(set->items[i].socket);
}

void wanted_make(struct wanted_set *set, const struct config *config,
                 const struct registry *registry, const struct surroundings *around) {
    struct making making = {.set = set, .config = config, .around = around};

    *set = (struct wanted_set){0};
    for (size_t i = 0; i < config->pool_count; i++)
        if (strncmp(config->pools[i].address, "unix:", 5) == 0)
            add_fpm(&making, &config->pools[i]);
    add_shim(&making);
    add_proxy(&making);
    registry_each(registry, add_tenant, &making);
    registry_each_error(registry, add_unclear, &making);
    share_socket(set);
}

void wanted_deinit(struct wanted_set *set) {
    for (size_t i = 0; i < set->count; i++) {
        struct wanted *wanted = &set->items[i];
        free(wanted->name);
        free(wanted->image);
        cJSON_Delete(wanted->body);
        string_list_deinit(&wanted->networks);
        string_list_deinit(&wanted->volumes);
        free(wanted->socket);
        free(wanted->client);
        free(wanted->host);
    }
    free(set->items);
    string_list_deinit(&set->unclear);
    *set = (struct wanted_set){0};
}

const struct wanted *wanted_find(const struct wanted_set *set, enum role role, const char *id) {
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].role == role && strcmp(set->items[i].id, id) == 0)
            return &set->items[i];
    return NULL;
}

bool wanted_is_unclear(const struct wanted_set *set, const char *id) {
    for (size_t i = 0; i < set->unclear.count; i++)
        if (strcmp(set->unclear.items[i], id) == 0)
            return true;
    return false;
}

/* ---- Networks ---- */

/* A tenant's web server has no way out. It reaches the proxy, the other web servers, and what
 * listens at all addresses of the host; no PHP-FPM and no database. None is called like the top of
 * HOST.fpmux: Docker's names also know CONTAINER.NETWORK. */
void wanted_networks(const struct config *config, struct wanted_network networks[WANTED_NETWORKS]) {
    networks[0] = (struct wanted_network){spec_name(config, "edge"), true};
    networks[1] = (struct wanted_network){spec_name(config, "public"), false};
    networks[2] = (struct wanted_network){spec_name(config, "app"), false};
}

void wanted_networks_deinit(struct wanted_network networks[WANTED_NETWORKS]) {
    for (int i = 0; i < WANTED_NETWORKS; i++)
        free(networks[i].name);
}
