/* Inside the registry: which tenant has which host, and which new versions must wait for one.
 *
 *     record ---tenant----> the version that is served, the last good one; its hosts are in the
 * table |  '---candidate--> a newer version, good in itself, that claims a host another tenant has
 *       '------error------> why the newest version is not the one that is served
 *
 * Who has a host keeps it until his own newest version lets go of it. */
#ifndef FPMUX_TENANTS_REGISTRY_HOSTS_H
#define FPMUX_TENANTS_REGISTRY_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#include <uthash.h>

#include "tenants/source.h"
#include "tenants/tenant.h"

struct record;

struct host {
    UT_hash_handle hh;     /* by one of record->tenant->hosts */
    struct record *record; /* who has it */
};

struct candidate {
    struct record *record;
    struct tenant *tenant;             /* owned */
    char *name;                        /* of the file, and */
    char *text;                        /* what stands in it: both owned, for messages */
    bool may_take_effect;              /* chosen by hosts_choose() */
    char waits_for[TENANT_ID_MAX + 1]; /* whom hosts_explain() named last */
    struct candidate *prev;
    struct candidate *next;
};

struct record {
    UT_hash_handle hh;     /* by id */
    struct tenant *tenant; /* owned, or NULL: no version was good yet */
    struct host *hosts;    /* owned: one for each of tenant->hosts, or NULL */
    struct candidate *candidate;
    char *error;      /* owned, or NULL */
    uint64_t version; /* that the source gave it; 0: read it again */
    unsigned round;   /* of loading, in which the source told it last */
    char id[];
};

struct host_table {
    struct host *by_name;
    struct candidate *candidates; /* in the order in which they came */
};

/* Who has the host (lower case, no port), or NULL. */
struct record *hosts_find(const struct host_table *table, const char *host, size_t length);

/* Enters the hosts of record->tenant, which must be free / takes them out again. */
void hosts_take(struct host_table *table, struct record *record);
void hosts_give_up(struct host_table *table, struct record *record);

/* Whether tenant, as the next version of record, claims a host that another one has. */
bool hosts_conflict(const struct host_table *table, const struct record *record,
                    const struct tenant *tenant);

/* Lets tenant (taken) wait as the next version of record. */
void hosts_add_candidate(struct host_table *table, struct record *record, struct tenant *tenant,
                         const struct source_entry *entry);
void hosts_drop_candidate(struct host_table *table, struct record *record);

/* Marks the candidates that may take effect now, together, and takes the hosts of their served
 * versions out of the table. Returns whether there are any; until there are none, the caller makes
 * them take effect and asks again. */
bool hosts_choose(struct host_table *table);

/* Says where in the candidate's text the host stands that it waits for, and who has it. Returns
 * false, and says nothing, when that one was named before. */
bool hosts_explain(const struct host_table *table, struct candidate *candidate,
                   struct error *error);

#endif
