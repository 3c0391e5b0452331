/* The verbs below `fpmuxctl tenant`: argv[0] is the verb's name, and a result is an exit code. */
#ifndef FPMUX_TENANTS_CLI_TENANT_H
#define FPMUX_TENANTS_CLI_TENANT_H

#include "tenants/cli/cli.h"

int tenant_add(struct cli *cli, int argc, char **argv);
int tenant_set(struct cli *cli, int argc, char **argv);
int tenant_remove(struct cli *cli, int argc, char **argv);
int tenant_suspend(struct cli *cli, int argc, char **argv);
int tenant_resume(struct cli *cli, int argc, char **argv);
int tenant_import(struct cli *cli, int argc, char **argv);

#endif
