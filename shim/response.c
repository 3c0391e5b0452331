/* A request on its way back: PHP-FPM's output, or a page of ours, to the front. */
#include "shim/response.h"

#include <stdio.h>
#include <string.h>

#include "shim/backend.h"
#include "shim/daemon.h"
#include "shim/exchange.h"
#include "shim/front.h"
#include "tenants/log.h"

enum {
    RETRIES_MAX = 4,
    RETRY_AFTER_BUSY_SECONDS = 5,
    RETRY_AFTER_CLOSED_SECONDS = 3600,
    STDERR_LOG_BYTES = 2048
};

/* ---- Charging ---- */

static void add(const struct request *request, enum counter counter, uint64_t amount) {
    if (amount > 0)
        meter_add(request->front->daemon->meter, request->site->account, counter, amount);
}

void request_count(struct request *request) {
    if (request->is_counted)
        return;
    request->is_counted = true;
    add(request, COUNTER_REQUESTS, 1);
    add(request, COUNTER_REQUESTS_UNMETERED, request->backend->worker == NULL);
    add(request, COUNTER_QUEUE_NS, request->queue_ns);
    add(request, COUNTER_BYTES_IN, buffer_total(&request->body));
    add(request, COUNTER_BYTES_OUT, request->bytes_out);
    add(request, COUNTER_ERRORS_5XX, request->status >= 500);
}

static void count_rejected(const struct request *request, int status) {
    if (request->site == NULL)
        return;
    add(request, COUNTER_REJECTED, 1);
    add(request, COUNTER_ERRORS_5XX, status >= 500);
}

/* ---- To the front ---- */

static bool must_buffer(struct request *request) {
    return !front_can_send(request->front) || buffer_left(&request->response) > 0;
}

static void send_now(struct request *request, uint8_t type, const uint8_t *content, size_t length,
                     bool ends) {
    front_send(request->front, &(struct front_message){.request_id = request->id,
                                                       .type = type,
                                                       .content = content,
                                                       .length = length,
                                                       .ends = ends});
}

/* The last byte is with the front. */
static void finish(struct request *request) {
    add(request, COUNTER_SEND_NS,
        request->site != NULL && request->ended_ns > 0 ? uv_hrtime() - request->ended_ns : 0);
    request_free(request);
}

/* Says content, now or when the front takes it. false: it can't be kept, the request was cut. */
static bool say(struct request *request, const uint8_t *content, size_t length) {
    request->bytes_out += length;
    if (!must_buffer(request)) {
        send_now(request, FCGI_STDOUT, content, length, false);
        return true;
    }
    if (buffer_append(&request->response, content, length))
        return true;
    request_refuse(request, PAGE_UNAVAILABLE, strerror(request->response.failure));
    return false;
}

void response_end(struct request *request, const uint8_t *content, size_t length) {
    request->state = REQUEST_ANSWERED;
    if (must_buffer(request)) {
        buffer_append(&request->response, content, length);
        return; /* request_write_more() ends it */
    }
    send_now(request, FCGI_STDOUT, content, length, true);
    finish(request);
}

void response_resume(struct request *request) {
    if (request->backend != NULL && !buffer_is_full(&request->response))
        exchange_resume(request->backend);
}

bool request_write_more(struct request *request) {
    size_t length = 0;
    const uint8_t *content = buffer_peek(&request->response, &length);
    bool is_answered = request->state == REQUEST_ANSWERED;

    if (length == 0 && (!is_answered || buffer_left(&request->response) > 0))
        return false;
    if (length > FCGI_CONTENT_MAX)
        length = FCGI_CONTENT_MAX;
    bool ends = is_answered && buffer_left(&request->response) == length;
    send_now(request, FCGI_STDOUT, content, length, ends);
    if (ends) {
        finish(request);
        return true;
    }
    buffer_consume(&request->response, length);
    response_resume(request);
    return true;
}

/* ---- From PHP-FPM ---- */

void request_on_started(struct request *request, struct backend *backend) {
    uint64_t now_ns = uv_hrtime();

    request->state = REQUEST_RUNNING;
    request->backend = backend;
    request->queue_ns += now_ns - request->ticket.queued_ns;
    request->deadline_ns = now_ns + (uint64_t)request->site->tenant->limits.request_ms * 1000000U;
}

/* Gathers the head until it is complete: HAProxy before 2.6.14 dies of a head that is spread over
 * records. */
static void take_head(struct request *request, const uint8_t *data, size_t length) {
    struct head head;

    if (request->head.length == 0) {
        head = head_scan(data, length);
        if (head.length > 0) {
            request->has_head = true;
            request->status = head.status;
            say(request, data, length);
            return;
        }
    }
    size_t before = request->head.length;
    size_t room = request->head.cap - before;
    size_t taken = length < room ? length : room;
    if (!bytes_append(&request->head, data, taken)) {
        request_on_failure(request, FAILURE_CUT, "out of memory");
        return;
    }
    head = head_scan(request->head.data, request->head.length);
    if (head.length == 0) {
        if (taken < length)
            request_on_failure(request, FAILURE_CUT, "the response's head is too long");
        return;
    }
    request->has_head = true;
    request->status = head.status;
    if (say(request, request->head.data, request->head.length)) {
        bytes_deinit(&request->head);
        if (taken < length)
            say(request, data + taken, length - taken);
    }
}

void request_on_stdout(struct request *request, const uint8_t *data, size_t length) {
    if (request->has_head)
        say(request, data, length);
    else
        take_head(request, data, length);
}

/* PHP's errors: to our log, and to the web server's, if it reads along. */
void request_on_stderr(struct request *request, const uint8_t *data, size_t length) {
    int shown = length < STDERR_LOG_BYTES ? (int)length : STDERR_LOG_BYTES;

    log_notice("tenant %s: php: %.*s", request->site->id, shown, (const char *)data);
    if (!must_buffer(request))
        send_now(request, FCGI_STDERR, data, length, false);
}

void request_on_end(struct request *request) {
    if (!request->has_head) {
        request_on_failure(request, FAILURE_CUT, "END_REQUEST before the response's head");
        return;
    }
    request->ended_ns = uv_hrtime();
    request_count(request);
    request->backend = NULL;
    response_end(request, NULL, 0);
}

/* ---- When it goes wrong ---- */

void request_on_failure(struct request *request, enum request_failure failure, const char *reason) {
    bool may_repeat = failure == FAILURE_DRAINED || (failure == FAILURE_RESET && request->is_safe);

    if (may_repeat && request->retries < RETRIES_MAX) {
        request->retries++;
        pool_requeue(request->site->pool, request);
        return;
    }
    request_refuse(request, PAGE_BAD_GATEWAY, reason);
}

/* For the log: who asked for what. Decodes again, as this is no frequent case. */
static void describe(struct request *request, char *text, size_t size) {
    static const enum param shown[] = {PARAM_REQUEST_METHOD, PARAM_SERVER_NAME, PARAM_REQUEST_URI};
    struct params *params = &request->front->daemon->params;
    size_t used = 0;

    text[0] = '\0';
    if (!request->has_params || request->params.length == 0 ||
        params_decode(request->params.data, request->params.length, params).status != 0)
        return;
    for (unsigned i = 0; i < sizeof shown / sizeof shown[0] && used < size; i++) {
        const struct fcgi_pair *pair = params->known[shown[i]];
        if (pair == NULL)
            continue;
        int length = pair->value_length < 256 ? (int)pair->value_length : 256;
        int written =
            snprintf(text + used, size - used, " %.*s", length, (const char *)pair->value);
        used += written > 0 ? (size_t)written : 0;
    }
}

static void log_refusal(struct request *request, int status, const char *reason) {
    const struct daemon *daemon = request->front->daemon;
    char peer[PEER_TEXT_MAX];
    char what[600];

    front_describe(request->front, peer, sizeof peer);
    describe(request, what, sizeof what);
    log_notice("request %s-%llx: tenant %s: %d: %s (from %s%s)", daemon->instance,
               (unsigned long long)request->serial, request->site != NULL ? request->site->id : "-",
               status, reason, peer, what);
}

/* Whether part of the response is with the front already, and not all of it in the buffer. */
static bool has_spoken(const struct request *request) {
    return request->has_head && request->bytes_out > buffer_left(&request->response);
}

static void drop_buffered(struct request *request) {
    struct buffer *response = &request->response;

    buffer_deinit(response);
    buffer_init(response, response->spool, false, response->on_progress, request);
}

/* Part of the response is with the front. An end without END_REQUEST tells the web server that it
 * is not whole, but would cut off the front's other requests, too: then a plain end must do. */
static void cut_off(struct request *request) {
    struct front *front = request->front;

    if (front->request_count == 1) {
        front_break(front, NULL);
        request_free(request);
        return;
    }
    drop_buffered(request);
    response_end(request, NULL, 0);
}

void request_refuse(struct request *request, enum page_kind kind, const char *reason) {
    struct daemon *daemon = request->front->daemon;
    int status = page_status(kind);
    bool has_run = request->state == REQUEST_RUNNING;
    char id[40];

    log_refusal(request, status, reason);
    request->status = status;
    if (!has_run && request->state != REQUEST_ANSWERED)
        count_rejected(request, status);
    request_detach(request);
    if (has_spoken(request)) {
        cut_off(request);
        return;
    }
    drop_buffered(request);
    snprintf(id, sizeof id, "%s-%llx", daemon->instance, (unsigned long long)request->serial);
    bytes_deinit(&request->head);
    request->has_head = true;
    page_write(daemon->pages, kind, id,
               kind == PAGE_UNAVAILABLE                            ? RETRY_AFTER_BUSY_SECONDS
               : kind == PAGE_SUSPENDED || kind == PAGE_OVER_QUOTA ? RETRY_AFTER_CLOSED_SECONDS
                                                                   : 0,
               &request->head);
    response_end(request, request->head.data, request->head.length);
}
