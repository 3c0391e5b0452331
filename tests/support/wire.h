/* For tests of what lies on the wire: parameters as a web server encodes them, and what was made
 * for PHP-FPM taken apart again. Independent of shim/params.c; uses the codec only to take apart.
 */
#ifndef FPMUX_TESTS_SUPPORT_WIRE_H
#define FPMUX_TESTS_SUPPORT_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shim/bytes.h"
#include "shim/fcgi.h"
#include "shim/params.h"

/* Appends one pair; aborts when the memory or the cap does not allow it. */
static inline void wire_put(struct bytes *wire, const void *name, size_t name_length,
                            const void *value, size_t value_length) {
    uint8_t *out = bytes_reserve(wire, fcgi_pair_size(name_length, value_length));

    if (out == NULL)
        abort();
    wire->length += fcgi_encode_pair(out, name, name_length, value, value_length);
}

static inline void wire_put_text(struct bytes *wire, const char *name, const char *value) {
    wire_put(wire, name, strlen(name), value, strlen(value));
}

/* Names and values by turns, ending with NULL. */
static inline void wire_put_texts(struct bytes *wire, const char *const *texts) {
    for (; texts[0] != NULL; texts += 2)
        wire_put_text(wire, texts[0], texts[1]);
}

/* The pairs of a stream of PARAMS records. */
struct wire_pairs {
    struct bytes content; /* of all records */
    struct fcgi_pair *items;
    size_t count;
    size_t records; /* with content */
};

static inline void wire_pairs_deinit(struct wire_pairs *pairs) {
    bytes_deinit(&pairs->content);
    free(pairs->items);
    pairs->items = NULL;
}

/* Whether pairs stand whole in one record's content. */
static inline bool wire_is_whole(const uint8_t *content, size_t length) {
    struct fcgi_pair pair;
    size_t offset = 0;
    int outcome;

    while ((outcome = fcgi_next_pair(content, length, &offset, &pair)) == 1)
        ;
    return outcome == 0;
}

static inline bool wire_split(struct wire_pairs *pairs) {
    struct fcgi_pair pair;
    size_t offset = 0;

    pairs->items = calloc(pairs->content.length + 1, sizeof(*pairs->items));
    if (pairs->items == NULL)
        abort();
    while (fcgi_next_pair(pairs->content.data, pairs->content.length, &offset, &pair) == 1)
        pairs->items[pairs->count++] = pair;
    return offset == pairs->content.length;
}

/* Takes data apart as strictly as PHP-FPM does. false unless it is PARAMS records with this id,
 * without padding, with whole pairs, at most FCGI_CONTENT_MAX bytes each, and exactly one empty one
 * at the end. Read byte by byte here, not by the decoder that is under test elsewhere. */
static inline bool wire_read(const uint8_t *data, size_t length, uint16_t request_id,
                             struct wire_pairs *pairs) {
    size_t at = 0;

    *pairs = (struct wire_pairs){0};
    bytes_init(&pairs->content, length);
    while (length - at >= FCGI_HEADER_LEN) {
        const uint8_t *header = data + at;
        size_t content = (size_t)header[4] << 8 | header[5];
        if (header[0] != 1 || header[1] != FCGI_PARAMS ||
            (header[2] << 8 | header[3]) != request_id || header[6] != 0 || header[7] != 0)
            return false;
        at += FCGI_HEADER_LEN;
        if (content == 0)
            return at == length && wire_split(pairs);
        if (content > FCGI_CONTENT_MAX || content > length - at ||
            !wire_is_whole(data + at, content) ||
            !bytes_append(&pairs->content, data + at, content))
            return false;
        at += content;
        pairs->records++;
    }
    return false;
}

static inline bool wire_is_text(const uint8_t *data, size_t length, const char *text) {
    return length == strlen(text) && (length == 0 || memcmp(data, text, length) == 0);
}

static inline bool wire_is_named(const struct fcgi_pair *pair, const char *name) {
    return wire_is_text(pair->name, pair->name_length, name);
}

static inline size_t wire_count(const struct wire_pairs *pairs, const char *name) {
    size_t count = 0;

    for (size_t i = 0; i < pairs->count; i++)
        count += wire_is_named(&pairs->items[i], name);
    return count;
}

/* The first with this name, or NULL. */
static inline const struct fcgi_pair *wire_find(const struct wire_pairs *pairs, const char *name) {
    for (size_t i = 0; i < pairs->count; i++)
        if (wire_is_named(&pairs->items[i], name))
            return &pairs->items[i];
    return NULL;
}

static inline bool wire_is_value(const struct fcgi_pair *pair, const char *value) {
    return pair != NULL && wire_is_text(pair->value, pair->value_length, value);
}

#endif
