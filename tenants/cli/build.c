/* fpmuxctl build: makes the images that up starts containers from, out of a clone of fpmux. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "tenants/cli/build_context.h"
#include "tenants/cli/cli.h"
#include "tenants/cli/dock.h"
#include "tenants/containers/engine.h"
#include "tenants/containers_config.h"

#define DOCKERFILE "docker/Dockerfile"
#define CLEAR_LINE "\r\033[K"

enum { TAIL_LINES = 20, LINE_BYTES = 512, DEFAULT_COLUMNS = 80 };

/* One image on its way. */
struct build {
    const char *target; /* the stage of the Dockerfile */
    const char *image;  /* what it will be called */
    const atomic_bool *stop;
    struct build_context *context; /* owned */
    bool is_terminal;              /* standard error is */
    bool has_failed;
    struct error error;                /* why, as the engine or the context says */
    char tail[TAIL_LINES][LINE_BYTES]; /* the last lines of output; the next goes to lines % … */
    size_t lines;
    size_t column; /* in that next one */
};

/* ---- Output ---- */

/* Text of a build may steer a terminal. */
static void make_safe(char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
    }
}

static size_t terminal_columns(void) {
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return DEFAULT_COLUMNS;
}

/* "Step 5/12 : RUN apt-get …" becomes one line that the next step replaces. */
static void show_step(const struct build *build, const char *line) {
    char text[LINE_BYTES * 2];
    int at = 0;

    if (sscanf(line, "Step %*d/%*d : %n", &at) != 0 || at == 0)
        return;
    int words = (int)strcspn(line, ":") - 1; /* without the space before the colon */
    snprintf(text, sizeof text, "%s: s%.*s %s", build->target, words - 1, line + 1, line + at);
    if (!build->is_terminal) {
        fprintf(stderr, "%s\n", text);
        return;
    }
    size_t end = strlen(text);
    if (end >= terminal_columns())
        end = terminal_columns() - 1;
    while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
        end--; /* not amid a character */
    fprintf(stderr, CLEAR_LINE "%.*s", (int)end, text);
    fflush(stderr);
}

static void finish_line(struct build *build) {
    char *line = build->tail[build->lines % TAIL_LINES];

    line[build->column] = '\0';
    make_safe(line);
    show_step(build, line);
    if (build->column > 0)
        build->lines++;
    build->column = 0;
}

/* Output comes in pieces that are neither whole lines nor single ones. */
static void take_output(struct build *build, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            finish_line(build);
        else if (build->column < LINE_BYTES - 1)
            build->tail[build->lines % TAIL_LINES][build->column++] = *text;
    }
}

static void print_tail(struct build *build) {
    finish_line(build);
    if (build->is_terminal)
        fputs(CLEAR_LINE, stderr);
    for (size_t i = build->lines > TAIL_LINES ? build->lines - TAIL_LINES : 0; i < build->lines;
         i++)
        fprintf(stderr, "    %s\n", build->tail[i % TAIL_LINES]);
}

/* ---- One build ---- */

static long on_read(void *context, char *buffer, size_t room) {
    struct build *build = context;
    long count = build_context_read(build->context, buffer, room, &build->error);

    build->has_failed = count < 0;
    return count;
}

static bool on_object(void *context, const cJSON *object) {
    struct build *build = context;
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "stream"));
    const char *failure = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "error"));

    if (text != NULL)
        take_output(build, text);
    if (failure == NULL)
        return true;
    error_set(&build->error, "%s", failure);
    build->has_failed = true;
    return false;
}

/* Takes path, returns a longer one. */
static char *add_query(char *path, const char *key, const char *value) {
    cJSON *text = cJSON_CreateString(value);
    char *longer = text != NULL ? engine_path(path, key, text) : NULL;

    if (longer == NULL)
        abort();
    cJSON_Delete(text);
    free(path);
    return longer;
}

static char *build_path(const struct build *build, bool wants_no_cache) {
    char *path = strdup("/build?rm=1&forcerm=1");

    if (path == NULL)
        abort();
    path = add_query(path, "dockerfile", DOCKERFILE);
    path = add_query(path, "target", build->target);
    path = add_query(path, "t", build->image);
    path = add_query(path, "networkmode", "host"); /* apt-get sees what the host sees */
    return wants_no_cache ? add_query(path, "nocache", "1") : path;
}

/* The engine's words for a base image that it neither has nor can fetch. */
static bool misses_base(const char *text) {
    static const char *const words[] = {
        "pull access denied", "manifest unknown", "manifest for",           "dial tcp",
        "registry-1",         "No such image",    "request canceled while", NULL};

    for (const char *const *word = words; *word != NULL; word++) {
        if (strcasestr(text, *word) != NULL)
            return true;
    }
    return false;
}

static int fail_build(const struct cli *cli, struct build *build, enum engine_result result) {
    if (result == ENGINE_INTERRUPTED || atomic_load(build->stop)) {
        if (build->is_terminal)
            fputc('\n', stderr);
        return cli_fail(cli, EX_INTERRUPTED, "interrupted");
    }
    print_tail(build);
    if (result == ENGINE_UNREACHABLE)
        return cli_fail(cli, EX_UNAVAILABLE, "%s: %s", build->target, build->error.text);
    return cli_fail(cli, EX_SOFTWARE, "%s: %s%s", build->target, build->error.text,
                    misses_base(build->error.text)
                        ? "; no registry can be reached? make the base image with docker/base"
                        : "");
}

static int run_build(struct cli *cli, struct build *build, struct engine *engine, const char *dir,
                     bool wants_no_cache) {
    struct error error;

    build->context = build_context_open(dir, DOCKERFILE, &build->error);
    if (build->context == NULL)
        return cli_fail(cli, EX_IOERR, "%s", build->error.text);
    char *path = build_path(build, wants_no_cache);
    enum engine_result result = engine_upload(engine, path, on_read, on_object, build, &error);
    free(path);
    build_context_close(build->context);
    if (result != ENGINE_OK && !build->has_failed)
        build->error = error;
    if (result != ENGINE_OK || build->has_failed)
        return fail_build(cli, build, result);
    if (build->is_terminal)
        fputs(CLEAR_LINE, stderr);
    printf("%s: built %s\n", build->target, build->image);
    fflush(stdout);
    return EX_OK;
}

/* ---- The verb ---- */

static int build_all(struct cli *cli, struct engine *engine, const atomic_bool *stop,
                     const char *dir, bool wants_no_cache) {
    const struct container_images *images = &cli_config(cli)->containers->images;
    /* The classic builder makes all stages above its target. The shim's is the last one, so the
     * others are found made; and nothing is made twice without the cache. */
    const char *const wanted[][2] = {{"shim", images->shim},
                                     {"apache", images->apache},
                                     {"php-fpm", images->php_fpm},
                                     {"proxy", images->proxy}};
    int code = EX_OK;

    for (size_t i = 0; code == EX_OK && i < sizeof wanted / sizeof *wanted; i++) {
        struct build build = {.target = wanted[i][0],
                              .image = wanted[i][1],
                              .stop = stop,
                              .is_terminal = isatty(STDERR_FILENO) == 1};
        code = run_build(cli, &build, engine, dir, wants_no_cache && i == 0);
    }
    return code;
}

static int check_directory(const struct cli *cli, const char *dir) {
    char *path = NULL;

    if (asprintf(&path, "%s/" DOCKERFILE, dir) < 0)
        abort();
    bool is_there = access(path, R_OK) == 0;
    free(path);
    if (is_there)
        return EX_OK;
    return cli_fail(cli, EX_NOINPUT, "no " DOCKERFILE " in %s: DIR must be a clone of fpmux", dir);
}

int verb_build(struct cli *cli, int argc, char **argv) {
    const char *dir = NULL;
    bool wants_no_cache = false;
    struct error error;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-cache") == 0)
            wants_no_cache = true;
        else if (argv[i][0] == '-' || dir != NULL)
            return cli_usage(cli);
        else
            dir = argv[i];
    }
    dir = dir != NULL ? dir : ".";
    const struct config *config = cli_config(cli);
    if (config->containers == NULL)
        return cli_fail(cli, EX_CONFIG, "%s has no section \"containers\"", config->path);
    int code = check_directory(cli, dir);
    if (code != EX_OK)
        return code;
    const atomic_bool *stop = dock_catch_signals();
    struct engine *engine = engine_open(config->containers->engine, stop, &error);
    if (engine == NULL && atomic_load(stop))
        return cli_fail(cli, EX_INTERRUPTED, "interrupted");
    if (engine == NULL)
        return cli_fail(cli, EX_UNAVAILABLE, "%s", error.text);
    code = build_all(cli, engine, stop, dir, wants_no_cache);
    engine_close(engine);
    return code;
}
