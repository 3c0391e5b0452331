#include "shim/head.h"

#include <string.h>
#include <strings.h>

static int parse_status(const uint8_t *line, size_t length) {
    static const char name[] = "Status:";
    size_t i = sizeof name - 1;

    if (length < i || strncasecmp((const char *)line, name, i) != 0)
        return 0;
    while (i < length && line[i] == ' ')
        i++;
    if (i + 3 > length)
        return 0;
    int status = 0;
    for (size_t end = i + 3; i < end; i++) {
        if (line[i] < '0' || line[i] > '9')
            return 0;
        status = status * 10 + (line[i] - '0');
    }
    return status;
}

struct head head_scan(const uint8_t *data, size_t length) {
    struct head head = {.status = 200};
    size_t start = 0;

    while (start < length) {
        const uint8_t *end = memchr(data + start, '\n', length - start);
        if (end == NULL)
            break;
        size_t line_length = (size_t)(end - data) - start;
        if (line_length > 0 && data[start + line_length - 1] == '\r')
            line_length--;
        if (line_length == 0) {
            head.length = (size_t)(end - data) + 1;
            return head;
        }
        int status = parse_status(data + start, line_length);
        if (status != 0)
            head.status = status;
        start = (size_t)(end - data) + 1;
    }
    return head;
}
