#include "tenants/containers/hosts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRECTORY_MODE = 0755, FILE_MODE = 0644 }; /* the proxy reads them as a user of its own */

struct publishing {
    int dir;
    const char *path;
    const struct registry *registry;
    struct error *error;
    int result;
};

char *hosts_directory(const struct config *config) {
    const char *ledger = strchr(config->ledger, ':') + 1;
    char *dir;

    if (asprintf(&dir, "%.*s/hosts", (int)(strrchr(ledger, '/') - ledger), ledger) < 0)
        abort();
    return dir;
}

static void fail(struct publishing *publishing, const char *name) {
    error_set(publishing->error, "%s/%s: %s", publishing->path, name, strerror(errno));
    publishing->result = -1;
}

static void add_hosts(void *context, struct tenant *tenant) {
    struct publishing *publishing = context;

    for (size_t i = 0; i < tenant->hosts.count; i++) {
        const char *host = tenant->hosts.items[i];
        if (faccessat(publishing->dir, host, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        int fd =
            openat(publishing->dir, host, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
        if (fd < 0)
            fail(publishing, host);
        else
            close(fd);
    }
}

static void remove_strangers(struct publishing *publishing) {
    DIR *list = fdopendir(dup(publishing->dir));
    const struct dirent *entry;

    if (list == NULL) {
        fail(publishing, "");
        return;
    }
    while ((entry = readdir(list)) != NULL) {
        const char *name = entry->d_name;
        if (name[0] != '.' &&
            registry_find_host(publishing->registry, name, strlen(name)) == NULL &&
            unlinkat(publishing->dir, name, 0) != 0)
            fail(publishing, name);
    }
    closedir(list);
}

/* Whatever the umask: the daemon's directories may be closed to others, this one is not. */
static int open_directory(const char *path, struct error *error) {
    bool is_new = mkdir(path, DIRECTORY_MODE) == 0;
    int dir = is_new || errno == EEXIST ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (dir < 0 || (is_new && fchmod(dir, DIRECTORY_MODE) != 0)) {
        error_set(error, "%s: %s", path, strerror(errno));
        if (dir >= 0)
            close(dir);
        return -1;
    }
    return dir;
}

int hosts_publish(const struct config *config, const struct registry *registry,
                  struct error *error) {
    char *path = hosts_directory(config);
    struct publishing publishing = {.path = path, .registry = registry, .error = error};

    publishing.dir = open_directory(path, error);
    publishing.result = publishing.dir < 0 ? -1 : 0;
    if (publishing.dir >= 0) {
        registry_each(registry, add_hosts, &publishing);
        if (registry_error_count(registry) == 0) /* or it may be the host of who can't be read */
            remove_strangers(&publishing);
        close(publishing.dir);
    }
    free(path);
    return publishing.result;
}
