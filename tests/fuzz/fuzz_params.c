/* Parameters from a web server, hostile or not: whatever comes in, what goes to PHP-FPM is whole
 * records of whole pairs, with no forbidden name, and with the tenant's values exactly once and
 * exactly. The first byte of the input chooses the pool; the rest is the content of PARAMS. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shim/params.h"
#include "tests/support/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUEST_ID = 0x1234, OUT_CAP = 1 << 20, BODY = 5 };

static void require(bool condition) {
    if (!condition)
        abort();
}

/* ---- Pools and the tenant ---- */

static char *php_only[] = {".php"};
static char *pass_names[] = {"eppn",      "Shib-Session-ID", "DB.HOST", "DBHOST[x]",
                             "PHP.VALUE", "http_proxy",      "A.NAME",  "SITE NAME"};
static struct setting pool_php[] = {{"memory_limit", "128M"}};

static const struct pool_config pools[] = {
    {.root = "/var/www/html",
     .suffixes = {php_only, 1},
     .status_path = "/status",
     .pass = {pass_names, sizeof(pass_names) / sizeof(pass_names[0])},
     .php = {pool_php, 1}},
    {.root = "/", .suffixes = {php_only, 1}},
};

static struct tenant_param tenant_params[] = {
    {"DBHOST", "db1", false},       {"DBPASS", "s;'\"", true}, {"SITE_NAME", "one", false},
    {"WWWROOT", "http://1", false}, {"DB_HOST", "", false},
};
static const struct tenant tenant = {
    .id = "one",
    .params = tenant_params,
    .param_count = sizeof(tenant_params) / sizeof(tenant_params[0]),
};

/* ---- What must hold of the output; written apart from the code under test ---- */

static void as_php_names_it(const struct fcgi_pair *pair, char *out) {
    size_t start = 0;
    size_t filled = 0;

    while (start < pair->name_length && pair->name[start] == ' ')
        start++;
    for (size_t i = start; i < pair->name_length && pair->name[i] != '['; i++)
        out[filled++] = (char)(strchr(". ", pair->name[i]) != NULL ? '_' : pair->name[i]);
    out[filled] = '\0';
}

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_forbidden(const char *name) {
    static const char *const names[] = {
        "PHP_VALUE",
        "REQUEST_BODY_FILE",
        "FCGI_ROLE",
        "PATH_TRANSLATED",
        "REDIRECT_STATUS",
        "HTTP_REDIRECT_STATUS",
        "PATH",
        "HTTP_TRANSFER_ENCODING",
        "DBNAME",
        "DBUSER",
        "DATAROOT",
    };
    bool is_found = starts_with(name, "ORIG_") || starts_with(name, "LD_") ||
                    starts_with(name, "FPMUX_") || strcasecmp(name, "HTTP_PROXY") == 0 ||
                    name[0] == '\0';

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        is_found = is_found || strcmp(name, names[i]) == 0;
    return is_found;
}

/* How many names become this one in $_SERVER. */
static size_t count_in_php(const struct wire_pairs *pairs, const char *name) {
    char *buffer = malloc(pairs->content.length + 1);
    size_t count = 0;

    require(buffer != NULL);
    for (size_t i = 0; i < pairs->count; i++) {
        as_php_names_it(&pairs->items[i], buffer);
        count += strcmp(buffer, name) == 0;
    }
    free(buffer);
    return count;
}

static void check_names(const struct wire_pairs *pairs) {
    char *name = malloc(pairs->content.length + 1);

    require(name != NULL);
    for (size_t i = 0; i < pairs->count; i++) {
        const struct fcgi_pair *pair = &pairs->items[i];
        require(memchr(pair->name, 0, (size_t)pair->name_length + pair->value_length) == NULL);
        as_php_names_it(pair, name);
        require(!is_forbidden(name));
        for (size_t j = 0; j < i; j++)
            require(pair->name_length != pairs->items[j].name_length ||
                    memcmp(pair->name, pairs->items[j].name, pair->name_length) != 0);
    }
    free(name);
}

static void check_value(const struct wire_pairs *pairs, const char *name, const char *value) {
    require(count_in_php(pairs, name) == 1);
    require(wire_is_value(wire_find(pairs, name), value));
}

static const char prefix[] = "proxy:fcgi://localhost";

/* As PHP-FPM reads it: without the prefix, and then only up to a '?'. */
static void check_path(const struct fcgi_pair *pair, const struct pool_config *pool) {
    size_t root_length = strcmp(pool->root, "/") == 0 ? 0 : strlen(pool->root);
    const char *path = (const char *)pair->value;
    size_t length = pair->value_length;

    if (length > sizeof(prefix) && memcmp(path, prefix, sizeof(prefix) - 1) == 0) {
        path += sizeof(prefix) - 1;
        length -= sizeof(prefix) - 1;
        require(memchr(path, '?', length) == NULL);
    }
    require(length > root_length + 4 && memcmp(path, pool->root, root_length) == 0);
    require(path[root_length] == '/');
    require(memcmp(path + length - 4, ".php", 4) == 0);
    require(memmem(path, length, "/../", 4) == NULL && memmem(path, length, "//", 2) == NULL);
}

static void check_script(const struct wire_pairs *pairs, const struct pool_config *pool) {
    const struct fcgi_pair *path_info = wire_find(pairs, "PATH_INFO");

    require(count_in_php(pairs, "SCRIPT_FILENAME") == 1);
    check_path(wire_find(pairs, "SCRIPT_FILENAME"), pool);
    require(pool->status_path == NULL ||
            !wire_is_value(wire_find(pairs, "SCRIPT_NAME"), pool->status_path));
    require(pool->status_path == NULL || path_info == NULL || path_info->value_length < 7 ||
            memcmp(path_info->value, "/status", 7) != 0);
}

static void check_output(const struct bytes *out, const struct pool_config *pool) {
    struct wire_pairs pairs;

    require(wire_read(out->data, out->length, REQUEST_ID, &pairs));
    for (size_t i = 0; i < tenant.param_count; i++)
        check_value(&pairs, tenant.params[i].name, tenant.params[i].value);
    check_value(&pairs, "DOCUMENT_ROOT", pool->root);
    check_value(&pairs, "CONTENT_LENGTH", "5");
    if (pool->php.count > 0)
        check_value(&pairs, "PHP_ADMIN_VALUE", "memory_limit='128M'\n");
    else
        require(count_in_php(&pairs, "PHP_ADMIN_VALUE") == 0);
    check_names(&pairs);
    check_script(&pairs, pool);
    wire_pairs_deinit(&pairs);
}

/* ---- The run ---- */

static void run(const uint8_t *data, size_t size, const struct pool_config *pool) {
    static struct params params;
    struct params_rules *rules = params_rules_new(pool);
    struct params_block *block = params_block_new(&tenant, pool);
    struct params_request request = {.rules = rules,
                                     .block = block,
                                     .body_length = BODY,
                                     .body_cap = BODY,
                                     .with_php = true,
                                     .request_id = REQUEST_ID};
    struct bytes out;

    require(rules != NULL && block != NULL);
    bytes_init(&out, OUT_CAP);
    struct refusal refusal = params_decode(data, size, &params);
    if (refusal.status == 0)
        refusal = params_build(&params, &request, &out);
    if (refusal.status == 0)
        check_output(&out, pool);
    else
        require(out.length == 0 && refusal.reason != NULL);
    bytes_deinit(&out);
    params_block_free(block);
    params_rules_free(rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    uint8_t *copy = malloc(size - 1 > 0 ? size - 1 : 1); /* a byte read past the end is seen */
    require(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    run(copy, size - 1, &pools[data[0] % (sizeof(pools) / sizeof(pools[0]))]);
    free(copy);
    return 0;
}
