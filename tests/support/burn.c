/* burn MICROSECONDS [DEPTH]: burns so much CPU, in a descendant of that depth that is waited for. A
 * child for scripts under test: it starts in a fraction of what an interpreter costs. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t cpu_us(void) {
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000U + (uint64_t)time.tv_nsec / 1000U;
}

int main(int argc, char **argv) {
    uint64_t wanted_us = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    unsigned long depth = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;

    for (; depth > 0; depth--) {
        pid_t child = fork();
        if (child != 0)
            return child > 0 && waitpid(child, NULL, 0) == child ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    while (cpu_us() < wanted_us)
        ;
    return EXIT_SUCCESS;
}
