/* Where the verbs for containers write down how long tenants' containers ran: the ledger, opened
 * when there is something to write. A ledger that can't be written is told once on standard error
 * and stops nothing: a run that goes on is noted the next time. */
#ifndef FPMUX_TENANTS_CLI_SERVICE_BOOK_H
#define FPMUX_TENANTS_CLI_SERVICE_BOOK_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "tenants/config.h"
#include "tenants/ledger.h"

struct service_book {
    const struct config *config;
    struct ledger *ledger; /* NULL until it is needed */
    bool has_failed;       /* and that was told */
};

void service_book_open(struct service_book *book, const struct config *config);
void service_book_close(struct service_book *book);

/* What the engine says of a container (GET /containers/ID/json) at this moment. Those that are no
 * tenant's are passed by. */
void service_book_note(struct service_book *book, const cJSON *inspect);

#endif
