/*
 * One table: magic text to behaviour.
 *
 * A name may be followed by ":once" or ":N" (works the first N times for this account and text, after which
 * the text is ordinary until it was published) or by a duration, ":5s", ":250ms".
 */
#include "core/sandbox/magic.h"

#include <string.h>

#define FOREVER 0

static const struct magic table[] = {
	/* name               act           answer          status code            retry token         times    ms */
	{ "fail:rate_limited", MAGIC_REFUSE, ANSWER_ERROR,  429, "rate_limited",   2, TOKEN_STAYS,       FOREVER, 0 },
	{ "fail:auth",         MAGIC_REFUSE, ANSWER_ERROR,  401, "invalid_token",  0, TOKEN_REFUSED,     1,       0 },
	{ "fail:auth:always",  MAGIC_REFUSE, ANSWER_ERROR,  401, "invalid_token",  0, TOKEN_STAYS,       FOREVER, 0 },
	{ "fail:revoked",      MAGIC_REFUSE, ANSWER_ERROR,  401, "token_revoked",  0, TOKEN_FAMILY_ENDS, FOREVER, 0 },
	{ "fail:transient",    MAGIC_REFUSE, ANSWER_ERROR,  503, "unavailable",    0, TOKEN_STAYS,       FOREVER, 0 },
	{ "fail:gone",         MAGIC_REFUSE, ANSWER_ERROR,  410, "gone",           0, TOKEN_STAYS,       FOREVER, 0 },
	{ "reject:policy",     MAGIC_REFUSE, ANSWER_ERROR,  422, "policy",         0, TOKEN_STAYS,       FOREVER, 0 },
	{ "timeout",           MAGIC_COMMIT, ANSWER_HOLD,   0,   "",               0, TOKEN_STAYS,       FOREVER, 0 },
	{ "timeout:nothing",   MAGIC_REFUSE, ANSWER_HOLD,   0,   "",               0, TOKEN_STAYS,       FOREVER, 0 },
	{ "reset:after",       MAGIC_COMMIT, ANSWER_RESET,  0,   "",               0, TOKEN_STAYS,       FOREVER, 0 },
	{ "reset:before",      MAGIC_REFUSE, ANSWER_RESET,  0,   "",               0, TOKEN_STAYS,       FOREVER, 0 },
	{ "delayed",           MAGIC_LATE,   ANSWER_RESET,  0,   "",               0, TOKEN_STAYS,       FOREVER, 5000 },
	{ "lie:reject",        MAGIC_COMMIT, ANSWER_ERROR,  422, "blocked",        0, TOKEN_STAYS,       FOREVER, 0 },
	{ "lie:503",           MAGIC_COMMIT, ANSWER_ERROR,  503, "unavailable",    0, TOKEN_STAYS,       FOREVER, 0 },
	{ "lie:200",           MAGIC_COMMIT, ANSWER_GARBAGE, 200, "",              0, TOKEN_STAYS,       FOREVER, 0 },
	{ "slow",              MAGIC_COMMIT, ANSWER_SLOW,   0,   "",               0, TOKEN_STAYS,       FOREVER, 20000 },
	{ "inbox",             MAGIC_PERSON, ANSWER_TRUTH,  0,   "",               0, TOKEN_STAYS,       FOREVER, 0 },
	{ "huge",              MAGIC_COMMIT, ANSWER_HUGE,   0,   "",               0, TOKEN_STAYS,       FOREVER, 0 },
	{ "container:error",   MAGIC_COMMIT, ANSWER_TRUTH,  0,   "",               0, TOKEN_STAYS,       FOREVER, 0 },
};
#define TABLE (sizeof table / sizeof *table)

/* What follows the name: "", ":once", ":3", ":5s", ":250ms". */
static bool suffix(const char *s, size_t n, struct magic *m)
{
	int64_t value = 0;
	size_t i = 1;

	if (!n)
		return true;
	if (*s != ':')
		return false;
	if (n == 5 && !memcmp(s, ":once", 5)) {
		m->times = 1;
		return true;
	}
	for (; i < n && i < 8 && s[i] >= '0' && s[i] <= '9'; i++)
		value = value * 10 + (s[i] - '0');
	if (i == 1 || !value)
		return false;
	if (i == n)
		m->times = (int)value;
	else if (n - i == 1 && s[i] == 's')
		m->ms = value * 1000;
	else if (n - i == 2 && !memcmp(s + i, "ms", 2))
		m->ms = value;
	else
		return false;
	return true;
}

static enum magic_found look(const char *word, size_t n, struct magic *ret)
{
	const struct magic *best = NULL;
	size_t family = strcspn(word, ":]");
	bool ours = false;

	for (const struct magic *m = table; m < table + TABLE; m++) {
		size_t len = strlen(m->name);
		struct magic with = *m;

		if (strcspn(m->name, ":") == family && !memcmp(m->name, word, family))
			ours = true;
		if (len > n || memcmp(m->name, word, len) || !suffix(word + len, n - len, &with))
			continue;
		if (!best || len > strlen(best->name)) {
			best = m;
			*ret = with;
		}
	}
	return best ? MAGIC_FOUND : ours ? MAGIC_UNKNOWN : MAGIC_NONE;
}

enum magic_found sandbox_magic_find(const char *text, struct magic *ret)
{
	for (const char *open = strstr(text, "[["); open; open = strstr(open + 2, "[[")) {
		const char *end = strstr(open, "]]");
		enum magic_found found;

		if (!end)
			break;
		found = look(open + 2, (size_t)(end - open - 2), ret);
		if (found != MAGIC_NONE)
			return found;
	}
	return MAGIC_NONE;
}

bool sandbox_magic_has(const char *text, const char *name)
{
	struct magic m;

	return sandbox_magic_find(text, &m) == MAGIC_FOUND && !strcmp(m.name, name);
}
