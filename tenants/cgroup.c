#include "tenants/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tenants/process.h"

enum { TEXT_BYTES = 4096, PATH_BYTES = 512, NS_PER_US = 1000 };

#define ROOT "/sys/fs/cgroup"

static bool read_text(const char *path, char text[TEXT_BYTES]) {
    int file = open(path, O_RDONLY | O_CLOEXEC);

    if (file < 0)
        return false;
    ssize_t length = read(file, text, TEXT_BYTES - 1);
    close(file);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

/* "4:cpu,cpuacct:/docker/ID" (version 1) or "0::/system.slice/x.service" (version 2). */
bool cgroup_parse(const char *text, char *path, size_t room) {
    const char *unified = NULL;

    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        const char *controllers = strchr(line, ':');
        const char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group != NULL && group < end) {
            int names = (int)(group - controllers - 1);
            int length = (int)(end - group - 1);
            if (memmem(controllers, (size_t)names + 1, "cpuacct", 7) != NULL)
                return snprintf(path, room, ROOT "/%.*s%.*s/cpuacct.usage", names, controllers + 1,
                                length, group + 1) < (int)room;
            if (names == 0)
                unified = group + 1;
        }
        line = *end == '\n' ? end + 1 : NULL;
    }
    return unified != NULL && snprintf(path, room, ROOT "%.*s/cpu.stat",
                                       (int)strcspn(unified, "\n"), unified) < (int)room;
}

static bool find_path(pid_t pid, char *path, size_t room) {
    char file[32];
    char text[TEXT_BYTES];

    snprintf(file, sizeof file, "/proc/%d/cgroup", (int)pid);
    return read_text(file, text) && cgroup_parse(text, path, room);
}

bool cgroup_of_its_own(pid_t pid, char *path, size_t room) {
    struct process_stat stat;
    char parents[PATH_BYTES];

    if (!find_path(pid, path, room) || !process_find(pid, &stat))
        return false;
    return !find_path(stat.parent, parents, sizeof parents) || strcmp(path, parents) != 0;
}

bool cgroup_read_cpu(const char *path, uint64_t *cpu_ns) {
    static const char usage[] = "usage_usec ";
    char text[TEXT_BYTES];

    if (!read_text(path, text))
        return false;
    if (strncmp(text, usage, strlen(usage)) == 0)
        *cpu_ns = strtoull(text + strlen(usage), NULL, 10) * NS_PER_US;
    else
        *cpu_ns = strtoull(text, NULL, 10);
    return true;
}
