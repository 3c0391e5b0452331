#include "tenants/cli/check_containers.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tenants/containers/spec.h"
#include "tenants/containers_config.h"

enum {
    FILE_BYTES_MAX = 1 << 20,
    HOST_BYTES_MAX = 253 - (int)sizeof ".fpmux" + 1 /* that name is asked for */
};

struct container_check {
    const struct config *config;
    struct findings *findings;
    /* The containers as `up` would make them; NULL without a section `containers`. */
    cJSON *shim;
    cJSON **fpm;    /* one for each pool; NULL where that has no unix socket */
    uid_t shim_uid; /* who the shim runs as */
    gid_t shim_gid;
};

/* A tenant that is being looked at. */
struct subject {
    struct container_check *check;
    const struct tenant *tenant;
    struct json_document document;
    const cJSON *fpm; /* the container of its pool */
};

static bool is_unix(const struct pool_config *pool) {
    return strncmp(pool->address, "unix:", 5) == 0;
}

/* ---- The containers as they would be ---- */

/* A directory that is missing is told by check_mounts(). */
static void find_shim_user(const struct config *config, struct surroundings *around) {
    char *ledger = strdup(strchr(config->ledger, ':') + 1);
    struct stat status;

    if (ledger == NULL)
        abort();
    if (config->tenant_sockets != NULL && stat(config->tenant_sockets, &status) == 0)
        around->shim_uid = status.st_uid;
    if (stat(dirname(ledger), &status) == 0)
        around->shim_gid = status.st_gid;
    free(ledger);
}

static void make_containers(struct container_check *check) {
    const struct config *config = check->config;
    char path[PATH_MAX];
    char dir[PATH_MAX];

    if (realpath(config->path, path) == NULL)
        snprintf(path, sizeof path, "%s", config->path);
    snprintf(dir, sizeof dir, "%s", path);
    struct surroundings around = {
        .config_path = path, .config_dir = dirname(dir), .config_digest = ""};
    find_shim_user(config, &around);
    check->shim_uid = around.shim_uid;
    check->shim_gid = around.shim_gid;
    check->shim = spec_shim(config, &around);
    for (size_t i = 0; i < config->pool_count; i++)
        if (is_unix(&config->pools[i]))
            check->fpm[i] = spec_fpm(config, &config->pools[i], &around);
}

struct container_check *container_check_open(const struct config *config,
                                             struct findings *findings) {
    struct container_check *check = calloc(1, sizeof *check);
    cJSON **fpm = calloc(config->pool_count, sizeof *fpm);

    if (check == NULL || fpm == NULL)
        abort();
    *check = (struct container_check){.config = config, .findings = findings, .fpm = fpm};
    if (config->containers != NULL) {
        make_containers(check);
        setgroups(0, NULL); /* so that root's own groups open nothing to the shim's user */
    }
    return check;
}

void container_check_close(struct container_check *check) {
    for (size_t i = 0; i < check->config->pool_count; i++)
        cJSON_Delete(check->fpm[i]);
    cJSON_Delete(check->shim);
    free(check->fpm);
    free(check);
}

static const cJSON *mounts_of(const cJSON *container) {
    return cJSON_GetObjectItem(cJSON_GetObjectItem(container, "HostConfig"), "Mounts");
}

static const char *text_of(const cJSON *object, const char *key) {
    return cJSON_GetStringValue(cJSON_GetObjectItem(object, key));
}

static bool is_bind(const cJSON *mount) {
    return strcmp(text_of(mount, "Type"), "bind") == 0;
}

static bool is_below(const char *path, const char *dir) {
    size_t length = strlen(dir);

    return strncmp(path, dir, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* The directory of the host that path lies in inside, or NULL. */
static const cJSON *find_mount(const cJSON *container, const char *path) {
    const cJSON *found = NULL;
    const cJSON *mount;

    cJSON_ArrayForEach(mount, mounts_of(container)) {
        const char *target = text_of(mount, "Target");
        if (is_below(path, target) &&
            (found == NULL || strlen(target) > strlen(text_of(found, "Target"))))
            found = mount;
    }
    return found != NULL && is_bind(found) ? found : NULL;
}

/* Asked with the rights of the shim's user, from the mounted directory on: above it, the container
 * has directories of its own. */
static bool can_read(const struct container_check *check, const cJSON *mount, const char *path) {
    const char *source = text_of(mount, "Source");
    const char *rest = path + strlen(source);
    int dir = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);

    setfsgid(check->shim_gid);
    setfsuid(check->shim_uid);
    int fd = openat(dir, rest + strspn(rest, "/"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    bool is_denied = fd < 0 && errno == EACCES;
    setfsuid(geteuid());
    setfsgid(getegid());
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return !is_denied;
}

/* node is where the file is named, or its whole content. */
static void check_readable(const struct container_check *check,
                           const struct json_document *document, const cJSON *node,
                           const char *path) {
    const cJSON *mount = find_mount(check->shim, path);

    if (mount != NULL && !can_read(check, mount, path))
        findings_add_at(check->findings, SEVERITY_WARNING, document, node,
                        "the shim's user (uid %u, gid %u) can't read %s", check->shim_uid,
                        check->shim_gid, path);
}

static unsigned terminate_seconds(const cJSON *fpm) {
    static const char name[] = "FPMUX_TERMINATE_SECONDS=";
    const cJSON *variable;

    cJSON_ArrayForEach(variable, cJSON_GetObjectItem(fpm, "Env")) {
        if (strncmp(variable->valuestring, name, sizeof name - 1) == 0)
            return (unsigned)strtoul(variable->valuestring + sizeof name - 1, NULL, 10);
    }
    return UINT_MAX;
}

/* ---- The configuration ---- */

/* The first string of that value, wherever it stands. */
static const cJSON *find_string(const cJSON *node, const char *text) {
    const cJSON *child;

    if (cJSON_IsString(node) && strcmp(node->valuestring, text) == 0)
        return node;
    cJSON_ArrayForEach(child, node) {
        const cJSON *found = find_string(child, text);
        if (found != NULL)
            return found;
    }
    return NULL;
}

/* Docker starts no container that mounts what is not there. */
static void check_mounts(struct container_check *check, const struct json_document *document,
                         const cJSON *container, const char *whose) {
    const cJSON *mount;
    struct stat status;

    cJSON_ArrayForEach(mount, mounts_of(container)) {
        const char *source = text_of(mount, "Source");
        if (!is_bind(mount) || (stat(source, &status) == 0 && S_ISDIR(status.st_mode)))
            continue;
        const cJSON *node = find_string(document->root, source);
        findings_add_at(check->findings, SEVERITY_WARNING, document,
                        node != NULL ? node : findings_place(document, "containers", ""),
                        "%s is not a directory, and %s container mounts it", source, whose);
    }
}

void container_check_config(struct container_check *check) {
    struct json_document document;
    struct error error;

    if (check->shim == NULL)
        return;
    if (!json_load(&document, check->config->path, FILE_BYTES_MAX, &error)) {
        findings_add(check->findings, SEVERITY_ERROR, error.text);
        return;
    }
    if (check->config->tenant_sockets == NULL)
        findings_add_at(check->findings, SEVERITY_WARNING, &document,
                        findings_place(&document, "tenant_sockets", ""),
                        "containers need \"tenant_sockets\": a tenant's container is known by it");
    check_readable(check, &document, document.root, check->config->path);
    check_mounts(check, &document, check->shim, "the shim's");
    for (size_t i = 0; i < check->config->pool_count; i++)
        check_mounts(check, &document, check->fpm[i], "php-fpm's");
    json_deinit(&document);
}

/* ---- A tenant ---- */

static void check_id(const struct subject *subject) {
    static const char *const taken[] = {"fpm", "shim", "proxy", NULL};

    for (const char *const *word = taken; *word != NULL; word++)
        if (strcmp(*word, subject->tenant->id) == 0)
            findings_add_at(subject->check->findings, SEVERITY_ERROR, &subject->document,
                            subject->document.root,
                            "\"%s\" can't be the id of a tenant with a container: `fpmuxctl up %s` "
                            "means another one; give the file another name",
                            *word, *word);
}

static bool has_bad_label(const char *host) {
    size_t length = strlen(host);

    return host[0] == '-' || host[length - 1] == '-' || strstr(host, ".-") != NULL ||
           strstr(host, "-.") != NULL;
}

static void check_hosts(const struct subject *subject) {
    const struct string_list *hosts = &subject->tenant->hosts;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(subject->document.root, "hosts");
    struct findings *findings = subject->check->findings;

    if (hosts->count == 0)
        findings_add_at(findings, SEVERITY_WARNING, &subject->document,
                        findings_place(&subject->document, "hosts", ""),
                        "no host, and so no container");
    for (size_t i = 0; i < hosts->count; i++) {
        const char *host = hosts->items[i];
        const cJSON *node = cJSON_GetArrayItem(list, (int)i);
        if (has_bad_label(host))
            findings_add_at(findings, SEVERITY_ERROR, &subject->document, node,
                            "host \"%s\" can't be found by its container: no part of a name may "
                            "begin or end with \"-\"",
                            host);
        if (strlen(host) > HOST_BYTES_MAX)
            findings_add_at(findings, SEVERITY_ERROR, &subject->document, node,
                            "a host with a container can't be longer than %d bytes: it is asked "
                            "for with \".fpmux\" behind",
                            HOST_BYTES_MAX);
    }
}

static void check_time_limit(const struct subject *subject) {
    const struct tenant *tenant = subject->tenant;
    const struct config *config = subject->check->config;

    if (tenant->limits.request_ms <= config->limits.request_ms)
        return;
    findings_add_at(subject->check->findings, SEVERITY_WARNING, &subject->document,
                    findings_place(&subject->document, "limits", "request_seconds"),
                    "PHP-FPM ends each script after %u s, as the configuration's "
                    "limits.request_seconds says; raise that to %g",
                    terminate_seconds(subject->fpm), tenant->limits.request_ms / 1000.0);
}

/* node is what the file says: a string, or {"file": PATH}. */
static void check_secret(const struct subject *subject, const cJSON *node) {
    const cJSON *file = cJSON_GetObjectItemCaseSensitive(node, "file");

    if (!cJSON_IsString(file))
        return;
    if (find_mount(subject->check->shim, file->valuestring) != NULL) {
        check_readable(subject->check, &subject->document, file, file->valuestring);
        return;
    }
    findings_add_at(subject->check->findings, SEVERITY_WARNING, &subject->document, file,
                    "the shim's container has no %s: put it below the directory of the "
                    "configuration, or name its directory in containers.mounts.shim",
                    file->valuestring);
}

static void check_secrets(const struct subject *subject) {
    const cJSON *root = subject->document.root;
    const cJSON *param;

    check_secret(subject, cJSON_GetObjectItemCaseSensitive(root, "token"));
    cJSON_ArrayForEach(param, cJSON_GetObjectItemCaseSensitive(root, "params"))
        check_secret(subject, param);
}

static void check_data_root(const struct subject *subject) {
    const cJSON *node = findings_place(&subject->document, "params", "DATAROOT");
    const cJSON *mount = cJSON_IsString(node) ? find_mount(subject->fpm, node->valuestring) : NULL;

    if (!cJSON_IsString(node) ||
        (mount != NULL && !cJSON_IsTrue(cJSON_GetObjectItem(mount, "ReadOnly"))))
        return;
    findings_add_at(subject->check->findings, SEVERITY_WARNING, &subject->document, node,
                    "php-fpm's container can't write to DATAROOT \"%s\": name it, or a directory "
                    "above it, in containers.mounts.fpm",
                    node->valuestring);
}

/* Inside, that is the container itself. */
static void check_database_host(const struct subject *subject) {
    const cJSON *node = findings_place(&subject->document, "params", "DBHOST");

    if (!cJSON_IsString(node) || strncmp(node->valuestring, "127.", 4) != 0)
        return;
    findings_add_at(subject->check->findings, SEVERITY_WARNING, &subject->document, node,
                    "DBHOST %s is php-fpm's container itself, not this host", node->valuestring);
}

static void check_pool(struct subject *subject) {
    const struct config *config = subject->check->config;
    const struct pool_config *pool = config_find_pool(config, subject->tenant->pool);

    subject->fpm = subject->check->fpm[pool - config->pools];
    if (subject->fpm == NULL)
        findings_add_at(subject->check->findings, SEVERITY_ERROR, &subject->document,
                        findings_place(&subject->document, "pool", ""),
                        "pool \"%s\" is at %s: the shim's container reaches unix sockets only",
                        pool->name, pool->address);
}

static void check_cron(const struct subject *subject) {
    if (subject->tenant->cron != NULL)
        findings_add_at(subject->check->findings, SEVERITY_WARNING, &subject->document,
                        findings_place(&subject->document, "cron", ""),
                        "nobody runs this: %s has no section \"containers\"",
                        subject->check->config->path);
}

void container_check_tenant(struct container_check *check, const struct tenant *tenant,
                            const char *path) {
    struct subject subject = {.check = check, .tenant = tenant};
    struct error error;

    if (check->shim == NULL && tenant->cron == NULL)
        return;
    if (!json_load(&subject.document, path, FILE_BYTES_MAX, &error)) {
        findings_add(check->findings, SEVERITY_ERROR, error.text);
        return;
    }
    if (check->shim == NULL) {
        check_cron(&subject);
    } else {
        check_id(&subject);
        check_hosts(&subject);
        check_readable(check, &subject.document, subject.document.root, path);
        check_secrets(&subject);
        check_pool(&subject);
    }
    if (subject.fpm != NULL) {
        check_time_limit(&subject);
        check_data_root(&subject);
        check_database_host(&subject);
    }
    json_deinit(&subject.document);
}
