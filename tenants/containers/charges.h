/* Charges the CPU of commands to their tenants, in counter files of its own beside the daemon's
 * (counters.h): what was added survives a kill -9, and whoever folds next takes it in. May be used
 * by several threads. */
#ifndef FPMUX_TENANTS_CONTAINERS_CHARGES_H
#define FPMUX_TENANTS_CONTAINERS_CHARGES_H

#include <stdbool.h>
#include <stdint.h>

#include "tenants/config.h"
#include "tenants/error.h"

struct charges;

/* config is borrowed for the lifetime. Nothing is made on the disk before there is a charge. */
struct charges *charges_new(const struct config *config);

/* Where it can't be written (disk full, no permission), the amount is kept in memory, which is
 * logged, and written once that is mended. */
void charges_add_cpu(struct charges *charges, const char *tenant, uint64_t ns);

/* Moves on to the next hour's file. Call it from time to time. */
void charges_tick(struct charges *charges);

/* Folds what was counted into the ledger and frees charges. False with the reason when something
 * was lost, because it could never be written, or is in the ledger only after the next fold. */
bool charges_free(struct charges *charges, struct error *error);

#endif
