/* Charges in the form of FOCUS 1.2 (FinOps Open Cost and Usage Specification), as CSV: a line for
 * each SKU of a row that has a price. Columns of the specification in alphabetical order, then our
 * own. There is one list of prices and no discount on them, so all unit prices are alike.
 *
 * BilledCost and EffectiveCost are what the bill says, to the minor unit. The specification wants
 * ListCost and ContractedCost to be the product of PricingQuantity and unit price as they stand
 * here, so these are that product, unrounded. */
#include <stdlib.h>

#include "tenants/period.h"
#include "tenants/report_columns.h"
#include "tenants/report_format.h"
#include "tenants/report_text.h"

struct line {
    const struct bill *bill;
    const struct charge *charge;
    const struct sku_info *sku;
};

struct column {
    const char *name;
    const char *constant; /* what all lines have, or … */
    void (*put)(FILE *out, const struct line *line);
};

/* ---- Kinds of values ---- */

static void put_time(FILE *out, time_t time) {
    char text[PERIOD_TIME_BYTES];

    period_format_time(time, text);
    fputs(text, out);
}

static void put_decimal(FILE *out, uint128_t value, unsigned decimals) {
    char text[DECIMAL_BYTES];

    decimal_format_short(value, decimals, text);
    fputs(text, out);
}

/* ---- Who ---- */

static void put_account_id(FILE *out, const struct line *line) {
    report_put_csv_guarded(out, line->bill->rates->account_id);
}

static void put_account_name(FILE *out, const struct line *line) {
    report_put_csv_guarded(out, line->bill->rates->account_name);
}

static void put_provider(FILE *out, const struct line *line) {
    report_put_csv_guarded(out, line->bill->rates->provider);
}

static void put_tenant(FILE *out, const struct line *line) {
    report_put_csv(out, line->bill->usage->tenant);
}

static void put_tenant_name(FILE *out, const struct line *line) {
    report_put_csv_guarded(out, line->bill->name);
}

/* A JSON object of the tenant's labels, which has no character that begins a formula in front. */
static void put_tags(FILE *out, const struct line *line) {
    const struct tenant *tenant = line->bill->tenant;
    char *text = NULL;
    size_t length;

    if (tenant == NULL || tenant->labels.count == 0)
        return;
    FILE *json = open_memstream(&text, &length);
    if (json == NULL)
        abort();
    for (size_t index = 0; index < tenant->labels.count; index++) {
        fputc(index == 0 ? '{' : ',', json);
        report_put_json(json, tenant->labels.items[index].key);
        fputc(':', json);
        report_put_json(json, tenant->labels.items[index].value);
    }
    fputc('}', json);
    fclose(json);
    report_put_csv(out, text);
    free(text);
}

static void put_plan(FILE *out, const struct line *line) {
    const struct tenant *tenant = line->bill->tenant;

    if (tenant != NULL && tenant->plan.name != NULL)
        report_put_csv(out, tenant->plan.name);
}

/* ---- When ---- */

static void put_billing_start(FILE *out, const struct line *line) {
    put_time(out, line->bill->month.from);
}

static void put_billing_end(FILE *out, const struct line *line) {
    put_time(out, line->bill->month.to);
}

static void put_charge_start(FILE *out, const struct line *line) {
    put_time(out, line->bill->usage->period_start);
}

static void put_charge_end(FILE *out, const struct line *line) {
    put_time(out, line->bill->usage->period_end);
}

/* ---- What ---- */

static void put_sku(FILE *out, const struct line *line) {
    fputs(line->sku->id, out);
}

static void put_meter(FILE *out, const struct line *line) {
    fputs(line->sku->meter, out);
}

/* The SKU at the prices of a plan. */
static void put_price_id(FILE *out, const struct line *line) {
    put_sku(out, line);
    if (line->bill->tenant != NULL && line->bill->tenant->plan.name != NULL)
        fprintf(out, ".%s", line->bill->tenant->plan.name);
}

static void put_description(FILE *out, const struct line *line) {
    char price[DECIMAL_BYTES];

    decimal_format_short(line->charge->price.nanos, RATES_DECIMALS, price);
    fprintf(out, "%s at %s %s per %s", line->sku->meter, price, line->bill->rates->currency,
            line->sku->people_unit);
}

/* ---- How much ---- */

static void put_consumed(FILE *out, const struct line *line) {
    put_decimal(out, line->charge->quantity, line->sku->consumed_decimals);
}

static void put_consumed_unit(FILE *out, const struct line *line) {
    fputs(line->sku->consumed_unit, out);
}

static void put_free(FILE *out, const struct line *line) {
    put_decimal(out, line->charge->free, line->sku->consumed_decimals);
}

static void put_priced(FILE *out, const struct line *line) {
    put_decimal(out, line->charge->priced, RATES_DECIMALS);
}

static void put_pricing_unit(FILE *out, const struct line *line) {
    fputs(line->sku->pricing_unit, out);
}

static void put_unit_price(FILE *out, const struct line *line) {
    put_decimal(out, line->charge->price.nanos, RATES_DECIMALS);
}

static void put_list_cost(FILE *out, const struct line *line) {
    put_decimal(out, line->charge->list_cost, CHARGE_LIST_DECIMALS);
}

static void put_cost(FILE *out, const struct line *line) {
    char text[DECIMAL_BYTES];

    decimal_format(line->charge->cost, line->bill->rates->minor_digits, text);
    fputs(text, out);
}

static void put_currency(FILE *out, const struct line *line) {
    fputs(line->bill->rates->currency, out);
}

static void put_metering(FILE *out, const struct line *line) {
    fputs(report_metering_name(line->bill->usage->metering), out);
}

static void put_unmetered(FILE *out, const struct line *line) {
    put_decimal(out, line->bill->usage->values[COUNTER_REQUESTS_UNMETERED], 0);
}

/* ---- The columns ---- */

static const struct column columns[] = {
    {"BilledCost", .put = put_cost},
    {"BillingAccountId", .put = put_account_id},
    {"BillingAccountName", .put = put_account_name},
    {"BillingCurrency", .put = put_currency},
    {"BillingPeriodEnd", .put = put_billing_end},
    {"BillingPeriodStart", .put = put_billing_start},
    {"ChargeCategory", .constant = "Usage"},
    {"ChargeClass", .constant = ""}, /* null: no correction */
    {"ChargeDescription", .put = put_description},
    {"ChargeFrequency", .constant = "Usage-Based"},
    {"ChargePeriodEnd", .put = put_charge_end},
    {"ChargePeriodStart", .put = put_charge_start},
    {"ConsumedQuantity", .put = put_consumed},
    {"ConsumedUnit", .put = put_consumed_unit},
    {"ContractedCost", .put = put_list_cost},
    {"ContractedUnitPrice", .put = put_unit_price},
    {"EffectiveCost", .put = put_cost},
    {"InvoiceIssuerName", .put = put_provider},
    {"ListCost", .put = put_list_cost},
    {"ListUnitPrice", .put = put_unit_price},
    {"PricingCategory", .constant = "Standard"},
    {"PricingQuantity", .put = put_priced},
    {"PricingUnit", .put = put_pricing_unit},
    {"ProviderName", .put = put_provider},
    {"PublisherName", .put = put_provider},
    {"ResourceId", .put = put_tenant},
    {"ResourceName", .put = put_tenant_name},
    {"ResourceType", .constant = "Tenant"},
    {"ServiceCategory", .constant = "Web"},
    {"ServiceName", .constant = "PHP application hosting"},
    {"ServiceSubcategory", .constant = "Application Platforms"},
    {"SkuId", .put = put_sku},
    {"SkuMeter", .put = put_meter},
    {"SkuPriceDetails", .constant = ""}, /* null: a price has no properties beside the SKU's */
    {"SkuPriceId", .put = put_price_id},
    {"SubAccountId", .put = put_tenant},
    {"SubAccountName", .put = put_tenant_name},
    {"Tags", .put = put_tags},
    {"x_FreeQuantity", .put = put_free},
    {"x_Metering", .put = put_metering},
    {"x_Plan", .put = put_plan},
    {"x_RequestsUnmetered", .put = put_unmetered},
};

enum { COLUMN_COUNT = sizeof columns / sizeof columns[0] };

static void begin(const struct report *report) {
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        fprintf(report->out, "%s%s", i > 0 ? "," : "", columns[i].name);
    fputs("\r\n", report->out);
}

static void put_line(FILE *out, const struct line *line) {
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        if (i > 0)
            fputc(',', out);
        if (columns[i].constant != NULL)
            fputs(columns[i].constant, out);
        else
            columns[i].put(out, line);
    }
    fputs("\r\n", out);
}

static void put_bill(const struct report *report, const struct bill *bill) {
    for (size_t i = 0; i < bill->count; i++) {
        const struct charge *charge = &bill->charges[i];
        struct line line = {.bill = bill, .charge = charge, .sku = &skus[charge->sku]};
        if (charge->price.is_set)
            put_line(report->out, &line);
    }
}

static void end(const struct report *report) {
    (void)report;
}

const struct report_format report_focus = {
    .name = "focus", .needs_rates = true, .begin = begin, .bill = put_bill, .end = end};
