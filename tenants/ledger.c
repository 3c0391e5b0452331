/* The ledger in SQLite: the file, its schema, and the calls on SQLite that the others share. */
#include "tenants/ledger_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SCHEMA_VERSION = 3,
    APPLICATION_ID = 0x66706d78, /* "fpmx": what file(1) and other programs know the file by */
    BUSY_MS = 5000,
    CACHE_KIB = 16384,
    WAL_BYTES = 64 << 20, /* what is kept of the WAL after a burst */
};

/* Others are attached by URI. A ledger is never used by two threads at once, and the lock around
 * each call would be a sixth of what a large report takes. */
#define LEDGER_OPEN_FLAGS (SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX)

/* What makes a ledger of the next version of one of this version. */
static const char *const SCHEMA_STEPS[SCHEMA_VERSION] = {
    "CREATE TABLE instance(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE account(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE day(day INTEGER PRIMARY KEY) STRICT;" /* days since 1970-01-01 */
    "CREATE TABLE usage("
    "  day INTEGER NOT NULL, account INTEGER NOT NULL, hour INTEGER NOT NULL," /* 0 to 23, UTC */
    "  instance INTEGER NOT NULL,"
    "  requests INTEGER NOT NULL, requests_unmetered INTEGER NOT NULL, cpu_ns INTEGER NOT NULL,"
    "  wall_ns INTEGER NOT NULL, queue_ns INTEGER NOT NULL, send_ns INTEGER NOT NULL,"
    "  bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, errors_5xx INTEGER NOT NULL,"
    "  rejected INTEGER NOT NULL,"
    "  PRIMARY KEY(day, account, hour, instance)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE folded(instance INTEGER NOT NULL, hour INTEGER NOT NULL," /* since 1970 */
    "  PRIMARY KEY(instance, hour)) STRICT, WITHOUT ROWID;",
    "CREATE TABLE service("
    "  account INTEGER NOT NULL, started_ns INTEGER NOT NULL, container TEXT NOT NULL,"
    "  until_ns INTEGER NOT NULL, has_ended INTEGER NOT NULL, restarts INTEGER NOT NULL,"
    "  PRIMARY KEY(account, started_ns, container)) STRICT, WITHOUT ROWID;",
    "ALTER TABLE folded ADD COLUMN fate INTEGER NOT NULL DEFAULT 0;" /* enum fate */
    "CREATE TABLE summed(start INTEGER PRIMARY KEY, end INTEGER NOT NULL, zone TEXT NOT NULL)"
    "  STRICT;"                                              /* hours since 1970 */
    "CREATE TABLE deleted(before INTEGER NOT NULL) STRICT;", /* the same; at most one row */
};

int ledger_fail(const struct ledger *ledger, struct error *error) {
    error_set(error, "%s: %s", ledger->path, sqlite3_errmsg(ledger->db));
    return -1;
}

int ledger_run(const struct ledger *ledger, const char *sql, struct error *error) {
    if (sqlite3_exec(ledger->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return ledger_fail(ledger, error);
    return 0;
}

sqlite3_stmt *ledger_prepare(const struct ledger *ledger, const char *sql, struct error *error) {
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(ledger->db, sql, -1, &statement, NULL) != SQLITE_OK)
        ledger_fail(ledger, error);
    return statement;
}

int ledger_finish(const struct ledger *ledger, sqlite3_stmt *statement, struct error *error) {
    int code = sqlite3_step(statement);

    if (code != SQLITE_ROW && code != SQLITE_DONE)
        ledger_fail(ledger, error);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    if (code == SQLITE_ROW)
        return 1;
    return code == SQLITE_DONE ? 0 : -1;
}

static sqlite3_stmt *prepare_with(const struct ledger *ledger, const char *sql,
                                  const int64_t *values, int count, struct error *error) {
    sqlite3_stmt *statement = ledger_prepare(ledger, sql, error);

    for (int i = 0; i < count && statement != NULL; i++)
        sqlite3_bind_int64(statement, i + 1, values[i]);
    return statement;
}

int64_t ledger_change(const struct ledger *ledger, const char *sql, const int64_t *values,
                      int count, struct error *error) {
    sqlite3_stmt *statement = prepare_with(ledger, sql, values, count, error);

    if (statement == NULL)
        return -1;
    int result = ledger_finish(ledger, statement, error);
    sqlite3_finalize(statement);
    return result < 0 ? -1 : sqlite3_changes64(ledger->db);
}

int64_t ledger_ask_number(const struct ledger *ledger, const char *sql, struct error *error) {
    return ledger_ask(ledger, sql, NULL, 0, error);
}

int64_t ledger_ask(const struct ledger *ledger, const char *sql, const int64_t *values, int count,
                   struct error *error) {
    sqlite3_stmt *statement = prepare_with(ledger, sql, values, count, error);

    if (statement == NULL)
        return -1;
    int64_t number = -1;
    if (sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int64(statement, 0);
    else
        ledger_fail(ledger, error);
    sqlite3_finalize(statement);
    return number;
}

int ledger_end(const struct ledger *ledger, int result, struct error *error) {
    if (result == 0)
        result = ledger_run(ledger, "COMMIT", error);
    /* Some errors have rolled back already; then this one is refused, which does no harm. */
    if (result != 0)
        sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
    return result == 0 ? 0 : -1;
}

static int stat_parent(const char *path, struct stat *parent, struct error *error) {
    char *dir = strdup(path);

    if (dir == NULL)
        abort();
    char *slash = strrchr(dir, '/');
    if (slash != NULL)
        slash[slash == dir ? 1 : 0] = '\0';
    int result = stat(slash != NULL ? dir : ".", parent);
    if (result < 0)
        error_set(error, "%s: %s", dir, strerror(errno));
    free(dir);
    return result;
}

/* An empty file for SQLite to fill. Its owner is the directory's, so that the daemon can write to
 * a ledger that root's export made; SQLite gives its other files the same owner. A file that has
 * contents is not opened here: closing it would drop the locks of another connection. */
static int make_file(const char *path, struct error *error) {
    struct stat status, parent;
    int result = 0;

    bool exists = stat(path, &status) == 0;
    if (exists && !S_ISREG(status.st_mode)) {
        error_set(error, "%s: not a regular file", path);
        return -1;
    }
    if (exists && status.st_size > 0)
        return 0;
    if (stat_parent(path, &parent, error) < 0)
        return -1;
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0) {
        error_set(error, "%s: %s", path, strerror(errno));
        return -1;
    }
    if (geteuid() == 0 && fchown(fd, parent.st_uid, parent.st_gid) < 0) {
        error_set(error, "%s: %s", path, strerror(errno));
        result = -1;
    }
    close(fd);
    return result;
}

/* 1 for a file without tables; a version of 0 alone can be that of somebody else's database. */
static int64_t is_empty(const struct ledger *ledger, struct error *error) {
    return ledger_ask_number(ledger, "SELECT count(*)=0 FROM sqlite_schema", error);
}

/* SQLite does not wait for a lock here, as it does elsewhere: a process that makes the ledger at
 * the same time has it for a moment. */
static int switch_to_wal(const struct ledger *ledger, struct error *error) {
    static const struct timespec moment = {.tv_nsec = 10000000};

    for (int waited_ms = 0;; waited_ms += 10) {
        int result = sqlite3_exec(ledger->db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
        if (result == SQLITE_OK)
            return 0;
        if (result != SQLITE_BUSY || waited_ms >= BUSY_MS)
            return ledger_fail(ledger, error);
        nanosleep(&moment, NULL);
    }
}

static int run_steps(const struct ledger *ledger, struct error *error) {
    char sql[96];
    int64_t version = ledger_ask_number(ledger, "PRAGMA user_version", error);

    if (version < 0)
        return -1;
    for (; version < SCHEMA_VERSION; version++)
        if (ledger_run(ledger, SCHEMA_STEPS[version], error) < 0)
            return -1;
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%" PRId64 "; COMMIT",
             APPLICATION_ID, version);
    return ledger_run(ledger, sql, error);
}

/* Makes the tables, or those that an older ledger lacks. Two processes may do this at the same
 * time: the second finds it done. */
static int make_schema(const struct ledger *ledger, struct error *error) {
    if (switch_to_wal(ledger, error) < 0 || ledger_run(ledger, "BEGIN IMMEDIATE", error) < 0)
        return -1;
    int result = run_steps(ledger, error);
    if (result < 0)
        sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
    return result;
}

static bool is_ours(const struct ledger *ledger, struct error *error) {
    return ledger_ask_number(ledger, "PRAGMA application_id", error) == APPLICATION_ID;
}

static int update_schema(const struct ledger *ledger, struct error *error) {
    int64_t version = ledger_ask_number(ledger, "PRAGMA user_version", error);

    if (version < 0)
        return -1;
    bool is_old = version == 0 ? is_empty(ledger, error) != 0
                               : version < SCHEMA_VERSION && is_ours(ledger, error);
    return is_old && !ledger->is_read_only ? make_schema(ledger, error) : 0;
}

static int check_schema(struct ledger *ledger, struct error *error) {
    if (update_schema(ledger, error) < 0)
        return -1;
    int64_t version = ledger_ask_number(ledger, "PRAGMA user_version", error);
    if (version < 0)
        return -1;
    if (version > 0 && version <= SCHEMA_VERSION && is_ours(ledger, error)) {
        ledger->version = (int)version;
        return 0;
    }
    if (version > SCHEMA_VERSION)
        error_set(error, "%s: made by a newer version of fpmux", ledger->path);
    else
        error_set(error, "%s: not a ledger of fpmux", ledger->path);
    return -1;
}

static int open_database(struct ledger *ledger, struct error *error) {
    const int flags = SQLITE_OPEN_READWRITE | LEDGER_OPEN_FLAGS;
    int persist = 1;
    char sql[128];

    if (make_file(ledger->path, error) < 0)
        return -1;
    /* One thread at a time uses a connection, and a report of millions of hours asks for dozens of
     * columns each: without its mutex SQLite is a fifth faster. */
    if (sqlite3_open_v2(ledger->path, &ledger->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return ledger_fail(ledger, error);
    ledger->is_read_only = sqlite3_db_readonly(ledger->db, "main") == 1;
    sqlite3_busy_timeout(ledger->db, BUSY_MS);
    /* The WAL files stay when the last writer closes: without them one who may only read the
     * directory could not open the ledger at all. */
    sqlite3_file_control(ledger->db, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
    snprintf(sql, sizeof sql,
             "PRAGMA synchronous=FULL; PRAGMA cache_size=-%d; PRAGMA journal_size_limit=%d",
             CACHE_KIB, WAL_BYTES);
    if (ledger_run(ledger, sql, error) < 0)
        return -1;
    return check_schema(ledger, error);
}

struct ledger *ledger_open(const char *source, struct error *error) {
    static const char scheme[] = "sqlite:";
    struct ledger *ledger;

    if (strncmp(source, scheme, sizeof scheme - 1) != 0 || source[sizeof scheme - 1] == '\0') {
        error_set(error, "%s: a ledger is sqlite:PATH", source);
        return NULL;
    }
    ledger = calloc(1, sizeof *ledger);
    if (ledger == NULL || (ledger->path = strdup(source + sizeof scheme - 1)) == NULL)
        abort();
    if (open_database(ledger, error) < 0) {
        ledger_close(ledger);
        return NULL;
    }
    return ledger;
}

/* ---- Somebody else's ledger ---- */

void ledger_uri(char out[LEDGER_URI_BYTES], const char *path) {
    char wal[PATH_MAX];
    size_t length = 0;

    out += sprintf(out, "file:");
    for (; *path != '\0' && length < PATH_MAX; path++, length++)
        out += sprintf(out, strchr("%?#", *path) != NULL ? "%%%02x" : "%c", *path);
    snprintf(wal, sizeof wal, "%.*s-wal", (int)length, path - length);
    sprintf(out, "?mode=ro%s", access(wal, F_OK) == 0 ? "" : "&immutable=1");
}

static int open_to_read(struct ledger *ledger, struct error *error) {
    const int flags = SQLITE_OPEN_READONLY | LEDGER_OPEN_FLAGS;
    char uri[LEDGER_URI_BYTES];

    if (access(ledger->path, R_OK) < 0) {
        error_set(error, "%s: %s", ledger->path, strerror(errno));
        return -1;
    }
    ledger_uri(uri, ledger->path);
    if (sqlite3_open_v2(uri, &ledger->db, flags, NULL) != SQLITE_OK)
        return ledger_fail(ledger, error);
    ledger->is_read_only = true;
    sqlite3_busy_timeout(ledger->db, BUSY_MS);
    return check_schema(ledger, error);
}

struct ledger *ledger_open_to_read(const char *path, struct error *error) {
    struct ledger *ledger = calloc(1, sizeof *ledger);

    if (ledger == NULL || (ledger->path = strdup(path)) == NULL)
        abort();
    if (open_to_read(ledger, error) == 0)
        return ledger;
    ledger_close(ledger);
    return NULL;
}

void ledger_close(struct ledger *ledger) {
    if (ledger == NULL)
        return;
    sqlite3_close(ledger->db);
    free(ledger->path);
    free(ledger);
}
