/* Bytes on their way from a fast side to a slow one: in memory up to a cap, beyond it in an
 * unlinked file. Request bodies and responses are such buffers.
 *
 *   append ──> tail ──(cap reached: written by a thread of libuv's pool)──> file ──> window ──>
 * read └────────────────(small: never leaves memory)─────────────────────────────────┘
 *
 * Memory is bounded by about four times the spool's memory_bytes, whatever passes through. File
 * operations never block the loop; one is under way at a time. A body keeps all of its bytes, so
 * that a request can be sent again (buffer_rewind); a response lets go of what was read. Without
 * room for a file a body fails, because its reader comes only when it is complete; a response stays
 * in memory, and its producer pauses until it was read. */
#ifndef FPMUX_SHIM_BUFFER_H
#define FPMUX_SHIM_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "shim/bytes.h"

/* What all buffers share: where files go and how much they may take together. */
struct spool {
    uv_loop_t *loop;
    const char *dir;         /* borrowed */
    size_t memory_bytes;     /* per buffer, before a file is used */
    uint64_t cap_bytes;      /* of all files */
    uint64_t used_bytes;     /* of all files, now */
    uint64_t quiet_until_ms; /* nothing more is logged about files that can't be written */
};

struct buffer_io; /* a file operation under way; outlives the buffer if need be */

struct buffer {
    struct spool *spool;
    bool keeps;          /* all bytes are kept for buffer_rewind() */
    int file;            /* owned, -1: none yet */
    int failure;         /* errno of a file operation that failed; 0: none */
    uint64_t file_bytes; /* in the file, from offset 0 */
    uint64_t cursor;     /* of the next byte to read, counted like file_bytes */
    struct bytes tail;   /* the bytes after those of the file (and of io, if it writes) */
    struct bytes window; /* bytes read back from the file */
    uint64_t window_start;
    struct buffer_io *io;               /* or NULL */
    void (*on_progress)(void *context); /* something may go on: room, bytes or a failure */
    void *context;
};

void buffer_init(struct buffer *buffer, struct spool *spool, bool keeps,
                 void (*on_progress)(void *context), void *context);
void buffer_deinit(struct buffer *buffer);

/* Takes length bytes. false: out of memory, a body without room for its file, or an earlier failure
 * (buffer->failure says which); the buffer is of no use any more. */
bool buffer_append(struct buffer *buffer, const void *data, size_t length);

/* Whether the producer should pause until on_progress or until something was consumed: the file is
 * slower than it, the spool is full, or the file can't be written. */
bool buffer_is_full(const struct buffer *buffer);

/* Bytes that are still to be read. */
uint64_t buffer_left(const struct buffer *buffer);

/* All bytes that were ever appended. */
uint64_t buffer_total(const struct buffer *buffer);

/* The next bytes; *length is 0 when none are in memory now: either none are left, or they come from
 * the file and on_progress tells. Valid until the next call with this buffer. */
const uint8_t *buffer_peek(struct buffer *buffer, size_t *length);
void buffer_consume(struct buffer *buffer, size_t length);

/* Back to the first byte. Only for a buffer that keeps. */
void buffer_rewind(struct buffer *buffer);

#endif
