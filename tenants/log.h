/* The one log: lines on standard error, "LEVEL: text". systemd and Docker add the time.
 *
 * Text that came from outside (PHP's errors, paths, host names) passes through here, so the sink
 * itself escapes: whatever is in the arguments, one call makes exactly one line of printable text,
 * every other byte is written as \xNN (a line feed in PHP's STDERR would else forge a log line). */
#ifndef FPMUX_TENANTS_LOG_H
#define FPMUX_TENANTS_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_DEBUG };

/* Lines above this level are dropped; the default is LOG_LEVEL_NOTICE. */
void log_set_level(enum log_level level);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
