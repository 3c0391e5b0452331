/* What went wrong, for a person. Cold paths (configuration, registry, ledger, tool) carry one of
 * these: it is set where the failure happens, each layer above puts in front of it what it was
 * doing, and it is printed once: "tenant centro1: params.DBPASS: /run/secrets/x: No such file". */
#ifndef FPMUX_TENANTS_ERROR_H
#define FPMUX_TENANTS_ERROR_H

struct error {
    char text[1024]; /* NUL-terminated, cut when longer; no allocation, so it can't fail */
};

/* Replaces the text. */
void error_set(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "FORMAT: " before the text that is there. */
void error_prefix(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
