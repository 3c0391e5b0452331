#include "tenants/containers/charges.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uthash.h>

#include "tenants/counters.h"
#include "tenants/ledger.h"
#include "tenants/log.h"

struct account {
    struct counters_account counters;
    uint64_t waiting_ns; /* could not be counted yet */
    UT_hash_handle hh;
};

struct charges {
    pthread_mutex_t mutex; /* guards all of it */
    const struct config *config;
    char *dir;
    struct counters *counters; /* NULL until the first charge, or as long as it can't be made */
    struct account *accounts;
    struct error failure; /* of the last try; empty: it went well */
};

struct charges *charges_new(const struct config *config) {
    struct charges *charges = calloc(1, sizeof *charges);

    if (charges == NULL)
        abort();
    charges->config = config;
    charges->dir = config_counters_dir(config);
    if (charges->dir == NULL)
        abort();
    pthread_mutex_init(&charges->mutex, NULL);
    return charges;
}

static struct account *find_account(struct charges *charges, const char *tenant) {
    struct account *account;

    HASH_FIND_STR(charges->accounts, tenant, account);
    if (account != NULL)
        return account;
    account = calloc(1, sizeof *account);
    if (account == NULL)
        abort();
    counters_account_init(&account->counters, tenant);
    HASH_ADD_KEYPTR(hh, charges->accounts, account->counters.name, strlen(account->counters.name),
                    account);
    return account;
}

/* Said once, when it begins: it is tried again with every charge. */
static void note_failure(struct charges *charges, bool has_failed, const struct error *error) {
    if (has_failed && charges->failure.text[0] == '\0')
        log_error("charges: %s; counting goes on in memory", error->text);
    charges->failure = has_failed ? *error : (struct error){""};
}

static void open_or_tick(struct charges *charges) {
    struct error error = {""};
    bool is_well = true;

    if (charges->counters != NULL) {
        is_well = counters_tick(charges->counters, time(NULL), &error);
    } else {
        charges->counters = counters_open_without_workers(charges->dir, time(NULL), &error);
        is_well = charges->counters != NULL;
    }
    note_failure(charges, !is_well, &error);
}

static void write_waiting(struct charges *charges) {
    for (struct account *account = charges->accounts; account != NULL; account = account->hh.next) {
        if (account->waiting_ns > 0)
            counters_add(charges->counters, &account->counters, COUNTER_CPU_NS,
                         account->waiting_ns);
        account->waiting_ns = 0;
    }
}

void charges_add_cpu(struct charges *charges, const char *tenant, uint64_t ns) {
    pthread_mutex_lock(&charges->mutex);
    find_account(charges, tenant)->waiting_ns += ns;
    open_or_tick(charges);
    if (charges->counters != NULL)
        write_waiting(charges);
    pthread_mutex_unlock(&charges->mutex);
}

void charges_tick(struct charges *charges) {
    pthread_mutex_lock(&charges->mutex);
    if (charges->counters != NULL)
        open_or_tick(charges);
    pthread_mutex_unlock(&charges->mutex);
}

static bool fold(const struct charges *charges, struct error *error) {
    struct ledger *ledger = ledger_open(charges->config->ledger, error);
    bool is_folded = ledger != NULL && ledger_fold(ledger, charges->dir, error) == 0;

    ledger_close(ledger);
    if (!is_folded)
        error_prefix(error, "the ledger takes the CPU in later");
    return is_folded;
}

/* What no file took is lost. */
static uint64_t free_accounts(struct charges *charges) {
    struct account *next;
    struct account *account = charges->accounts;
    uint64_t lost_ns = 0;

    HASH_CLEAR(hh, charges->accounts); /* frees the table; the accounts are still linked */
    for (; account != NULL; account = next) {
        next = account->hh.next;
        lost_ns += account->waiting_ns;
        free(account);
    }
    return lost_ns;
}

bool charges_free(struct charges *charges, struct error *error) {
    bool was_opened = charges->counters != NULL;
    struct error failure = charges->failure;
    uint64_t lost_ns = free_accounts(charges);
    bool is_done = true;

    counters_close(charges->counters);
    if (lost_ns > 0) {
        error_set(error, "%.3f s of CPU could not be charged: %s", (double)lost_ns / 1e9,
                  failure.text);
        is_done = false;
    } else if (was_opened) {
        is_done = fold(charges, error);
    }
    pthread_mutex_destroy(&charges->mutex);
    free(charges->dir);
    free(charges);
    return is_done;
}
