#include "tenants/report_text.h"

#include <stdbool.h>
#include <string.h>

static void put_csv(FILE *out, const char *guard, const char *text) {
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(guard, out);
        fputs(text, out);
        return;
    }
    fputc('"', out);
    fputs(guard, out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

void report_put_csv(FILE *out, const char *text) {
    put_csv(out, "", text);
}

void report_put_csv_guarded(FILE *out, const char *text) {
    bool is_formula = *text != '\0' && strchr("=+-@\t\r", *text) != NULL;

    put_csv(out, is_formula ? "'" : "", text);
}

void report_put_json(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20)
            fprintf(out, "\\u%04x", byte);
        else if (byte == '"' || byte == '\\')
            fprintf(out, "\\%c", byte);
        else
            fputc(byte, out);
    }
    fputc('"', out);
}
