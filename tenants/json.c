#include "tenants/json.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/file.h"

/* ---- Where something stands ---- */

static void set_error_at(const struct json_document *document, const char *at, struct error *error,
                         const char *format, va_list arguments)
    __attribute__((format(printf, 4, 0)));

static void set_error_at(const struct json_document *document, const char *at, struct error *error,
                         const char *format, va_list arguments) {
    char text[sizeof error->text];
    const char *line_start = document->text;
    size_t line = 1;

    for (const char *byte = document->text; byte < at; byte++) {
        if (*byte != '\n')
            continue;
        line++;
        line_start = byte + 1;
    }
    vsnprintf(text, sizeof text, format, arguments);
    error_set(error, "%s:%zu:%zu: %s", document->name, line, (size_t)(at - line_start) + 1, text);
}

/* Always false, so that a check can return it. */
static bool fail_at(const struct json_document *document, const char *at, struct error *error,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

static bool fail_at(const struct json_document *document, const char *at, struct error *error,
                    const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    set_error_at(document, at, error, format, arguments);
    va_end(arguments);
    return false;
}

static const char *skip_space(const char *at) {
    return at + strspn(at, " \t\r\n");
}

static const char *skip_string(const char *at) {
    for (at++; *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at + 1;
}

static size_t scalar_length(const char *at) {
    return strcspn(at, " \t\r\n,]}");
}

struct search {
    const cJSON *wanted;
    const char *key;   /* found: where its key stands, or NULL in an array and at the root */
    const char *value; /* found: where its value stands; NULL until then */
};

/* Walks over node, whose text begins at or after `at`; returns where its text ends. The text is
 * known to be valid JSON, so its punctuation needs no looking at. */
static const char *locate(struct search *search, const cJSON *node, const char *key,
                          const char *at) {
    at = skip_space(at);
    if (node == search->wanted) {
        search->key = key;
        search->value = at;
        return at;
    }
    if (cJSON_IsString(node))
        return skip_string(at);
    if (!cJSON_IsObject(node) && !cJSON_IsArray(node))
        return at + scalar_length(at);
    at = skip_space(at + 1);
    for (const cJSON *child = node->child; child != NULL; child = child->next) {
        const char *child_key = NULL;
        at = skip_space(at);
        if (cJSON_IsObject(node)) {
            child_key = at;
            at = skip_space(skip_string(at)) + 1;
        }
        at = locate(search, child, child_key, at);
        if (search->value != NULL)
            return at;
        at = skip_space(at);
        if (*at == ',')
            at++;
    }
    return at + 1;
}

void json_error_at(const struct json_document *document, const cJSON *node, struct error *error,
                   const char *format, ...) {
    struct search search = {.wanted = node};
    va_list arguments;

    locate(&search, document->root, NULL, document->text);
    va_start(arguments, format);
    set_error_at(document, search.value, error, format, arguments);
    va_end(arguments);
}

void json_error_at_key(const struct json_document *document, const cJSON *node, struct error *error,
                       const char *format, ...) {
    struct search search = {.wanted = node};
    va_list arguments;

    locate(&search, document->root, NULL, document->text);
    va_start(arguments, format);
    set_error_at(document, search.key != NULL ? search.key : search.value, error, format,
                 arguments);
    va_end(arguments);
}

const char *json_scalar_text(const struct json_document *document, const cJSON *node,
                             size_t *length) {
    struct search search = {.wanted = node};

    locate(&search, document->root, NULL, document->text);
    *length = search.value != NULL ? scalar_length(search.value) : 0;
    return search.value;
}

/* ---- What cJSON does not look at ---- */

/* How many bytes the UTF-8 sequence at `at` has (RFC 3629), 0 when it is none. The text's final
 * NUL stops every comparison in time. */
static size_t utf8_length(const char *at) {
    const unsigned char *byte = (const unsigned char *)at;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;

    if (byte[0] < 0x80)
        return 1;
    if (byte[0] < 0xc2 || byte[0] > 0xf4)
        return 0;
    if (byte[0] == 0xe0)
        low = 0xa0; /* below: overlong */
    if (byte[0] == 0xed)
        high = 0x9f; /* above: surrogates */
    if (byte[0] == 0xf0)
        low = 0x90; /* below: overlong */
    if (byte[0] == 0xf4)
        high = 0x8f; /* above: past U+10FFFF */
    if (byte[1] < low || byte[1] > high)
        return 0;
    size_t length = byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;
    for (size_t index = 2; index < length; index++)
        if ((byte[index] & 0xc0) != 0x80)
            return 0;
    return length;
}

static bool check_encoding(const struct json_document *document, struct error *error) {
    const char *end = document->text + document->length;

    for (const char *at = document->text; at < end;) {
        size_t length = utf8_length(at);
        if (length == 0)
            return fail_at(document, at, error, "this byte is not UTF-8: 0x%02x",
                           (unsigned)(unsigned char)*at);
        if (*at == '\0')
            return fail_at(document, at, error, "a NUL byte");
        at += length;
    }
    return true;
}

/* cJSON takes \uXYZW with anything but hex digits for U+0000, and U+0000 for the end of the
 * string: the value would be cut without an error. */
static bool check_unicode_escape(const struct json_document *document, const char *at,
                                 struct error *error) {
    for (int digit = 2; digit < 6; digit++)
        if (!isxdigit((unsigned char)at[digit]))
            return fail_at(document, at, error, "\\u must be followed by four hex digits");
    if (strncmp(at + 2, "0000", 4) == 0)
        return fail_at(document, at, error, "\\u0000 (NUL) can't be in a string");
    return true;
}

/* Moves *at from a string's opening quote to behind its closing one. */
static bool check_string(const struct json_document *document, char **at, struct error *error) {
    const char *start = *at;
    const char *end = document->text + document->length;
    const char *byte = start + 1;

    while (byte < end && *byte != '"') {
        if (*byte == '\n')
            return fail_at(document, byte, error,
                           "a line ends inside a string; is its closing quote missing?");
        if ((unsigned char)*byte < 0x20)
            return fail_at(document, byte, error,
                           "a control character in a string; write it as \\u%04x",
                           (unsigned)(unsigned char)*byte);
        if (*byte != '\\') {
            byte++;
            continue;
        }
        if (byte[1] == 'u' && !check_unicode_escape(document, byte, error))
            return false;
        byte += byte[1] == '\0' ? 1 : 2;
    }
    if (byte >= end)
        return fail_at(document, start, error, "this string has no closing quote");
    *at = (char *)byte + 1;
    return true;
}

/* Moves *at from the slash behind the comment. */
static bool blank_comment(const struct json_document *document, char **at, struct error *error) {
    char *start = *at;
    char *end;

    if (start[1] == '/') {
        end = start + strcspn(start, "\n");
    } else if (start[1] == '*') {
        char *close = strstr(start + 2, "*/");
        if (close == NULL)
            return fail_at(document, start, error, "this comment has no end: */ is missing");
        end = close + 2;
    } else {
        return fail_at(document, start, error, "unexpected /; comments are // and /* */");
    }
    for (char *byte = start; byte < end; byte++)
        if (*byte != '\n')
            *byte = ' ';
    *at = end;
    return true;
}

/* Makes plain JSON of the text, or says where it can't be any. */
static bool prepare(struct json_document *document, struct error *error) {
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    char *end = document->text + document->length;

    if (!check_encoding(document, error))
        return false;
    if (strncmp(document->text, byte_order_mark, 3) == 0)
        memset(document->text, ' ', 3);
    for (char *at = document->text; at < end;) {
        if (*at == '"') {
            if (!check_string(document, &at, error))
                return false;
        } else if (*at == '/') {
            if (!blank_comment(document, &at, error))
                return false;
        } else if (isprint((unsigned char)*at) || strchr("\t\r\n", *at) != NULL) {
            at++;
        } else {
            return fail_at(document, at, error, "unexpected byte 0x%02x outside of a string",
                           (unsigned)(unsigned char)*at);
        }
    }
    return true;
}

/* ---- Keys that stand twice ---- */

enum { FEW_MEMBERS = 32 };

struct keyed_member {
    const char *key;
    const cJSON *member;
};

static int compare_keys(const void *left, const void *right) {
    const struct keyed_member *a = left;
    const struct keyed_member *b = right;

    return strcmp(a->key, b->key);
}

/* A member whose key an earlier one has, too. */
static const cJSON *find_twin_among_few(const cJSON *object) {
    for (const cJSON *member = object->child; member != NULL; member = member->next)
        for (const cJSON *other = object->child; other != member; other = other->next)
            if (strcmp(member->string, other->string) == 0)
                return member;
    return NULL;
}

/* An import file is one object with a member for each of thousands of organisations: sort. */
static const cJSON *find_twin_among_many(const cJSON *object, size_t count) {
    struct keyed_member *members = calloc(count, sizeof *members);
    const cJSON *twin = NULL;
    size_t used = 0;

    if (members == NULL)
        return object->child; /* out of memory must not let a twin pass */
    for (const cJSON *member = object->child; member != NULL; member = member->next)
        members[used++] = (struct keyed_member){.key = member->string, .member = member};
    qsort(members, used, sizeof *members, compare_keys);
    for (size_t index = 1; index < used && twin == NULL; index++)
        if (compare_keys(&members[index - 1], &members[index]) == 0)
            twin = members[index].member;
    free(members);
    return twin;
}

static const cJSON *find_twin(const cJSON *node) {
    const cJSON *twin = NULL;

    if (cJSON_IsObject(node)) {
        size_t count = (size_t)cJSON_GetArraySize(node);
        twin = count <= FEW_MEMBERS ? find_twin_among_few(node) : find_twin_among_many(node, count);
    }
    for (const cJSON *child = node->child; child != NULL && twin == NULL; child = child->next)
        twin = find_twin(child);
    return twin;
}

/* ---- Parsing ---- */

/* Where cJSON stopped, but for one case: what stands in the place of a key without being a string
 * is reported one byte late. It is known by what is open there, and by the { or comma before it. */
static const char *find_culprit(const char *text, const char *stop) {
    char open[CJSON_NESTING_LIMIT + 1];
    size_t depth = 0;
    char before = '\0';
    const char *at = skip_space(text);

    while (at + 1 < stop) {
        before = *at;
        if ((*at == '{' || *at == '[') && depth < sizeof open)
            open[depth++] = *at;
        else if ((*at == '}' || *at == ']') && depth > 0)
            depth--;
        at = skip_space(*at == '"' ? skip_string(at) : at + 1);
    }
    bool is_key_place = depth > 0 && open[depth - 1] == '{' && (before == '{' || before == ',');
    return at + 1 == stop && is_key_place && *at != '"' ? at : skip_space(stop);
}

static bool fail_syntax(const struct json_document *document, const char *at, struct error *error) {
    if (*at == '\\')
        return fail_at(document, at, error, "JSON has no such escape in a string");
    if (*at == '\0')
        return fail_at(document, at, error, "the text ends too early; is a } or ] missing?");
    if (*at == '}' || *at == ']')
        return fail_at(document, at, error, "unexpected %c; is there a comma too many?", *at);
    if (*at == '"')
        return fail_at(document, at, error, "unexpected string; is a comma or colon missing?");
    if (*at == '{' || *at == '[')
        return fail_at(document, at, error,
                       "unexpected %c; is a comma missing, or is it nested "
                       "too deeply?",
                       *at);
    return fail_at(document, at, error, "unexpected %c; this is not JSON", *at);
}

/* Takes text, whatever comes of it. */
static bool parse_owned(struct json_document *document, const char *name, char *text, size_t length,
                        struct error *error) {
    const char *end = text;

    *document = (struct json_document){.name = name, .text = text, .length = length};
    if (!prepare(document, error)) {
        json_deinit(document);
        return false;
    }
    /* With the final NUL, which then must be what comes after the value. */
    document->root = cJSON_ParseWithLengthOpts(text, length + 1, &end, true);
    const cJSON *twin = document->root == NULL ? NULL : find_twin(document->root);
    if (document->root == NULL)
        fail_syntax(document, find_culprit(text, end), error);
    else if (twin != NULL)
        json_error_at_key(document, twin, error, "key \"%s\" stands twice", twin->string);
    else
        return true;
    json_deinit(document);
    return false;
}

bool json_load(struct json_document *document, const char *path, size_t cap_bytes,
               struct error *error) {
    size_t length;
    char *text = file_read(path, cap_bytes, &length, NULL, error);

    return text != NULL && parse_owned(document, path, text, length, error);
}

bool json_parse(struct json_document *document, const char *name, const char *text, size_t length,
                struct error *error) {
    char *copy = malloc(length + 1);

    if (copy == NULL) {
        error_set(error, "%s: out of memory", name);
        return false;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    return parse_owned(document, name, copy, length, error);
}

void json_deinit(struct json_document *document) {
    cJSON_Delete(document->root);
    free(document->text);
    *document = (struct json_document){0};
}
