/* The record decoder: whatever comes in, and however it is cut, it says the same, takes no byte
 * twice and never stands still. The first byte of the input sets the sizes of the pieces. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shim/fcgi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the decoder said, in a form that does not depend on the pieces: counts and running sums. */
struct summary {
    uint64_t headers;
    uint64_t content;
    uint64_t ends;
    uint64_t sum;
    bool is_broken;
    bool is_between_records;
};

static void require(bool condition) {
    if (!condition)
        abort();
}

static void mix(struct summary *summary, uint64_t value) {
    summary->sum = (summary->sum ^ value) * 0x100000001b3U;
}

static void note(struct summary *summary, enum fcgi_event event, const struct fcgi_decoder *decoder,
                 const uint8_t *piece, size_t length) {
    if (event == FCGI_EVENT_BEGIN) {
        summary->headers++;
        mix(summary, decoder->header.type);
        mix(summary, decoder->header.request_id);
        mix(summary, decoder->header.content_length);
        mix(summary, decoder->header.padding_length);
    }
    for (size_t i = 0; event == FCGI_EVENT_CONTENT && i < length; i++) {
        summary->content++;
        mix(summary, piece[i]);
    }
    summary->ends += event == FCGI_EVENT_END;
    summary->is_broken = event == FCGI_EVENT_BROKEN;
}

/* One piece of input, copied to its own allocation so that a byte read past it is seen. */
static void feed(struct fcgi_decoder *decoder, const uint8_t *data, size_t size,
                 struct summary *summary) {
    uint8_t *copy = malloc(size);
    const uint8_t *at = copy;
    enum fcgi_event event;

    require(copy != NULL);
    memcpy(copy, data, size);
    do {
        size_t used = SIZE_MAX;
        const uint8_t *piece = NULL;
        size_t piece_length = 0;
        event = fcgi_decode(decoder, at, size, &used, &piece, &piece_length);
        require(used <= size);
        require(event != FCGI_EVENT_CONTENT || (piece == at && piece_length == used && used > 0));
        note(summary, event, decoder, piece, piece_length);
        at += used;
        size -= used;
    } while (event != FCGI_EVENT_NONE && event != FCGI_EVENT_BROKEN);
    require(size == 0 || event == FCGI_EVENT_BROKEN);
    free(copy);
}

static struct summary decode(const uint8_t *data, size_t size, size_t step) {
    struct fcgi_decoder decoder;
    struct summary summary = {0};

    fcgi_decoder_init(&decoder);
    while (size > 0 && !summary.is_broken) {
        size_t length = size < step ? size : step;
        feed(&decoder, data, length, &summary);
        data += length;
        size -= length;
    }
    summary.is_between_records = fcgi_decoder_is_between_records(&decoder);
    return summary;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct summary whole = decode(data + 1, size - 1, SIZE_MAX);
    size_t steps[] = {1, 7, 8, (size_t)data[0] + 1};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct summary cut = decode(data + 1, size - 1, steps[i]);
        require(cut.headers == whole.headers && cut.content == whole.content);
        require(cut.ends == whole.ends && cut.is_broken == whole.is_broken);
        require(cut.sum == whole.sum);
        require(cut.is_broken || cut.is_between_records == whole.is_between_records);
    }
    require(whole.ends <= whole.headers && whole.headers <= whole.ends + 1);
    return 0;
}
