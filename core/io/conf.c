/*
 * Configuration: one table of keys drives reading, checking, defaults and the printed reference.
 *
 * The one thing to know: a relative path is never taken from the working directory.  It is taken from the
 * base folder: the parent of the ini's folder when that folder is named etc, else the ini's own folder.  For
 * an ini directly in /etc that would be /, so there every path must be written in full.
 */
#include "core/io/conf.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/confvalue.h"
#include "core/io/inifile.h"

#define ARENA_MAX (64 * 1024 * 1024)
#define PROVIDER_FILES_MAX 200
#define PROVIDERS_MAX 200
#define PAIRS_MAX 100		/* base_url.* or setting.* of one provider */

/* DATA and LISTEN at the start or end of a default stand for [server] data_folder and the section's listen. */
struct spec {
	const char *section, *key;
	enum conf_type type;
	size_t at;
	int min, max;			/* of TYPE_NUMBER */
	const char *standard;		/* NULL: none */
	const char *help;
};

#define C(field) offsetof(struct conf, field)
#define P(field) offsetof(struct conf_provider, field)

static const struct spec specs[] = {
	{"server", "listen", TYPE_ADDRESS, C(listen), 0, 0, "127.0.0.1:8080",
		"IPv4 address and port of the HTTP API; TLS is the proxy's"},
	{"server", "public_url", TYPE_ORIGIN, C(public_url), 0, 0, "http://LISTEN",
		"what browsers and platforms see: callbacks and links are built from it; required unless listen is a loopback address"},
	{"server", "data_folder", TYPE_PATH, C(data_folder), 0, 0, "var",
		"the store, its lock and the control socket; mode 0700"},
	{"server", "control_socket", TYPE_SOCKET, C(control_socket), 0, 0, "DATA/control.sock",
		"where commands reach the running server; mode 0600"},
	{"server", "threads", TYPE_NUMBER, C(threads), 4, 512, "64", "connections served at once"},
	{"server", "key_per_minute", TYPE_NUMBER, C(key_per_minute), 0, 10000000, "6000", "requests a minute of one API key; 0: no limit"},
	{"server", "address_per_minute", TYPE_NUMBER, C(address_per_minute), 0, 10000000, "12000",
		"requests a minute of one client address; 0: no limit"},
	{"vault", "key_file", TYPE_PATH, C(key_file), 0, 0, "DATA/master.key",
		"master key: 64 hex characters, mode 0400, owned by the server's user; KEY_FILE.old-NAME beside it still unwraps"},
	{"vault", "create_key", TYPE_FLAG, C(create_key), 0, 0, "no", "make a missing master key; for a new installation only"},
	{"providers", "folder", TYPE_PATH, C(provider_folder), 0, 0, "plugins",
		"the provider files (.so); writable by nobody but root or the server's user"},
	{"providers", "conf_folder", TYPE_PATH, C(provider_conf_folder), 0, 0, "etc/providers.d",
		"every *.ini in it is read and may hold [provider.ID] sections"},
	{"providers", "host_program", TYPE_PATH, C(host_program), 0, 0, "libexec/mypostshare-host",
		"the program that runs one provider, confined"},
	{"providers", "probe_program", TYPE_PATH, C(probe_program), 0, 0, "libexec/mypostshare-probe",
		"the program that tells what a media file is, confined"},
	{"media", "max_upload_mb", TYPE_NUMBER, C(media_upload_mb), 1, 102400, "512", "MiB of one file, uploaded or fetched"},
	{"media", "quota_mb", TYPE_NUMBER, C(media_quota_mb), 1, 100000000, "10240", "MiB of all media items of one organization"},
	{"media", "keep_days", TYPE_NUMBER, C(media_keep_days), 1, 3650, "7",
		"days after which a media item goes that no post holds any more; an upload may say keepDays"},
	{"media", "fetch_seconds", TYPE_NUMBER, C(media_fetch_seconds), 1, 3600, "300",
		"a file that is fetched by its address must be here by then"},
	{"sandbox", "enabled", TYPE_FLAG, C(sandbox), 0, 0, "yes", "run the sandbox platform that test keys publish to"},
	{"sandbox", "url", TYPE_URL, C(sandbox_url), 0, 0, NULL, "a sandbox that runs elsewhere; serve then starts none"},
	{"sandbox", "public_url", TYPE_URL, C(sandbox_public_url), 0, 0, "http://LISTEN",
		"where browsers reach the sandbox's consent page; with url set, the default is url"},
	{"sandbox", "listen", TYPE_ADDRESS, C(sandbox_listen), 0, 0, "127.0.0.1:8081", "address and port of the sandbox that serve starts"},
	{"sandbox", "settle_ms", TYPE_NUMBER, C(sandbox_settle_ms), 1, 600000, "10000",
	 "how long after a lost request the sandbox may still commit it"},
	{"sandbox", "folder", TYPE_PATH, C(sandbox_folder), 0, 0, "DATA/sandbox", "the sandbox's own store"},
	{"egress", "allow", TYPE_ADDRESSES, C(allow), 0, 0, NULL,
		"tests only: addresses with port, separated by blanks or commas, that outgoing requests may reach although they are "
		"not public, also by plain http"},
	{"egress", "ca_file", TYPE_PATH, C(ca_file), 0, 0, NULL, "certificate authorities for outgoing TLS; default: the system's"},
	{"engine", "in_flight", TYPE_NUMBER, C(in_flight), 1, 10000, "1000", "operations between their claim and their end at once"},
	{"engine", "request_timeout_ms", TYPE_NUMBER, C(request_timeout_ms), 100, 600000, "60000",
	 "a request to a platform without an answer for so long counts as lost"},
	{"engine", "claim_batch", TYPE_NUMBER, C(claim_batch), 1, 200, "200", "due deliveries claimed in one write"},
	{"log", "level", TYPE_LEVEL, C(log_level), 0, 0, "info", "least level that is written: debug, info, warn or error"},
	{"provider.ID", "enabled", TYPE_FLAG, P(enabled), 0, 0, "yes", "no: the platform is not offered"},
	{"provider.ID", "file", TYPE_TEXT, P(file), 0, 0, NULL, "file name in [providers] folder, or a whole path; default: ID.so"},
	{"provider.ID", "sha256", TYPE_SHA256, P(sha256), 0, 0, NULL, "load the file only if it has this digest"},
	{"provider.ID", "client_id", TYPE_TEXT, P(client_id), 0, 0, NULL, "client id of the managed credential"},
	{"provider.ID", "client_secret_file", TYPE_PATH, P(client_secret_file), 0, 0, NULL,
		"file that holds the client secret of the managed credential; mode 0400"},
	{"provider.ID", "base_url.HOST", TYPE_URL_PAIR, P(base_urls), 0, 0, NULL, "requests to HOST go to this URL instead; one line per host"},
	{"provider.ID", "browser_url.HOST", TYPE_URL_PAIR, P(browser_urls), 0, 0, NULL,
		"where a person's browser goes in place of HOST, which base_url.HOST decides otherwise"},
	{"provider.ID", "setting.NAME", TYPE_PAIR, P(settings), 0, 0, NULL, "a setting that the provider's steps can read"},
	{NULL, NULL, 0, 0, 0, 0, NULL, NULL}
};

#define PROVIDER "provider."

struct seen { struct seen *next; const char *section, *key, *file; int line; };

struct load {
	struct conf *conf;
	const char *base;		/* folder of relative paths; NULL: none may be relative */
	struct seen *seen;
	int providers_only;		/* reading a file of conf_folder */
};

/* ---- finding and storing --------------------------------------------------------------------------- */

static int section_is(const struct spec *s, const char *section)
{
	return text_starts(s->section, PROVIDER) ? text_starts(section, PROVIDER) : strcmp(s->section, section) == 0;
}

static int key_is(const struct spec *s, const char *key)
{
	const char *dot = strchr(s->key, '.');
	return dot ? strncmp(s->key, key, (size_t)(dot + 1 - s->key)) == 0 && key[dot + 1 - s->key] : strcmp(s->key, key) == 0;
}

static const struct spec *spec_find(const char *section, const char *key)
{
	for (const struct spec *s = specs; s->section; s++)
		if (section_is(s, section) && key_is(s, key))
			return s;
	return NULL;
}

static enum rc unknown(struct cx *cx, const struct conf_at *at)
{
	const char *sections[16] = {NULL}, *keys[16] = {NULL};
	size_t section_count = 0, key_count = 0;

	for (const struct spec *s = specs; s->section; s++) {
		if (section_is(s, at->section) && key_count < 15)
			keys[key_count++] = s->key;
		if ((s == specs || strcmp(s->section, s[-1].section) != 0) && section_count < 15)
			sections[section_count++] = s->section;
	}
	const char *near = text_nearest(key_count ? at->key : at->section, key_count ? keys : sections);
	return fail(cx, RC_INVALID, "%s:%d: unknown %s [%s] %s%s%s", at->file, at->line,
		key_count ? "key" : "section", at->section, at->key, near ? "; did you mean " : "", near ? near : "");
}

/* The same key twice is refused, in one file or two: which one counts would depend on the order. */
static enum rc once(struct cx *cx, struct load *l, const struct conf_at *at)
{
	struct arena *a = &l->conf->arena;
	for (const struct seen *s = l->seen; s; s = s->next)
		if (strcmp(s->section, at->section) == 0 && strcmp(s->key, at->key) == 0)
			return fail(cx, RC_INVALID, "%s:%d: [%s] %s was already given at %s:%d", at->file, at->line,
				at->section, at->key, s->file, s->line);
	struct seen *s = arena_new(a, struct seen);
	*s = (struct seen){l->seen, arena_text(a, at->section), arena_text(a, at->key), arena_text(a, at->file), at->line};
	l->seen = s;
	return RC_OK;
}

static const char *path_full(struct load *l, const char *base, const char *path)
{
	if (path[0] == '/')
		return arena_text(&l->conf->arena, path);
	return base ? arena_printf(&l->conf->arena, "%s/%s", base, path) : NULL;
}

static enum rc provider_take(struct cx *cx, struct load *l, const struct conf_at *at, struct conf_provider **ret)
{
	struct conf *c = l->conf;
	const char *id = at->section + strlen(PROVIDER);
	size_t n = strlen(id);

	for (int i = 0; i < c->provider_count; i++)
		if (strcmp(c->providers[i].id, id) == 0) {
			*ret = &c->providers[i];
			return RC_OK;
		}
	if (n == 0 || n > 32 || strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
		return fail(cx, RC_INVALID, "%s:%d: a provider's id has 1 to 32 of a-z, 0-9 and -", at->file, at->line);
	if (c->provider_count == PROVIDERS_MAX)
		return fail(cx, RC_INVALID, "%s:%d: more than %d providers", at->file, at->line, PROVIDERS_MAX);
	struct conf_provider *p = &c->providers[c->provider_count++];
	p->id = arena_text(&c->arena, id);
	p->enabled = 1;
	*ret = p;
	return RC_OK;
}

static enum rc pair_take(struct cx *cx, struct load *l, const struct conf_at *at, struct conf_pairs *pairs)
{
	struct arena *a = &l->conf->arena;
	if (pairs->list == NULL)
		pairs->list = arena_array(a, struct conf_pair, PAIRS_MAX);
	if (pairs->count == PAIRS_MAX)
		return fail(cx, RC_INVALID, "%s:%d: more than %d lines of this kind for one provider", at->file, at->line, PAIRS_MAX);
	pairs->list[pairs->count++] = (struct conf_pair){arena_text(a, strchr(at->key, '.') + 1), arena_text(a, at->value),
		arena_text(a, at->file), at->line};
	return RC_OK;
}

/* Stores a checked value: the type says what stands at the offset. */
static enum rc store(struct cx *cx, struct load *l, const struct spec *s, const struct conf_at *at, void *record)
{
	char *where = (char *)record + s->at;
	int64_t number;

	switch (s->type) {
	case TYPE_FLAG:
		*(int *)(void *)where = strcmp(at->value, "yes") == 0;
		return RC_OK;
	case TYPE_NUMBER:
		text_int(at->value, &number);
		*(int *)(void *)where = (int)number;
		return RC_OK;
	case TYPE_ADDRESSES:
		*(const char ***)(void *)where = conf_list(&l->conf->arena, at->value);
		return RC_OK;
	case TYPE_URL_PAIR:
	case TYPE_PAIR:
		return pair_take(cx, l, at, (struct conf_pairs *)(void *)where);
	case TYPE_PATH:
	case TYPE_SOCKET:
		*(const char **)(void *)where = path_full(l, l->base, at->value);
		if (*(const char **)(void *)where == NULL)
			return fail(cx, RC_INVALID, "%s:%d: [%s] %s must be a whole path, because this ini has no base folder but /",
				at->file, at->line, at->section, at->key);
		return RC_OK;
	default:
		*(const char **)(void *)where = arena_text(&l->conf->arena, at->value);
		return RC_OK;
	}
}

static enum rc each(struct cx *cx, void *arg, const char *file, int line, const char *section, const char *key, const char *value)
{
	struct load *l = arg;
	struct conf_at at = {file, line, section, key, value};
	const struct spec *s = spec_find(section, key);
	struct conf_provider *p = NULL;

	if (s == NULL)
		return unknown(cx, &at);
	int provider = text_starts(section, PROVIDER);
	if (!provider && l->providers_only)
		return fail(cx, RC_INVALID, "%s:%d: only [provider.ID] sections may stand in the files of [providers] conf_folder", file, line);
	enum rc rc = once(cx, l, &at);
	if (rc == RC_OK)
		rc = conf_value_check(cx, &at, s->type, s->min, s->max);
	if (rc == RC_OK && provider)
		rc = provider_take(cx, l, &at, &p);
	return rc ? rc : store(cx, l, s, &at, p ? (void *)p : (void *)l->conf);
}

/* ---- defaults and what spans keys ------------------------------------------------------------------ */

/* DATA/x and http://LISTEN: the words that a default may hold. */
static const char *expand(struct load *l, const struct spec *s)
{
	struct conf *c = l->conf;
	const char *listen = strcmp(s->section, "sandbox") == 0 ? c->sandbox_listen : c->listen;

	if (text_starts(s->standard, "DATA/"))
		return arena_printf(&c->arena, "%s/%s", c->data_folder, s->standard + strlen("DATA/"));
	if (strcmp(s->standard, "http://LISTEN") == 0)
		return strcmp(strchr(listen, ':'), ":0") == 0 ? NULL : arena_printf(&c->arena, "http://%s", listen);
	return s->standard;
}

static int given(const struct load *l, const char *section, const char *key, struct conf_at *ret)
{
	for (const struct seen *s = l->seen; s; s = s->next)
		if (strcmp(s->section, section) == 0 && strcmp(s->key, key) == 0) {
			*ret = (struct conf_at){s->file, s->line, section, key, ""};
			return 1;
		}
	return 0;
}

/* Two passes: what a default refers to (listen, data_folder) comes first. */
static enum rc defaults(struct cx *cx, struct load *l, int late)
{
	struct conf_at at;
	for (const struct spec *s = specs; s->section; s++) {
		if (s->standard == NULL || text_starts(s->section, PROVIDER) || given(l, s->section, s->key, &at))
			continue;
		if ((text_starts(s->standard, "DATA/") || strcmp(s->standard, "http://LISTEN") == 0) != late)
			continue;
		if ((s->type == TYPE_PATH) && !late && l->base == NULL)
			return fail(cx, RC_INVALID, "%s: [%s] %s is missing: an ini in /etc has no base folder but /, so paths must be written in full",
				l->conf->file, s->section, s->key);
		at = (struct conf_at){l->conf->file, 0, s->section, s->key, expand(l, s)};
		enum rc rc = store(cx, l, s, &at, l->conf);
		if (rc)
			return rc;
	}
	return RC_OK;
}

static enum rc across(struct cx *cx, struct load *l)
{
	struct conf *c = l->conf;
	struct conf_at at;

	if (!conf_loopback(c->listen) && !given(l, "server", "public_url", &at))
		return fail(cx, RC_INVALID, "%s: [server] public_url is required, because listen (%s) is not a loopback address", c->file, c->listen);
	if (c->sandbox_url && !given(l, "sandbox", "public_url", &at))
		c->sandbox_public_url = c->sandbox_url;
	if (strlen(c->control_socket) >= sizeof ((struct sockaddr_un *)0)->sun_path) {
		int own = given(l, "server", "control_socket", &at) || given(l, "server", "data_folder", &at);
		return fail(cx, RC_INVALID, "%s:%d: [server] control_socket is longer than 107 characters: %s",
			own ? at.file : c->file, own ? at.line : 0, c->control_socket);
	}
	for (int i = 0; i < c->provider_count; i++) {
		struct conf_provider *p = &c->providers[i];
		const char *section = arena_printf(&c->arena, "provider.%s", p->id);
		if (p->client_secret_file && p->client_id == NULL && given(l, section, "client_secret_file", &at))
			return fail(cx, RC_INVALID, "%s:%d: [%s] client_secret_file without client_id", at.file, at.line, section);
		p->file = path_full(l, c->provider_folder, p->file ? p->file : arena_printf(&c->arena, "%s.so", p->id));
	}
	return RC_OK;
}

/* ---- files ----------------------------------------------------------------------------------------- */

static enum rc base_find(struct cx *cx, struct load *l, const char *file)
{
	char *real = realpath(file, NULL);
	if (real == NULL)
		return fail(cx, errno == ENOENT ? RC_NOT_FOUND : RC_IO, "%s: %s", file, strerror(errno));
	char *folder = arena_text(&l->conf->arena, real);
	free(real);
	*strrchr(folder, '/') = '\0';
	char *name = strrchr(folder, '/');
	if (name && strcmp(name, "/etc") == 0)
		*name = '\0';
	l->base = *folder ? folder : NULL;
	return RC_OK;
}

static enum rc folder_read(struct cx *cx, struct load *l)
{
	struct conf_at at;
	struct stat st;
	glob_t found;
	enum rc rc = RC_OK;
	const char *folder = l->conf->provider_conf_folder;

	int asked = given(l, "providers", "conf_folder", &at);
	if (stat(folder, &st) != 0 && errno == ENOENT && !asked)
		return RC_OK;
	if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode))
		return fail(cx, RC_INVALID, "%s:%d: [providers] conf_folder %s is not a folder that can be read",
			asked ? at.file : l->conf->file, asked ? at.line : 0, folder);
	int status = glob(arena_printf(&l->conf->arena, "%s/*.ini", folder), GLOB_ERR, NULL, &found);
	if (status == GLOB_NOMATCH)
		return RC_OK;
	if (status != 0)
		return fail(cx, RC_IO, "%s: cannot be read", folder);
	if (found.gl_pathc > PROVIDER_FILES_MAX)
		rc = fail(cx, RC_INVALID, "%s: holds more than %d ini files", folder, PROVIDER_FILES_MAX);
	l->providers_only = 1;
	for (size_t i = 0; i < found.gl_pathc && rc == RC_OK; i++)
		rc = inifile_read(cx, found.gl_pathv[i], each, l);
	globfree(&found);
	return rc;
}

static enum rc load(struct cx *cx, struct load *l, const char *file)
{
	enum rc rc = base_find(cx, l, file);
	if (rc == RC_OK)
		rc = inifile_read(cx, file, each, l);
	if (rc == RC_OK)
		rc = defaults(cx, l, 0);
	if (rc == RC_OK)
		rc = defaults(cx, l, 1);
	if (rc == RC_OK)
		rc = folder_read(cx, l);
	return rc ? rc : across(cx, l);
}

enum rc conf_load(struct cx *cx, const char *file, struct conf *ret)
{
	static const char *none[] = {NULL};
	struct conf c = {.allow = none};
	struct load l = {.conf = &c};

	arena_init(&c.arena, ARENA_MAX);
	c.file = arena_text(&c.arena, file);
	c.providers = arena_array(&c.arena, struct conf_provider, PROVIDERS_MAX);
	enum rc rc = load(cx, &l, file);
	if (rc) {
		arena_free(&c.arena);
		return rc;
	}
	*ret = c;
	return RC_OK;
}

void conf_free(struct conf *c)
{
	arena_free(&c->arena);
	*c = (struct conf){.arena = c->arena};
}

const struct conf_provider *conf_provider(const struct conf *c, const char *id)
{
	for (int i = 0; i < c->provider_count; i++)
		if (strcmp(c->providers[i].id, id) == 0)
			return &c->providers[i];
	return NULL;
}

void conf_reference(struct buf *out)
{
	const char *section = "";
	for (const struct spec *s = specs; s->section; s++) {
		if (strcmp(section, s->section) != 0) {
			buf_addf(out, "%s## [%s]\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n",
				*section ? "\n" : "", s->section);
			section = s->section;
		}
		buf_addf(out, "| `%s` | %s", s->key, conf_type_name(s->type));
		if (s->type == TYPE_NUMBER)
			buf_addf(out, " %d to %d", s->min, s->max);
		buf_addf(out, " | %s%s%s | %s |\n", s->standard ? "`" : "", s->standard ? s->standard : "–",
			s->standard ? "`" : "", s->help);
	}
}
