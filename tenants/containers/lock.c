#include "tenants/containers/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum lock_result lock_take(const struct config *config, const char *name, int *fd,
                           struct error *error) {
    const char *ledger = strchr(config->ledger, ':') + 1;
    enum lock_result result = LOCK_FAILED;
    char *path;

    if (asprintf(&path, "%.*s/%s.lock", (int)(strrchr(ledger, '/') - ledger), ledger, name) < 0)
        abort();
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd >= 0 && flock(*fd, LOCK_EX | LOCK_NB) == 0)
        result = LOCK_TAKEN;
    else if (*fd >= 0 && errno == EWOULDBLOCK)
        result = LOCK_BUSY;
    if (result != LOCK_TAKEN) {
        error_set(error, "%s: %s", path,
                  result == LOCK_BUSY ? "another fpmuxctl holds it" : strerror(errno));
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
    }
    free(path);
    return result;
}
