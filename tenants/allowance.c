#include "tenants/allowance.h"

#define NS_PER_SECOND UINT64_C(1000000000)
enum { FORECAST_AFTER_SECONDS = 3600 };

bool allowance_is_limited(const struct tenant_plan *plan) {
    return plan->cpu_seconds_per_month > 0 || plan->requests_per_month > 0;
}

const char *allowance_name(enum allowance allowance) {
    static const char *const names[] = {
        [ALLOWANCE_FREE] = "free", [ALLOWANCE_NEAR] = "near", [ALLOWANCE_OVER] = "over"};

    return names[allowance];
}

/* five_fourths: of used. It reaches the limit when used reaches four fifths of that. */
static enum allowance judge(uint64_t limit, uint64_t used, uint64_t five_fourths) {
    if (limit == 0)
        return ALLOWANCE_FREE;
    if (used >= limit)
        return ALLOWANCE_OVER;
    return five_fourths >= limit ? ALLOWANCE_NEAR : ALLOWANCE_FREE;
}

/* A limit may be 2^53 seconds, which are too many nanoseconds for 64 bits. So it is the use that is
 * brought to whole seconds; cutting off their fraction is exact, because limits are whole. */
enum allowance allowance_judge(const struct tenant_plan *plan, struct month_use use) {
    enum allowance cpu = judge(plan->cpu_seconds_per_month, use.cpu_ns / NS_PER_SECOND,
                               use.cpu_ns / (NS_PER_SECOND / 5 * 4));
    enum allowance requests =
        judge(plan->requests_per_month, use.requests, use.requests + use.requests / 4);

    return cpu > requests ? cpu : requests;
}

double allowance_used_percent(const struct tenant_plan *plan, struct month_use use) {
    double cpu = 0, requests = 0;

    if (plan->cpu_seconds_per_month > 0)
        cpu = 100.0 * (double)use.cpu_ns / 1e9 / (double)plan->cpu_seconds_per_month;
    if (plan->requests_per_month > 0)
        requests = 100.0 * (double)use.requests / (double)plan->requests_per_month;
    return cpu > requests ? cpu : requests;
}

double allowance_forecast(double used, struct period month, time_t now) {
    time_t passed = now - month.from;

    if (passed < FORECAST_AFTER_SECONDS)
        return -1;
    return used / (double)passed * (double)(month.to - month.from);
}
