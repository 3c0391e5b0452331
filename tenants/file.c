#include "tenants/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Up to room bytes; fewer when the file ends before. -1 with errno. */
static ssize_t read_fully(int fd, char *data, size_t room) {
    size_t used = 0;

    while (used < room) {
        ssize_t count = read(fd, data + used, room - used);
        if (count == 0)
            break;
        if (count > 0)
            used += (size_t)count;
        else if (errno != EINTR)
            return -1;
    }
    return (ssize_t)used;
}

static char *read_open_file(int fd, const char *path, size_t cap_bytes, size_t *length,
                            mode_t *mode, struct error *error) {
    struct stat status;

    if (fstat(fd, &status) != 0) {
        error_set(error, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (!S_ISREG(status.st_mode)) {
        error_set(error, "%s: not a regular file", path);
        return NULL;
    }
    if ((size_t)status.st_size > cap_bytes) {
        error_set(error, "%s: larger than %zu bytes", path, cap_bytes);
        return NULL;
    }
    char *data = malloc((size_t)status.st_size + 1);
    ssize_t used = data == NULL ? -1 : read_fully(fd, data, (size_t)status.st_size);
    if (used < 0) {
        error_set(error, "%s: %s", path, strerror(errno));
        free(data);
        return NULL;
    }
    data[used] = '\0';
    *length = (size_t)used;
    if (mode != NULL)
        *mode = status.st_mode;
    return data;
}

char *file_read(const char *path, size_t cap_bytes, size_t *length, mode_t *mode,
                struct error *error) {
    /* O_NONBLOCK: opening a FIFO for reading would wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0) {
        error_set(error, "%s: %s", path, strerror(errno));
        return NULL;
    }
    char *data = read_open_file(fd, path, cap_bytes, length, mode, error);
    close(fd);
    return data;
}

int file_prepare_directory(const char *path, mode_t mode, struct error *error) {
    struct stat status;

    if (mkdir(path, mode) == 0)
        return 0;
    if (errno != EEXIST)
        error_set(error, "%s can't be made: %s", path, strerror(errno));
    else if (stat(path, &status) != 0)
        error_set(error, "%s: %s", path, strerror(errno));
    else if (!S_ISDIR(status.st_mode))
        error_set(error, "%s: not a directory", path);
    else if (faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) != 0)
        error_set(error, "%s: user %u can't make files there: %s", path, geteuid(),
                  strerror(errno));
    else
        return 0;
    return -1;
}
