/* fpmuxctl ps: the containers there are, and those there should be. */
#include <cjson/cJSON.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "tenants/cli/cli.h"
#include "tenants/cli/dock.h"

enum column { COLUMN_UNIT, COLUMN_CONTAINER, COLUMN_STATE, COLUMN_IMAGE, COLUMN_TODO, COLUMNS };

static const struct {
    const char *title;
    const char *key; /* in JSON */
} columns[COLUMNS] = {
    [COLUMN_UNIT] = {"UNIT", "unit"},    [COLUMN_CONTAINER] = {"CONTAINER", "container"},
    [COLUMN_STATE] = {"STATE", "state"}, [COLUMN_IMAGE] = {"IMAGE", "image"},
    [COLUMN_TODO] = {"TO DO", "to_do"},
};

/* Rows as they are printed, for the table or as JSON. */
struct listing {
    struct libscols_table *table; /* one of the two */
    cJSON *array;
};

static void add_row(struct listing *listing, const char *const texts[COLUMNS]) {
    if (listing->array != NULL) {
        cJSON *row = cJSON_CreateObject();
        for (int i = 0; i < COLUMNS; i++)
            cJSON_AddStringToObject(row, columns[i].key, texts[i]);
        cJSON_AddItemToArray(listing->array, row);
        return;
    }
    struct libscols_line *line = scols_table_new_line(listing->table, NULL);
    if (line == NULL)
        abort();
    for (size_t i = 0; i < COLUMNS; i++)
        if (scols_line_set_data(line, i, texts[i]) != 0)
            abort();
}

/* What `up` would do about the container; NULL: nothing. */
static const struct change *find_change(const struct plan *plan, const struct actual *actual) {
    for (size_t i = 0; i < plan->count; i++)
        if (plan->items[i].role == actual->role && strcmp(plan->items[i].unit, actual->unit) == 0)
            return &plan->items[i];
    return NULL;
}

static void list_actual(struct listing *listing, const struct survey *survey,
                        const struct actual *actual) {
    const struct change *change = find_change(&survey->plan, actual);
    char title[CHANGE_TITLE_BYTES];
    char to_do[128] = "";

    change_title(actual->role, actual->unit, title);
    if (change != NULL)
        snprintf(to_do, sizeof to_do, "%s%s%s", change_kind_name(change->kind),
                 change->reason[0] != '\0' ? ": " : "", change->reason);
    add_row(listing,
            (const char *const[COLUMNS]){
                [COLUMN_UNIT] = title,
                [COLUMN_CONTAINER] = actual->name,
                [COLUMN_STATE] = actual->status[0] != '\0' ? actual->status
                                                           : container_state_name(actual->state),
                [COLUMN_IMAGE] = actual->image,
                [COLUMN_TODO] = to_do,
            });
}

static void list_missing(struct listing *listing, const struct change *change) {
    char title[CHANGE_TITLE_BYTES];

    change_title(change->role, change->unit, title);
    add_row(listing, (const char *const[COLUMNS]){
                         [COLUMN_UNIT] = title,
                         [COLUMN_CONTAINER] = "",
                         [COLUMN_STATE] = "not there",
                         [COLUMN_IMAGE] = change->wanted->image,
                         [COLUMN_TODO] = change_kind_name(change->kind),
                     });
}

static void list_all(struct listing *listing, const struct dock *dock,
                     const struct survey *survey) {
    for (int role = 0; role < ROLES; role++) {
        for (size_t i = 0; i < survey->actual.count; i++) {
            const struct actual *actual = &survey->actual.items[i];
            if (actual->is_ours && (int)actual->role == role &&
                plan_scope_has(&dock->scope, actual->role, actual->unit))
                list_actual(listing, survey, actual);
        }
        for (size_t i = 0; i < survey->plan.count; i++) {
            const struct change *change = &survey->plan.items[i];
            if ((int)change->role == role && change->kept == NULL && change->stale_count == 0)
                list_missing(listing, change);
        }
    }
}

static void print_table(const struct dock *dock, const struct survey *survey) {
    struct listing listing = {.table = scols_new_table()};

    if (listing.table == NULL)
        abort();
    for (int i = 0; i < COLUMNS; i++)
        if (scols_table_new_column(listing.table, columns[i].title, 0, 0) == NULL)
            abort();
    list_all(&listing, dock, survey);
    scols_print_table(listing.table);
    scols_unref_table(listing.table);
}

static void print_json(const struct dock *dock, const struct survey *survey) {
    struct listing listing = {.array = cJSON_CreateArray()};

    list_all(&listing, dock, survey);
    char *text = cJSON_Print(listing.array);
    if (text == NULL)
        abort();
    puts(text);
    cJSON_free(text);
    cJSON_Delete(listing.array);
}

int verb_ps(struct cli *cli, int argc, char **argv) {
    struct dock dock;
    struct survey survey;

    if (argc > 1 && argv[1][0] == '-')
        return cli_usage(cli);
    int code = dock_open(&dock, cli, (const char *const *)argv + 1);
    if (code == EX_OK && (code = dock_survey(&dock, &survey)) == EX_OK) {
        if (cli_wants_json(cli))
            print_json(&dock, &survey);
        else
            print_table(&dock, &survey);
        survey_deinit(&survey);
    }
    dock_close(&dock);
    return code;
}
