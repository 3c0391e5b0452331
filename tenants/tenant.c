#include "tenants/tenant.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tenants/fields.h"
#include "tenants/file.h"
#include "tenants/json.h"

enum {
    FILE_BYTES_MAX = 1 << 20,
    SECRET_BYTES_MAX = 1 << 16,
    PARAM_BYTES_MAX = 65000, /* name and value: a pair must fit one FastCGI record */
    TOKEN_BYTES_MAX = 1024,
    HOSTS_MAX = 1024,
    WEIGHT_MAX = 1000,
    DAY_SECONDS = 86400,
    MEMORY_BYTES_MIN = 16 << 20, /* an Apache that can't start would be no bound but an outage */
    CRON_SECONDS_MAX = 86400,
    CRON_LIMIT_MS = 3600000
};

/* ---- Secrets ---- */

static void free_secret(char *text) {
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

static bool is_absolute_path(const char *text) {
    return text[0] == '/';
}

struct secret_file {
    char *path;
};

static const struct field secret_fields[] = {
    {"file", FIELD_STRING, .offset = offsetof(struct secret_file, path),
     .is_valid = is_absolute_path, .rule = "an absolute path"},
};

/* The file's content without the line ends at its end; owned by the caller. */
static char *load_secret(const char *path, struct error *error) {
    size_t length;
    mode_t mode;
    char *text = file_read(path, SECRET_BYTES_MAX, &length, &mode, error);

    if (text == NULL)
        return NULL;
    if ((mode & 007) != 0) {
        error_set(error, "%s: everybody may open this secret; chmod 640 it", path);
    } else if (strlen(text) != length) {
        error_set(error, "%s: a secret can't have a NUL byte in it", path);
    } else {
        while (length > 0 && strchr("\r\n", text[length - 1]) != NULL)
            text[--length] = '\0';
        return text;
    }
    explicit_bzero(text, length);
    free(text);
    return NULL;
}

static bool read_secret_file(struct field_reader *reader, cJSON *node, char **value) {
    struct secret_file file = {0};
    struct error reason;
    bool done = fields_read(reader, node, secret_fields, FIELD_COUNT(secret_fields), &file) &&
                fields_require(reader, node, "file");

    if (done) {
        *value = load_secret(file.path, &reason);
        done = *value != NULL;
        if (!done)
            fields_fail(reader, node, "\"%s\": %s", node->string, reason.text);
    }
    free(file.path);
    return done;
}

/* A string, or {"file": PATH}. */
static bool read_value(struct field_reader *reader, cJSON *node, char **value, bool *is_secret) {
    *is_secret = cJSON_IsObject(node);
    if (*is_secret)
        return read_secret_file(reader, node, value);
    if (!cJSON_IsString(node))
        return fields_fail(reader, node,
                           "\"%s\" must be a string in quotes or, for a secret, {\"file\": PATH}",
                           node->string);
    *value = fields_take_string(node);
    return true;
}

static bool read_token(struct field_reader *reader, cJSON *node, void *target) {
    struct tenant *tenant = target;
    bool is_secret;

    if (!read_value(reader, node, &tenant->token, &is_secret))
        return false;
    size_t length = strlen(tenant->token);
    if (length < 1 || length > TOKEN_BYTES_MAX)
        return fields_fail(reader, node, "\"token\" must have 1 to %d bytes", TOKEN_BYTES_MAX);
    return true;
}

/* ---- Parameters and settings ---- */

static bool read_param(struct field_reader *reader, cJSON *node, struct tenant_param *param) {
    const char *name = node->string;

    if (!is_param_name(name))
        return fields_fail_key(reader, node,
                               "\"%s\" can't be a parameter: use A-Z, 0-9 and _, no digit first, "
                               "and not three letters (PHP-FPM can't find those)",
                               name);
    if (is_reserved_param(name))
        return fields_fail_key(reader, node,
                               "\"%s\" is reserved: the web server, PHP or fpmux sets it", name);
    if (!read_value(reader, node, &param->value, &param->is_secret))
        return false;
    if (strlen(name) + strlen(param->value) > PARAM_BYTES_MAX)
        return fields_fail(reader, node, "\"%s\" must be at most %d bytes, with its name", name,
                           PARAM_BYTES_MAX);
    param->name = fields_take_key(node);
    return true;
}

static bool read_params(struct field_reader *reader, cJSON *node, void *target) {
    struct tenant *tenant = target;

    if (!cJSON_IsObject(node))
        return fields_fail(reader, node,
                           "\"params\" must be an object: {\"NAME\": \"VALUE\", ...}");
    tenant->params = calloc((size_t)cJSON_GetArraySize(node) + 1, sizeof *tenant->params);
    for (cJSON *item = node->child; item != NULL && tenant->params != NULL; item = item->next)
        if (!read_param(reader, item, &tenant->params[tenant->param_count++]))
            return false;
    return tenant->params != NULL;
}

static bool read_php(struct field_reader *reader, cJSON *node, void *target) {
    const struct pool_config *pool = reader->context;
    struct tenant *tenant = target;

    for (const cJSON *item = node->child; item != NULL && cJSON_IsObject(node); item = item->next) {
        if (is_refused_setting(item->string))
            return fields_fail_key(reader, item,
                                   "\"%s\" can't be set per tenant: it changes the "
                                   "worker for all",
                                   item->string);
        if (settings_find(&pool->php, item->string) == NULL)
            return fields_fail_key(reader, item,
                                   "\"%s\" is not among the php settings of pool "
                                   "\"%s\": list it there with its default first",
                                   item->string, pool->name);
    }
    return fields_read_settings(reader, node, true, &tenant->php);
}

/* ---- Hosts ---- */

static void lower_case(char *text) {
    for (; *text != '\0'; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

static bool check_host(struct field_reader *reader, const cJSON *hosts, cJSON *item) {
    if (cJSON_IsString(item))
        lower_case(item->valuestring);
    if (!cJSON_IsString(item) || !is_host_name(item->valuestring))
        return fields_fail(reader, item,
                           "each item of \"hosts\" must be a host name like "
                           "\"centro1.example.org\", without a port");
    for (const cJSON *other = hosts->child; other != item; other = other->next)
        if (strcmp(other->valuestring, item->valuestring) == 0)
            return fields_fail(reader, item, "host \"%s\" stands twice", item->valuestring);
    return true;
}

static bool read_hosts(struct field_reader *reader, cJSON *node, void *target) {
    struct tenant *tenant = target;
    int count = cJSON_GetArraySize(node);

    if (!cJSON_IsArray(node) || count > HOSTS_MAX)
        return fields_fail(reader, node, "\"hosts\" must be a list of at most %d host names",
                           HOSTS_MAX);
    for (cJSON *item = node->child; item != NULL; item = item->next)
        if (!check_host(reader, node, item))
            return false;
    tenant->hosts.items = calloc((size_t)count + 1, sizeof *tenant->hosts.items);
    for (cJSON *item = node->child; item != NULL && tenant->hosts.items != NULL; item = item->next)
        tenant->hosts.items[tenant->hosts.count++] = fields_take_string(item);
    return tenant->hosts.items != NULL;
}

/* ---- The plan ---- */

/* Midnight UTC after that day, which is paid to its end; false when there is no such day. */
static bool parse_paid_day(const char *text, time_t *end) {
    struct tm day = {0};

    if (strlen(text) != 10 || strspn(text, "0123456789-") != 10 || text[4] != '-' ||
        text[7] != '-' || strptime(text, "%Y-%m-%d", &day) != text + 10 || day.tm_year < 70)
        return false;
    int month = day.tm_mon;
    time_t start = timegm(&day); /* brings 30 February to 2 March */
    if (day.tm_mon != month)
        return false;
    *end = start + DAY_SECONDS;
    return true;
}

static bool read_paid_until(struct field_reader *reader, cJSON *node, void *target) {
    struct tenant_plan *plan = target;

    if (!cJSON_IsString(node) || !parse_paid_day(node->valuestring, &plan->paid_until))
        return fields_fail(reader, node,
                           "\"paid_until\" must be a day like \"2026-12-31\"; it is still paid");
    return true;
}

static bool read_suspended(struct field_reader *reader, cJSON *node, void *target) {
    static const char *const choices[] = {"keep", "stop", NULL};
    struct tenant_plan *plan = target;
    unsigned choice;

    if (!fields_read_choice(reader, node, choices, &choice))
        return false;
    plan->stop_container = choice == 1;
    return true;
}

/* ---- Cron ---- */

static void free_cron(struct tenant_cron *cron) {
    if (cron != NULL)
        string_list_deinit(&cron->command);
    free(cron);
}

/* ---- The tables ---- */

static const char *const states[] = {
    [TENANT_ACTIVE] = "active", [TENANT_SUSPENDED] = "suspended", NULL};
static const char *const overs[] = {[PLAN_OVER_REFUSE] = "refuse", [PLAN_OVER_SLOW] = "slow", NULL};

_Static_assert(sizeof(enum tenant_state) == sizeof(unsigned) &&
                   sizeof(enum plan_over) == sizeof(unsigned),
               "FIELD_CHOICE stores an unsigned");

static const struct field limit_fields[] = {
    {"concurrency", FIELD_UNSIGNED, .offset = offsetof(struct tenant_limits, concurrency), .min = 1,
     .max = LIMIT_CONCURRENCY_MAX},
    {"queue", FIELD_UNSIGNED, .offset = offsetof(struct tenant_limits, queue),
     .max = LIMIT_QUEUE_MAX},
    {"queue_seconds", FIELD_SECONDS, .offset = offsetof(struct tenant_limits, queue_ms),
     .max = LIMIT_QUEUE_MS_MAX},
    {"request_seconds", FIELD_SECONDS, .offset = offsetof(struct tenant_limits, request_ms),
     .min = 1, .max = LIMIT_REQUEST_MS_MAX},
    {"weight", FIELD_UNSIGNED, .offset = offsetof(struct tenant_limits, weight), .min = 1,
     .max = WEIGHT_MAX},
};

static const struct field plan_fields[] = {
    {"name", FIELD_STRING, .offset = offsetof(struct tenant_plan, name), .is_valid = is_plan_name,
     .rule = PLAN_NAME_RULE},
    {"paid_until", FIELD_CUSTOM, .read = read_paid_until},
    {"cpu_seconds_per_month", FIELD_UINT64,
     .offset = offsetof(struct tenant_plan, cpu_seconds_per_month), .max = FIELD_WHOLE_MAX},
    {"requests_per_month", FIELD_UINT64, .offset = offsetof(struct tenant_plan, requests_per_month),
     .max = FIELD_WHOLE_MAX},
    {"over", FIELD_CHOICE, .offset = offsetof(struct tenant_plan, over), .choices = overs},
    {"suspended", FIELD_CUSTOM, .read = read_suspended},
};

static const struct field container_fields[] = {
    {"image", FIELD_STRING, .offset = offsetof(struct tenant_container, image),
     .is_valid = is_image_name, .rule = "the name of an image like \"fpmux/apache\""},
    {"memory_bytes", FIELD_UINT64, .offset = offsetof(struct tenant_container, memory_bytes),
     .min = MEMORY_BYTES_MIN, .max = FIELD_WHOLE_MAX},
};

static const struct field cron_fields[] = {
    {"every_seconds", FIELD_UNSIGNED, .offset = offsetof(struct tenant_cron, every_seconds),
     .min = 1, .max = CRON_SECONDS_MAX},
    {"seconds", FIELD_SECONDS, .offset = offsetof(struct tenant_cron, limit_ms), .min = 1000,
     .max = CRON_SECONDS_MAX * 1000},
    {"command", FIELD_STRINGS, .offset = offsetof(struct tenant_cron, command)},
};

static bool read_cron(struct field_reader *reader, cJSON *node, void *target) {
    struct tenant *tenant = target;
    struct tenant_cron *cron = calloc(1, sizeof *cron);

    if (cron == NULL)
        abort();
    free_cron(tenant->cron);
    tenant->cron = cron;
    cron->limit_ms = CRON_LIMIT_MS;
    if (!fields_read(reader, node, cron_fields, FIELD_COUNT(cron_fields), cron) ||
        !fields_require(reader, node, "every_seconds") || !fields_require(reader, node, "command"))
        return false;
    if (cron->command.count == 0)
        return fields_fail(reader, cJSON_GetObjectItemCaseSensitive(node, "command"),
                           "\"command\" must have a program: [\"php\", \"admin/cli/cron.php\"]");
    return true;
}

#define MEMBER(name) .offset = offsetof(struct tenant, name)
static const struct field tenant_fields[] = {
    {"name", FIELD_STRING, MEMBER(name)},
    {"state", FIELD_CHOICE, MEMBER(state), .choices = states},
    {"hosts", FIELD_CUSTOM, .read = read_hosts},
    {"pool", FIELD_STRING, MEMBER(pool)},
    {"token", FIELD_CUSTOM, .read = read_token},
    {"params", FIELD_CUSTOM, .read = read_params},
    {"php", FIELD_CUSTOM, .read = read_php},
    {"limits", FIELD_OBJECT, MEMBER(limits), .fields = limit_fields,
     .count = FIELD_COUNT(limit_fields)},
    {"plan", FIELD_OBJECT, MEMBER(plan), .fields = plan_fields, .count = FIELD_COUNT(plan_fields)},
    {"container", FIELD_OBJECT, MEMBER(container), .fields = container_fields,
     .count = FIELD_COUNT(container_fields)},
    {"cron", FIELD_CUSTOM, .read = read_cron},
    {"labels", FIELD_STRING_MAP, MEMBER(labels)},
};
#undef MEMBER

/* ---- The whole ---- */

/* Known before anything else is read, because the file's `php` depends on it. */
static const struct pool_config *find_pool(struct field_reader *reader, const cJSON *root,
                                           const struct config *config) {
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(root, "pool");
    const char *name = cJSON_IsString(node) ? node->valuestring : "default";
    const struct pool_config *pool = config_find_pool(config, name);

    if (pool == NULL)
        fields_fail(reader, node != NULL ? node : root,
                    "the configuration has no pool \"%s\"; its first is \"%s\"", name,
                    config->pools[0].name);
    return pool;
}

static struct tenant_limits default_limits(const struct config *config,
                                           const struct pool_config *pool) {
    const struct default_limits *limits = &config->limits;
    unsigned one_less = pool->workers > 1 ? pool->workers - 1 : 1;

    return (struct tenant_limits){
        .concurrency = limits->concurrency > 0 ? limits->concurrency : one_less,
        .queue = limits->queue,
        .queue_ms = limits->queue_ms,
        .request_ms = limits->request_ms,
        .weight = 1,
    };
}

static bool read_tenant(struct tenant *tenant, const struct json_document *document,
                        const struct config *config, struct error *error) {
    struct field_reader reader = {.document = document, .error = error};
    const struct pool_config *pool = find_pool(&reader, document->root, config);

    if (pool == NULL)
        return false;
    reader.context = pool;
    tenant->limits = default_limits(config, pool);
    if (!fields_read(&reader, document->root, tenant_fields, FIELD_COUNT(tenant_fields), tenant))
        return false;
    if (tenant->name == NULL)
        tenant->name = strdup(tenant->id);
    if (tenant->pool == NULL)
        tenant->pool = strdup(pool->name);
    return tenant->name != NULL && tenant->pool != NULL;
}

/* Takes what the document holds, and frees it. */
static struct tenant *tenant_from(const char *id, struct json_document *document,
                                  const struct config *config, struct error *error) {
    struct tenant *tenant = calloc(1, sizeof *tenant);

    error_set(error, "%s: out of memory", document->name); /* unless another reason is found */
    if (tenant != NULL) {
        tenant->references = 1;
        memcpy(tenant->id, id, strlen(id) + 1);
    }
    if (tenant != NULL && !read_tenant(tenant, document, config, error)) {
        tenant_unref(tenant);
        tenant = NULL;
    }
    json_deinit(document);
    return tenant;
}

static bool check_id(const char *id, size_t length, const char *name, struct error *error) {
    if (is_tenant_id(id, length))
        return true;
    error_set(error,
              "%s: \"%.*s\" can't be a tenant's id: use a-z, 0-9 and -, no - first, at most "
              "%d of them",
              name, (int)length, id, TENANT_ID_MAX);
    return false;
}

struct tenant *tenant_parse(const char *id, const char *name, const char *text, size_t length,
                            const struct config *config, struct error *error) {
    struct json_document document;

    if (!check_id(id, strlen(id), name, error) || !json_parse(&document, name, text, length, error))
        return NULL;
    return tenant_from(id, &document, config, error);
}

struct tenant *tenant_load(const char *path, const struct config *config, struct error *error) {
    struct json_document document;
    const char *slash = strrchr(path, '/');
    const char *file = slash != NULL ? slash + 1 : path;
    const char *suffix = strstr(file, ".json");
    char id[TENANT_ID_MAX + 1];

    if (suffix == NULL || strcmp(suffix, ".json") != 0) {
        error_set(error, "%s: the name of a tenant's file must end in .json", path);
        return NULL;
    }
    size_t length = (size_t)(suffix - file);
    if (!check_id(file, length, path, error) || !json_load(&document, path, FILE_BYTES_MAX, error))
        return NULL;
    memcpy(id, file, length);
    id[length] = '\0';
    return tenant_from(id, &document, config, error);
}

struct tenant *tenant_ref(struct tenant *tenant) {
    tenant->references++;
    return tenant;
}

void tenant_unref(struct tenant *tenant) {
    if (tenant == NULL || --tenant->references > 0)
        return;
    for (size_t index = 0; index < tenant->param_count; index++) {
        free(tenant->params[index].name);
        free_secret(tenant->params[index].value);
    }
    free(tenant->params);
    free_secret(tenant->token);
    free(tenant->name);
    string_list_deinit(&tenant->hosts);
    free(tenant->pool);
    settings_deinit(&tenant->php);
    free(tenant->plan.name);
    free(tenant->container.image);
    free_cron(tenant->cron);
    settings_deinit(&tenant->labels);
    free(tenant);
}

const char *tenant_setting(const struct tenant *tenant, const struct pool_config *pool,
                           const char *key) {
    const char *value = settings_find(&tenant->php, key);

    return value != NULL ? value : settings_find(&pool->php, key);
}
