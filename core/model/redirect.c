/*
 * Redirect URLs: see redirect.h.
 *
 * The check is a short grammar of what is allowed, not a list of what is bad: ASCII without blanks or backslash,
 * one of three kinds of scheme, a plain host, a numeric port.  Everything a browser would read differently from
 * us (userinfo, control characters, backslashes) falls out by that.
 */
#include "core/model/redirect.h"

#include <stdio.h>
#include <string.h>

#include "core/base/text.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define HOST LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS ".-"
#define URL_BYTES HOST "_~:/?[]!$&'()+,;=%"		/* of RFC 3986, without # @ * */

/* Schemes that are no app's: a browser or the system does something of its own with them. */
static const char *const reserved[] = {
	"about", "blob", "chrome", "data", "file", "filesystem", "ftp", "ftps", "intent", "jar", "javascript", "mailto", "sms", "tel", "urn",
	"vbscript", "view-source", "ws", "wss", "http", "https", NULL
};

static bool port_ok(const char *s, size_t n)
{
	return n == 0 || (s[0] == ':' && n > 1 && n < 7 && strspn(s + 1, DIGITS) >= n - 1);
}

/* host[:port] of n bytes; loopback: only names of this machine. */
static bool authority_ok(const char *s, size_t n, bool loopback)
{
	static const char *const local[] = {"127.0.0.1", "localhost", "[::1]"};
	size_t host = strspn(s, HOST);

	for (size_t i = 0; i < sizeof local / sizeof local[0]; i++) {
		size_t len = strlen(local[i]);

		if (n >= len && memcmp(s, local[i], len) == 0 && (n == len || s[len] == ':'))
			return port_ok(s + len, n - len);
	}
	return !loopback && host > 0 && host <= n && s[0] != '.' && s[0] != '-' && port_ok(s + host, n - host);
}

static const char *app_fault(const char *url)
{
	size_t n = strspn(url, LETTERS DIGITS "+.-");
	char scheme[64];

	if (n < 2 || n >= sizeof scheme || url[n] != ':' || strchr(LETTERS, url[0]) == NULL)
		return "it must begin with https://, with http:// and a loopback address, or with the scheme of an app";
	snprintf(scheme, sizeof scheme, "%.*s", (int)n, url);
	for (const char *const *r = reserved; *r; r++)
		if (text_eq(*r, scheme))
			return "its scheme is not that of an app";
	return url[n + 1] == '/' ? NULL : "a slash must follow the scheme of an app";
}

const char *redirect_fault(const char *url)
{
	bool https = text_starts(url, "https://"), http = text_starts(url, "http://");
	const char *authority = url + (https ? 8 : 7);
	size_t n = strlen(url);

	if (n == 0 || n > REDIRECT_MAX)
		return "it must have 1 to 2048 bytes";
	if (strchr(url, '#') || strchr(url, '@') || strchr(url, '*'))
		return "fragments, userinfo and wildcards are not allowed";
	if (strspn(url, URL_BYTES) != n)
		return "it has characters that must be percent-encoded";
	if (strstr(url, "%0") || strstr(url, "%1") || strstr(url, "%7f") || strstr(url, "%7F"))
		return "encoded control characters are not allowed";
	if (!https && !http)
		return app_fault(url);
	if (!authority_ok(authority, strcspn(authority, "/?"), http))
		return http ? "http is allowed for 127.0.0.1, localhost and [::1] only" : "its host is not a plain name with an optional port";
	return NULL;
}

bool redirect_allowed(struct db_conn *c, const char *organization_id, const char *app_id, const char *url)
{
	return db_number(c, 0, "SELECT COUNT(*) FROM redirect_url WHERE app_id = ?1 AND url = ?2 AND organization_id = ?3", "sss", app_id, url,
			 organization_id) == 1;
}

enum rc redirect_add(struct cx *cx, struct db_conn *c, const char *organization_id, const char *app_id, const char *url, int64_t now,
		     char ret_id[ID_MAX], bool *ret_created)
{
	char fresh[ID_MAX];

	id_new(fresh, "red");
	{
		STMT_AUTO struct stmt *s = db_query(c,
			"INSERT INTO redirect_url (id, organization_id, app_id, url, created_at) VALUES (?1, ?2, ?3, ?4, ?5)"
			" ON CONFLICT (app_id, url) DO UPDATE SET url = ?4 RETURNING id", "ssssi", fresh, organization_id, app_id, url, now);

		snprintf(ret_id, ID_MAX, "%s", db_next(s) ? db_text_or(s, 0, "") : "");
	}
	*ret_created = text_eq(fresh, ret_id);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

bool redirect_remove(struct db_conn *c, const char *organization_id, const char *app_id, const char *id)
{
	return db_run(c, "DELETE FROM redirect_url WHERE id = ?1 AND app_id = ?2 AND organization_id = ?3", "sss", id, app_id,
		      organization_id) == 1;
}

struct stmt *redirect_list(struct db_conn *c, const char *organization_id, const char *app_id, const char *after, int limit)
{
	return db_query(c, "SELECT id, url, created_at FROM redirect_url WHERE organization_id = ?1 AND app_id = ?2 AND id > ?3"
			" ORDER BY id LIMIT ?4", "sssi", organization_id, app_id, after, (int64_t)limit);
}

struct stmt *redirect_find(struct db_conn *c, const char *organization_id, const char *app_id, const char *id)
{
	return db_query(c, "SELECT id, url, created_at FROM redirect_url WHERE organization_id = ?1 AND app_id = ?2 AND id = ?3", "sss",
			organization_id, app_id, id);
}
