/* Decimal numbers without floating point: a whole number of 10^-decimals. What becomes money is
 * multiplied and added here and nowhere else: 128 bits hold the product of any counter (64 bits)
 * and any price (RATES_PRICE_MAX, below 2^50) with room to spare, so nothing is rounded until a
 * rule says where. */
#ifndef FPMUX_TENANTS_DECIMAL_H
#define FPMUX_TENANTS_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned __int128 uint128_t;

enum { DECIMAL_DIGITS_MAX = 18 };

/* Digits, maybe a point and at most `decimals` more digits: no sign, exponent, space or separator.
 * false: it is none, or does not fit. */
bool decimal_parse(const char *text, size_t length, unsigned decimals, uint64_t *value);

/* dividend / divisor, rounded half up. */
uint128_t decimal_divide(uint128_t dividend, uint128_t divisor);

uint64_t decimal_power(unsigned exponent); /* of 10, at most DECIMAL_DIGITS_MAX */

/* "12.50": with all decimals; "12.5": without zeros at the end. */
enum { DECIMAL_BYTES = 48 };
void decimal_format(uint128_t value, unsigned decimals, char out[DECIMAL_BYTES]);
void decimal_format_short(uint128_t value, unsigned decimals, char out[DECIMAL_BYTES]);

#endif
