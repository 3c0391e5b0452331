/* A tenant's registry file: whatever its bytes, tenant_parse() either makes a tenant that can be
 * printed, or says why not and where. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/config.h"
#include "tenants/tenant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char configuration[] =
    "{\"pools\": {\"default\": {\"address\": \"unix:/run/fpm.sock\", \"workers\": 4,"
    " \"root\": \"/var/www/html\", \"php\": {\"memory_limit\": \"128M\", \"open_basedir\": "
    "\"/\"}}}}";

/* assert() is gone in release builds. */
static void demand(bool claim) {
    if (!claim)
        abort();
}

static void print(const struct tenant *tenant) {
    char text[1 << 16];
    FILE *out = fmemopen(text, sizeof text, "w");

    demand(out != NULL);
    tenant_print(tenant, NULL, out, false);
    tenant_print(tenant, NULL, out, true);
    fclose(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct config *config; /* one for all inputs */
    struct error error = {0};

    if (config == NULL)
        config = config_parse("fuzz.json", configuration, strlen(configuration), &error);
    demand(config != NULL);
    struct tenant *tenant = tenant_parse("fuzz", "fuzz", (const char *)data, size, config, &error);
    if (tenant != NULL)
        print(tenant);
    else
        demand(strncmp(error.text, "fuzz:", 5) == 0);
    tenant_unref(tenant);
    return 0;
}
