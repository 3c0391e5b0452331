#include "tenants/spelling.h"

#include <stdint.h>
#include <string.h>

static size_t least(size_t left, size_t right) {
    return left < right ? left : right;
}

/* The matrix of distances between the words' beginnings, one row at a time. */
size_t spelling_distance(const char *left, const char *right) {
    size_t row[SPELLING_WORD_MAX + 1];
    size_t length = strlen(right);

    if (length > SPELLING_WORD_MAX || strlen(left) > SPELLING_WORD_MAX)
        return SIZE_MAX;
    for (size_t column = 0; column <= length; column++)
        row[column] = column;
    for (size_t line = 1; left[line - 1] != '\0'; line++) {
        size_t diagonal = row[0];
        row[0] = line;
        for (size_t column = 1; column <= length; column++) {
            size_t replaced = diagonal + (left[line - 1] != right[column - 1]);
            diagonal = row[column];
            row[column] = least(replaced, least(row[column], row[column - 1]) + 1);
        }
    }
    return row[length];
}
