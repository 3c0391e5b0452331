/* Which of the known words was meant by one that is not known? For messages to people. */
#ifndef FPMUX_TENANTS_SPELLING_H
#define FPMUX_TENANTS_SPELLING_H

#include <stddef.h>

enum { SPELLING_WORD_MAX = 63 };

/* How many letters must be put in, taken out or replaced to make one word the other (Levenshtein);
 * SIZE_MAX when one of them is longer than SPELLING_WORD_MAX. */
size_t spelling_distance(const char *left, const char *right);

#endif
