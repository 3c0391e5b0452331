#include "tenants/containers/spec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/containers/hosts.h"
#include "tenants/containers_config.h"

enum {
    PROXY_PORT = 8080,     /* inside; an unprivileged one */
    FPM_STOP_SECONDS = 30, /* a little more than it gives its workers to finish */
    TENANT_PIDS = 512,     /* an Apache's threads count, too */
    COMMAND_PIDS = 1024,   /* of php-fpm's, beside the workers: what scripts and commands start */
    MOUNTS_MAX = 64,       /* of the shim; more than there are directories in a configuration */
    TERMINATE_SPARE_MS = 5000 /* what PHP-FPM's own time limit lies above fpmux's */
};

/* ---- JSON ---- */

static cJSON *must(cJSON *node) {
    if (node == NULL)
        abort();
    return node;
}

static void set(cJSON *object, const char *key, const char *value) {
    must(cJSON_AddStringToObject(object, key, value));
}

static void append(cJSON *array, const char *text) {
    cJSON_AddItemToArray(array, must(cJSON_CreateString(text)));
}

static void append_format(cJSON *array, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void append_format(cJSON *array, const char *format, ...) {
    va_list arguments;
    char *text;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        abort();
    va_end(arguments);
    append(array, text);
    free(text);
}

char *spec_name(const struct config *config, const char *format, ...) {
    va_list arguments;
    char *rest;
    char *name;

    va_start(arguments, format);
    if (vasprintf(&rest, format, arguments) < 0)
        abort();
    va_end(arguments);
    if (asprintf(&name, "%s-%s", config->containers->name, rest) < 0)
        abort();
    free(rest);
    return name;
}

/* Owned by the caller. */
static char *join(const struct string_list *list, const char *separator) {
    size_t bytes = 1;

    for (size_t i = 0; i < list->count; i++)
        bytes += strlen(list->items[i]) + strlen(separator);
    char *text = calloc(1, bytes);
    if (text == NULL)
        abort();
    char *end = text;
    for (size_t i = 0; i < list->count; i++)
        end = stpcpy(stpcpy(end, i > 0 ? separator : ""), list->items[i]);
    return text;
}

/* ---- What all have in common ---- */

static void add_labels(cJSON *body, const struct config *config, enum role role, const char *key,
                       const char *id) {
    cJSON *labels = must(cJSON_AddObjectToObject(body, "Labels"));

    set(labels, LABEL_SYSTEM, config->containers->name);
    set(labels, LABEL_ROLE, role_name(role));
    if (key != NULL)
        set(labels, key, id);
}

/* A container that can do nothing but its work, and that the engine starts again. */
static cJSON *add_host_config(cJSON *body) {
    cJSON *host = must(cJSON_AddObjectToObject(body, "HostConfig"));
    cJSON *policy = must(cJSON_AddObjectToObject(host, "RestartPolicy"));

    set(policy, "Name", "unless-stopped");
    append(must(cJSON_AddArrayToObject(host, "CapDrop")), "ALL");
    append(must(cJSON_AddArrayToObject(host, "SecurityOpt")), "no-new-privileges");
    must(cJSON_AddTrueToObject(host, "ReadonlyRootfs"));
    must(cJSON_AddObjectToObject(host, "Tmpfs"));
    must(cJSON_AddArrayToObject(host, "Mounts"));
    return host;
}

static void add_tmpfs(cJSON *host, const char *path, const char *options) {
    set(cJSON_GetObjectItem(host, "Tmpfs"), path, options);
}

static void add_mount(cJSON *host, const char *type, const char *source, const char *target,
                      bool is_read_only) {
    cJSON *mount = must(cJSON_CreateObject());

    set(mount, "Type", type);
    set(mount, "Source", source);
    set(mount, "Target", target);
    must(cJSON_AddBoolToObject(mount, "ReadOnly", is_read_only));
    cJSON_AddItemToArray(cJSON_GetObjectItem(host, "Mounts"), mount);
}

/* Returns the endpoint, for aliases. */
static cJSON *join_network(cJSON *body, cJSON *host, const char *network) {
    cJSON *networking = must(cJSON_AddObjectToObject(body, "NetworkingConfig"));
    cJSON *endpoints = must(cJSON_AddObjectToObject(networking, "EndpointsConfig"));

    set(host, "NetworkMode", network);
    return must(cJSON_AddObjectToObject(endpoints, network));
}

/* The directory of an absolute path; owned by the caller. */
static char *directory_of(const char *path) {
    const char *slash = strrchr(path, '/');
    char *dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));

    if (dir == NULL)
        abort();
    return dir;
}

static const char *unix_path(const char *address) {
    return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

static void mount_pool(cJSON *host, const struct config *config, const struct pool_config *pool,
                       bool is_read_only) {
    char *volume = spec_name(config, "fpm-%s", pool->name);
    char *dir = directory_of(unix_path(pool->address));

    add_mount(host, "volume", volume, dir, is_read_only);
    free(dir);
    free(volume);
}

/* ---- php-fpm ---- */

/* The master needs a few of root's powers: to become the workers' user, to give the socket away. */
static void add_fpm_powers(cJSON *host) {
    static const char *const powers[] = {"SETUID", "SETGID", "CHOWN", "KILL"};
    cJSON *added = must(cJSON_AddArrayToObject(host, "CapAdd"));

    for (size_t i = 0; i < sizeof powers / sizeof *powers; i++)
        append(added, powers[i]);
}

static unsigned terminate_seconds(const struct config *config, const struct pool_config *pool) {
    return (config->limits.request_ms + pool->idle_ms + TERMINATE_SPARE_MS + 999) / 1000;
}

cJSON *spec_fpm(const struct config *config, const struct pool_config *pool,
                const struct surroundings *around) {
    const struct containers_config *containers = config->containers;
    cJSON *body = must(cJSON_CreateObject());

    set(body, "Image", containers_config_pool_image(containers, pool->name));
    cJSON *env = must(cJSON_AddArrayToObject(body, "Env"));
    append_format(env, "FPMUX_LISTEN=%s", unix_path(pool->address));
    append_format(env, "FPMUX_UID=%u", (unsigned)around->shim_uid);
    append_format(env, "FPMUX_WORKERS=%u", pool->workers);
    append_format(env, "FPMUX_STATUS_PATH=%s", pool->status_path != NULL ? pool->status_path : "");
    append_format(env, "FPMUX_TERMINATE_SECONDS=%u", terminate_seconds(config, pool));
    add_labels(body, config, ROLE_FPM, LABEL_POOL, pool->name);
    cJSON *host = add_host_config(body);
    add_fpm_powers(host);
    must(cJSON_AddNumberToObject(body, "StopTimeout", FPM_STOP_SECONDS));
    must(cJSON_AddNumberToObject(host, "PidsLimit", pool->workers + COMMAND_PIDS));
    mount_pool(host, config, pool, false);
    char *uploads = spec_name(config, "tmp-%s", pool->name);
    add_mount(host, "volume", uploads, "/tmp", false); /* a large upload does not fit into memory */
    free(uploads);
    add_mount(host, "bind", containers->code, pool->root, true);
    for (size_t i = 0; i < containers->mounts.fpm.count; i++)
        add_mount(host, "bind", containers->mounts.fpm.items[i], containers->mounts.fpm.items[i],
                  false);
    char *network = spec_name(config, "app");
    join_network(body, host, network);
    free(network);
    return body;
}

/* ---- The shim ---- */

struct host_mount {
    char *path; /* owned */
    bool is_read_only;
};

struct host_mounts {
    struct host_mount items[MOUNTS_MAX];
    size_t count;
};

static bool is_below(const char *path, const char *dir) {
    size_t length = strlen(dir);

    return strncmp(path, dir, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static const struct host_mount *find_cover(const struct host_mounts *mounts, const char *path) {
    const struct host_mount *cover = NULL;

    for (size_t i = 0; i < mounts->count; i++) {
        const struct host_mount *mount = &mounts->items[i];
        if (is_below(path, mount->path) &&
            (cover == NULL || strlen(mount->path) > strlen(cover->path)))
            cover = mount;
    }
    return cover;
}

static void need_directory(struct host_mounts *mounts, const char *path, bool is_read_only) {
    size_t length = strlen(path);

    if (mounts->count == MOUNTS_MAX)
        return; /* the engine names what is missing */
    while (length > 1 && path[length - 1] == '/')
        length--;
    mounts->items[mounts->count].path = strndup(path, length);
    if (mounts->items[mounts->count].path == NULL)
        abort();
    mounts->items[mounts->count++].is_read_only = is_read_only;
}

/* The outer ones before the inner ones; of the same, the one that is written to first. */
static int compare_mounts(const void *one, const void *other) {
    const struct host_mount *a = one;
    const struct host_mount *b = other;
    size_t length_a = strlen(a->path);
    size_t length_b = strlen(b->path);
    int order = length_a != length_b ? (length_a > length_b) - (length_a < length_b)
                                     : strcmp(a->path, b->path);

    return order != 0 ? order : a->is_read_only - b->is_read_only;
}

/* A directory below one that is mounted alike already is there, and none can be mounted twice. */
static void drop_covered(struct host_mounts *mounts) {
    struct host_mounts kept = {.count = 0};

    qsort(mounts->items, mounts->count, sizeof *mounts->items, compare_mounts);
    for (size_t i = 0; i < mounts->count; i++) {
        const struct host_mount *mount = &mounts->items[i];
        const struct host_mount *cover = find_cover(&kept, mount->path);
        if (cover != NULL &&
            (cover->is_read_only == mount->is_read_only || strcmp(cover->path, mount->path) == 0))
            free(mount->path);
        else
            kept.items[kept.count++] = *mount;
    }
    *mounts = kept;
}

static void collect_directories(struct host_mounts *mounts, const struct config *config,
                                const struct surroundings *around) {
    char *ledger = directory_of(strchr(config->ledger, ':') + 1);

    need_directory(mounts, ledger, false);
    if (config->tenant_sockets != NULL)
        need_directory(mounts, config->tenant_sockets, false);
    need_directory(mounts, config->spool.dir, false);
    need_directory(mounts, around->config_dir, true);
    need_directory(mounts, strchr(config->registry, ':') + 1, true);
    if (config->pages != NULL)
        need_directory(mounts, config->pages, true);
    for (size_t i = 0; i < config->containers->mounts.shim.count; i++)
        need_directory(mounts, config->containers->mounts.shim.items[i], true);
    free(ledger);
    drop_covered(mounts);
}

/* Sockets of the daemon's own outside of what is mounted are for the inside alone. */
static void hide_sockets(cJSON *host, const struct host_mounts *mounts,
                         const struct string_list *addresses, const struct surroundings *around) {
    char options[64];

    snprintf(options, sizeof options, "mode=0755,uid=%u,gid=%u", (unsigned)around->shim_uid,
             (unsigned)around->shim_gid);
    for (size_t i = 0; i < addresses->count; i++) {
        const char *path = unix_path(addresses->items[i]);
        if (path == NULL || find_cover(mounts, path) != NULL)
            continue;
        char *dir = directory_of(path);
        if (cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItem(host, "Tmpfs"), dir) == NULL)
            add_tmpfs(host, dir, options);
        free(dir);
    }
}

static bool has_tcp(const struct string_list *addresses) {
    for (size_t i = 0; i < addresses->count; i++)
        if (unix_path(addresses->items[i]) == NULL)
            return true;
    return false;
}

static void add_shim_mounts(cJSON *host, const struct config *config,
                            const struct surroundings *around) {
    struct host_mounts mounts = {.count = 0};

    collect_directories(&mounts, config, around);
    hide_sockets(host, &mounts, &config->listen, around);
    hide_sockets(host, &mounts, &config->admin, around);
    for (size_t i = 0; i < mounts.count; i++) {
        add_mount(host, "bind", mounts.items[i].path, mounts.items[i].path,
                  mounts.items[i].is_read_only);
        free(mounts.items[i].path);
    }
    for (size_t i = 0; i < config->pool_count; i++)
        if (unix_path(config->pools[i].address) != NULL)
            mount_pool(host, config, &config->pools[i], true);
}

/* Its pid namespace is the host's, where it sees the workers whose CPU it reads. Unix sockets need
 * no network. */
cJSON *spec_shim(const struct config *config, const struct surroundings *around) {
    cJSON *body = must(cJSON_CreateObject());
    char user[32];

    snprintf(user, sizeof user, "%u:%u", (unsigned)around->shim_uid, (unsigned)around->shim_gid);
    set(body, "Image", config->containers->images.shim);
    set(body, "User", user);
    cJSON *command = must(cJSON_AddArrayToObject(body, "Cmd"));
    append(command, "fpmux");
    append(command, "--config");
    append(command, around->config_path);
    add_labels(body, config, ROLE_SHIM, NULL, NULL);
    set(cJSON_GetObjectItem(body, "Labels"), "fpmux.config", around->config_digest);
    cJSON *host = add_host_config(body);
    set(host, "PidMode", "host");
    add_shim_mounts(host, config, around);
    if (has_tcp(&config->listen)) {
        char *network = spec_name(config, "edge");
        append(must(cJSON_AddArrayToObject(join_network(body, host, network), "Aliases")), "fpmux");
        free(network);
    } else {
        set(host, "NetworkMode", "none");
    }
    return body;
}

/* ---- The proxy ---- */

static void publish(cJSON *body, cJSON *host, const struct containers_config *containers) {
    char inside[16];
    char outside[16];

    snprintf(inside, sizeof inside, "%d/tcp", PROXY_PORT);
    snprintf(outside, sizeof outside, "%u", containers->proxy_port);
    must(cJSON_AddObjectToObject(must(cJSON_AddObjectToObject(body, "ExposedPorts")), inside));
    cJSON *bindings = must(cJSON_AddObjectToObject(host, "PortBindings"));
    cJSON *binding = must(cJSON_CreateObject());
    set(binding, "HostIp", containers->proxy_address != NULL ? containers->proxy_address : "");
    set(binding, "HostPort", outside);
    cJSON_AddItemToArray(must(cJSON_AddArrayToObject(bindings, inside)), binding);
}

cJSON *spec_proxy(const struct config *config) {
    const struct containers_config *containers = config->containers;
    cJSON *body = must(cJSON_CreateObject());
    char *trusted = join(&containers->trusted_proxies, " ");
    char *network = spec_name(config, "public");

    set(body, "Image", containers->images.proxy);
    append_format(must(cJSON_AddArrayToObject(body, "Env")), "FPMUX_TRUSTED=%s", trusted);
    add_labels(body, config, ROLE_PROXY, NULL, NULL);
    cJSON *host = add_host_config(body);
    publish(body, host, containers);
    add_tmpfs(host, "/tmp", "");
    /* Nobody: for a name that Docker does not know, no server outside is asked. */
    append(must(cJSON_AddArrayToObject(host, "Dns")), "127.0.0.1");
    char *hosts = hosts_directory(config);
    add_mount(host, "bind", hosts, "/run/fpmux/hosts", true);
    free(hosts);
    join_network(body, host, network);
    free(network);
    free(trusted);
    return body;
}

/* ---- A tenant's web server ---- */

cJSON *spec_tenant(const struct config *config, const struct tenant *tenant) {
    const struct pool_config *pool = config_find_pool(config, tenant->pool);
    const char *image = tenant->container.image;
    cJSON *body = must(cJSON_CreateObject());
    char *hosts = join(&tenant->hosts, ",");
    char *socket_dir;

    set(body, "Image", image != NULL ? image : config->containers->images.apache);
    cJSON *env = must(cJSON_AddArrayToObject(body, "Env"));
    append_format(env, "FPMUX_ROOT=%s", pool->root);
    append_format(env, "FPMUX_HOST=%s", tenant->hosts.items[0]);
    append_format(env, "VIRTUAL_HOST=%s", hosts); /* nginx-proxy works in place of ours */
    if (config->containers->fallback != NULL)
        append_format(env, "FPMUX_FALLBACK=%s", config->containers->fallback);
    free(hosts);
    add_labels(body, config, ROLE_TENANT, LABEL_TENANT, tenant->id);
    cJSON *host = add_host_config(body);
    if (asprintf(&socket_dir, "%s/%s", config->tenant_sockets, tenant->id) < 0)
        abort();
    add_mount(host, "bind", socket_dir, "/run/fpmux", true);
    free(socket_dir);
    add_mount(host, "bind", config->containers->code, pool->root, true);
    add_tmpfs(host, "/tmp", "");
    set(must(cJSON_AddObjectToObject(host, "Sysctls")), "net.ipv4.ip_unprivileged_port_start", "0");
    must(cJSON_AddNumberToObject(host, "PidsLimit", TENANT_PIDS));
    if (tenant->container.memory_bytes > 0)
        must(cJSON_AddNumberToObject(host, "Memory", (double)tenant->container.memory_bytes));
    char *network = spec_name(config, "edge");
    cJSON *aliases = must(cJSON_AddArrayToObject(join_network(body, host, network), "Aliases"));
    for (size_t i = 0; i < tenant->hosts.count; i++)
        append_format(aliases, "%s.fpmux", tenant->hosts.items[i]);
    free(network);
    return body;
}
