#include "tenants/containers/cron_schedule.h"

/* FNV-1a, and a last mix: ids often differ in the last digit only. */
static uint64_t hash(const char *id) {
    uint64_t value = UINT64_C(0xcbf29ce484222325);

    for (; *id != '\0'; id++)
        value = (value ^ (uint8_t)*id) * UINT64_C(0x100000001b3);
    value ^= value >> 32;
    value *= UINT64_C(0xd6e8feb86659fd93);
    return value ^ value >> 32;
}

static int64_t shift_of(const char *id, unsigned every_seconds) {
    return (int64_t)(hash(id) % every_seconds);
}

static int64_t turn_at(const char *id, unsigned every_seconds, time_t now) {
    return ((int64_t)now - shift_of(id, every_seconds)) / every_seconds;
}

bool cron_clock_take_turn(struct cron_clock *clock, const char *id, unsigned every_seconds,
                          time_t now) {
    int64_t turn = turn_at(id, every_seconds, now);
    bool is_due = clock->every_seconds == every_seconds && turn > clock->turn;

    clock->every_seconds = every_seconds;
    clock->turn = turn;
    return is_due;
}

time_t cron_clock_next(const char *id, unsigned every_seconds, time_t now) {
    int64_t next = turn_at(id, every_seconds, now) + 1;

    return (time_t)(next * every_seconds + shift_of(id, every_seconds));
}
