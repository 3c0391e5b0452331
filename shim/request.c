/* A request on its way in: collected, judged, queued. What comes back is in response.c. */
#include "shim/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/backend.h"
#include "shim/daemon.h"
#include "shim/exchange.h"
#include "shim/front.h"
#include "shim/identify.h"
#include "shim/response.h"
#include "tenants/log.h"

static void on_body_progress(void *context);
static void on_response_progress(void *context);

struct request *request_new(struct front *front, uint16_t id, bool keeps_connection) {
    struct daemon *daemon = front->daemon;
    struct request *request = calloc(1, sizeof *request);

    if (request == NULL)
        return NULL;
    request->front = front;
    request->id = id;
    request->keeps_connection = keeps_connection;
    request->serial = ++daemon->started_serial;
    bytes_init(&request->params, daemon->config->limits.params_bytes);
    bytes_init(&request->records, SIZE_MAX / 2); /* bounded by params and the tenant's block */
    bytes_init(&request->head, HEAD_BYTES_MAX);
    buffer_init(&request->body, &daemon->spool, true, on_body_progress, request);
    buffer_init(&request->response, &daemon->spool, false, on_response_progress, request);
    return request;
}

void request_free(struct request *request) {
    front_forget(request->front, request);
    front_resume(request->front); /* if it was this body that stalled it */
    if (request->site != NULL)
        site_release(request->site);
    bytes_deinit(&request->params);
    bytes_deinit(&request->records);
    bytes_deinit(&request->head);
    buffer_deinit(&request->body);
    buffer_deinit(&request->response);
    free(request);
}

/* ---- Judging ---- */

static enum page_kind page_for(int status) {
    switch (status) {
    case 403:
        return PAGE_FORBIDDEN;
    case 404:
        return PAGE_NOT_FOUND;
    case 413:
        return PAGE_TOO_LARGE;
    case 429:
        return PAGE_OVER_QUOTA;
    case 431:
        return PAGE_FIELDS_TOO_LARGE;
    case 503:
        return PAGE_SUSPENDED; /* the only 503 that judging knows */
    default:
        return PAGE_BAD_REQUEST;
    }
}

/* Ids of successive requests differ, so that a late record of the last request on a backend can be
 * told from the next one's. */
static uint16_t next_backend_id(struct daemon *daemon) {
    if (++daemon->backend_request_id == 0)
        daemon->backend_request_id = 1;
    return daemon->backend_request_id;
}

/* Makes the records for PHP-FPM from daemon->params. */
static struct refusal build(struct request *request) {
    struct daemon *daemon = request->front->daemon;
    struct params_request wanted = {
        .rules = request->site->pool->rules,
        .block = request->site->block,
        .body_length = buffer_total(&request->body),
        .body_cap = daemon->config->limits.body_bytes,
        .request_id = next_backend_id(daemon),
    };

    request->backend_id = wanted.request_id;
    request->records.length = 0;
    struct refusal refusal = params_build(&daemon->params, &wanted, &request->records);
    request->is_built = refusal.status == 0;
    return refusal;
}

static void submit(struct request *request) {
    if (request->site->pool->is_unsafe) {
        request_refuse(request, PAGE_BAD_GATEWAY, "the pool's OPcache is not set safely");
        return;
    }
    if (site_is_refused(request->site)) { /* since its parameters were judged */
        request_refuse(request, PAGE_OVER_QUOTA, SITE_REFUSED_REASON);
        return;
    }
    request->state = REQUEST_QUEUED;
    if (!pool_enqueue(request->site->pool, request)) {
        request->state = REQUEST_READING;
        request_refuse(request, PAGE_UNAVAILABLE, "the tenant's queue is full");
    }
}

static bool is_value(const struct fcgi_pair *pair, const char *text) {
    return pair != NULL && pair->value_length == strlen(text) &&
           memcmp(pair->value, text, pair->value_length) == 0;
}

/* The body that CONTENT_LENGTH announces. 0 where it is absent or makes no sense: params_build()
 * compares it with what came. */
static uint64_t announced_body(const struct fcgi_pair *pair) {
    uint64_t length = 0;

    for (uint32_t i = 0; pair != NULL && i < pair->value_length; i++) {
        uint8_t digit = (uint8_t)(pair->value[i] - '0');
        if (digit > 9 || length > UINT64_MAX / 10 - 1)
            return 0;
        length = length * 10 + digit;
    }
    return length;
}

/* Who asks, and may they? Fills daemon->params. */
static struct refusal judge(struct request *request) {
    struct front *front = request->front;
    struct daemon *daemon = front->daemon;
    struct params *params = &daemon->params;
    const char *socket_tenant = front->tenant[0] != '\0' ? front->tenant : NULL;

    struct refusal refusal = params_decode(request->params.data, request->params.length, params);
    if (refusal.status != 0)
        return refusal;
    struct identity identity =
        identify(daemon->config, daemon->registry, socket_tenant, params, time(NULL));
    if (identity.tenant != NULL) {
        request->site = site_hold(daemon, identity.tenant);
        if (request->site == NULL)
            return (struct refusal){503, "out of memory"};
    }
    if (identity.refusal.status != 0)
        return identity.refusal;
    if (site_is_refused(request->site))
        return (struct refusal){429, SITE_REFUSED_REASON};
    request->is_safe = is_value(params->known[PARAM_REQUEST_METHOD], "GET") ||
                       is_value(params->known[PARAM_REQUEST_METHOD], "HEAD");
    if (announced_body(params->known[PARAM_CONTENT_LENGTH]) > daemon->config->limits.body_bytes)
        return (struct refusal){413, "CONTENT_LENGTH is above limits.body_bytes"};
    return (struct refusal){0};
}

/* ---- What the front brings ---- */

/* A request may be answered (refused, aborted) and still be here, because its front takes nothing
 * at present: what else comes for it is of no interest. */
void request_on_params(struct request *request, const uint8_t *data, size_t length) {
    if (request->state == REQUEST_READING && !bytes_append(&request->params, data, length))
        request_refuse(request, PAGE_FIELDS_TOO_LARGE, "parameters above limits.params_bytes");
}

void request_on_params_end(struct request *request) {
    request->has_params = true;
    if (request->state != REQUEST_READING)
        return;
    struct refusal refusal = judge(request);
    if (refusal.status != 0) {
        request_refuse(request, page_for(refusal.status), refusal.reason);
        return;
    }
    /* Most requests have no body: those are built here, while the parameters are decoded. A body
     * that comes all the same, without CONTENT_LENGTH, builds them again. */
    const struct fcgi_pair *length = request->front->daemon->params.known[PARAM_CONTENT_LENGTH];
    bool has_no_body = is_value(length, "0");
    if (has_no_body || length == NULL || length->value_length == 0)
        refusal = build(request);
    if (refusal.status != 0)
        request_refuse(request, page_for(refusal.status), refusal.reason);
    else if (has_no_body) /* HAProxy (HTTP/2, before 2.9.7) may leave the empty STDIN out */
        submit(request);
}

void request_on_body(struct request *request, const uint8_t *data, size_t length) {
    struct buffer *body = &request->body;

    /* CONTENT_LENGTH said that there is none. Where the request has started on that word, the
     * body is dropped: PHP-FPM was not told of it. */
    if (request->state == REQUEST_QUEUED) {
        request_refuse(request, PAGE_BAD_REQUEST, "a body although CONTENT_LENGTH is 0");
        return;
    }
    if (request->state != REQUEST_READING)
        return;
    request->is_built = false;
    if (buffer_total(body) + length > request->front->daemon->config->limits.body_bytes) {
        request_refuse(request, PAGE_TOO_LARGE, "body above limits.body_bytes");
        return;
    }
    if (!buffer_append(body, data, length)) {
        char reason[128];
        snprintf(reason, sizeof reason, "spooling the body: %s", strerror(body->failure));
        request_refuse(request, PAGE_UNAVAILABLE, reason);
        return;
    }
    if (buffer_is_full(body))
        front_pause(request->front);
}

void request_on_body_end(struct request *request) {
    request->has_body = true;
    if (request->state != REQUEST_READING)
        return;
    if (!request->is_built) {
        struct refusal refusal = params_decode(request->params.data, request->params.length,
                                               &request->front->daemon->params);
        if (refusal.status == 0)
            refusal = build(request);
        if (refusal.status != 0) {
            request_refuse(request, page_for(refusal.status), refusal.reason);
            return;
        }
    }
    submit(request);
}

static void on_body_progress(void *context) {
    struct request *request = context;
    struct buffer *body = &request->body;

    /* Also when the last of the body has come meanwhile: the front has other requests. */
    if (body->failure != 0 || !buffer_is_full(body))
        front_resume(request->front);
    if (body->failure != 0 && request->state != REQUEST_ANSWERED) {
        char reason[128];
        snprintf(reason, sizeof reason, "spooling the body: %s", strerror(body->failure));
        request_refuse(request, PAGE_UNAVAILABLE, reason);
        return;
    }
    if (request->state == REQUEST_RUNNING)
        exchange_send(request->backend);
}

static void on_response_progress(void *context) {
    struct request *request = context;
    struct front *front = request->front;

    if (request->response.failure != 0) {
        request_refuse(request, PAGE_UNAVAILABLE, strerror(request->response.failure));
        return;
    }
    /* Room in the buffer is room for PHP-FPM, whether or not the front takes anything now. */
    response_resume(request);
    front_write_more(front);
}

/* ---- Leaving before the end ---- */

/* Takes the request away from where it waits or runs. */
void request_detach(struct request *request) {
    if (request->state == REQUEST_QUEUED) {
        schedule_cancel(&request->site->pool->schedule, &request->ticket);
    } else if (request->state == REQUEST_RUNNING) {
        request_count(request);
        backend_abandon(request->backend);
    }
    request->state = REQUEST_ANSWERED;
    request->backend = NULL;
}

void request_on_abort(struct request *request) {
    request_detach(request);
    response_end(request, NULL, 0);
}

void request_on_front_gone(struct request *request) {
    request_detach(request);
    request_free(request);
}
