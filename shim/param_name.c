#include "shim/param_name.h"

/* ---- Characters and hash, eight bytes at a time ---- */

#define EACH_BYTE(byte) (0x0101010101010101U * (byte))

/* A byte's top bit is set where that byte of word is at least this. Bytes below 128 only. */
static uint64_t at_least(uint64_t word, unsigned byte) {
    return word + EACH_BYTE(0x80U - byte);
}

/* A byte's top bit is set where that byte of word is of [A-Z0-9_]: it has come past the beginning
 * of a range, but not past its end. Bytes below 128 only. */
static uint64_t plain_bytes(uint64_t word) {
    return at_least(word, '0') ^ at_least(word, '9' + 1) ^ at_least(word, 'A') ^
           at_least(word, 'Z' + 1) ^ at_least(word, '_') ^ at_least(word, '_' + 1);
}

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
    return hash ^ hash >> 32;
}

static uint64_t word_at(const uint8_t *bytes) {
    uint64_t word;

    memcpy(&word, bytes, sizeof(word));
    return word;
}

/* Of a name shorter than a word, filled up with a byte that is always allowed. */
static uint64_t short_word(const uint8_t *name, size_t length) {
    uint64_t word = EACH_BYTE((unsigned)'A');

    for (size_t i = 0; i < length; i++)
        word = word << 8 | name[i];
    return word;
}

/* Whether the name is [A-Z_][A-Z0-9_]*, and its hash. */
static bool scan_name(const uint8_t *name, size_t length, uint32_t *hash) {
    const size_t step = sizeof(uint64_t);
    size_t last = length > step ? length - step : 0;
    uint64_t word = length < step ? short_word(name, length) : word_at(name);
    uint64_t mixed = mix(length, word);
    uint64_t plain = plain_bytes(word);
    uint64_t any = word;

    for (size_t at = 0; at < last;) {
        at = at + step < last ? at + step : last; /* the last eight may have been seen in part */
        word = word_at(name + at);
        mixed = mix(mixed, word);
        plain &= plain_bytes(word);
        any |= word;
    }
    *hash = (uint32_t)mixed;
    return ((~plain | any) & EACH_BYTE(0x80U)) == 0 && length > 0 && name[0] > '9';
}

/* ---- Names that are known ---- */

/* Compilers make a comparison with a constant length of this: two or three machine words. */
#define RETURN_IF(literal, class)                                                                  \
    if (memcmp(name, literal, sizeof(literal) - 1) == 0)                                           \
        return class;

/* Forbidden: PHP-FPM makes another script run with REDIRECT_URL and PATH_TRANSLATED, another body
 * with REQUEST_BODY_FILE, other settings with PHP_VALUE, and takes the role from FCGI_ROLE.
 * HTTP_PROXY is "httpoxy". What a tenant has to set for itself is never taken from a web server,
 * also when this tenant does not set it. The pool's root takes the place of DOCUMENT_ROOT.
 * HTTP_TRANSFER_ENCODING is untrue once CONTENT_LENGTH is set. */
// clang-format off
static uint8_t look_up_short(const uint8_t *name, size_t length) {
    switch (length) {
    case 4:
        RETURN_IF("PATH", NAME_FORBIDDEN)
        break;
    case 5:
        RETURN_IF("HTTPS", NAME_HTTPS)
        break;
    case 6:
        RETURN_IF("DBHOST", NAME_FORBIDDEN)
        RETURN_IF("DBNAME", NAME_FORBIDDEN)
        RETURN_IF("DBUSER", NAME_FORBIDDEN)
        RETURN_IF("DBPASS", NAME_FORBIDDEN)
        break;
    case 7:
        RETURN_IF("WWWROOT", NAME_FORBIDDEN)
        break;
    case 8:
        RETURN_IF("DATAROOT", NAME_FORBIDDEN)
        break;
    case 9:
        RETURN_IF("PATH_INFO", PARAM_PATH_INFO)
        RETURN_IF("HTTP_HOST", NAME_HTTP_HOST)
        RETURN_IF("PHP_VALUE", NAME_FORBIDDEN)
        RETURN_IF("FCGI_ROLE", NAME_FORBIDDEN)
        break;
    case 10:
        RETURN_IF("HTTP_PROXY", NAME_FORBIDDEN)
        break;
    case 11:
        RETURN_IF("REMOTE_ADDR", PARAM_REMOTE_ADDR)
        RETURN_IF("REQUEST_URI", PARAM_REQUEST_URI)
        RETURN_IF("SCRIPT_NAME", PARAM_SCRIPT_NAME)
        RETURN_IF("SERVER_NAME", PARAM_SERVER_NAME)
        RETURN_IF("FPMUX_TOKEN", PARAM_FPMUX_TOKEN)
        RETURN_IF("SERVER_ADDR", NAME_SERVER_ADDR)
        RETURN_IF("SERVER_PORT", NAME_SERVER_PORT)
        RETURN_IF("REMOTE_PORT", NAME_REMOTE_PORT)
        RETURN_IF("HTTP_COOKIE", NAME_HTTP_COOKIE)
        RETURN_IF("HTTP_ACCEPT", NAME_HTTP_ACCEPT)
        break;
    default:
        break;
    }
    return NAME_PLAIN;
}

static uint8_t look_up_long(const uint8_t *name, size_t length) {
    switch (length) {
    case 12:
        RETURN_IF("FPMUX_TENANT", PARAM_FPMUX_TENANT)
        RETURN_IF("REDIRECT_URL", PARAM_REDIRECT_URL)
        RETURN_IF("CONTENT_TYPE", NAME_CONTENT_TYPE)
        RETURN_IF("HTTP_REFERER", NAME_HTTP_REFERER)
        RETURN_IF("QUERY_STRING", NAME_QUERY_STRING)
        RETURN_IF("SERVER_ADMIN", NAME_SERVER_ADMIN)
        break;
    case 13:
        RETURN_IF("DOCUMENT_ROOT", NAME_FORBIDDEN)
        break;
    case 14:
        RETURN_IF("CONTENT_LENGTH", PARAM_CONTENT_LENGTH)
        RETURN_IF("REQUEST_METHOD", PARAM_REQUEST_METHOD)
        RETURN_IF("CONTEXT_PREFIX", NAME_CONTEXT_PREFIX)
        RETURN_IF("REQUEST_SCHEME", NAME_REQUEST_SCHEME)
        break;
    case 15:
        RETURN_IF("SCRIPT_FILENAME", PARAM_SCRIPT_FILENAME)
        RETURN_IF("HTTP_CONNECTION", NAME_HTTP_CONNECTION)
        RETURN_IF("HTTP_USER_AGENT", NAME_HTTP_USER_AGENT)
        RETURN_IF("SERVER_PROTOCOL", NAME_SERVER_PROTOCOL)
        RETURN_IF("SERVER_SOFTWARE", NAME_SERVER_SOFTWARE)
        RETURN_IF("PHP_ADMIN_VALUE", NAME_FORBIDDEN)
        RETURN_IF("PATH_TRANSLATED", NAME_FORBIDDEN)
        RETURN_IF("REDIRECT_STATUS", NAME_FORBIDDEN)
        break;
    case 16:
        RETURN_IF("SERVER_SIGNATURE", NAME_SERVER_SIGNATURE)
        break;
    case 17:
        RETURN_IF("GATEWAY_INTERFACE", NAME_GATEWAY_INTERFACE)
        RETURN_IF("REQUEST_BODY_FILE", NAME_FORBIDDEN)
        break;
    case 20:
        RETURN_IF("HTTP_ACCEPT_ENCODING", NAME_HTTP_ACCEPT_ENCODING)
        RETURN_IF("HTTP_ACCEPT_LANGUAGE", NAME_HTTP_ACCEPT_LANGUAGE)
        RETURN_IF("HTTP_X_FORWARDED_FOR", NAME_HTTP_X_FORWARDED_FOR)
        RETURN_IF("HTTP_REDIRECT_STATUS", NAME_FORBIDDEN)
        break;
    case 21:
        RETURN_IF("CONTEXT_DOCUMENT_ROOT", NAME_CONTEXT_DOCUMENT_ROOT)
        break;
    case 22:
        RETURN_IF("HTTP_TRANSFER_ENCODING", NAME_FORBIDDEN)
        break;
    default:
        break;
    }
    return NAME_PLAIN;
}
// clang-format on

/* FPMUX_ is ours; LD_PRELOAD and its like are for what a script may start; PHP-FPM keeps its own
 * notes under ORIG_. */
static bool has_forbidden_prefix(const uint8_t *name, size_t length) {
    return (length >= 6 && memcmp(name, "FPMUX_", 6) == 0) ||
           (length >= 3 && memcmp(name, "LD_", 3) == 0) ||
           (length >= 5 && memcmp(name, "ORIG_", 5) == 0);
}

uint8_t name_classify(const uint8_t *name, size_t length, uint32_t *hash) {
    uint8_t class = length < 12 ? look_up_short(name, length) : look_up_long(name, length);

    if (class != NAME_PLAIN)
        return class;
    if (!scan_name(name, length, hash))
        return NAME_ODD;
    return has_forbidden_prefix(name, length) ? NAME_FORBIDDEN : NAME_PLAIN;
}

uint32_t name_hash(const uint8_t *name, size_t length) {
    uint32_t hash;

    scan_name(name, length, &hash);
    return hash;
}

const bool name_class_passes[NAME_CLASS_COUNT] = {
    [PARAM_REDIRECT_URL] = true,
    [PARAM_REMOTE_ADDR] = true,
    [PARAM_REQUEST_METHOD] = true,
    [PARAM_REQUEST_URI] = true,
    [PARAM_SERVER_NAME] = true,
    [NAME_PLAIN] = true,
    [NAME_CONTENT_TYPE] = true,
    [NAME_CONTEXT_DOCUMENT_ROOT] = true,
    [NAME_CONTEXT_PREFIX] = true,
    [NAME_GATEWAY_INTERFACE] = true,
    [NAME_HTTPS] = true,
    [NAME_HTTP_ACCEPT] = true,
    [NAME_HTTP_ACCEPT_ENCODING] = true,
    [NAME_HTTP_ACCEPT_LANGUAGE] = true,
    [NAME_HTTP_CONNECTION] = true,
    [NAME_HTTP_COOKIE] = true,
    [NAME_HTTP_HOST] = true,
    [NAME_HTTP_REFERER] = true,
    [NAME_HTTP_USER_AGENT] = true,
    [NAME_HTTP_X_FORWARDED_FOR] = true,
    [NAME_QUERY_STRING] = true,
    [NAME_REMOTE_PORT] = true,
    [NAME_REQUEST_SCHEME] = true,
    [NAME_SERVER_ADDR] = true,
    [NAME_SERVER_ADMIN] = true,
    [NAME_SERVER_PORT] = true,
    [NAME_SERVER_PROTOCOL] = true,
    [NAME_SERVER_SIGNATURE] = true,
    [NAME_SERVER_SOFTWARE] = true,
};

/* ---- Mangling ---- */

size_t name_mangle(const uint8_t *name, size_t length, enum name_bracket bracket, uint8_t *out) {
    size_t at = 0;
    size_t filled = 0;

    while (at < length && name[at] == ' ')
        at++;
    for (; at < length; at++) {
        if (name[at] == '[' && bracket == BRACKET_CUTS)
            break;
        bool is_mangled = name[at] == '.' || name[at] == ' ' || name[at] == '[';
        out[filled++] = is_mangled ? '_' : name[at];
    }
    return filled;
}
