/* A copy of a ledger that is in use, by SQLite's online backup. The connection holds a read
 * transaction meanwhile: so the copy is of one instant, and does not begin anew whenever the daemon
 * folds. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tenants/ledger_care.h"
#include "tenants/ledger_sqlite.h"

enum { PAGES_PER_STEP = 4096 };

static int copy_pages(const struct ledger *ledger, sqlite3 *copy,
                      const struct ledger_progress *progress) {
    sqlite3_backup *backup = sqlite3_backup_init(copy, "main", ledger->db, "main");
    int code = SQLITE_OK;

    if (backup == NULL)
        return -1;
    while (code == SQLITE_OK) {
        code = sqlite3_backup_step(backup, PAGES_PER_STEP);
        int total = sqlite3_backup_pagecount(backup);
        if (progress != NULL)
            progress->on_step(progress->context, total - sqlite3_backup_remaining(backup), total);
    }
    return sqlite3_backup_finish(backup) == SQLITE_OK && code == SQLITE_DONE ? 0 : -1;
}

/* Into an empty file. The copy is taken out of WAL mode, so that it is complete in itself. */
static int copy_to(const struct ledger *ledger, const char *path,
                   const struct ledger_progress *progress, struct error *error) {
    sqlite3 *copy = NULL;
    int result = -1;

    if (sqlite3_open_v2(path, &copy, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK)
        result = copy_pages(ledger, copy, progress);
    if (result == 0 &&
        sqlite3_exec(copy, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL) != SQLITE_OK)
        result = -1;
    if (result < 0)
        error_set(error, "%s: %s", path, sqlite3_errmsg(copy));
    sqlite3_close(copy);
    return result;
}

static int sync_path(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);

    if (fd >= 0)
        close(fd);
    return result;
}

/* Without may_replace, in one step with finding out that there is nothing. Some network file
 * systems know no such rename, but links. */
static int give_name(const char *temporary, const char *path, bool may_replace) {
    if (may_replace)
        return rename(temporary, path);
    int result = renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE);
    if (result < 0 && errno == EINVAL && (result = link(temporary, path)) == 0)
        unlink(temporary);
    return result;
}

static int publish(const char *temporary, const char *path, bool may_replace, struct error *error) {
    char *dir = strdup(path);
    int result = dir == NULL ? -1 : sync_path(temporary);

    if (result == 0)
        result = give_name(temporary, path, may_replace);
    if (result == 0)
        result = sync_path(dirname(dir));
    int code = errno;
    free(dir);
    if (result == 0)
        return 0;
    error_set(error, "%s: %s", path, strerror(code));
    return code == EEXIST ? 1 : -1;
}

static int copy_and_publish(const struct ledger *ledger, const char *temporary, const char *path,
                            bool may_replace, const struct ledger_progress *progress,
                            struct error *error) {
    /* BEGIN alone does not read yet. */
    int result = ledger_run(ledger, "BEGIN; SELECT count(*) FROM sqlite_schema", error);
    if (result == 0)
        result = copy_to(ledger, temporary, progress, error);
    sqlite3_exec(ledger->db, "COMMIT", NULL, NULL, NULL);
    return result < 0 ? -1 : publish(temporary, path, may_replace, error);
}

int ledger_backup(struct ledger *ledger, const char *path, bool may_replace,
                  const struct ledger_progress *progress, struct error *error) {
    char temporary[PATH_MAX];

    if (!may_replace && access(path, F_OK) == 0) { /* said before the work, and again after it */
        error_set(error, "%s: %s", path, strerror(EEXIST));
        return 1;
    }
    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary) {
        error_set(error, "%s: %s", path, strerror(ENAMETOOLONG));
        return -1;
    }
    int fd =
        mkstemp(temporary); /* for its owner only: what tenants pay is nobody else's business */
    if (fd < 0) {
        error_set(error, "%s: %s", temporary, strerror(errno));
        return -1;
    }
    close(fd);
    int result = copy_and_publish(ledger, temporary, path, may_replace, progress, error);
    if (result != 0)
        unlink(temporary);
    return result;
}
