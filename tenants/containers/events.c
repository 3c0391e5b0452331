#include "tenants/containers/events.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "tenants/containers/engine.h"
#include "tenants/containers/spec.h"
#include "tenants/containers_config.h"
#include "tenants/log.h"

enum { REFUSED_MOMENTS = 40 }; /* 10 s */

struct events {
    const struct config *config;
    atomic_bool is_closing;
    int fd;
    pthread_t thread;
    bool was_refused;     /* the thread's own */
    pthread_mutex_t lock; /* of what follows */
    struct string_list containers;
    bool was_away;
};

/* ---- The thread ---- */

static void wake(const struct events *events) {
    uint64_t one = 1;

    while (write(events->fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void note(struct events *events, const char *container) {
    pthread_mutex_lock(&events->lock);
    struct string_list *list = &events->containers;
    char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (items != NULL) {
        list->items = items;
        items[list->count] = strdup(container);
        list->count += items[list->count] != NULL;
    }
    pthread_mutex_unlock(&events->lock);
    wake(events);
}

static void note_away(struct events *events) {
    pthread_mutex_lock(&events->lock);
    events->was_away = true;
    pthread_mutex_unlock(&events->lock);
    wake(events);
}

static bool on_event(void *context, const cJSON *event) {
    const cJSON *actor = cJSON_GetObjectItemCaseSensitive(event, "Actor");
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(actor, "ID"));

    if (id != NULL)
        note(context, id);
    return true;
}

/* Owned by the caller. */
static char *events_path(const struct config *config) {
    static const char *const kinds[] = {"start", "die", "destroy", "pause", "unpause"};
    cJSON *filters = cJSON_CreateObject();
    char *label;

    if (asprintf(&label, LABEL_SYSTEM "=%s", config->containers->name) < 0)
        abort();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(filters, "label"), cJSON_CreateString(label));
    cJSON_AddItemToArray(cJSON_AddArrayToObject(filters, "type"), cJSON_CreateString("container"));
    cJSON_AddItemToObject(filters, "event",
                          cJSON_CreateStringArray(kinds, sizeof kinds / sizeof *kinds));
    char *path = engine_path("/events", "filters", filters);
    cJSON_Delete(filters);
    free(label);
    return path;
}

static void pause_for(const struct events *events, int moments) {
    static const struct timespec moment = {.tv_nsec = 250000000};

    for (; moments > 0 && !atomic_load(&events->is_closing); moments--)
        nanosleep(&moment, NULL);
}

/* Each (re)connection is told as "away": between two there may have been anything. An engine that
 * is there but gives no events, as behind a proxy that lets few calls through, is not pressed. */
static void follow(struct events *events, const char *path) {
    struct error error;
    struct engine *engine =
        engine_open(events->config->containers->engine, &events->is_closing, &error);

    if (engine == NULL)
        return;
    note_away(events);
    enum engine_result result = engine_follow(engine, path, on_event, events, &error);
    engine_close(engine);
    if (atomic_load(&events->is_closing))
        return;
    note_away(events);
    if (result == ENGINE_UNREACHABLE)
        return;
    if (!events->was_refused)
        log_error("the engine gives no events: %s; containers are looked at from time to time",
                  error.text);
    events->was_refused = true;
    pause_for(events, REFUSED_MOMENTS);
}

static void *run(void *context) {
    struct events *events = context;
    char *path = events_path(events->config);

    while (!atomic_load(&events->is_closing)) {
        follow(events, path);
        pause_for(events, 1);
    }
    free(path);
    return NULL;
}

/* ---- Its owner ---- */

struct events *events_open(const struct config *config, struct error *error) {
    struct events *events = calloc(1, sizeof *events);

    if (events == NULL)
        abort();
    events->config = config;
    pthread_mutex_init(&events->lock, NULL);
    events->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = events->fd < 0 ? errno : pthread_create(&events->thread, NULL, run, events);
    if (code == 0)
        return events;
    error_set(error, "engine events: %s", strerror(code));
    if (events->fd >= 0)
        close(events->fd);
    free(events);
    return NULL;
}

void events_close(struct events *events) {
    if (events == NULL)
        return;
    atomic_store(&events->is_closing, true);
    pthread_join(events->thread, NULL);
    pthread_mutex_destroy(&events->lock);
    close(events->fd);
    string_list_deinit(&events->containers);
    free(events);
}

int events_fd(const struct events *events) {
    return events->fd;
}

void events_take(struct events *events, struct string_list *containers, bool *was_away) {
    uint64_t count;

    while (read(events->fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&events->lock);
    *containers = events->containers;
    *was_away = events->was_away;
    events->containers = (struct string_list){0};
    events->was_away = false;
    pthread_mutex_unlock(&events->lock);
}
