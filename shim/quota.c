#include "shim/quota.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "shim/daemon.h"
#include "shim/folder.h"
#include "tenants/allowance.h"
#include "tenants/log.h"

enum { RESTS_PER_ASKING = 20 };
static const uint64_t ASK_EVERY_NS = 1000000000U, FIRST_ANSWER_WAIT_NS = 500000000U;

struct quota {
    char id[TENANT_ID_MAX + 1];
    struct tenant_plan plan;
    struct account *account; /* the meter's */
    struct month_use others; /* what others charged this month, as far as it is known */
    bool is_known;           /* the ledger has said it */
    enum allowance state;
    UT_hash_handle by_id;
};

static struct quota *find(const struct quotas *quotas, const char *id) {
    struct quota *quota;

    HASH_FIND(by_id, quotas->table, id, strlen(id), quota);
    return quota;
}

bool quota_is_over(const struct quotas *quotas, const char *id) {
    const struct quota *quota = find(quotas, id);

    return quota != NULL && quota->state == ALLOWANCE_OVER;
}

/* ---- Judging ---- */

static struct month_use use_of(const struct quota *quota) {
    struct month_use own = meter_month_use(quota->account);

    return (struct month_use){.requests = quota->others.requests + own.requests,
                              .cpu_ns = quota->others.cpu_ns + own.cpu_ns};
}

/* "CPU 12.345 of 3600 s, 17 of 1000 requests" */
static void format_use(const struct tenant_plan *plan, struct month_use use, char *text,
                       size_t size) {
    size_t used = 0;

    text[0] = '\0';
    if (plan->cpu_seconds_per_month > 0)
        used = (size_t)snprintf(text, size, "CPU %.3f of %" PRIu64 " s", (double)use.cpu_ns / 1e9,
                                plan->cpu_seconds_per_month);
    if (plan->requests_per_month > 0)
        snprintf(text + used, size - used, "%s%" PRIu64 " of %" PRIu64 " requests",
                 used > 0 ? ", " : "", use.requests, plan->requests_per_month);
}

/* The limit to raise: that of the CPU, unless only the other one is reached. */
static const char *key_to_raise(const struct tenant_plan *plan, struct month_use use) {
    struct tenant_plan cpu_only = *plan;

    cpu_only.requests_per_month = 0;
    return allowance_judge(&cpu_only, use) == allowance_judge(plan, use)
               ? "plan.cpu_seconds_per_month"
               : "plan.requests_per_month";
}

static void say(const struct quota *quota, enum allowance before) {
    struct month_use use = use_of(quota);
    char figures[160];

    format_use(&quota->plan, use, figures, sizeof figures);
    if (quota->state == ALLOWANCE_OVER)
        log_warning("tenant %s: has used up its plan of this month: %s; %s until the month ends "
                    "(UTC) or %s is raised (fpmuxctl tenant set)",
                    quota->id, figures,
                    quota->plan.over == PLAN_OVER_REFUSE ? "its requests are answered with 429"
                                                         : "its requests run one at a time",
                    key_to_raise(&quota->plan, use));
    else if (before == ALLOWANCE_OVER)
        log_notice("tenant %s: is within its plan again: %s", quota->id, figures);
    else if (quota->state == ALLOWANCE_NEAR)
        log_warning("tenant %s: has used 80 %% of its plan of this month: %s; %s may have to be "
                    "raised (fpmuxctl tenant set)",
                    quota->id, figures, key_to_raise(&quota->plan, use));
}

static void judge(struct daemon *daemon, struct quota *quota) {
    enum allowance before = quota->state;

    quota->state = allowance_judge(&quota->plan, use_of(quota));
    if (quota->state == before)
        return;
    say(quota, before);
    if (quota->state == ALLOWANCE_OVER || before == ALLOWANCE_OVER)
        site_set_over_quota(daemon, quota->id, quota->state == ALLOWANCE_OVER);
}

/* ---- What others charged ---- */

static void ask(struct daemon *daemon, size_t count, bool all) {
    struct quotas *quotas = &daemon->quotas;
    struct month_question *question =
        calloc(1, sizeof *question + count * sizeof question->sums[0]);

    if (question == NULL)
        return; /* at the next tick */
    question->month = period_around(LEDGER_BY_MONTH, PERIOD_UTC, quotas->month);
    question->except = counters_instance(daemon->counters);
    for (struct quota *quota = quotas->table; quota != NULL; quota = quota->by_id.next)
        if (all || !quota->is_known)
            memcpy(question->sums[question->count++].tenant, quota->id, sizeof quota->id);
    quotas->is_asking = true;
    folder_ask(daemon->folder, question);
}

/* New ones at once, all of them again when that is due. */
static void ask_if_due(struct daemon *daemon, uint64_t now_ns) {
    struct quotas *quotas = &daemon->quotas;

    if (quotas->is_asking || quotas->table == NULL)
        return;
    if (now_ns >= quotas->ask_at_ns)
        ask(daemon, HASH_CNT(by_id, quotas->table), true);
    else if (quotas->unknown > 0)
        ask(daemon, quotas->unknown, false);
}

static void note_answer(struct quotas *quotas, const struct month_question *answer,
                        uint64_t now_ns) {
    uint64_t rest_ns = answer->took_ns * RESTS_PER_ASKING;
    uint64_t ask_at_ns = now_ns + (rest_ns > ASK_EVERY_NS ? rest_ns : ASK_EVERY_NS);

    quotas->is_asking = false;
    if (ask_at_ns > quotas->ask_at_ns)
        quotas->ask_at_ns = ask_at_ns;
    if (answer->month.from != quotas->month)
        return;
    for (size_t i = 0; i < answer->count; i++) {
        struct quota *quota = find(quotas, answer->sums[i].tenant);
        if (quota == NULL)
            continue;
        quota->others = answer->sums[i].use;
        quotas->unknown -= !quota->is_known;
        quota->is_known = true;
    }
}

static void take_answer(struct daemon *daemon, uint64_t now_ns, uint64_t wait_ns) {
    if (!daemon->quotas.is_asking)
        return;
    struct month_question *answer = folder_take_answer(daemon->folder, wait_ns);
    if (answer != NULL)
        note_answer(&daemon->quotas, answer, now_ns);
    free(answer);
}

/* Of a month that has just begun nobody has used anything. */
static void follow_month(struct daemon *daemon) {
    struct quotas *quotas = &daemon->quotas;

    if (quotas->month == meter_month(daemon->meter))
        return;
    quotas->month = meter_month(daemon->meter);
    for (struct quota *quota = quotas->table; quota != NULL; quota = quota->by_id.next)
        quota->others = (struct month_use){0};
}

static void judge_all(struct daemon *daemon) {
    struct quota *quota;
    struct quota *next;

    HASH_ITER(by_id, daemon->quotas.table, quota, next) {
        judge(daemon, quota);
    }
}

void quotas_tick(struct daemon *daemon, uint64_t now_ns) {
    follow_month(daemon);
    take_answer(daemon, now_ns, 0);
    ask_if_due(daemon, now_ns);
    judge_all(daemon);
}

void quotas_begin(struct daemon *daemon, uint64_t now_ns) {
    follow_month(daemon);
    ask_if_due(daemon, now_ns);
    take_answer(daemon, now_ns, FIRST_ANSWER_WAIT_NS);
    judge_all(daemon);
}

/* ---- The registry ---- */

static struct quota *quota_new(struct daemon *daemon, const struct tenant *tenant) {
    struct quotas *quotas = &daemon->quotas;
    struct quota *quota = calloc(1, sizeof *quota);
    struct account *account = meter_account(daemon->meter, tenant->id);

    if (quota == NULL || account == NULL) {
        log_error("tenant %s: out of memory: its plan is not enforced", tenant->id);
        free(quota);
        return NULL;
    }
    memcpy(quota->id, tenant->id, sizeof quota->id);
    quota->account = account;
    quotas->unknown++;
    HASH_ADD_KEYPTR(by_id, quotas->table, quota->id, strlen(quota->id), quota);
    return quota;
}

static void quota_free(struct quotas *quotas, struct quota *quota) {
    HASH_DELETE(by_id, quotas->table, quota);
    quotas->unknown -= !quota->is_known;
    free(quota);
}

void quota_on_change(struct daemon *daemon, const struct tenant *before, struct tenant *after) {
    struct quotas *quotas = &daemon->quotas;
    const char *id = before != NULL ? before->id : after->id;
    struct quota *quota = find(quotas, id);

    if (after == NULL || !allowance_is_limited(&after->plan)) {
        if (quota != NULL)
            quota_free(quotas, quota);
        site_set_over_quota(daemon, id, false);
        return;
    }
    if (quota == NULL)
        quota = quota_new(daemon, after);
    if (quota == NULL)
        return;
    quota->plan = after->plan;
    judge(daemon, quota);
    /* Also when that is as before: `over` may have changed. */
    site_set_over_quota(daemon, id, quota->state == ALLOWANCE_OVER);
}

void quotas_free(struct quotas *quotas) {
    struct quota *quota;
    struct quota *next;

    HASH_ITER(by_id, quotas->table, quota, next) {
        quota_free(quotas, quota);
    }
}
