/* Where the verbs for containers write down how long tenants' containers ran. What is noted is kept
 * in memory until it is written, all at once: the ledger is opened for each time, so that one which
 * was moved or restored is found. A ledger that can't be written is told once and stops nothing;
 * what was noted waits until that is mended. */
#ifndef FPMUX_TENANTS_CLI_SERVICE_BOOK_H
#define FPMUX_TENANTS_CLI_SERVICE_BOOK_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "tenants/config.h"
#include "tenants/ledger_service.h"

struct service_book {
    const struct config *config;
    struct service_run *runs; /* owned, with their texts */
    size_t count;
    bool has_failed;   /* and that was told */
    time_t not_before; /* of the next try: a locked ledger is waited for, but not all the time */
};

void service_book_open(struct service_book *book, const struct config *config);
/* Writes what it can. */
void service_book_close(struct service_book *book);

/* What the engine says of a container (GET /containers/ID/json) at this moment. Those that are no
 * tenant's are passed by. */
void service_book_note(struct service_book *book, const cJSON *inspect);

/* To the ledger, if there is anything to write and the last try did not just fail. */
void service_book_write(struct service_book *book);

#endif
