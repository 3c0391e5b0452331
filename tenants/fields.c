#include "tenants/fields.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/spelling.h"

/* ---- Errors ---- */

static void format_text(struct error *text, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void format_text(struct error *text, const char *format, va_list arguments) {
    vsnprintf(text->text, sizeof text->text, format, arguments);
}

bool fields_fail(struct field_reader *reader, const cJSON *node, const char *format, ...) {
    struct error text;
    va_list arguments;

    va_start(arguments, format);
    format_text(&text, format, arguments);
    va_end(arguments);
    json_error_at(reader->document, node, reader->error, "%s", text.text);
    return false;
}

bool fields_fail_key(struct field_reader *reader, const cJSON *node, const char *format, ...) {
    struct error text;
    va_list arguments;

    va_start(arguments, format);
    format_text(&text, format, arguments);
    va_end(arguments);
    json_error_at_key(reader->document, node, reader->error, "%s", text.text);
    return false;
}

static bool fail_memory(struct field_reader *reader) {
    error_set(reader->error, "%s: out of memory", reader->document->name);
    return false;
}

/* How a message calls node. */
static const char *name_of(const cJSON *node) {
    return node->string != NULL ? node->string : "the text";
}

static bool fail_unknown(struct field_reader *reader, const cJSON *node, const struct field *fields,
                         size_t count) {
    const char *nearest = NULL;
    size_t nearest_distance = 3; /* farther words are not what was meant */
    char known[512] = "";
    size_t used = 0;

    for (size_t index = 0; index < count; index++) {
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used > 0 ? ", " : "",
                                 fields[index].key);
        size_t distance = spelling_distance(node->string, fields[index].key);
        if (distance >= nearest_distance)
            continue;
        nearest = fields[index].key;
        nearest_distance = distance;
    }
    if (nearest != NULL)
        return fields_fail_key(reader, node, "unknown key \"%s\"; did you mean \"%s\"?",
                               node->string, nearest);
    return fields_fail_key(reader, node, "unknown key \"%s\"; known here: %s", node->string, known);
}

/* ---- Strings ---- */

bool has_control_character(const char *text) {
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

char *fields_take_string(cJSON *node) {
    char *text = node->valuestring;

    node->valuestring = NULL;
    return text;
}

char *fields_take_key(cJSON *node) {
    char *key = node->string;

    node->string = NULL;
    return key;
}

/* named is what the message calls the node: itself, or the list it is in. */
static bool check_string(struct field_reader *reader, const struct field *field, const cJSON *named,
                         const cJSON *node) {
    bool is_valid = cJSON_IsString(node) && node->valuestring[0] != '\0' &&
                    !has_control_character(node->valuestring) &&
                    (field->is_valid == NULL || field->is_valid(node->valuestring));

    if (!is_valid)
        return fields_fail(reader, node, "%s\"%s\" must be %s",
                           named == node ? "" : "each item of ", name_of(named),
                           field->rule != NULL ? field->rule : "a string of printable characters");
    return true;
}

static bool read_string(struct field_reader *reader, const struct field *field, cJSON *node,
                        void *member) {
    char **text = member;

    if (!check_string(reader, field, node, node))
        return false;
    free(*text);
    *text = fields_take_string(node);
    return true;
}

static bool read_strings(struct field_reader *reader, const struct field *field, cJSON *node,
                         void *member) {
    struct string_list *list = member;

    if (!cJSON_IsArray(node))
        return fields_fail(reader, node, "\"%s\" must be a list of strings", name_of(node));
    string_list_deinit(list);
    if (node->child == NULL)
        return true;
    list->items = calloc((size_t)cJSON_GetArraySize(node), sizeof *list->items);
    if (list->items == NULL)
        return fail_memory(reader);
    for (cJSON *item = node->child; item != NULL; item = item->next) {
        if (!check_string(reader, field, node, item))
            return false;
        list->items[list->count++] = fields_take_string(item);
    }
    return true;
}

bool fields_read_choice(struct field_reader *reader, const cJSON *node, const char *const *choices,
                        unsigned *index) {
    char known[256] = "";
    size_t used = 0;

    for (unsigned choice = 0; choices[choice] != NULL; choice++) {
        used += (size_t)snprintf(known + used, sizeof known - used, "%s\"%s\"",
                                 used > 0 ? " or " : "", choices[choice]);
        if (!cJSON_IsString(node) || strcmp(node->valuestring, choices[choice]) != 0)
            continue;
        *index = choice;
        return true;
    }
    if (node->string == NULL)
        return fields_fail(reader, node, "each item must be %s", known);
    return fields_fail(reader, node, "\"%s\" must be %s", node->string, known);
}

static bool read_choice(struct field_reader *reader, const struct field *field, cJSON *node,
                        void *member) {
    return fields_read_choice(reader, node, field->choices, member);
}

/* ---- Numbers ---- */

static bool read_bool(struct field_reader *reader, const struct field *field, cJSON *node,
                      void *member) {
    (void)field;
    if (!cJSON_IsBool(node))
        return fields_fail(reader, node, "\"%s\" must be true or false", name_of(node));
    *(bool *)member = cJSON_IsTrue(node);
    return true;
}

static bool read_uint64(struct field_reader *reader, const struct field *field, cJSON *node,
                        void *member) {
    double value = node->valuedouble;

    /* Written so that NaN fails; infinity (1e400) is above every max. */
    if (!cJSON_IsNumber(node) || !(value >= (double)field->min && value <= (double)field->max) ||
        value != floor(value))
        return fields_fail(reader, node, "\"%s\" must be a whole number from %llu to %llu",
                           name_of(node), (unsigned long long)field->min,
                           (unsigned long long)field->max);
    *(uint64_t *)member = (uint64_t)value;
    return true;
}

static bool read_unsigned(struct field_reader *reader, const struct field *field, cJSON *node,
                          void *member) {
    uint64_t value = 0;

    if (!read_uint64(reader, field, node, &value))
        return false;
    *(unsigned *)member = (unsigned)value;
    return true;
}

static bool read_seconds(struct field_reader *reader, const struct field *field, cJSON *node,
                         void *member) {
    double milliseconds = round(node->valuedouble * 1000);

    if (!cJSON_IsNumber(node) ||
        !(milliseconds >= (double)field->min && milliseconds <= (double)field->max))
        return fields_fail(reader, node, "\"%s\" must be a number of seconds from %g to %g",
                           name_of(node), (double)field->min / 1000, (double)field->max / 1000);
    *(unsigned *)member = (unsigned)milliseconds;
    return true;
}

/* ---- Settings ---- */

static int compare_settings(const void *left, const void *right) {
    const struct setting *a = left;
    const struct setting *b = right;

    return strcmp(a->key, b->key);
}

/* As PHP would read it from php.ini. Owned; NULL when there is no memory. */
static char *print_number(double value) {
    char text[64];

    snprintf(text, sizeof text,
             fabs(value) <= (double)FIELD_WHOLE_MAX && value == floor(value) ? "%.0f" : "%.15g",
             value);
    return strdup(text);
}

static bool check_setting(struct field_reader *reader, const cJSON *node, bool scalars) {
    bool is_text = cJSON_IsString(node);
    bool is_scalar = cJSON_IsBool(node) || (cJSON_IsNumber(node) && isfinite(node->valuedouble));

    if (node->string[0] == '\0' || has_control_character(node->string))
        return fields_fail_key(reader, node, "a key must not be empty nor have control characters");
    if (!is_text && !(scalars && is_scalar))
        return fields_fail(reader, node, "\"%s\" must be a string%s", node->string,
                           scalars ? ", a number, true or false" : "; put it in quotes");
    if (is_text && has_control_character(node->valuestring))
        return fields_fail(reader, node, "\"%s\" must not have control characters", node->string);
    return true;
}

static size_t settings_size(const struct settings *settings) {
    size_t size = 0;

    for (size_t index = 0; index < settings->count; index++)
        size += strlen(settings->items[index].key) + strlen(settings->items[index].value);
    return size;
}

bool fields_read_settings(struct field_reader *reader, cJSON *node, bool scalars,
                          struct settings *settings) {
    if (!cJSON_IsObject(node))
        return fields_fail(reader, node, "\"%s\" must be an object: {\"KEY\": \"VALUE\", ...}",
                           name_of(node));
    settings_deinit(settings);
    if (node->child == NULL)
        return true;
    settings->items = calloc((size_t)cJSON_GetArraySize(node), sizeof *settings->items);
    if (settings->items == NULL)
        return fail_memory(reader);
    for (cJSON *item = node->child; item != NULL; item = item->next) {
        if (!check_setting(reader, item, scalars))
            return false;
        struct setting *setting = &settings->items[settings->count];
        if (cJSON_IsString(item))
            setting->value = fields_take_string(item);
        else
            setting->value = cJSON_IsBool(item) ? strdup(cJSON_IsTrue(item) ? "1" : "0")
                                                : print_number(item->valuedouble);
        if (setting->value == NULL)
            return fail_memory(reader);
        setting->key = fields_take_key(item);
        settings->count++;
    }
    qsort(settings->items, settings->count, sizeof *settings->items, compare_settings);
    if (settings_size(settings) > SETTINGS_BYTES_MAX)
        return fields_fail(reader, node,
                           "\"%s\" must have at most %d bytes, keys and values together",
                           name_of(node), SETTINGS_BYTES_MAX);
    return true;
}

static bool read_map(struct field_reader *reader, const struct field *field, cJSON *node,
                     void *member) {
    return fields_read_settings(reader, node, field->kind == FIELD_SCALAR_MAP, member);
}

/* ---- Objects ---- */

static bool read_object(struct field_reader *reader, const struct field *field, cJSON *node,
                        void *member) {
    return fields_read(reader, node, field->fields, field->count, member);
}

static bool read_field(struct field_reader *reader, const struct field *field, cJSON *node,
                       void *target) {
    static bool (*const readers[FIELD_KINDS])(struct field_reader *, const struct field *, cJSON *,
                                              void *) = {
        [FIELD_STRING] = read_string,     [FIELD_BOOL] = read_bool,
        [FIELD_UNSIGNED] = read_unsigned, [FIELD_UINT64] = read_uint64,
        [FIELD_SECONDS] = read_seconds,   [FIELD_CHOICE] = read_choice,
        [FIELD_STRINGS] = read_strings,   [FIELD_STRING_MAP] = read_map,
        [FIELD_SCALAR_MAP] = read_map,    [FIELD_OBJECT] = read_object,
    };

    if (field->kind == FIELD_CUSTOM)
        return field->read(reader, node, target);
    return readers[field->kind](reader, field, node, (char *)target + field->offset);
}

bool fields_read(struct field_reader *reader, cJSON *object, const struct field *fields,
                 size_t count, void *target) {
    if (!cJSON_IsObject(object))
        return fields_fail(reader, object, "%s must be an object: {...}", name_of(object));
    for (cJSON *node = object->child; node != NULL; node = node->next) {
        const struct field *field = fields;
        while (field < fields + count && strcmp(field->key, node->string) != 0)
            field++;
        if (field == fields + count)
            return fail_unknown(reader, node, fields, count);
        if (!read_field(reader, field, node, target))
            return false;
    }
    return true;
}

bool fields_require(struct field_reader *reader, const cJSON *object, const char *key) {
    if (cJSON_GetObjectItemCaseSensitive(object, key) != NULL)
        return true;
    return fields_fail(reader, object, "\"%s\" is missing here", key);
}

/* ---- What fields are read into ---- */

void string_list_deinit(struct string_list *list) {
    for (size_t index = 0; index < list->count; index++)
        free(list->items[index]);
    free(list->items);
    *list = (struct string_list){0};
}

void settings_deinit(struct settings *settings) {
    for (size_t index = 0; index < settings->count; index++) {
        free(settings->items[index].key);
        free(settings->items[index].value);
    }
    free(settings->items);
    *settings = (struct settings){0};
}

const char *settings_find(const struct settings *settings, const char *key) {
    struct setting wanted = {.key = (char *)key};

    if (settings->count == 0)
        return NULL;
    struct setting *found = bsearch(&wanted, settings->items, settings->count,
                                    sizeof *settings->items, compare_settings);
    return found == NULL ? NULL : found->value;
}
