/* Which names are reserved: parameters that no registry file may set and php settings that no
 * tenant may set. Pure tables and comparisons; the same lists stand in
 * tenants/schema/tenant.schema.json, and a test compares them. */
#ifndef FPMUX_TENANTS_NAMES_H
#define FPMUX_TENANTS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* ID of a tenant: [a-z0-9][a-z0-9-]{0,62}. */
#define TENANT_ID_MAX 63
bool is_tenant_id(const char *text, size_t length);

/* The same form. */
#define PLAN_NAME_RULE "a name of a-z, 0-9 and -, no - first, at most 63 of them"
bool is_plan_name(const char *name);

/* [A-Z_][A-Z0-9_]*, not of three letters (PHP-FPM's getenv() can't find those). */
bool is_param_name(const char *name);

/* CGI/1.1 names, Apache's own, HTTP_*, HTTPS, REMOTE_*, PHP_VALUE, FPMUX_* and their like: what a
 * registry file may not set. */
bool is_reserved_param(const char *name);

/* disable_functions, disable_classes, extension, zend_extension, opcache.*: never per tenant. */
bool is_refused_setting(const char *key);

/* The tables behind the two, sorted: whole names, and beginnings that reserve every name that
 * starts with them. */
extern const char *const reserved_params[];
extern const size_t reserved_param_count;
extern const char *const reserved_prefixes[];
extern const size_t reserved_prefix_count;

/* A key of php.ini that can stand in PHP_ADMIN_VALUE: [A-Za-z0-9_.]+. */
bool is_setting_key(const char *key);

/* What the Docker Engine takes for an image: "fpmux/apache", "registry:5000/a/b:1.2@sha256:…". */
bool is_image_name(const char *text);

/* A host name as it is compared: [a-z0-9.-], no port, at most 253 bytes. */
bool is_host_name(const char *text);

#endif
