/* What a web server sends: the records of its connection, told apart and handed to the requests
 * they belong to. Everything that can't be trusted ends here, and ends that connection alone. */
#ifndef FPMUX_SHIM_INTAKE_H
#define FPMUX_SHIM_INTAKE_H

#include <stddef.h>
#include <stdint.h>

struct front;

/* Takes what was read from front. Breaks the front where the stream is no FastCGI. */
void intake_take(struct front *front, const uint8_t *input, size_t length);

#endif
