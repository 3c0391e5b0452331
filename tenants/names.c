#include "tenants/names.h"

#include <stdlib.h>
#include <string.h>

/* Who else sets or believes these names: CGI/1.1 (RFC 3875), PHP, the web servers, the shell and
 * the C library (`exec` and `cron` hand a tenant's parameters to a process as its environment).
 * "H" to "HTTP": PHP's getenv() finds no name that HTTP_PROXY begins with. Sorted for bsearch(). */
const char *const reserved_params[] = {
    "ALL_PROXY",
    "AUTH_TYPE",
    "BASHOPTS",
    "BASH_ENV",
    "CDPATH",
    "DOCUMENT_ROOT",
    "DOCUMENT_URI",
    "ENV",
    "FTP_PROXY",
    "GATEWAY_INTERFACE",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "H",
    "HOME",
    "HT",
    "HTT",
    "HTTP",
    "HTTP2",
    "IFS",
    "LOCPATH",
    "LOGNAME",
    "NO_PROXY",
    "PATH",
    "PATH_INFO",
    "PATH_TRANSLATED",
    "PHPRC",
    "PHP_FLAG",
    "PHP_INI_SCAN_DIR",
    "PHP_SELF",
    "PHP_VALUE",
    "PROXY",
    "PS4",
    "PWD",
    "QUERY_STRING",
    "SHELL",
    "SHELLOPTS",
    "SHLVL",
    "UNENCODED_URL",
    "UNIQUE_ID",
    "USER",
};
const size_t reserved_param_count = sizeof reserved_params / sizeof *reserved_params;

const char *const reserved_prefixes[] = {
    "BASH_FUNC_", "CONTENT_", "CONTEXT_", "FCGI_",   "FPMUX_",     "H2",        "HTTPS",
    "HTTP_",      "LD_",      "MALLOC_",  "ORIG_",   "PHP_ADMIN_", "PHP_AUTH_", "PHP_FCGI_",
    "REDIRECT_",  "REMOTE_",  "REQUEST_", "SCRIPT_", "SERVER_",    "SSL_",
};
const size_t reserved_prefix_count = sizeof reserved_prefixes / sizeof *reserved_prefixes;

/* Code is loaded, functions vanish from a warm worker (which crashes it), or the opcode cache that
 * all tenants share is changed. PHP compares keys with case. */
static const char *const refused_settings[] = {"enable_dl", "extension", "extension_dir",
                                               "zend_extension"};
static const char *const refused_setting_prefixes[] = {"disable_", "opcache."};

static int compare_names(const void *wanted, const void *element) {
    const char *const *name = element;

    return strcmp(wanted, *name);
}

bool is_tenant_id(const char *text, size_t length) {
    if (length < 1 || length > TENANT_ID_MAX || text[0] == '-')
        return false;
    for (size_t index = 0; index < length; index++) {
        char byte = text[index];
        if (!(byte >= 'a' && byte <= 'z') && !(byte >= '0' && byte <= '9') && byte != '-')
            return false;
    }
    return true;
}

bool is_plan_name(const char *name) {
    return is_tenant_id(name, strlen(name));
}

bool is_param_name(const char *name) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    size_t length = strspn(name, allowed);

    return length > 0 && name[length] == '\0' && length != 3 && !(name[0] >= '0' && name[0] <= '9');
}

bool is_reserved_param(const char *name) {
    if (bsearch(name, reserved_params, reserved_param_count, sizeof *reserved_params,
                compare_names) != NULL)
        return true;
    for (size_t index = 0; index < reserved_prefix_count; index++)
        if (strncmp(name, reserved_prefixes[index], strlen(reserved_prefixes[index])) == 0)
            return true;
    return false;
}

bool is_refused_setting(const char *key) {
    for (size_t index = 0; index < sizeof refused_settings / sizeof *refused_settings; index++)
        if (strcmp(key, refused_settings[index]) == 0)
            return true;
    for (size_t index = 0;
         index < sizeof refused_setting_prefixes / sizeof *refused_setting_prefixes; index++) {
        const char *prefix = refused_setting_prefixes[index];
        if (strncmp(key, prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

bool is_setting_key(const char *key) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
    size_t length = strspn(key, allowed);

    return length > 0 && key[length] == '\0';
}

bool is_image_name(const char *text) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/@-";
    size_t length = strspn(text, allowed);

    return length > 0 && text[length] == '\0' && length < 256 && strchr("-./:@", text[0]) == NULL;
}

bool is_host_name(const char *text) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    size_t length = strlen(text);

    if (length > 253)
        return false;
    for (;;) {
        size_t label = strspn(text, allowed);
        if (label < 1 || label > 63)
            return false;
        text += label;
        if (*text == '\0')
            return true;
        if (*text++ != '.')
            return false;
    }
}
