#include "shim/params.h"

#include <string.h>

#include "shim/param_name.h"
#include "shim/params_block.h"
#include "shim/script.h"

/* ---- Decoding ---- */

/* Finds NULs in names and values without a search in each of them: the next zero byte of the whole
 * block is remembered until the pairs have come past it. Zero bytes between two pairs are lengths.
 */
struct nul_search {
    const uint8_t *next; /* the first zero byte at or behind what was asked for last */
    const uint8_t *end;
};

static bool has_nul(struct nul_search *search, const uint8_t *start, size_t length) {
    if (search->next < start) {
        search->next = memchr(start, 0, (size_t)(search->end - start));
        if (search->next == NULL)
            search->next = search->end;
    }
    return search->next < start + length;
}

struct refusal params_decode(const uint8_t *data, size_t length, struct params *params) {
    struct nul_search search = {data, data + length};
    size_t offset = 0;
    int outcome = 0;

    memset(params->known, 0, sizeof(params->known));
    params->count = 0;
    params->data = data;
    params->length = length;
    if (length == 0) /* data may be NULL */
        return (struct refusal){0};
    while (params->count < PARAMS_PAIRS_MAX) {
        struct fcgi_pair *pair = &params->pairs[params->count];
        outcome = fcgi_next_pair(data, length, &offset, pair);
        if (outcome != 1)
            break;
        /* The value follows the name. */
        if (has_nul(&search, pair->name, (size_t)pair->name_length + pair->value_length))
            return (struct refusal){400, "NUL in a parameter"};
        uint8_t class =
            name_classify(pair->name, pair->name_length, &params->hashes[params->count]);
        if (class < PARAM_COUNT)
            params->known[class] = pair;
        params->classes[params->count++] = class;
    }
    if (outcome < 0)
        return (struct refusal){400, "malformed parameters"};
    if (offset < length)
        return (struct refusal){431, "too many parameters"};
    return (struct refusal){0};
}

/* ---- Choosing ---- */

/* Sizes of the table of names: at most half full. */
enum { TABLE_SIZE_MIN = 64, TABLE_SIZE_MAX = 2 * PARAMS_PAIRS_MAX };

/* What is sent on: in the order in which the names came first, with the value that came last, which
 * is what PHP-FPM does with duplicates. Pairs are named by their index in struct params. */
struct selection {
    const struct params *params;
    uint16_t pairs[PARAMS_PAIRS_MAX];
    size_t count;
    /* Where a name stands: index in pairs + 1; 0: nowhere. Well-known names have their own place.
     */
    uint16_t known[NAME_CLASS_COUNT];
    uint16_t table[TABLE_SIZE_MAX];
    uint32_t table_mask;
};

static void selection_init(struct selection *selection, const struct params *params) {
    size_t size = TABLE_SIZE_MIN;

    while (size < 2 * params->count)
        size *= 2;
    memset(selection->known, 0, sizeof(selection->known));
    memset(selection->table, 0, size * sizeof(selection->table[0]));
    selection->table_mask = (uint32_t)(size - 1);
    selection->params = params;
    selection->count = 0;
}

static bool is_duplicate(const struct params *params, size_t a, size_t b) {
    const struct fcgi_pair *pairs = params->pairs;

    return params->hashes[a] == params->hashes[b] &&
           is_same_name(pairs[a].name, pairs[a].name_length, pairs[b].name, pairs[b].name_length);
}

/* The place in table for the pair of this index: free, or taken by the same name. */
static uint16_t *find_place(struct selection *selection, size_t index) {
    const struct params *params = selection->params;
    uint32_t at = params->hashes[index] & selection->table_mask;

    while (selection->table[at] != 0 &&
           !is_duplicate(params, selection->pairs[selection->table[at] - 1], index))
        at = (at + 1) & selection->table_mask;
    return &selection->table[at];
}

static void selection_put(struct selection *selection, uint16_t *place, size_t index) {
    if (*place == 0)
        *place = (uint16_t)++selection->count;
    selection->pairs[*place - 1] = (uint16_t)index;
}

static bool block_sets_name(const struct params_block *block, const uint8_t *name, size_t length) {
    return block_sets(block, name, length, name_hash(name, length));
}

/* Whether `pass` lists it and PHP would not make one of the tenant's own names of it. */
static bool is_let_through(const struct fcgi_pair *pair, const struct params_request *request) {
    const struct pass_name *pass = rules_find_pass(request->rules, pair);

    return pass != NULL && !block_sets_name(request->block, pass->cut, pass->cut_length) &&
           !block_sets_name(request->block, pass->underscored, pass->underscored_length);
}

/* A name that has no number. */
static void select_other(const struct params *params, const struct params_request *request,
                         struct selection *selection, size_t index) {
    const struct fcgi_pair *pair = &params->pairs[index];

    if (params->classes[index] == NAME_ODD && !is_let_through(pair, request))
        return;
    if (!block_sets(request->block, pair->name, pair->name_length, params->hashes[index]))
        selection_put(selection, find_place(selection, index), index);
}

static void select_pairs(const struct params *params, const struct params_request *request,
                         struct selection *selection) {
    selection_init(selection, params);
    for (size_t i = 0; i < params->count; i++) {
        uint8_t class = params->classes[i];
        if (class == NAME_PLAIN || class == NAME_ODD)
            select_other(params, request, selection, i);
        else if (name_class_passes[class] && !request->block->sets_class[class])
            selection_put(selection, &selection->known[class], i);
    }
}

/* ---- Writing records ---- */

/* Writes into room that was reserved before; a record's header is written when it is full. */
struct writer {
    uint8_t *record;
    uint8_t *end;
    uint16_t request_id;
    bool is_too_long; /* a pair did not fit into a record */
};

static size_t content_length(const struct writer *writer) {
    return (size_t)(writer->end - writer->record) - FCGI_HEADER_LEN;
}

static void finish_record(struct writer *writer) {
    fcgi_encode_header(writer->record, FCGI_PARAMS, writer->request_id,
                       (uint16_t)content_length(writer));
    writer->record = writer->end;
    writer->end += FCGI_HEADER_LEN;
}

/* Pairs must not span records: PHP-FPM closes the connection. */
static bool make_way(struct writer *writer, size_t size) {
    if (size > FCGI_CONTENT_MAX) {
        writer->is_too_long = true;
        return false;
    }
    if (content_length(writer) + size > FCGI_CONTENT_MAX)
        finish_record(writer);
    return true;
}

static void write_pair(struct writer *writer, const char *name, size_t name_length,
                       const char *value, size_t value_length) {
    if (make_way(writer, fcgi_pair_size(name_length, value_length)))
        writer->end += fcgi_encode_pair(writer->end, name, name_length, value, value_length);
}

/* Pairs that are encoded already; in one piece, unless they are more than a record holds. */
static void write_encoded(struct writer *writer, const uint8_t *data, size_t length) {
    size_t end = 0;
    struct fcgi_pair pair;

    if (length == 0) /* data may be NULL */
        return;
    if (length <= FCGI_CONTENT_MAX) {
        make_way(writer, length);
        writer->end = mempcpy(writer->end, data, length);
        return;
    }
    for (size_t start = 0; fcgi_next_pair(data, length, &end, &pair) == 1; start = end)
        if (make_way(writer, end - start))
            writer->end = mempcpy(writer->end, data + start, end - start);
}

static void write_pairs(struct writer *writer, const struct pairs *pairs) {
    write_encoded(writer, pairs->data, pairs->length);
}

static const uint8_t *pair_start(const struct params *params, size_t index) {
    if (index == 0)
        return params->data;
    const struct fcgi_pair *before = &params->pairs[index - 1];
    return before->value + before->value_length;
}

/* What survived is encoded already, and decoding has shown that it is whole: pairs that were
 * neighbours are copied together. */
static void write_selection(struct writer *writer, const struct selection *selection) {
    const struct params *params = selection->params;
    size_t next = 0;

    while (next < selection->count) {
        size_t first = selection->pairs[next];
        size_t end = first + 1;
        for (next++; next < selection->count && selection->pairs[next] == end; next++)
            end++;
        const uint8_t *start = pair_start(params, first);
        write_encoded(writer, start, (size_t)(pair_start(params, end) - start));
    }
}

/* The last record with content, if there is one, and the empty one that ends them. */
static void finish_records(struct writer *writer) {
    if (content_length(writer) > 0)
        finish_record(writer);
    finish_record(writer);
    writer->end -= FCGI_HEADER_LEN; /* of a record that does not come */
}

/* ---- Building ---- */

enum { NUMBER_MAX = 20 }; /* digits of a uint64_t */

static size_t format_number(uint64_t number, char *out) {
    char digits[NUMBER_MAX];
    size_t count = 0;

    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (size_t i = 0; i < count; i++)
        out[i] = digits[count - 1 - i];
    return count;
}

static bool is_sent(const struct params *params, enum param param) {
    return params->known[param] != NULL && params->known[param]->value_length > 0;
}

/* Whether the text is the number, in digits only; leading zeros are allowed. */
static bool is_number(const struct fcgi_pair *pair, uint64_t number) {
    uint64_t value = 0;

    for (uint32_t i = 0; i < pair->value_length; i++) {
        uint8_t digit = (uint8_t)(pair->value[i] - '0');
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    return value == number;
}

static struct refusal check_request(const struct params *params,
                                    const struct params_request *request) {
    if (!is_sent(params, PARAM_REQUEST_METHOD))
        return (struct refusal){400, "no REQUEST_METHOD"};
    if (!is_sent(params, PARAM_SCRIPT_FILENAME))
        return (struct refusal){400, "no SCRIPT_FILENAME"};
    if (request->body_length > request->body_cap)
        return (struct refusal){413, "body too large"};
    /* nginx sends an empty one for a request without a body. */
    if (is_sent(params, PARAM_CONTENT_LENGTH) &&
        !is_number(params->known[PARAM_CONTENT_LENGTH], request->body_length))
        return (struct refusal){400, "CONTENT_LENGTH is not the length of the body"};
    return (struct refusal){0};
}

static const char proxy_prefix[] = "proxy:fcgi://localhost";
enum { PROXY_PREFIX_LENGTH = sizeof(proxy_prefix) - 1 };

/* With a plain path, PHP-FPM takes a REDIRECT_URL for that of mod_fastcgi and drops PATH_INFO; with
 * the prefix of mod_proxy_fcgi it does not. Apache's rewriting to /index.php/... sends both. Behind
 * the prefix PHP-FPM cuts from a '?' on, so a path that has one must stay plain. */
static bool needs_proxy_prefix(const struct params *params, const struct script *script) {
    return script->path_info_length > 0 && is_sent(params, PARAM_REDIRECT_URL) &&
           memchr(script->filename, '?', script->filename_length) == NULL;
}

static void write_filename(struct writer *writer, const struct params *params,
                           const struct script *script) {
    char prefixed[PROXY_PREFIX_LENGTH + SCRIPT_PATH_MAX];

    if (!needs_proxy_prefix(params, script)) {
        write_pair(writer, "SCRIPT_FILENAME", 15, script->filename, script->filename_length);
        return;
    }
    memcpy(prefixed, proxy_prefix, PROXY_PREFIX_LENGTH);
    memcpy(prefixed + PROXY_PREFIX_LENGTH, script->filename, script->filename_length);
    write_pair(writer, "SCRIPT_FILENAME", 15, prefixed,
               PROXY_PREFIX_LENGTH + script->filename_length);
}

static void write_script(struct writer *writer, const struct params *params,
                         const struct script *script) {
    write_filename(writer, params, script);
    write_pair(writer, "SCRIPT_NAME", 11, script->name, script->name_length);
    if (script->path_info_length > 0)
        write_pair(writer, "PATH_INFO", 9, script->path_info, script->path_info_length);
}

/* Apache sends no CONTENT_LENGTH for chunked bodies above 16 kB, and PHP reads no byte more than it
 * says. Without a body it is left out as the web server left it out. */
static void write_content_length(struct writer *writer, const struct params *params,
                                 uint64_t body_length) {
    char digits[NUMBER_MAX];

    if (body_length > 0 || is_sent(params, PARAM_CONTENT_LENGTH))
        write_pair(writer, "CONTENT_LENGTH", 14, digits, format_number(body_length, digits));
}

/* Never less than what is written. Of two records one after the other, what the second begins with
 * did not fit into the first, so both together hold more than one record can. */
static size_t room_for(const struct params *params, const struct params_request *request,
                       const struct script *script) {
    enum {
        SCRIPT_PAIRS = 15 + 11 + 9 + 3 * 8 + PROXY_PREFIX_LENGTH,
        CONTENT_LENGTH_PAIR = 14 + 8 + NUMBER_MAX
    };
    size_t content = params->length + request->rules->document_root.length + SCRIPT_PAIRS +
                     script->filename_length + script->name_length + script->path_info_length +
                     CONTENT_LENGTH_PAIR + request->block->params.length +
                     request->block->php.length;
    size_t records = 2 * (content / FCGI_CONTENT_MAX + 1) + 2;

    return content + records * FCGI_HEADER_LEN;
}

struct refusal params_build(const struct params *params, const struct params_request *request,
                            struct bytes *out) {
    struct selection selection;
    struct script script;
    struct refusal refusal = check_request(params, request);

    if (refusal.status == 0)
        refusal = script_resolve(params, request->rules->pool, &script);
    if (refusal.status != 0)
        return refusal;
    uint8_t *start = bytes_reserve(out, room_for(params, request, &script));
    if (start == NULL)
        return (struct refusal){431, "parameters too large"};

    struct writer writer = {start, start + FCGI_HEADER_LEN, request->request_id, false};
    select_pairs(params, request, &selection);
    write_selection(&writer, &selection);
    write_pairs(&writer, &request->rules->document_root);
    write_script(&writer, params, &script);
    write_content_length(&writer, params, request->body_length);
    write_pairs(&writer, &request->block->params);
    if (request->with_php)
        write_pairs(&writer, &request->block->php);
    finish_records(&writer);
    if (writer.is_too_long)
        return (struct refusal){431, "a parameter is longer than a FastCGI record"};
    out->length += (size_t)(writer.end - start);
    return (struct refusal){0};
}
