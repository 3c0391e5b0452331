/* The descendants of this process, which is their subreaper, so that none gets out of sight when
 * its parent ends: what CPU they have used, and signals to all of them. */
#ifndef FPMUX_TENANTS_CONTAINERS_DESCENDANTS_H
#define FPMUX_TENANTS_CONTAINERS_DESCENDANTS_H

#include <stdint.h>

/* CPU in ns of all descendants, living ones and those that were waited for. Exact (1 us) when none
 * lives; before that it may be too low by what children of living descendants used since the last
 * tick of 10 ms, and never too high. A child that its parent did not wait for because it ignores
 * SIGCHLD is in no figure of the kernel's after its end. */
uint64_t descendants_cpu_ns(void);

void descendants_signal(int signal);

#endif
