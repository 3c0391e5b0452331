/* Usage as CloudEvents 1.0 in structured mode, one JSON object in a line: an event for each SKU of
 * a row, whether it has a price or not.
 *
 * An event's id is made of what it is about (tenant, period, SKU), so a second export makes the
 * same events, and who has taken them in drops them. An event never changes, so periods that have
 * not ended make none. */
#include "tenants/period.h"
#include "tenants/report_columns.h"
#include "tenants/report_format.h"
#include "tenants/report_text.h"

static void begin(const struct report *report) {
    (void)report;
}

static void put_text(FILE *out, const char *key, const char *text) {
    fprintf(out, ",\"%s\":", key);
    report_put_json(out, text);
}

/* A string, because a reader's double would change it. */
static void put_decimal(FILE *out, const char *key, uint128_t value, unsigned decimals) {
    char text[DECIMAL_BYTES];

    decimal_format(value, decimals, text);
    fprintf(out, ",\"%s\":\"%s\"", key, text);
}

static void put_cost(FILE *out, const struct bill *bill, const struct charge *charge) {
    if (!charge->price.is_set)
        return;
    put_decimal(out, "free_quantity", charge->free, skus[charge->sku].consumed_decimals);
    put_text(out, "currency", bill->rates->currency);
    put_decimal(out, "unit_price", charge->price.nanos, RATES_DECIMALS);
    put_text(out, "pricing_unit", skus[charge->sku].pricing_unit);
    put_decimal(out, "cost", charge->cost, bill->rates->minor_digits);
}

static void put_event(const struct report *report, const struct bill *bill,
                      const struct charge *charge) {
    const struct ledger_row *usage = bill->usage;
    const struct sku_info *sku = &skus[charge->sku];
    char start[PERIOD_TIME_BYTES], end[PERIOD_TIME_BYTES];
    FILE *out = report->out;

    period_format_time(usage->period_start, start);
    period_format_time(usage->period_end, end);
    fprintf(out, "{\"specversion\":\"1.0\",\"id\":\"%s/%s/%s/%s\"", usage->tenant, start, end,
            sku->id);
    put_text(out, "source", report->options->source);
    put_text(out, "type", "fpmux.usage");
    put_text(out, "subject", usage->tenant);
    put_text(out, "time", end);
    put_text(out, "datacontenttype", "application/json");
    fputs(",\"data\":{\"tenant\":", out);
    report_put_json(out, usage->tenant);
    put_text(out, "name", bill->name);
    put_text(out, "sku", sku->id);
    put_text(out, "period_start", start);
    put_text(out, "period_end", end);
    put_decimal(out, "quantity", charge->quantity, sku->consumed_decimals);
    put_text(out, "unit", sku->consumed_unit);
    put_text(out, "metering", report_metering_name(usage->metering));
    put_cost(out, bill, charge);
    fputs("}}\n", out);
}

static void put_bill(const struct report *report, const struct bill *bill) {
    if (bill->usage->period_end > report->options->generated_at)
        return;
    for (size_t i = 0; i < bill->count; i++)
        put_event(report, bill, &bill->charges[i]);
}

static void end(const struct report *report) {
    (void)report;
}

const struct report_format report_cloudevents = {
    .name = "cloudevents", .begin = begin, .bill = put_bill, .end = end};
