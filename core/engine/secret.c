/*
 * Secrets of an operation: one bag in clear for as long as the operation is in memory, wiped with it.  Hosts
 * only ever see names ("token.access", "sec:3"); values are put in at send time and taken out of answers here,
 * before the answer reaches a host, an attempt row or the log.
 */
#include "core/engine/op.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/model/instance.h"

#define TOKEN_ANSWER_MAX (64u * 1024u)
#define HANDLE_MAX 28		/* "sec:", 20 digits, NUL */

/* ---- loading --------------------------------------------------------------------------------------- */

static void read_file(struct op *op, const char *path)
{
	char bytes[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);

	while (n > 0 && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r'))
		n--;
	if (n > 0)
		bag_put_bytes(&op->secrets, REC_STATE, "client.secret", bytes, (size_t)n);
	else
		log_error("engine", "client secret of %s: %s cannot be read", op->row.provider, path);
	explicit_bzero(bytes, sizeof bytes);
	if (fd >= 0)
		close(fd);
}

/* The app registered at the grant's instance; the credential that issued the grant; else the installation's own from
 * the ini; else the sandbox's. */
static void load_client(struct op *op, struct db_conn *c)
{
	const struct conf_provider *conf = conf_provider(op->e->config.conf, op->row.provider);

	if (op->grant.instance_id != NULL) {
		if (instance_secrets(&op->cx, c, op->e->vault, op->grant.instance_id, op->grant.owner.organization_id, &op->secrets) != RC_OK)
			log_error("engine", "operation %s: %s", op->id, op->cx.words);
		return;
	}
	facts_secrets(op, c);
	if (bag_has(&op->secrets, "client.id"))
		return;
	if (op->grant.credential_id != NULL) {
		(void)credential_secrets(&op->cx, c, op->e->vault, op->grant.credential_id, &op->secrets);
		return;
	}
	if (text_eq(op->row.provider, "sandbox"))
		bag_put(&op->secrets, REC_STATE, "client.id", "sandbox");
	if (conf != NULL && conf->client_id != NULL)
		bag_put(&op->secrets, REC_STATE, "client.id", conf->client_id);
	if (conf != NULL && conf->client_secret_file != NULL)
		read_file(op, conf->client_secret_file);
}

void secret_load(struct op *op, struct db_conn *c)
{
	struct buf numbered;
	size_t at = 0;
	struct rec r;

	buf_init(&numbered, BAG_MAX);
	while (rec_next(op->secrets.data, op->secrets.len, &at, &r, NULL))
		if (r.key_len > 4 && memcmp(r.key, "sec:", 4) == 0)
			rec_add(&numbered, REC_STATE, arena_dup(&op->arena, r.key, r.key_len), r.value, r.value_len);
	buf_wipe(&op->secrets);
	if (op->has_grant) {
		if (grant_secrets(&op->cx, c, op->e->vault, &op->grant, &op->secrets) != RC_OK) {
			log_error("engine", "operation %s: the tokens of grant %s: %s", op->id, op->grant.id, op->cx.words);
			op->blocked = "reauth";
			op->unreadable = op->cx.rc == RC_CORRUPT;
		}
		load_client(op, c);
	}
	buf_add(&op->secrets, numbered.data, numbered.len);
	buf_wipe(&numbered);
}

/* ---- giving ---------------------------------------------------------------------------------------- */

static const struct { const char *handle, *key; } names[] = {
	{"token.refresh", "refresh"},
	{"oauth.code", "code"},
	{"oauth.code_verifier", "code_verifier"},
};

const char *secret_find(const struct op *op, const char *handle, size_t *ret_len)
{
	char target[80];
	size_t n = strlen(handle);

	if (text_starts(handle, "made:"))
		return bag_find(&op->made, handle, ret_len);
	if (text_eq(handle, "token.access"))
		return bag_find(&op->secrets, op->target != NULL ? op->target : "access", ret_len);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (text_eq(names[i].handle, handle))
			return bag_find(&op->secrets, names[i].key, ret_len);
	if (text_starts(handle, "targets.") && n > 6 && n < sizeof target && text_eq(handle + n - 6, ".token")) {
		snprintf(target, sizeof target, "%.*s", (int)(n - 6), handle);
		return bag_find(&op->secrets, target, ret_len);
	}
	return bag_find(&op->secrets, handle, ret_len);
}

static void write_json(struct buf *out, const char *value, size_t n)
{
	struct buf quoted;
	struct jsonw w;

	buf_init(&quoted, 1u << 20);
	jsonw_init(&w, &quoted);
	jsonw_textn(&w, "", value, n);
	if (quoted.len >= 2)
		buf_add(out, quoted.data + 1, quoted.len - 2);
	buf_wipe(&quoted);
}

/* Private keys sign; they are never written anywhere, whatever a host says. */
static bool is_key(const char *handle)
{
	return text_eq(handle, "client.key") || text_eq(handle, "dpop");
}

/* One side of "basic": "=" and literal text, or the name of a handle; percent-encoded. */
static bool basic_side(const struct op *op, const char *side, size_t n, struct buf *out)
{
	BUF_AUTO struct buf name;
	const char *value;

	buf_init(&name, 16384);
	if (n > 0 && side[0] == '=')
		return text_unpercent(out, side + 1, n - 1, false);
	if (!text_unpercent(&name, side, n, false) || is_key(buf_text(&name)) ||
	    (value = secret_find(op, buf_text(&name), &n)) == NULL)
		return false;
	buf_add(out, value, n);
	return true;
}

static bool write_basic(const struct op *op, const char *pair, struct buf *out)
{
	const char *colon = strchr(pair, ':');
	struct buf joined;
	bool ok;

	buf_init(&joined, 65536);
	ok = colon != NULL && basic_side(op, pair, (size_t)(colon - pair), &joined);
	buf_addc(&joined, ':');
	ok = ok && basic_side(op, colon + 1, strlen(colon + 1), &joined);
	if (ok)
		text_base64(out, joined.data, joined.len);
	buf_wipe(&joined);
	return ok;
}

bool secret_write(const struct op *op, const char *encoding, const char *handle, struct buf *out)
{
	size_t n;
	const char *value;

	if (text_eq(encoding, "basic"))
		return write_basic(op, handle, out);
	value = is_key(handle) ? NULL : secret_find(op, handle, &n);
	if (value == NULL)
		return false;
	if (text_eq(encoding, "percent"))
		text_percent(out, value, n);
	else if (text_eq(encoding, "form"))
		text_form(out, value, n);
	else if (text_eq(encoding, "json"))
		write_json(out, value, n);
	else
		buf_add(out, value, n);
	return true;
}

/* ---- taking out of answers -------------------------------------------------------------------------- */

struct redaction {
	struct op *op;
	struct jsonw w;
	const char *paths[40];
	int count;
	char at[512];		/* path of the value being written */
};

static bool path_matches(const char *pattern, const char *path)
{
	while (*pattern != '\0' && *path != '\0') {
		if (*pattern == '*') {
			path += strcspn(path, ".");
			pattern++;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return *pattern == *path;
}

static bool is_secret(const struct redaction *r)
{
	for (int i = 0; i < r->count; i++)
		if (path_matches(r->paths[i], r->at))
			return true;
	return false;
}

/* Numbers are drawn by lot: a text that a platform echoes can not be made to look like a handle. */
static void keep_secret(struct op *op, const char *value, size_t n, char handle[HANDLE_MAX])
{
	uint64_t number;

	id_random(&number, sizeof number);
	snprintf(handle, HANDLE_MAX, "sec:%llu", (unsigned long long)number);
	bag_put_bytes(&op->secrets, REC_STATE, handle, value, n);
	op->secret_touched = true;
}

static void seal_value(struct redaction *r, const char *key, const char *value)
{
	char handle[HANDLE_MAX];

	keep_secret(r->op, value, strlen(value), handle);
	jsonw_text(&r->w, key, handle);
}

static void rewrite(struct redaction *r, const char *key, struct jv v);

static void rewrite_members(struct redaction *r, struct jv v)
{
	size_t base = strlen(r->at);
	bool object = json_type(v) == JSON_OBJECT;
	const char *key = "";
	struct jv value;

	for (size_t i = 0; i < json_count(v); i++) {
		if (object)
			json_member(v, i, &key, &value);
		else
			value = json_at(v, i);
		if (object)
			snprintf(r->at + base, sizeof r->at - base, "%s%s", base > 0 ? "." : "", key);
		else
			snprintf(r->at + base, sizeof r->at - base, "%s%zu", base > 0 ? "." : "", i);
		rewrite(r, object ? key : "", value);
		r->at[base] = '\0';
	}
}

static void rewrite(struct redaction *r, const char *key, struct jv v)
{
	size_t n;
	const char *raw;

	if (json_type(v) == JSON_OBJECT) {
		jsonw_object(&r->w, key);
		rewrite_members(r, v);
		jsonw_object_end(&r->w);
	} else if (json_type(v) == JSON_ARRAY) {
		jsonw_array(&r->w, key);
		rewrite_members(r, v);
		jsonw_array_end(&r->w);
	} else if (json_text(v) != NULL && is_secret(r)) {	/* a number, too: read_tokens takes it as it stands */
		seal_value(r, key, json_text(v));
	} else {
		raw = json_raw(v, &n);
		jsonw_raw(&r->w, key, raw, n);
	}
}

static int64_t jwt_expiry(struct op *op, const char *token)
{
	const char *dot = token ? strchr(token, '.') : NULL, *end = dot ? strchr(dot + 1, '.') : NULL;
	struct buf claims;
	struct jv root;
	int64_t exp = 0;

	if (end == NULL)
		return 0;
	buf_init(&claims, 65536);
	if (text_unbase64url(&claims, dot + 1, (size_t)(end - dot - 1)) &&
	    json_parse(&op->cx, &op->arena, claims.data, claims.len, &root) == RC_OK)
		json_int(json_get(root, "exp"), &exp);
	buf_free(&claims);
	return exp * 1000;
}

/* What tokens are not taken from: RFC 6749 section 5.1, with some patience for the type's spelling. */
static const char *token_fault(struct op *op, const struct token_paths *t, struct jv root)
{
	const char *type = json_text(json_get(root, "token_type"));
	const char *wanted = t->type != NULL ? t->type : op->platform->dpop ? "DPoP" : "bearer";
	char content[100];

	op_answer_header(op, "content-type", content, sizeof content);
	if (content[0] != '\0' && strcasestr(content, "json") == NULL && strcasestr(content, "javascript") == NULL)
		return "the answer with the tokens is no JSON";
	if (op->body.len > TOKEN_ANSWER_MAX)
		return "the answer with the tokens is larger than 64 KiB";
	if (type != NULL && strcasecmp(type, wanted) != 0)
		return arena_printf(&op->arena, "the tokens are of type %.40s, not %s", type, wanted);
	return NULL;
}

/* Tokens as the descriptor says where they stand; the last 2xx answer of an operation wins. */
static void read_tokens(struct op *op, const struct token_paths *t, struct jv root)
{
	const char *access = json_text(json_path(root, t->access)), *refresh = json_text(json_path(root, t->refresh));
	const char *scope = json_text(json_path(root, t->scope));
	int64_t seconds = 0;

	if (access == NULL || access[0] == '\0')
		return;
	op->token_fault = token_fault(op, t, root);
	if (op->token_fault != NULL)
		return;
	op->have_tokens = true;
	bag_put(&op->secrets, REC_STATE, "access", access);
	if (refresh != NULL && refresh[0] != '\0')	/* an empty one never overwrites */
		bag_put(&op->secrets, REC_STATE, "refresh", refresh);
	op->tokens.refreshable = bag_has(&op->secrets, "refresh");
	if (text_eq(t->expires_in, "jwt"))
		op->tokens.expires_at = jwt_expiry(op, access);
	else if (json_int(json_path(root, t->expires_in), &seconds) && seconds > 0)
		op->tokens.expires_at = clock_now() + seconds * 1000;
	if (scope != NULL && scope[0] != '\0')
		op->tokens.scopes = arena_text(&op->arena, scope);
}

static void add_paths(struct redaction *r, const char *const *paths)
{
	for (int i = 0; paths != NULL && paths[i] != NULL && r->count < 36; i++)
		if (!text_starts(paths[i], "header:"))
			r->paths[r->count++] = paths[i];
}

/* Header values named as secret become handles in the header lines. */
static void seal_headers(struct op *op, const char *const *paths)
{
	for (int i = 0; paths != NULL && paths[i] != NULL; i++) {
		const char *line, *name = paths[i] + 7;
		char handle[HANDLE_MAX], start[128];
		struct buf out;
		int n;

		if (!text_starts(paths[i], "header:"))
			continue;
		n = snprintf(start, sizeof start, "%s: ", name);
		buf_init(&out, 128u * 1024u);
		for (line = buf_text(&op->headers); *line != '\0'; line = strchr(line, '\n') + 1) {
			size_t len = strcspn(line, "\n");

			if (strncmp(line, start, (size_t)n) == 0) {
				keep_secret(op, line + n, len - (size_t)n, handle);
				buf_addf(&out, "%s%s\n", start, handle);
			} else {
				buf_add(&out, line, len + 1);
			}
			if (line[len] == '\0')
				break;
		}
		buf_wipe(&op->headers);
		op->headers = out;
	}
}

void secret_answer(struct op *op)
{
	const char *const *paths = op->platform ? platform_secret_paths(op->platform, op->phase) : NULL;
	const struct token_paths *t = op->platform == NULL ? NULL : text_eq(op->row.kind, "exchange") ? &op->platform->exchange
		: text_eq(op->row.kind, "refresh") ? &op->platform->refresh : NULL;
	struct redaction r = {.op = op};
	struct arena a;
	struct buf out;
	struct jv root;
	struct cx cx;

	seal_headers(op, paths);
	if ((paths == NULL && t == NULL) || op->body.len == 0)
		return;
	cx_init(&cx, "engine");
	arena_init(&a, 32u << 20);
	buf_init(&out, 4u << 20);
	if (json_parse(&cx, &a, op->body.data, op->body.len, &root) == RC_OK) {
		if (t != NULL && op->status >= 200 && op->status < 300)
			read_tokens(op, t, root);
		if (t != NULL) {
			r.paths[r.count++] = t->access;
			r.paths[r.count++] = t->refresh;
			r.paths[r.count++] = "id_token";
		}
		add_paths(&r, paths);
		jsonw_init(&r.w, &out);
		rewrite(&r, "", root);
		buf_wipe(&op->body);
		op->body = out;
	} else if (op->status >= 200 && op->status < 300) {
		buf_reset(&op->body);	/* may hold what we could not take out */
		buf_free(&out);
	} else {
		buf_free(&out);
	}
	arena_free(&a);
}
