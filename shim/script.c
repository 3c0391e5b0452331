#include "shim/script.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct text {
    const char *data;
    size_t length;
};

static struct text known_value(const struct params *params, enum param param) {
    const struct fcgi_pair *pair = params->known[param];

    if (pair == NULL)
        return (struct text){"", 0};
    return (struct text){(const char *)pair->value, pair->value_length};
}

static bool has_prefix(struct text text, const char *prefix, size_t length) {
    return text.length >= length && strncasecmp(text.data, prefix, length) == 0;
}

static struct text skip(struct text text, size_t length) {
    return (struct text){text.data + length, text.length - length};
}

/* From the first character that is wanted on; empty when there is none. */
static struct text from_character(struct text text, char wanted) {
    const char *found = memchr(text.data, wanted, text.length);

    return skip(text, found != NULL ? (size_t)(found - text.data) : text.length);
}

/* What Apache puts in front: "proxy:fcgi://HOST[:PORT]", "proxy:balancer://NAME" (PHP-FPM cuts
 * these itself, with everything from a '?' on) and "proxy:unix:SOCKET|fcgi://NAME" (it does not).
 * Empty when there is such a prefix but no path behind it. */
static struct text cut_proxy_prefix(struct text path) {
    if (path.length > 0 && path.data[0] == '/')
        return path;
    struct text authority = {"", 0};
    if (has_prefix(path, "proxy:fcgi://", 13)) {
        authority = skip(path, 13);
    } else if (has_prefix(path, "proxy:balancer://", 17)) {
        authority = skip(path, 17);
    } else if (has_prefix(path, "proxy:unix:", 11)) {
        struct text target = from_character(path, '|');
        if (has_prefix(target, "|fcgi://", 8))
            authority = skip(target, 8);
    }
    path = from_character(authority, '/');
    path.length -= from_character(path, '?').length;
    return path;
}

static bool has(struct text text, char wanted) {
    return memchr(text.data, wanted, text.length) != NULL;
}

static bool has_line_break(struct text text) {
    return text.length > 0 && (has(text, '\n') || has(text, '\r'));
}

static int hex_digit(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit = (char)(digit | 0x20);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static size_t percent_decode(struct text text, char *out) {
    size_t filled = 0;

    for (size_t i = 0; i < text.length; i++) {
        int high = -1;
        int low = -1;
        if (text.data[i] == '%' && text.length - i > 2) {
            high = hex_digit(text.data[i + 1]);
            low = hex_digit(text.data[i + 2]);
        }
        if (high < 0 || low < 0) {
            out[filled++] = text.data[i];
            continue;
        }
        out[filled++] = (char)(high << 4 | low);
        i += 2;
    }
    return filled;
}

/* Takes the last component off "/a/b". */
static size_t parent(const char *path, size_t length) {
    while (length > 0 && path[--length] != '/')
        ;
    return length;
}

/* Resolves '.', '..' and '//' in an absolute path; the result is never longer. A slash at the end
 * stays. */
static size_t resolve(struct text path, char *out) {
    size_t filled = 0;
    bool is_directory = true;

    for (size_t at = 1; at <= path.length;) {
        const char *component = path.data + at;
        const char *slash = memchr(component, '/', path.length - at);
        size_t length = slash != NULL ? (size_t)(slash - component) : path.length - at;
        bool is_dot = length == 1 && component[0] == '.';
        bool is_up = length == 2 && component[0] == '.' && component[1] == '.';

        at += length + 1;
        is_directory = length == 0 || is_dot || is_up;
        if (is_up)
            filled = parent(out, filled);
        if (is_directory)
            continue;
        out[filled++] = '/';
        memcpy(out + filled, component, length);
        filled += length;
    }
    if (is_directory)
        out[filled++] = '/';
    return filled;
}

/* Component by component: /var/www/html2 is not under /var/www/html. */
static bool is_under(struct text path, struct text root) {
    return path.length > root.length && path.data[root.length] == '/' &&
           memcmp(path.data, root.data, root.length) == 0;
}

static bool has_suffix(struct text text, const struct string_list *suffixes) {
    for (size_t i = 0; i < suffixes->count; i++) {
        size_t length = strlen(suffixes->items[i]);
        if (text.length >= length &&
            memcmp(text.data + text.length - length, suffixes->items[i], length) == 0)
            return true;
    }
    return false;
}

/* Where the first component that ends with an allowed suffix ends, looking from start on; 0: there
 * is none. Lexical, where PHP-FPM asks the file system: a directory named x.php hides what is
 * below it. */
static size_t script_end(struct text path, size_t start, const struct string_list *suffixes) {
    while (start < path.length) {
        const char *slash = memchr(path.data + start, '/', path.length - start);
        size_t end = slash != NULL ? (size_t)(slash - path.data) : path.length;
        if (has_suffix((struct text){path.data + start, end - start}, suffixes))
            return end;
        start = end + 1;
    }
    return 0;
}

static void copy(struct text text, char *out, size_t *out_length) {
    memcpy(out, text.data, text.length);
    out[text.length] = '\0';
    *out_length = text.length;
}

static bool is_page(struct text name, const char *page) {
    return page != NULL && strlen(page) == name.length && memcmp(name.data, page, name.length) == 0;
}

/* ---- PHP-FPM's own pages, which tell about other tenants' requests ----
 *
 * PHP-FPM shows them when what it takes for the URI is its status_path or ping_path, byte by byte.
 * That is SCRIPT_NAME; the resolved form is refused as well, in case somebody resolves it after us.
 * But it is PATH_INFO with cgi.fix_pathinfo=0, and some beginning of PATH_INFO, cut at a length of
 * the client's choosing, when there is no such script but a file where it looks for a directory:
 * /robots.txt/x.php/status/y.php showed the status page of PHP-FPM 8.2. */
static bool is_fpm_page(struct text name, const struct pool_config *pool) {
    char resolved[SCRIPT_PATH_MAX];

    if (pool->status_path == NULL && pool->ping_path == NULL)
        return false;
    if (is_page(name, pool->status_path) || is_page(name, pool->ping_path))
        return true;
    if (name.length == 0 || name.data[0] != '/')
        return false;
    struct text path = {resolved, resolve(name, resolved)};
    return is_page(path, pool->status_path) || is_page(path, pool->ping_path);
}

static bool begins_with_page(struct text path_info, const char *page) {
    if (page == NULL)
        return false;
    size_t length = strlen(page);
    return path_info.length >= length && memcmp(path_info.data, page, length) == 0;
}

/* PHP-FPM may be set to decode SCRIPT_FILENAME (fastcgi.script_path_encoded=0): the decoded form
 * has to stay inside as well. */
static struct refusal check_decoded(struct text path, struct text root) {
    if (!has(path, '%'))
        return (struct refusal){0};
    char decoded[SCRIPT_PATH_MAX] = "";
    char resolved[SCRIPT_PATH_MAX];
    struct text text = {decoded, percent_decode(path, decoded)};
    if (has_line_break(text) || has(text, '\0'))
        return (struct refusal){400, "line break or NUL encoded in SCRIPT_FILENAME"};
    struct text clean = {resolved, resolve(text, resolved)};
    if (!is_under(clean, root))
        return (struct refusal){403, "SCRIPT_FILENAME leaves the root when decoded"};
    return (struct refusal){0};
}

static struct refusal resolve_filename(struct text sent, const struct pool_config *pool,
                                       struct script *script) {
    struct text path = cut_proxy_prefix(sent);
    struct text root = {pool->root, strlen(pool->root)};

    if (root.length == 1) /* "/": every path is under it */
        root.length = 0;
    if (path.length == 0 || path.data[0] != '/')
        return (struct refusal){403, "SCRIPT_FILENAME is not an absolute path"};
    struct text clean = {script->filename, resolve(path, script->filename)};
    if (!is_under(clean, root))
        return (struct refusal){403, "SCRIPT_FILENAME is outside the root"};
    struct refusal refusal = check_decoded(path, root);
    if (refusal.status != 0)
        return refusal;

    size_t end = script_end(clean, root.length + 1, &pool->suffixes);
    if (end == 0)
        return (struct refusal){403, "SCRIPT_FILENAME has no allowed suffix"};
    copy(skip(clean, end), script->path_info, &script->path_info_length);
    script->filename[end] = '\0';
    script->filename_length = end;
    copy((struct text){clean.data + root.length, end - root.length}, script->name,
         &script->name_length);
    return (struct refusal){0};
}

/* resolve_filename() left in script->name what follows from the path. What the web server sent is
 * better, except that Apache's ProxyPassMatch leaves PATH_INFO on it. It is cut by its own suffix
 * and not by comparing with the path's end: that one may be percent-encoded where this is not. */
static void take_script_name(struct text sent, const struct pool_config *pool,
                             struct script *script) {
    if (sent.length == 0)
        return;
    size_t end = script->path_info_length > 0 ? script_end(sent, 0, &pool->suffixes) : 0;
    if (end > 0)
        sent.length = end;
    copy(sent, script->name, &script->name_length);
}

struct refusal script_resolve(const struct params *params, const struct pool_config *pool,
                              struct script *script) {
    struct text filename = known_value(params, PARAM_SCRIPT_FILENAME);
    struct text name = known_value(params, PARAM_SCRIPT_NAME);
    struct text path_info = known_value(params, PARAM_PATH_INFO);

    if (filename.length >= SCRIPT_PATH_MAX || name.length >= SCRIPT_PATH_MAX ||
        path_info.length >= SCRIPT_PATH_MAX)
        return (struct refusal){400, "path too long"};
    if (has_line_break(filename) || has_line_break(name) || has_line_break(path_info))
        return (struct refusal){400, "line break in a path"};
    struct refusal refusal = resolve_filename(filename, pool, script);
    if (refusal.status != 0)
        return refusal;
    take_script_name(name, pool, script);
    struct text cut = {script->name, script->name_length};
    if (is_fpm_page(name, pool) || (cut.length != name.length && is_fpm_page(cut, pool)))
        return (struct refusal){403, "SCRIPT_NAME is a page of PHP-FPM itself"};
    if (script->path_info_length == 0)
        copy(path_info, script->path_info, &script->path_info_length);
    struct text behind = {script->path_info, script->path_info_length};
    if (begins_with_page(behind, pool->status_path) || begins_with_page(behind, pool->ping_path))
        return (struct refusal){403, "PATH_INFO begins like a page of PHP-FPM itself"};
    return (struct refusal){0};
}
