#include "tenants/counters_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_synced(const struct counters_synced *synced, const struct counters_file *file) {
    for (size_t i = 0; i < synced->count; i++)
        if (strcmp(synced->files[i].path, file->path) == 0)
            return true;
    return false;
}

static int sync_path(const char *path, struct error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);

    if (result < 0)
        error_set(error, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return result;
}

/* A new file and its name. Gone already: its writer has moved on, and it was folded. */
static int sync_file(const struct counters_file *file, const char *dir, struct error *error) {
    if (access(file->path, F_OK) < 0 && errno == ENOENT)
        return 0;
    if (sync_path(file->path, error) < 0)
        return -1;
    return sync_path(dir, error);
}

int counters_sync_new(struct counters_synced *synced, const char *dir, struct error *error) {
    struct counters_file *files;
    ssize_t count = counters_list(dir, &files, error);
    size_t kept = 0;
    int result = 0;

    if (count < 0)
        return -1;
    for (size_t i = 0; i < (size_t)count; i++) {
        if (files[i].is_final)
            continue;
        if (is_synced(synced, &files[i]) || sync_file(&files[i], dir, error) == 0)
            files[kept++] = files[i];
        else
            result = -1;
    }
    counters_synced_deinit(synced);
    *synced = (struct counters_synced){.files = files, .count = kept};
    return result;
}

void counters_synced_deinit(struct counters_synced *synced) {
    free(synced->files);
    *synced = (struct counters_synced){0};
}
