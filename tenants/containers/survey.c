#include "tenants/containers/survey.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tenants/containers_config.h"
#include "tenants/json.h"

enum { CONFIG_BYTES_MAX = 1 << 20 };

/* ---- What the host says ---- */

static bool check_directory(const char *path, const char *key, struct stat *status,
                            struct error *error) {
    if (stat(path, status) != 0) {
        error_set(error, "%s: %s: %s; make the directory first", key, path, strerror(errno));
        return false;
    }
    if (!S_ISDIR(status->st_mode)) {
        error_set(error, "%s: %s: not a directory", key, path);
        return false;
    }
    return true;
}

/* The sockets' directory may belong to the group of web servers on the host; this one is the
 * daemon's own. */
static bool check_ledger_directory(const struct config *config, struct stat *status,
                                   struct error *error) {
    char *path = strdup(strchr(config->ledger, ':') + 1);

    if (path == NULL)
        abort();
    bool is_there = check_directory(dirname(path), "ledger", status, error);
    free(path);
    return is_there;
}

/* The directory of a pool's socket is a volume of its own. NULL: no unix socket. */
static const char *socket_path(const struct pool_config *pool) {
    return strncmp(pool->address, "unix:", 5) == 0 ? pool->address + 5 : NULL;
}

static bool share_directory(const char *one, const char *other) {
    size_t length = (size_t)(strrchr(one, '/') - one);

    return length == (size_t)(strrchr(other, '/') - other) && strncmp(one, other, length) == 0;
}

static bool check_pools(const struct config *config, struct error *error) {
    for (size_t i = 0; i < config->pool_count; i++) {
        const char *path = socket_path(&config->pools[i]);
        for (size_t k = 0; path != NULL && k < i; k++) {
            const char *other = socket_path(&config->pools[k]);
            if (other == NULL || !share_directory(path, other))
                continue;
            error_set(error,
                      "%s: the sockets of the pools \"%s\" and \"%s\" are in the same directory "
                      "(%s, %s); with containers each needs one of its own",
                      config->path, config->pools[k].name, config->pools[i].name, other, path);
            return false;
        }
    }
    return true;
}

bool survey_check_config(const struct config *config, struct error *error) {
    if (config->containers == NULL) {
        error_set(error, "%s has no section \"containers\"; fpmux.json(5) tells what is in it",
                  config->path);
        return false;
    }
    if (config->tenant_sockets == NULL) {
        error_set(error,
                  "%s: containers need \"tenant_sockets\": a tenant's container is known by it",
                  config->path);
        return false;
    }
    return check_pools(config, error);
}

bool survey_check_directories(const struct config *config, struct error *error) {
    const struct containers_config *containers = config->containers;
    struct stat status;

    if (!check_directory(config->tenant_sockets, "tenant_sockets", &status, error) ||
        !check_directory(containers->code, "containers.code", &status, error))
        return false;
    for (size_t i = 0; i < containers->mounts.fpm.count; i++)
        if (!check_directory(containers->mounts.fpm.items[i], "containers.mounts.fpm", &status,
                             error))
            return false;
    for (size_t i = 0; i < containers->mounts.shim.count; i++)
        if (!check_directory(containers->mounts.shim.items[i], "containers.mounts.shim", &status,
                             error))
            return false;
    return true;
}

/* The daemon does not read `containers`: a change there must not start it anew. */
static bool digest_daemon_config(const char *path, char hash[WANTED_HASH_BYTES],
                                 struct error *error) {
    struct json_document document;

    if (!json_load(&document, path, CONFIG_BYTES_MAX, error))
        return false;
    cJSON_DeleteItemFromObjectCaseSensitive(document.root, "containers");
    char *text = cJSON_PrintUnformatted(document.root);
    if (text == NULL)
        abort();
    wanted_digest(text, hash);
    cJSON_free(text);
    json_deinit(&document);
    return true;
}

static bool make_wanted(struct wanted_set *set, const struct config *config,
                        const struct registry *registry, time_t now, struct error *error) {
    char hash[WANTED_HASH_BYTES];
    char path[PATH_MAX];
    char dir[PATH_MAX];
    struct stat sockets;
    struct stat state;

    if (!survey_check_config(config, error) ||
        !check_directory(config->tenant_sockets, "tenant_sockets", &sockets, error) ||
        !check_ledger_directory(config, &state, error))
        return false;
    if (realpath(config->path, path) == NULL) {
        error_set(error, "%s: %s", config->path, strerror(errno));
        return false;
    }
    if (!digest_daemon_config(path, hash, error))
        return false;
    memcpy(dir, path, sizeof dir);
    const struct surroundings around = {.shim_uid = sockets.st_uid,
                                        .shim_gid = state.st_gid,
                                        .config_path = path,
                                        .config_dir = dirname(dir),
                                        .config_digest = hash,
                                        .now = now};
    wanted_make(set, config, registry, &around);
    return true;
}

/* ---- What the engine says ---- */

static bool is_first_with_its_image(const struct wanted_set *wanted, size_t index) {
    for (size_t i = 0; i < index; i++)
        if (strcmp(wanted->items[i].image, wanted->items[index].image) == 0)
            return false;
    return true;
}

static enum engine_result load_image(struct image *image, struct engine *engine,
                                     struct error *error) {
    char path[PATH_MAX];
    cJSON *reply = NULL;

    snprintf(path, sizeof path, "/images/%s/json", image->name);
    enum engine_result result = engine_call(engine, "GET", path, NULL, &reply, error);
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(reply, "Id"));
    if (result == ENGINE_OK && id != NULL && (image->id = strdup(id)) == NULL)
        abort();
    cJSON_Delete(reply);
    return result == ENGINE_MISSING ? ENGINE_OK : result;
}

/* Each image that is wanted, once. */
static enum engine_result load_images(struct image_set *images, const struct wanted_set *wanted,
                                      struct engine *engine, struct error *error) {
    enum engine_result result = ENGINE_OK;

    images->items = calloc(wanted->count, sizeof *images->items);
    if (images->items == NULL)
        abort();
    for (size_t i = 0; result == ENGINE_OK && i < wanted->count; i++) {
        if (!is_first_with_its_image(wanted, i))
            continue;
        struct image *image = &images->items[images->count];
        image->name = strdup(wanted->items[i].image);
        if (image->name == NULL)
            abort();
        images->count++;
        result = load_image(image, engine, error);
    }
    return result;
}

static void images_deinit(struct image_set *images) {
    for (size_t i = 0; i < images->count; i++) {
        free(images->items[i].name);
        free(images->items[i].id);
    }
    free(images->items);
}

/* ---- Both ---- */

enum survey_result survey_take(struct survey *survey, struct engine *engine,
                               const struct config *config, const struct registry *registry,
                               const struct plan_scope *scope, time_t now, struct error *error) {
    *survey = (struct survey){0};
    if (!make_wanted(&survey->wanted, config, registry, now, error))
        return SURVEY_CONFIGURATION;
    enum engine_result result = load_images(&survey->images, &survey->wanted, engine, error);
    if (result == ENGINE_OK)
        result = actual_load(&survey->actual, engine, config->containers->name, error);
    if (result == ENGINE_OK) {
        plan_make(&survey->plan, &survey->wanted, &survey->actual, &survey->images, scope);
        return SURVEY_OK;
    }
    survey_deinit(survey);
    return result == ENGINE_UNREACHABLE ? SURVEY_UNREACHABLE : SURVEY_REFUSED;
}

void survey_deinit(struct survey *survey) {
    plan_deinit(&survey->plan);
    actual_deinit(&survey->actual);
    images_deinit(&survey->images);
    wanted_deinit(&survey->wanted);
}
