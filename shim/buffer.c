#include "shim/buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tenants/log.h"

enum { QUIET_MS = 60000 };

/* One file operation. It owns what the thread works on: the bytes, and the descriptor once the
 * buffer is gone. */
struct buffer_io {
    uv_fs_t request;
    struct buffer *buffer; /* NULL: the buffer was given up meanwhile */
    struct bytes bytes;    /* written, or read into */
    uint64_t offset;
    size_t done; /* of bytes, written */
    int file;
    bool is_write;
};

void buffer_init(struct buffer *buffer, struct spool *spool, bool keeps,
                 void (*on_progress)(void *context), void *context) {
    *buffer = (struct buffer){
        .spool = spool, .keeps = keeps, .file = -1, .on_progress = on_progress, .context = context};
    bytes_init(&buffer->tail, SIZE_MAX / 2);
    bytes_init(&buffer->window, SIZE_MAX / 2);
}

static void give_back_spool(struct buffer *buffer) {
    buffer->spool->used_bytes -= buffer->file_bytes;
    if (buffer->io != NULL && buffer->io->is_write)
        buffer->spool->used_bytes -= buffer->io->bytes.length;
}

void buffer_deinit(struct buffer *buffer) {
    give_back_spool(buffer);
    bytes_deinit(&buffer->tail);
    bytes_deinit(&buffer->window);
    if (buffer->io != NULL)
        buffer->io->buffer = NULL; /* its callback closes the file */
    else if (buffer->file >= 0)
        close(buffer->file);
    buffer->io = NULL;
    buffer->file = -1;
}

/* Where the tail begins: behind the file and behind what is being written to it. */
static uint64_t tail_start(const struct buffer *buffer) {
    bool is_writing = buffer->io != NULL && buffer->io->is_write;
    return buffer->file_bytes + (is_writing ? buffer->io->bytes.length : 0);
}

uint64_t buffer_total(const struct buffer *buffer) {
    return tail_start(buffer) + buffer->tail.length;
}

uint64_t buffer_left(const struct buffer *buffer) {
    return buffer_total(buffer) - buffer->cursor;
}

/* Everything was read, nothing need be kept and nothing is under way. */
static bool is_used_up(const struct buffer *buffer) {
    return !buffer->keeps && buffer->io == NULL && buffer_left(buffer) == 0;
}

/* Starts again with an empty file. */
static void reset(struct buffer *buffer) {
    if (buffer->file >= 0) {
        if (ftruncate(buffer->file, 0) != 0) {
            buffer->failure = errno;
            return;
        }
        bytes_deinit(&buffer->window);
    }
    buffer->spool->used_bytes -= buffer->file_bytes;
    buffer->file_bytes = 0;
    buffer->window_start = 0;
    buffer->cursor = 0;
    buffer->tail.length = 0;
}

/* An unlinked file: nothing is left behind after a crash. */
static int open_unlinked(const char *dir) {
    int file = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return file;
    /* Some file systems (overlay with an old kernel, NFS) have no O_TMPFILE. */
    char path[4096];
    snprintf(path, sizeof path, "%s/spool-XXXXXX", dir);
    file = mkostemp(path, O_CLOEXEC);
    if (file >= 0)
        unlink(path);
    return file;
}

static void start_write(struct buffer *buffer);

static void io_free(struct buffer_io *io) {
    uv_fs_req_cleanup(&io->request);
    bytes_deinit(&io->bytes);
    free(io);
}

static void on_io_done(uv_fs_t *request);

static int io_start(struct buffer_io *io) {
    size_t wanted = io->is_write ? io->bytes.length : io->bytes.room;
    uv_buf_t piece = uv_buf_init((char *)io->bytes.data + io->done, (unsigned)(wanted - io->done));
    uv_loop_t *loop = io->buffer->spool->loop;
    int64_t offset = (int64_t)(io->offset + io->done);

    io->request.data = io;
    return io->is_write ? uv_fs_write(loop, &io->request, io->file, &piece, 1, offset, on_io_done)
                        : uv_fs_read(loop, &io->request, io->file, &piece, 1, offset, on_io_done);
}

/* There is no file to write to. A disk that is nearly full takes this and refuses that, so it is
 * said now and then. */
static void refuse_write(struct buffer *buffer, int failure) {
    struct spool *spool = buffer->spool;
    uint64_t now_ms = uv_now(spool->loop);

    if (buffer->keeps)
        buffer->failure = failure;
    if (now_ms < spool->quiet_until_ms)
        return;
    spool->quiet_until_ms = now_ms + QUIET_MS;
    log_error("spool: %s: %s; until that is mended, large bodies are refused and slow clients hold "
              "workers",
              spool->dir, strerror(failure));
}

/* What could not be written is the tail's beginning again. */
static void put_back(struct buffer *buffer, struct buffer_io *io) {
    if (!bytes_append(&io->bytes, buffer->tail.data, buffer->tail.length)) {
        buffer->failure = ENOMEM;
        return;
    }
    bytes_deinit(&buffer->tail);
    buffer->tail = io->bytes;
    bytes_init(&io->bytes, SIZE_MAX / 2);
}

static void io_fail(struct buffer *buffer, struct buffer_io *io, int failure) {
    buffer->io = NULL;
    if (io->is_write) {
        buffer->spool->used_bytes -= io->bytes.length;
        put_back(buffer, io);
        refuse_write(buffer, failure);
    } else {
        buffer->failure = failure;
    }
    io_free(io);
    if (is_used_up(buffer))
        reset(buffer);
}

/* The bytes of a write are in the file now; those of a read become the window. */
static void io_land(struct buffer *buffer, struct buffer_io *io) {
    buffer->io = NULL;
    if (io->is_write) {
        buffer->file_bytes += io->bytes.length;
    } else {
        bytes_deinit(&buffer->window);
        buffer->window = io->bytes;
        buffer->window_start = io->offset;
        bytes_init(&io->bytes, SIZE_MAX / 2);
    }
    io_free(io);
    if (is_used_up(buffer))
        reset(buffer);
    else if (buffer->tail.length > buffer->spool->memory_bytes)
        start_write(buffer);
}

static void on_io_done(uv_fs_t *request) {
    struct buffer_io *io = request->data;
    struct buffer *buffer = io->buffer;
    ssize_t result = request->result;

    if (buffer == NULL) {
        close(io->file);
        io_free(io);
        return;
    }
    if (result > 0 && !io->is_write) {
        io->bytes.length = (size_t)result;
    } else if (result > 0) {
        io->done += (size_t)result;
        if (io->done < io->bytes.length) { /* the kernel took less than all */
            uv_fs_req_cleanup(request);
            result = io_start(io);
            if (result == 0)
                return;
        }
    }
    if (result <= 0)
        io_fail(buffer, io, result < 0 ? (int)-result : EIO);
    else
        io_land(buffer, io);
    buffer->on_progress(buffer->context);
}

static bool begin_io(struct buffer *buffer, bool is_write, struct bytes bytes, uint64_t offset) {
    struct buffer_io *io = calloc(1, sizeof *io);

    if (io == NULL) {
        bytes_deinit(&bytes);
        buffer->failure = ENOMEM;
        return false;
    }
    *io = (struct buffer_io){.buffer = buffer,
                             .bytes = bytes,
                             .offset = offset,
                             .file = buffer->file,
                             .is_write = is_write};
    if (io_start(io) != 0) {
        bytes_deinit(&io->bytes);
        free(io);
        buffer->failure = ENOMEM;
        return false;
    }
    buffer->io = io;
    return true;
}

/* Hands the tail to the file. The first time, the file is opened: a few microseconds. */
static void start_write(struct buffer *buffer) {
    struct spool *spool = buffer->spool;

    if (spool->used_bytes + buffer->tail.length > spool->cap_bytes) {
        if (buffer->keeps)
            buffer->failure = ENOSPC;
        return;
    }
    if (buffer->file < 0 && (buffer->file = open_unlinked(spool->dir)) < 0) {
        refuse_write(buffer, errno);
        return;
    }
    struct bytes tail = buffer->tail;
    bytes_init(&buffer->tail, SIZE_MAX / 2);
    if (begin_io(buffer, true, tail, buffer->file_bytes))
        spool->used_bytes += tail.length;
}

bool buffer_append(struct buffer *buffer, const void *data, size_t length) {
    if (buffer->failure != 0)
        return false;
    if (!bytes_append(&buffer->tail, data, length)) {
        buffer->failure = ENOMEM;
        return false;
    }
    if (buffer->tail.length > buffer->spool->memory_bytes && buffer->io == NULL)
        start_write(buffer);
    return buffer->failure == 0;
}

bool buffer_is_full(const struct buffer *buffer) {
    return buffer->tail.length > buffer->spool->memory_bytes;
}

static void start_read(struct buffer *buffer) {
    struct bytes window;
    uint64_t left = buffer->file_bytes - buffer->cursor;
    size_t length = left < buffer->spool->memory_bytes ? (size_t)left : buffer->spool->memory_bytes;

    bytes_init(&window, length);
    if (bytes_reserve(&window, length) == NULL) {
        buffer->failure = ENOMEM;
        return;
    }
    begin_io(buffer, false, window, buffer->cursor);
}

static const uint8_t *peek_in(const struct bytes *bytes, uint64_t start, uint64_t cursor,
                              size_t *length) {
    if (cursor < start || cursor >= start + bytes->length)
        return NULL;
    *length = bytes->length - (size_t)(cursor - start);
    return bytes->data + (cursor - start);
}

const uint8_t *buffer_peek(struct buffer *buffer, size_t *length) {
    const uint8_t *found = peek_in(&buffer->tail, tail_start(buffer), buffer->cursor, length);

    if (found == NULL)
        found = peek_in(&buffer->window, buffer->window_start, buffer->cursor, length);
    if (found == NULL && buffer->io != NULL && buffer->io->is_write)
        found = peek_in(&buffer->io->bytes, buffer->io->offset, buffer->cursor, length);
    if (found != NULL)
        return found;
    *length = 0;
    if (buffer->cursor < buffer->file_bytes && buffer->io == NULL && buffer->failure == 0)
        start_read(buffer);
    return NULL;
}

void buffer_consume(struct buffer *buffer, size_t length) {
    buffer->cursor += length;
    if (is_used_up(buffer))
        reset(buffer);
}

void buffer_rewind(struct buffer *buffer) {
    buffer->cursor = 0;
}
