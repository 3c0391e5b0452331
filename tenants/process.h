/* What the kernel says of a process, read from outside. */
#ifndef FPMUX_TENANTS_PROCESS_H
#define FPMUX_TENANTS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* From /proc/PID/stat, see proc(5). Times in steps of the kernel's ticks, 10 ms. */
struct process_stat {
    pid_t pid;
    pid_t parent;
    uint64_t start_ticks; /* since boot; with pid it is the process, a pid alone is used again */
    uint64_t own_ns;      /* CPU of its own */
    uint64_t children_ns; /* CPU of the children that it waited for, and of theirs */
};

/* The text of such a file. The process's name in it may hold anything. Pure. */
bool process_parse_stat(const char *text, struct process_stat *stat);

/* The /proc/PID/stat of a process, opened; it stays with that process. -1: there is none. */
int process_open_stat(pid_t pid);

/* file is such a one. False: the process has ended and was reaped. */
bool process_read_stat(int file, struct process_stat *stat);

/* False: there is no such process, or no /proc. */
bool process_find(pid_t pid, struct process_stat *stat);

/* Calls visit for each process there is. */
void process_each(void (*visit)(void *context, const struct process_stat *stat), void *context);

/* CPU that the process burned so far, in nanoseconds. Needs no privilege; exact while it sleeps, up
 * to a tick old while it runs. False: there is no such process. pid > 0: the clock of pid 0 is our
 * own. */
bool process_read_clock(pid_t pid, uint64_t *cpu_ns);

#endif
