#include "tenants/process.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STAT_BYTES = 1024, NS_PER_SECOND = 1000000000 };

/* The numbers of the fields. */
enum {
    FIELD_PARENT = 4,
    FIELD_USER = 14,
    FIELD_SYSTEM = 15,
    FIELD_CHILDREN_USER = 16,
    FIELD_CHILDREN_SYSTEM = 17,
    FIELD_START = 22,
};

static uint64_t ns_of(const uint64_t fields[FIELD_START + 1], int first, int second) {
    return (fields[first] + fields[second]) * (NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK));
}

bool process_parse_stat(const char *text, struct process_stat *stat) {
    uint64_t fields[FIELD_START + 1] = {0};
    const char *at = strrchr(text, ')'); /* ends field 2, the name; field 3 is a letter */

    for (int number = 3; at != NULL && number <= FIELD_START; number++) {
        at = strchr(at + 1, ' ');
        if (at != NULL && number > 3)
            fields[number] = strtoull(at + 1, NULL, 10);
    }
    if (at == NULL)
        return false;
    *stat = (struct process_stat){
        .pid = (pid_t)strtol(text, NULL, 10),
        .parent = (pid_t)fields[FIELD_PARENT],
        .start_ticks = fields[FIELD_START],
        .own_ns = ns_of(fields, FIELD_USER, FIELD_SYSTEM),
        .children_ns = ns_of(fields, FIELD_CHILDREN_USER, FIELD_CHILDREN_SYSTEM),
    };
    return true;
}

bool process_read_stat(int file, struct process_stat *stat) {
    char text[STAT_BYTES];
    ssize_t length = pread(file, text, sizeof text - 1, 0);

    if (length <= 0)
        return false;
    text[length] = '\0';
    return process_parse_stat(text, stat);
}

int process_open_stat(pid_t pid) {
    char path[32];

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    return open(path, O_RDONLY | O_CLOEXEC);
}

bool process_find(pid_t pid, struct process_stat *stat) {
    int file = process_open_stat(pid);

    if (file < 0)
        return false;
    bool is_there = process_read_stat(file, stat);
    close(file);
    return is_there;
}

void process_each(void (*visit)(void *context, const struct process_stat *stat), void *context) {
    DIR *proc = opendir("/proc");
    const struct dirent *entry;

    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        struct process_stat stat;
        if (isdigit((unsigned char)entry->d_name[0]) &&
            process_find((pid_t)strtol(entry->d_name, NULL, 10), &stat))
            visit(context, &stat);
    }
    if (proc != NULL)
        closedir(proc);
}

/* The layout of a clock's id is the kernel's interface (include/linux/posix-timers.h): complement
 * of the pid, then "whole process, scheduler's nanoseconds" (2). */
bool process_read_clock(pid_t pid, uint64_t *cpu_ns) {
    struct timespec time;

    if (clock_gettime((clockid_t)((~(unsigned)pid << 3) | 2U), &time) != 0)
        return false;
    *cpu_ns = (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_nsec;
    return true;
}
