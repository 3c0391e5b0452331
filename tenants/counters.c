/* The writer of the crash-proof counters. What lies where in a file is in counters_format.h.
 *
 *   account.slot ----------------------------> slot in the mapped file   (counters_add, always)
 *   account.name --> entries (by name) ------> slot                      (once per account and
 * file)
 *                            `--> waiting      amounts in memory, while the file can't grow
 *
 * What a reader or a successor may see at each moment: a file gets its name only after it is
 * allocated, has its header and the table of workers, and is locked; the old hour's file is
 * unlocked after that, and is never touched again. A kill between two additions of one request
 * leaves the first one counted: each counter is true by itself.
 *
 * The first file is synced with its name before anything is counted. Those of later hours are made
 * while requests are served, so the ledger's thread syncs them (counters_sync.h).
 *
 * When the running file was removed, with its directory perhaps, the mapping still has all that was
 * counted: it is written anew under the same name as soon as that is possible.
 *
 * Not defended against: somebody cuts the running file (SIGBUS). */
#include "tenants/counters_format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "tenants/log.h"

enum {
    SLOTS_STEP_MIN = 256,
    SLOTS_STEP_MAX = 4096,
    LEFTOVER_SECONDS = 60, /* a file in the making that is older has lost its maker */
};

/* A name that was charged through these counters. */
struct entry {
    char name[COUNTERS_NAME_BYTES];
    uint32_t slot;
    uint32_t generation; /* of the file in which slot is valid */
    uint64_t *waiting;   /* COUNTER_COUNT amounts the file has no room for, or NULL */
    UT_hash_handle hh;
};

/* The running file. */
struct mapping {
    int fd;                      /* holds the lock */
    uint8_t *base;               /* header and table of workers: never moves */
    struct counters_slot *slots; /* mapped apart, because it moves when it grows */
    uint32_t capacity;           /* slots that the file is allocated for */
};

struct counters {
    char *dir;
    bool has_workers;
    char instance[COUNTERS_INSTANCE_DIGITS + 1];
    time_t hour;
    struct mapping mapping;
    uint32_t generation; /* counts the files; starts at 1 */
    time_t looked_at;    /* when it was last seen that the running file is still there */
    bool is_full;        /* growing failed: not tried again before the next tick */
    struct entry *entries;
    size_t waiting_count; /* entries with amounts in memory */
    struct worker_record *predecessors;
    size_t predecessor_count;
};

/* Requests wait for a writer that has workers, once it has a file. */
static bool must_not_wait(const struct counters *counters) {
    return counters->has_workers && counters->mapping.base != NULL;
}

/* ---- One file ---- */

static size_t slots_bytes(uint32_t capacity) {
    return capacity * sizeof(struct counters_slot);
}

static struct counters_header *header_of(const struct mapping *mapping) {
    return (void *)mapping->base;
}

static struct worker_record *workers_of(const struct mapping *mapping) {
    return (void *)(mapping->base + COUNTERS_WORKERS_OFFSET);
}

static uint32_t slot_count(const struct mapping *mapping) {
    return (uint32_t)atomic_load_explicit(&header_of(mapping)->slot_count, memory_order_relaxed);
}

/* Returns 0 or an errno value. */
static int allocate(int fd, uint32_t capacity) {
    int code;

    do
        code = posix_fallocate(fd, 0, (off_t)(COUNTERS_SLOTS_OFFSET + slots_bytes(capacity)));
    while (code == EINTR);
    return code;
}

static bool mapping_map(struct mapping *mapping, struct error *error) {
    int code = allocate(mapping->fd, mapping->capacity);

    if (code != 0) {
        error_set(error, "no room for it: %s", strerror(code));
        return false;
    }
    void *base =
        mmap(NULL, COUNTERS_SLOTS_OFFSET, PROT_READ | PROT_WRITE, MAP_SHARED, mapping->fd, 0);
    if (base != MAP_FAILED)
        mapping->base = base;
    void *slots = mmap(NULL, slots_bytes(mapping->capacity), PROT_READ | PROT_WRITE, MAP_SHARED,
                       mapping->fd, COUNTERS_SLOTS_OFFSET);
    if (slots != MAP_FAILED)
        mapping->slots = slots;
    if (mapping->base != NULL && mapping->slots != NULL)
        return true;
    error_set(error, "mmap: %s", strerror(errno));
    return false;
}

static void mapping_fill(struct mapping *mapping, const struct counters *counters, time_t hour) {
    struct counters_header *header = header_of(mapping);

    header->magic = COUNTERS_MAGIC;
    header->version = COUNTERS_VERSION;
    header->counter_count = COUNTER_COUNT;
    header->hour = hour;
    memcpy(header->instance, counters->instance, sizeof counters->instance);
    header->is_without_workers = counters->has_workers ? 0 : 1;
    counters_boot_id(header->boot);
    if (counters->mapping.base != NULL)
        memcpy(workers_of(mapping), workers_of(&counters->mapping),
               COUNTERS_WORKERS_MAX * sizeof(struct worker_record));
}

/* Unlocks the file by closing it. */
static void mapping_release(struct mapping *mapping) {
    if (mapping->base != NULL)
        munmap(mapping->base, COUNTERS_SLOTS_OFFSET);
    if (mapping->slots != NULL)
        munmap(mapping->slots, slots_bytes(mapping->capacity));
    close(mapping->fd);
    *mapping = (struct mapping){.fd = -1};
}

static bool sync_directory(const char *dir, struct error *error) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = fd >= 0 && fsync(fd) == 0;

    if (!is_synced)
        error_set(error, "%s: %s", dir, strerror(errno));
    if (fd >= 0)
        close(fd);
    return is_synced;
}

static bool mapping_publish(struct mapping *mapping, const struct counters *counters, time_t hour,
                            const char *temporary, const char *final, struct error *error) {
    if (!mapping_map(mapping, error))
        return false;
    mapping_fill(mapping, counters, hour);
    if (!must_not_wait(counters) && fsync(mapping->fd) < 0) {
        error_set(error, "fsync: %s", strerror(errno));
        return false;
    }
    if (flock(mapping->fd, LOCK_EX | LOCK_NB) < 0) {
        error_set(error, "flock: %s", strerror(errno));
        return false;
    }
    if (rename(temporary, final) < 0) {
        error_set(error, "rename: %s", strerror(errno));
        return false;
    }
    return must_not_wait(counters) || sync_directory(counters->dir, error);
}

static void path_of(char out[PATH_MAX], const struct counters *counters, time_t hour,
                    bool is_temporary) {
    char name[COUNTERS_FILE_NAME_MAX];

    counters_file_name(name, counters->instance, hour, is_temporary);
    snprintf(out, PATH_MAX, "%s/%s", counters->dir, name);
}

/* What root makes belongs to the owner of the directory it lies in. */
static bool give_to_owner_of(const char *dir, const char *path, struct error *error) {
    struct stat status;

    if (geteuid() != 0)
        return true;
    if (stat(dir, &status) == 0 && lchown(path, status.st_uid, status.st_gid) == 0)
        return true;
    error_set(error, "its owner: %s", strerror(errno));
    return false;
}

/* Makes the file of that hour, with the table of workers of the running one. */
static bool mapping_create(struct mapping *mapping, const struct counters *counters, time_t hour,
                           uint32_t capacity, struct error *error) {
    char temporary[PATH_MAX];
    char final[PATH_MAX];

    path_of(temporary, counters, hour, true);
    path_of(final, counters, hour, false);
    *mapping = (struct mapping){.capacity = capacity};
    mapping->fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (mapping->fd < 0) {
        error_set(error, "%s: %s", temporary, strerror(errno));
        return false;
    }
    if (give_to_owner_of(counters->dir, temporary, error) &&
        mapping_publish(mapping, counters, hour, temporary, final, error))
        return true;
    error_prefix(error, "%s", final);
    unlink(temporary);
    mapping_release(mapping);
    return false;
}

static uint32_t grown_capacity(uint32_t capacity) {
    if (capacity < SLOTS_STEP_MIN)
        return SLOTS_STEP_MIN;
    return capacity + (capacity < SLOTS_STEP_MAX ? capacity : SLOTS_STEP_MAX);
}

static bool mapping_grow(struct mapping *mapping) {
    uint32_t capacity = grown_capacity(mapping->capacity);

    if (allocate(mapping->fd, capacity) != 0)
        return false;
    void *slots = mremap(mapping->slots, slots_bytes(mapping->capacity), slots_bytes(capacity),
                         MREMAP_MAYMOVE);
    if (slots == MAP_FAILED)
        return false;
    mapping->slots = slots;
    mapping->capacity = capacity;
    return true;
}

/* ---- The running file ---- */

static void use_mapping(struct counters *counters, struct mapping mapping, time_t hour) {
    counters->mapping = mapping;
    counters->hour = hour;
    counters->generation++;
}

static bool grow(struct counters *counters) {
    counters->is_full = counters->is_full || !mapping_grow(&counters->mapping);
    return !counters->is_full;
}

/* Accounts that the hour that ended did not see: tenants that are gone must not pile up. */
static void forget_unused_entries(struct counters *counters) {
    struct entry *entry, *next;

    HASH_ITER(hh, counters->entries, entry, next) {
        if (entry->generation + 1 >= counters->generation || entry->waiting != NULL)
            continue;
        HASH_DEL(counters->entries, entry); /* NOLINT(clang-analyzer-unix.Malloc): it loses count */
        free(entry);
    }
}

static bool rotate(struct counters *counters, time_t hour, struct error *error) {
    uint32_t capacity = SLOTS_STEP_MIN;
    struct mapping mapping;

    while (capacity < slot_count(&counters->mapping))
        capacity = grown_capacity(capacity);
    if (!mapping_create(&mapping, counters, hour, capacity, error))
        return false;
    mapping_release(&counters->mapping);
    use_mapping(counters, mapping, hour);
    forget_unused_entries(counters);
    return true;
}

static bool is_removed(const struct mapping *mapping) {
    struct stat status;

    return fstat(mapping->fd, &status) == 0 && status.st_nlink == 0;
}

static bool make_dir(const char *dir, struct error *error);

/* The running file once more: the same name, accounts in the same slots, so that all that points
 * into it stays right. Its directory may have to be made, too. */
static bool write_anew(struct counters *counters, struct error *error) {
    uint32_t count = slot_count(&counters->mapping);
    struct mapping mapping;

    if (!make_dir(counters->dir, error) ||
        !mapping_create(&mapping, counters, counters->hour, counters->mapping.capacity, error))
        return false;
    memcpy(mapping.slots, counters->mapping.slots, slots_bytes(count));
    atomic_store_explicit(&header_of(&mapping)->slot_count, count, memory_order_release);
    mapping_release(&counters->mapping);
    counters->mapping = mapping;
    log_warning("counters: the running file had been removed: it was written anew");
    return true;
}

/* Looks once a second at most. */
static bool keep_file(struct counters *counters, time_t now, struct error *error) {
    if (now == counters->looked_at)
        return true;
    counters->looked_at = now;
    if (!is_removed(&counters->mapping))
        return true;
    counters->looked_at = 0; /* not there until it was written */
    return write_anew(counters, error);
}

/* ---- Accounts ---- */

static void add(_Atomic uint64_t *value, uint64_t amount) {
    /* One writer: no read-modify-write instruction is needed, only a store that is not torn. */
    atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

static void write_waiting(struct counters *counters, struct entry *entry) {
    for (size_t i = 0; i < COUNTER_COUNT; i++)
        add(&counters->mapping.slots[entry->slot].values[i], entry->waiting[i]);
    free(entry->waiting);
    entry->waiting = NULL;
    counters->waiting_count--;
}

/* Gives the entry a slot in the running file; false when there is no room. */
static bool place(struct counters *counters, struct entry *entry) {
    uint32_t slot = slot_count(&counters->mapping);

    if (slot == counters->mapping.capacity && !grow(counters))
        return false;
    memcpy(counters->mapping.slots[slot].name, entry->name, sizeof entry->name);
    atomic_store_explicit(&header_of(&counters->mapping)->slot_count, slot + UINT64_C(1),
                          memory_order_release);
    entry->slot = slot;
    entry->generation = counters->generation;
    if (entry->waiting != NULL)
        write_waiting(counters, entry);
    return true;
}

/* Without memory for a few bytes nothing works any more; what is in the map survives the end. */
static void *allocate_zeroed(size_t count, size_t size) {
    void *memory = calloc(count, size);

    if (memory == NULL) {
        log_error("counters: out of memory");
        abort();
    }
    return memory;
}

static struct entry *find_entry(struct counters *counters, const char *name) {
    struct entry *entry;

    HASH_FIND_STR(counters->entries, name, entry);
    if (entry != NULL)
        return entry;
    entry = allocate_zeroed(1, sizeof *entry);
    snprintf(entry->name, sizeof entry->name, "%s", name);
    HASH_ADD_STR(counters->entries, name, entry);
    return entry;
}

static void add_waiting(struct counters *counters, struct entry *entry, enum counter counter,
                        uint64_t amount) {
    if (entry->waiting == NULL) {
        entry->waiting = allocate_zeroed(COUNTER_COUNT, sizeof entry->waiting[0]);
        counters->waiting_count++;
    }
    entry->waiting[counter] += amount;
}

/* The first use of an account in a file. Kept out of counters_add(), which every request runs. */
__attribute__((noinline)) static void add_by_name(struct counters *counters,
                                                  struct counters_account *account,
                                                  enum counter counter, uint64_t amount) {
    struct entry *entry = find_entry(counters, account->name);

    if (entry->generation != counters->generation && !place(counters, entry)) {
        add_waiting(counters, entry, counter, amount);
        return;
    }
    account->slot = entry->slot;
    account->generation = counters->generation;
    add(&counters->mapping.slots[account->slot].values[counter], amount);
}

void counters_account_init(struct counters_account *account, const char *name) {
    *account = (struct counters_account){0};
    snprintf(account->name, sizeof account->name, "%s", name);
}

void counters_add(struct counters *counters, struct counters_account *account, enum counter counter,
                  uint64_t amount) {
    if (account->generation != counters->generation) {
        add_by_name(counters, account, counter, amount);
        return;
    }
    add(&counters->mapping.slots[account->slot].values[counter], amount);
}

const char *counters_instance(const struct counters *counters) {
    return counters->instance;
}

static bool place_waiting(struct counters *counters, struct error *error) {
    struct entry *entry, *next;

    if (counters->waiting_count == 0)
        return true;
    HASH_ITER(hh, counters->entries, entry, next) {
        if (entry->waiting != NULL && !place(counters, entry))
            break;
    }
    if (counters->waiting_count == 0)
        return true;
    error_set(error, "%s: no room to count %zu more tenants: they are counted in memory",
              counters->dir, counters->waiting_count);
    return false;
}

/* ---- Workers ---- */

size_t counters_predecessors(const struct counters *counters, struct worker_record *out) {
    size_t count = counters->predecessor_count;

    if (count > COUNTERS_WORKERS_MAX)
        count = COUNTERS_WORKERS_MAX;
    if (count > 0)
        memcpy(out, counters->predecessors, count * sizeof *out);
    return count;
}

struct worker_record *counters_workers(struct counters *counters) {
    return workers_of(&counters->mapping);
}

/* ---- Opening, the clock, closing ---- */

static void remove_leftovers(const char *dir, time_t now) {
    DIR *stream = opendir(dir);

    if (stream == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        size_t length = strlen(entry->d_name);
        struct stat status;
        if (entry->d_name[0] != '.' || length < 4 ||
            strcmp(entry->d_name + length - 4, ".tmp") != 0)
            continue;
        if (fstatat(dirfd(stream), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            status.st_mtime < now - LEFTOVER_SECONDS)
            unlinkat(dirfd(stream), entry->d_name, 0);
    }
    closedir(stream);
}

static bool choose_instance(struct counters *counters, struct error *error) {
    uint8_t random[COUNTERS_INSTANCE_DIGITS / 2];

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        error_set(error, "getrandom: %s", strerror(errno));
        return false;
    }
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(counters->instance + 2 * i, 3, "%02x", random[i]);
    return true;
}

static time_t hour_of(time_t now) {
    return now - now % 3600;
}

/* Before our own file gets its name: from then on others unlink what they folded. */
static bool adopt_workers(struct counters *counters, struct error *error) {
    ssize_t count = counters_dead_workers(counters->dir, &counters->predecessors, error);

    counters->predecessor_count = count > 0 ? (size_t)count : 0;
    return count >= 0;
}

static bool make_dir(const char *dir, struct error *error) {
    char parent[PATH_MAX];

    if (mkdir(dir, 0750) < 0) {
        if (errno == EEXIST)
            return true;
        error_set(error, "%s: %s", dir, strerror(errno));
        return false;
    }
    snprintf(parent, sizeof parent, "%s/..", dir);
    return give_to_owner_of(parent, dir, error);
}

static bool start(struct counters *counters, time_t now, struct error *error) {
    struct mapping mapping;

    if (!make_dir(counters->dir, error))
        return false;
    remove_leftovers(counters->dir, now);
    if (!choose_instance(counters, error) ||
        (counters->has_workers && !adopt_workers(counters, error)) ||
        !mapping_create(&mapping, counters, hour_of(now), SLOTS_STEP_MIN, error))
        return false;
    use_mapping(counters, mapping, hour_of(now));
    return true;
}

static void counters_free(struct counters *counters) {
    struct entry *next;
    struct entry *entry = counters->entries;

    HASH_CLEAR(hh, counters->entries); /* frees the table; the entries are still linked */
    for (; entry != NULL; entry = next) {
        next = entry->hh.next;
        free(entry->waiting);
        free(entry);
    }
    free(counters->predecessors);
    free(counters->dir);
    free(counters);
}

static struct counters *open_counters(const char *dir, bool has_workers, time_t now,
                                      struct error *error) {
    struct counters *counters = allocate_zeroed(1, sizeof *counters);

    counters->has_workers = has_workers;
    counters->dir = strdup(dir);
    if (counters->dir == NULL)
        abort();
    if (!start(counters, now, error)) {
        counters_free(counters);
        return NULL;
    }
    return counters;
}

struct counters *counters_open(const char *dir, time_t now, struct error *error) {
    return open_counters(dir, true, now, error);
}

struct counters *counters_open_without_workers(const char *dir, time_t now, struct error *error) {
    return open_counters(dir, false, now, error);
}

bool counters_tick(struct counters *counters, time_t now, struct error *error) {
    struct error second;
    /* The old hour's file first: nobody looks after it any more once the next one is there. */
    bool is_current = keep_file(counters, now, error) &&
                      (hour_of(now) <= counters->hour || rotate(counters, hour_of(now), error));

    counters->is_full = false;
    return place_waiting(counters, is_current ? error : &second) && is_current;
}

void counters_close(struct counters *counters) {
    struct error error;

    if (counters == NULL)
        return;
    counters->is_full = false;
    if (!place_waiting(counters, &error))
        log_error("counters: amounts are lost: %s", error.text);
    mapping_release(&counters->mapping);
    counters_free(counters);
}
