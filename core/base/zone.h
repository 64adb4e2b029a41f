/*
 * Instants and wall times.  Zones are TZif files of the system's tzdata, read with their footer rule; the
 * process's own TZ is never used.
 */
#ifndef MPS_BASE_ZONE_H
#define MPS_BASE_ZONE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/rc.h"

#define ZONE_NAME_MAX 64
#define ZONE_TEXT 40		/* "2026-11-23T19:20:30.123+01:00" and its NUL */

bool zone_exists(const char *name);

/*
 * Reads an RFC 3339 time with offset ("2026-11-23T18:20:30Z", "+01:00"; seconds and fraction optional), or,
 * when zone is not NULL, a wall time without offset in that zone.  fold is NULL, "earlier" or "later".
 * Codes: field_invalid, time_offset_missing, time_nonexistent (the words name the two nearest valid times),
 * time_ambiguous.
 */
enum rc zone_parse(struct cx *cx, const char *text, const char *zone, const char *fold, int64_t *ret_ms);

/* The wall time of an instant in a zone, with its offset.  RC_INVALID if the zone is unknown. */
enum rc zone_text(struct cx *cx, int64_t ms, const char *zone, char out[ZONE_TEXT]);

/* Only for tests and packagers: another folder than /usr/share/zoneinfo. */
void zone_folder(const char *path);

#endif
