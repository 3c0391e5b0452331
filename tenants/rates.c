#include "tenants/rates.h"

#include <stdlib.h>
#include <string.h>

#include "tenants/currency.h"
#include "tenants/decimal.h"
#include "tenants/fields.h"
#include "tenants/json.h"
#include "tenants/names.h"

enum { FILE_BYTES_MAX = 1 << 20, AMOUNT_BYTES_MAX = 40 };

#define NS_PER_HOUR UINT64_C(3600000000000)

const struct sku_info skus[SKU_COUNT] = {
    [SKU_CPU] = {"cpu", "core_hour", "CPU", "Core-Hours", NS_PER_HOUR, "Core-Seconds", 9,
                 "core-hour"},
    [SKU_WORKER] = {"worker", "worker_hour", "Worker time", "Worker-Hours", NS_PER_HOUR,
                    "Worker-Seconds", 9, "worker-hour"},
    [SKU_REQUESTS] = {"requests", "million_requests", "Requests", "1000000 Requests", 1000000,
                      "Requests", 0, "million requests"},
    [SKU_TRAFFIC] = {"traffic-out", "gb_out", "Data out", "GB", 1000000000, "B", 0, "GB"},
    [SKU_CONTAINER] = {"container", "container_hour", "Container time", "Container-Hours",
                       NS_PER_HOUR, "Container-Seconds", 9, "container-hour"},
};

/* ---- Amounts ---- */

static enum sku sku_of_key(const char *key) {
    enum sku sku = 0;

    while (strcmp(skus[sku].key, key) != 0)
        sku++; /* the tables below have no other keys */
    return sku;
}

/* The text of a string, or that of a number as it stands in the file. Borrowed from document. */
static const char *amount_text(const struct field_reader *reader, const cJSON *node,
                               size_t *length) {
    if (cJSON_IsNumber(node))
        return json_scalar_text(reader->document, node, length);
    if (!cJSON_IsString(node))
        return NULL;
    *length = strlen(node->valuestring);
    return node->valuestring;
}

static bool read_amount(struct field_reader *reader, const cJSON *node, uint64_t *nanos) {
    size_t length = 0;
    const char *text = amount_text(reader, node, &length);

    if (text == NULL || length > AMOUNT_BYTES_MAX ||
        !decimal_parse(text, length, RATES_DECIMALS, nanos))
        return fields_fail(reader, node,
                           "\"%s\" must be a decimal like \"0.045\": digits with at most %d "
                           "decimals, no sign and no exponent",
                           node->string, RATES_DECIMALS);
    return true;
}

static bool read_price(struct field_reader *reader, cJSON *node, void *target) {
    struct tariff *tariff = target;
    uint64_t nanos = 0;

    if (!read_amount(reader, node, &nanos))
        return false;
    if (nanos >= RATES_PRICE_MAX)
        return fields_fail(reader, node, "\"%s\" must be below 1000000", node->string);
    tariff->prices[sku_of_key(node->string)] = (struct price){.is_set = true, .nanos = nanos};
    return true;
}

static bool read_free(struct field_reader *reader, cJSON *node, void *target) {
    struct tariff *tariff = target;
    enum sku sku = sku_of_key(node->string);
    uint64_t nanos = 0;

    if (!read_amount(reader, node, &nanos))
        return false;
    uint128_t base = (uint128_t)nanos * skus[sku].base_per_pricing;
    uint64_t unit = decimal_power(RATES_DECIMALS);
    if (base % unit != 0)
        return fields_fail(reader, node, "\"%s\" must come to whole requests", node->string);
    if (base / unit > UINT64_MAX)
        return fields_fail(reader, node, "\"%s\" is more than can be counted", node->string);
    tariff->free[sku] = (uint64_t)(base / unit);
    return true;
}

/* ---- The tables ---- */

static const struct field price_fields[] = {
    {"core_hour", FIELD_CUSTOM, .read = read_price},
    {"worker_hour", FIELD_CUSTOM, .read = read_price},
    {"million_requests", FIELD_CUSTOM, .read = read_price},
    {"gb_out", FIELD_CUSTOM, .read = read_price},
    {"container_hour", FIELD_CUSTOM, .read = read_price},
};

static const struct field free_fields[] = {
    {"core_hour", FIELD_CUSTOM, .read = read_free},
    {"worker_hour", FIELD_CUSTOM, .read = read_free},
    {"million_requests", FIELD_CUSTOM, .read = read_free},
    {"gb_out", FIELD_CUSTOM, .read = read_free},
    {"container_hour", FIELD_CUSTOM, .read = read_free},
};

_Static_assert(FIELD_COUNT(price_fields) == SKU_COUNT && FIELD_COUNT(free_fields) == SKU_COUNT,
               "a new SKU needs its keys");

static const struct field tariff_fields[] = {
    {"prices", FIELD_OBJECT, .fields = price_fields, .count = FIELD_COUNT(price_fields)},
    {"free_per_month", FIELD_OBJECT, .fields = free_fields, .count = FIELD_COUNT(free_fields)},
};

static const struct field account_fields[] = {
    {"id", FIELD_STRING, .offset = offsetof(struct rates, account_id)},
    {"name", FIELD_STRING, .offset = offsetof(struct rates, account_name)},
};

static bool read_currency(struct field_reader *reader, cJSON *node, void *target) {
    struct rates *rates = target;

    if (!cJSON_IsString(node) || !currency_find(node->valuestring, &rates->minor_digits))
        return fields_fail(reader, node, "\"currency\" must be a code of ISO 4217 like \"EUR\"");
    rates->currency = fields_take_string(node);
    return true;
}

/* Plans begin as copies of the base, which may stand behind them: read_plans() comes last. */
static bool leave_plans(struct field_reader *reader, cJSON *node, void *target) {
    (void)reader;
    (void)node;
    (void)target;
    return true;
}

static const struct field rates_fields[] = {
    {"currency", FIELD_CUSTOM, .read = read_currency},
    {"provider", FIELD_STRING, .offset = offsetof(struct rates, provider)},
    {"account", FIELD_OBJECT, .fields = account_fields, .count = FIELD_COUNT(account_fields)},
    {"prices", FIELD_OBJECT, .offset = offsetof(struct rates, base), .fields = price_fields,
     .count = FIELD_COUNT(price_fields)},
    {"free_per_month", FIELD_OBJECT, .offset = offsetof(struct rates, base), .fields = free_fields,
     .count = FIELD_COUNT(free_fields)},
    {"plans", FIELD_CUSTOM, .read = leave_plans},
};

/* ---- Plans ---- */

static bool read_plan(struct field_reader *reader, cJSON *node, const struct tariff *base,
                      struct tariff *plan) {
    *plan = *base;
    if (!is_plan_name(node->string))
        return fields_fail_key(reader, node, "\"%s\" can't be a plan's name: it must be %s",
                               node->string, PLAN_NAME_RULE);
    if (!fields_read(reader, node, tariff_fields, FIELD_COUNT(tariff_fields), plan))
        return false;
    plan->name = fields_take_key(node);
    return true;
}

static bool read_plans(struct field_reader *reader, cJSON *plans, struct rates *rates) {
    if (!cJSON_IsObject(plans))
        return fields_fail(reader, plans, "\"plans\" must be an object: {\"NAME\": {...}, ...}");
    rates->plans = calloc((size_t)cJSON_GetArraySize(plans) + 1, sizeof *rates->plans);
    if (rates->plans == NULL)
        abort();
    for (cJSON *node = plans->child; node != NULL; node = node->next)
        if (!read_plan(reader, node, &rates->base, &rates->plans[rates->plan_count++]))
            return false;
    return true;
}

/* ---- The whole ---- */

static char *copy_text(const char *text) {
    char *copy = strdup(text);

    if (copy == NULL)
        abort();
    return copy;
}

static bool read_rates(struct rates *rates, const struct json_document *document,
                       struct error *error) {
    struct field_reader reader = {.document = document, .error = error};
    cJSON *root = document->root;

    if (!fields_read(&reader, root, rates_fields, FIELD_COUNT(rates_fields), rates) ||
        !fields_require(&reader, root, "currency") || !fields_require(&reader, root, "provider") ||
        !fields_require(&reader, root, "prices"))
        return false;
    cJSON *plans = cJSON_GetObjectItemCaseSensitive(root, "plans");
    if (plans != NULL && !read_plans(&reader, plans, rates))
        return false;
    if (rates->account_id == NULL)
        rates->account_id = copy_text(rates->provider);
    if (rates->account_name == NULL)
        rates->account_name = copy_text(rates->provider);
    return true;
}

/* Takes what the document holds, and frees it. */
static struct rates *rates_from(struct json_document *document, struct error *error) {
    struct rates *rates = calloc(1, sizeof *rates);

    if (rates == NULL)
        abort();
    if (!read_rates(rates, document, error)) {
        rates_free(rates);
        rates = NULL;
    }
    json_deinit(document);
    return rates;
}

struct rates *rates_load(const char *path, struct error *error) {
    struct json_document document;

    if (!json_load(&document, path, FILE_BYTES_MAX, error))
        return NULL;
    return rates_from(&document, error);
}

struct rates *rates_parse(const char *name, const char *text, size_t length, struct error *error) {
    struct json_document document;

    if (!json_parse(&document, name, text, length, error))
        return NULL;
    return rates_from(&document, error);
}

void rates_free(struct rates *rates) {
    if (rates == NULL)
        return;
    for (size_t index = 0; index < rates->plan_count; index++)
        free(rates->plans[index].name);
    free(rates->plans);
    free(rates->currency);
    free(rates->provider);
    free(rates->account_id);
    free(rates->account_name);
    free(rates);
}

const struct tariff *rates_find_tariff(const struct rates *rates, const char *plan) {
    if (plan == NULL)
        return &rates->base;
    for (size_t index = 0; index < rates->plan_count; index++)
        if (strcmp(rates->plans[index].name, plan) == 0)
            return &rates->plans[index];
    return NULL;
}
