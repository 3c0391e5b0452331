/* fpmuxctl tenant: its verbs, and those that only look (list, show). */
#include "tenants/cli/tenant.h"

#include <cjson/cJSON.h>
#include <libsmartcols.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "tenants/allowance.h"
#include "tenants/cli/month.h"
#include "tenants/registry.h"

/* ---- list ---- */

enum column {
    COLUMN_ID,
    COLUMN_NAME,
    COLUMN_STATE,
    COLUMN_HOSTS,
    COLUMN_POOL,
    COLUMN_PAID,
    COLUMN_QUOTA,
    COLUMN_ERROR,
    COLUMNS
};

static const char *state_name(const struct tenant *tenant) {
    return tenant->state == TENANT_ACTIVE ? "active" : "suspended";
}

/* The last day that is paid, or "". */
static void paid_until(const struct tenant *tenant, char text[16]) {
    time_t last = tenant->plan.paid_until - 1;
    struct tm day;

    text[0] = '\0';
    if (tenant->plan.paid_until != 0 && gmtime_r(&last, &day) != NULL)
        strftime(text, 16, "%Y-%m-%d", &day);
}

static char *join(const struct string_list *list) {
    size_t bytes = 1;

    for (size_t i = 0; i < list->count; i++)
        bytes += strlen(list->items[i]) + 2;
    char *text = calloc(1, bytes);
    if (text == NULL)
        abort();
    char *end = text;
    for (size_t i = 0; i < list->count; i++)
        end = stpcpy(stpcpy(end, i > 0 ? ", " : ""), list->items[i]);
    return text;
}

static struct libscols_line *new_line(struct libscols_table *table) {
    struct libscols_line *line = scols_table_new_line(table, NULL);

    if (line == NULL)
        abort();
    return line;
}

/* "over, 103 %" or, as long as less is used, "17 %"; "" where the plan has no limit or what was
 * used is not known. */
static void quota(const struct month *month, const struct tenant *tenant, char text[32]) {
    const struct month_use *use = month_find(month, tenant->id);

    text[0] = '\0';
    if (use == NULL)
        return;
    enum allowance allowance = allowance_judge(&tenant->plan, *use);
    snprintf(text, 32, "%s%s%.0f %%", allowance != ALLOWANCE_FREE ? allowance_name(allowance) : "",
             allowance != ALLOWANCE_FREE ? ", " : "",
             floor(allowance_used_percent(&tenant->plan, *use)));
}

/* Where the lines or objects go, and what stands in them besides the registry. */
struct listing {
    const struct month *month;
    struct libscols_table *table;
    cJSON *all;
};

static void add_tenant_line(void *context, struct tenant *tenant) {
    const struct listing *listing = context;
    struct libscols_line *line = new_line(listing->table);
    char *hosts = join(&tenant->hosts);
    char day[16];
    char used[32];

    paid_until(tenant, day);
    quota(listing->month, tenant, used);
    scols_line_set_data(line, COLUMN_ID, tenant->id);
    scols_line_set_data(line, COLUMN_NAME, tenant->name);
    scols_line_set_data(line, COLUMN_STATE, state_name(tenant));
    scols_line_refer_data(line, COLUMN_HOSTS, hosts);
    scols_line_set_data(line, COLUMN_POOL, tenant->pool);
    scols_line_set_data(line, COLUMN_PAID, day);
    scols_line_set_data(line, COLUMN_QUOTA, used);
}

static void add_error_line(void *context, const char *id, const char *text) {
    const struct listing *listing = context;
    struct libscols_line *line = new_line(listing->table);

    scols_line_set_data(line, COLUMN_ID, id);
    scols_line_set_data(line, COLUMN_STATE, "error");
    scols_line_set_data(line, COLUMN_ERROR, text);
}

/* The last two columns are there only where they have something to say. */
static void print_table(const struct registry *registry, const struct month *month) {
    static const char *const titles[COLUMNS] = {"ID",   "NAME",       "STATE",      "HOSTS",
                                                "POOL", "PAID UNTIL", "MONTH USED", "ERROR"};
    struct libscols_table *table = scols_new_table();
    struct listing listing = {.month = month, .table = table};

    if (table == NULL)
        abort();
    for (size_t i = 0; i < COLUMNS; i++) {
        struct libscols_column *column = scols_table_new_column(table, titles[i], 0, 0);
        if (column == NULL)
            abort();
        if ((i == COLUMN_ERROR && registry_error_count(registry) == 0) ||
            (i == COLUMN_QUOTA && month->count == 0))
            scols_column_set_flags(column, SCOLS_FL_HIDDEN);
    }
    registry_each(registry, add_tenant_line, &listing);
    registry_each_error(registry, add_error_line, &listing);
    scols_print_table(table);
    scols_unref_table(table);
}

/* null: the plan has no limit. */
static cJSON *quota_object(const struct month *month, const struct tenant *tenant) {
    const struct month_use *use = month_find(month, tenant->id);

    if (!allowance_is_limited(&tenant->plan))
        return cJSON_CreateNull();
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "state",
                            use != NULL ? allowance_name(allowance_judge(&tenant->plan, *use))
                                        : "unknown");
    cJSON_AddItemToObject(object, "used_percent",
                          use != NULL
                              ? cJSON_CreateNumber(allowance_used_percent(&tenant->plan, *use))
                              : cJSON_CreateNull());
    return object;
}

static void add_tenant_object(void *context, struct tenant *tenant) {
    const struct listing *listing = context;
    cJSON *object = cJSON_CreateObject();
    char day[16];

    paid_until(tenant, day);
    cJSON_AddStringToObject(object, "id", tenant->id);
    cJSON_AddStringToObject(object, "name", tenant->name);
    cJSON_AddStringToObject(object, "state", state_name(tenant));
    cJSON_AddItemToObject(object, "hosts",
                          cJSON_CreateStringArray((const char *const *)tenant->hosts.items,
                                                  (int)tenant->hosts.count));
    cJSON_AddStringToObject(object, "pool", tenant->pool);
    cJSON_AddItemToObject(object, "paid_until",
                          day[0] != '\0' ? cJSON_CreateString(day) : cJSON_CreateNull());
    cJSON_AddItemToObject(object, "quota", quota_object(listing->month, tenant));
    cJSON_AddItemToArray(listing->all, object);
}

static void add_error_object(void *context, const char *id, const char *text) {
    const struct listing *listing = context;
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "id", id);
    cJSON_AddStringToObject(object, "state", "error");
    cJSON_AddStringToObject(object, "error", text);
    cJSON_AddItemToArray(listing->all, object);
}

static void print_json(const struct registry *registry, const struct month *month) {
    cJSON *all = cJSON_CreateArray();
    struct listing listing = {.month = month, .all = all};

    registry_each(registry, add_tenant_object, &listing);
    registry_each_error(registry, add_error_object, &listing);
    char *text = cJSON_Print(all);
    if (text == NULL)
        abort();
    puts(text);
    cJSON_free(text);
    cJSON_Delete(all);
}

static int tenant_list(struct cli *cli, int argc, char **argv) {
    struct registry *registry;
    struct month month;

    (void)argv;
    if (argc != 1)
        return cli_usage(cli);
    int code = cli_load_registry(cli, &registry);
    if (code != EX_OK)
        return code;
    month_load(&month, cli, registry, NULL);
    if (cli_wants_json(cli))
        print_json(registry, &month);
    else
        print_table(registry, &month);
    month_deinit(&month);
    registry_close(registry);
    return EX_OK;
}

/* ---- show ---- */

struct wanted {
    const char *id;
    struct error error; /* of its file, or empty */
};

static void keep_error(void *context, const char *id, const char *text) {
    struct wanted *wanted = context;

    if (strcmp(wanted->id, id) == 0)
        error_set(&wanted->error, "%s", text);
}

static void show_tenant(struct cli *cli, const struct registry *registry,
                        const struct tenant *tenant) {
    struct month month;

    month_load(&month, cli, registry, tenant->id);
    const struct month_use *use = month_find(&month, tenant->id);
    struct month_so_far so_far = {.month = month.period, .now = month.now};
    if (use != NULL)
        so_far.use = *use;
    tenant_print(tenant, use != NULL ? &so_far : NULL, stdout, cli_wants_json(cli));
    month_deinit(&month);
}

static int show(struct cli *cli, const struct registry *registry, const char *id) {
    struct tenant *tenant = registry_find(registry, id, strlen(id));
    struct wanted wanted = {.id = id};

    registry_each_error(registry, keep_error, &wanted);
    if (wanted.error.text[0] != '\0')
        return cli_fail(cli, EX_DATAERR, "%s", wanted.error.text);
    if (tenant == NULL)
        return cli_fail(cli, EX_NOINPUT, "%s: no such tenant: see fpmuxctl tenant list", id);
    show_tenant(cli, registry, tenant);
    return EX_OK;
}

static int tenant_show(struct cli *cli, int argc, char **argv) {
    struct registry *registry;

    if (argc != 2)
        return cli_usage(cli);
    int code = cli_load_registry(cli, &registry);
    if (code != EX_OK)
        return code;
    code = show(cli, registry, argv[1]);
    registry_close(registry);
    return code;
}

/* ---- The verbs ---- */

static const struct subverb {
    const char *name;
    int (*run)(struct cli *cli, int argc, char **argv);
} subverbs[] = {
    {"list", tenant_list},     {"show", tenant_show},     {"add", tenant_add},
    {"set", tenant_set},       {"remove", tenant_remove}, {"suspend", tenant_suspend},
    {"resume", tenant_resume}, {"import", tenant_import},
};

enum { SUBVERBS = sizeof subverbs / sizeof *subverbs };

int verb_tenant(struct cli *cli, int argc, char **argv) {
    const char *names[SUBVERBS + 1] = {0};

    if (argc < 2)
        return cli_usage(cli);
    for (size_t i = 0; i < SUBVERBS; i++) {
        if (strcmp(subverbs[i].name, argv[1]) == 0)
            return subverbs[i].run(cli, argc - 1, argv + 1);
        names[i] = subverbs[i].name;
    }
    const char *closest = cli_closest(argv[1], names);
    if (closest == NULL)
        return cli_fail(cli, EX_USAGE, "no verb \"%s\": see fpmuxctl tenant --help", argv[1]);
    return cli_fail(cli, EX_USAGE, "no verb \"%s\": did you mean \"%s\"?", argv[1], closest);
}
