/* fpmuxctl: one verb is one file, cli/<verb>.c with one function verb_<verb>(), listed in the table
 * in cli/main.c. What the verbs share is here: the configuration, the exit codes of sysexits.h,
 * messages on standard error that say what, where and how to mend it. */
#ifndef FPMUX_TENANTS_CLI_H
#define FPMUX_TENANTS_CLI_H

#include <stdbool.h>

#include "tenants/config.h"
#include "tenants/error.h"

struct cli; /* one run of fpmuxctl */
struct registry;

/* Options before the verb or behind it: -c FILE, --json, --help. The verb's own come in
 * argv, where argv[0] is the verb's name. */
bool cli_wants_json(const struct cli *cli);

/* The configuration, read at the first call; a wrong one ends the program with EX_CONFIG (78). */
const struct config *cli_config(struct cli *cli);

/* The next cli_config() reads the configuration anew. What was borrowed from the last one is gone.
 */
void cli_forget_config(struct cli *cli);

/* The registry as it is now, loaded; the caller's to close. EX_OK, or the exit code of a failure
 * that was told. */
int cli_load_registry(struct cli *cli, struct registry **registry);

/* Tells why the registry has no such tenant: EX_DATAERR when it is the file that is in error, else
 * EX_NOINPUT. */
int cli_no_tenant(const struct cli *cli, const struct registry *registry, const char *id);

/* "fpmuxctl VERB: text" on standard error; returns code, so that a verb can return cli_fail(…). */
int cli_fail(const struct cli *cli, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Prints how the verb is used; returns EX_USAGE (64). */
int cli_usage(const struct cli *cli);

/* The one of words (NULL at the end) that is most like word, or NULL when none is near. */
const char *cli_closest(const char *word, const char *const *words);

int verb_tenant(struct cli *cli, int argc, char **argv);
int verb_check(struct cli *cli, int argc, char **argv);
int verb_usage(struct cli *cli, int argc, char **argv);
int verb_audit(struct cli *cli, int argc, char **argv);
int verb_export(struct cli *cli, int argc, char **argv);
int verb_ledger(struct cli *cli, int argc, char **argv);
int verb_plan(struct cli *cli, int argc, char **argv);
int verb_up(struct cli *cli, int argc, char **argv);
int verb_down(struct cli *cli, int argc, char **argv);
int verb_ps(struct cli *cli, int argc, char **argv);
int verb_watch(struct cli *cli, int argc, char **argv);
int verb_build(struct cli *cli, int argc, char **argv);
int verb_exec(struct cli *cli, int argc, char **argv);
int verb_cron(struct cli *cli, int argc, char **argv);

#endif
