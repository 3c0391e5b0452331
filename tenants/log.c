#include "tenants/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 4096 };

static enum log_level threshold = LOG_LEVEL_NOTICE;

void log_set_level(enum log_level level) {
    threshold = level;
}

/* Bytes above 0x7f are kept: names of organisations are UTF-8. C1 controls can't be told from
 * UTF-8 continuation bytes here, and no terminal in UTF-8 mode takes a lone one for a control. */
static size_t escape(const char *text, char *line, size_t room) {
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;

    for (; *text != '\0' && used + 4 < room; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte >= 0x20 && byte != 0x7f && byte != '\\') {
            line[used++] = (char)byte;
            continue;
        }
        line[used++] = '\\';
        if (byte == '\\') {
            line[used++] = '\\';
            continue;
        }
        line[used++] = 'x';
        line[used++] = digits[byte >> 4];
        line[used++] = digits[byte & 15];
    }
    return used;
}

__attribute__((format(printf, 2, 0))) static void
write_line(enum log_level level, const char *format, va_list arguments) {
    static const char *const names[] = {"error: ", "warning: ", "", "debug: "};
    char text[LINE_BYTES];
    char line[LINE_BYTES];

    if (level > threshold)
        return;
    vsnprintf(text, sizeof text, format, arguments);
    size_t used = strlen(names[level]);
    memcpy(line, names[level], used);
    used += escape(text, line + used, sizeof line - used - 1);
    line[used++] = '\n';
    /* One write, so that lines of several threads or processes do not mix. A log that can't be
     * written has nobody to be told about. */
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written;
}

void log_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line(LOG_LEVEL_ERROR, format, arguments);
    va_end(arguments);
}

void log_warning(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line(LOG_LEVEL_WARNING, format, arguments);
    va_end(arguments);
}

void log_notice(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line(LOG_LEVEL_NOTICE, format, arguments);
    va_end(arguments);
}

void log_debug(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line(LOG_LEVEL_DEBUG, format, arguments);
    va_end(arguments);
}
