/* The currencies of ISO 4217. */
#ifndef FPMUX_TENANTS_CURRENCY_H
#define FPMUX_TENANTS_CURRENCY_H

#include <stdbool.h>

enum { CURRENCY_DIGITS_MAX = 4 };

/* Whether there is a currency of that code; *minor_digits is how many decimals its minor unit has:
 * 2 for EUR, 0 for JPY. */
bool currency_find(const char *code, unsigned *minor_digits);

#endif
