#include "shim/params_block.h"

#include <stdlib.h>
#include <string.h>

/* ---- A pool's rules ---- */

/* PHP_VALUE in lower case is harmless, http_proxy is not, and nobody has a reason to pass either:
 * forbidden names are compared without case. */
static bool is_safe_form(const uint8_t *name, size_t length, uint8_t *upper) {
    for (size_t i = 0; i < length; i++)
        upper[i] = (uint8_t)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 'a' + 'A' : name[i]);
    uint32_t hash;
    uint8_t class = name_classify(upper, length, &hash);
    return length > 0 && (class == NAME_PLAIN || class == NAME_ODD || class >= NAME_WELL_KNOWN);
}

static void pass_name_deinit(struct pass_name *pass) {
    free(pass->cut);
    free(pass->underscored);
}

enum pass_outcome { PASS_TAKEN, PASS_LEFT_OUT, PASS_NO_MEMORY };

/* Left out: a name that PHP would turn into a forbidden one. */
static enum pass_outcome pass_name_init(struct pass_name *pass, const char *name) {
    size_t length = strlen(name);
    uint8_t *upper = malloc(length + 1);
    enum pass_outcome outcome = PASS_NO_MEMORY;

    *pass = (struct pass_name){.name = name, .length = length};
    pass->cut = malloc(length + 1);
    pass->underscored = malloc(length + 1);
    if (upper != NULL && pass->cut != NULL && pass->underscored != NULL) {
        const uint8_t *bytes = (const uint8_t *)name;
        pass->cut_length = name_mangle(bytes, length, BRACKET_CUTS, pass->cut);
        pass->underscored_length =
            name_mangle(bytes, length, BRACKET_IS_UNDERSCORE, pass->underscored);
        bool is_safe = is_safe_form(pass->cut, pass->cut_length, upper) &&
                       is_safe_form(pass->underscored, pass->underscored_length, upper);
        outcome = is_safe ? PASS_TAKEN : PASS_LEFT_OUT;
    }
    free(upper);
    if (outcome != PASS_TAKEN)
        pass_name_deinit(pass);
    return outcome;
}

static bool read_pass(struct params_rules *rules, const struct string_list *names) {
    rules->pass = calloc(names->count + 1, sizeof(*rules->pass));
    if (rules->pass == NULL)
        return false;
    for (size_t i = 0; i < names->count; i++) {
        enum pass_outcome outcome =
            pass_name_init(&rules->pass[rules->pass_count], names->items[i]);
        if (outcome == PASS_NO_MEMORY)
            return false;
        rules->pass_count += outcome == PASS_TAKEN;
    }
    return true;
}

/* Appends to pairs, which has room. */
static void put_pair(struct pairs *pairs, const char *name, const char *value) {
    pairs->length +=
        fcgi_encode_pair(pairs->data + pairs->length, name, strlen(name), value, strlen(value));
}

static bool make_pair(struct pairs *pairs, const char *name, const char *value) {
    pairs->data = malloc(fcgi_pair_size(strlen(name), strlen(value)));
    if (pairs->data == NULL)
        return false;
    put_pair(pairs, name, value);
    return true;
}

struct params_rules *params_rules_new(const struct pool_config *pool) {
    struct params_rules *rules = calloc(1, sizeof(*rules));

    if (rules == NULL)
        return NULL;
    rules->pool = pool;
    if (!make_pair(&rules->document_root, "DOCUMENT_ROOT", pool->root) ||
        !read_pass(rules, &pool->pass)) {
        params_rules_free(rules);
        return NULL;
    }
    return rules;
}

void params_rules_free(struct params_rules *rules) {
    if (rules == NULL)
        return;
    for (size_t i = 0; i < rules->pass_count; i++)
        pass_name_deinit(&rules->pass[i]);
    free(rules->pass);
    free(rules->document_root.data);
    free(rules);
}

const struct pass_name *rules_find_pass(const struct params_rules *rules,
                                        const struct fcgi_pair *pair) {
    for (size_t i = 0; i < rules->pass_count; i++)
        if (is_same_name(pair->name, pair->name_length, (const uint8_t *)rules->pass[i].name,
                         rules->pass[i].length))
            return &rules->pass[i];
    return NULL;
}

/* ---- A tenant's block: its parameters ---- */

/* Four slots for each name, so that most names that are not in it meet a free one at once. */
static bool index_names(struct params_block *block, size_t count) {
    size_t size = 16;
    size_t offset = 0;
    struct fcgi_pair pair;

    while (size < count * 4)
        size *= 2;
    block->names_mask = (uint32_t)(size - 1);
    block->names = calloc(size, sizeof(*block->names));
    if (block->names == NULL)
        return false;
    while (fcgi_next_pair(block->params.data, block->params.length, &offset, &pair) == 1) {
        uint32_t hash = name_hash(pair.name, pair.name_length);
        *block_slot(block, pair.name, pair.name_length, hash) =
            (struct block_name){pair.name, pair.name_length, hash};
        block->sets_class[name_classify(pair.name, pair.name_length, &hash)] = true;
    }
    return true;
}

static bool encode_params(struct params_block *block, const struct tenant *tenant) {
    size_t size = 0;

    for (size_t i = 0; i < tenant->param_count; i++)
        size += fcgi_pair_size(strlen(tenant->params[i].name), strlen(tenant->params[i].value));
    block->params.data = malloc(size + 1);
    if (block->params.data == NULL)
        return false;
    for (size_t i = 0; i < tenant->param_count; i++)
        put_pair(&block->params, tenant->params[i].name, tenant->params[i].value);
    return index_names(block, tenant->param_count);
}

/* ---- A tenant's block: its php settings ---- */

/* PHP reads PHP_ADMIN_VALUE with its ini scanner. Between single quotes every byte but the quote
 * stands for itself, line breaks, '"', ';', '\' and "${" included, and strings that touch are
 * joined: so a quote is written as "'" in double quotes. Nothing else needs escaping and every
 * value comes back exactly. (Backslashes in double quotes do not: an escaped quote before a line
 * break ends the string. An empty pair of single quotes is not read as an empty string.) */
static char *put_quoted(char *out, const char *value) {
    if (*value == '\0')
        return stpcpy(out, "\"\"");
    while (*value != '\0') {
        size_t length = strcspn(value, "'");
        if (length > 0) {
            *out++ = '\'';
            out = mempcpy(out, value, length);
            *out++ = '\'';
        }
        value += length;
        for (; *value == '\''; value++)
            out = stpcpy(out, "\"'\"");
    }
    return out;
}

/* At most: `'x'` for one byte, `"'"` for a quote, `""` for nothing. */
static size_t quoted_size_max(const char *value) {
    return 3 * strlen(value) + 2;
}

static bool encode_php(struct params_block *block, const struct tenant *tenant,
                       const struct pool_config *pool) {
    size_t size = 1;

    if (pool->php.count == 0)
        return true;
    for (size_t i = 0; i < pool->php.count; i++) {
        const char *key = pool->php.items[i].key;
        size += strlen(key) + 2 + quoted_size_max(tenant_setting(tenant, pool, key));
    }
    block->php_text = malloc(size);
    if (block->php_text == NULL)
        return false;
    char *end = block->php_text;
    for (size_t i = 0; i < pool->php.count; i++) {
        const char *key = pool->php.items[i].key;
        end = stpcpy(stpcpy(end, key), "=");
        end = stpcpy(put_quoted(end, tenant_setting(tenant, pool, key)), "\n");
    }
    return make_pair(&block->php, "PHP_ADMIN_VALUE", block->php_text);
}

struct params_block *params_block_new(const struct tenant *tenant, const struct pool_config *pool) {
    struct params_block *block = calloc(1, sizeof(*block));

    if (block == NULL)
        return NULL;
    if (!encode_params(block, tenant) || !encode_php(block, tenant, pool)) {
        params_block_free(block);
        return NULL;
    }
    return block;
}

/* Passwords do not stay behind in freed memory. */
static void wipe_and_free(void *data, size_t length) {
    if (data != NULL)
        explicit_bzero(data, length);
    free(data);
}

void params_block_free(struct params_block *block) {
    if (block == NULL)
        return;
    wipe_and_free(block->params.data, block->params.length);
    wipe_and_free(block->php.data, block->php.length);
    if (block->php_text != NULL)
        wipe_and_free(block->php_text, strlen(block->php_text));
    free(block->names);
    free(block);
}

const char *params_block_php(const struct params_block *block) {
    return block->php_text;
}

const uint8_t *params_block_php_pair(const struct params_block *block, size_t *length) {
    *length = block->php.length;
    return block->php.data;
}
