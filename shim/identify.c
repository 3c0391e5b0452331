#include "shim/identify.h"

#include <stdbool.h>
#include <string.h>

enum { HOST_MAX = 253 };

/* What one source says: whether it applies at all, and then who it is. */
struct finding {
    bool applies;
    struct tenant *tenant;
};

static bool is_sent(const struct params *params, enum param param) {
    return params->known[param] != NULL && params->known[param]->value_length > 0;
}

static struct finding by_param(const struct registry *registry, const struct params *params) {
    if (!is_sent(params, PARAM_FPMUX_TENANT))
        return (struct finding){false, NULL};
    const struct fcgi_pair *id = params->known[PARAM_FPMUX_TENANT];
    return (struct finding){true,
                            registry_find(registry, (const char *)id->value, id->value_length)};
}

/* Without ":port" (HAProxy sends it) and the dot of a fully qualified name. */
static size_t bare_host_length(const char *host, size_t length) {
    size_t digits = 0;

    while (digits < length && host[length - 1 - digits] >= '0' && host[length - 1 - digits] <= '9')
        digits++;
    if (digits < length && host[length - 1 - digits] == ':')
        length -= digits + 1;
    if (length > 0 && host[length - 1] == '.')
        length--;
    return length;
}

static struct finding by_host(const struct registry *registry, const struct params *params) {
    char host[HOST_MAX];

    if (!is_sent(params, PARAM_SERVER_NAME))
        return (struct finding){false, NULL};
    const char *sent = (const char *)params->known[PARAM_SERVER_NAME]->value;
    size_t length = bare_host_length(sent, params->known[PARAM_SERVER_NAME]->value_length);
    if (length == 0 || length > HOST_MAX)
        return (struct finding){true, NULL};
    for (size_t i = 0; i < length; i++)
        host[i] = (char)(sent[i] >= 'A' && sent[i] <= 'Z' ? sent[i] | 0x20 : sent[i]);
    return (struct finding){true, registry_find_host(registry, host, length)};
}

/* On a shared listener: the first configured source that applies decides, also when it finds
 * nobody. */
static struct finding by_configured_order(const struct config *config,
                                          const struct registry *registry,
                                          const struct params *params) {
    struct finding finding = {false, NULL};

    for (size_t i = 0; i < config->identify_count && !finding.applies; i++) {
        if (config->identify[i] == IDENTITY_PARAM)
            finding = by_param(registry, params);
        else if (config->identify[i] == IDENTITY_HOST)
            finding = by_host(registry, params);
    }
    return finding;
}

static bool uses_sockets(const struct config *config) {
    for (size_t i = 0; i < config->identify_count; i++)
        if (config->identify[i] == IDENTITY_SOCKET)
            return true;
    return false;
}

/* Takes the same time wherever the first difference is. */
static bool is_equal_in_constant_time(const uint8_t *a, const uint8_t *b, size_t length) {
    volatile uint8_t difference = 0;

    for (size_t i = 0; i < length; i++)
        difference = (uint8_t)(difference | (a[i] ^ b[i]));
    return difference == 0;
}

static bool has_token(const struct tenant *tenant, const struct params *params) {
    const struct fcgi_pair *token = params->known[PARAM_FPMUX_TOKEN];

    if (tenant->token == NULL)
        return true;
    size_t length = strlen(tenant->token);
    return token != NULL && token->value_length == length &&
           is_equal_in_constant_time(token->value, (const uint8_t *)tenant->token, length);
}

static struct identity nobody(const char *reason) {
    return (struct identity){NULL, {404, reason}};
}

/* A tenant that is known, and whether it is served. */
static struct identity admit(struct tenant *tenant, time_t now) {
    struct identity identity = {tenant, {0, NULL}};

    if (tenant->state == TENANT_SUSPENDED)
        identity.refusal = (struct refusal){503, "tenant is suspended"};
    else if (tenant->plan.paid_until != 0 && now >= tenant->plan.paid_until)
        identity.refusal = (struct refusal){503, "tenant is unpaid"};
    return identity;
}

struct identity identify(const struct config *config, const struct registry *registry,
                         const char *socket_tenant, const struct params *params, time_t now) {
    /* Only the tenant's own container can reach its socket. So where sockets count nothing that is
     * said over one can make another tenant of it, whatever the order, and no token is asked. */
    if (socket_tenant != NULL && uses_sockets(config)) {
        struct tenant *owner = registry_find(registry, socket_tenant, strlen(socket_tenant));
        return owner != NULL ? admit(owner, now) : nobody("no tenant for this socket");
    }
    struct finding finding = by_configured_order(config, registry, params);
    if (!finding.applies)
        return nobody("nothing says which tenant");
    if (finding.tenant == NULL)
        return nobody("no such tenant");
    if (!has_token(finding.tenant, params))
        return nobody("wrong or missing FPMUX_TOKEN");
    return admit(finding.tenant, now);
}
