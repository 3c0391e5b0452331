#include "tenants/cli/editor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "tenants/file.h"
#include "tenants/json.h"

enum { FILE_BYTES_MAX = 1 << 20, NAME_BYTES = TENANT_ID_MAX + 16 /* .ID.json.new */ };

int editor_open(struct editor *editor, struct cli *cli) {
    const char *registry = cli_config(cli)->registry;

    *editor = (struct editor){.cli = cli, .config = cli_config(cli)};
    editor->dir = registry + strcspn(registry, ":") + 1;
    if (strncmp(registry, "dir:", 4) != 0)
        return cli_fail(cli, EX_CONFIG, "%s: registry: only \"dir:PATH\" can be edited",
                        editor->config->path);
    editor->dir_fd = open(editor->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (editor->dir_fd < 0)
        return cli_fail(cli, EX_CONFIG, "%s: registry: %s: %s", editor->config->path, editor->dir,
                        strerror(errno));
    int code =
        flock(editor->dir_fd, LOCK_EX) == 0
            ? cli_load_registry(cli, &editor->registry)
            : cli_fail(cli, EX_IOERR, "%s: can't be locked: %s", editor->dir, strerror(errno));
    if (code != EX_OK)
        close(editor->dir_fd);
    return code;
}

void editor_close(struct editor *editor) {
    registry_close(editor->registry);
    close(editor->dir_fd);
}

/* ---- Reading ---- */

static void file_name(const char *id, char name[NAME_BYTES]) {
    snprintf(name, NAME_BYTES, "%s.json", id);
}

void editor_path(const struct editor *editor, const char *id, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%s/%s.json", editor->dir, id);
}

bool editor_has_file(const struct editor *editor, const char *id) {
    char name[NAME_BYTES];

    file_name(id, name);
    return is_tenant_id(id, strlen(id)) && faccessat(editor->dir_fd, name, F_OK, 0) == 0;
}

cJSON *editor_read(const struct editor *editor, const char *id, bool *has_comments,
                   struct error *error) {
    struct json_document document;
    char path[PATH_MAX];
    size_t length;

    editor_path(editor, id, path);
    char *text = file_read(path, FILE_BYTES_MAX, &length, NULL, error);
    if (text == NULL)
        return NULL;
    if (!json_parse(&document, path, text, length, error)) {
        free(text);
        return NULL;
    }
    /* json_parse() blanks comments out and changes nothing else. */
    *has_comments = memcmp(text, document.text, length) != 0;
    cJSON *root = document.root;
    document.root = NULL;
    json_deinit(&document);
    free(text);
    return root;
}

/* ---- Checking ---- */

struct tenant *editor_parse(const struct editor *editor, const char *id, const char *text,
                            struct error *error) {
    struct tenant *tenant = tenant_parse(id, "", text, strlen(text), editor->config, error);

    if (tenant == NULL) { /* ":LINE:COLUMN: reason" */
        const char *reason = error->text + strspn(error->text, ":0123456789 ");
        memmove(error->text, reason, strlen(reason) + 1);
    }
    return tenant;
}

static bool are_hosts_free(const struct editor *editor, const struct tenant *tenant,
                           struct error *error) {
    for (size_t i = 0; i < tenant->hosts.count; i++) {
        const char *host = tenant->hosts.items[i];
        const struct tenant *holder = registry_find_host(editor->registry, host, strlen(host));
        if (holder == NULL || strcmp(holder->id, tenant->id) == 0)
            continue;
        error_set(error, "host \"%s\" is already tenant %s's: take it out there first", host,
                  holder->id);
        return false;
    }
    return true;
}

bool editor_check(const struct editor *editor, const char *id, const char *text,
                  struct error *error) {
    struct tenant *tenant = editor_parse(editor, id, text, error);

    if (tenant == NULL)
        return false;
    bool is_free = are_hosts_free(editor, tenant, error);
    tenant_unref(tenant);
    return is_free;
}

/* ---- Writing ---- */

char *editor_print(const cJSON *root) {
    char *json = cJSON_Print(root);
    char *text = NULL;

    if (json == NULL || asprintf(&text, "%s\n", json) < 0)
        abort();
    cJSON_free(json);
    return text;
}

/* The new file gets mode and owner of the one it replaces; a first one the group of the directory,
 * so that a daemon of that group can read what root wrote. */
static bool set_owner(const struct editor *editor, const char *name, int fd) {
    struct stat old;
    struct stat dir;
    struct stat own;

    if (fstatat(editor->dir_fd, name, &old, 0) == 0)
        return fchmod(fd, old.st_mode & 07777) == 0 && fchown(fd, old.st_uid, old.st_gid) == 0;
    if (fstat(editor->dir_fd, &dir) < 0 || fstat(fd, &own) < 0 || fchmod(fd, 0640) < 0)
        return false;
    return own.st_gid == dir.st_gid || fchown(fd, (uid_t)-1, dir.st_gid) == 0;
}

static bool write_all(int fd, const char *text) {
    size_t left = strlen(text);

    while (left > 0) {
        ssize_t done = write(fd, text, left);
        if (done < 0)
            return false;
        text += done;
        left -= (size_t)done;
    }
    return true;
}

/* Under the lock nobody else has that name; one that a crash left behind is written over. */
static void temporary_name(const char *id, char name[NAME_BYTES]) {
    snprintf(name, NAME_BYTES, ".%s.json.new", id);
}

static bool fail(const struct editor *editor, const char *id, struct error *error) {
    error_set(error, "%s/%s.json: can't be written: %s", editor->dir, id, strerror(errno));
    editor_unstage(editor, id);
    return false;
}

static bool stage(const struct editor *editor, const char *id, const char *text, bool is_synced,
                  struct error *error) {
    char name[NAME_BYTES];
    char temporary[NAME_BYTES];

    file_name(id, name);
    temporary_name(id, temporary);
    int fd = openat(editor->dir_fd, temporary,
                    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(editor, id, error);
    bool is_written =
        write_all(fd, text) && set_owner(editor, name, fd) && (!is_synced || fsync(fd) == 0);
    if (!is_written)
        fail(editor, id, error);
    close(fd);
    return is_written;
}

bool editor_stage(const struct editor *editor, const char *id, const char *text,
                  struct error *error) {
    return stage(editor, id, text, false, error);
}

void editor_unstage(const struct editor *editor, const char *id) {
    char temporary[NAME_BYTES];

    temporary_name(id, temporary);
    unlinkat(editor->dir_fd, temporary, 0);
}

bool editor_sync_staged(const struct editor *editor, struct error *error) {
    if (syncfs(editor->dir_fd) == 0)
        return true;
    error_set(error, "%s: can't be written: %s", editor->dir, strerror(errno));
    return false;
}

bool editor_put_in_place(const struct editor *editor, const char *id, struct error *error) {
    char name[NAME_BYTES];
    char temporary[NAME_BYTES];

    file_name(id, name);
    temporary_name(id, temporary);
    if (renameat(editor->dir_fd, temporary, editor->dir_fd, name) == 0)
        return true;
    return fail(editor, id, error);
}

bool editor_write(const struct editor *editor, const char *id, const char *text,
                  struct error *error) {
    return stage(editor, id, text, true, error) && editor_put_in_place(editor, id, error);
}

bool editor_remove(const struct editor *editor, const char *id, struct error *error) {
    char name[NAME_BYTES];

    file_name(id, name);
    if (unlinkat(editor->dir_fd, name, 0) == 0)
        return true;
    error_set(error, "%s/%s: can't be removed: %s", editor->dir, name, strerror(errno));
    return false;
}

bool editor_sync(const struct editor *editor, struct error *error) {
    if (fsync(editor->dir_fd) == 0)
        return true;
    error_set(error, "%s: what was written may be lost in a power cut: %s", editor->dir,
              strerror(errno));
    return false;
}
