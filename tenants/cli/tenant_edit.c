/* fpmuxctl tenant add, set, remove, suspend, resume: changing one tenant's file. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "tenants/cli/editor.h"
#include "tenants/cli/tenant.h"
#include "tenants/file.h"
#include "tenants/json.h"

enum { FROM_BYTES_MAX = 1 << 20 };

/* What the command line asks for. */
struct edit_options {
    cJSON *added;     /* owned: what add's options say, in the form of a tenant's file */
    const char *from; /* or NULL */
    bool is_forced;
};

/* ---- Values ---- */

/* "KEY=VALUE" into object, with VALUE as a string or, for a secret, {"file": VALUE}. */
static bool add_pair(cJSON *object, const char *pair, bool is_secret) {
    size_t length = strcspn(pair, "=");

    if (length == 0 || pair[length] == '\0')
        return false;
    char *key = strndup(pair, length);
    cJSON *value = is_secret ? cJSON_CreateObject() : cJSON_CreateString(pair + length + 1);
    if (is_secret)
        cJSON_AddStringToObject(value, "file", pair + length + 1);
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    bool is_added = cJSON_AddItemToObject(object, key, value) != 0;
    free(key);
    return is_added;
}

/* The object that stands at key, made when it is missing; NULL when something else is there. */
static cJSON *section(cJSON *root, const char *key) {
    cJSON *object = cJSON_GetObjectItemCaseSensitive(root, key);

    if (object == NULL)
        return cJSON_AddObjectToObject(root, key);
    return cJSON_IsObject(object) ? object : NULL;
}

/* Names with commas between them, or a JSON array. */
static cJSON *read_hosts(const char *text) {
    if (text[0] == '[')
        return cJSON_ParseWithOpts(text, NULL, 1);
    cJSON *hosts = cJSON_CreateArray();
    while (*text != '\0') {
        size_t length = strcspn(text, ",");
        char *host = strndup(text, length);
        cJSON_AddItemToArray(hosts, cJSON_CreateString(host));
        free(host);
        text += length + (text[length] == ',');
    }
    return hosts;
}

/* A value that need not be a string: what JSON takes for one is none. */
static cJSON *read_scalar(const char *text) {
    cJSON *value = cJSON_ParseWithOpts(text, NULL, 1);

    return value != NULL ? value : cJSON_CreateString(text);
}

/* A string, unless it is the object of a secret. */
static cJSON *read_string(const char *text) {
    cJSON *value = text[0] == '{' ? cJSON_ParseWithOpts(text, NULL, 1) : NULL;

    return value != NULL ? value : cJSON_CreateString(text);
}

static bool has_only_strings(const char *key) {
    static const char *const keys[] = {"params", "php", "labels"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(keys[i], key) == 0)
            return true;
    }
    return false;
}

/* Applies "KEY=VALUE" or "SECTION.KEY=VALUE" to root. Only the first dot divides: php settings have
 * dots in their names. */
static bool set_value(cJSON *root, const char *assignment, struct error *error) {
    char path[512];
    size_t length = strcspn(assignment, "=");
    const char *value = assignment + length + 1;

    if (length == 0 || length >= sizeof path || assignment[length] == '\0') {
        error_set(error, "\"%s\": must be PATH=VALUE, for example limits.weight=2", assignment);
        return false;
    }
    memcpy(path, assignment, length);
    path[length] = '\0';
    char *key = strchr(path, '.');
    if (key != NULL)
        *key++ = '\0';
    cJSON *object = key != NULL ? section(root, path) : root;
    if (object == NULL) {
        error_set(error, "\"%s\": %s is no object", assignment, path);
        return false;
    }
    const char *name = key != NULL ? key : path;
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    if (*value == '\0')
        return true;
    cJSON *item = key == NULL && strcmp(path, "hosts") == 0 ? read_hosts(value)
                  : key == NULL || has_only_strings(path)   ? read_string(value)
                                                            : read_scalar(value);
    if (item != NULL && cJSON_AddItemToObject(object, name, item) != 0)
        return true;
    error_set(error, "\"%s\": can't be read", assignment);
    return false;
}

/* ---- add ---- */

static bool take_add_option(struct edit_options *options, int code, const char *value) {
    cJSON *root = options->added;

    switch (code) {
    case 'n':
        return cJSON_AddStringToObject(root, "name", value) != NULL;
    case 'o':
        return cJSON_AddStringToObject(root, "pool", value) != NULL;
    case 'h':
        if (cJSON_GetObjectItemCaseSensitive(root, "hosts") == NULL)
            cJSON_AddArrayToObject(root, "hosts");
        return cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(root, "hosts"),
                                    cJSON_CreateString(value)) != 0;
    case 'p':
    case 's':
        return add_pair(section(root, "params"), value, code == 's');
    case 'i':
        return add_pair(section(root, "php"), value, false);
    case 'f':
        options->from = value;
        return true;
    default:
        return false;
    }
}

/* Returns whether the options are right and leave one argument, the id. */
static bool parse_add_options(struct edit_options *options, int argc, char **argv) {
    static const struct option table[] = {
        {"name", required_argument, NULL, 'n'},   {"host", required_argument, NULL, 'h'},
        {"pool", required_argument, NULL, 'o'},   {"param", required_argument, NULL, 'p'},
        {"secret", required_argument, NULL, 's'}, {"php", required_argument, NULL, 'i'},
        {"from", required_argument, NULL, 'f'},   {NULL, 0, NULL, 0}};
    int code;

    while ((code = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (!take_add_option(options, code, optarg))
            return false;
    }
    return optind + 1 == argc;
}

/* What over says is put into base; objects are merged key by key. */
static void merge(cJSON *base, const cJSON *over) {
    const cJSON *item;

    cJSON_ArrayForEach(item, over) {
        cJSON *old = cJSON_GetObjectItemCaseSensitive(base, item->string);
        if (cJSON_IsObject(old) && cJSON_IsObject(item)) {
            merge(old, item);
            continue;
        }
        cJSON_DeleteItemFromObjectCaseSensitive(base, item->string);
        cJSON_AddItemToObject(base, item->string, cJSON_Duplicate(item, 1));
    }
}

/* The text of the new file; owned by the caller. A file that nothing is added to is taken as it is,
 * with its comments. */
static char *compose(const struct edit_options *options, struct error *error) {
    struct json_document document;
    size_t length;

    if (options->from == NULL)
        return editor_print(options->added);
    if (options->added->child == NULL)
        return file_read(options->from, FROM_BYTES_MAX, &length, NULL, error);
    if (!json_load(&document, options->from, FROM_BYTES_MAX, error))
        return NULL;
    merge(document.root, options->added);
    char *text = editor_print(document.root);
    json_deinit(&document);
    return text;
}

/* Checks and writes one file; the result is an exit code. */
static int save(const struct editor *editor, const char *id, const char *text) {
    struct error error;

    if (!editor_check(editor, id, text, &error))
        return cli_fail(editor->cli, EX_DATAERR, "%s: nothing is written: %s", id, error.text);
    if (!editor_write(editor, id, text, &error))
        return cli_fail(editor->cli, editor_has_file(editor, id) ? EX_IOERR : EX_CANTCREAT, "%s",
                        error.text);
    if (!editor_sync(editor, &error))
        return cli_fail(editor->cli, EX_IOERR, "%s", error.text);
    return EX_OK;
}

static int add(const struct editor *editor, const char *id, const struct edit_options *options) {
    struct error error;

    if (editor_has_file(editor, id))
        return cli_fail(editor->cli, EX_CANTCREAT,
                        "%s exists already: change it with fpmuxctl tenant set", id);
    char *text = compose(options, &error);
    if (text == NULL)
        return cli_fail(editor->cli, EX_DATAERR, "%s", error.text);
    int code = save(editor, id, text);
    free(text);
    return code;
}

static int run_add(struct cli *cli, const char *id, const struct edit_options *options) {
    struct editor editor;

    if (!is_tenant_id(id, strlen(id)))
        return cli_fail(cli, EX_DATAERR,
                        "\"%s\" is no id: it must be 1 to 63 of a-z, 0-9 and -, and not begin "
                        "with -",
                        id);
    int code = editor_open(&editor, cli);
    if (code != EX_OK)
        return code;
    code = add(&editor, id, options);
    editor_close(&editor);
    return code;
}

int tenant_add(struct cli *cli, int argc, char **argv) {
    struct edit_options options = {.added = cJSON_CreateObject()};

    int code = parse_add_options(&options, argc, argv) ? run_add(cli, argv[optind], &options)
                                                       : cli_usage(cli);
    cJSON_Delete(options.added);
    return code;
}

/* ---- set, suspend, resume ---- */

/* Applies the assignments to the tenant's file. */
static int change(const struct editor *editor, const char *id, char *const *assignments,
                  size_t count, bool is_forced) {
    struct error error;
    bool has_comments;
    bool is_right = true;

    if (!editor_has_file(editor, id))
        return cli_fail(editor->cli, EX_NOINPUT, "%s: no such tenant: see fpmuxctl tenant list",
                        id);
    cJSON *root = editor_read(editor, id, &has_comments, &error);
    if (root == NULL)
        return cli_fail(editor->cli, EX_DATAERR, "%s", error.text);
    for (size_t i = 0; i < count && is_right; i++)
        is_right = set_value(root, assignments[i], &error);
    char *text = editor_print(root);
    cJSON_Delete(root);
    int code = EX_OK;
    if (!is_right)
        code = cli_fail(editor->cli, EX_USAGE, "%s", error.text);
    else if (has_comments && !is_forced)
        code = cli_fail(editor->cli, EX_DATAERR,
                        "%s/%s.json has comments, which would be lost: edit it by hand, or "
                        "say --force",
                        editor->dir, id);
    else
        code = save(editor, id, text);
    free(text);
    return code;
}

static bool parse_force(struct edit_options *options, int argc, char **argv) {
    static const struct option table[] = {{"force", no_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
    int code;

    while ((code = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (code != 'f')
            return false;
        options->is_forced = true;
    }
    return optind < argc;
}

int tenant_set(struct cli *cli, int argc, char **argv) {
    struct edit_options options = {0};
    struct editor editor;

    if (!parse_force(&options, argc, argv) || argc - optind < 2)
        return cli_usage(cli);
    int code = editor_open(&editor, cli);
    if (code != EX_OK)
        return code;
    code = change(&editor, argv[optind], argv + optind + 1, (size_t)(argc - optind - 1),
                  options.is_forced);
    editor_close(&editor);
    return code;
}

/* Applies one assignment to each tenant named; a failure does not keep the others from it. */
static int change_all(struct cli *cli, int argc, char **argv, char *assignment) {
    struct edit_options options = {0};
    struct editor editor;

    if (!parse_force(&options, argc, argv))
        return cli_usage(cli);
    int result = editor_open(&editor, cli);
    if (result != EX_OK)
        return result;
    for (int i = optind; i < argc; i++) {
        int code = change(&editor, argv[i], &assignment, 1, options.is_forced);
        result = result == EX_OK ? code : result;
    }
    editor_close(&editor);
    return result;
}

int tenant_suspend(struct cli *cli, int argc, char **argv) {
    char assignment[] = "state=suspended";

    return change_all(cli, argc, argv, assignment);
}

int tenant_resume(struct cli *cli, int argc, char **argv) {
    char assignment[] = "state=active";

    return change_all(cli, argc, argv, assignment);
}

/* ---- remove ---- */

int tenant_remove(struct cli *cli, int argc, char **argv) {
    struct editor editor;
    struct error error;

    if (argc < 2)
        return cli_usage(cli);
    int result = editor_open(&editor, cli);
    if (result != EX_OK)
        return result;
    for (int i = 1; i < argc; i++) {
        int code = EX_OK;
        if (!editor_has_file(&editor, argv[i]))
            code =
                cli_fail(cli, EX_NOINPUT, "%s: no such tenant: see fpmuxctl tenant list", argv[i]);
        else if (!editor_remove(&editor, argv[i], &error))
            code = cli_fail(cli, EX_IOERR, "%s", error.text);
        result = result == EX_OK ? code : result;
    }
    if (!editor_sync(&editor, &error))
        result = cli_fail(cli, EX_IOERR, "%s", error.text);
    editor_close(&editor);
    return result;
}
