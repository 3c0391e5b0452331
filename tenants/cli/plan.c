/* fpmuxctl plan: what `up` would do, and nothing done. */
#include <cjson/cJSON.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "tenants/cli/cli.h"
#include "tenants/cli/dock.h"

enum { EX_CHANGES = 2 };

static const struct {
    char sign;
    const char *verb; /* in the sum */
} kinds[CHANGE_KINDS] = {
    [CHANGE_CREATE] = {'+', "to create"},       [CHANGE_REPLACE] = {'~', "to replace"},
    [CHANGE_START] = {'>', "to start"},         [CHANGE_FINISH] = {'~', "to finish"},
    [CHANGE_REMOVE] = {'-', "to remove"},       [CHANGE_CONFLICT] = {'!', "in conflict"},
    [CHANGE_NO_IMAGE] = {'!', "without image"},
};

static void print_change(const struct change *change) {
    printf("%c %-9s %s", kinds[change->kind].sign, change_kind_name(change->kind), change->name);
    if (change->kind == CHANGE_CONFLICT)
        printf(": the name belongs to container %.12s, which is not fpmux's", change->foreign->id);
    else if (change->kind == CHANGE_NO_IMAGE)
        printf(": %s is not there; build it with: fpmuxctl build", change->wanted->image);
    else if (change->reason[0] != '\0')
        printf(": %s", change->reason);
    putchar('\n');
}

static void print_text(const struct plan *plan) {
    size_t counts[CHANGE_KINDS] = {0};

    for (size_t i = 0; i < plan->count; i++) {
        print_change(&plan->items[i]);
        counts[plan->items[i].kind]++;
    }
    for (int kind = 0; kind < CHANGE_KINDS; kind++)
        if (counts[kind] > 0)
            printf("%zu %s, ", counts[kind], kinds[kind].verb);
    printf("%zu as they should be\n", plan->unchanged);
}

static void print_json(const struct plan *plan) {
    cJSON *root = cJSON_CreateObject();
    cJSON *changes = cJSON_AddArrayToObject(root, "changes");

    for (size_t i = 0; i < plan->count; i++) {
        const struct change *change = &plan->items[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "change", change_kind_name(change->kind));
        cJSON_AddStringToObject(item, "role", role_name(change->role));
        cJSON_AddStringToObject(item, "id", change->unit);
        cJSON_AddStringToObject(item, "container", change->name);
        cJSON_AddStringToObject(item, "reason", change->reason);
        cJSON_AddItemToArray(changes, item);
    }
    cJSON_AddNumberToObject(root, "unchanged", (double)plan->unchanged);
    char *text = cJSON_Print(root);
    if (text == NULL)
        abort();
    puts(text);
    cJSON_free(text);
    cJSON_Delete(root);
}

int verb_plan(struct cli *cli, int argc, char **argv) {
    static const struct option options[] = {{"detailed-exitcode", no_argument, NULL, 'd'},
                                            {NULL, 0, NULL, 0}};
    bool is_detailed = false;
    struct dock dock;
    struct survey survey;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'd')
            return cli_usage(cli);
        is_detailed = true;
    }
    int code = dock_open(&dock, cli, (const char *const *)argv + optind);
    if (code == EX_OK && (code = dock_survey(&dock, &survey)) == EX_OK) {
        if (cli_wants_json(cli))
            print_json(&survey.plan);
        else
            print_text(&survey.plan);
        code = dock_tell_unclear(&dock);
        if (code == EX_OK && is_detailed && survey.plan.count > 0)
            code = EX_CHANGES;
        survey_deinit(&survey);
    }
    dock_close(&dock);
    return code;
}
