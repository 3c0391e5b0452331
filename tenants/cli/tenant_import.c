/* fpmuxctl tenant import: one JSON file that holds all organisations. Everything is checked before
 * anything is written: the result as a whole, with the tenants that are not in the file. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <uthash.h>

#include "tenants/cli/editor.h"
#include "tenants/cli/tenant.h"
#include "tenants/json.h"

enum { IMPORT_BYTES_MAX = 1 << 28 };

enum fate { FATE_ADDED, FATE_CHANGED, FATE_UNCHANGED, FATE_REMOVED, FATES };

struct organisation {
    UT_hash_handle hh;     /* by id */
    char *id;              /* owned */
    const cJSON *node;     /* in the document; NULL for one that is removed */
    char *text;            /* owned: of its file; NULL: the same */
    struct tenant *tenant; /* owned; NULL: the same */
    enum fate fate;
};

/* Who has a host when the import is done. */
struct claim {
    UT_hash_handle hh; /* by host */
    const char *id;
};

struct import {
    struct editor *editor;
    struct json_document document;
    struct organisation *organisations; /* in the file's order, then those that are removed */
    struct claim *claims;
    size_t failures;
    size_t counts[FATES];
    bool is_dry_run;
    bool prunes;
    bool is_forced;
};

static const char *const fate_names[FATES] = {"added", "changed", "unchanged", "removed"};

static void *allocate(size_t bytes) {
    void *memory = calloc(1, bytes);

    if (memory == NULL)
        abort();
    return memory;
}

static void refuse(struct import *import, const cJSON *node, const char *id, const char *reason) {
    struct error error;

    json_error_at(&import->document, node, &error, "%s%s%s", id != NULL ? id : "",
                  id != NULL ? ": " : "", reason);
    cli_fail(import->editor->cli, EX_DATAERR, "%s", error.text);
    import->failures++;
}

/* ---- Reading the file ---- */

static struct organisation *find(const struct import *import, const char *id) {
    struct organisation *organisation;

    HASH_FIND_STR(import->organisations, id, organisation);
    return organisation;
}

static struct organisation *enter(struct import *import, const char *id, enum fate fate) {
    struct organisation *organisation = allocate(sizeof *organisation);

    organisation->id = strdup(id);
    organisation->fate = fate;
    HASH_ADD_KEYPTR(hh, import->organisations, organisation->id, strlen(id), organisation);
    return organisation;
}

/* Whether the tenant's file is there and says the same already. */
static enum fate compare(struct import *import, const cJSON *node, const char *id,
                         const cJSON *wanted) {
    struct error error;
    bool has_comments;

    if (!editor_has_file(import->editor, id))
        return FATE_ADDED;
    cJSON *old = editor_read(import->editor, id, &has_comments, &error);
    bool is_same = old != NULL && cJSON_Compare(old, wanted, 1);
    if (old != NULL && !is_same && has_comments && !import->is_forced)
        refuse(import, node, id,
               "its file has comments, which would be lost: edit it by hand, or say --force");
    cJSON_Delete(old);
    return is_same ? FATE_UNCHANGED : FATE_CHANGED;
}

static void read_organisation(struct import *import, const cJSON *node, const char *id) {
    struct error error;

    if (!is_tenant_id(id, strlen(id))) {
        refuse(import, node, id,
               "is no id: it must be 1 to 63 of a-z, 0-9 and -, and not begin with -");
        return;
    }
    if (find(import, id) != NULL) {
        refuse(import, node, id, "stands in the file twice");
        return;
    }
    cJSON *wanted = cJSON_Duplicate(node, 1);
    if (cJSON_IsArray(import->document.root))
        cJSON_DeleteItemFromObjectCaseSensitive(wanted, "id");
    struct organisation *organisation = enter(import, id, compare(import, node, id, wanted));
    organisation->node = node;
    organisation->text = editor_print(wanted);
    organisation->tenant = editor_parse(import->editor, id, organisation->text, &error);
    if (organisation->tenant == NULL)
        refuse(import, node, id, error.text);
    cJSON_Delete(wanted);
}

static void read_all(struct import *import) {
    const cJSON *root = import->document.root;
    const cJSON *node;

    cJSON_ArrayForEach(node, root) {
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(node, "id");
        if (!cJSON_IsArray(root))
            read_organisation(import, node, node->string);
        else if (cJSON_IsString(id))
            read_organisation(import, node, id->valuestring);
        else
            refuse(import, node, NULL, "each item must be an object with an \"id\", a string");
    }
}

/* ---- Those that are not in the file ---- */

static void claim_hosts(struct import *import, const struct tenant *tenant, const cJSON *node) {
    struct claim *claim;
    struct error error;

    for (size_t i = 0; i < tenant->hosts.count; i++) {
        const char *host = tenant->hosts.items[i];
        HASH_FIND_STR(import->claims, host, claim);
        if (claim != NULL) {
            error_set(&error, "host \"%s\" is tenant %s's: take it out of one of the two", host,
                      claim->id);
            refuse(import, node, tenant->id, error.text);
            continue;
        }
        claim = allocate(sizeof *claim);
        claim->id = tenant->id;
        HASH_ADD_KEYPTR(hh, import->claims, host, strlen(host), claim);
    }
}

static void on_other_tenant(void *context, struct tenant *tenant) {
    struct import *import = context;

    if (find(import, tenant->id) != NULL)
        return;
    if (import->prunes)
        enter(import, tenant->id, FATE_REMOVED);
    else
        claim_hosts(import, tenant, NULL);
}

/* A file in error is removed like another; whether it claims a host can't be known. */
static void on_other_error(void *context, const char *id, const char *text) {
    struct import *import = context;

    (void)text;
    if (import->prunes && find(import, id) == NULL && editor_has_file(import->editor, id))
        enter(import, id, FATE_REMOVED);
}

static void settle(struct import *import) {
    struct organisation *organisation;
    struct organisation *next;

    registry_each(import->editor->registry, on_other_tenant, import);
    registry_each_error(import->editor->registry, on_other_error, import);
    HASH_ITER(hh, import->organisations, organisation, next) {
        import->counts[organisation->fate]++;
        if (organisation->tenant != NULL)
            claim_hosts(import, organisation->tenant, organisation->node);
    }
}

/* ---- Writing ---- */

static bool is_written(const struct organisation *organisation) {
    return organisation->fate == FATE_ADDED || organisation->fate == FATE_CHANGED;
}

static void show_progress(size_t done, size_t total) {
    if (isatty(STDERR_FILENO) && (done % 100 == 0 || done == total))
        fprintf(stderr, "\r%zu of %zu written%s", done, total, done == total ? "\n" : "");
}

/* Writes all new texts beside the files. On failure nothing is left of them. */
static bool stage_all(const struct import *import, struct error *error) {
    size_t total = import->counts[FATE_ADDED] + import->counts[FATE_CHANGED];
    struct organisation *organisation;
    size_t done = 0;
    bool is_right = true;

    for (organisation = import->organisations; organisation != NULL && is_right;
         organisation = organisation->hh.next) {
        if (!is_written(organisation))
            continue;
        is_right = editor_stage(import->editor, organisation->id, organisation->text, error);
        show_progress(++done, total);
    }
    if (is_right && editor_sync_staged(import->editor, error))
        return true;
    for (organisation = import->organisations; organisation != NULL;
         organisation = organisation->hh.next) {
        if (is_written(organisation))
            editor_unstage(import->editor, organisation->id);
    }
    return false;
}

static int apply(const struct import *import) {
    struct organisation *organisation;
    struct error error;
    bool is_right = true;

    if (!stage_all(import, &error))
        return cli_fail(import->editor->cli, EX_IOERR, "nothing has changed: %s", error.text);
    for (organisation = import->organisations; organisation != NULL && is_right;
         organisation = organisation->hh.next) {
        if (is_written(organisation))
            is_right = editor_put_in_place(import->editor, organisation->id, &error);
        else if (organisation->fate == FATE_REMOVED)
            is_right = editor_remove(import->editor, organisation->id, &error);
    }
    if (!is_right || !editor_sync(import->editor, &error))
        return cli_fail(import->editor->cli, EX_IOERR, "%s: import again", error.text);
    return EX_OK;
}

static void report_json(const struct import *import) {
    cJSON *root = cJSON_CreateObject();
    const struct organisation *organisation;

    for (size_t i = 0; i < FATES; i++)
        cJSON_AddArrayToObject(root, fate_names[i]);
    for (organisation = import->organisations; organisation != NULL;
         organisation = organisation->hh.next)
        cJSON_AddItemToArray(cJSON_GetObjectItem(root, fate_names[organisation->fate]),
                             cJSON_CreateString(organisation->id));
    char *text = editor_print(root);
    fputs(text, stdout);
    free(text);
    cJSON_Delete(root);
}

static void report(const struct import *import) {
    const struct organisation *organisation;

    if (cli_wants_json(import->editor->cli)) {
        report_json(import);
        return;
    }
    for (organisation = import->organisations; organisation != NULL;
         organisation = organisation->hh.next) {
        if (organisation->fate != FATE_UNCHANGED)
            printf("%s %s\n", fate_names[organisation->fate], organisation->id);
    }
    printf("%zu added, %zu changed, %zu unchanged, %zu removed%s\n", import->counts[FATE_ADDED],
           import->counts[FATE_CHANGED], import->counts[FATE_UNCHANGED],
           import->counts[FATE_REMOVED], import->is_dry_run ? " (nothing was written)" : "");
}

/* ---- The verb ---- */

static int run(struct import *import) {
    struct cli *cli = import->editor->cli;

    if (!cJSON_IsArray(import->document.root) && !cJSON_IsObject(import->document.root)) {
        refuse(import, import->document.root, NULL,
               "must be an array of objects with an \"id\", or an object with the ids for keys");
        return EX_DATAERR;
    }
    read_all(import);
    settle(import);
    if (import->failures > 0)
        return cli_fail(cli, EX_DATAERR, "%zu errors: nothing is written", import->failures);
    int code = import->is_dry_run ? EX_OK : apply(import);
    if (code == EX_OK)
        report(import);
    return code;
}

static void import_deinit(struct import *import) {
    struct organisation *organisation;
    struct organisation *next_organisation;
    struct claim *claim;
    struct claim *next_claim;

    HASH_ITER(hh, import->claims, claim, next_claim) {
        HASH_DEL(import->claims, claim);
        free(claim);
    }
    HASH_ITER(hh, import->organisations, organisation, next_organisation) {
        HASH_DEL(import->organisations, organisation);
        tenant_unref(organisation->tenant);
        free(organisation->text);
        free(organisation->id);
        free(organisation);
    }
    json_deinit(&import->document);
}

static bool parse_options(struct import *import, int argc, char **argv) {
    static const struct option table[] = {{"dry-run", no_argument, NULL, 'd'},
                                          {"prune", no_argument, NULL, 'p'},
                                          {"force", no_argument, NULL, 'f'},
                                          {NULL, 0, NULL, 0}};
    int code;

    while ((code = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (code == '?')
            return false;
        import->is_dry_run |= code == 'd';
        import->prunes |= code == 'p';
        import->is_forced |= code == 'f';
    }
    return optind + 1 == argc;
}

int tenant_import(struct cli *cli, int argc, char **argv) {
    struct editor editor;
    struct import import = {.editor = &editor};
    struct error error;

    if (!parse_options(&import, argc, argv))
        return cli_usage(cli);
    if (!json_load(&import.document, argv[optind], IMPORT_BYTES_MAX, &error))
        return cli_fail(cli, EX_DATAERR, "%s", error.text);
    int code = editor_open(&editor, cli);
    if (code != EX_OK) {
        json_deinit(&import.document);
        return code;
    }
    code = run(&import);
    import_deinit(&import); /* the claims borrow from the editor's registry */
    editor_close(&editor);
    return code;
}
