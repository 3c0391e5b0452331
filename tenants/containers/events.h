/* What the engine tells by itself: a thread that follows its events about our containers, and a
 * descriptor that wakes whoever waits for them. When the engine goes away the thread looks for it
 * again and again; what happened meanwhile is told by one flag, not guessed. */
#ifndef FPMUX_TENANTS_CONTAINERS_EVENTS_H
#define FPMUX_TENANTS_CONTAINERS_EVENTS_H

#include <stdbool.h>

#include "tenants/config.h"
#include "tenants/error.h"
#include "tenants/fields.h"

struct events;

/* Starts the thread. NULL when there is no thread or descriptor to be had. */
struct events *events_open(const struct config *config, struct error *error);
void events_close(struct events *events); /* takes up to a second; NULL is allowed */

/* Readable when there is news. */
int events_fd(const struct events *events);

/* Takes the news: the ids of containers that started, died or went; *was_away is whether more may
 * have happened than is told. The list is the caller's to deinit. */
void events_take(struct events *events, struct string_list *containers, bool *was_away);

#endif
