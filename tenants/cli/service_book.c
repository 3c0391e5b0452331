#include "tenants/cli/service_book.h"

#include <stdlib.h>
#include <string.h>

#include "tenants/containers/service.h"
#include "tenants/ledger.h"
#include "tenants/log.h"

enum { RETRY_SECONDS = 30 };

void service_book_open(struct service_book *book, const struct config *config) {
    *book = (struct service_book){.config = config};
}

static void forget(struct service_book *book) {
    for (size_t i = 0; i < book->count; i++) {
        free((char *)book->runs[i].container);
        free((char *)book->runs[i].tenant);
    }
    free(book->runs);
    book->runs = NULL;
    book->count = 0;
}

static char *copy(const char *text) {
    char *result = strdup(text);

    if (result == NULL)
        abort();
    return result;
}

/* What was seen later of a run takes the place of what was seen before. */
static struct service_run *find(const struct service_book *book, const struct service_run *run) {
    for (size_t i = 0; i < book->count; i++)
        if (book->runs[i].started_ns == run->started_ns &&
            strcmp(book->runs[i].container, run->container) == 0)
            return &book->runs[i];
    return NULL;
}

static void keep(struct service_book *book, const struct service_run *run) {
    struct service_run *place = find(book, run);
    const char *container = place != NULL ? place->container : copy(run->container);
    const char *tenant = place != NULL ? place->tenant : copy(run->tenant);

    if (place == NULL) {
        book->runs = realloc(book->runs, (book->count + 1) * sizeof *book->runs);
        if (book->runs == NULL)
            abort();
        place = &book->runs[book->count++];
    }
    *place = *run;
    place->container = container;
    place->tenant = tenant;
}

void service_book_note(struct service_book *book, const cJSON *inspect) {
    const struct service_clock clock = service_read_clock();
    struct service_run run;

    if (service_read_run(inspect, &clock, &run))
        keep(book, &run);
}

/* Of a clock that nobody sets. */
static time_t now_seconds(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static bool write_runs(const struct service_book *book, struct error *error) {
    struct ledger *ledger = ledger_open(book->config->ledger, error);
    bool is_written =
        ledger != NULL && ledger_note_service(ledger, book->runs, book->count, error) == 0;

    ledger_close(ledger);
    return is_written;
}

void service_book_write(struct service_book *book) {
    struct error error;

    if (book->count == 0 || now_seconds() < book->not_before)
        return;
    bool is_written = write_runs(book, &error);
    if (!is_written && !book->has_failed)
        log_error("how long containers run can't be noted: %s; it is kept until that is mended",
                  error.text);
    if (is_written && book->has_failed)
        log_notice("how long containers run is noted again");
    book->has_failed = !is_written;
    book->not_before = is_written ? 0 : now_seconds() + RETRY_SECONDS;
    if (is_written)
        forget(book);
}

void service_book_close(struct service_book *book) {
    book->not_before = 0;
    service_book_write(book);
    forget(book);
}
