/* Writing tenants' files, so that at no moment anybody reads half of one: a temporary file beside
 * it (its name begins with a dot, which the registry passes by), fsync, rename, fsync of the
 * directory. What is written was checked with the daemon's own reader before.
 *
 * The directory is locked from editor_open() to editor_close(), so that of two editors at the same
 * time the second sees what the first wrote. */
#ifndef FPMUX_TENANTS_CLI_EDITOR_H
#define FPMUX_TENANTS_CLI_EDITOR_H

#include <cjson/cJSON.h>
#include <limits.h>

#include "tenants/cli/cli.h"
#include "tenants/registry.h"
#include "tenants/tenant.h"

struct editor {
    struct cli *cli;
    const struct config *config; /* borrowed from cli */
    const char *dir;             /* borrowed from config */
    int dir_fd;
    struct registry *registry; /* as it was when the lock was taken */
};

/* EX_OK, or the exit code of a failure that was told. */
int editor_open(struct editor *editor, struct cli *cli);
void editor_close(struct editor *editor);

bool editor_has_file(const struct editor *editor, const char *id);
void editor_path(const struct editor *editor, const char *id, char path[PATH_MAX]);

/* Reads the tenant's file; *has_comments tells whether writing it again would lose any. Owned by
 * the caller; NULL with the reason. */
cJSON *editor_read(const struct editor *editor, const char *id, bool *has_comments,
                   struct error *error);

/* The tenant that this text makes, read as the daemon reads it. Messages are without position,
 * since the text may stand nowhere yet. */
struct tenant *editor_parse(const struct editor *editor, const char *id, const char *text,
                            struct error *error);

/* Whether the daemon would take this text: it is right by itself and claims nobody's host. */
bool editor_check(const struct editor *editor, const char *id, const char *text,
                  struct error *error);

/* Puts text in the place of the tenant's file / takes the file away. editor_sync() must follow the
 * last of these. */
bool editor_write(const struct editor *editor, const char *id, const char *text,
                  struct error *error);
bool editor_remove(const struct editor *editor, const char *id, struct error *error);
bool editor_sync(const struct editor *editor, struct error *error);

/* Writing many files in two steps, with one wait for the disk between them instead of one for each
 * file: stage all, editor_sync_staged(), then put each in its place. A full disk is met before
 * anything has changed. */
bool editor_stage(const struct editor *editor, const char *id, const char *text,
                  struct error *error);
void editor_unstage(const struct editor *editor, const char *id);
bool editor_sync_staged(const struct editor *editor, struct error *error);
bool editor_put_in_place(const struct editor *editor, const char *id, struct error *error);

/* The text of a file that says root; owned by the caller. */
char *editor_print(const cJSON *root);

#endif
