#include "tenants/containers/descendants.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static const uint64_t NS_PER_SECOND = 1000000000;

struct process {
    pid_t pid;
    pid_t parent;
    uint64_t children_ns; /* CPU of the children it waited for */
    bool is_ours;
};

struct processes {
    struct process *items; /* owned */
    size_t count;
};

/* ---- /proc ---- */

/* Fields of /proc/PID/stat, counted from 1 as in proc(5). */
enum { FIELD_STATE = 3, FIELD_PARENT = 4, FIELD_CHILDREN_USER = 16, FIELD_CHILDREN_SYSTEM = 17 };

/* The second field is the name in parentheses, which may have anything in it. */
static bool parse_stat(char *text, struct process *process) {
    uint64_t fields[FIELD_CHILDREN_SYSTEM + 1];
    char *rest = strrchr(text, ')');

    if (rest == NULL)
        return false;
    rest++;
    for (int i = FIELD_STATE; i <= FIELD_CHILDREN_SYSTEM; i++) {
        const char *word = strtok_r(rest, " ", &rest);
        if (word == NULL)
            return false;
        fields[i] = strtoull(word, NULL, 10);
    }
    process->parent = (pid_t)fields[FIELD_PARENT];
    process->children_ns = (fields[FIELD_CHILDREN_USER] + fields[FIELD_CHILDREN_SYSTEM]) *
                           (NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK));
    return true;
}

/* False when the process is gone. */
static bool read_process(int proc, const char *pid, struct process *process) {
    char path[64];
    char text[1024];

    snprintf(path, sizeof path, "%s/stat", pid);
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0)
        return false;
    text[length] = '\0';
    *process = (struct process){.pid = (pid_t)strtol(pid, NULL, 10)};
    return parse_stat(text, process);
}

static struct processes list_processes(void) {
    struct processes found = {0};
    DIR *stream = opendir("/proc");

    if (stream == NULL)
        return found;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        struct process process;
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
            !read_process(dirfd(stream), entry->d_name, &process))
            continue;
        struct process *grown = reallocarray(found.items, found.count + 1, sizeof *found.items);
        if (grown == NULL)
            break;
        found.items = grown;
        found.items[found.count++] = process;
    }
    closedir(stream);
    return found;
}

static bool is_ours(const struct processes *all, pid_t pid) {
    if (pid == getpid())
        return true;
    for (size_t i = 0; i < all->count; i++)
        if (all->items[i].pid == pid)
            return all->items[i].is_ours;
    return false;
}

/* A child may be listed before its parent, so it takes rounds: as many as they are deep at most. */
static struct processes list_descendants(void) {
    struct processes all = list_processes();
    bool has_news = true;

    while (has_news) {
        has_news = false;
        for (size_t i = 0; i < all.count; i++) {
            struct process *process = &all.items[i];
            if (process->is_ours || !is_ours(&all, process->parent))
                continue;
            process->is_ours = true;
            has_news = true;
        }
    }
    return all;
}

/* ---- CPU ---- */

static bool read_clock(pid_t pid, uint64_t *ns) {
    struct timespec time;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
        return false;
    *ns = (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_nsec;
    return true;
}

static uint64_t timeval_ns(struct timeval time) {
    return (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_usec * 1000;
}

/* Nothing is counted twice: whoever still has a clock after all of /proc was read had not been
 * waited for then, so no parent's figure has it. */
uint64_t descendants_cpu_ns(void) {
    struct rusage waited;
    uint64_t own;

    getrusage(RUSAGE_CHILDREN, &waited);
    uint64_t sum = timeval_ns(waited.ru_utime) + timeval_ns(waited.ru_stime);
    struct processes all = list_descendants();
    for (size_t i = 0; i < all.count; i++)
        if (all.items[i].is_ours && read_clock(all.items[i].pid, &own))
            sum += own + all.items[i].children_ns;
    free(all.items);
    return sum;
}

/* ---- Signals ---- */

void descendants_signal(int signal) {
    struct processes all = list_descendants();

    for (size_t i = 0; i < all.count; i++)
        if (all.items[i].is_ours)
            kill(all.items[i].pid, signal);
    free(all.items);
}
