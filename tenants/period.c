#include "tenants/period.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECONDS_PER_HOUR = 3600, YEAR_MIN = 1970, YEAR_MAX = 9999 };

/* The first second of a day; months above 12 run on into the next year, as in mktime(). */
static time_t day_start(int year, int month, int day) {
    struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};

    return timegm(&tm);
}

/* timegm() makes 2 March of 30 February, so what comes back is compared. */
static bool is_date(int year, int month, int day) {
    struct tm tm;
    time_t time = day_start(year, month, day);

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

/* The dates among the periods: YYYY, YYYY-MM, YYYY-MM-DD. */
static bool parse_date_period(const char *text, struct period *period) {
    int year, month, day;

    if (has_form(text, "0000")) {
        year = number(text, 4);
        *period = (struct period){day_start(year, 1, 1), day_start(year + 1, 1, 1)};
        return is_date(year, 1, 1);
    }
    if (has_form(text, "0000-00")) {
        year = number(text, 4);
        month = number(text + 5, 2);
        *period = (struct period){day_start(year, month, 1), day_start(year, month + 1, 1)};
        return is_date(year, month, 1);
    }
    if (!has_form(text, "0000-00-00"))
        return false;
    year = number(text, 4);
    month = number(text + 5, 2);
    day = number(text + 8, 2);
    *period = (struct period){day_start(year, month, day), day_start(year, month, day + 1)};
    return is_date(year, month, day);
}

static bool parse_named_period(const char *text, time_t now, struct period *period) {
    struct tm tm;

    gmtime_r(&now, &tm);
    int year = tm.tm_year + 1900, month = tm.tm_mon + 1, day = tm.tm_mday;
    if (strcmp(text, "today") == 0 || strcmp(text, "day") == 0)
        *period = period_around(LEDGER_BY_DAY, now);
    else if (strcmp(text, "yesterday") == 0)
        *period = (struct period){day_start(year, month, day - 1), day_start(year, month, day)};
    else if (strcmp(text, "month") == 0)
        *period = period_around(LEDGER_BY_MONTH, now);
    else if (strcmp(text, "last-month") == 0)
        *period = (struct period){day_start(year, month - 1, 1), day_start(year, month, 1)};
    else if (strcmp(text, "year") == 0)
        *period = (struct period){day_start(year, 1, 1), day_start(year + 1, 1, 1)};
    else if (strcmp(text, "last-year") == 0)
        *period = (struct period){day_start(year - 1, 1, 1), day_start(year, 1, 1)};
    else
        return false;
    return true;
}

bool period_parse(const char *text, time_t now, struct period *period, struct error *error) {
    if (parse_named_period(text, now, period) || parse_date_period(text, period))
        return true;
    error_set(
        error,
        "\"%s\" is no period: use today, yesterday, month, last-month, year, last-year, YYYY, "
        "YYYY-MM or YYYY-MM-DD",
        text);
    return false;
}

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
        day_start(year, month, day) + hour * SECONDS_PER_HOUR + minute * 60 + second - offset;
    return time->tv_sec >= 0;
}

bool period_parse_time(const char *text, time_t *time, struct error *error) {
    struct period period;
    struct timespec instant;

    if (strlen(text) > 4 && parse_date_period(text, &period)) {
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

struct period period_around(enum ledger_by by, time_t time) {
    struct tm tm;

    gmtime_r(&time, &tm);
    int year = tm.tm_year + 1900, month = tm.tm_mon + 1, day = tm.tm_mday;
    time_t hour = time - time % SECONDS_PER_HOUR;
    switch (by) {
    case LEDGER_BY_HOUR:
        return (struct period){hour, hour + SECONDS_PER_HOUR};
    case LEDGER_BY_DAY:
        return (struct period){day_start(year, month, day), day_start(year, month, day + 1)};
    case LEDGER_BY_MONTH:
        return (struct period){day_start(year, month, 1), day_start(year, month + 1, 1)};
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
