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

/* Whether a list "cpu,cpuacct" has that name. */
static bool has_controller(const char *names, size_t length, const char *wanted) {
    const char *end = names + length;

    while (names < end) {
        const char *comma = memchr(names, ',', (size_t)(end - names));
        size_t one = (size_t)((comma != NULL ? comma : end) - names);
        if (one == strlen(wanted) && memcmp(names, wanted, one) == 0)
            return true;
        names += one + 1;
    }
    return false;
}

/* "4:cpu,cpuacct:/docker/ID" (version 1) or "0::/system.slice/x.service" (version 2). */
bool cgroup_parse(const char *text, char *path, size_t room) {
    const char *unified = NULL;

    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        const char *names = strchr(line, ':');
        const char *group = names != NULL ? strchr(names + 1, ':') : NULL;
        if (group != NULL && group < end && group[1] == '/') {
            size_t length = (size_t)(group - ++names);
            if (has_controller(names, length, "cpuacct"))
                return snprintf(path, room, ROOT "/%.*s%.*s/cpuacct.usage", (int)length, names,
                                (int)(end - group - 1), group + 1) < (int)room;
            if (length == 0)
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
    bool is_version_2 = strncmp(text, usage, strlen(usage)) == 0;
    const char *digits = is_version_2 ? text + strlen(usage) : text;
    *cpu_ns = strtoull(digits, NULL, 10) * (is_version_2 ? NS_PER_US : 1);
    return *digits >= '0' && *digits <= '9';
}
