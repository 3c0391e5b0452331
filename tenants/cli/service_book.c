#include "tenants/cli/service_book.h"

#include "tenants/containers/service.h"
#include "tenants/ledger_service.h"
#include "tenants/log.h"

void service_book_open(struct service_book *book, const struct config *config) {
    *book = (struct service_book){.config = config};
}

void service_book_close(struct service_book *book) {
    ledger_close(book->ledger);
    book->ledger = NULL;
}

static bool write_down(struct service_book *book, const struct service_run *run,
                       struct error *error) {
    if (book->ledger == NULL)
        book->ledger = ledger_open(book->config->ledger, error);
    return book->ledger != NULL && ledger_note_service(book->ledger, run, 1, error) == 0;
}

void service_book_note(struct service_book *book, const cJSON *inspect) {
    const struct service_clock clock = service_read_clock();
    struct service_run run;
    struct error error;

    if (!service_read_run(inspect, &clock, &run))
        return;
    bool is_written = write_down(book, &run, &error);
    if (!is_written && !book->has_failed)
        log_error("how long containers run can't be noted: %s; it is noted once that is mended",
                  error.text);
    if (is_written && book->has_failed)
        log_notice("how long containers run is noted again");
    book->has_failed = !is_written;
}
