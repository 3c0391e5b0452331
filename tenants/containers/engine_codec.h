/* What the engine's answers are made of, as pure functions without a connection: JSON objects one
 * behind the other, refusals, the head of an answer that libcurl does not read for us. */
#ifndef FPMUX_TENANTS_CONTAINERS_ENGINE_CODEC_H
#define FPMUX_TENANTS_CONTAINERS_ENGINE_CODEC_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "tenants/containers/engine.h"
#include "tenants/error.h"

/* ---- Bytes that grow up to a cap ---- */

struct engine_bytes {
    char *data; /* owned, NUL-terminated; NULL while empty */
    size_t length;
    size_t room;
    size_t cap; /* length never exceeds it */
};

/* False when the cap forbids it; then nothing was taken. */
bool engine_bytes_append(struct engine_bytes *bytes, const char *data, size_t count);
void engine_bytes_deinit(struct engine_bytes *bytes);

/* ---- JSON objects, one behind the other, cut anywhere ---- */

struct engine_objects {
    bool (*on_object)(void *context, const cJSON *object); /* borrows object; false: enough */
    void *context;
    struct engine_bytes pending; /* the beginning of an object whose end is to come */
    unsigned depth;              /* of braces and brackets at the end of pending */
    bool is_in_string;
    bool is_escaped; /* the last byte was a backslash within a string */
};

enum engine_objects_result {
    ENGINE_OBJECTS_MORE = 0,   /* on with the next bytes */
    ENGINE_OBJECTS_ENOUGH = 1, /* on_object said so; the rest is not looked at */
    ENGINE_OBJECTS_WRONG = -1  /* neither white space nor a JSON object, or one that is too long */
};

void engine_objects_init(struct engine_objects *objects,
                         bool (*on_object)(void *context, const cJSON *object), void *context);
void engine_objects_deinit(struct engine_objects *objects);

enum engine_objects_result engine_objects_feed(struct engine_objects *objects, const char *bytes,
                                               size_t count);

/* ---- Answers ---- */

/* What a status means; for all but ENGINE_OK, error becomes the engine's own words: the "message"
 * of its JSON, or the first line of any other text. */
enum engine_result engine_judge(long status, const char *body, size_t length, struct error *error);

struct engine_head {
    int status;
    size_t body_bytes; /* Content-Length; 0 when there is none */
};

/* Reads the head of an HTTP/1 answer, NUL-terminated. False when it is none. */
bool engine_head_parse(const char *text, struct engine_head *head);

#endif
