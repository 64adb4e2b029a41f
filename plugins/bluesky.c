/*
 * Bluesky and every other server of the AT Protocol, by app password.
 *
 * The one thing to know: a post lies in the account's repository under a record key that we choose, and putting the
 * same record under the same key again changes nothing.  The key comes from the seed, so every attempt at one
 * content has the same, an answer that was lost costs nothing, and getRecord tells whether the post is there.
 *
 * Measured on the reference server (0.4.217): a consumed refresh token gives the same new pair for two hours, hence
 * refresh_repeat safe; expired and bad tokens are status 400, not 401; didDoc comes with a session only where the
 * operator switched it on; deleting what is not there is 200.
 */
#include "ease.h"

#define POSTS "app.bsky.feed.post"

static const char descriptor[] = "{"
	"\"name\":\"Bluesky\","
	"\"docs\":\"https://docs.bsky.app\","
	"\"operations\":[\"exchange\",\"identify\",\"refresh\",\"check\",\"publish\",\"remove\",\"revoke\"],"
	"\"connect\":{\"method\":\"form\",\"client\":\"none\",\"fields\":["
		"{\"name\":\"identifier\",\"label\":\"Handle\",\"placeholder\":\"name.bsky.social\",\"max\":253,"
		"\"help\":\"Your handle, or the e-mail address of your account.\"},"
		"{\"name\":\"password\",\"label\":\"App password\",\"secret\":true,\"placeholder\":\"xxxx-xxxx-xxxx-xxxx\",\"max\":200,"
		"\"help\":\"Made under Settings, Privacy and security, App passwords. Not the password you sign in with.\","
		"\"help_url\":\"https://bsky.app/settings/app-passwords\"},"
		"{\"name\":\"service\",\"label\":\"Server\",\"type\":\"host\",\"required\":false,\"default\":\"bsky.social\","
		"\"help\":\"Only if your account lives on a server of its own.\"}]},"
	"\"hosts\":[\"bsky.social\",\"*.host.bsky.network\"],"
	"\"user_hosts\":true,"
	"\"token_answer\":{"
		"\"exchange\":{\"access\":\"accessJwt\",\"refresh\":\"refreshJwt\",\"expires_in\":\"jwt\"},"
		"\"refresh\":{\"access\":\"accessJwt\",\"refresh\":\"refreshJwt\",\"expires_in\":\"jwt\"}},"
	"\"refresh_repeat\":\"safe\","
	"\"text\":{\"max\":300,\"count\":\"graphemes\",\"max_bytes\":3000,\"required\":true},"
	"\"capabilities\":{\"text\":true,\"link\":true,\"threads\":true,\"first_comment\":true,\"delete\":true},"
	"\"options\":[{\"name\":\"langs\",\"label\":\"Languages\",\"type\":\"list\",\"max\":3,"
		"\"help\":\"Languages of the text as BCP 47 tags, as en or pt-BR.\"}],"
	"\"dedupe\":{\"default\":{\"class\":\"keyed\",\"window_s\":0,\"settle_s\":30}},"
	"\"rate\":{\"publish_per_hour\":1666,\"publish_per_day\":11666,"
		"\"header_remaining\":\"RateLimit-Remaining\",\"header_reset\":\"RateLimit-Reset\",\"reset\":\"unix\"},"
	"\"state_versions\":[1,1]}";

/* --- requests and their errors ------------------------------------------------------------------------------- */

static const char *account_host(mps_op *op)
{
	const char *host = mps_input(op, "account.host");

	return *host ? host : "bsky.social";
}

static mps_req *xrpc(mps_op *op, const char *method, const char *host, const char *name)
{
	mps_req *r = mps_request(op, method, mps_concat(op, "https://", host));

	mps_path(r, "xrpc");
	mps_path(r, name);
	return r;
}

static const struct error {
	const char *code;
	int32_t failure;
	const char *reason;
} errors[] = {
	{ "ExpiredToken", MPS_AUTH, "token_expired" },
	{ "InvalidToken", MPS_AUTH, "token_invalid" },
	{ "AuthMissing", MPS_AUTH, "token_invalid" },
	{ "AuthenticationRequired", MPS_AUTH, "token_invalid" },
	{ "AccountTakedown", MPS_REVOKED, "account_unavailable" },
	{ "AccountDeactivated", MPS_REVOKED, "account_unavailable" },
	{ "AccountSuspended", MPS_REVOKED, "account_unavailable" },
	{ "AccountNotFound", MPS_REVOKED, "account_unavailable" },
	{ "RateLimitExceeded", MPS_LIMIT, "rate_limited" },
	{ "InvalidSwap", MPS_TRANSIENT, "repository_busy" },
	{ "InvalidRequest", MPS_REJECTED, "invalid_post" },
	{ "InvalidRecord", MPS_REJECTED, "invalid_post" },
	{ "InvalidMimeType", MPS_REJECTED, "invalid_media" },
	{ "BlobTooLarge", MPS_REJECTED, "invalid_media" },
	{ NULL, 0, NULL }
};

static const struct error *error_of(mps_op *op)
{
	static const struct error limit = { "", MPS_LIMIT, "rate_limited" },
		trouble = { "", MPS_TRANSIENT, "platform_unavailable" }, unheard = { "", MPS_UNKNOWN, "error_unknown" };
	const char *code = mps_json(op, "error");
	int32_t status = mps_status(op);

	if (status == 429)
		return &limit;
	if (status >= 500 || status < 400 || status == 408)	/* a 2xx or 3xx that is not what was asked for, too */
		return &trouble;
	for (const struct error *e = errors; e->code; e++)
		if (mps_is(e->code, code))
			return e;
	return &unheard;	/* a refusal that is not documented proves nothing */
}

static mps_next fail_as(mps_op *op, int32_t failure, const char *reason)
{
	if (failure == MPS_LIMIT) {
		int64_t reset = mps_int(mps_header(op, "ratelimit-reset"), 0) - mps_now(op) / 1000;

		mps_retry_after(op, mps_retry_header(op, reset > 0 && reset < 86400 ? reset : 60));
	}
	return mps_fail(op, failure, reason, mps_json(op, "error"), mps_json(op, "message"));
}

static mps_next fail_with(mps_op *op)
{
	const struct error *e = error_of(op);

	return fail_as(op, e->failure, e->reason);
}

/* As fail_with where the token that was refused is the last resort: the form's password, the refresh token. */
static mps_next fail_final(mps_op *op, int32_t failure, const char *reason)
{
	const struct error *e = error_of(op);

	return e->failure == MPS_AUTH ? fail_as(op, failure, reason) : fail_as(op, e->failure, e->reason);
}

/* --- connecting ---------------------------------------------------------------------------------------------- */

/* A session more is harmless, so the request may be repeated. */
static mps_next exchange_start(mps_op *op)
{
	const char *service = mps_input(op, "field.service"), *name = mps_input(op, "field.identifier");
	mps_req *r = xrpc(op, "POST", *service ? service : "bsky.social", "com.atproto.server.createSession");

	mps_json_object(r, "");
	mps_json_text(r, "identifier", name + (*name == '@'));
	mps_json_text(r, "password", mps_handle(op, "field.password"));
	mps_json_close(r);
	return mps_send(op, r, MPS_SAFE, "entered");
}

/* The host of the account's own server out of the DID document; "" if there is none. */
static const char *endpoint_host(mps_op *op)
{
	int32_t n = mps_json_count(op, "didDoc.service");

	for (int32_t i = 0; i < n; i++) {
		const char *id = mps_json(op, mps_at(op, "didDoc.service.", i, ".id"));
		const char *url = mps_json(op, mps_at(op, "didDoc.service.", i, ".serviceEndpoint"));
		const char *mark = strchr(id, '#');

		if (mark && mps_is(mark, "#atproto_pds") && strncmp(url, "https://", 8) == 0)
			return url + 8;
	}
	return "";
}

static mps_next exchange_entered(mps_op *op)
{
	const char *host = endpoint_host(op), *service = mps_input(op, "field.service");

	if (mps_is(mps_json(op, "error"), "AuthFactorTokenRequired"))
		return fail_as(op, MPS_REJECTED, "app_password_needed");
	if (mps_status(op) != 200)
		return fail_final(op, MPS_REJECTED, "credential_invalid");
	if (!*host)
		host = *service ? service : "bsky.social";
	mps_result(op, "account.id", mps_json(op, "did"));
	mps_result(op, "account.username", mps_json(op, "handle"));
	mps_result(op, "account.host", host);
	return mps_done(op);
}

static mps_next session_start(mps_op *op)
{
	mps_req *r = xrpc(op, "GET", account_host(op), "com.atproto.server.getSession");

	mps_bearer(r);
	return mps_send(op, r, MPS_SAFE, "read");
}

/* The profile is a record like any other; getProfile would need an AppView, which not every server has. */
static mps_next identify_read(mps_op *op)
{
	const char *did = mps_json(op, "did");
	mps_req *r;

	if (mps_status(op) != 200)
		return fail_with(op);
	mps_set(op, "did", did);
	mps_set(op, "handle", mps_json(op, "handle"));
	r = xrpc(op, "GET", account_host(op), "com.atproto.repo.getRecord");
	mps_query(r, "repo", did);
	mps_query(r, "collection", "app.bsky.actor.profile");
	mps_query(r, "rkey", "self");
	return mps_send(op, r, MPS_SAFE, "profiled");
}

static const char *avatar_url(mps_op *op, const char *cid)
{
	const char *url = mps_concat(op, "https://", account_host(op));

	url = mps_concat(op, url, "/xrpc/com.atproto.sync.getBlob?did=");
	url = mps_concat(op, url, mps_get(op, "did"));
	return mps_concat(op, mps_concat(op, url, "&cid="), cid);
}

/* Without a profile the account is whole; it has no picture and no display name. */
static mps_next identify_profiled(mps_op *op)
{
	const char *cid = mps_json(op, "value.avatar.ref.$link");

	mps_result(op, "account.id", mps_get(op, "did"));
	mps_result(op, "account.username", mps_get(op, "handle"));
	mps_result(op, "account.host", account_host(op));
	if (mps_status(op) == 200)
		mps_result(op, "account.name", mps_json(op, "value.displayName"));
	if (mps_status(op) == 200 && *cid)
		mps_result(op, "account.avatar_url", avatar_url(op, cid));
	return mps_done(op);
}

static mps_next check_read(mps_op *op)
{
	if (mps_status(op) != 200)
		return fail_with(op);
	if (mps_is(mps_json(op, "active"), "false"))
		return fail_as(op, MPS_REVOKED, "account_unavailable");
	return mps_done(op);
}

static mps_next refresh_start(mps_op *op)
{
	mps_req *r = xrpc(op, "POST", account_host(op), "com.atproto.server.refreshSession");

	mps_bearer_of(r, mps_handle(op, "token.refresh"));
	return mps_send(op, r, MPS_ONCE, "refreshed");
}

static mps_next refresh_refreshed(mps_op *op)
{
	return mps_status(op) == 200 ? mps_done(op) : fail_final(op, MPS_REVOKED, "session_ended");
}

static mps_next revoke_start(mps_op *op)
{
	mps_req *r = xrpc(op, "POST", account_host(op), "com.atproto.server.deleteSession");

	mps_bearer_of(r, mps_handle(op, "token.refresh"));
	return mps_send(op, r, MPS_SAFE, "revoked");
}

/* A session whose token is refused has ended already. */
static mps_next revoke_revoked(mps_op *op)
{
	if (mps_status(op) == 200 || error_of(op)->failure == MPS_AUTH)
		return mps_done(op);
	return fail_with(op);
}

/* --- links and tags in the text: the server finds none by itself, so we name them by byte offsets ------------- */

static int is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* Length of the web address at s, without the punctuation that ends a sentence; 0 if there is none. */
static size_t link_length(const char *s)
{
	size_t n = strncmp(s, "https://", 8) == 0 ? 8 : strncmp(s, "http://", 7) == 0 ? 7 : 0, start = n;

	if (!n)
		return 0;
	while (s[n] && !is_space(s[n]) && !strchr("<>\"", s[n]))
		n++;
	while (n > start && strchr(".,;:!?'", s[n - 1]))
		n--;
	if (n > start && s[n - 1] == ')' && !memchr(s, '(', n))
		n--;
	return n > start ? n : 0;
}

/* Length of the hashtag at s with its sign; 0 if there is none.  A number alone is no tag. */
static size_t tag_length(const char *s)
{
	size_t n = 1, digits = 1;

	if (*s != '#')
		return 0;
	while (s[n] && !is_space(s[n]) && !strchr(".,;:!?'\"()[]{}<>#/\\", s[n])) {
		digits += (size_t)is_digit(s[n]);
		n++;
	}
	return n > digits && n <= 640 ? n : 0;
}

static void facet(mps_op *op, mps_req *r, const char *text, size_t at, size_t n, int tag)
{
	size_t skip = tag ? 1 : 0;
	char *words = mps_alloc(op, (uint32_t)(n - skip + 1));

	if (!words)
		return;
	memcpy(words, text + at + skip, n - skip);
	mps_json_object(r, "");
	mps_json_object(r, "index");
	mps_json_int(r, "byteStart", (int64_t)at);
	mps_json_int(r, "byteEnd", (int64_t)(at + n));
	mps_json_close(r);
	mps_json_array(r, "features");
	mps_json_object(r, "");
	mps_json_text(r, "$type", tag ? "app.bsky.richtext.facet#tag" : "app.bsky.richtext.facet#link");
	mps_json_text(r, tag ? "tag" : "uri", words);
	mps_json_close(r);
	mps_json_close(r);
	mps_json_close(r);
}

static void facets(mps_op *op, mps_req *r, const char *text)
{
	size_t at = 0, n;

	mps_json_array(r, "facets");
	while (text[at]) {
		int first = at == 0 || is_space(text[at - 1]) || text[at - 1] == '(';

		if (first && (n = link_length(text + at)) != 0)
			facet(op, r, text, at, n, 0);
		else if (first && (n = tag_length(text + at)) != 0)
			facet(op, r, text, at, n, 1);
		else
			n = 1;
		at += n;
	}
	mps_json_close(r);
}

/* --- publishing ---------------------------------------------------------------------------------------------- */

static uint64_t seed_bits(mps_op *op, int bits)
{
	const char *seed = mps_seed(op);
	uint64_t n = 0;

	for (int i = 0; i < 15 && seed[i]; i++)
		n = n << 4 | (uint64_t)(is_digit(seed[i]) ? seed[i] - '0' : (seed[i] - 'a' + 10) & 15);
	return n & ((UINT64_C(1) << bits) - 1);
}

/* A TID: 53 bits of microseconds and 10 bits of chance, in the sortable base 32.  The time is that of the post, its
 * last 20 bits (a second) and the chance come from the seed: posts of one moment never meet. */
static const char *record_key(mps_op *op)
{
	static const char digits[] = "234567abcdefghijklmnopqrstuvwxyz";
	uint64_t us = (uint64_t)mps_int(mps_input(op, "post.created_at"), 0) * 1000;
	uint64_t chance = seed_bits(op, 30), tid = ((us >> 20 << 30) | chance) & INT64_MAX;
	char *key = mps_alloc(op, 14);

	if (!key)
		return "";
	for (int i = 12; i >= 0; i--, tid >>= 5)
		key[i] = digits[tid & 31];
	return key;
}

static void reference(mps_op *op, mps_req *r, const char *key, const char *place)
{
	mps_json_object(r, key);
	mps_json_text(r, "uri", mps_input(op, mps_concat(op, place, ".remote_id")));
	mps_json_text(r, "cid", mps_input(op, mps_concat(op, place, ".extra.cid")));
	mps_json_close(r);
}

static void reply(mps_op *op, mps_req *r)
{
	if (!*mps_input(op, "parent.remote_id"))
		return;
	mps_json_object(r, "reply");
	reference(op, r, "root", *mps_input(op, "root.remote_id") ? "root" : "parent");
	reference(op, r, "parent", "parent");
	mps_json_close(r);
}

static void link_card(mps_op *op, mps_req *r)
{
	const char *link = mps_input(op, "link"), *title = strstr(link, "://");

	if (!*link)
		return;
	mps_json_object(r, "embed");
	mps_json_text(r, "$type", "app.bsky.embed.external");
	mps_json_object(r, "external");
	mps_json_text(r, "uri", link);
	mps_json_text(r, "title", title ? title + 3 : link);
	mps_json_text(r, "description", "");
	mps_json_close(r);
	mps_json_close(r);
}

static void langs(mps_op *op, mps_req *r)
{
	const char *list = mps_input(op, "options.langs");
	size_t n;

	if (!*list)
		return;
	mps_json_array(r, "langs");
	for (; *list; list += n + (list[n] == '\n')) {
		char *one;

		n = strcspn(list, "\n");
		one = mps_alloc(op, (uint32_t)n + 1);
		if (!one)
			return;
		memcpy(one, list, n);
		mps_json_text(r, "", one);
	}
	mps_json_close(r);
}

/* createdAt is when it is published, because readers sort by it; it is kept, so that a repeat is the same record. */
static void record(mps_op *op, mps_req *r)
{
	const char *text = mps_input(op, "text");

	if (!*mps_get(op, "created_at"))
		mps_set(op, "created_at", mps_number(op, mps_now(op)));
	mps_json_object(r, "record");
	mps_json_text(r, "$type", POSTS);
	mps_json_text(r, "text", text);
	mps_json_text(r, "createdAt", mps_time_iso(op, mps_int(mps_get(op, "created_at"), 0)));
	facets(op, r, text);
	langs(op, r);
	reply(op, r);
	link_card(op, r);
	mps_json_close(r);
}

static mps_next publish_start(mps_op *op)
{
	mps_req *r = xrpc(op, "POST", account_host(op), "com.atproto.repo.putRecord");

	mps_bearer(r);
	mps_json_object(r, "");
	mps_json_text(r, "repo", mps_input(op, "account.id"));
	mps_json_text(r, "collection", POSTS);
	mps_json_text(r, "rkey", record_key(op));
	record(op, r);
	mps_json_close(r);
	return mps_send(op, r, MPS_KEYED, "published");
}

static mps_next publish_look(mps_op *op)
{
	mps_req *r = xrpc(op, "GET", account_host(op), "com.atproto.repo.getRecord");

	mps_query(r, "repo", mps_input(op, "account.id"));
	mps_query(r, "collection", POSTS);
	mps_query(r, "rkey", record_key(op));
	return mps_send(op, r, MPS_SAFE, "looked");
}

static void publish_results(mps_op *op)
{
	const char *url = mps_concat(op, "https://bsky.app/profile/", mps_input(op, "account.id"));

	url = mps_concat(op, mps_concat(op, url, "/post/"), record_key(op));
	mps_result(op, "remote_id", mps_json(op, "uri"));
	mps_result(op, "remote_url", url);
	mps_result(op, "extra.cid", mps_json(op, "cid"));
}

static mps_next publish_published(mps_op *op)
{
	if (mps_event(op) == MPS_LOST)
		return publish_look(op);
	if (mps_status(op) == 200 && !*mps_json(op, "uri"))
		return fail_as(op, MPS_UNKNOWN, "answer_unreadable");
	if (mps_status(op) != 200)
		return fail_with(op);
	publish_results(op);
	return mps_done(op);
}

static mps_next publish_looked(mps_op *op)
{
	if (mps_status(op) == 200 && *mps_json(op, "uri")) {
		publish_results(op);
		return mps_found(op);
	}
	return mps_is(mps_json(op, "error"), "RecordNotFound") ? mps_absent(op) : mps_unknown(op);
}

/* --- removing ------------------------------------------------------------------------------------------------ */

static mps_next remove_start(mps_op *op)
{
	const char *slash = strrchr(mps_input(op, "remote_id"), '/');
	mps_req *r = xrpc(op, "POST", account_host(op), "com.atproto.repo.deleteRecord");

	mps_bearer(r);
	mps_json_object(r, "");
	mps_json_text(r, "repo", mps_input(op, "account.id"));
	mps_json_text(r, "collection", POSTS);
	mps_json_text(r, "rkey", slash ? slash + 1 : "");
	mps_json_close(r);
	return mps_send(op, r, MPS_SAFE, "removed");
}

static mps_next remove_removed(mps_op *op)
{
	return mps_status(op) == 200 ? mps_done(op) : fail_with(op);
}

/* --- tables -------------------------------------------------------------------------------------------------- */

static const struct mps_phase exchange[] = { { "start", exchange_start }, { "entered", exchange_entered }, { NULL, NULL } };
static const struct mps_phase identify[] = {
	{ "start", session_start }, { "read", identify_read }, { "profiled", identify_profiled }, { NULL, NULL }
};
static const struct mps_phase check[] = { { "start", session_start }, { "read", check_read }, { NULL, NULL } };
static const struct mps_phase refresh[] = { { "start", refresh_start }, { "refreshed", refresh_refreshed }, { NULL, NULL } };
static const struct mps_phase revoke[] = { { "start", revoke_start }, { "revoked", revoke_revoked }, { NULL, NULL } };
static const struct mps_phase publish[] = {
	{ "start", publish_start }, { "published", publish_published }, { "looked", publish_looked }, { NULL, NULL }
};
static const struct mps_phase remove_phases[] = { { "start", remove_start }, { "removed", remove_removed }, { NULL, NULL } };

static const struct mps_operation operations[] = {
	{ "exchange", exchange }, { "identify", identify }, { "check", check }, { "refresh", refresh }, { "revoke", revoke },
	{ "publish", publish }, { "remove", remove_phases }, { NULL, NULL }
};

MPS_PROVIDER("bluesky", "0.1", descriptor, operations)
