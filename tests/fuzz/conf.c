/*
 * The configuration: an ini file of any bytes.
 *
 * What the strict reader hands over must be what the plainest reading of an ini finds: the same sections, keys and
 * values on the same lines, and nothing that a reading of inih alone would have cut, joined or dropped.
 */
#include "fuzz.h"

#include <ctype.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/conf.h"
#include "core/io/inifile.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	log_set(LOG_ERROR + 1);
	fuzz_file_make("conf.ini");
	return 0;
}

/* ---- the plainest reading -------------------------------------------------------------------------------- */

struct plain { const char *text; int line; char section[64]; };

static void trim(const char **from, size_t *n)
{
	while (*n > 0 && isspace((unsigned char)**from))
		(*from)++, (*n)--;
	while (*n > 0 && isspace((unsigned char)(*from)[*n - 1]))
		(*n)--;
}

/* The next "key = value"; false at the end. */
static bool plain_next(struct plain *p, const char **key, size_t *key_n, const char **value, size_t *value_n)
{
	while (*p->text) {
		const char *line = p->text, *eq;
		size_t n = strcspn(line, "\n");

		p->text += n + (line[n] == '\n');
		p->line++;
		trim(&line, &n);
		if (n == 0 || *line == ';' || *line == '#')
			continue;
		if (*line == '[') {
			snprintf(p->section, sizeof p->section, "%.*s", (int)strcspn(line + 1, "]"), line + 1);
			continue;
		}
		eq = memchr(line, '=', n);
		MUST_SAY(eq != NULL, "line %d has no key and was taken", p->line);
		*key = line, *key_n = (size_t)(eq - line);
		*value = eq + 1, *value_n = n - *key_n - 1;
		trim(key, key_n);
		trim(value, value_n);
		return true;
	}
	return false;
}

static enum rc compare(struct cx *cx, void *arg, const char *where, int line, const char *section, const char *key, const char *value)
{
	struct plain *p = arg;
	const char *k, *v;
	size_t kn, vn;

	(void)cx, (void)where;
	MUST_SAY(plain_next(p, &k, &kn, &v, &vn), "a key that does not stand there: [%s] %s", section, key);
	MUST_SAY(p->line == line, "[%s] %s stands on line %d, not %d", section, key, p->line, line);
	MUST_SAY(strcmp(section, p->section) == 0, "section %s, not %s", section, p->section);
	MUST_SAY(strlen(key) == kn && memcmp(key, k, kn) == 0, "key %s, not %.*s", key, (int)kn, k);
	MUST_SAY(strlen(value) == vn && memcmp(value, v, vn) == 0, "value '%s', not '%.*s'", value, (int)vn, v);
	return RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	struct plain p = {.text = text};
	struct conf conf = {0};
	const char *k, *v;
	size_t kn, vn;
	struct cx cx;
	int fd = open(fuzz_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	enum rc rc;

	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
	cx_init(&cx, NULL);
	rc = inifile_read(&cx, fuzz_file, compare, &p);
	if (rc == RC_OK) {
		MUST(memchr(data, 0, size) == NULL || size == 0);
		MUST_SAY(!plain_next(&p, &k, &kn, &v, &vn), "line %d was dropped", p.line);
	} else {
		MUST_SAY(strncmp(cx.words, fuzz_file, strlen(fuzz_file)) == 0, "no file in: %s", cx.words);
	}
	cx_init(&cx, NULL);
	if (conf_load(&cx, fuzz_file, &conf) == RC_OK) {
		MUST(rc == RC_OK);
		MUST(conf.listen && conf.data_folder[0] == '/' && conf.key_file[0] == '/' && conf.control_socket[0] == '/');
		MUST(conf.threads >= 4 && conf.threads <= 512 && conf.in_flight >= 1 && conf.claim_batch <= 200);
		conf_free(&conf);
	} else {
		MUST(cx.words[0] != '\0' && conf.file == NULL);
	}
	free(text);
	return 0;
}
