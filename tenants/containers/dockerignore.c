#include "tenants/containers/dockerignore.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* Cuts white space and slashes off both ends, in place. */
static char *trim(char *line) {
    static const char unwanted[] = " \t\r/";

    line += strspn(line, unwanted);
    size_t length = strlen(line);
    while (length > 0 && strchr(unwanted, line[length - 1]) != NULL)
        line[--length] = '\0';
    return line;
}

static void add_rule(struct dockerignore *ignore, char *line) {
    if (line[0] == '#')
        return;
    line = trim(line);
    bool takes_back = line[0] == '!';
    if (takes_back)
        line = trim(line + 1);
    if (strncmp(line, "./", 2) == 0)
        line += 2;
    if (line[0] == '\0' || strcmp(line, ".") == 0)
        return;
    ignore->rules = reallocarray(ignore->rules, ignore->count + 1, sizeof *ignore->rules);
    if (ignore->rules == NULL)
        abort();
    ignore->rules[ignore->count++] =
        (struct dockerignore_rule){.pattern = line, .takes_back = takes_back};
}

void dockerignore_init(struct dockerignore *ignore, const char *text) {
    *ignore = (struct dockerignore){.text = strdup(text)};
    if (ignore->text == NULL)
        abort();
    char *rest = ignore->text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
        add_rule(ignore, line);
}

void dockerignore_deinit(struct dockerignore *ignore) {
    free(ignore->rules);
    free(ignore->text);
}

static bool matches_pattern(const char *pattern, const char *path) {
    bool crosses_slashes = strstr(pattern, "**") != NULL;

    if (strncmp(pattern, "**/", 3) == 0 && matches_pattern(pattern + 3, path))
        return true; /* "**" may be no directory at all */
    return fnmatch(pattern, path, crosses_slashes ? 0 : FNM_PATHNAME) == 0;
}

/* The path itself, or a directory above it. */
static bool matches(const char *pattern, const char *path) {
    char above[4096];

    if (matches_pattern(pattern, path))
        return true;
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        size_t length = (size_t)(slash - path);
        if (length >= sizeof above)
            return false;
        memcpy(above, path, length);
        above[length] = '\0';
        if (matches_pattern(pattern, above))
            return true;
    }
    return false;
}

bool dockerignore_excludes(const struct dockerignore *ignore, const char *path) {
    for (size_t i = ignore->count; i > 0; i--) {
        if (matches(ignore->rules[i - 1].pattern, path))
            return !ignore->rules[i - 1].takes_back;
    }
    return false;
}

bool dockerignore_may_hold(const struct dockerignore *ignore, const char *directory) {
    size_t length = strlen(directory);

    for (size_t i = 0; i < ignore->count; i++) {
        const char *pattern = ignore->rules[i].pattern;
        if (!ignore->rules[i].takes_back)
            continue;
        if (strcspn(pattern, "*?[\\") < length)
            return true; /* can't be told by the pattern's beginning */
        if (strncmp(pattern, directory, length) == 0 && pattern[length] == '/')
            return true;
    }
    return false;
}
