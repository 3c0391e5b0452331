#include "tenants/period.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECONDS_PER_HOUR = 3600, YEAR_MIN = 1970, YEAR_MAX = 9999 };

/* ---- Days ---- */

/* Months above 12 run on into the next year, as in mktime(). */
static time_t utc_midnight(int year, int month, int day) {
    struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};

    return timegm(&tm);
}

static struct tm clock_of(enum period_zone zone, time_t time) {
    struct tm tm;

    if (zone == PERIOD_LOCAL)
        localtime_r(&time, &tm);
    else
        gmtime_r(&time, &tm);
    return tm;
}

/* The first hour whose local date is not before the one that begins at that midnight of UTC. Not
 * mktime(), which for a midnight that is left out or comes twice gives one side or the other. */
static time_t local_day_start(time_t midnight) {
    enum {
        CHANGE_MAX = 4 * SECONDS_PER_HOUR
    }; /* no zone sets its clocks by more, unless it crosses the date line */
    time_t time = midnight - clock_of(PERIOD_LOCAL, midnight).tm_gmtoff - CHANGE_MAX;

    while (time + clock_of(PERIOD_LOCAL, time).tm_gmtoff < midnight)
        time += SECONDS_PER_HOUR;
    return time;
}

/* The first second of a day. */
static time_t day_start(enum period_zone zone, int year, int month, int day) {
    time_t midnight = utc_midnight(year, month, day);

    return zone == PERIOD_LOCAL ? local_day_start(midnight) : midnight;
}

static struct period days(enum period_zone zone, int year, int month, int day, int count) {
    return (struct period){day_start(zone, year, month, day),
                           day_start(zone, year, month, day + count)};
}

static struct period months(enum period_zone zone, int year, int month, int count) {
    return (struct period){day_start(zone, year, month, 1),
                           day_start(zone, year, month + count, 1)};
}

/* timegm() makes 2 March of 30 February, so what comes back is compared. */
static bool is_date(int year, int month, int day) {
    struct tm tm;
    time_t time = utc_midnight(year, month, day);

    gmtime_r(&time, &tm);
    return year >= YEAR_MIN && year <= YEAR_MAX && tm.tm_year == year - 1900 &&
           tm.tm_mon == month - 1 && tm.tm_mday == day;
}

/* Whether text has the form, in which 0 stands for a digit and all else for itself. */
static bool has_form(const char *text, const char *form) {
    for (; *form != '\0'; form++, text++)
        if (*form == '0' ? !isdigit((unsigned char)*text) : *text != *form)
            return false;
    return *text == '\0';
}

static int number(const char *digits, int count) {
    int value = 0;

    for (int i = 0; i < count; i++)
        value = value * 10 + (digits[i] - '0');
    return value;
}

/* ---- What operators write ---- */

/* The dates among the periods: YYYY, YYYY-MM, YYYY-MM-DD. */
static bool parse_date_period(const char *text, enum period_zone zone, struct period *period) {
    int year = 0, month = 1, day = 1;

    if (has_form(text, "0000")) {
        year = number(text, 4);
        *period = months(zone, year, 1, 12);
    } else if (has_form(text, "0000-00")) {
        year = number(text, 4);
        month = number(text + 5, 2);
        *period = months(zone, year, month, 1);
    } else if (has_form(text, "0000-00-00")) {
        year = number(text, 4);
        month = number(text + 5, 2);
        day = number(text + 8, 2);
        *period = days(zone, year, month, day, 1);
    }
    return is_date(year, month, day);
}

static bool parse_named_period(const char *text, enum period_zone zone, time_t now,
                               struct period *period) {
    struct tm tm = clock_of(zone, now);
    int year = tm.tm_year + 1900, month = tm.tm_mon + 1, day = tm.tm_mday;

    if (strcmp(text, "today") == 0 || strcmp(text, "day") == 0)
        *period = days(zone, year, month, day, 1);
    else if (strcmp(text, "yesterday") == 0)
        *period = days(zone, year, month, day - 1, 1);
    else if (strcmp(text, "month") == 0)
        *period = months(zone, year, month, 1);
    else if (strcmp(text, "last-month") == 0)
        *period = months(zone, year, month - 1, 1);
    else if (strcmp(text, "year") == 0)
        *period = months(zone, year, 1, 12);
    else if (strcmp(text, "last-year") == 0)
        *period = months(zone, year - 1, 1, 12);
    else
        return false;
    return true;
}

bool period_parse(const char *text, enum period_zone zone, time_t now, struct period *period,
                  struct error *error) {
    if (parse_named_period(text, zone, now, period) || parse_date_period(text, zone, period))
        return true;
    error_set(
        error,
        "\"%s\" is no period: use today, yesterday, month, last-month, year, last-year, YYYY, "
        "YYYY-MM or YYYY-MM-DD",
        text);
    return false;
}

/* ---- Instants ---- */

/* "Z" or "+HH:MM", at the end of RFC 3339. */
static bool parse_offset(const char *text, time_t *offset) {
    *offset = 0;
    if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
        return true;
    if ((*text != '+' && *text != '-') || !has_form(text + 1, "00:00"))
        return false;
    time_t hours = number(text + 1, 2), minutes = number(text + 4, 2);
    *offset = (*text == '-' ? -1 : 1) * (hours * SECONDS_PER_HOUR + minutes * 60);
    return hours < 24 && minutes < 60;
}

/* An optional fraction of a second; what lies behind the ninth digit is cut. Returns its end, or
 * NULL. */
static const char *parse_fraction(const char *text, long *ns) {
    *ns = 0;
    if (*text != '.')
        return text;
    if (!isdigit((unsigned char)*++text))
        return NULL;
    for (long unit = 100000000; isdigit((unsigned char)*text); text++, unit /= 10)
        *ns += unit * (*text - '0');
    return text;
}

bool period_parse_rfc3339(const char *text, struct timespec *time) {
    enum { DATE = 10, CLOCK = 8 };
    char head[DATE + 1 + CLOCK + 1];
    time_t offset;

    snprintf(head, sizeof head, "%s", text);
    if (strlen(head) < sizeof head - 1 || strchr("Tt ", head[DATE]) == NULL)
        return false;
    head[DATE] = 'T';
    if (!has_form(head, "0000-00-00T00:00:00"))
        return false;
    const char *rest = parse_fraction(text + sizeof head - 1, &time->tv_nsec);
    if (rest == NULL || !parse_offset(rest, &offset))
        return false;
    int year = number(head, 4), month = number(head + 5, 2), day = number(head + 8, 2);
    time_t hour = number(head + 11, 2), minute = number(head + 14, 2);
    time_t second = number(head + 17, 2);
    if (!is_date(year, month, day) || hour > 23 || minute > 59 || second > 59)
        return false;
    time->tv_sec =
        utc_midnight(year, month, day) + hour * SECONDS_PER_HOUR + minute * 60 + second - offset;
    return time->tv_sec >= 0;
}

bool period_parse_time(const char *text, enum period_zone zone, time_t *time, struct error *error) {
    struct period period;
    struct timespec instant;

    if (strlen(text) > 4 && parse_date_period(text, zone, &period)) {
        *time = period.from;
        return true;
    }
    if (!period_parse_rfc3339(text, &instant)) {
        error_set(error,
                  "\"%s\" is no time: use YYYY-MM, YYYY-MM-DD or RFC 3339, as in "
                  "2026-11-22T14:00:00Z",
                  text);
        return false;
    }
    if (instant.tv_sec % SECONDS_PER_HOUR != 0 || instant.tv_nsec != 0) {
        error_set(error, "\"%s\" is not a whole hour of UTC, and the ledger knows whole hours",
                  text);
        return false;
    }
    *time = instant.tv_sec;
    return true;
}

/* ---- The periods of a report ---- */

bool period_parse_by(const char *text, enum ledger_by *by) {
    static const struct {
        const char *name;
        enum ledger_by by;
    } names[] = {
        {"hour", LEDGER_BY_HOUR},
        {"day", LEDGER_BY_DAY},
        {"month", LEDGER_BY_MONTH},
        {"all", LEDGER_BY_ALL},
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i].name) != 0)
            continue;
        *by = names[i].by;
        return true;
    }
    return false;
}

struct period period_around(enum ledger_by by, enum period_zone zone, time_t time) {
    time_t hour = time - time % SECONDS_PER_HOUR;
    struct tm tm = clock_of(zone, time);
    int year = tm.tm_year + 1900, month = tm.tm_mon + 1, day = tm.tm_mday;

    switch (by) {
    case LEDGER_BY_HOUR:
        return (struct period){hour, hour + SECONDS_PER_HOUR};
    case LEDGER_BY_DAY:
        return days(zone, year, month, day, 1);
    case LEDGER_BY_MONTH:
        return months(zone, year, month, 1);
    case LEDGER_BY_ALL:
        break;
    }
    return (struct period){0, INT64_MAX};
}

void period_format_time(time_t time, char out[PERIOD_TIME_BYTES]) {
    struct tm tm;

    gmtime_r(&time, &tm);
    strftime(out, PERIOD_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void period_format_clock(time_t time, enum period_zone zone, char out[PERIOD_CLOCK_BYTES]) {
    struct tm tm = clock_of(zone, time);

    strftime(out, PERIOD_CLOCK_BYTES, zone == PERIOD_LOCAL ? "%F %H:%M %z" : "%F %H:%M", &tm);
}
