#include "tenants/config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "tenants/containers_config.h"
#include "tenants/fields.h"
#include "tenants/json.h"
#include "tenants/names.h"
#include "tenants/timezone.h"

enum {
    FILE_BYTES_MAX = 1 << 20,
    UNIX_PATH_MAX_BYTES = sizeof((struct sockaddr_un *)NULL)->sun_path - 1,
    WORKERS_MAX = 10000
};

/* The defaults are a configuration like any other, read before the file with the same table. */
static const char defaults[] =
    "{\"listen\": [\"unix:/run/fpmux/fpmux.sock\"],"
    " \"tenant_sockets\": \"/var/lib/fpmux/sockets\","
    " \"allow\": [\"127.0.0.0/8\", \"::1\"],"
    " \"identify\": [\"socket\", \"param\", \"host\"],"
    " \"registry\": \"dir:/etc/fpmux/tenants\","
    " \"ledger\": \"sqlite:/var/lib/fpmux/usage.db\","
    " \"timezone\": \"UTC\","
    " \"limits\": {\"queue\": 64, \"queue_seconds\": 10, \"request_seconds\": 300,"
    "              \"body_bytes\": 1073741824, \"params_bytes\": 262144},"
    " \"spool\": {\"dir\": \"/var/lib/fpmux/spool\", \"memory_bytes\": 65536,"
    "             \"bytes\": 17179869184},"
    " \"admin\": [\"unix:/run/fpmux/admin.sock\"]}";

static const char pool_defaults[] = "{\"suffixes\": [\".php\"], \"idle_ms\": 1000}";

/* ---- What strings must look like ---- */

static bool is_absolute_path(const char *text) {
    return text[0] == '/';
}

static bool is_unix_address(const char *text) {
    return strncmp(text, "unix:/", 6) == 0 && strlen(text + 5) <= UNIX_PATH_MAX_BYTES;
}

static bool is_port(const char *text) {
    size_t length = strspn(text, "0123456789");
    long port = strtol(text, NULL, 10);

    return length >= 1 && length <= 5 && text[length] == '\0' && port >= 1 && port <= 65535;
}

static bool is_tcp_address(const char *text) {
    if (strncmp(text, "tcp:", 4) != 0)
        return false;
    const char *host = text + 4;
    const char *port = strrchr(host, ':');
    if (port == NULL || port == host || !is_port(port + 1))
        return false;
    size_t length = (size_t)(port - host);
    if (host[0] == '[') /* IPv6 needs brackets: the port would be part of it */
        return host[length - 1] == ']' &&
               strspn(host + 1, "0123456789abcdefABCDEF:.") == length - 2;
    return strcspn(host, "[]/: ") == length;
}

static bool is_address(const char *text) {
    return is_unix_address(text) || is_tcp_address(text);
}

#define ADDRESS_RULE "\"tcp:HOST:PORT\" or \"unix:/PATH\" with a path of at most 107 bytes"

/* Absolute, no trailing slash, no empty, "." or ".." component: what compares byte by byte. */
static bool is_normal_path(const char *text) {
    if (text[0] != '/')
        return false;
    while (*text == '/') {
        size_t length = strcspn(text + 1, "/");
        if (length == 0 || (length == 1 && text[1] == '.') ||
            (length == 2 && strncmp(text + 1, "..", 2) == 0))
            return false;
        text += 1 + length;
    }
    return true;
}

static bool is_suffix(const char *text) {
    return text[0] == '.' && text[1] != '\0' && strchr(text, '/') == NULL;
}

static bool is_registry(const char *text) {
    return strncmp(text, "dir:/", 5) == 0;
}

static bool is_ledger(const char *text) {
    return strncmp(text, "sqlite:/", 8) == 0 && text[strlen(text) - 1] != '/';
}

/* ---- Pools ---- */

static bool read_pool_php(struct field_reader *reader, cJSON *node, void *target) {
    struct pool_config *pool = target;

    for (const cJSON *item = node->child; item != NULL && cJSON_IsObject(node); item = item->next) {
        if (!is_setting_key(item->string))
            return fields_fail_key(reader, item,
                                   "\"%s\" is no php.ini key: use letters, digits, _ "
                                   "and .",
                                   item->string);
        if (is_refused_setting(item->string))
            return fields_fail_key(reader, item,
                                   "\"%s\" can't be set per tenant: it changes the "
                                   "worker for all; set it in PHP-FPM's own configuration",
                                   item->string);
    }
    return fields_read_settings(reader, node, true, &pool->php);
}

#define MEMBER(name) .offset = offsetof(struct pool_config, name)
static const struct field pool_fields[] = {
    {"address", FIELD_STRING, MEMBER(address), .is_valid = is_address, .rule = ADDRESS_RULE},
    {"workers", FIELD_UNSIGNED, MEMBER(workers), .min = 1, .max = WORKERS_MAX},
    {"root", FIELD_STRING, MEMBER(root), .is_valid = is_normal_path,
     .rule = "an absolute path without \".\", \"..\", // or a slash at its end"},
    {"suffixes", FIELD_STRINGS, MEMBER(suffixes), .is_valid = is_suffix,
     .rule = "a suffix like \".php\""},
    {"status_path", FIELD_STRING, MEMBER(status_path), .is_valid = is_absolute_path,
     .rule = "a path that begins with a slash"},
    {"ping_path", FIELD_STRING, MEMBER(ping_path), .is_valid = is_absolute_path,
     .rule = "a path that begins with a slash"},
    {"pass", FIELD_STRINGS, MEMBER(pass)},
    {"idle_ms", FIELD_UNSIGNED, MEMBER(idle_ms), .min = 1, .max = 3600000},
    {"keep_bodies", FIELD_BOOL, MEMBER(keep_bodies)},
    {"php", FIELD_CUSTOM, .read = read_pool_php},
};
#undef MEMBER

static bool read_pool(struct field_reader *reader, cJSON *node, struct pool_config *pool) {
    return fields_read(reader, node, pool_fields, FIELD_COUNT(pool_fields), pool) &&
           fields_require(reader, node, "address") && fields_require(reader, node, "workers") &&
           fields_require(reader, node, "root");
}

static bool read_pool_defaults(struct field_reader *reader, struct pool_config *pool) {
    struct json_document document;

    if (!json_parse(&document, "pool defaults", pool_defaults, strlen(pool_defaults),
                    reader->error))
        return false;
    struct field_reader inner = {.document = &document, .error = reader->error};
    bool done = fields_read(&inner, document.root, pool_fields, FIELD_COUNT(pool_fields), pool);
    json_deinit(&document);
    return done;
}

static bool read_pools(struct field_reader *reader, cJSON *node, void *target) {
    struct config *config = target;

    if (!cJSON_IsObject(node) || node->child == NULL)
        return fields_fail(reader, node,
                           "\"pools\" must be an object with at least one pool: "
                           "{\"default\": {...}}");
    config->pools = calloc((size_t)cJSON_GetArraySize(node), sizeof *config->pools);
    for (cJSON *item = node->child; item != NULL && config->pools != NULL; item = item->next) {
        struct pool_config *pool = &config->pools[config->pool_count++];
        if (!is_tenant_id(item->string, strlen(item->string)))
            return fields_fail_key(reader, item,
                                   "the name of a pool must be made of a-z, 0-9 and "
                                   "-, at most %d of them",
                                   TENANT_ID_MAX);
        if (!read_pool_defaults(reader, pool) || !read_pool(reader, item, pool))
            return false;
        pool->name = fields_take_key(item);
    }
    return config->pools != NULL;
}

/* ---- Who may come in ---- */

bool config_parse_network(const char *text, struct network *network) {
    char address[INET6_ADDRSTRLEN];
    struct in_addr v4;
    size_t length = strcspn(text, "/");
    unsigned long bits = 128;

    if (length >= sizeof address)
        return false;
    memcpy(address, text, length);
    address[length] = '\0';
    *network = (struct network){0};
    bool is_v4 = inet_pton(AF_INET, address, &v4) == 1;
    if (!is_v4 && inet_pton(AF_INET6, address, &network->address) != 1)
        return false;
    if (is_v4) {
        network->address.s6_addr[10] = 0xff;
        network->address.s6_addr[11] = 0xff;
        memcpy(&network->address.s6_addr[12], &v4, sizeof v4);
    }
    if (text[length] == '/') {
        const char *digits = text + length + 1;
        size_t count = strspn(digits, "0123456789");
        if (count < 1 || count > 3 || digits[count] != '\0')
            return false;
        bits = strtoul(digits, NULL, 10) + (is_v4 ? 96 : 0);
    }
    network->prefix_bits = (unsigned)bits;
    return bits <= 128;
}

static bool read_allow(struct field_reader *reader, cJSON *node, void *target) {
    struct config *config = target;

    if (!cJSON_IsArray(node))
        return fields_fail(reader, node, "\"allow\" must be a list of networks");
    free(config->allow);
    config->allow_count = 0;
    config->allow = calloc((size_t)cJSON_GetArraySize(node) + 1, sizeof *config->allow);
    for (const cJSON *item = node->child; item != NULL && config->allow != NULL;
         item = item->next) {
        if (!cJSON_IsString(item) ||
            !config_parse_network(item->valuestring, &config->allow[config->allow_count++]))
            return fields_fail(reader, item,
                               "each item of \"allow\" must be a network like "
                               "\"10.0.0.0/8\" or an address like \"::1\"");
    }
    return config->allow != NULL;
}

bool config_allows(const struct config *config, const struct in6_addr *peer) {
    for (size_t index = 0; index < config->allow_count; index++) {
        const struct network *network = &config->allow[index];
        unsigned bytes = network->prefix_bits / 8;
        unsigned rest = network->prefix_bits % 8;
        if (memcmp(peer, &network->address, bytes) != 0)
            continue;
        if (rest == 0 ||
            (peer->s6_addr[bytes] ^ network->address.s6_addr[bytes]) >> (8 - rest) == 0)
            return true;
    }
    return false;
}

static bool read_identify(struct field_reader *reader, cJSON *node, void *target) {
    static const char *const sources[] = {[IDENTITY_SOCKET] = "socket",
                                          [IDENTITY_PARAM] = "param",
                                          [IDENTITY_HOST] = "host",
                                          [IDENTITY_SOURCES] = NULL};
    struct config *config = target;
    bool is_seen[IDENTITY_SOURCES] = {false};

    if (!cJSON_IsArray(node) || node->child == NULL)
        return fields_fail(reader, node,
                           "\"identify\" must be a list of \"socket\", \"param\" and "
                           "\"host\", with at least one of them");
    config->identify_count = 0;
    for (const cJSON *item = node->child; item != NULL; item = item->next) {
        unsigned source;
        if (!fields_read_choice(reader, item, sources, &source))
            return false;
        if (is_seen[source])
            return fields_fail(reader, item, "\"%s\" stands twice", sources[source]);
        is_seen[source] = true;
        config->identify[config->identify_count++] = (enum identity_source)source;
    }
    return true;
}

static bool read_tenant_sockets(struct field_reader *reader, cJSON *node, void *target) {
    struct config *config = target;
    const size_t room = UNIX_PATH_MAX_BYTES - TENANT_ID_MAX - strlen("//fpmux.sock");
    bool is_path = cJSON_IsString(node) && is_normal_path(node->valuestring) &&
                   !has_control_character(node->valuestring);

    if (!is_path && !cJSON_IsFalse(node))
        return fields_fail(reader, node,
                           "\"tenant_sockets\" must be an absolute path without a "
                           "slash at its end, or false");
    if (is_path && strlen(node->valuestring) > room)
        return fields_fail(reader, node,
                           "\"tenant_sockets\" must not be longer than %zu bytes: "
                           "sockets below it could not be reached",
                           room);
    free(config->tenant_sockets);
    config->tenant_sockets = is_path ? fields_take_string(node) : NULL;
    return true;
}

/* ---- The rest ---- */

static bool read_version(struct field_reader *reader, cJSON *node, void *target) {
    (void)target;
    if (!cJSON_IsNumber(node) || node->valuedouble != 1)
        return fields_fail(reader, node, "\"version\" must be 1");
    return true;
}

static bool read_request_log(struct field_reader *reader, cJSON *node, void *target) {
    struct config *config = target;
    const char *text = cJSON_IsString(node) ? node->valuestring : "";
    bool is_off = strcmp(text, "off") == 0;

    if (!is_off && strcmp(text, "stderr") != 0 && !is_absolute_path(text))
        return fields_fail(reader, node,
                           "\"requests\" must be \"off\", \"stderr\" or an absolute path");
    config->request_log = is_off ? NULL : fields_take_string(node);
    return true;
}

static const struct field limit_fields[] = {
    {"concurrency", FIELD_UNSIGNED, .offset = offsetof(struct default_limits, concurrency),
     .min = 1, .max = LIMIT_CONCURRENCY_MAX},
    {"queue", FIELD_UNSIGNED, .offset = offsetof(struct default_limits, queue),
     .max = LIMIT_QUEUE_MAX},
    {"queue_seconds", FIELD_SECONDS, .offset = offsetof(struct default_limits, queue_ms),
     .max = LIMIT_QUEUE_MS_MAX},
    {"request_seconds", FIELD_SECONDS, .offset = offsetof(struct default_limits, request_ms),
     .min = 1, .max = LIMIT_REQUEST_MS_MAX},
    {"body_bytes", FIELD_UINT64, .offset = offsetof(struct default_limits, body_bytes),
     .max = FIELD_WHOLE_MAX},
    {"params_bytes", FIELD_UINT64, .offset = offsetof(struct default_limits, params_bytes),
     .min = 1024, .max = 1 << 26},
};

static const struct field spool_fields[] = {
    {"dir", FIELD_STRING, .offset = offsetof(struct spool_config, dir),
     .is_valid = is_absolute_path, .rule = "an absolute path"},
    {"memory_bytes", FIELD_UINT64, .offset = offsetof(struct spool_config, memory_bytes),
     .max = 1 << 30},
    {"bytes", FIELD_UINT64, .offset = offsetof(struct spool_config, bytes), .max = FIELD_WHOLE_MAX},
};

static const struct field log_fields[] = {
    {"requests", FIELD_CUSTOM, .read = read_request_log},
};

#define MEMBER(name) .offset = offsetof(struct config, name)
static const struct field config_fields[] = {
    {"version", FIELD_CUSTOM, .read = read_version},
    {"listen", FIELD_STRINGS, MEMBER(listen), .is_valid = is_address, .rule = ADDRESS_RULE},
    {"tenant_sockets", FIELD_CUSTOM, .read = read_tenant_sockets},
    {"allow", FIELD_CUSTOM, .read = read_allow},
    {"identify", FIELD_CUSTOM, .read = read_identify},
    {"registry", FIELD_STRING, MEMBER(registry), .is_valid = is_registry,
     .rule = "\"dir:\" and an absolute path"},
    {"ledger", FIELD_STRING, MEMBER(ledger), .is_valid = is_ledger,
     .rule = "\"sqlite:\" and the absolute path of a file"},
    {"timezone", FIELD_STRING, MEMBER(timezone), .is_valid = is_timezone_name,
     .rule = "the name of a time zone, as \"Europe/Madrid\""},
    {"pools", FIELD_CUSTOM, .read = read_pools},
    {"limits", FIELD_OBJECT, MEMBER(limits), .fields = limit_fields,
     .count = FIELD_COUNT(limit_fields)},
    {"spool", FIELD_OBJECT, MEMBER(spool), .fields = spool_fields,
     .count = FIELD_COUNT(spool_fields)},
    {"pages", FIELD_STRING, MEMBER(pages), .is_valid = is_absolute_path,
     .rule = "an absolute path"},
    {"rates", FIELD_STRING, MEMBER(rates), .is_valid = is_absolute_path,
     .rule = "an absolute path"},
    {"admin", FIELD_STRINGS, MEMBER(admin), .is_valid = is_address, .rule = ADDRESS_RULE},
    {"log", FIELD_OBJECT, .fields = log_fields, .count = FIELD_COUNT(log_fields)},
    {"containers", FIELD_CUSTOM, .read = containers_config_read},
};
#undef MEMBER

static bool read_document(struct config *config, const struct json_document *document,
                          struct error *error) {
    struct field_reader reader = {.document = document, .error = error};

    return fields_read(&reader, document->root, config_fields, FIELD_COUNT(config_fields), config);
}

static bool read_defaults(struct config *config, struct error *error) {
    struct json_document document;

    if (!json_parse(&document, "defaults", defaults, strlen(defaults), error))
        return false;
    bool done = read_document(config, &document, error);
    json_deinit(&document);
    return done;
}

/* After the whole was read: pools may stand behind `containers`. */
static bool check_pool_images(struct field_reader *reader, const struct config *config) {
    const cJSON *section = cJSON_GetObjectItemCaseSensitive(reader->document->root, "containers");
    const cJSON *images = cJSON_GetObjectItemCaseSensitive(section, "pool_images");

    for (size_t index = 0; images != NULL && index < config->containers->pool_images.count;
         index++) {
        const char *pool = config->containers->pool_images.items[index].key;
        const char *image = config->containers->pool_images.items[index].value;
        if (config_find_pool(config, pool) == NULL)
            return fields_fail(reader, images, "\"%s\" is no pool of this configuration", pool);
        if (!is_image_name(image))
            return fields_fail(reader, images, "\"%s\" is no name of an image", image);
    }
    return true;
}

static bool read_config(struct config *config, const struct json_document *document,
                        struct error *error) {
    struct field_reader reader = {.document = document, .error = error};

    return read_defaults(config, error) && read_document(config, document, error) &&
           fields_require(&reader, document->root, "pools") && check_pool_images(&reader, config);
}

/* Takes what the document holds, and frees it. */
static struct config *config_from(struct json_document *document, struct error *error) {
    struct config *config = calloc(1, sizeof *config);

    error_set(error, "%s: out of memory", document->name); /* unless another reason is found */
    if (config != NULL)
        config->path = strdup(document->name);
    if (config != NULL && (config->path == NULL || !read_config(config, document, error))) {
        config_free(config);
        config = NULL;
    }
    json_deinit(document);
    return config;
}

struct config *config_parse(const char *name, const char *text, size_t length,
                            struct error *error) {
    struct json_document document;

    if (!json_parse(&document, name, text, length, error))
        return NULL;
    return config_from(&document, error);
}

struct config *config_load(const char *path, struct error *error) {
    struct json_document document;

    if (path == NULL)
        path = getenv("FPMUX_CONFIG");
    if (path == NULL || path[0] == '\0')
        path = CONFIG_DEFAULT_PATH;
    if (!json_load(&document, path, FILE_BYTES_MAX, error))
        return NULL;
    return config_from(&document, error);
}

static void deinit_pool(struct pool_config *pool) {
    free(pool->name);
    free(pool->address);
    free(pool->root);
    string_list_deinit(&pool->suffixes);
    free(pool->status_path);
    free(pool->ping_path);
    string_list_deinit(&pool->pass);
    settings_deinit(&pool->php);
}

void config_free(struct config *config) {
    if (config == NULL)
        return;
    for (size_t index = 0; index < config->pool_count; index++)
        deinit_pool(&config->pools[index]);
    free(config->pools);
    free(config->path);
    string_list_deinit(&config->listen);
    free(config->tenant_sockets);
    free(config->allow);
    free(config->registry);
    free(config->ledger);
    free(config->timezone);
    free(config->spool.dir);
    free(config->pages);
    string_list_deinit(&config->admin);
    free(config->rates);
    free(config->request_log);
    containers_config_free(config->containers);
    free(config);
}

/* ---- Questions ---- */

const struct pool_config *config_find_pool(const struct config *config, const char *name) {
    for (size_t index = 0; index < config->pool_count; index++)
        if (strcmp(config->pools[index].name, name) == 0)
            return &config->pools[index];
    return NULL;
}

char *config_counters_dir(const struct config *config) {
    const char *ledger = strchr(config->ledger, ':') + 1;
    char *dir = NULL;

    if (asprintf(&dir, "%.*s/counters", (int)(strrchr(ledger, '/') - ledger), ledger) < 0)
        return NULL;
    return dir;
}
