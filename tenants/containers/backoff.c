#include "tenants/containers/backoff.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum { FIRST_MS = 1000, LAST_MS = 60000, LASTING_MS = 60000 };

struct entry {
    UT_hash_handle hh;
    int64_t delay_ms; /* before the next try */
    int64_t next_ms;  /* not before */
    int64_t tried_ms; /* the last time */
    bool was_tried;
    bool has_worked; /* the last time, at first */
    char name[];
};

struct backoff {
    struct entry *entries;
};

struct backoff *backoff_new(void) {
    struct backoff *backoff = calloc(1, sizeof *backoff);

    if (backoff == NULL)
        abort();
    return backoff;
}

void backoff_free(struct backoff *backoff) {
    struct entry *entry;
    struct entry *next;

    if (backoff == NULL)
        return;
    HASH_ITER(hh, backoff->entries, entry, next) {
        HASH_DEL(backoff->entries, entry);
        free(entry);
    }
    free(backoff);
}

static struct entry *find(const struct backoff *backoff, const char *name) {
    struct entry *entry;

    HASH_FIND_STR(backoff->entries, name, entry);
    return entry;
}

static struct entry *find_or_add(struct backoff *backoff, const char *name) {
    struct entry *entry = find(backoff, name);

    if (entry != NULL)
        return entry;
    size_t bytes = strlen(name) + 1;
    entry = calloc(1, sizeof *entry + bytes);
    if (entry == NULL)
        abort();
    memcpy(entry->name, name, bytes);
    HASH_ADD_STR(backoff->entries, name, entry);
    return entry;
}

bool backoff_allows(const struct backoff *backoff, const char *name, int64_t now_ms) {
    const struct entry *entry = find(backoff, name);

    return entry == NULL || now_ms >= entry->next_ms;
}

/* Until delay_ms it may only have been waiting, dead; who is heard of a minute later did work. */
static bool has_lasted(const struct entry *entry, int64_t now_ms) {
    return entry->has_worked && now_ms - entry->tried_ms >= entry->delay_ms + LASTING_MS;
}

static void note(struct entry *entry, int64_t now_ms, bool has_worked) {
    bool is_new = !entry->was_tried || has_lasted(entry, now_ms);

    if (is_new)
        entry->delay_ms = has_worked ? 0 : FIRST_MS;
    else
        entry->delay_ms = entry->delay_ms == 0 ? FIRST_MS : entry->delay_ms * 2;
    if (entry->delay_ms > LAST_MS)
        entry->delay_ms = LAST_MS;
    entry->next_ms = now_ms + entry->delay_ms;
    entry->tried_ms = now_ms;
    entry->was_tried = true;
    entry->has_worked = has_worked;
}

void backoff_note_failure(struct backoff *backoff, const char *name, int64_t now_ms) {
    note(find_or_add(backoff, name), now_ms, false);
}

/* A success soon after another one means that it did not last: the next has to wait, too. */
void backoff_note_success(struct backoff *backoff, const char *name, int64_t now_ms) {
    note(find_or_add(backoff, name), now_ms, true);
}

void backoff_forget(struct backoff *backoff, const char *name) {
    struct entry *entry = find(backoff, name);

    if (entry == NULL)
        return;
    HASH_DEL(backoff->entries, entry);
    free(entry);
}

int64_t backoff_next_ms(const struct backoff *backoff, int64_t now_ms) {
    int64_t next = -1;

    for (const struct entry *entry = backoff->entries; entry != NULL; entry = entry->hh.next) {
        int64_t left = entry->next_ms - now_ms;
        if (left > 0 && (next < 0 || left < next))
            next = left;
    }
    return next;
}
