#include "tenants/registry_hosts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "tenants/json.h"

static void *allocate(size_t count, size_t bytes) {
    void *memory = calloc(count, bytes);

    if (memory == NULL)
        abort();
    return memory;
}

static char *copy(const char *text, size_t length) {
    char *result = strndup(text, length);

    if (result == NULL)
        abort();
    return result;
}

/* ---- The table ---- */

struct record *hosts_find(const struct host_table *table, const char *host, size_t length) {
    struct host *entry;

    HASH_FIND(hh, table->by_name, host, length, entry);
    return entry != NULL ? entry->record : NULL;
}

void hosts_take(struct host_table *table, struct record *record) {
    const struct string_list *names = &record->tenant->hosts;

    if (names->count == 0)
        return;
    record->hosts = allocate(names->count, sizeof *record->hosts);
    for (size_t i = 0; i < names->count; i++) {
        struct host *host = &record->hosts[i];
        host->record = record;
        HASH_ADD_KEYPTR(hh, table->by_name, names->items[i], strlen(names->items[i]), host);
    }
}

void hosts_give_up(struct host_table *table, struct record *record) {
    if (record->hosts == NULL)
        return;
    for (size_t i = 0; i < record->tenant->hosts.count; i++) {
        assert(table->by_name != NULL); /* the host is in it */
        HASH_DEL(table->by_name, &record->hosts[i]);
    }
    free(record->hosts);
    record->hosts = NULL;
}

/* Which of tenant's hosts another one than record has: its index, or the number of hosts. */
static size_t find_conflict(const struct host_table *table, const struct record *record,
                            const struct tenant *tenant) {
    for (size_t i = 0; i < tenant->hosts.count; i++) {
        const char *host = tenant->hosts.items[i];
        const struct record *holder = hosts_find(table, host, strlen(host));
        if (holder != NULL && holder != record)
            return i;
    }
    return tenant->hosts.count;
}

bool hosts_conflict(const struct host_table *table, const struct record *record,
                    const struct tenant *tenant) {
    return find_conflict(table, record, tenant) < tenant->hosts.count;
}

/* ---- Candidates ---- */

void hosts_add_candidate(struct host_table *table, struct record *record, struct tenant *tenant,
                         const struct source_entry *entry) {
    struct candidate *candidate = allocate(1, sizeof *candidate);

    candidate->record = record;
    candidate->tenant = tenant;
    candidate->name = copy(entry->name, strlen(entry->name));
    candidate->text = copy(entry->text, entry->length);
    record->candidate = candidate;
    DL_APPEND(table->candidates, candidate);
}

void hosts_drop_candidate(struct host_table *table, struct record *record) {
    struct candidate *candidate = record->candidate;

    if (candidate == NULL)
        return;
    DL_DELETE(table->candidates, candidate);
    record->candidate = NULL;
    tenant_unref(candidate->tenant);
    free(candidate->name);
    free(candidate->text);
    free(candidate);
}

static bool claims_host(const struct tenant *tenant, const char *host) {
    for (size_t i = 0; i < tenant->hosts.count; i++) {
        if (strcmp(tenant->hosts.items[i], host) == 0)
            return true;
    }
    return false;
}

/* Whether each host that another one has is given up by a chosen candidate. */
static bool are_hosts_given_up(const struct host_table *table, const struct candidate *candidate) {
    for (size_t i = 0; i < candidate->tenant->hosts.count; i++) {
        const char *host = candidate->tenant->hosts.items[i];
        const struct record *holder = hosts_find(table, host, strlen(host));
        if (holder == NULL || holder == candidate->record)
            continue;
        if (holder->candidate == NULL || !holder->candidate->may_take_effect ||
            claims_host(holder->candidate->tenant, host))
            return false;
    }
    return true;
}

/* Drops from the choice who waits for one outside of it, until nobody does. What is left are
 * tenants that exchange their hosts: each waits for the other, so only together can they go on. */
static void drop_waiting(struct host_table *table) {
    struct candidate *candidate;
    bool has_changed = true;

    while (has_changed) {
        has_changed = false;
        DL_FOREACH(table->candidates, candidate) {
            if (!candidate->may_take_effect || are_hosts_given_up(table, candidate))
                continue;
            candidate->may_take_effect = false;
            has_changed = true;
        }
    }
}

struct claim {
    UT_hash_handle hh; /* by host */
};

/* Of several that claim the same host, only the first stays in the choice. */
static void drop_rivals(struct host_table *table) {
    struct candidate *candidate;
    struct claim *claims = NULL;
    struct claim *claim;
    struct claim *next;

    DL_FOREACH(table->candidates, candidate) {
        const struct string_list *hosts = &candidate->tenant->hosts;
        for (size_t i = 0; candidate->may_take_effect && i < hosts->count; i++) {
            HASH_FIND_STR(claims, hosts->items[i], claim);
            candidate->may_take_effect = claim == NULL;
            if (claim != NULL)
                break;
            claim = allocate(1, sizeof *claim);
            HASH_ADD_KEYPTR(hh, claims, hosts->items[i], strlen(hosts->items[i]), claim);
        }
    }
    HASH_ITER(hh, claims, claim, next) {
        HASH_DEL(claims, claim);
        free(claim);
    }
}

/* Who waits for nobody any more. */
static bool choose_free(struct host_table *table) {
    struct candidate *candidate;
    bool has_chosen = false;

    DL_FOREACH(table->candidates, candidate) {
        candidate->may_take_effect = !hosts_conflict(table, candidate->record, candidate->tenant);
        has_chosen |= candidate->may_take_effect;
    }
    drop_rivals(table);
    return has_chosen;
}

/* Who waits only for others that wait, too. */
static void choose_rings(struct host_table *table) {
    struct candidate *candidate;

    DL_FOREACH(table->candidates, candidate)
    candidate->may_take_effect = true;
    drop_waiting(table);
    drop_rivals(table);
    drop_waiting(table);
}

bool hosts_choose(struct host_table *table) {
    struct candidate *candidate;
    bool has_chosen = false;

    if (!choose_free(table))
        choose_rings(table);
    DL_FOREACH(table->candidates, candidate) {
        if (!candidate->may_take_effect)
            continue;
        hosts_give_up(table, candidate->record);
        has_chosen = true;
    }
    return has_chosen;
}

bool hosts_explain(const struct host_table *table, struct candidate *candidate,
                   struct error *error) {
    size_t index = find_conflict(table, candidate->record, candidate->tenant);
    const char *host = candidate->tenant->hosts.items[index];
    const struct record *holder = hosts_find(table, host, strlen(host));
    struct json_document document;

    assert(holder != NULL);
    if (strcmp(candidate->waits_for, holder->id) == 0)
        return false;
    memcpy(candidate->waits_for, holder->id, strlen(holder->id) + 1);
    if (!json_parse(&document, candidate->name, candidate->text, strlen(candidate->text), error))
        return true; /* out of memory: it was parsed once */
    const cJSON *hosts = cJSON_GetObjectItemCaseSensitive(document.root, "hosts");
    json_error_at(&document, cJSON_GetArrayItem(hosts, (int)index), error,
                  "host \"%s\" is already tenant %s's: take it out of one of the two", host,
                  holder->id);
    json_deinit(&document);
    return true;
}
