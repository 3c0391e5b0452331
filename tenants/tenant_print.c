/* A tenant as text for people and as JSON for programs: the only way by which one is ever printed,
 * so this is where secrets are kept back. The JSON is a registry file again, but for the secrets
 * and "this_month".
 */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/allowance.h"
#include "tenants/tenant.h"

static const char hidden[] = "(secret)";
static const char *const state_names[] = {
    [TENANT_ACTIVE] = "active", [TENANT_SUSPENDED] = "suspended"};
static const char *const over_names[] = {[PLAN_OVER_REFUSE] = "refuse", [PLAN_OVER_SLOW] = "slow"};

/* Whoever writes a password straight into the file shall not find it in a ticket or on a screen. */
static bool is_secret(const struct tenant_param *param) {
    static const char *const marks[] = {"PASS", "SECRET", "TOKEN", "KEY"};

    for (size_t index = 0; index < sizeof marks / sizeof marks[0]; index++)
        if (strstr(param->name, marks[index]) != NULL)
            return true;
    return param->is_secret;
}

static const char *shown_value(const struct tenant_param *param) {
    return is_secret(param) ? hidden : param->value;
}

/* The last day that is paid; false when there is no end. */
static bool format_paid_until(const struct tenant_plan *plan, char *text, size_t room) {
    time_t last = plan->paid_until - 1;
    struct tm day;

    return plan->paid_until != 0 && gmtime_r(&last, &day) != NULL &&
           strftime(text, room, "%Y-%m-%d", &day) > 0;
}

/* ---- For programs ---- */

static void add_settings(cJSON *object, const char *key, const struct settings *settings) {
    if (settings->count == 0)
        return;
    cJSON *map = cJSON_AddObjectToObject(object, key);
    for (size_t index = 0; index < settings->count; index++)
        cJSON_AddStringToObject(map, settings->items[index].key, settings->items[index].value);
}

static void add_limits(cJSON *object, const struct tenant_limits *limits) {
    cJSON *map = cJSON_AddObjectToObject(object, "limits");

    cJSON_AddNumberToObject(map, "concurrency", limits->concurrency);
    cJSON_AddNumberToObject(map, "queue", limits->queue);
    cJSON_AddNumberToObject(map, "queue_seconds", limits->queue_ms / 1000.0);
    cJSON_AddNumberToObject(map, "request_seconds", limits->request_ms / 1000.0);
    cJSON_AddNumberToObject(map, "weight", limits->weight);
}

static void add_plan(cJSON *object, const struct tenant_plan *plan) {
    cJSON *map = cJSON_AddObjectToObject(object, "plan");
    char paid_until[32];

    if (plan->name != NULL)
        cJSON_AddStringToObject(map, "name", plan->name);
    if (format_paid_until(plan, paid_until, sizeof paid_until))
        cJSON_AddStringToObject(map, "paid_until", paid_until);
    if (plan->cpu_seconds_per_month > 0)
        cJSON_AddNumberToObject(map, "cpu_seconds_per_month", (double)plan->cpu_seconds_per_month);
    if (plan->requests_per_month > 0)
        cJSON_AddNumberToObject(map, "requests_per_month", (double)plan->requests_per_month);
    cJSON_AddStringToObject(map, "over", over_names[plan->over]);
    cJSON_AddStringToObject(map, "suspended", plan->stop_container ? "stop" : "keep");
}

static void add_hosts_and_params(cJSON *object, const struct tenant *tenant) {
    cJSON *hosts = cJSON_AddArrayToObject(object, "hosts");

    for (size_t index = 0; index < tenant->hosts.count; index++)
        cJSON_AddItemToArray(hosts, cJSON_CreateString(tenant->hosts.items[index]));
    cJSON_AddStringToObject(object, "pool", tenant->pool);
    if (tenant->token != NULL)
        cJSON_AddStringToObject(object, "token", hidden);
    cJSON *params = cJSON_AddObjectToObject(object, "params");
    for (size_t index = 0; index < tenant->param_count; index++)
        cJSON_AddStringToObject(params, tenant->params[index].name,
                                shown_value(&tenant->params[index]));
}

static void add_container(cJSON *object, const struct tenant_container *container) {
    if (container->image == NULL && container->memory_bytes == 0)
        return;
    cJSON *map = cJSON_AddObjectToObject(object, "container");
    if (container->image != NULL)
        cJSON_AddStringToObject(map, "image", container->image);
    if (container->memory_bytes > 0)
        cJSON_AddNumberToObject(map, "memory_bytes", (double)container->memory_bytes);
}

static void add_cron(cJSON *object, const struct tenant_cron *cron) {
    if (cron == NULL)
        return;
    cJSON *map = cJSON_AddObjectToObject(object, "cron");
    cJSON_AddNumberToObject(map, "every_seconds", cron->every_seconds);
    cJSON_AddNumberToObject(map, "seconds", cron->limit_ms / 1000.0);
    cJSON *command = cJSON_AddArrayToObject(map, "command");
    for (size_t index = 0; index < cron->command.count; index++)
        cJSON_AddItemToArray(command, cJSON_CreateString(cron->command.items[index]));
}

/* limit 0: none. What is not known, or has no end, is null. */
static void add_use(cJSON *map, const char *key, double limit, double used,
                    const struct month_so_far *month) {
    double forecast = allowance_forecast(used, month->month, month->now);
    cJSON *object = cJSON_AddObjectToObject(map, key);

    cJSON_AddNumberToObject(object, "used", used);
    cJSON_AddItemToObject(object, "left",
                          limit > 0 ? cJSON_CreateNumber(limit > used ? limit - used : 0)
                                    : cJSON_CreateNull());
    cJSON_AddItemToObject(object, "forecast",
                          forecast >= 0 ? cJSON_CreateNumber(forecast) : cJSON_CreateNull());
}

static void add_month(cJSON *object, const struct tenant_plan *plan,
                      const struct month_so_far *month) {
    cJSON *map = cJSON_AddObjectToObject(object, "this_month");
    char time[PERIOD_TIME_BYTES];

    period_format_time(month->month.from, time);
    cJSON_AddStringToObject(map, "from", time);
    period_format_time(month->month.to, time);
    cJSON_AddStringToObject(map, "to", time);
    cJSON_AddStringToObject(map, "quota", allowance_name(allowance_judge(plan, month->use)));
    add_use(map, "cpu_seconds", (double)plan->cpu_seconds_per_month,
            (double)month->use.cpu_ns / 1e9, month);
    add_use(map, "requests", (double)plan->requests_per_month, (double)month->use.requests, month);
}

static void print_json(const struct tenant *tenant, const struct month_so_far *month, FILE *out) {
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "name", tenant->name);
    cJSON_AddStringToObject(object, "state", state_names[tenant->state]);
    add_hosts_and_params(object, tenant);
    add_settings(object, "php", &tenant->php);
    add_limits(object, &tenant->limits);
    add_plan(object, &tenant->plan);
    if (month != NULL)
        add_month(object, &tenant->plan, month);
    add_container(object, &tenant->container);
    add_cron(object, tenant->cron);
    add_settings(object, "labels", &tenant->labels);
    char *text = cJSON_Print(object);
    fprintf(out, "%s\n", text != NULL ? text : "");
    free(text);
    cJSON_Delete(object);
}

/* ---- For people ---- */

/* One line; control characters in a value could otherwise steer the terminal. */
static void print_line(FILE *out, const char *key, const char *value) {
    fprintf(out, "  %-22s ", key);
    for (; *value != '\0'; value++)
        fputc((unsigned char)*value < 0x20 || *value == 0x7f ? '?' : *value, out);
    fputc('\n', out);
}

static void print_settings(FILE *out, const char *title, const struct settings *settings) {
    if (settings->count > 0)
        fprintf(out, "%s\n", title);
    for (size_t index = 0; index < settings->count; index++)
        print_line(out, settings->items[index].key, settings->items[index].value);
}

static void print_limits(FILE *out, const struct tenant_limits *limits) {
    fprintf(out,
            "limits\n"
            "  %-22s %u running, %u waiting for at most %g s\n"
            "  %-22s %g s\n"
            "  %-22s %u\n",
            "requests", limits->concurrency, limits->queue, limits->queue_ms / 1000.0,
            "time of a request", limits->request_ms / 1000.0, "weight", limits->weight);
}

static void print_plan(FILE *out, const struct tenant_plan *plan) {
    char paid_until[32];

    fprintf(out, "plan\n");
    if (plan->name != NULL)
        print_line(out, "name", plan->name);
    print_line(out, "paid until",
               format_paid_until(plan, paid_until, sizeof paid_until) ? paid_until : "no end");
    if (plan->cpu_seconds_per_month > 0)
        fprintf(out, "  %-22s %llu\n", "CPU seconds per month",
                (unsigned long long)plan->cpu_seconds_per_month);
    if (plan->requests_per_month > 0)
        fprintf(out, "  %-22s %llu\n", "requests per month",
                (unsigned long long)plan->requests_per_month);
    print_line(out, "over quota", over_names[plan->over]);
    print_line(out, "container if suspended", plan->stop_container ? "stop" : "keep");
}

/* decimals: of the figures that are exact. */
static void print_use(FILE *out, const char *key, int decimals, double limit, double used,
                      const struct month_so_far *month) {
    double forecast = allowance_forecast(used, month->month, month->now);

    fprintf(out, "  %-22s %.*f used, ", key, decimals, used);
    if (limit > 0)
        fprintf(out, "%.*f left", decimals, limit > used ? limit - used : 0);
    else
        fprintf(out, "no limit");
    if (forecast >= 0)
        fprintf(out, ", about %.0f by the month's end", forecast);
    fputc('\n', out);
}

static void print_month(FILE *out, const struct tenant_plan *plan,
                        const struct month_so_far *month) {
    static const char *const over[] = {[PLAN_OVER_REFUSE] = "over: requests are answered with 429",
                                       [PLAN_OVER_SLOW] = "over: requests run one at a time"};
    enum allowance allowance = allowance_judge(plan, month->use);
    char from[PERIOD_TIME_BYTES];

    period_format_time(month->month.from, from);
    fprintf(out, "this month, from %.10s (UTC)\n", from);
    print_use(out, "CPU seconds", 3, (double)plan->cpu_seconds_per_month,
              (double)month->use.cpu_ns / 1e9, month);
    print_use(out, "requests", 0, (double)plan->requests_per_month, (double)month->use.requests,
              month);
    print_line(out, "quota",
               allowance == ALLOWANCE_OVER ? over[plan->over] : allowance_name(allowance));
}

static void print_container(FILE *out, const struct tenant_container *container) {
    if (container->image != NULL)
        print_line(out, "image", container->image);
    if (container->memory_bytes > 0)
        fprintf(out, "  %-22s %llu\n", "memory of container",
                (unsigned long long)container->memory_bytes);
}

static void print_cron(FILE *out, const struct tenant_cron *cron) {
    fprintf(out, "cron, every %u s, at most %g s\n", cron->every_seconds, cron->limit_ms / 1000.0);
    for (size_t index = 0; index < cron->command.count; index++)
        print_line(out, index == 0 ? "command" : "", cron->command.items[index]);
}

static void print_text(const struct tenant *tenant, const struct month_so_far *month, FILE *out) {
    fprintf(out, "%s\n", tenant->id);
    print_line(out, "name", tenant->name);
    print_line(out, "state", state_names[tenant->state]);
    for (size_t index = 0; index < tenant->hosts.count; index++)
        print_line(out, "host", tenant->hosts.items[index]);
    print_line(out, "pool", tenant->pool);
    if (tenant->token != NULL)
        print_line(out, "token", hidden);
    fprintf(out, "params\n");
    for (size_t index = 0; index < tenant->param_count; index++)
        print_line(out, tenant->params[index].name, shown_value(&tenant->params[index]));
    print_settings(out, "php", &tenant->php);
    print_limits(out, &tenant->limits);
    print_plan(out, &tenant->plan);
    if (month != NULL)
        print_month(out, &tenant->plan, month);
    print_container(out, &tenant->container);
    if (tenant->cron != NULL)
        print_cron(out, tenant->cron);
    print_settings(out, "labels", &tenant->labels);
}

void tenant_print(const struct tenant *tenant, const struct month_so_far *month, FILE *out,
                  bool as_json) {
    if (as_json)
        print_json(tenant, month, out);
    else
        print_text(tenant, month, out);
}
