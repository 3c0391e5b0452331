#include "tenants/cli/bill.h"

#include <errno.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "tenants/period.h"
#include "tenants/report_columns.h"
#include "tenants/report_text.h"

enum { PEOPLE_DECIMALS = 6 };

enum { COLUMN_ITEM, COLUMN_QUANTITY, COLUMN_FREE, COLUMN_UNIT, COLUMN_PRICE, COLUMN_COST, COLUMNS };

static const char *const TITLES[COLUMNS] = {"ITEM", "QUANTITY", "FREE", "UNIT", "PRICE", "COST"};

struct bills {
    struct biller *biller;
    time_t now;
    bool is_json;
    size_t count;
    uint128_t total;
};

static uint128_t total_of(const struct bill *bill) {
    uint128_t total = 0;

    for (size_t i = 0; i < bill->count; i++)
        total += bill->charges[i].cost;
    return total;
}

/* Whether the SKU has a price for this tenant, but what was used of it is not known. */
static bool is_unknown(const struct bill *bill, enum sku sku) {
    const struct tenant *tenant = bill->tenant;
    const char *plan = tenant != NULL ? tenant->plan.name : NULL;
    bool is_known = (sku != SKU_CPU || bill->usage->metering == METERING_EXACT) &&
                    (sku != SKU_CONTAINER || bill->usage->has_service);

    return !is_known && rates_find_tariff(bill->rates, plan)->prices[sku].is_set;
}

static const char *plan_of(const struct bill *bill) {
    return bill->tenant != NULL ? bill->tenant->plan.name : NULL;
}

/* ---- For people ---- */

static void require(int result) {
    if (result == 0)
        return;
    fprintf(stderr, "fpmuxctl: table: %s\n", strerror(-result));
    exit(EX_OSERR);
}

static struct libscols_table *new_table(void) {
    struct libscols_table *table = scols_new_table();

    require(table == NULL ? -ENOMEM : 0);
    scols_table_set_termforce(table,
                              isatty(STDOUT_FILENO) ? SCOLS_TERMFORCE_AUTO : SCOLS_TERMFORCE_NEVER);
    for (int i = 0; i < COLUMNS; i++) {
        bool is_text = i == COLUMN_ITEM || i == COLUMN_UNIT;
        require(scols_table_new_column(table, TITLES[i], 0, is_text ? 0 : SCOLS_FL_RIGHT) == NULL
                    ? -ENOMEM
                    : 0);
    }
    return table;
}

static void set_decimal(struct libscols_line *line, size_t column, uint128_t value,
                        unsigned decimals) {
    char text[DECIMAL_BYTES];

    decimal_format_short(value, decimals, text);
    require(scols_line_set_data(line, column, text));
}

/* In pricing units, with as many decimals as people read. */
static void set_quantity(struct libscols_line *line, size_t column, enum sku sku,
                         uint64_t quantity) {
    uint128_t scaled = (uint128_t)quantity * decimal_power(PEOPLE_DECIMALS);

    set_decimal(line, column, decimal_divide(scaled, skus[sku].base_per_pricing), PEOPLE_DECIMALS);
}

static void set_cost(struct libscols_line *line, uint128_t cost, unsigned minor_digits) {
    char text[DECIMAL_BYTES];

    decimal_format(cost, minor_digits, text);
    require(scols_line_set_data(line, COLUMN_COST, text));
}

static struct libscols_line *add_line(struct libscols_table *table, const char *item) {
    struct libscols_line *line = scols_table_new_line(table, NULL);

    require(line == NULL ? -ENOMEM : 0);
    require(scols_line_set_data(line, COLUMN_ITEM, item));
    return line;
}

static void add_charge(struct libscols_table *table, const struct charge *charge,
                       unsigned minor_digits) {
    struct libscols_line *line = add_line(table, skus[charge->sku].meter);

    set_quantity(line, COLUMN_QUANTITY, charge->sku, charge->quantity);
    set_quantity(line, COLUMN_FREE, charge->sku, charge->free);
    require(scols_line_set_data(line, COLUMN_UNIT, skus[charge->sku].people_unit));
    set_decimal(line, COLUMN_PRICE, charge->price.nanos, RATES_DECIMALS);
    set_cost(line, charge->cost, minor_digits);
}

static void print_head(const struct bills *bills, const struct bill *bill) {
    char month[PERIOD_CLOCK_BYTES]; /* as the zone's calendar has it */

    period_format_clock(bill->month.from, bills->biller->billing.zone, month);
    printf("%s%s", bills->count > 0 ? "\n" : "", bill->name);
    if (strcmp(bill->name, bill->usage->tenant) != 0)
        printf(" (%s)", bill->usage->tenant);
    printf(", %.7s", month);
    if (plan_of(bill) != NULL)
        printf(", plan %s", plan_of(bill));
    if (bill->tenant == NULL)
        printf(", no longer in the registry: common prices");
    if (bill->usage->period_end > bills->now)
        printf(", up to now");
    putchar('\n');
}

static void print_unknown(const struct bill *bill) {
    if (bill->usage->metering != METERING_EXACT)
        printf("Not metered, and not charged: the CPU of %" PRIu64 " of %" PRIu64 " requests.\n",
               bill->usage->values[COUNTER_REQUESTS_UNMETERED],
               bill->usage->values[COUNTER_REQUESTS]);
    if (is_unknown(bill, SKU_CONTAINER))
        printf("Not known, and not charged: how long a container ran.\n");
}

static void print_bill(const struct bills *bills, const struct bill *bill) {
    struct libscols_table *table = new_table();

    print_head(bills, bill);
    for (size_t i = 0; i < bill->count; i++)
        if (bill->charges[i].price.is_set)
            add_charge(table, &bill->charges[i], bill->rates->minor_digits);
    struct libscols_line *last = add_line(table, "Total");
    require(scols_line_set_data(last, COLUMN_PRICE, bill->rates->currency));
    set_cost(last, total_of(bill), bill->rates->minor_digits);
    require(scols_print_table(table));
    scols_unref_table(table);
    print_unknown(bill);
}

/* ---- For programs ---- */

static void put_decimal(const char *key, uint128_t value, unsigned decimals) {
    char text[DECIMAL_BYTES];

    decimal_format(value, decimals, text);
    printf(",\"%s\":\"%s\"", key, text);
}

static void put_text(const char *key, const char *text) {
    printf(",\"%s\":", key);
    if (text != NULL)
        report_put_json(stdout, text);
    else
        fputs("null", stdout);
}

static void put_time(const char *key, time_t time) {
    char text[PERIOD_TIME_BYTES];

    period_format_time(time, text);
    put_text(key, text);
}

static void put_charge(const struct charge *charge, unsigned minor_digits) {
    const struct sku_info *sku = &skus[charge->sku];

    printf("{\"sku\":\"%s\"", sku->id);
    put_text("meter", sku->meter);
    put_decimal("quantity", charge->quantity, sku->consumed_decimals);
    put_decimal("free_quantity", charge->free, sku->consumed_decimals);
    put_text("unit", sku->consumed_unit);
    put_decimal("priced_quantity", charge->priced, RATES_DECIMALS);
    put_text("pricing_unit", sku->pricing_unit);
    put_decimal("unit_price", charge->price.nanos, RATES_DECIMALS);
    put_decimal("cost", charge->cost, minor_digits);
    putchar('}');
}

static void put_charges(const struct bill *bill) {
    bool is_first = true;

    fputs(",\"lines\":[", stdout);
    for (size_t i = 0; i < bill->count; i++) {
        if (!bill->charges[i].price.is_set)
            continue;
        if (!is_first)
            putchar(',');
        put_charge(&bill->charges[i], bill->rates->minor_digits);
        is_first = false;
    }
    putchar(']');
}

static void put_unknown(const struct bill *bill) {
    bool is_first = true;

    fputs(",\"not_metered\":[", stdout);
    for (enum sku sku = 0; sku < SKU_COUNT; sku++) {
        if (!is_unknown(bill, sku))
            continue;
        printf("%s\"%s\"", is_first ? "" : ",", skus[sku].id);
        is_first = false;
    }
    putchar(']');
}

static void put_bill(const struct bills *bills, const struct bill *bill) {
    printf("%s\n{\"tenant\":", bills->count > 0 ? "," : "");
    report_put_json(stdout, bill->usage->tenant);
    put_text("name", bill->name);
    put_text("plan", plan_of(bill));
    put_time("period_start", bill->usage->period_start);
    put_time("period_end", bill->usage->period_end);
    printf(",\"is_complete\":%s", bill->usage->period_end <= bills->now ? "true" : "false");
    put_charges(bill);
    put_text("currency", bill->rates->currency);
    put_decimal("total", total_of(bill), bill->rates->minor_digits);
    put_text("metering", report_metering_name(bill->usage->metering));
    printf(",\"requests_unmetered\":%" PRIu64, bill->usage->values[COUNTER_REQUESTS_UNMETERED]);
    put_unknown(bill);
    putchar('}');
}

static void put_head(const struct bills *bills) {
    fputs("{\"version\":1", stdout);
    put_time("generated_at", bills->now);
    put_text("provider", bills->biller->rates->provider);
    put_text("currency", bills->biller->rates->currency);
    fputs(",\"bills\":[", stdout);
}

/* ---- Both ---- */

static int visit_row(void *context, const struct ledger_row *row) {
    struct bills *bills = context;
    struct bill bill;

    if (!biller_take(bills->biller, row, &bill))
        return 0;
    if (bills->is_json)
        put_bill(bills, &bill);
    else
        print_bill(bills, &bill);
    bills->total += total_of(&bill);
    bills->count++;
    return ferror(stdout) ? 1 : 0;
}

static void print_end(const struct bills *bills) {
    const struct rates *rates = bills->biller->rates;
    char total[DECIMAL_BYTES];

    decimal_format(bills->total, rates->minor_digits, total);
    if (bills->is_json)
        printf("\n],\"total\":\"%s\"}\n", total);
    else if (bills->count == 0)
        fprintf(stderr, "Nothing was used in that time.\n");
    else if (bills->count > 1)
        printf("\nAll %zu bills: %s %s\n", bills->count, total, rates->currency);
}

int bill_print(struct cli *cli, struct ledger *ledger, const struct query_options *options,
               struct pricing *pricing) {
    struct bills bills = {
        .biller = &pricing->biller, .now = options->now, .is_json = cli_wants_json(cli)};
    struct error error;

    if (bills.is_json)
        put_head(&bills);
    if (ledger_query(ledger, &options->query, visit_row, &bills, &error) < 0)
        return cli_fail(cli, EX_IOERR, "%s", error.text);
    print_end(&bills);
    return EX_OK;
}
