/* A growing array of bytes with a cap from birth. Memory comes at the first append and goes with
 * bytes_deinit(); a zeroed struct with a cap is an empty one. */
#ifndef FPMUX_SHIM_BYTES_H
#define FPMUX_SHIM_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    uint8_t *data; /* owned; NULL while nothing was ever appended */
    size_t length;
    size_t room; /* allocated */
    size_t cap;  /* length never exceeds it */
};

void bytes_init(struct bytes *bytes, size_t cap);
void bytes_deinit(struct bytes *bytes);

/* false, and nothing changed, when the cap or the memory does not allow it. */
bool bytes_append(struct bytes *bytes, const void *data, size_t length);

/* Makes room for length more bytes and returns where they go (then add to .length), or NULL. */
uint8_t *bytes_reserve(struct bytes *bytes, size_t length);

/* Takes the first length bytes away. */
void bytes_consume(struct bytes *bytes, size_t length);

#endif
