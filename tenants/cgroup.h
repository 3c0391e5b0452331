/* The control group of a process, and the CPU that it counted: versions 1 and 2. */
#ifndef FPMUX_TENANTS_CGROUP_H
#define FPMUX_TENANTS_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The file of the CPU figure of pid's group. False when there is none, or when pid's parent is in
 * it, too: then it was not made for pid, as systemd and Docker make one for each service. */
bool cgroup_of_its_own(pid_t pid, char *path, size_t room);

/* Nanoseconds since the group was made. */
bool cgroup_read_cpu(const char *path, uint64_t *cpu_ns);

/* The line of /proc/PID/cgroup that counts CPU, as the path of its file; text is that file's
 * content. Pure. */
bool cgroup_parse(const char *text, char *path, size_t room);

#endif
