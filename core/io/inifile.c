/*
 * Ini files by inih 55, made strict.
 *
 * Left alone, inih parses a folder as an empty file, cuts a line at 199 characters and goes on with the rest,
 * cuts a section name at 49, drops what follows a ']', takes the first ':' for a '=', joins an indented line
 * to the one before, and ends a value at " ;".  So it never opens a file here: it is handed one line at a
 * time, and each line was checked before.  That also gives the line number, which its handler is not told.
 */
#include "core/io/inifile.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/text.h"

#define LINE_MAX_CHARS 197	/* inih's buffer of 200 less "\r\n" and NUL */
#define SECTION_MAX_CHARS 49

struct reading {
	struct cx *cx;
	const char *file, *at;		/* at: the next line */
	int line;
	inifile_fn *each;
	void *arg;
	enum rc rc;
};

static enum rc slurp(struct cx *cx, const char *file, struct buf *out)
{
	struct stat st;
	ssize_t got = 0;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return fail(cx, errno == ENOENT ? RC_NOT_FOUND : RC_IO, "%s: %s", file, strerror(errno));
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return fail(cx, RC_INVALID, "%s: not a regular file", file);
	}
	char *room;
	while ((room = buf_room(out, 4096)) && (got = read(fd, room, 4096)) > 0)
		buf_grew(out, (size_t)got);
	close(fd);
	if (room == NULL || out->len > INIFILE_MAX)
		return fail(cx, RC_INVALID, "%s: longer than %d bytes", file, INIFILE_MAX);
	if (got < 0)
		return fail(cx, RC_IO, "%s: %s", file, strerror(errno));
	if (!text_utf8(out->len ? out->data : "", out->len))
		return fail(cx, RC_INVALID, "%s: holds a NUL byte or text that is not UTF-8", file);
	return RC_OK;
}

/* ---- one line -------------------------------------------------------------------------------------- */

static const char *section_fault(const char *text)
{
	const char *end = strchr(text, ']');
	if (end == NULL)
		return "a section must end with ]";
	if (end[1 + strspn(end + 1, " \t")] != '\0')
		return "nothing may follow a section's ]";
	if (end - text - 1 > SECTION_MAX_CHARS)
		return "a section name has at most 49 characters";
	return NULL;
}

/* What is wrong with a line (without its line end), or NULL. */
static const char *line_fault(const char *line, size_t n)
{
	const char *text = line + strspn(line, " \t");
	if (n > LINE_MAX_CHARS)
		return "longer than 197 characters, which would be cut";
	if (!text_printable(line) || strchr(line, '\r'))
		return "holds a control character";
	if (*text == '\0' || *text == ';' || *text == '#')
		return NULL;
	if (strstr(line, " ;") || strstr(line, "\t;") || strstr(line, " #") || strstr(line, "\t#"))
		return "a comment needs a line of its own";
	if (*text == '[')
		return section_fault(text);
	if (text != line)
		return "begins with a blank; write every key at the start of its line";
	const char *equals = strchr(text, '=');
	if (equals == NULL || equals == text || memchr(text, ':', (size_t)(equals - text)))
		return "not of the form \"key = value\"";
	if (equals[1 + strspn(equals + 1, " \t")] == '\0')
		return "has no value; leave the line out for the default";
	return NULL;
}

static void refuse(struct reading *r, const char *words)
{
	if (r->rc == RC_OK)
		r->rc = fail(r->cx, RC_INVALID, "%s:%d: %s", r->file, r->line, words);
}

/* inih's reader: fgets over the text in memory, ending early at the first fault. */
static char *next_line(char *out, int size, void *stream)
{
	struct reading *r = stream;
	char line[LINE_MAX_CHARS + 2];

	if (r->rc || *r->at == '\0')
		return NULL;
	r->line++;
	size_t n = strcspn(r->at, "\n"), shown = n;
	const char *from = r->at;
	r->at += n + (from[n] == '\n');
	if (shown && from[shown - 1] == '\r')
		shown--;
	size_t keep = shown < sizeof line - 1 ? shown : sizeof line - 1;
	memcpy(line, from, keep);
	line[keep] = '\0';
	const char *words = line_fault(line, shown);
	if (words == NULL && (int)keep >= size - 1)
		words = "longer than this build of inih reads";
	if (words) {
		refuse(r, words);
		return NULL;
	}
	memcpy(out, line, keep + 1);
	return out;
}

static int hand_over(void *user, const char *section, const char *key, const char *value)
{
	struct reading *r = user;
	if (r->rc == RC_OK)
		r->rc = r->each(r->cx, r->arg, r->file, r->line, section, key, value);
	return r->rc == RC_OK;
}

enum rc inifile_read(struct cx *cx, const char *file, inifile_fn *each, void *arg)
{
	BUF_AUTO struct buf text;
	buf_init(&text, INIFILE_MAX + 8192);
	enum rc rc = slurp(cx, file, &text);
	if (rc)
		return rc;

	struct reading r = {.cx = cx, .file = file, .at = buf_text(&text), .each = each, .arg = arg};
	ini_allow_multiline = false;
	ini_allow_inline_comments = false;
	ini_allow_bom = false;
	int bad = ini_parse_stream(next_line, &r, hand_over, &r);
	if (r.rc)
		return r.rc;
	if (bad)
		return fail(cx, RC_INVALID, "%s:%d: not understood", file, bad);
	return RC_OK;
}
