#include "shim/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 256 };

void bytes_init(struct bytes *bytes, size_t cap) {
    *bytes = (struct bytes){.cap = cap};
}

void bytes_deinit(struct bytes *bytes) {
    free(bytes->data);
    *bytes = (struct bytes){.cap = bytes->cap};
}

uint8_t *bytes_reserve(struct bytes *bytes, size_t length) {
    if (length > bytes->cap - bytes->length)
        return NULL;
    size_t wanted = bytes->length + length;
    if (wanted > bytes->room || bytes->data == NULL) {
        size_t room = bytes->room > 0 ? bytes->room : FIRST_ROOM;
        while (room < wanted)
            room = room > bytes->cap / 2 ? bytes->cap : room * 2;
        uint8_t *data = realloc(bytes->data, room);
        if (data == NULL)
            return NULL;
        bytes->data = data;
        bytes->room = room;
    }
    return bytes->data + bytes->length;
}

bool bytes_append(struct bytes *bytes, const void *data, size_t length) {
    uint8_t *end = bytes_reserve(bytes, length);

    if (end == NULL)
        return false;
    if (length > 0)
        memcpy(end, data, length);
    bytes->length += length;
    return true;
}

void bytes_consume(struct bytes *bytes, size_t length) {
    if (length == 0)
        return;
    bytes->length -= length;
    memmove(bytes->data, bytes->data + length, bytes->length);
}
