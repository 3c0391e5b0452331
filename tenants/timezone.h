/* The operator's time zone. The C library knows one zone per process (TZ), so a program enters it
 * once, before it has threads, and says PERIOD_LOCAL where periods are meant to be of that zone;
 * whoever says PERIOD_UTC is not touched by it. */
#ifndef FPMUX_TENANTS_TIMEZONE_H
#define FPMUX_TENANTS_TIMEZONE_H

#include <stdbool.h>

#include "tenants/error.h"

#define TIMEZONE_UTC "UTC"

/* Whether text can be the name of a zone of the IANA database, "Europe/Madrid", "Etc/GMT-1". Looks
 * at the letters only. */
bool is_timezone_name(const char *text);

/* Makes it the zone of the process. False with the reason when the system has no such zone (the C
 * library would take it for UTC), or when its days do not begin at a whole hour of UTC. Those are
 * refused, because a row of the ledger is an hour of UTC: what was used in the hour in which a day
 * of Asia/Kolkata begins can't be divided between the two days, only guessed. */
bool timezone_enter(const char *name, struct error *error);

#endif
