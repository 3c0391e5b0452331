#include "tenants/timezone.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SECONDS_PER_HOUR = 3600, FIRST_YEAR = 2020, LAST_YEAR = 2037 };

bool is_timezone_name(const char *text) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789+-_/";
    size_t length = strlen(text);

    return length > 0 && length < 64 && strspn(text, letters) == length && text[0] != '/';
}

/* Whether the C library will find it: the same directory, and the letters that such a file begins
 * with. Only they tell a zone from a text like zone.tab, or from a directory. */
static bool has_zone_file(const char *name) {
    const char *dir = getenv("TZDIR");
    char path[512], magic[4] = {0};

    snprintf(path, sizeof path, "%s/%s", dir != NULL ? dir : "/usr/share/zoneinfo", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool is_zone = read(fd, magic, sizeof magic) == sizeof magic && memcmp(magic, "TZif", 4) == 0;
    close(fd);
    return is_zone;
}

/* The first of each month of the years that a ledger can be of: daylight saving lasts longer than
 * a month, and half an hour of it is enough. */
static bool has_whole_hours(void) {
    for (int month = 0; month < (LAST_YEAR - FIRST_YEAR + 1) * 12; month++) {
        struct tm utc = {.tm_year = FIRST_YEAR - 1900, .tm_mon = month, .tm_mday = 1};
        time_t time = timegm(&utc);
        struct tm local;
        localtime_r(&time, &local);
        if (local.tm_gmtoff % SECONDS_PER_HOUR != 0)
            return false;
    }
    return true;
}

bool timezone_enter(const char *name, struct error *error) {
    char value[80];
    bool is_utc = strcmp(name, TIMEZONE_UTC) == 0;

    if (!is_timezone_name(name) || (!is_utc && !has_zone_file(name))) {
        error_set(error,
                  "\"%s\" is no time zone of this system: use a name like Europe/Madrid or UTC "
                  "(timedatectl list-timezones; they come with the package tzdata)",
                  name);
        return false;
    }
    /* UTC needs no files: then it is a zone of its own, without an offset. */
    snprintf(value, sizeof value, "%s%s", is_utc ? "" : ":", is_utc ? "UTC0" : name);
    if (setenv("TZ", value, 1) != 0)
        abort();
    tzset();
    if (has_whole_hours())
        return true;
    error_set(error,
              "days of %s do not begin at a whole hour of UTC, and the ledger knows whole hours: "
              "what was used in between can't be divided between two days",
              name);
    return false;
}
