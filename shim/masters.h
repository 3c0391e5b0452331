/* What workers burned between their last reading and their end. Nobody can read it any more, but it
 * is in their parent's children time: that of PHP-FPM's master, less what was read of those who
 * ended, is what is missing.
 *
 * In steps of 10 ms, and always as far as the kernel's figure has come: over many ends nothing is
 * lost, of a single one up to two steps are told with a later one. Workers of other pools of the
 * same PHP-FPM end too; the limit keeps most of theirs out. */
#ifndef FPMUX_SHIM_MASTERS_H
#define FPMUX_SHIM_MASTERS_H

#include <stdint.h>
#include <sys/types.h>

struct account;
struct master;

struct masters {
    struct master *first;
};

/* The master with that pid, held; NULL when it can't be seen. */
struct master *masters_hold(struct masters *masters, pid_t pid);
void masters_release(struct master *master); /* NULL is allowed */

/* One of its workers has ended, of which known_ns were read. account: whose request it was that
 * ended with it, unread; else NULL. */
void master_bury(struct master *master, uint64_t known_ns, struct account *account);

typedef void masters_charge_fn(void *context, struct account *account, uint64_t cpu_ns);

/* Calls charge with what those who were buried since the last time burned beyond what was known, at
 * most limit_ns for each; account is what master_bury() was told last. */
void masters_settle(struct masters *masters, uint64_t limit_ns, masters_charge_fn *charge,
                    void *context);

void masters_deinit(struct masters *masters);

#endif
