#include "tenants/cli/build_context.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tenants/containers/dockerignore.h"
#include "tenants/containers/engine_codec.h"
#include "tenants/file.h"

enum {
    PIECE_BYTES = 64 << 10,
    PENDING_BYTES_MAX = 1 << 20, /* one header or piece, with room to spare */
    IGNORE_BYTES_MAX = 1 << 20
};

struct build_context {
    struct dockerignore ignore;
    FTS *walk;
    size_t directory_length; /* of fts_path, with the slash behind it */
    struct archive *archive;
    struct engine_bytes pending; /* written by archive, not read yet */
    size_t taken;                /* of pending */
    int file;                    /* whose content is being written, or -1 */
    bool is_complete;            /* all that comes is in pending */
    bool is_abandoned;           /* nobody reads what is still written */
};

/* ---- Opening ---- */

/* Names in order, so that the same directory gives the same archive. */
static int compare_names(const FTSENT **left, const FTSENT **right) {
    return strcmp((*left)->fts_name, (*right)->fts_name);
}

static la_ssize_t on_archive_bytes(struct archive *archive, void *closure, const void *bytes,
                                   size_t count) {
    struct build_context *context = closure;

    if (context->is_abandoned || engine_bytes_append(&context->pending, bytes, count))
        return (la_ssize_t)count;
    archive_set_error(archive, ENOBUFS, "a header is too long");
    return -1;
}

static bool load_ignore(struct build_context *context, const char *directory,
                        const char *dockerfile, struct error *error) {
    char *path = NULL;
    char *all = NULL;
    char *text = NULL;
    size_t length = 0;

    if (asprintf(&path, "%s/.dockerignore", directory) < 0)
        abort();
    if (access(path, F_OK) == 0)
        text = file_read(path, IGNORE_BYTES_MAX, &length, NULL, error);
    bool done = text != NULL || access(path, F_OK) != 0;
    /* The engine reads both from the context. */
    if (asprintf(&all, "%s\n!%s\n!.dockerignore", text != NULL ? text : "", dockerfile) < 0)
        abort();
    dockerignore_init(&context->ignore, all);
    free(all);
    free(text);
    free(path);
    return done;
}

static bool open_archive(struct build_context *context, struct error *error) {
    struct archive *archive = context->archive = archive_write_new();

    if (archive == NULL)
        abort();
    /* No blocks: what is written is passed on at once. */
    if (archive_write_set_format_pax_restricted(archive) == ARCHIVE_OK &&
        archive_write_set_bytes_per_block(archive, 0) == ARCHIVE_OK &&
        archive_write_open(archive, context, NULL, on_archive_bytes, NULL) == ARCHIVE_OK)
        return true;
    error_set(error, "archive: %s", archive_error_string(archive));
    return false;
}

struct build_context *build_context_open(const char *directory, const char *dockerfile,
                                         struct error *error) {
    struct build_context *context = calloc(1, sizeof *context);
    char *roots[] = {realpath(directory, NULL), NULL};

    if (context == NULL)
        abort();
    context->file = -1;
    context->pending.cap = PENDING_BYTES_MAX;
    if (roots[0] != NULL) {
        context->walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, compare_names);
        context->directory_length = strlen(roots[0]) + 1;
    }
    /* The first found is the directory itself, which is no part of the archive. */
    bool done = context->walk != NULL && fts_read(context->walk) != NULL;
    if (!done)
        error_set(error, "%s: %s", directory, strerror(errno));
    done =
        done && load_ignore(context, directory, dockerfile, error) && open_archive(context, error);
    free(roots[0]);
    if (done)
        return context;
    build_context_close(context);
    return NULL;
}

void build_context_close(struct build_context *context) {
    if (context == NULL)
        return;
    if (context->file >= 0)
        close(context->file);
    context->is_abandoned = true;
    archive_write_free(context->archive); /* ends the archive; NULL is allowed */
    if (context->walk != NULL)
        fts_close(context->walk);
    dockerignore_deinit(&context->ignore);
    engine_bytes_deinit(&context->pending);
    free(context);
}

/* ---- Reading ---- */

static bool check(struct build_context *context, la_ssize_t result, const char *path,
                  struct error *error) {
    if (result >= ARCHIVE_WARN)
        return true;
    error_set(error, "%s: %s", path, archive_error_string(context->archive));
    return false;
}

/* As the engine's own tool does: everything belongs to root, whoever checked it out. */
static bool write_header(struct build_context *context, const FTSENT *found, struct error *error) {
    struct archive_entry *entry = archive_entry_new();
    char target[4096];

    if (entry == NULL)
        abort();
    archive_entry_set_pathname(entry, found->fts_path + context->directory_length);
    archive_entry_copy_stat(entry, found->fts_statp);
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, 0);
    archive_entry_unset_atime(entry);
    archive_entry_unset_ctime(entry);
    if (found->fts_info == FTS_SL || found->fts_info == FTS_SLNONE) {
        ssize_t length = readlink(found->fts_path, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        archive_entry_set_symlink(entry, target);
    }
    bool done =
        check(context, archive_write_header(context->archive, entry), found->fts_path, error);
    archive_entry_free(entry);
    return done;
}

static bool write_file(struct build_context *context, const FTSENT *found, struct error *error) {
    context->file = open(found->fts_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (context->file >= 0)
        return write_header(context, found, error);
    error_set(error, "%s: %s", found->fts_path, strerror(errno));
    return false;
}

/* The next piece of the file. Its header has promised a size: libarchive cuts what is more, and
 * fills up what is less. */
static bool write_piece(struct build_context *context, struct error *error) {
    char piece[PIECE_BYTES];
    ssize_t count = read(context->file, piece, sizeof piece);

    if (count < 0) {
        error_set(error, "reading a file of the context: %s", strerror(errno));
        return false;
    }
    if (count > 0)
        return check(context, archive_write_data(context->archive, piece, (size_t)count), "archive",
                     error);
    close(context->file);
    context->file = -1;
    return check(context, archive_write_finish_entry(context->archive), "archive", error);
}

/* Whether the entry is left out; of directories also, whether to look into them. */
static bool is_excluded(struct build_context *context, FTSENT *found) {
    const char *path = found->fts_path + context->directory_length;

    if (!dockerignore_excludes(&context->ignore, path))
        return false;
    if (found->fts_info == FTS_D && !dockerignore_may_hold(&context->ignore, path))
        fts_set(context->walk, found, FTS_SKIP);
    return true;
}

static bool write_entry(struct build_context *context, FTSENT *found, struct error *error) {
    switch (found->fts_info) {
    case FTS_F:
        return is_excluded(context, found) || write_file(context, found, error);
    case FTS_D:
    case FTS_SL:
    case FTS_SLNONE:
        return is_excluded(context, found) || write_header(context, found, error);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        if (is_excluded(context, found))
            return true;
        error_set(error, "%s: %s", found->fts_path, strerror(found->fts_errno));
        return false;
    default: /* a directory that is left, sockets, FIFOs, devices */
        return true;
    }
}

/* Makes the archive a bit longer. */
static bool go_on(struct build_context *context, struct error *error) {
    if (context->file >= 0)
        return write_piece(context, error);
    errno = 0;
    FTSENT *found = fts_read(context->walk);
    if (found != NULL)
        return write_entry(context, found, error);
    if (errno != 0) {
        error_set(error, "walking through the context: %s", strerror(errno));
        return false;
    }
    context->is_complete = true;
    return check(context, archive_write_close(context->archive), "archive", error);
}

long build_context_read(struct build_context *context, char *buffer, size_t room,
                        struct error *error) {
    if (context->taken == context->pending.length)
        context->taken = context->pending.length = 0;
    while (context->pending.length == 0 && !context->is_complete) {
        if (!go_on(context, error))
            return -1;
    }
    size_t count = context->pending.length - context->taken;
    if (count > room)
        count = room;
    if (count > 0)
        memcpy(buffer, context->pending.data + context->taken, count);
    context->taken += count;
    return (long)count;
}
