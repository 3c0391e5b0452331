#include "tenants/cli/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void findings_init(struct findings *findings, bool wants_json) {
    *findings = (struct findings){.array = wants_json ? cJSON_CreateArray() : NULL};
}

void findings_deinit(struct findings *findings) {
    cJSON_Delete(findings->array);
}

/* ---- One finding ---- */

/* ":NUMBER" at *at, which is moved behind it. */
static bool take_number(const char **at, unsigned long *number) {
    char *end;

    if ((*at)[0] != ':' || (*at)[1] < '0' || (*at)[1] > '9')
        return false;
    *number = strtoul(*at + 1, &end, 10);
    *at = end;
    return true;
}

/* In its parts; what has no position is all message. */
static void keep(cJSON *array, enum severity severity, const char *text) {
    cJSON *finding = cJSON_CreateObject();
    unsigned long line;
    unsigned long column;

    cJSON_AddStringToObject(finding, "severity", severity == SEVERITY_ERROR ? "error" : "warning");
    for (const char *colon = strchr(text, ':'); colon != NULL; colon = strchr(colon + 1, ':')) {
        const char *at = colon;
        if (!take_number(&at, &line) || !take_number(&at, &column) || strncmp(at, ": ", 2) != 0)
            continue;
        char *file = strndup(text, (size_t)(colon - text));
        cJSON_AddStringToObject(finding, "file", file);
        cJSON_AddNumberToObject(finding, "line", (double)line);
        cJSON_AddNumberToObject(finding, "column", (double)column);
        free(file);
        text = at + 2;
        break;
    }
    cJSON_AddStringToObject(finding, "message", text);
    cJSON_AddItemToArray(array, finding);
}

static void print_safely(const char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            printf("\\x%02x", (unsigned)*text);
        else
            putchar(*text);
    }
    putchar('\n');
}

void findings_add(struct findings *findings, enum severity severity, const char *text) {
    findings->errors += severity == SEVERITY_ERROR;
    findings->warnings += severity == SEVERITY_WARNING;
    if (findings->array != NULL)
        keep(findings->array, severity, text);
    else
        print_safely(text);
}

void findings_add_at(struct findings *findings, enum severity severity,
                     const struct json_document *document, const cJSON *node, const char *format,
                     ...) {
    struct error reason;
    struct error error;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason.text, sizeof reason.text, format, arguments);
    va_end(arguments);
    json_error_at(document, node, &error, "%s%s", severity == SEVERITY_WARNING ? "warning: " : "",
                  reason.text);
    findings_add(findings, severity, error.text);
}

const cJSON *findings_place(const struct json_document *document, const char *section,
                            const char *key) {
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(document->root, section);
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(object, key);

    if (node != NULL)
        return node;
    return object != NULL ? object : document->root;
}

/* ---- All of them ---- */

static void print_json(const struct findings *findings, size_t count, const char *what) {
    cJSON *root = cJSON_CreateObject();

    cJSON_AddNumberToObject(root, what, (double)count);
    cJSON_AddNumberToObject(root, "errors", (double)findings->errors);
    cJSON_AddNumberToObject(root, "warnings", (double)findings->warnings);
    cJSON_AddItemReferenceToObject(root, "findings", findings->array);
    char *text = cJSON_Print(root);
    if (text == NULL)
        abort();
    puts(text);
    cJSON_free(text);
    cJSON_Delete(root);
}

/* what is in the plural. */
static void print_count(size_t count, const char *what) {
    printf("%zu %.*s", count, (int)strlen(what) - (count == 1), what);
}

void findings_summarize(const struct findings *findings, size_t count, const char *what) {
    if (findings->array != NULL) {
        print_json(findings, count, what);
        return;
    }
    print_count(count, what);
    fputs(", ", stdout);
    if (findings->errors == 0)
        fputs("no error", stdout);
    else
        print_count(findings->errors, "errors");
    if (findings->warnings > 0) {
        fputs(", ", stdout);
        print_count(findings->warnings, "warnings");
    }
    putchar('\n');
}
