/* When something that failed is tried again: after 1 s, 2 s, 4 s, up to a minute. Who worked for a
 * minute beyond that has its failures forgotten. Pure: the time is an argument. */
#ifndef FPMUX_TENANTS_CONTAINERS_BACKOFF_H
#define FPMUX_TENANTS_CONTAINERS_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

struct backoff; /* one for many things, each known by its name */

struct backoff *backoff_new(void);
void backoff_free(struct backoff *backoff); /* NULL is allowed */

/* Whether name may be tried now. */
bool backoff_allows(const struct backoff *backoff, const char *name, int64_t now_ms);

/* name was tried, and failed, or is tried again because what was done before did not last. */
void backoff_note_failure(struct backoff *backoff, const char *name, int64_t now_ms);
/* name was tried, and works for now. */
void backoff_note_success(struct backoff *backoff, const char *name, int64_t now_ms);
/* name is no more. */
void backoff_forget(struct backoff *backoff, const char *name);

/* How long until the next of those that have to wait may be tried; -1: none waits. */
int64_t backoff_next_ms(const struct backoff *backoff, int64_t now_ms);

#endif
