/* What a fuzz target is linked with when libFuzzer is not there: runs every file of the given
 * directories (not below them) and every given file through it, as an ordinary test. No file at
 * all is a failure: a corpus that got lost would otherwise pass for ever. */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input lies in a block of exactly its size, so that a sanitizer sees a read past its end. */
static bool replay_file(const char *path, size_t size) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size > 0 ? size : 1);
    bool done = file != NULL && data != NULL && fread(data, 1, size, file) == size;

    if (done)
        LLVMFuzzerTestOneInput(data, size);
    else
        perror(path);
    free(data);
    if (file != NULL)
        fclose(file);
    return done;
}

/* How many files were replayed; -1 when one could not be read. */
static int replay_directory(const char *path) {
    DIR *directory = opendir(path);
    int count = 0;

    if (directory == NULL) {
        perror(path);
        return -1;
    }
    for (struct dirent *entry = readdir(directory); entry != NULL && count >= 0;
         entry = readdir(directory)) {
        char inside[4096];
        struct stat status;
        snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        if (stat(inside, &status) != 0 || !S_ISREG(status.st_mode))
            continue;
        count = replay_file(inside, (size_t)status.st_size) ? count + 1 : -1;
    }
    closedir(directory);
    return count;
}

static int replay(const char *path) {
    struct stat status;

    if (stat(path, &status) != 0) {
        perror(path);
        return -1;
    }
    if (S_ISDIR(status.st_mode))
        return replay_directory(path);
    return replay_file(path, (size_t)status.st_size) ? 1 : -1;
}

int main(int argc, char **argv) {
    int total = 0;

    for (int index = 1; index < argc; index++) {
        int count = replay(argv[index]);
        if (count < 0)
            return EXIT_FAILURE;
        total += count;
    }
    printf("%d inputs replayed\n", total);
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
