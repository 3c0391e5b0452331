#include "shim/param_name.h"

/* ---- Characters ---- */

static const bool is_plain_byte[256] = {
    ['0'] = true, ['1'] = true, ['2'] = true, ['3'] = true, ['4'] = true, ['5'] = true,
    ['6'] = true, ['7'] = true, ['8'] = true, ['9'] = true, ['A'] = true, ['B'] = true,
    ['C'] = true, ['D'] = true, ['E'] = true, ['F'] = true, ['G'] = true, ['H'] = true,
    ['I'] = true, ['J'] = true, ['K'] = true, ['L'] = true, ['M'] = true, ['N'] = true,
    ['O'] = true, ['P'] = true, ['Q'] = true, ['R'] = true, ['S'] = true, ['T'] = true,
    ['U'] = true, ['V'] = true, ['W'] = true, ['X'] = true, ['Y'] = true, ['Z'] = true,
    ['_'] = true,
};

static bool is_plain(const uint8_t *name, size_t length) {
    if (length == 0 || (name[0] >= '0' && name[0] <= '9'))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_plain_byte[name[i]])
            return false;
    return true;
}

/* ---- Names that are known ---- */

/* Compilers make a comparison with a constant length of this: two or three machine words. */
#define IS(literal) (memcmp(name, literal, sizeof(literal) - 1) == 0)

static bool has_forbidden_prefix(const uint8_t *name, size_t length) {
    switch (name[0]) {
    case 'F':
        return length >= 6 && IS("FPMUX_");
    case 'L': /* LD_PRELOAD and its like, for what a script may start */
        return length >= 3 && IS("LD_");
    case 'O': /* PHP-FPM takes its own notes under these names */
        return length >= 5 && IS("ORIG_");
    default:
        return false;
    }
}

/* Names that the front or the parameters module itself asks for. */
static uint8_t known_param(const uint8_t *name, size_t length) {
    switch (length) {
    case 9:
        return IS("PATH_INFO") ? PARAM_PATH_INFO : NAME_PLAIN;
    case 11:
        if (IS("REMOTE_ADDR"))
            return PARAM_REMOTE_ADDR;
        if (IS("REQUEST_URI"))
            return PARAM_REQUEST_URI;
        if (IS("SCRIPT_NAME"))
            return PARAM_SCRIPT_NAME;
        if (IS("SERVER_NAME"))
            return PARAM_SERVER_NAME;
        return IS("FPMUX_TOKEN") ? PARAM_FPMUX_TOKEN : NAME_PLAIN;
    case 12:
        return IS("FPMUX_TENANT") ? PARAM_FPMUX_TENANT : NAME_PLAIN;
    case 14:
        if (IS("REQUEST_METHOD"))
            return PARAM_REQUEST_METHOD;
        return IS("CONTENT_LENGTH") ? PARAM_CONTENT_LENGTH : NAME_PLAIN;
    case 15:
        return IS("SCRIPT_FILENAME") ? PARAM_SCRIPT_FILENAME : NAME_PLAIN;
    default:
        return NAME_PLAIN;
    }
}

/* PHP-FPM makes another script run with REDIRECT_URL and PATH_TRANSLATED, another body with
 * REQUEST_BODY_FILE, other settings with PHP_VALUE, and takes the role from FCGI_ROLE. HTTP_PROXY
 * is "httpoxy". What a tenant has to set for itself is never taken from a web server, also when
 * this tenant does not set it. HTTP_TRANSFER_ENCODING is untrue once CONTENT_LENGTH is set. */
static bool is_forbidden(const uint8_t *name, size_t length) {
    switch (length) {
    case 4:
        return IS("PATH");
    case 6:
        return IS("DBHOST") || IS("DBNAME") || IS("DBUSER") || IS("DBPASS");
    case 7:
        return IS("WWWROOT");
    case 8:
        return IS("DATAROOT");
    case 9:
        return IS("PHP_VALUE") || IS("FCGI_ROLE");
    case 10:
        return IS("HTTP_PROXY");
    case 13:
        return IS("DOCUMENT_ROOT"); /* the pool's root takes its place */
    case 15:
        return IS("PHP_ADMIN_VALUE") || IS("PATH_TRANSLATED") || IS("REDIRECT_STATUS");
    case 17:
        return IS("REQUEST_BODY_FILE");
    case 20:
        return IS("HTTP_REDIRECT_STATUS");
    case 22:
        return IS("HTTP_TRANSFER_ENCODING");
    default:
        return false;
    }
}

uint8_t name_classify(const uint8_t *name, size_t length) {
    if (!is_plain(name, length))
        return NAME_ODD;
    uint8_t known = known_param(name, length);
    if (known != NAME_PLAIN)
        return known;
    if (is_forbidden(name, length) || has_forbidden_prefix(name, length))
        return NAME_FORBIDDEN;
    return NAME_PLAIN;
}

bool name_class_passes(uint8_t class) {
    static const bool passes[NAME_ODD + 1] = {
        [PARAM_REMOTE_ADDR] = true, [PARAM_REQUEST_METHOD] = true, [PARAM_REQUEST_URI] = true,
        [PARAM_SERVER_NAME] = true, [NAME_PLAIN] = true,
    };
    return passes[class];
}

/* ---- Hash ---- */

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
    return hash ^ hash >> 32;
}

static uint64_t word_at(const uint8_t *bytes) {
    uint64_t word;

    memcpy(&word, bytes, sizeof(word));
    return word;
}

uint32_t name_hash(const uint8_t *name, size_t length) {
    uint64_t hash = length;
    uint64_t last = 0;
    size_t at = 0;

    for (; length - at > sizeof(uint64_t); at += sizeof(uint64_t))
        hash = mix(hash, word_at(name + at));
    if (length >= sizeof(uint64_t))
        last = word_at(name + length - sizeof(uint64_t));
    else
        for (; at < length; at++)
            last = last << 8 | name[at];
    return (uint32_t)mix(hash, last);
}

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
