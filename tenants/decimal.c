#include "tenants/decimal.h"

#include <string.h>

static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

bool decimal_parse(const char *text, size_t length, unsigned decimals, uint64_t *value) {
    unsigned after_point = 0;
    bool has_point = false;
    uint64_t sum = 0;

    if (length == 0 || !is_digit(text[0]) || !is_digit(text[length - 1]))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.' && !has_point) {
            has_point = true;
            continue;
        }
        if (!is_digit(text[i]) || (has_point && ++after_point > decimals))
            return false;
        if (__builtin_mul_overflow(sum, UINT64_C(10), &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(text[i] - '0'), &sum))
            return false;
    }
    return !__builtin_mul_overflow(sum, decimal_power(decimals - after_point), value);
}

uint128_t decimal_divide(uint128_t dividend, uint128_t divisor) {
    return (dividend + divisor / 2) / divisor;
}

uint64_t decimal_power(unsigned exponent) {
    uint64_t power = 1;

    while (exponent-- > 0)
        power *= 10;
    return power;
}

/* At least width digits; returns where they end. By hand, because a report has tens of millions of
 * numbers, and printf() does not know 128 bits. */
static char *put_digits(uint64_t value, unsigned width, char *at) {
    char digits[20]; /* from the last to the first */
    unsigned count = 0;

    for (; value > 0 || count < width; value /= 10)
        digits[count++] = (char)('0' + value % 10);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

static char *put_whole(uint128_t value, char *at) {
    static const uint64_t chunk = UINT64_C(10000000000000000000);
    enum { CHUNK_DIGITS = 19 };

    if (value < chunk)
        return put_digits((uint64_t)value, 1, at);
    at = put_whole(value / chunk, at);
    return put_digits((uint64_t)(value % chunk), CHUNK_DIGITS, at);
}

void decimal_format(uint128_t value, unsigned decimals, char out[DECIMAL_BYTES]) {
    uint64_t unit = decimal_power(decimals);
    char *end = put_whole(value / unit, out);

    if (decimals > 0) {
        *end++ = '.';
        end = put_digits((uint64_t)(value % unit), decimals, end);
    }
    *end = '\0';
}

void decimal_format_short(uint128_t value, unsigned decimals, char out[DECIMAL_BYTES]) {
    decimal_format(value, decimals, out);
    if (decimals == 0)
        return;
    size_t length = strlen(out);
    while (out[length - 1] == '0')
        length--;
    if (out[length - 1] == '.')
        length--;
    out[length] = '\0';
}
