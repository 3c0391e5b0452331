/* Taking counter files into the SQLite ledger. A final file is unlinked after its transaction is on
 * the disk (WAL, synchronous=FULL), and only if it was final before its first value was read. */
#include "tenants/ledger_sqlite.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    STATEMENT_IS_FOLDED,
    STATEMENT_INSTANCE,
    STATEMENT_DAY,
    STATEMENT_ACCOUNT,
    STATEMENT_USAGE,
    STATEMENT_FOLDED,
    STATEMENT_COUNT
};

static const char *const FOLD_SQL[STATEMENT_COUNT] = {
    [STATEMENT_IS_FOLDED] = "SELECT 1 FROM folded WHERE hour=?2"
                            "  AND instance=(SELECT id FROM instance WHERE name=?1)",
    [STATEMENT_INSTANCE] = "INSERT INTO instance(name) VALUES(?1) ON CONFLICT DO NOTHING",
    [STATEMENT_DAY] = "INSERT INTO day VALUES(?1) ON CONFLICT DO NOTHING",
    [STATEMENT_ACCOUNT] = "INSERT INTO account(name) VALUES(?1) ON CONFLICT DO NOTHING",
    [STATEMENT_USAGE] = "INSERT INTO usage VALUES(?1, (SELECT id FROM account WHERE name=?2), ?3,"
                        "  (SELECT id FROM instance WHERE name=?4), ?5, ?6, ?7, ?8, ?9, ?10, ?11, "
                        "?12, ?13, ?14)" LEDGER_UPSERT_LARGER,
    [STATEMENT_FOLDED] = "INSERT INTO folded(instance, hour)"
                         " SELECT id, ?2 FROM instance WHERE name=?1",
};

struct fold {
    const struct ledger *ledger;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    const struct counters_file *file; /* the one being folded */
    struct error *error;
    bool has_failed; /* the database, not a file: going on is in vain */
};

static int64_t hour_number(const struct counters_file *file) {
    return file->hour / SECONDS_PER_HOUR;
}

static int finish_step(struct fold *fold, int statement) {
    int result = ledger_finish(fold->ledger, fold->statements[statement], fold->error);

    if (result < 0)
        fold->has_failed = true;
    return result;
}

static void fold_account(void *context, const char *account, const uint64_t values[COUNTER_COUNT]) {
    struct fold *fold = context;
    sqlite3_stmt *usage = fold->statements[STATEMENT_USAGE];
    int64_t hour = hour_number(fold->file);

    if (fold->has_failed)
        return;
    sqlite3_bind_text(fold->statements[STATEMENT_ACCOUNT], 1, account, -1, SQLITE_STATIC);
    if (finish_step(fold, STATEMENT_ACCOUNT) < 0)
        return;
    sqlite3_bind_int64(usage, 1, hour / HOURS_PER_DAY);
    sqlite3_bind_text(usage, 2, account, -1, SQLITE_STATIC);
    sqlite3_bind_int64(usage, 3, hour % HOURS_PER_DAY);
    sqlite3_bind_text(usage, 4, fold->file->instance, -1, SQLITE_STATIC);
    for (int i = 0; i < COUNTER_COUNT; i++)
        sqlite3_bind_int64(usage, 5 + i, (int64_t)values[i]);
    finish_step(fold, STATEMENT_USAGE);
}

/* 1: the file's final values are in the ledger. */
static int is_folded(struct fold *fold) {
    sqlite3_stmt *statement = fold->statements[STATEMENT_IS_FOLDED];

    sqlite3_bind_text(statement, 1, fold->file->instance, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, hour_number(fold->file));
    return finish_step(fold, STATEMENT_IS_FOLDED);
}

static int fold_values(struct fold *fold) {
    sqlite3_bind_text(fold->statements[STATEMENT_INSTANCE], 1, fold->file->instance, -1,
                      SQLITE_STATIC);
    sqlite3_bind_int64(fold->statements[STATEMENT_DAY], 1, hour_number(fold->file) / HOURS_PER_DAY);
    if (finish_step(fold, STATEMENT_INSTANCE) < 0 || finish_step(fold, STATEMENT_DAY) < 0 ||
        counters_read(fold->file, fold_account, fold, fold->error) < 0 || fold->has_failed)
        return -1;
    if (!fold->file->is_final)
        return 0;
    sqlite3_bind_text(fold->statements[STATEMENT_FOLDED], 1, fold->file->instance, -1,
                      SQLITE_STATIC);
    sqlite3_bind_int64(fold->statements[STATEMENT_FOLDED], 2, hour_number(fold->file));
    return finish_step(fold, STATEMENT_FOLDED);
}

/* One file, one transaction. The write lock comes first: another process may be folding the same
 * file, and unlinks it when it has committed. */
static int fold_file(struct fold *fold) {
    if (ledger_run(fold->ledger, "BEGIN IMMEDIATE", fold->error) < 0) {
        fold->has_failed = true;
        return -1;
    }
    int folded = is_folded(fold);
    if (folded == 0 && fold_values(fold) == 0) {
        if (ledger_run(fold->ledger, "COMMIT", fold->error) == 0)
            return 0;
        fold->has_failed = true;
    }
    /* Some errors have rolled back already; then this one is refused, which does no harm. */
    sqlite3_exec(fold->ledger->db, "ROLLBACK", NULL, NULL, NULL);
    return folded == 1 ? 0 : -1;
}

static int fold_files(struct fold *fold, const struct counters_file *files, size_t count) {
    struct error first;
    size_t failures = 0;

    for (size_t i = 0; i < count && !fold->has_failed; i++) {
        fold->file = &files[i];
        if (fold_file(fold) == 0) {
            if (files[i].is_final && !files[i].is_unclaimed)
                unlink(files[i].path); /* if it can't be, the ledger knows that it was folded */
            continue;
        }
        if (failures++ == 0)
            first = *fold->error;
    }
    if (failures > 0)
        *fold->error = first;
    if (failures > 1)
        error_prefix(fold->error, "%zu counter files could not be folded, the first", failures);
    return failures == 0 ? 0 : -1;
}

static int prepare_fold(struct fold *fold) {
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        fold->statements[i] = ledger_prepare(fold->ledger, FOLD_SQL[i], fold->error);
        if (fold->statements[i] == NULL)
            return -1;
    }
    return 0;
}

int ledger_fold(struct ledger *ledger, const char *counters_dir, struct error *error) {
    struct fold fold = {.ledger = ledger, .error = error};
    struct counters_file *files;
    ssize_t count = counters_list(counters_dir, &files, error);

    if (count <= 0)
        return (int)count;
    int result = prepare_fold(&fold);
    if (result == 0)
        result = fold_files(&fold, files, (size_t)count);
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(fold.statements[i]);
    free(files);
    return result;
}
