/* The registry: records by id, hosts by name (registry_hosts.h), fed by a source (source.h).
 *
 * A version whose hosts are free takes effect at once; one that claims a host another tenant has
 * waits as a candidate. After every batch of changes settle() looks which of those have become
 * possible, and says of the others whom they wait for. */
#include "tenants/registry.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "tenants/log.h"
#include "tenants/registry_hosts.h"
#include "tenants/source.h"
#include "tenants/source_dir.h"

enum { HOST_BYTES_MAX = 253 };

struct registry {
    const struct config *config; /* borrowed */
    registry_change_fn *on_change;
    void *context;
    const struct source_ops *ops;
    struct source *source;
    struct source_sink sink;
    struct record *records;
    struct host_table hosts;
    size_t tenant_count;
    size_t error_count;
    unsigned round;
};

static const struct source_ops *const sources[] = {&source_dir};

static void *allocate(size_t count, size_t bytes) {
    void *memory = calloc(count, bytes);

    if (memory == NULL)
        abort();
    return memory;
}

static char *copy(const char *text) {
    char *result = strdup(text);

    if (result == NULL)
        abort();
    return result;
}

/* ---- Records ---- */

static struct record *find_record(const struct registry *registry, const char *id, size_t length) {
    struct record *record;

    HASH_FIND(hh, registry->records, id, length, record);
    return record;
}

static struct record *get_record(struct registry *registry, const char *id) {
    size_t length = strlen(id);
    struct record *record = find_record(registry, id, length);

    if (record == NULL) {
        record = allocate(1, sizeof *record + length + 1);
        memcpy(record->id, id, length + 1);
        HASH_ADD_KEYPTR(hh, registry->records, record->id, length, record);
    }
    record->round = registry->round;
    return record;
}

/* Logged once: the same text again is no news. */
static void set_error(struct registry *registry, struct record *record, const char *text) {
    if (record->error != NULL && strcmp(record->error, text) == 0)
        return;
    if (record->error == NULL)
        registry->error_count++;
    free(record->error);
    record->error = copy(text);
    if (registry->on_change != NULL)
        log_error("registry: %s", text);
}

static void clear_error(struct registry *registry, struct record *record) {
    if (record->error == NULL)
        return;
    free(record->error);
    record->error = NULL;
    registry->error_count--;
    if (registry->on_change != NULL)
        log_notice("registry: %s: mended", record->id);
}

/* ---- Changes ---- */

static void tell_change(struct registry *registry, struct tenant *before, struct tenant *after) {
    if (registry->on_change != NULL)
        registry->on_change(registry->context, before, after);
}

/* Makes tenant (its reference is taken) the version that is served. */
static void take_effect(struct registry *registry, struct record *record, struct tenant *tenant) {
    struct tenant *before = record->tenant;

    hosts_give_up(&registry->hosts, record);
    record->tenant = tenant;
    hosts_take(&registry->hosts, record);
    registry->tenant_count += before == NULL;
    clear_error(registry, record);
    tell_change(registry, before, tenant);
    tenant_unref(before);
}

static void remove_record(struct registry *registry, struct record *record) {
    struct tenant *before = record->tenant;

    hosts_drop_candidate(&registry->hosts, record);
    hosts_give_up(&registry->hosts, record);
    HASH_DEL(registry->records, record);
    registry->error_count -= record->error != NULL;
    free(record->error);
    free(record);
    if (before == NULL)
        return;
    registry->tenant_count--;
    tell_change(registry, before, NULL);
    tenant_unref(before);
}

/* ---- What the source tells ---- */

static bool on_is_current(void *context, const char *id, uint64_t version) {
    struct registry *registry = context;
    struct record *record = find_record(registry, id, strlen(id));

    if (record == NULL)
        return false;
    record->round = registry->round;
    /* An error may lie outside the text, in the file of a secret: look again. */
    if (record->error != NULL && record->candidate == NULL)
        return false;
    return version != 0 && version == record->version;
}

static void on_entry(void *context, const struct source_entry *entry) {
    struct registry *registry = context;
    struct record *record = get_record(registry, entry->id);
    struct error error;

    hosts_drop_candidate(&registry->hosts, record);
    record->version = entry->version;
    struct tenant *tenant =
        tenant_parse(entry->id, entry->name, entry->text, entry->length, registry->config, &error);
    if (tenant == NULL)
        set_error(registry, record, error.text);
    else if (hosts_conflict(&registry->hosts, record, tenant))
        hosts_add_candidate(&registry->hosts, record, tenant, entry);
    else
        take_effect(registry, record, tenant);
}

static void on_failure(void *context, const char *id, const char *text) {
    struct registry *registry = context;
    struct record *record = get_record(registry, id);

    hosts_drop_candidate(&registry->hosts, record);
    record->version = 0;
    set_error(registry, record, text);
}

static void on_gone(void *context, const char *id) {
    struct registry *registry = context;
    struct record *record = find_record(registry, id, strlen(id));

    if (record != NULL)
        remove_record(registry, record);
}

/* ---- Candidates ---- */

/* Candidate becomes the version that is served. */
static void admit(struct registry *registry, struct candidate *candidate) {
    struct record *record = candidate->record;
    struct tenant *tenant = tenant_ref(candidate->tenant);

    hosts_drop_candidate(&registry->hosts, record);
    take_effect(registry, record, tenant);
}

static void settle(struct registry *registry) {
    struct candidate *candidate;
    struct candidate *next;
    struct error error;

    while (hosts_choose(&registry->hosts)) {
        DL_FOREACH_SAFE(registry->hosts.candidates, candidate, next) {
            if (candidate->may_take_effect)
                admit(registry, candidate);
        }
    }
    DL_FOREACH(registry->hosts.candidates, candidate) {
        if (hosts_explain(&registry->hosts, candidate, &error))
            set_error(registry, candidate->record, error.text);
    }
}

/* ---- The interface ---- */

struct registry *registry_open(const struct config *config, registry_change_fn *on_change,
                               void *context, struct error *error) {
    const char *colon = strchr(config->registry, ':');
    size_t length = colon != NULL ? (size_t)(colon - config->registry) : 0;
    struct registry *registry = allocate(1, sizeof *registry);

    for (size_t i = 0; i < sizeof sources / sizeof *sources && registry->ops == NULL; i++) {
        if (strlen(sources[i]->scheme) == length &&
            strncmp(sources[i]->scheme, config->registry, length) == 0)
            registry->ops = sources[i];
    }
    if (registry->ops == NULL)
        error_set(error, "registry: \"%s\": must be \"dir:PATH\"", config->registry);
    else
        registry->source = registry->ops->open(colon + 1, error);
    if (registry->source == NULL) {
        free(registry);
        return NULL;
    }
    registry->config = config;
    registry->on_change = on_change;
    registry->context = context;
    registry->sink = (struct source_sink){registry, on_is_current, on_entry, on_failure, on_gone};
    return registry;
}

void registry_close(struct registry *registry) {
    struct record *record;
    struct record *next;

    if (registry == NULL)
        return;
    registry->on_change = NULL;
    HASH_ITER(hh, registry->records, record, next)
    remove_record(registry, record);
    registry->ops->close(registry->source);
    free(registry);
}

int registry_load(struct registry *registry, struct error *error) {
    struct record *record;
    struct record *next;

    registry->round++;
    if (registry->ops->load(registry->source, &registry->sink, error) < 0)
        return -1;
    HASH_ITER(hh, registry->records, record, next) {
        if (record->round != registry->round)
            remove_record(registry, record);
    }
    settle(registry);
    return (int)registry->error_count;
}

int registry_watch_fd(const struct registry *registry) {
    return registry->ops->watch_fd(registry->source);
}

void registry_process(struct registry *registry) {
    struct error error;

    if (registry->ops->process(registry->source, &registry->sink) == SOURCE_TOLD)
        settle(registry);
    else if (registry_load(registry, &error) < 0)
        on_failure(registry, SOURCE_ITSELF, error.text);
}

struct tenant *registry_find(const struct registry *registry, const char *id, size_t length) {
    struct record *record = find_record(registry, id, length);

    return record != NULL ? record->tenant : NULL;
}

struct tenant *registry_find_host(const struct registry *registry, const char *host,
                                  size_t length) {
    char lower[HOST_BYTES_MAX];
    const char *colon = memchr(host, ':', length);

    if (colon != NULL)
        length = (size_t)(colon - host);
    if (length > 0 && host[length - 1] == '.')
        length--;
    if (length > sizeof lower)
        return NULL;
    for (size_t i = 0; i < length; i++)
        lower[i] = (char)tolower((unsigned char)host[i]);
    struct record *record = hosts_find(&registry->hosts, lower, length);
    return record != NULL ? record->tenant : NULL;
}

size_t registry_count(const struct registry *registry) {
    return registry->tenant_count;
}

size_t registry_error_count(const struct registry *registry) {
    return registry->error_count;
}

static int by_id(const void *a, const void *b) {
    const struct record *const *left = a;
    const struct record *const *right = b;

    return strcmp((*left)->id, (*right)->id);
}

/* All records in order of the ids; owned by the caller. */
static struct record **sorted_records(const struct registry *registry, size_t *count) {
    struct record **all = allocate(HASH_COUNT(registry->records) + 1, sizeof *all);
    struct record *record;
    struct record *next;

    *count = 0;
    HASH_ITER(hh, registry->records, record, next)
    all[(*count)++] = record;
    qsort(all, *count, sizeof *all, by_id);
    return all;
}

void registry_each(const struct registry *registry,
                   void (*visit)(void *context, struct tenant *tenant), void *context) {
    size_t count;
    struct record **all = sorted_records(registry, &count);

    for (size_t i = 0; i < count; i++) {
        if (all[i]->tenant != NULL)
            visit(context, all[i]->tenant);
    }
    free(all);
}

void registry_each_error(const struct registry *registry,
                         void (*visit)(void *context, const char *id, const char *text),
                         void *context) {
    size_t count;
    struct record **all = sorted_records(registry, &count);

    for (size_t i = 0; i < count; i++) {
        if (all[i]->error != NULL)
            visit(context, all[i]->id, all[i]->error);
    }
    free(all);
}
