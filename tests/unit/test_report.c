/* Reports: every byte of the CSV and JSON that bills are made from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/report.h"

#define HOUR_14 ((time_t)1795356000) /* 2026-11-22T14:00:00Z */

static struct ledger_row row_of(const char *tenant) {
    return (struct ledger_row){
        .tenant = tenant,
        .period_start = HOUR_14,
        .period_end = HOUR_14 + 3600,
        .values = {[COUNTER_REQUESTS] = 3,
                   [COUNTER_REQUESTS_UNMETERED] = 1,
                   [COUNTER_CPU_NS] = 1000000001,
                   [COUNTER_WALL_NS] = 2500000000,
                   [COUNTER_QUEUE_NS] = 7,
                   [COUNTER_SEND_NS] = 99,
                   [COUNTER_BYTES_IN] = 10,
                   [COUNTER_BYTES_OUT] = 20,
                   [COUNTER_ERRORS_5XX] = 2,
                   [COUNTER_REJECTED] = 4},
        .has_cpu = true,
        .metering = METERING_PARTIAL,
    };
}

/* Owned by the caller. */
static char *written_with(const struct report_options *options, const struct ledger_row *rows,
                          size_t count) {
    struct report report;
    struct error error = {""};
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    report_begin(&report, options, out);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(report_row(&report, &rows[i]), 0);
    assert_int_equal(report_end(&report, &error), 0);
    fclose(out);
    return text;
}

static char *written(const char *format, const struct ledger_row *rows, size_t count) {
    struct report_options options = {.format = report_find_format(format), .generated_at = HOUR_14};

    return written_with(&options, rows, count);
}

#define HEAD                                                                                       \
    "tenant,period_start,period_end,requests,cpu_seconds,wall_seconds,queue_seconds,bytes_in,"     \
    "bytes_out,errors_5xx,rejected,service_seconds,metering,requests_unmetered\r\n"

static void expect_csv(const struct ledger_row *rows, size_t count, const char *expected) {
    char *text = written("csv", rows, count);

    assert_string_equal(text, expected);
    free(text);
}

static void test_csv_without_rows_is_the_head(void **state) {
    (void)state;
    expect_csv(NULL, 0, HEAD);
}

static void test_csv_has_all_columns(void **state) {
    struct ledger_row rows[] = {row_of("centro1"), row_of("centro2")};

    (void)state;
    rows[1].has_service = true;
    rows[1].service_ns = UINT64_C(3600000000000);
    rows[1].metering = METERING_EXACT;
    expect_csv(rows, 2,
               HEAD "centro1,2026-11-22T14:00:00Z,2026-11-22T15:00:00Z,3,1.000000001,2.500000000,"
                    "0.000000007,10,20,2,4,,partial,1\r\n"
                    "centro2,2026-11-22T14:00:00Z,2026-11-22T15:00:00Z,3,1.000000001,2.500000000,"
                    "0.000000007,10,20,2,4,3600.000000000,exact,1\r\n");
}

static void test_unknown_cpu_is_empty_and_zero_is_zero(void **state) {
    struct ledger_row rows[] = {row_of("a"), row_of("b")};

    (void)state;
    rows[0].values[COUNTER_CPU_NS] = rows[1].values[COUNTER_CPU_NS] = 0;
    rows[0].has_cpu = false;
    rows[0].metering = METERING_NONE;
    char *text = written("csv", rows, 2);
    assert_non_null(strstr(text, "Z,3,,2.500000000,"));
    assert_non_null(strstr(text, ",none,1\r\n"));
    assert_non_null(strstr(text, "Z,3,0.000000000,2.500000000,"));
    free(text);
}

static void test_large_figures_are_exact(void **state) {
    struct ledger_row row = row_of("a");

    (void)state;
    row.values[COUNTER_CPU_NS] = INT64_MAX;
    row.values[COUNTER_BYTES_OUT] = INT64_MAX;
    char *text = written("csv", &row, 1);
    assert_non_null(strstr(text, ",9223372036.854775807,"));
    assert_non_null(strstr(text, ",9223372036854775807,"));
    free(text);
    text = written("json", &row, 1);
    assert_non_null(strstr(text, "\"cpu_seconds\":9223372036.854775807,"));
    free(text);
}

static void expect_csv_field(const char *tenant, const char *field) {
    struct ledger_row row = row_of(tenant);
    char *text = written("csv", &row, 1);
    const char *line = text + strlen(HEAD);

    if (strncmp(line, field, strlen(field)) != 0 || line[strlen(field)] != ',')
        fail_msg("%s is not %s", line, field);
    free(text);
}

static void test_csv_quotes_only_what_needs_it(void **state) {
    (void)state;
    expect_csv_field("plain text", "plain text");
    expect_csv_field("(idle)", "(idle)");
    expect_csv_field("a,b", "\"a,b\"");
    expect_csv_field("say \"hi\"", "\"say \"\"hi\"\"\"");
    expect_csv_field("two\nlines", "\"two\nlines\"");
    expect_csv_field("two\rlines", "\"two\rlines\"");
}

static void test_csv_fields_are_no_formulas(void **state) {
    (void)state;
    expect_csv_field("=1+1", "'=1+1");
    expect_csv_field("+1", "'+1");
    expect_csv_field("-1", "'-1");
    expect_csv_field("@SUM", "'@SUM");
    expect_csv_field("\tx", "'\tx");
    expect_csv_field("=a,\"b\"", "\"'=a,\"\"b\"\"\"");
    expect_csv_field("a=b", "a=b");
}

static unsigned column(const char *name) {
    unsigned index = 0;

    while (strcmp(report_column_names[index], name) != 0)
        index++;
    return index;
}

static void test_csv_has_the_columns_of_choice_in_their_order(void **state) {
    struct report_options options = {
        .format = report_find_format("csv"),
        .column_count = 4,
        .columns = {column("requests"), column("tenant"), column("name"), column("requests")}};
    struct ledger_row row = row_of("centro1");

    (void)state;
    char *text = written_with(&options, &row, 1);
    assert_string_equal(text, "requests,tenant,name,requests\r\n3,centro1,,3\r\n");
    free(text);
    assert_true(report_wants_names(&options));
    options.column_count = 2;
    assert_false(report_wants_names(&options));
}

static void test_json_says_the_same(void **state) {
    struct ledger_row rows[] = {row_of("centro1"), row_of("q\"b\\s\x01")};

    (void)state;
    rows[1].has_cpu = false;
    rows[1].metering = METERING_NONE;
    char *text = written("json", rows, 2);
    assert_string_equal(
        text, "{\"version\":1,\"generated_at\":\"2026-11-22T14:00:00Z\",\"rows\":[\n"
              "{\"tenant\":\"centro1\",\"period_start\":\"2026-11-22T14:00:00Z\","
              "\"period_end\":\"2026-11-22T15:00:00Z\",\"requests\":3,\"cpu_seconds\":1.000000001,"
              "\"wall_seconds\":2.500000000,\"queue_seconds\":0.000000007,\"bytes_in\":10,"
              "\"bytes_out\":20,\"errors_5xx\":2,\"rejected\":4,\"service_seconds\":null,"
              "\"metering\":\"partial\",\"requests_unmetered\":1},\n"
              "{\"tenant\":\"q\\\"b\\\\s\\u0001\",\"period_start\":\"2026-11-22T14:00:00Z\","
              "\"period_end\":\"2026-11-22T15:00:00Z\",\"requests\":3,\"cpu_seconds\":null,"
              "\"wall_seconds\":2.500000000,\"queue_seconds\":0.000000007,\"bytes_in\":10,"
              "\"bytes_out\":20,\"errors_5xx\":2,\"rejected\":4,\"service_seconds\":null,"
              "\"metering\":\"none\",\"requests_unmetered\":1}\n]}\n");
    free(text);
}

static void test_json_is_json(void **state) {
    struct ledger_row rows[] = {row_of("a"), row_of("b\"\\\n\t"), row_of("ñandú")};

    (void)state;
    for (size_t count = 0; count <= 3; count++) {
        char *text = written("json", rows, count);
        cJSON *tree = cJSON_ParseWithOpts(text, NULL, 1);
        assert_non_null(tree);
        const cJSON *array = cJSON_GetObjectItemCaseSensitive(tree, "rows");
        assert_int_equal(cJSON_GetArraySize(array), count);
        if (count > 1)
            assert_string_equal(
                cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(array, 1), "tenant")
                    ->valuestring,
                rows[1].tenant);
        cJSON_Delete(tree);
        free(text);
    }
}

static void test_write_error_is_told(void **state) {
    struct ledger_row row = row_of("a");
    struct report_options options = {.format = report_find_format("csv")};
    struct report report;
    struct error error = {""};
    FILE *out = fopen("/dev/full", "w");

    (void)state;
    setvbuf(out, NULL, _IONBF, 0);
    report_begin(&report, &options, out);
    assert_int_not_equal(report_row(&report, &row), 0);
    assert_int_equal(report_end(&report, &error), -1);
    assert_non_null(strstr(error.text, "No space left"));
    fclose(out);
}

static void test_formats_are_known_by_name(void **state) {
    (void)state;
    assert_non_null(report_find_format("csv"));
    assert_non_null(report_find_format("json"));
    assert_true(report_needs_rates(report_find_format("focus")));
    assert_true(report_has_charges(report_find_format("cloudevents")));
    assert_false(report_has_charges(report_find_format("csv")));
    assert_null(report_find_format("xls"));
}

static void expect_seconds(uint64_t ns, const char *expected) {
    char text[REPORT_AMOUNT_BYTES];

    report_format_seconds(ns, text);
    assert_string_equal(text, expected);
}

static void expect_bytes(uint64_t bytes, const char *expected) {
    char text[REPORT_AMOUNT_BYTES];

    report_format_bytes(bytes, text);
    assert_string_equal(text, expected);
}

static void test_amounts_for_people(void **state) {
    (void)state;
    expect_seconds(0, "0 s");
    expect_seconds(7, "0.00 us");
    expect_seconds(999, "0.99 us");
    expect_seconds(12345, "12.3 us");
    expect_seconds(1234567, "1.23 ms");
    expect_seconds(999999999, "999 ms");
    expect_seconds(UINT64_C(12345000000), "12.3 s");
    expect_seconds(UINT64_C(3599999999999), "3599 s");
    expect_seconds(UINT64_C(7380000000000), "2 h 03 min");
    expect_bytes(0, "0 B");
    expect_bytes(999, "999 B");
    expect_bytes(1000, "1.00 kB");
    expect_bytes(4567890, "4.56 MB");
    expect_bytes(UINT64_C(123456789012), "123 GB");
    expect_bytes(UINT64_MAX, "18.4 EB");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv_without_rows_is_the_head),
        cmocka_unit_test(test_csv_has_all_columns),
        cmocka_unit_test(test_unknown_cpu_is_empty_and_zero_is_zero),
        cmocka_unit_test(test_large_figures_are_exact),
        cmocka_unit_test(test_csv_quotes_only_what_needs_it),
        cmocka_unit_test(test_csv_fields_are_no_formulas),
        cmocka_unit_test(test_csv_has_the_columns_of_choice_in_their_order),
        cmocka_unit_test(test_json_says_the_same),
        cmocka_unit_test(test_json_is_json),
        cmocka_unit_test(test_write_error_is_told),
        cmocka_unit_test(test_formats_are_known_by_name),
        cmocka_unit_test(test_amounts_for_people),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
