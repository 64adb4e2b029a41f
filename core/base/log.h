/*
 * One line of JSON per event on stderr: time, level, who, msg.
 * Control characters are escaped, so no line can be forged.  Callers never hand secrets to it.
 */
#ifndef MPS_BASE_LOG_H
#define MPS_BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set(enum log_level least);
void log_line(enum log_level level, const char *who, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_debug(who, ...) log_line(LOG_DEBUG, (who), __VA_ARGS__)
#define log_info(who, ...) log_line(LOG_INFO, (who), __VA_ARGS__)
#define log_warn(who, ...) log_line(LOG_WARN, (who), __VA_ARGS__)
#define log_error(who, ...) log_line(LOG_ERROR, (who), __VA_ARGS__)

#endif
