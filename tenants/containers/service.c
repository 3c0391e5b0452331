#include "tenants/containers/service.h"

#include <string.h>
#include <time.h>

#include "tenants/names.h"
#include "tenants/period.h"

#define NS_PER_SECOND INT64_C(1000000000)

static int64_t in_ns(const struct timespec *time) {
    return time->tv_sec * NS_PER_SECOND + time->tv_nsec;
}

struct service_clock service_read_clock(void) {
    struct timespec now, since_boot;

    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    return (struct service_clock){.now_ns = in_ns(&now),
                                  .booted_ns = in_ns(&now) - in_ns(&since_boot)};
}

/* NULL when there is no such string. */
static const char *find_text(const cJSON *object, const char *key) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static const char *find_tenant(const cJSON *inspect) {
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(inspect, "Config");
    const cJSON *labels = cJSON_GetObjectItemCaseSensitive(config, "Labels");
    const char *role = find_text(labels, "fpmux.role");
    const char *tenant = find_text(labels, "fpmux.tenant");

    if (role == NULL || strcmp(role, "tenant") != 0 || tenant == NULL ||
        !is_tenant_id(tenant, strlen(tenant)))
        return NULL;
    return tenant;
}

/* 0 for an instant that has not come, and for "0001-01-01T00:00:00Z", the engine's "never". */
static int64_t read_past(const cJSON *state, const char *key, int64_t now_ns) {
    const char *text = find_text(state, key);
    struct timespec time;

    if (text == NULL || !period_parse_rfc3339(text, &time) || time.tv_sec > now_ns / NS_PER_SECOND)
        return 0;
    int64_t ns = in_ns(&time);
    return ns <= now_ns ? ns : 0;
}

static bool is_true(const cJSON *object, const char *key) {
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static unsigned read_restarts(const cJSON *inspect) {
    const cJSON *count = cJSON_GetObjectItemCaseSensitive(inspect, "RestartCount");

    return cJSON_IsNumber(count) && count->valueint > 0 ? (unsigned)count->valueint : 0;
}

bool service_read_run(const cJSON *inspect, const struct service_clock *clock,
                      struct service_run *run) {
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(inspect, "State");
    int64_t started_ns = read_past(state, "StartedAt", clock->now_ns);
    int64_t ended_ns = read_past(state, "FinishedAt", clock->now_ns);

    *run = (struct service_run){.container = find_text(inspect, "Id"),
                                .tenant = find_tenant(inspect),
                                .started_ns = started_ns,
                                .until_ns = clock->now_ns,
                                .restarts = read_restarts(inspect),
                                .previous_ended_ns = ended_ns,
                                .booted_ns = clock->booted_ns};
    if (run->container == NULL || run->tenant == NULL || started_ns == 0)
        return false;
    if (is_true(state, "Running") && !is_true(state, "Restarting"))
        return true;
    run->has_ended = true;
    run->until_ns = ended_ns > started_ns ? ended_ns : started_ns;
    run->previous_ended_ns = 0;
    bool is_cut_off = started_ns < clock->booted_ns && ended_ns >= clock->booted_ns;
    return ended_ns > 0 && !is_cut_off;
}
