/* What `check` has found: printed as it comes, or kept for --json. */
#ifndef FPMUX_TENANTS_CLI_FINDINGS_H
#define FPMUX_TENANTS_CLI_FINDINGS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "tenants/json.h"

enum severity { SEVERITY_ERROR, SEVERITY_WARNING };

struct findings {
    cJSON *array; /* NULL: each is printed */
    size_t errors;
    size_t warnings;
};

void findings_init(struct findings *findings, bool wants_json);
void findings_deinit(struct findings *findings);

/* text is "FILE:LINE:COLUMN: message", or has no position. */
void findings_add(struct findings *findings, enum severity severity, const char *text);

/* The same, at node's place in document. */
void findings_add_at(struct findings *findings, enum severity severity,
                     const struct json_document *document, const cJSON *node, const char *format,
                     ...) __attribute__((format(printf, 5, 6)));

/* Where section.key stands, or the section, or the whole. */
const cJSON *findings_place(const struct json_document *document, const char *section,
                            const char *key);

/* what, in the plural, says what was looked at. */
void findings_summarize(const struct findings *findings, size_t count, const char *what);

#endif
