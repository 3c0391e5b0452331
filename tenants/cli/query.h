/* What `usage` and `export` share: which rows are asked for, and a ledger that has just taken in
 * the counter files. */
#ifndef FPMUX_TENANTS_CLI_QUERY_H
#define FPMUX_TENANTS_CLI_QUERY_H

#include <getopt.h>
#include <stdbool.h>
#include <time.h>

#include "tenants/cli/cli.h"
#include "tenants/ledger.h"

/* The options of both verbs; a verb's own come before them in its table, with codes of letters. */
enum {
    QUERY_OPTION_TENANT = 256,
    QUERY_OPTION_FROM,
    QUERY_OPTION_TO,
    QUERY_OPTION_PERIOD,
    QUERY_OPTION_BY,
    QUERY_OPTION_TZ,
    QUERY_OPTION_WITH_IDLE,
    QUERY_OPTION_STRICT,
    QUERY_OPTION_LAST = QUERY_OPTION_STRICT
};

/* clang-format off */
#define QUERY_OPTIONS                                              \
    {"tenant", required_argument, NULL, QUERY_OPTION_TENANT},      \
    {"from", required_argument, NULL, QUERY_OPTION_FROM},          \
    {"to", required_argument, NULL, QUERY_OPTION_TO},              \
    {"period", required_argument, NULL, QUERY_OPTION_PERIOD},      \
    {"by", required_argument, NULL, QUERY_OPTION_BY},              \
    {"tz", required_argument, NULL, QUERY_OPTION_TZ},              \
    {"with-idle", no_argument, NULL, QUERY_OPTION_WITH_IDLE},      \
    {"strict", no_argument, NULL, QUERY_OPTION_STRICT},            \
    {NULL, 0, NULL, 0}
/* clang-format on */

#define QUERY_HELP                                                                                 \
    "  --from, --to   YYYY-MM, YYYY-MM-DD or RFC 3339 (a whole hour); --to is exclusive\n"         \
    "  --period       today, yesterday, month, last-month, year, last-year, YYYY, YYYY-MM or\n"    \
    "                 YYYY-MM-DD\n"                                                                \
    "  --tz           the time zone of these, and of days and months: a name like\n"               \
    "                 Europe/Madrid (default: `timezone` of the configuration, or UTC)\n"          \
    "  --with-idle    also the CPU that no tenant caused, as \"(idle)\"\n"                         \
    "  --strict       exit code 75 when some counters could not be taken in; without it, this "    \
    "is\n"                                                                                         \
    "                 only said on standard error\n"

struct query_options {
    struct ledger_query query;
    time_t now;
    /* As they were given, or NULL; borrowed. --tz may come last and changes what they mean. */
    const char *from, *to, *period, *tz;
    bool is_strict; /* what could not be folded makes the exit code EX_TEMPFAIL */
};

/* Takes one option, as getopt_long() gave it. EX_OK, or the exit code of a failure that was told;
 * EX_USAGE also for a code that is no option. */
int query_take_option(const struct cli *cli, struct query_options *options, int code,
                      const char *value);

/* After the last option: enters the time zone, and makes a query of what was given. default_period
 * is asked for when no time is; NULL: all there is. EX_OK, or as above. */
int query_finish(struct cli *cli, struct query_options *options, const char *default_period);

/* Enters the time zone of that name; NULL: that of the configuration. EX_OK, or the exit code of a
 * failure that was told. */
int query_enter_zone(struct cli *cli, const char *name, enum period_zone *zone);

/* Says on standard error if some of the time that is asked for was let go of. */
void query_tell_deleted(struct ledger *ledger, const struct query_options *options);

/* The ledger of the configuration, with the counter files taken in. What could not be taken in is
 * told on standard error, and *is_complete is false. NULL: it can't be opened, which was told. */
struct ledger *query_open_ledger(struct cli *cli, bool *is_complete);

#endif
