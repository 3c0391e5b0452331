/* Reading JSON objects into typed structs through tables: one row says a key's name, its kind, its
 * range and where its value goes. Strict: an unknown key, a wrong type, a value out of range are
 * errors that say where (file:line:column) and what would be right.
 *
 * Strings are taken out of the cJSON tree instead of being copied: cJSON allocates with malloc() as
 * long as nobody calls cJSON_InitHooks(), and a registry of 100,000 files is read in a blink. A
 * member that is set twice (defaults, then the file) frees what it held before.
 *
 * All functions return false with the reader's error set. */
#ifndef FPMUX_TENANTS_FIELDS_H
#define FPMUX_TENANTS_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenants/config.h"
#include "tenants/error.h"
#include "tenants/json.h"

/* Whole numbers travel as double in cJSON; above 2^53 neighbours become one. */
#define FIELD_WHOLE_MAX UINT64_C(9007199254740991)

struct field_reader {
    const struct json_document *document;
    const void *context; /* for the custom readers of one table */
    struct error *error;
};

enum field_kind {
    FIELD_STRING,     /* char *: not empty, no control characters */
    FIELD_BOOL,       /* bool */
    FIELD_UNSIGNED,   /* unsigned: a whole number from min to max */
    FIELD_UINT64,     /* uint64_t: the same */
    FIELD_SECONDS,    /* unsigned, in ms: seconds, maybe with a fraction; min and max in ms */
    FIELD_CHOICE,     /* an enum: index into choices */
    FIELD_STRINGS,    /* struct string_list; each like FIELD_STRING */
    FIELD_STRING_MAP, /* struct settings: an object of strings */
    FIELD_SCALAR_MAP, /* struct settings: an object of strings, numbers and booleans ("1", "0") */
    FIELD_OBJECT,     /* a struct: an object with the rows `fields` */
    FIELD_CUSTOM,     /* the function `read`, which gets the whole struct */
    FIELD_KINDS
};

struct field {
    const char *key;
    enum field_kind kind;
    size_t offset;
    uint64_t min;
    uint64_t max;
    bool (*is_valid)(const char *text); /* FIELD_STRING(S): NULL, or what a string must satisfy … */
    const char *rule;                   /* … in words, after "must be" */
    const char *const *choices;         /* FIELD_CHOICE, NULL at the end */
    const struct field *fields;         /* FIELD_OBJECT */
    size_t count;
    bool (*read)(struct field_reader *reader, cJSON *node, void *target);
};

#define FIELD_COUNT(table) (sizeof(table) / sizeof *(table))

/* Reads object into target. */
bool fields_read(struct field_reader *reader, cJSON *object, const struct field *fields,
                 size_t count, void *target);

/* Whether object has that key. */
bool fields_require(struct field_reader *reader, const cJSON *object, const char *key);

/* ---- For custom readers ---- */

/* Sets the error at node's value / at its key; always false. */
bool fields_fail(struct field_reader *reader, const cJSON *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool fields_fail_key(struct field_reader *reader, const cJSON *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The index of node's string in choices (NULL at the end). */
bool fields_read_choice(struct field_reader *reader, const cJSON *node, const char *const *choices,
                        unsigned *index);

/* Of a struct settings: a pool's `php` and a tenant's, escaped, must fit one FastCGI record of
 * 65535 bytes. Escaping takes up to three bytes for one of a value, and up to four more for a key.
 */
enum { SETTINGS_BYTES_MAX = 8000 };

/* An object of strings, or of scalars. Replaces *settings. Takes the keys out of the tree. */
bool fields_read_settings(struct field_reader *reader, cJSON *node, bool scalars,
                          struct settings *settings);

/* The string, or the key, of a node: from now on the caller's to free. */
char *fields_take_string(cJSON *node);
char *fields_take_key(cJSON *node);

/* ---- What fields are read into ---- */

void string_list_deinit(struct string_list *list);
void settings_deinit(struct settings *settings);

/* The value of key, or NULL. Borrowed. */
const char *settings_find(const struct settings *settings, const char *key);

bool has_control_character(const char *text);

#endif
