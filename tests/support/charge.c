/* charge DIR TENANT REQUESTS CPU_SECONDS: charges a tenant as a process beside the daemon does, in
 * a counter file of its own that is final afterwards. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tenants/counters.h"

int main(int argc, char **argv) {
    struct counters_account account;
    struct error error;

    if (argc != 5)
        return 64;
    struct counters *counters = counters_open_without_workers(argv[1], time(NULL), &error);
    if (counters == NULL) {
        fprintf(stderr, "%s\n", error.text);
        return 73;
    }
    counters_account_init(&account, argv[2]);
    counters_add(counters, &account, COUNTER_REQUESTS, strtoull(argv[3], NULL, 10));
    counters_add(counters, &account, COUNTER_CPU_NS, (uint64_t)(strtod(argv[4], NULL) * 1e9));
    counters_close(counters);
    return 0;
}
