/* The directory source.
 *
 *     ABOVE/            watched for NAME coming, going or being replaced (the watch on the
 *       NAME/           directory itself does not tell of its removal while we have it open)
 *         ID.json       closed after writing, renamed, removed, linked, made readable
 *
 * ABOVE is the parent, or the nearest directory above that exists while the parent is gone.
 *
 * The events of one wake-up are first drained into the set of names they are about; then each file
 * is looked at once. So a file that an editor moves aside and writes anew is a reload and not a
 * removal, and ten events for one file cost one reading. */
#include "tenants/source_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <uthash.h>

#include "tenants/names.h"

enum { FILE_BYTES_MAX = 1 << 20 };

#define SUFFIX ".json"

/* IN_ATTRIB: a file that could not be read was given the right owner or mode. IN_CREATE: a link was
 * made, which nobody writes to or closes. */
#define FILE_EVENTS                                                                                \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_CREATE)
#define SELF_EVENTS (IN_DELETE_SELF | IN_MOVE_SELF)
#define ABOVE_EVENTS (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | SELF_EVENTS)

/* A file that the events of this wake-up are about. */
struct touched {
    UT_hash_handle hh;
    char name[];
};

struct source {
    int inotify_fd;
    int dir_fd;      /* -1: the directory is gone */
    int dir_watch;   /* -1: the same */
    int above_watch; /* -1: no directory above can be watched */
    struct touched *touched;
    char *text; /* FILE_BYTES_MAX + 1, for one file */
    char *path; /* of the directory, without trailing slash */
    size_t above_length;
};

/* What the events of one wake-up ask for, besides the touched files. */
struct wake_up {
    bool lost_events;
    bool look_at_directory;
};

/* ---- Names ---- */

static bool is_ours(const char *name) {
    size_t length = strlen(name);
    size_t suffix = sizeof SUFFIX - 1;

    return name[0] != '.' && length > suffix && strcmp(name + length - suffix, SUFFIX) == 0;
}

/* The id in a file's name, or false when it is none; id has room for TENANT_ID_MAX + 1. */
static bool id_of(const char *name, char *id) {
    size_t length = strlen(name) - (sizeof SUFFIX - 1);

    if (length > TENANT_ID_MAX || !is_tenant_id(name, length))
        return false;
    memcpy(id, name, length);
    id[length] = '\0';
    return true;
}

/* ---- One file ---- */

static uint64_t nanoseconds(struct timespec time) {
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

static uint64_t mix(uint64_t sum, uint64_t word) {
    sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 32;
}

/* The kernel stamps files with the time of its last tick, so one that changed just now can change
 * again and look the same: it gets no version, and the next load reads it again. */
static uint64_t version_of(const struct stat *status) {
    const uint64_t ticks_ns = 20000000;
    uint64_t changed = nanoseconds(status->st_ctim);
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (changed + ticks_ns > nanoseconds(now))
        return 0;
    /* From 0: both times are the same for most files, and would cancel each other out. */
    uint64_t version = mix(mix(0, changed), nanoseconds(status->st_mtim));
    return mix(mix(version, (uint64_t)status->st_size), status->st_ino) | 1;
}

/* Reads as much as the file had when it was opened: one that grows meanwhile is read again at its
 * IN_CLOSE_WRITE. */
static const char *read_file(int fd, const struct stat *status, char *text, size_t *length) {
    if (!S_ISREG(status->st_mode))
        return "not a regular file";
    if (status->st_size > FILE_BYTES_MAX)
        return "larger than 1 MiB";
    ssize_t got = read(fd, text, (size_t)status->st_size);
    if (got < 0)
        return strerror(errno);
    text[got] = '\0';
    *length = (size_t)got;
    return NULL;
}

static void tell_failure(const struct source_sink *sink, const char *id, const char *path,
                         const char *reason) {
    struct error error;

    error_set(&error, "%s:1:1: %s", path, reason);
    sink->on_failure(sink->context, id, error.text);
}

static void tell_open_file(struct source *source, const struct source_sink *sink, const char *id,
                           const char *path, int fd, bool only_changed) {
    struct stat status;

    if (fstat(fd, &status) < 0) {
        tell_failure(sink, id, path, strerror(errno));
        return;
    }
    struct source_entry entry = {.id = id, .name = path, .version = version_of(&status)};
    if (only_changed && sink->is_current(sink->context, id, entry.version))
        return;
    const char *reason = read_file(fd, &status, source->text, &entry.length);
    if (reason != NULL) {
        tell_failure(sink, id, path, reason);
        return;
    }
    entry.text = source->text;
    sink->on_entry(sink->context, &entry);
}

/* Looks at the file and tells the sink what is there now; or, with only_changed, unless that is
 * what the sink was told last. */
static void tell_file(struct source *source, const struct source_sink *sink, const char *name,
                      bool only_changed) {
    char id[TENANT_ID_MAX + 1];
    char path[PATH_MAX + NAME_MAX + 2];
    struct stat status;

    snprintf(path, sizeof path, "%s/%s", source->path, name);
    if (!id_of(name, id)) {
        if (fstatat(source->dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            sink->on_gone(sink->context, name);
        else
            tell_failure(sink, name, path,
                         "the name is no tenant id: before .json it must be 1 to 63 of a-z, 0-9 "
                         "and -, and not begin with -");
        return;
    }
    /* Not blocking: somebody may have made a fifo of that name. */
    int fd = openat(source->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT &&
        fstatat(source->dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        sink->on_gone(sink->context, id);
        return;
    }
    if (fd < 0) {
        tell_failure(sink, id, path, strerror(errno));
        return;
    }
    tell_open_file(source, sink, id, path, fd, only_changed);
    close(fd);
}

/* ---- The directory ---- */

/* The name that must come or change in the directory above for ours to come or change. */
static bool is_on_our_path(const struct source *source, const char *name) {
    const char *next = source->path + source->above_length;

    next += strspn(next, "/");
    return strncmp(next, name, strcspn(next, "/")) == 0 && name[strcspn(next, "/")] == '\0';
}

/* Sets the watch on the parent, or on the nearest directory above it that exists. */
static void watch_above(struct source *source) {
    char above[PATH_MAX];
    int watch = -1;

    snprintf(above, sizeof above, "%s", source->path);
    while (watch < 0) {
        char *slash = strrchr(above, '/');
        source->above_length = slash == NULL ? 0 : (size_t)(slash - above);
        if (slash != NULL)
            *slash = '\0';
        const char *where = slash == NULL ? "." : slash == above ? "/" : above;
        watch = inotify_add_watch(source->inotify_fd, where, ABOVE_EVENTS | IN_ONLYDIR);
        if (slash == NULL || slash == above)
            break;
    }
    if (source->above_watch >= 0 && source->above_watch != watch)
        inotify_rm_watch(source->inotify_fd, source->above_watch);
    source->above_watch = watch;
}

static void leave_directory(struct source *source) {
    if (source->dir_fd < 0)
        return;
    inotify_rm_watch(source->inotify_fd, source->dir_watch);
    close(source->dir_fd);
    source->dir_fd = -1;
    source->dir_watch = -1;
}

static bool is_same_directory(const struct source *source, int fd) {
    struct stat ours;
    struct stat other;

    return source->dir_fd >= 0 && fstat(source->dir_fd, &ours) == 0 && fstat(fd, &other) == 0 &&
           ours.st_dev == other.st_dev && ours.st_ino == other.st_ino;
}

enum look { LOOK_UNCHANGED, LOOK_NEW, LOOK_GONE };

/* Finds out what lies at our path now. The watch above is set first, so that nothing that happens
 * after the look is missed. */
static enum look look_at_directory(struct source *source, struct error *error) {
    char self[64];

    watch_above(source);
    int fd = open(source->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        error_set(error, "%s: %s", source->path, strerror(errno));
        leave_directory(source);
        return LOOK_GONE;
    }
    if (is_same_directory(source, fd)) {
        close(fd);
        return LOOK_UNCHANGED;
    }
    leave_directory(source);
    /* By descriptor, so that it is surely the directory that we read. */
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int watch = inotify_add_watch(source->inotify_fd, self, FILE_EVENTS | SELF_EVENTS | IN_ONLYDIR);
    if (watch < 0) {
        error_set(error, "%s: can't be watched: %s", source->path, strerror(errno));
        close(fd);
        return LOOK_GONE;
    }
    source->dir_fd = fd;
    source->dir_watch = watch;
    return LOOK_NEW;
}

/* ---- Events ---- */

static void touch(struct source *source, const char *name) {
    struct touched *touched;
    size_t length = strlen(name);

    HASH_FIND(hh, source->touched, name, length, touched);
    if (touched != NULL)
        return;
    touched = malloc(sizeof *touched + length + 1);
    if (touched == NULL)
        abort();
    memcpy(touched->name, name, length + 1);
    HASH_ADD_KEYPTR(hh, source->touched, touched->name, length, touched);
}

static void untouch(struct source *source, const char *name) {
    struct touched *touched;

    HASH_FIND_STR(source->touched, name, touched);
    if (touched == NULL)
        return;
    HASH_DEL(source->touched, touched);
    free(touched);
}

static void untouch_all(struct source *source) {
    struct touched *touched;
    struct touched *next;

    HASH_ITER(hh, source->touched, touched, next) {
        HASH_DEL(source->touched, touched);
        free(touched);
    }
}

/* A plain file that was just made is still empty: its writer's IN_CLOSE_WRITE follows. */
static bool is_being_written(const struct source *source, const struct inotify_event *event) {
    struct stat status;

    return (event->mask & IN_CREATE) != 0 &&
           fstatat(source->dir_fd, event->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(status.st_mode) && status.st_nlink == 1;
}

static void on_event(struct source *source, const struct inotify_event *event,
                     struct wake_up *wake_up) {
    if (event->mask & IN_Q_OVERFLOW) {
        wake_up->lost_events = true;
        wake_up->look_at_directory = true;
        return;
    }
    if (event->wd != source->dir_watch && event->wd != source->above_watch)
        return; /* of a watch that was given up */
    if (event->len == 0 || event->wd == source->above_watch) {
        wake_up->look_at_directory |= event->len == 0 || is_on_our_path(source, event->name);
        return;
    }
    if (!is_ours(event->name))
        return;
    if (is_being_written(source, event))
        untouch(source, event->name);
    else
        touch(source, event->name);
}

static struct wake_up drain(struct source *source) {
    _Alignas(struct inotify_event) char buffer[16384];
    struct wake_up wake_up = {0};
    ssize_t got;

    while ((got = read(source->inotify_fd, buffer, sizeof buffer)) > 0) {
        const struct inotify_event *event;
        for (ssize_t at = 0; at < got; at += (ssize_t)(sizeof *event + event->len)) {
            event = (const struct inotify_event *)(const void *)(buffer + at);
            on_event(source, event, &wake_up);
        }
    }
    return wake_up;
}

/* ---- The interface ---- */

static void dir_close(struct source *source) {
    untouch_all(source);
    if (source->dir_fd >= 0)
        close(source->dir_fd);
    if (source->inotify_fd >= 0)
        close(source->inotify_fd);
    free(source->text);
    free(source->path);
    free(source);
}

static struct source *dir_open(const char *where, struct error *error) {
    size_t length = strlen(where);

    while (length > 1 && where[length - 1] == '/')
        length--;
    if (length == 0 || length >= PATH_MAX) {
        error_set(error, "dir:%s: no path of a directory", where);
        return NULL;
    }
    struct source *source = calloc(1, sizeof *source);
    if (source == NULL)
        abort();
    source->dir_fd = source->dir_watch = source->above_watch = -1;
    source->path = strndup(where, length);
    source->text = malloc(FILE_BYTES_MAX + 1);
    if (source->path == NULL || source->text == NULL)
        abort();
    source->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (source->inotify_fd < 0)
        error_set(error, "%s: can't be watched: %s", source->path, strerror(errno));
    else if (look_at_directory(source, error) == LOOK_NEW)
        return source;
    dir_close(source);
    return NULL;
}

static int dir_watch_fd(const struct source *source) {
    return source->inotify_fd;
}

static int is_ours_entry(const struct dirent *entry) {
    return is_ours(entry->d_name);
}

/* In order of the ids: the names without the suffix ("a" stands before "a-b"). */
static int by_id(const struct dirent **a, const struct dirent **b) {
    size_t a_length = strlen((*a)->d_name) - (sizeof SUFFIX - 1);
    size_t b_length = strlen((*b)->d_name) - (sizeof SUFFIX - 1);
    size_t shorter = a_length < b_length ? a_length : b_length;
    int order = memcmp((*a)->d_name, (*b)->d_name, shorter);

    return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

static int dir_load(struct source *source, const struct source_sink *sink, struct error *error) {
    struct dirent **entries;

    if (source->dir_fd < 0 && look_at_directory(source, error) == LOOK_GONE)
        return -1;
    int count = scandirat(source->dir_fd, ".", &entries, is_ours_entry, by_id);
    if (count < 0) {
        error_set(error, "%s: %s", source->path, strerror(errno));
        return -1;
    }
    for (int i = 0; i < count; i++) {
        tell_file(source, sink, entries[i]->d_name, true);
        free(entries[i]);
    }
    free(entries);
    return 0;
}

static enum source_news dir_process(struct source *source, const struct source_sink *sink) {
    struct wake_up wake_up = drain(source);
    enum look look = source->dir_fd < 0 ? LOOK_GONE : LOOK_UNCHANGED;
    struct error error;
    struct touched *touched;
    struct touched *next;

    if (wake_up.look_at_directory) {
        look = look_at_directory(source, &error);
        if (look == LOOK_GONE)
            sink->on_failure(sink->context, SOURCE_ITSELF, error.text);
    }
    if (look == LOOK_UNCHANGED && !wake_up.lost_events) {
        HASH_ITER(hh, source->touched, touched, next)
        tell_file(source, sink, touched->name, false);
    }
    untouch_all(source);
    return look == LOOK_NEW || (look == LOOK_UNCHANGED && wake_up.lost_events) ? SOURCE_RELOAD
                                                                               : SOURCE_TOLD;
}

const struct source_ops source_dir = {
    .scheme = "dir",
    .open = dir_open,
    .close = dir_close,
    .watch_fd = dir_watch_fd,
    .load = dir_load,
    .process = dir_process,
};
