/* Reading counter files: which are there, which are final, what is in them. A reader changes
 * nothing and takes no part in the writer's work but for the lock it tries: the writer locks a
 * file before it gets its name, so a file whose lock is free has lost its writer for good. */
#include "tenants/counters_format.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tenants/log.h"

/* A file as it is mapped for reading. */
struct view {
    const uint8_t *base;
    size_t bytes;
    const struct counters_header *header;
    uint64_t slot_count;
    size_t slot_bytes;
};

void counters_file_name(char out[COUNTERS_FILE_NAME_MAX], const char *instance, time_t hour,
                        bool is_temporary) {
    struct tm tm;
    char digits[16];

    gmtime_r(&hour, &tm);
    strftime(digits, sizeof digits, "%Y%m%d%H", &tm);
    snprintf(out, COUNTERS_FILE_NAME_MAX, "%s%.32s-%.10s.%s", is_temporary ? "." : "", instance,
             digits, is_temporary ? "tmp" : "map");
}

void counters_boot_id(char out[COUNTERS_BOOT_BYTES]) {
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    memset(out, 0, COUNTERS_BOOT_BYTES);
    if (file == NULL)
        return;
    if (fscanf(file, "%36[0-9a-f-]", out) != 1)
        out[0] = '\0';
    fclose(file);
}

/* ---- Which files are there ---- */

static time_t hour_from_digits(const char *digits) {
    struct tm tm = {0};
    const char *end = strptime(digits, "%Y%m%d%H", &tm);

    return end == NULL || *end != '\0' ? -1 : timegm(&tm);
}

/* Whether the name is one of ours; fills in instance and hour. */
static bool parse_name(const char *name, struct counters_file *file) {
    char again[COUNTERS_FILE_NAME_MAX];
    char digits[11];

    if (sscanf(name, "%32[0-9a-f]-%10[0-9].map", file->instance, digits) != 2)
        return false;
    file->hour = hour_from_digits(digits);
    counters_file_name(again, file->instance, file->hour, false);
    return file->hour > 0 && strlen(file->instance) == COUNTERS_INSTANCE_DIGITS &&
           strcmp(name, again) == 0;
}

/* False: it is gone, because someone else folded it. */
static bool inspect(struct counters_file *file) {
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno != ENOENT; /* counters_read() will say what is wrong with it */
    file->is_final = flock(fd, LOCK_SH | LOCK_NB) == 0;
    close(fd);
    return true;
}

static int compare_files(const void *left, const void *right) {
    const struct counters_file *a = left;
    const struct counters_file *b = right;
    int order = strcmp(a->instance, b->instance);

    return order != 0 ? order : (a->hour > b->hour) - (a->hour < b->hour);
}

static bool is_newest_of_instance(const struct counters_file *files, size_t count, size_t i) {
    return i + 1 == count || strcmp(files[i].instance, files[i + 1].instance) != 0;
}

static bool append_file(struct counters_file **files, size_t count,
                        const struct counters_file *file) {
    struct counters_file *grown = reallocarray(*files, count + 1, sizeof **files);

    if (grown == NULL)
        return false;
    grown[count] = *file;
    *files = grown;
    return true;
}

/* ---- What is in them ---- */

static int damaged(const struct counters_file *file, const char *what, struct error *error) {
    error_set(error, "%s: damaged counter file: %s", file->path, what);
    return -1;
}

static int check_header(const struct counters_file *file, const struct counters_header *header,
                        struct error *error) {
    if (header->magic != COUNTERS_MAGIC)
        return damaged(file, "it does not begin like one", error);
    if (header->version > COUNTERS_VERSION || header->counter_count > COUNTER_COUNT) {
        error_set(error, "%s: written by a newer version of fpmux", file->path);
        return -1;
    }
    if (header->version != COUNTERS_VERSION || header->counter_count == 0)
        return damaged(file, "no such version", error);
    if (header->hour != file->hour ||
        strncmp(header->instance, file->instance, sizeof header->instance) != 0)
        return damaged(file, "its name and its contents disagree", error);
    return 0;
}

static bool is_zero(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static void view_close(struct view *view) {
    munmap((void *)view->base, view->bytes);
}

static bool is_file_of(int fd, size_t bytes) {
    struct stat status;

    return fstat(fd, &status) == 0 && (uint64_t)status.st_size >= bytes;
}

/* The size is asked after the count was read: the writer grows the file before it counts. */
static int view_extend(struct view *view, int fd, const struct counters_file *file,
                       struct error *error) {
    view->slot_count = atomic_load_explicit(&view->header->slot_count, memory_order_acquire);
    view->slot_bytes = COUNTERS_NAME_BYTES + view->header->counter_count * sizeof(uint64_t);
    if (view->slot_count > UINT32_MAX)
        return damaged(file, "too many accounts", error);
    size_t bytes = COUNTERS_SLOTS_OFFSET + (size_t)view->slot_count * view->slot_bytes;
    if (!is_file_of(fd, bytes))
        return damaged(file, "it was cut", error);
    void *base = mremap((void *)view->base, view->bytes, bytes, MREMAP_MAYMOVE);
    if (base == MAP_FAILED) {
        error_set(error, "%s: %s", file->path, strerror(errno));
        return -1;
    }
    view->base = base;
    view->bytes = bytes;
    view->header = base;
    return 0;
}

static int view_map(struct view *view, int fd, const struct counters_file *file,
                    struct error *error) {
    if (!is_file_of(fd, COUNTERS_SLOTS_OFFSET))
        return damaged(file, "it was cut", error);
    void *base = mmap(NULL, COUNTERS_SLOTS_OFFSET, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        error_set(error, "%s: %s", file->path, strerror(errno));
        return -1;
    }
    *view = (struct view){.base = base, .bytes = COUNTERS_SLOTS_OFFSET, .header = base};
    if (check_header(file, view->header, error) < 0 || view_extend(view, fd, file, error) < 0) {
        view_close(view);
        return -1;
    }
    return 0;
}

static int view_open(struct view *view, const struct counters_file *file, struct error *error) {
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        error_set(error, "%s: %s", file->path, strerror(errno));
        return -1;
    }
    int result = view_map(view, fd, file, error);
    close(fd);
    return result;
}

static bool is_sane_name(const char *name) {
    size_t length = strnlen(name, COUNTERS_NAME_BYTES);

    for (size_t i = 0; i < length; i++)
        if (!isgraph((unsigned char)name[i]))
            return false;
    return length > 0 && length < COUNTERS_NAME_BYTES;
}

/* False when a value can't be true: the ledger counts in signed 64 bits (292 years in ns). */
static bool read_values(const struct view *view, const struct counters_slot *slot,
                        uint64_t values[COUNTER_COUNT]) {
    memset(values, 0, COUNTER_COUNT * sizeof values[0]);
    for (size_t i = 0; i < view->header->counter_count; i++) {
        values[i] = atomic_load_explicit(&slot->values[i], memory_order_relaxed);
        if (values[i] > INT64_MAX)
            return false;
    }
    return true;
}

/* A power cut right after an hour began leaves a file of its full size without contents: what was
 * in it was nowhere else. */
static bool is_blank(const struct counters_file *file) {
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    struct stat status = {0};

    if (fd < 0)
        return false;
    bool has_size = fstat(fd, &status) == 0 && status.st_size >= COUNTERS_SLOTS_OFFSET;
    size_t size = (size_t)status.st_size;
    void *base = has_size ? mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    close(fd);
    if (base == MAP_FAILED)
        return false;
    bool has_only_zeros = is_zero(base, size);
    munmap(base, size);
    return has_only_zeros;
}

int counters_read(const struct counters_file *file, counters_visit_fn *visit, void *context,
                  struct error *error) {
    struct view view;
    int result = 0;

    if (view_open(&view, file, error) < 0)
        return file->is_final && is_blank(file) ? 0 : -1;
    for (uint64_t i = 0; i < view.slot_count && result == 0; i++) {
        const struct counters_slot *slot =
            (const void *)(view.base + COUNTERS_SLOTS_OFFSET + i * view.slot_bytes);
        uint64_t values[COUNTER_COUNT];
        /* A slot that never reached the disk, though the count of slots did. */
        if (is_zero((const uint8_t *)slot, view.slot_bytes))
            continue;
        if (!is_sane_name(slot->name))
            result = damaged(file, "an account has no proper name", error);
        else if (!read_values(&view, slot, values))
            result = damaged(file, "a counter is out of range", error);
        else
            visit(context, slot->name, values);
    }
    view_close(&view);
    return result;
}

/* ---- The tables of workers ---- */

/* Copies the records in use out of one file. Returns how many, -1 on error. */
ssize_t counters_read_workers(const struct counters_file *file, struct worker_record *out,
                              struct error *error) {
    char boot[COUNTERS_BOOT_BYTES];
    struct view view;
    ssize_t count = 0;

    if (view_open(&view, file, error) < 0)
        return -1;
    counters_boot_id(boot);
    const struct worker_record *records = (const void *)(view.base + COUNTERS_WORKERS_OFFSET);
    for (size_t i = 0; i < COUNTERS_WORKERS_MAX; i++) {
        if (records[i].pid <= 0 || strncmp(view.header->boot, boot, sizeof boot) != 0)
            continue;
        out[count] = records[i];
        out[count++].account[COUNTERS_NAME_BYTES - 1] = '\0';
    }
    view_close(&view);
    return count;
}

static bool has_workers(const struct counters_file *file) {
    struct worker_record *records = calloc(COUNTERS_WORKERS_MAX, sizeof *records);
    struct error ignored;
    bool found = records != NULL && counters_read_workers(file, records, &ignored) > 0;

    free(records);
    return found;
}

/* A file that can't be read is no successor's, so that at worst something is kept too long. */
static bool is_of_successor(const struct counters_file *file) {
    struct error ignored;
    struct view view;

    if (file->is_final || view_open(&view, file, &ignored) < 0)
        return false;
    bool is_successor = view.header->is_without_workers == 0;
    view_close(&view);
    return is_successor;
}

/* The table moves along from hour to hour, so only an instance's newest file matters; and a
 * successor takes its predecessors' tables over before its own file gets a name. */
static void mark_unclaimed(struct counters_file *files, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (is_of_successor(&files[i]))
            return;
    for (size_t i = 0; i < count; i++)
        files[i].is_unclaimed =
            files[i].is_final && is_newest_of_instance(files, count, i) && has_workers(&files[i]);
}

/* The same worker is together, its highest clock first. */
static int compare_workers(const void *left, const void *right) {
    const struct worker_record *a = left;
    const struct worker_record *b = right;

    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    if (a->start_ticks != b->start_ticks)
        return a->start_ticks < b->start_ticks ? -1 : 1;
    return (a->cpu_ns < b->cpu_ns) - (a->cpu_ns > b->cpu_ns);
}

static size_t drop_older_records(struct worker_record *records, size_t count) {
    size_t kept = 0;

    qsort(records, count, sizeof *records, compare_workers);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && records[kept - 1].pid == records[i].pid &&
            records[kept - 1].start_ticks == records[i].start_ticks)
            continue;
        records[kept++] = records[i];
    }
    return kept;
}

/* Adds one file's workers to the count that are there; returns the new count, -1 without memory. */
static ssize_t merge_workers(const struct counters_file *file, struct worker_record **records,
                             size_t count, struct error *error) {
    struct worker_record *grown =
        reallocarray(*records, count + COUNTERS_WORKERS_MAX, sizeof **records);

    if (grown == NULL) {
        error_set(error, "%s: %s", file->path, strerror(errno));
        return -1;
    }
    *records = grown;
    ssize_t found = counters_read_workers(file, grown + count, error);
    if (found < 0) {
        log_warning("counters: the workers of a predecessor are not known: %s", error->text);
        found = 0;
    }
    return (ssize_t)drop_older_records(grown, count + (size_t)found);
}

ssize_t counters_dead_workers(const char *dir, struct worker_record **records,
                              struct error *error) {
    struct counters_file *files;
    ssize_t file_count = counters_list(dir, &files, error);
    ssize_t count = file_count < 0 ? -1 : 0;

    *records = NULL;
    for (size_t i = 0; count >= 0 && i < (size_t)file_count; i++)
        if (files[i].is_final && is_newest_of_instance(files, (size_t)file_count, i))
            count = merge_workers(&files[i], records, (size_t)count, error);
    free(files);
    return count;
}

/* ---- The list ---- */

static ssize_t list_directory(DIR *stream, const char *dir, struct counters_file **files,
                              struct error *error) {
    size_t count = 0;

    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        struct counters_file file = {0};
        if (!parse_name(entry->d_name, &file))
            continue;
        int length = snprintf(file.path, sizeof file.path, "%s/%s", dir, entry->d_name);
        if (length < 0 || (size_t)length >= sizeof file.path) {
            error_set(error, "%s: the path is too long", dir);
            return -1;
        }
        if (!inspect(&file))
            continue;
        if (!append_file(files, count, &file)) {
            error_set(error, "%s: %s", dir, strerror(errno));
            return -1;
        }
        count++;
    }
    return (ssize_t)count;
}

ssize_t counters_list(const char *dir, struct counters_file **files, struct error *error) {
    DIR *stream = opendir(dir);

    *files = NULL;
    if (stream == NULL) {
        if (errno == ENOENT)
            return 0;
        error_set(error, "%s: %s", dir, strerror(errno));
        return -1;
    }
    ssize_t count = list_directory(stream, dir, files, error);
    closedir(stream);
    if (count < 0) {
        free(*files);
        *files = NULL;
        return -1;
    }
    if (count > 0) {
        qsort(*files, (size_t)count, sizeof **files, compare_files);
        mark_unclaimed(*files, (size_t)count);
    }
    return count;
}
