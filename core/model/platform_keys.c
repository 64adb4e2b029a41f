/*
 * Every key that a descriptor may have, at every depth, and the type of its value.
 *
 * The one thing to know: this table is the law.  A key that is not in it is refused, so that a misspelt limit cannot
 * pass unseen; sdk/DESCRIPTOR.md lists the same keys, and platform.c reads no other (tests/plays/sdk-docs.mjs compares
 * the three).
 */
#include "core/model/platform.h"

#include <string.h>

#include "core/base/log.h"
#include "core/base/text.h"
#include "sdk/provider.h"

#define COUNT_MAX 1000000000000ll	/* times 1,000 and added up it is far from the end of 64 bits */
#define ICON_MAX 8192

enum kind { TEXT, COUNT, NUMBER, BOOL, TEXTS, OBJECT, OBJECTS, HOSTS, LINK, ICON, VERSIONS };

static const char *const wanted[] = {
	"text", "a whole number of 0 to 1,000,000,000,000", "a number", "true or false", "a list of texts", "an object", "a list of objects",
	"a list of texts, each a public host name as api.example.com, *.example.com or api.example.com:8443", "an https:// address",
	"an SVG document of at most 8 KiB without script, style or references", "[least, greatest] of 1 or more",
};

/* "*": a member of any name; "[]": each element. */
static const struct key { const char *path; enum kind kind; } keys[] = {
	{ "name", TEXT }, { "icon", ICON }, { "docs", LINK }, { "operations", TEXTS },
	{ "hosts", HOSTS }, { "answer_hosts", HOSTS }, { "user_hosts", BOOL },
	{ "refresh_repeat", TEXT }, { "targets", TEXT }, { "state_versions", VERSIONS },

	{ "connect", OBJECT }, { "connect.method", TEXT }, { "connect.client", TEXT }, { "connect.dpop", BOOL },
	{ "connect.iss", TEXT },
	{ "connect.scopes", OBJECTS }, { "connect.scopes[].scope", TEXT }, { "connect.scopes[].reason", TEXT },
	{ "connect.fields", OBJECTS }, { "connect.fields[].name", TEXT }, { "connect.fields[].way", TEXT },
	{ "connect.fields[].label", TEXT }, { "connect.fields[].help", TEXT }, { "connect.fields[].help_url", LINK },
	{ "connect.fields[].type", TEXT }, { "connect.fields[].secret", BOOL }, { "connect.fields[].required", BOOL },
	{ "connect.fields[].default", TEXT }, { "connect.fields[].placeholder", TEXT }, { "connect.fields[].max", COUNT },

	{ "token_answer", OBJECT }, { "token_answer.exchange", OBJECT }, { "token_answer.refresh", OBJECT },
	{ "token_answer.*.access", TEXT }, { "token_answer.*.refresh", TEXT }, { "token_answer.*.expires_in", TEXT },
	{ "token_answer.*.scope", TEXT }, { "token_answer.*.scope_separator", TEXT }, { "token_answer.*.token_type", TEXT },
	{ "secret_answers", OBJECT }, { "secret_answers.*", TEXTS },

	{ "text", OBJECT }, { "text.max", COUNT }, { "text.count", TEXT }, { "text.max_bytes", COUNT }, { "text.required", BOOL },
	{ "text.url_length", COUNT }, { "text.mentions", TEXT }, { "text.with", TEXTS },

	{ "media", OBJECT }, { "media.max_items", COUNT }, { "media.max_images", COUNT }, { "media.max_videos", COUNT },
	{ "media.min_items", COUNT }, { "media.mixed", BOOL }, { "media.required", BOOL }, { "media.public_url", BOOL },
	{ "media.alt_max", COUNT }, { "media.image", OBJECT }, { "media.gif", OBJECT }, { "media.video", OBJECT },
	{ "media.*.mime", TEXTS }, { "media.*.max_bytes", COUNT }, { "media.*.min_width", COUNT }, { "media.*.min_height", COUNT },
	{ "media.*.max_width", COUNT }, { "media.*.max_height", COUNT }, { "media.*.max_pixels", COUNT },
	{ "media.*.min_ratio", NUMBER }, { "media.*.max_ratio", NUMBER }, { "media.*.min_duration_ms", COUNT },
	{ "media.*.max_duration_ms", COUNT }, { "media.*.max_frame_rate", NUMBER },

	{ "capabilities", OBJECT }, { "capabilities.text", BOOL }, { "capabilities.images", BOOL }, { "capabilities.video", BOOL },
	{ "capabilities.mixed", BOOL }, { "capabilities.link", BOOL }, { "capabilities.threads", BOOL },
	{ "capabilities.first_comment", BOOL }, { "capabilities.delete", BOOL }, { "capabilities.edit", BOOL },
	{ "capabilities.alt_text", BOOL },

	{ "options", OBJECTS }, { "options[].name", TEXT }, { "options[].label", TEXT }, { "options[].help", TEXT },
	{ "options[].type", TEXT }, { "options[].values", TEXTS }, { "options[].default", TEXT }, { "options[].required", BOOL },
	{ "options[].min", COUNT }, { "options[].max", COUNT }, { "options[].first_with", TEXT }, { "options[].once", BOOL },

	{ "dedupe", OBJECT }, { "dedupe.*", OBJECT }, { "dedupe.*.class", TEXT }, { "dedupe.*.window_s", COUNT },
	{ "dedupe.*.settle_s", COUNT }, { "dedupe.*.search_lag_s", COUNT }, { "dedupe.*.atomic", BOOL },

	{ "rate", OBJECT }, { "rate.publish_per_minute", COUNT }, { "rate.publish_per_hour", COUNT }, { "rate.publish_per_day", COUNT },
	{ "rate.requests_per_minute", COUNT }, { "rate.header_remaining", TEXT }, { "rate.header_reset", TEXT },
	{ "rate.reset", TEXT },

	{ "poll", OBJECT }, { "poll.*", OBJECT }, { "poll.*.first_s", COUNT }, { "poll.*.max_s", COUNT },
};

struct check { struct cx *cx; struct arena *arena; const char *id; bool strict; enum rc rc; };

/* Whether path ("media.image.mime") is what pattern ("media.*.mime") says. */
static bool path_is(const char *pattern, const char *path)
{
	while (*pattern && *path) {
		if (*pattern == '*') {
			pattern++;
			path += strcspn(path, ".[");
		} else if (*pattern++ != *path++)
			return false;
	}
	return *pattern == '\0' && *path == '\0';
}

static const struct key *key_find(const char *path)
{
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		if (path_is(keys[i].path, path))
			return &keys[i];
	return NULL;
}

static bool all_are(struct jv list, enum json_type type)
{
	for (size_t i = 0; i < json_count(list); i++)
		if (json_type(json_at(list, i)) != type)
			return false;
	return json_type(list) == JSON_ARRAY;
}

/* Two labels or more behind a leading "*.", the last of them no number: an address is no name, and nobody is given
 * a whole country, this machine, or the network that it stands in. */
static bool is_host(const char *s)
{
	size_t n = strcspn(s, ":"), labels = 1, label = 0;
	int64_t port = 443;
	bool letters = false;

	if (s[n] == ':' && (!text_int(s + n + 1, &port) || port < 1 || port > 65535))
		return false;
	if (text_starts(s, "*."))
		s += 2, n -= 2;
	for (size_t i = 0; i < n; i++) {
		bool letter = s[i] >= 'a' && s[i] <= 'z', inner = letter || (s[i] >= '0' && s[i] <= '9') || s[i] == '-';

		if (s[i] == '.' ? label == 0 : !inner)
			return false;
		labels += s[i] == '.';
		letters = s[i] == '.' ? false : letters || letter;
		label = s[i] == '.' ? 0 : label + 1;
	}
	return n <= 253 && labels >= 2 && label > 0 && letters;
}

static bool hosts_fit(struct jv list)
{
	for (size_t i = 0; all_are(list, JSON_STRING) && i < json_count(list); i++)
		if (!is_host(json_text(json_at(list, i))))
			return false;
	return all_are(list, JSON_STRING);
}

static bool is_link(const char *s)
{
	return text_starts(s, "https://") && strpbrk(s, "\"'<>\\` ") == NULL && text_printable(s);
}

/* It is drawn inside our own pages. */
static bool is_icon(const char *s)
{
	static const char *const never[] = {"<script", "<style", "<foreignobject", "<!", "<?", "href", "url(", "script:", " on", "\ton", "\non",
		"/on", "\"on", "'on", NULL};

	for (int i = 0; never[i] != NULL; i++)
		if (strcasestr(s, never[i]) != NULL)
			return false;
	return *s == '\0' || (strlen(s) <= ICON_MAX && text_starts(s, "<svg") && text_printable(s));
}

static bool versions_fit(struct jv v)
{
	int64_t least = 0, greatest = 0;

	return json_type(v) == JSON_ARRAY && json_count(v) == 2 && json_int(json_at(v, 0), &least) && json_int(json_at(v, 1), &greatest) &&
	       least >= 1 && least <= greatest && greatest <= COUNT_MAX;
}

static bool fits(struct jv v, enum kind kind)
{
	int64_t n;

	switch (kind) {
	case TEXT: return json_type(v) == JSON_STRING;
	case COUNT: return json_int(v, &n) && n >= 0 && n <= COUNT_MAX;
	case NUMBER: return json_type(v) == JSON_NUMBER;
	case BOOL: return json_type(v) == JSON_BOOL;
	case TEXTS: return all_are(v, JSON_STRING);
	case OBJECT: return json_type(v) == JSON_OBJECT;
	case OBJECTS: return all_are(v, JSON_OBJECT);
	case HOSTS: return hosts_fit(v);
	case LINK: return json_type(v) == JSON_STRING && (json_text(v)[0] == '\0' || is_link(json_text(v)));
	case ICON: return json_type(v) == JSON_STRING && is_icon(json_text(v));
	case VERSIONS: return versions_fit(v);
	default: return false;
	}
}

static void value_check(struct check *c, struct jv v, const char *path);

static void members_check(struct check *c, struct jv object, const char *path)
{
	const char *name;
	struct jv value;

	for (size_t i = 0; c->rc == RC_OK && json_member(object, i, &name, &value); i++)
		value_check(c, value, *path ? arena_printf(c->arena, "%s.%s", path, name) : name);
}

static void value_check(struct check *c, struct jv v, const char *path)
{
	const struct key *k = key_find(path);

	if (k == NULL && c->strict)
		c->rc = fail(c->cx, RC_INVALID, "provider %s: descriptor key \"%s\": is not known; see sdk/DESCRIPTOR.md", c->id, path);
	else if (k == NULL)
		log_warn("providers", "provider %s: descriptor key \"%s\" is newer than this server and is ignored", c->id, path);
	else if (json_type(v) != JSON_NULL && !fits(v, k->kind))
		c->rc = fail(c->cx, RC_INVALID, "provider %s: descriptor key \"%s\": must be %s", c->id, path, wanted[k->kind]);
	else if (k->kind == OBJECT)
		members_check(c, v, path);
	else if (k->kind == OBJECTS)
		for (size_t i = 0; c->rc == RC_OK && i < json_count(v); i++)
			members_check(c, json_at(v, i), arena_printf(c->arena, "%s[]", path));
}

/* Without these nobody could connect or publish, and nothing would say why. */
enum rc platform_required_check(struct cx *cx, const char *id, struct jv root)
{
	static const char *const required[] = { "name", "operations", "connect", "hosts", "dedupe" };
	struct jv kinds = json_get(root, "operations");
	bool publishes = false;

	for (size_t i = 0; i < json_count(kinds); i++)
		publishes |= text_eq(json_text(json_at(kinds, i)), "publish");
	for (size_t i = 0; i < sizeof required / sizeof required[0]; i++)
		if (json_type(json_get(root, required[i])) == JSON_NONE && (publishes || !text_eq(required[i], "dedupe")))
			return fail(cx, RC_INVALID, "provider %s: descriptor key \"%s\": is missing; see sdk/DESCRIPTOR.md", id, required[i]);
	return RC_OK;
}

enum rc platform_keys_check(struct cx *cx, struct arena *a, const char *id, uint32_t abi_minor, struct jv root)
{
	struct check c = { cx, a, id, abi_minor <= MPS_ABI_MINOR, RC_OK };

	members_check(&c, root, "");
	return c.rc;
}
