#include "shim/intake.h"

#include <stdio.h>
#include <string.h>

#include "shim/daemon.h"
#include "shim/fcgi.h"
#include "shim/front.h"
#include "shim/page.h"
#include "shim/request.h"
#include "tenants/log.h"

enum {
    REQUESTS_MAX = 256,         /* at once on one front */
    FRONTS_MAX = 10000,         /* told to those who ask; the limit is that of descriptors */
    UNSENT_BYTES_MAX = 1 << 20, /* more than any writev: of answers to questions without end */
    RETRY_AFTER_SECONDS = 5
};

/* ---- Beginning ---- */

struct begin {
    uint16_t id;
    uint16_t role;
    bool keeps_connection;
};

/* Answers a BEGIN_REQUEST that does not become a request; its further records are those of an
 * unknown id. */
static void refuse_begin(struct front *front, const struct begin *begin, enum page_kind kind,
                         uint8_t protocol_status, const char *reason) {
    struct daemon *daemon = front->daemon;
    struct bytes page;
    char peer[PEER_TEXT_MAX];
    char id[40];

    front_describe(front, peer, sizeof peer);
    snprintf(id, sizeof id, "%s-%llx", daemon->instance,
             (unsigned long long)++daemon->started_serial);
    log_notice("request %s: tenant -: %d: %s (from %s)", id, page_status(kind), reason, peer);
    bytes_init(&page, SIZE_MAX / 2);
    page_write(daemon->pages, kind, id, kind == PAGE_UNAVAILABLE ? RETRY_AFTER_SECONDS : 0, &page);
    front_send(front, &(struct front_message){.request_id = begin->id,
                                              .type = FCGI_STDOUT,
                                              .content = page.data,
                                              .length = page.length,
                                              .ends = true,
                                              .protocol_status = protocol_status});
    bytes_deinit(&page);
    if (!begin->keeps_connection)
        front_close_when_sent(front, true);
}

static void begin_request(struct front *front, uint16_t id, const uint8_t *body) {
    struct begin begin = {id, (uint16_t)(body[0] << 8 | body[1]), (body[2] & FCGI_KEEP_CONN) != 0};

    if (front_find(front, id) != NULL) {
        front_break(front, "a request id was begun twice");
        return;
    }
    if (begin.role != FCGI_RESPONDER) {
        refuse_begin(front, &begin, PAGE_BAD_REQUEST, FCGI_UNKNOWN_ROLE,
                     "its role is not FCGI_RESPONDER");
        return;
    }
    /* Not FCGI_OVERLOADED: HAProxy closes the whole connection then. */
    if (front->request_count >= REQUESTS_MAX) {
        refuse_begin(front, &begin, PAGE_UNAVAILABLE, FCGI_REQUEST_COMPLETE,
                     "too many requests at once on one connection");
        return;
    }
    struct request *request = request_new(front, id, begin.keeps_connection);
    if (request == NULL)
        front_break(front, "out of memory");
    else
        front_adopt(front, request);
}

/* ---- Management records (section 4) ---- */

static void answer_values(struct front *front) {
    static const struct {
        const char *name;
        unsigned value;
    } known[] = {{FCGI_MAX_CONNS, FRONTS_MAX}, {FCGI_MAX_REQS, REQUESTS_MAX}, {FCGI_MPXS_CONNS, 1}};
    uint8_t answer[256];
    size_t length = FCGI_HEADER_LEN;
    size_t offset = 0;
    unsigned answered = 0; /* bits of known: each at most once */
    struct fcgi_pair pair;

    while (fcgi_next_pair(front->values.data, front->values.length, &offset, &pair) == 1) {
        for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++) {
            char text[16];
            size_t name_length = strlen(known[i].name);
            if ((answered & 1U << i) != 0 || pair.name_length != name_length ||
                memcmp(pair.name, known[i].name, name_length) != 0)
                continue;
            answered |= 1U << i;
            int text_length = snprintf(text, sizeof text, "%u", known[i].value);
            length += fcgi_encode_pair(answer + length, known[i].name, name_length, text,
                                       (size_t)text_length);
        }
    }
    fcgi_encode_header(answer, FCGI_GET_VALUES_RESULT, 0, (uint16_t)(length - FCGI_HEADER_LEN));
    front_send_bytes(front, answer, length);
}

static void end_management_record(struct front *front, uint8_t type) {
    uint8_t answer[FCGI_UNKNOWN_BYTES];

    if (type == FCGI_GET_VALUES) {
        answer_values(front);
        return;
    }
    fcgi_encode_unknown_type(answer, type);
    front_send_bytes(front, answer, sizeof answer);
}

/* ---- Records in ---- */

static bool is_gathered_type(uint8_t type) {
    return type == FCGI_BEGIN_REQUEST || type == FCGI_GET_VALUES;
}

/* A header came. Says NULL, or why the stream can't be trusted any more. */
static const char *on_header(struct front *front, const struct fcgi_header *header) {
    struct request *request = NULL;

    bytes_deinit(&front->values);
    front->current = NULL;
    if (front->unsent.length > UNSENT_BYTES_MAX)
        return "it does not read its answers";
    if (header->request_id == 0) {
        bool is_application = header->type >= FCGI_BEGIN_REQUEST && header->type <= FCGI_DATA;
        return is_application ? "a record of a request has request id 0" : NULL;
    }
    switch (header->type) {
    case FCGI_BEGIN_REQUEST:
        return header->content_length == 8 ? NULL : "BEGIN_REQUEST is not 8 bytes long";
    case FCGI_PARAMS:
    case FCGI_STDIN:
        request = front_find(front, header->request_id);
        if (request != NULL && (header->type == FCGI_PARAMS) == request->has_params)
            return request->has_params ? "PARAMS after their end" : "STDIN before PARAMS ended";
        if (request != NULL && header->type == FCGI_STDIN && request->has_body)
            return "STDIN after its end";
        break;
    case FCGI_ABORT_REQUEST:
        request = front_find(front, header->request_id);
        break;
    case FCGI_END_REQUEST:
    case FCGI_STDOUT:
    case FCGI_STDERR:
        return "a record that only an application sends";
    default: /* FCGI_DATA, unknown types with a request id: no use for them, no harm */
        break;
    }
    front->current = request; /* NULL: late records of a request that was answered are ignored */
    return NULL;
}

static void on_content(struct front *front, const uint8_t *piece, size_t length) {
    uint8_t type = front->decoder.header.type;

    if (is_gathered_type(type)) {
        if (!bytes_append(&front->values, piece, length))
            front_break(front, "a management record is too long");
    } else if (front->current != NULL && type == FCGI_PARAMS) {
        request_on_params(front->current, piece, length);
    } else if (front->current != NULL && type == FCGI_STDIN) {
        request_on_body(front->current, piece, length);
    }
}

static void on_record_end(struct front *front) {
    struct fcgi_header header = front->decoder.header;
    struct request *request = front->current;

    if (header.request_id == 0)
        end_management_record(front, header.type);
    else if (header.type == FCGI_BEGIN_REQUEST)
        begin_request(front, header.request_id, front->values.data);
    else if (request != NULL && header.type == FCGI_ABORT_REQUEST)
        request_on_abort(request);
    else if (request != NULL && header.type == FCGI_PARAMS && header.content_length == 0)
        request_on_params_end(request);
    else if (request != NULL && header.type == FCGI_STDIN && header.content_length == 0)
        request_on_body_end(request);
}

void intake_take(struct front *front, const uint8_t *input, size_t length) {
    while (!front->is_broken) {
        const uint8_t *piece = NULL;
        size_t piece_length = 0;
        size_t used = 0;
        const char *reason = NULL;
        enum fcgi_event event =
            fcgi_decode(&front->decoder, input, length, &used, &piece, &piece_length);
        input += used;
        length -= used;
        switch (event) {
        case FCGI_EVENT_NONE:
            return;
        case FCGI_EVENT_BEGIN:
            reason = on_header(front, &front->decoder.header);
            break;
        case FCGI_EVENT_CONTENT:
            on_content(front, piece, piece_length);
            break;
        case FCGI_EVENT_END:
            on_record_end(front);
            break;
        case FCGI_EVENT_BROKEN:
            reason = "this is not FastCGI";
            break;
        }
        if (reason != NULL)
            front_break(front, reason);
    }
}
