#include "shim/page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/log.h"

enum { PAGE_BYTES_MAX = 48 * 1024 };

struct page {
    int status;
    const char *title;
    const char *text;
    const char *file; /* name of the operator's page */
};

static const struct page built_in[PAGE_KINDS] = {
    [PAGE_BAD_REQUEST] = {400, "Bad Request", "The request could not be understood.", "400.html"},
    [PAGE_FORBIDDEN] = {403, "Forbidden", "This address may not be called.", "403.html"},
    [PAGE_NOT_FOUND] = {404, "Not Found", "There is no such site here.", "404.html"},
    [PAGE_TOO_LARGE] = {413, "Content Too Large", "What was sent is larger than this site takes.",
                        "413.html"},
    [PAGE_OVER_QUOTA] = {429, "Too Many Requests", "This site has used up its allowance.",
                         "429.html"},
    [PAGE_FIELDS_TOO_LARGE] = {431, "Request Header Fields Too Large",
                               "The request's headers are larger than this site takes.",
                               "431.html"},
    [PAGE_BAD_GATEWAY] = {502, "Bad Gateway", "The application did not answer.", "502.html"},
    [PAGE_UNAVAILABLE] = {503, "Service Unavailable", "The site is busy. Please try again soon.",
                          "503.html"},
    [PAGE_SUSPENDED] = {503, "Service Unavailable", "This site is not available at present.",
                        "suspended.html"},
    [PAGE_GATEWAY_TIMEOUT] = {504, "Gateway Timeout", "The application took too long to answer.",
                              "504.html"},
};

struct pages {
    struct bytes own[PAGE_KINDS]; /* empty: none */
};

static void read_page(struct pages *pages, const char *dir, enum page_kind kind) {
    struct bytes *own = &pages->own[kind];
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", dir, built_in[kind].file);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        if (errno != ENOENT)
            log_warning("%s: %s; the built-in page is used", path, strerror(errno));
        return;
    }
    uint8_t *room = bytes_reserve(own, PAGE_BYTES_MAX + 1);
    own->length = room != NULL ? fread(room, 1, PAGE_BYTES_MAX + 1, file) : 0;
    if (own->length > PAGE_BYTES_MAX) {
        log_warning("%s: larger than %d bytes; the built-in page is used", path, PAGE_BYTES_MAX);
        own->length = 0;
    }
    fclose(file);
}

struct pages *pages_new(const char *dir) {
    struct pages *pages = calloc(1, sizeof *pages);

    if (pages == NULL)
        return NULL;
    for (int kind = 0; kind < PAGE_KINDS; kind++) {
        bytes_init(&pages->own[kind], PAGE_BYTES_MAX + 1);
        if (dir != NULL)
            read_page(pages, dir, (enum page_kind)kind);
    }
    return pages;
}

void pages_free(struct pages *pages) {
    if (pages == NULL)
        return;
    for (int kind = 0; kind < PAGE_KINDS; kind++)
        bytes_deinit(&pages->own[kind]);
    free(pages);
}

int page_status(enum page_kind kind) {
    return built_in[kind].status;
}

void page_write(const struct pages *pages, enum page_kind kind, const char *request_id,
                unsigned retry_seconds, struct bytes *out) {
    const struct page *page = &built_in[kind];
    const struct bytes *own = &pages->own[kind];
    char retry[40] = "";
    char text[2048];

    if (retry_seconds > 0)
        snprintf(retry, sizeof retry, "Retry-After: %u\r\n", retry_seconds);
    int length = snprintf(text, sizeof text,
                          "Status: %d %s\r\nContent-Type: text/html; charset=utf-8\r\n"
                          "Cache-Control: no-store\r\n%sX-Fpmux-Request-Id: %s\r\n\r\n",
                          page->status, page->title, retry, request_id);
    bytes_append(out, text, (size_t)length);
    if (own->length > 0) {
        bytes_append(out, own->data, own->length);
        return;
    }
    length = snprintf(text, sizeof text,
                      "<!DOCTYPE html>\n<html lang=\"en\"><head><title>%d %s</title></head>\n"
                      "<body><h1>%s</h1><p>%s</p><p><small>%s</small></p></body></html>\n",
                      page->status, page->title, page->title, page->text, request_id);
    bytes_append(out, text, (size_t)length);
}
