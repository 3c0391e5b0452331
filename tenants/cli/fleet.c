#include "tenants/cli/fleet.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "tenants/containers/engine.h"
#include "tenants/containers/wanted.h"
#include "tenants/containers_config.h"

enum { LINE_BYTES = 16 * 1024 /* a longer line becomes several */ };

/* ---- Ctrl-C ---- */

static atomic_int urgency;           /* enum session_urgency */
static volatile sig_atomic_t caught; /* the signal, or 0 */

/* The second time at once: the runners see that we are gone, and end their commands. */
static void on_signal(int signal) {
    if (caught != 0)
        _exit(128 + signal);
    caught = signal;
    atomic_store(&urgency, SESSION_STOP);
}

static void watch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

/* ---- Who takes part ---- */

const struct containers_config *fleet_containers(struct cli *cli) {
    const struct config *config = cli_config(cli);

    if (config->containers == NULL)
        exit(cli_fail(cli, EX_CONFIG,
                      "%s: nothing runs in containers: there is no section "
                      "\"containers\"",
                      config->path));
    return config->containers;
}

static void add_job(struct fleet *fleet, const struct tenant *tenant) {
    struct fleet_job *grown = reallocarray(fleet->jobs, fleet->count + 1, sizeof *fleet->jobs);

    if (grown == NULL)
        abort();
    grown[fleet->count++] = (struct fleet_job){.tenant = tenant};
    fleet->jobs = grown;
}

int fleet_add(struct fleet *fleet, const struct registry *registry, const char *id,
              const struct fleet_choice *choice) {
    const struct tenant *tenant = registry_find(registry, id, strlen(id));

    if (tenant == NULL)
        return cli_no_tenant(fleet->cli, registry, id);
    if (!choice->with_suspended && wanted_is_suspended(tenant, time(NULL)))
        return cli_fail(fleet->cli, EX_NOPERM, "%s is suspended or not paid", id);
    add_job(fleet, tenant);
    return EX_OK;
}

struct selection {
    struct fleet *fleet;
    const struct fleet_choice *choice;
};

static void select_tenant(void *context, struct tenant *tenant) {
    const struct selection *selection = context;
    const struct fleet_choice *choice = selection->choice;

    if (choice->pool != NULL && strcmp(choice->pool, tenant->pool) != 0)
        return;
    if (choice->with_suspended || !wanted_is_suspended(tenant, time(NULL)))
        add_job(selection->fleet, tenant);
}

static void leave_out(void *context, const char *id, const char *text) {
    struct fleet *fleet = context;

    (void)id;
    cli_fail(fleet->cli, EX_DATAERR, "left out: %s", text);
    fleet->left_out++;
}

void fleet_add_all(struct fleet *fleet, const struct registry *registry,
                   const struct fleet_choice *choice) {
    struct selection selection = {.fleet = fleet, .choice = choice};

    registry_each(registry, select_tenant, &selection);
    registry_each_error(registry, leave_out, fleet);
}

void fleet_deinit(struct fleet *fleet) {
    free(fleet->jobs);
    *fleet = (struct fleet){0};
}

/* ---- Running ---- */

static void run_job(struct fleet *fleet, struct fleet_job *job, struct charges *charges, int input,
                    void (*on_output)(void *context, bool is_error, const char *bytes,
                                      size_t length),
                    void *context) {
    job->was_begun = true;
    command_run(&(struct command_request){.config = cli_config(fleet->cli),
                                          .tenant = job->tenant,
                                          .command = job->command,
                                          .limit_ms = job->limit_ms,
                                          .input = input,
                                          .urgency = &urgency,
                                          .charges = charges,
                                          .on_output = on_output,
                                          .context = context},
                &job->result);
}

static void close_charges(const struct fleet *fleet, struct charges *charges) {
    struct error error = {""};

    if (!charges_free(charges, &error))
        cli_fail(fleet->cli, EX_TEMPFAIL, "%s", error.text);
}

static void print_json(const struct fleet_job *job) {
    const struct command_result *result = &job->result;
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "tenant", job->tenant->id);
    cJSON_AddNumberToObject(object, "exit_code", result->exit_code);
    cJSON_AddNumberToObject(object, "cpu_seconds", (double)result->cpu_ns / 1e9);
    cJSON_AddNumberToObject(object, "wall_seconds", (double)result->wall_ns / 1e9);
    if (result->error.text[0] != '\0')
        cJSON_AddStringToObject(object, "error", result->error.text);
    char *text = cJSON_PrintUnformatted(object);
    if (text == NULL)
        abort();
    puts(text);
    fflush(stdout);
    cJSON_free(text);
    cJSON_Delete(object);
}

/* ---- One alone ---- */

static void pass_through(void *context, bool is_error, const char *bytes, size_t length) {
    const bool *is_json = context;
    int fd = is_error || *is_json ? STDERR_FILENO : STDOUT_FILENO;

    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno != EINTR)
            return; /* nobody reads it any more, but the command goes on */
        bytes += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
}

int fleet_run_alone(struct fleet *fleet, int input) {
    bool is_json = cli_wants_json(fleet->cli);
    struct fleet_job *job = &fleet->jobs[0];
    struct charges *charges = charges_new(cli_config(fleet->cli));

    watch_signals();
    run_job(fleet, job, charges, input, pass_through, &is_json);
    close_charges(fleet, charges);
    if (is_json)
        print_json(job);
    if (caught != 0)
        return 128 + caught;
    if (job->result.error.text[0] != '\0')
        cli_fail(fleet->cli, 0, "%s: %s", job->tenant->id, job->result.error.text);
    return job->result.exit_code;
}

/* ---- Many ---- */

struct crew {
    struct fleet *fleet;
    struct charges *charges;
    pthread_mutex_t mutex; /* guards next, and whole lines of output */
    size_t next;
    bool is_json;
};

/* What has come of a line, for each of the two streams. */
struct lines {
    struct crew *crew;
    const char *id;
    char text[2][LINE_BYTES];
    size_t used[2];
};

static void print_line(struct lines *lines, bool is_error) {
    FILE *out = is_error || lines->crew->is_json ? stderr : stdout;

    pthread_mutex_lock(&lines->crew->mutex);
    fprintf(out, "%s: ", lines->id);
    fwrite(lines->text[is_error], 1, lines->used[is_error], out);
    fputc('\n', out);
    fflush(out);
    pthread_mutex_unlock(&lines->crew->mutex);
    lines->used[is_error] = 0;
}

static void take_lines(void *context, bool is_error, const char *bytes, size_t length) {
    struct lines *lines = context;

    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != '\n')
            lines->text[is_error][lines->used[is_error]++] = bytes[i];
        if (bytes[i] == '\n' || lines->used[is_error] == LINE_BYTES)
            print_line(lines, is_error);
    }
}

static struct fleet_job *next_job(struct crew *crew) {
    struct fleet_job *job = NULL;

    pthread_mutex_lock(&crew->mutex);
    if (crew->next < crew->fleet->count && atomic_load(&urgency) == SESSION_GO_ON)
        job = &crew->fleet->jobs[crew->next++];
    pthread_mutex_unlock(&crew->mutex);
    return job;
}

static void *work(void *context) {
    struct crew *crew = context;
    struct lines *lines = malloc(sizeof *lines);

    if (lines == NULL)
        abort();
    for (struct fleet_job *job; (job = next_job(crew)) != NULL;) {
        *lines = (struct lines){.crew = crew, .id = job->tenant->id};
        run_job(crew->fleet, job, crew->charges, -1, take_lines, lines);
        for (int is_error = 0; is_error < 2; is_error++)
            if (lines->used[is_error] > 0)
                print_line(lines, is_error == 1);
        pthread_mutex_lock(&crew->mutex);
        if (crew->is_json)
            print_json(job);
        pthread_mutex_unlock(&crew->mutex);
    }
    free(lines);
    return NULL;
}

static void tell_failure(const struct fleet_job *job) {
    const struct command_result *result = &job->result;

    if (!job->was_begun)
        fprintf(stderr, "  %s: not run\n", job->tenant->id);
    else if (result->error.text[0] != '\0')
        fprintf(stderr, "  %s: %s\n", job->tenant->id, result->error.text);
    else
        fprintf(stderr, "  %s: exit %d\n", job->tenant->id, result->exit_code);
}

/* Returns how many failed. */
static size_t sum_up(const struct fleet *fleet) {
    size_t failed = 0;
    uint64_t cpu_ns = 0;

    for (size_t i = 0; i < fleet->count; i++) {
        failed += !fleet->jobs[i].was_begun || fleet->jobs[i].result.exit_code != 0;
        cpu_ns += fleet->jobs[i].result.cpu_ns;
    }
    fflush(stdout);
    fprintf(stderr, "%zu of %zu done, %.2f s of CPU%s\n", fleet->count - failed, fleet->count,
            (double)cpu_ns / 1e9, failed > 0 ? "; failed:" : "");
    for (size_t i = 0; i < fleet->count; i++)
        if (!fleet->jobs[i].was_begun || fleet->jobs[i].result.exit_code != 0)
            tell_failure(&fleet->jobs[i]);
    return failed;
}

/* One look before a thousand failures for the same reason. */
static int look_for_engine(const struct fleet *fleet) {
    struct error error;
    struct engine *engine = engine_open(fleet_containers(fleet->cli)->engine, NULL, &error);

    if (engine == NULL)
        return cli_fail(fleet->cli, EX_UNAVAILABLE, "%s", error.text);
    engine_close(engine);
    return EX_OK;
}

static void run_crew(struct crew *crew, unsigned parallel) {
    pthread_t *threads = calloc(parallel, sizeof *threads);
    unsigned started = 0;

    if (threads == NULL)
        abort();
    while (started < parallel && pthread_create(&threads[started], NULL, work, crew) == 0)
        started++;
    if (started == 0)
        work(crew);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

int fleet_run(struct fleet *fleet, unsigned parallel) {
    int code = look_for_engine(fleet);

    if (code != EX_OK)
        return code;
    struct crew crew = {.fleet = fleet,
                        .charges = charges_new(cli_config(fleet->cli)),
                        .mutex = PTHREAD_MUTEX_INITIALIZER,
                        .is_json = cli_wants_json(fleet->cli)};
    watch_signals();
    run_crew(&crew, parallel < fleet->count ? parallel : (unsigned)fleet->count);
    pthread_mutex_destroy(&crew.mutex);
    close_charges(fleet, crew.charges);
    size_t failed = sum_up(fleet);
    if (caught != 0)
        return 128 + caught;
    return failed > 0 || fleet->left_out > 0 ? 1 : EX_OK;
}
