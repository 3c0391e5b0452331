#include "tenants/containers_config.h"

#include <stdlib.h>
#include <string.h>

#include "tenants/json.h"
#include "tenants/names.h"

enum {
    NAME_BYTES_MAX = 32, /* leaves a name of a container readable, and short enough for DNS */
    READY_MS_MAX = 3600000
};

/* Read before the section, with the same table. */
static const char defaults[] =
    "{\"engine\": \"unix:/var/run/docker.sock\", \"name\": \"fpmux\", \"proxy_port\": 8080,"
    " \"images\": {\"apache\": \"fpmux/apache\", \"php-fpm\": \"fpmux/php-fpm\","
    "              \"shim\": \"fpmux/shim\", \"proxy\": \"fpmux/proxy\"},"
    " \"parallel\": 8, \"ready_seconds\": 60, \"exec_parallel\": 4}";

static bool is_engine(const char *text) {
    return strncmp(text, "unix:/", 6) == 0;
}

static bool is_prefix(const char *text) {
    size_t length = strlen(text);

    return length <= NAME_BYTES_MAX && is_tenant_id(text, length) && text[length - 1] != '-';
}

/* Docker takes the colon of a mount and the comma of an option apart. */
static bool is_directory(const char *text) {
    return text[0] == '/' && strpbrk(text, ":,") == NULL;
}

static bool is_web_path(const char *text) {
    return text[0] == '/' && strpbrk(text, " \"'$") == NULL;
}

static bool is_address(const char *text) {
    struct network network;

    return strchr(text, '/') == NULL && config_parse_network(text, &network);
}

static bool is_network(const char *text) {
    struct network network;

    return config_parse_network(text, &network);
}

#define DIRECTORY_RULE "an absolute path of a directory, without : and ,"

static const struct field image_fields[] = {
    {"apache", FIELD_STRING, .offset = offsetof(struct container_images, apache),
     .is_valid = is_image_name, .rule = "the name of an image like \"fpmux/apache\""},
    {"php-fpm", FIELD_STRING, .offset = offsetof(struct container_images, php_fpm),
     .is_valid = is_image_name, .rule = "the name of an image like \"fpmux/apache\""},
    {"shim", FIELD_STRING, .offset = offsetof(struct container_images, shim),
     .is_valid = is_image_name, .rule = "the name of an image like \"fpmux/apache\""},
    {"proxy", FIELD_STRING, .offset = offsetof(struct container_images, proxy),
     .is_valid = is_image_name, .rule = "the name of an image like \"fpmux/apache\""},
};

static const struct field mount_fields[] = {
    {"fpm", FIELD_STRINGS, .offset = offsetof(struct container_mounts, fpm),
     .is_valid = is_directory, .rule = DIRECTORY_RULE},
    {"shim", FIELD_STRINGS, .offset = offsetof(struct container_mounts, shim),
     .is_valid = is_directory, .rule = DIRECTORY_RULE},
};

#define MEMBER(name) .offset = offsetof(struct containers_config, name)
static const struct field containers_fields[] = {
    {"engine", FIELD_STRING, MEMBER(engine), .is_valid = is_engine,
     .rule = "\"unix:\" and the absolute path of the engine's socket"},
    {"name", FIELD_STRING, MEMBER(name), .is_valid = is_prefix,
     .rule = "at most 32 of a-z, 0-9 and -, no - at either end"},
    {"code", FIELD_STRING, MEMBER(code), .is_valid = is_directory, .rule = DIRECTORY_RULE},
    {"fallback", FIELD_STRING, MEMBER(fallback), .is_valid = is_web_path,
     .rule = "a path that begins with a slash, like \"/index.php\""},
    {"proxy_address", FIELD_STRING, MEMBER(proxy_address), .is_valid = is_address,
     .rule = "an address of this host like \"127.0.0.1\""},
    {"proxy_port", FIELD_UNSIGNED, MEMBER(proxy_port), .min = 1, .max = 65535},
    {"trusted_proxies", FIELD_STRINGS, MEMBER(trusted_proxies), .is_valid = is_network,
     .rule = "a network like \"10.0.0.0/8\" or an address like \"::1\""},
    {"images", FIELD_OBJECT, MEMBER(images), .fields = image_fields,
     .count = FIELD_COUNT(image_fields)},
    {"pool_images", FIELD_STRING_MAP, MEMBER(pool_images)},
    {"mounts", FIELD_OBJECT, MEMBER(mounts), .fields = mount_fields,
     .count = FIELD_COUNT(mount_fields)},
    {"networks", FIELD_STRINGS, MEMBER(networks)},
    {"parallel", FIELD_UNSIGNED, MEMBER(parallel), .min = 1, .max = 64},
    {"ready_seconds", FIELD_SECONDS, MEMBER(ready_ms), .min = 1, .max = READY_MS_MAX},
    {"exec_parallel", FIELD_UNSIGNED, MEMBER(exec_parallel), .min = 1, .max = 256},
};
#undef MEMBER

static bool read_defaults(struct containers_config *containers, struct error *error) {
    struct json_document document;

    if (!json_parse(&document, "containers defaults", defaults, strlen(defaults), error))
        return false;
    struct field_reader reader = {.document = &document, .error = error};
    bool done = fields_read(&reader, document.root, containers_fields,
                            FIELD_COUNT(containers_fields), containers);
    json_deinit(&document);
    return done;
}

bool containers_config_read(struct field_reader *reader, cJSON *node, void *target) {
    struct config *config = target;
    struct containers_config *containers = calloc(1, sizeof *containers);

    if (containers == NULL)
        abort();
    containers_config_free(config->containers);
    config->containers = containers;
    return read_defaults(containers, reader->error) &&
           fields_read(reader, node, containers_fields, FIELD_COUNT(containers_fields),
                       containers) &&
           fields_require(reader, node, "code");
}

void containers_config_free(struct containers_config *containers) {
    if (containers == NULL)
        return;
    free(containers->engine);
    free(containers->name);
    free(containers->code);
    free(containers->fallback);
    free(containers->proxy_address);
    string_list_deinit(&containers->trusted_proxies);
    free(containers->images.apache);
    free(containers->images.php_fpm);
    free(containers->images.shim);
    free(containers->images.proxy);
    settings_deinit(&containers->pool_images);
    string_list_deinit(&containers->mounts.fpm);
    string_list_deinit(&containers->mounts.shim);
    string_list_deinit(&containers->networks);
    free(containers);
}

const char *containers_config_pool_image(const struct containers_config *containers,
                                         const char *pool) {
    const char *own = settings_find(&containers->pool_images, pool);

    return own != NULL ? own : containers->images.php_fpm;
}
