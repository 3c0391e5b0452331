/* Text as CSV and JSON want it. Not cJSON, which holds numbers as doubles and whole documents in
 * memory. */
#ifndef FPMUX_TENANTS_REPORT_TEXT_H
#define FPMUX_TENANTS_REPORT_TEXT_H

#include <stdio.h>

/* A field of RFC 4180: in quotes where it must be. */
void report_put_csv(FILE *out, const char *text);

/* The same for text that people have chosen. A spreadsheet runs a field that begins with = + - @,
 * a tab or a carriage return as a formula: such a one gets a ' in front, which makes it text. */
void report_put_csv_guarded(FILE *out, const char *text);

/* A string of JSON, with its quotes. */
void report_put_json(FILE *out, const char *text);

#endif
