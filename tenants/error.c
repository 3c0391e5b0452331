#include "tenants/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void error_set(struct error *error, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
}

void error_prefix(struct error *error, const char *format, ...) {
    struct error inner = *error;
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof error->text)
        return; /* no room for more than the prefix */
    snprintf(error->text + length, sizeof error->text - (size_t)length, ": %s", inner.text);
}
