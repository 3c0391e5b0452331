/* A JSON text with comments, read strictly, that remembers where everything stands.
 *
 * cJSON parses; what it lets pass is refused here before (invalid UTF-8, control characters, NUL
 * in a string) or after (keys that stand twice). Comments, // and slash-star, are blanked out in
 * place, so that every byte keeps its line and column. Positions cost nothing until an error is
 * reported: then text and tree are walked side by side until the node is reached.
 *
 * Messages are "NAME:LINE:COLUMN: what is wrong", both counted from 1, columns in bytes. */
#ifndef FPMUX_TENANTS_JSON_H
#define FPMUX_TENANTS_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "tenants/error.h"

struct json_document {
    const char *name; /* what messages call it, usually its path; borrowed for the lifetime */
    char *text;       /* owned, NUL-terminated, comments blanked out */
    size_t length;
    cJSON *root; /* owned */
};

/* Reads the regular file at path, of at most cap_bytes. On failure there is nothing to free. */
bool json_load(struct json_document *document, const char *path, size_t cap_bytes,
               struct error *error);

/* The same from memory; text is copied. */
bool json_parse(struct json_document *document, const char *name, const char *text, size_t length,
                struct error *error);

void json_deinit(struct json_document *document);

/* The text of a number, true, false or null of document's tree as it stands there, digit by digit.
 * Borrowed from document. */
const char *json_scalar_text(const struct json_document *document, const cJSON *node,
                             size_t *length);

/* Sets error to the text, with the position of node's value / of the key it stands under (of its
 * value when it has none) in front. node belongs to document's tree. */
void json_error_at(const struct json_document *document, const cJSON *node, struct error *error,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
void json_error_at_key(const struct json_document *document, const cJSON *node, struct error *error,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
