/*
 * What the probe tells about a file, as one line of text between two programs.
 *
 * The line comes from a process that has read hostile bytes: probed_read takes nothing but what probed_write can
 * have written, every word from a list and every number within its bounds.
 */
#ifndef MPS_BASE_PROBED_H
#define MPS_BASE_PROBED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBED_MAX 256		/* a line, its newline and a NUL */

enum probed_answer { PROBED_MEDIA, PROBED_UNSUPPORTED, PROBED_UNREADABLE };

struct probed {
	enum probed_answer answer;
	const char *kind;		/* "image", "gif" (moving, without sound) or "video"; static */
	const char *mime;		/* "image/jpeg"; static */
	char codec[16];			/* a-z 0-9 */
	int64_t width, height;		/* as it is to be seen: turned where the file says so */
	int64_t duration_ms, frame_rate_milli;	/* 0: not known, or none */
	char words[128];		/* why it is no media; printable ASCII */
};

size_t probed_write(const struct probed *p, char out[PROBED_MAX]);	/* its length */
bool probed_read(const char *line, size_t n, struct probed *ret);	/* false: not such a line */

/* The static texts of the list, NULL if it has none such. */
const char *probed_kind(const char *text);
const char *probed_mime(const char *text);

#endif
