#include "tenants/containers/engine_codec.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    OBJECT_BYTES_MAX = 4 << 20, /* events and lines of progress are far shorter */
    FIRST_ROOM_BYTES = 4096
};

/* ---- Bytes that grow up to a cap ---- */

bool engine_bytes_append(struct engine_bytes *bytes, const char *data, size_t count) {
    if (count > bytes->cap - bytes->length)
        return false;
    if (bytes->data == NULL || count >= bytes->room - bytes->length) {
        size_t room = bytes->room > 0 ? bytes->room : FIRST_ROOM_BYTES;
        while (room <= bytes->length + count)
            room *= 2;
        char *grown = realloc(bytes->data, room);
        if (grown == NULL)
            abort();
        bytes->data = grown;
        bytes->room = room;
    }
    memcpy(bytes->data + bytes->length, data, count);
    bytes->length += count;
    bytes->data[bytes->length] = '\0';
    return true;
}

void engine_bytes_deinit(struct engine_bytes *bytes) {
    free(bytes->data);
    *bytes = (struct engine_bytes){.cap = bytes->cap};
}

/* ---- JSON objects, one behind the other, cut anywhere ---- */

void engine_objects_init(struct engine_objects *objects,
                         bool (*on_object)(void *context, const cJSON *object), void *context) {
    *objects = (struct engine_objects){
        .on_object = on_object, .context = context, .pending = {.cap = OBJECT_BYTES_MAX}};
}

void engine_objects_deinit(struct engine_objects *objects) {
    engine_bytes_deinit(&objects->pending);
}

static enum engine_objects_result finish_object(struct engine_objects *objects) {
    cJSON *object = cJSON_ParseWithLength(objects->pending.data, objects->pending.length);

    if (object == NULL)
        return ENGINE_OBJECTS_WRONG;
    bool wants_more = objects->on_object(objects->context, object);
    cJSON_Delete(object);
    objects->pending.length = 0;
    return wants_more ? ENGINE_OBJECTS_MORE : ENGINE_OBJECTS_ENOUGH;
}

/* Knows just enough of JSON to see where an object ends: cJSON can't tell an object that is cut
 * from one that is wrong, and would read a long one from its beginning with each piece. */
static void track_depth(struct engine_objects *objects, char byte) {
    if (objects->is_escaped) {
        objects->is_escaped = false;
    } else if (objects->is_in_string) {
        objects->is_escaped = byte == '\\';
        objects->is_in_string = byte != '"';
    } else if (byte == '"') {
        objects->is_in_string = true;
    } else if (byte == '{' || byte == '[') {
        objects->depth++;
    } else if (byte == '}' || byte == ']') {
        objects->depth--;
    }
}

static bool is_space(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

enum engine_objects_result engine_objects_feed(struct engine_objects *objects, const char *bytes,
                                               size_t count) {
    enum engine_objects_result result = ENGINE_OBJECTS_MORE;

    for (size_t i = 0; i < count && result == ENGINE_OBJECTS_MORE; i++) {
        if (objects->depth == 0 && is_space(bytes[i]))
            continue;
        if (objects->depth == 0 && bytes[i] != '{')
            return ENGINE_OBJECTS_WRONG;
        if (!engine_bytes_append(&objects->pending, bytes + i, 1))
            return ENGINE_OBJECTS_WRONG;
        track_depth(objects, bytes[i]);
        if (objects->depth == 0)
            result = finish_object(objects);
    }
    return result;
}

/* ---- Answers ---- */

static void set_message(long status, const char *body, size_t length, struct error *error) {
    cJSON *root = cJSON_ParseWithLength(body, length);
    const char *message = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "message"));

    if (message != NULL)
        error_set(error, "%s", message);
    else if (length > 0)
        error_set(error, "status %ld: %.*s", status, (int)strcspn(body, "\r\n"), body);
    else
        error_set(error, "status %ld", status);
    cJSON_Delete(root);
}

enum engine_result engine_judge(long status, const char *body, size_t length, struct error *error) {
    /* 304: what was asked for is so already, as starting what runs. */
    if ((status >= 200 && status < 300) || status == 304)
        return ENGINE_OK;
    set_message(status, body != NULL ? body : "", length, error);
    if (status == 404)
        return ENGINE_MISSING;
    return status == 409 ? ENGINE_CONFLICT : ENGINE_REFUSED;
}

bool engine_head_parse(const char *text, struct engine_head *head) {
    static const char name[] = "\r\nContent-Length:";

    *head = (struct engine_head){0};
    if (strncmp(text, "HTTP/1.", 7) != 0 || strlen(text) < 12 || text[8] != ' ')
        return false;
    char *end = NULL;
    long status = strtol(text + 9, &end, 10);
    if (end != text + 12 || status < 100)
        return false;
    head->status = (int)status;
    const char *field = strcasestr(text, name);
    if (field != NULL)
        head->body_bytes = strtoul(field + sizeof name - 1, NULL, 10);
    return true;
}

char *engine_path(const char *path, const char *key, const cJSON *value) {
    char *text = cJSON_IsString(value) ? strdup(value->valuestring) : cJSON_PrintUnformatted(value);
    char *escaped = text != NULL ? curl_easy_escape(NULL, text, 0) : NULL;
    char *whole = NULL;

    if (escaped == NULL ||
        asprintf(&whole, "%s%c%s=%s", path, strchr(path, '?') ? '&' : '?', key, escaped) < 0)
        abort();
    curl_free(escaped);
    free(text);
    return whole;
}
