/* One organisation, as one registry file describes it: ID.json read strictly into a typed object
 * that never changes afterwards. A changed file makes a new object; requests that run keep the old
 * one by a reference. Secrets are in it: it must never be printed except through tenant_print(). */
#ifndef FPMUX_TENANTS_TENANT_H
#define FPMUX_TENANTS_TENANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "tenants/config.h"
#include "tenants/error.h"
#include "tenants/names.h"

enum tenant_state { TENANT_ACTIVE, TENANT_SUSPENDED };

struct tenant_param {
    char *name;
    char *value;    /* the secret itself when is_secret */
    bool is_secret; /* came from {"file": PATH} */
};

struct tenant_limits {
    unsigned concurrency; /* requests running at once; ≥ 1 */
    unsigned queue;       /* requests waiting */
    unsigned queue_ms;
    unsigned request_ms;
    unsigned weight; /* 1..1000 */
};

enum plan_over { PLAN_OVER_REFUSE, PLAN_OVER_SLOW };

struct tenant_plan {
    char *name;                     /* whose prices it has (rates.h); NULL: the common ones */
    time_t paid_until;              /* first second that is not paid (UTC), 0: no end */
    uint64_t cpu_seconds_per_month; /* 0: no limit */
    uint64_t requests_per_month;    /* 0: no limit */
    enum plan_over over;
    bool stop_container; /* "suspended": "stop": its container stops when suspended */
};

/* The tenant's own web server. */
struct tenant_container {
    char *image;           /* NULL: the configuration's */
    uint64_t memory_bytes; /* 0: no limit */
};

/* A command of the application that runs again and again. */
struct tenant_cron {
    unsigned every_seconds;
    unsigned limit_ms; /* a run that takes longer is ended */
    struct string_list command;
};

struct tenant {
    unsigned references; /* through tenant_ref() and tenant_unref() only */
    char id[TENANT_ID_MAX + 1];
    char *name; /* for people; the id when the file has none */
    enum tenant_state state;
    struct string_list hosts;    /* lower case */
    char *pool;                  /* a pool of the configuration */
    char *token;                 /* or NULL; what FPMUX_TOKEN must be */
    struct tenant_param *params; /* in the file's order */
    size_t param_count;
    struct settings php;         /* only what the file sets */
    struct tenant_limits limits; /* with the configuration's defaults filled in */
    struct tenant_plan plan;
    struct tenant_container container;
    struct tenant_cron *cron; /* or NULL */
    struct settings labels;
};

/* Reads one registry file. The id is the file's name without ".json". Fails with "PATH:LINE:COLUMN:
 * what is wrong and what would be right". The result carries one reference. */
struct tenant *tenant_load(const char *path, const struct config *config, struct error *error);

/* The same from text in memory; name stands for the path in messages. */
struct tenant *tenant_parse(const char *id, const char *name, const char *text, size_t length,
                            const struct config *config, struct error *error);

struct tenant *tenant_ref(struct tenant *tenant);
void tenant_unref(struct tenant *tenant); /* NULL is allowed; the last one wipes and frees */

/* The setting's value, or the default of the tenant's pool, or NULL. Borrowed. */
const char *tenant_setting(const struct tenant *tenant, const struct pool_config *pool,
                           const char *key);

struct month_so_far; /* allowance.h */

/* For people or (as_json) for programs, with what the tenant used this month where that is known
 * (month is not NULL). The token, what came from a secret's file, and a parameter
 * whose name has PASS, SECRET, TOKEN or KEY in it are shown as the word "(secret)". */
void tenant_print(const struct tenant *tenant, const struct month_so_far *month, FILE *out,
                  bool as_json);

#endif
