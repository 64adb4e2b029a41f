/*
 * Mastodon and other servers that speak its API.
 *
 * The one thing to know: Mastodon knows an Idempotency-Key again for an hour, so a status is sent with one and may be
 * sent again.  Other servers of the API take the header and ignore it.  Which of the two an account lies on is told at
 * connect by the instance's version and becomes account.type: "mastodon" sends KEYED, everything else sends ONCE.
 * In both, the newest of the account's own statuses is remembered right before; a status whose answer was lost is
 * looked for among those that are newer, which needs no clocks.
 *
 * An account's id is unique on its instance only, so ours is "id@host".
 */
#include "ease.h"

static int is_digit(char c) { return c >= '0' && c <= '9'; }

static const char descriptor[] = "{"
	"\"name\":\"Mastodon\","
	"\"docs\":\"https://docs.joinmastodon.org\","
	"\"operations\":[\"register\",\"authorize\",\"exchange\",\"identify\",\"refresh\",\"check\",\"limits\",\"publish\",\"edit\",\"remove\","
		"\"revoke\"],"
	"\"connect\":{\"method\":\"oauth2\",\"client\":\"registered\",\"scopes\":["
		"{\"scope\":\"read:accounts\",\"reason\":\"To show your name and picture\"},"
		"{\"scope\":\"read:statuses\",\"reason\":\"To find a post again after a lost answer, so that it is never posted twice\"},"
		"{\"scope\":\"write:statuses\",\"reason\":\"To publish posts for you, and to remove them\"},"
		"{\"scope\":\"write:media\",\"reason\":\"To attach images and videos\"}],"
		"\"fields\":[{\"name\":\"instance\",\"label\":\"Your server\",\"type\":\"host\",\"placeholder\":\"mastodon.social\",\"max\":253,"
			"\"help\":\"The address you sign in at: what stands behind the second @ of your name.\"}]},"
	"\"hosts\":[],"
	"\"user_hosts\":true,"
	"\"secret_answers\":{\"registered\":[\"client_id\",\"client_secret\"],\"pinned\":[\"access_token\",\"refresh_token\"]},"
	"\"text\":{\"max\":500,\"count\":\"graphemes\",\"url_length\":23,\"mentions\":\"local\",\"with\":[\"spoiler_text\"]},"
	"\"media\":{\"max_items\":4,\"max_images\":4,\"max_videos\":1,\"mixed\":false,\"alt_max\":1500,"
		"\"image\":{\"mime\":[\"image/jpeg\",\"image/png\",\"image/webp\"],\"max_bytes\":16777216,\"max_pixels\":33177600},"
		"\"gif\":{\"mime\":[\"image/gif\"],\"max_bytes\":16777216,\"max_pixels\":33177600},"
		"\"video\":{\"mime\":[\"video/mp4\",\"video/webm\",\"video/quicktime\"],\"max_bytes\":103809024,\"max_pixels\":8294400,"
			"\"max_frame_rate\":120}},"
	"\"capabilities\":{\"text\":true,\"images\":true,\"video\":true,\"threads\":true,\"first_comment\":true,\"delete\":true,\"edit\":true,"
		"\"alt_text\":true},"
	"\"options\":["
		"{\"name\":\"visibility\",\"label\":\"Visible to\",\"type\":\"enum\",\"values\":[\"public\",\"unlisted\",\"private\",\"direct\"],"
			"\"help\":\"Without it, as the account is set up.\"},"
		"{\"name\":\"spoiler_text\",\"label\":\"Content warning\",\"type\":\"text\",\"max\":500},"
		"{\"name\":\"sensitive\",\"label\":\"Media hidden behind a warning\",\"type\":\"bool\"},"
		"{\"name\":\"language\",\"label\":\"Language\",\"type\":\"text\",\"min\":2,\"max\":3,\"help\":\"Of the text, as en.\"},"
		"{\"name\":\"poll_options\",\"label\":\"Answers of a poll\",\"type\":\"list\",\"min\":2,\"max\":4,\"once\":true,"
			"\"help\":\"A poll stands in place of media.\"},"
		"{\"name\":\"poll_expires_in\",\"label\":\"Poll ends after seconds\",\"type\":\"int\",\"min\":300,\"max\":2629746,"
			"\"once\":true},"
		"{\"name\":\"poll_multiple\",\"label\":\"More than one answer\",\"type\":\"bool\",\"once\":true},"
		"{\"name\":\"poll_hide_totals\",\"label\":\"Counts shown at the end only\",\"type\":\"bool\",\"once\":true},"
		"{\"name\":\"quote_policy\",\"label\":\"Who may quote it\",\"type\":\"enum\",\"values\":[\"public\",\"followers\",\"nobody\"],"
			"\"help\":\"Mastodon 4.5 and newer.\"}],"
	"\"dedupe\":{\"default\":{\"class\":\"search\",\"settle_s\":60,\"search_lag_s\":30},"
		"\"mastodon\":{\"class\":\"keyed\",\"window_s\":3600,\"settle_s\":60}},"
	"\"rate\":{\"publish_per_day\":1200,\"requests_per_minute\":60,\"header_remaining\":\"X-RateLimit-Remaining\","
		"\"header_reset\":\"X-RateLimit-Reset\",\"reset\":\"iso\"},"	/* at most 270 within 3 h, of which Mastodon takes 300 */
	"\"state_versions\":[1,1]}";

/* --- requests ------------------------------------------------------------------------------------------------ */

/* The server: frozen with the account, or still the one that the person named. */
static const char *host_of(mps_op *op)
{
	const char *host = mps_input(op, "account.host");

	return *host ? host : mps_input(op, "field.instance");
}

static mps_req *request(mps_op *op, const char *method, const char *path)
{
	return mps_request(op, method, mps_concat(op, mps_concat(op, "https://", host_of(op)), path));
}

static mps_req *api(mps_op *op, const char *method, const char *path)
{
	mps_req *r = request(op, method, path);

	mps_bearer(r);
	return r;
}

static int is_mastodon(mps_op *op) { return mps_is(mps_input(op, "account.type"), "mastodon"); }
static int good(mps_op *op) { return mps_status(op) / 100 == 2; }
static const char *option(mps_op *op, const char *name) { return mps_input(op, mps_concat(op, "options.", name)); }

/* --- errors -------------------------------------------------------------------------------------------------- */

static const struct error {
	int32_t status;
	const char *words;		/* part of the answer's "error"; "" fits all */
	int32_t failure;
	const char *reason;
} errors[] = {
	{ 401, "revoked", MPS_REVOKED, "token_revoked" },
	{ 401, "", MPS_AUTH, "token_invalid" },
	{ 403, "outside the authorized scopes", MPS_REVOKED, "scope_missing" },
	{ 403, "disabled", MPS_REVOKED, "account_unavailable" },
	{ 403, "suspended", MPS_REVOKED, "account_unavailable" },
	{ 403, "Your login", MPS_REVOKED, "account_unavailable" },
	{ 403, "", MPS_REJECTED, "not_allowed" },
	{ 404, "reply to", MPS_REJECTED, "parent_gone" },
	{ 404, "", MPS_REJECTED, "not_found" },
	{ 413, "", MPS_REJECTED, "media_too_large" },
	{ 422, "not finished processing", MPS_LIMIT, "media_processing" },
	{ 422, "could not be found", MPS_UNKNOWN, "media_gone" },	/* or attached: to the very status that got lost */
	{ 422, "not found or already attached", MPS_UNKNOWN, "media_gone" },
	{ 422, "be blank", MPS_REJECTED, "text_required" },
	{ 422, "haracter limit", MPS_REJECTED, "text_too_long" },
	{ 422, "content type", MPS_REJECTED, "invalid_media" },
	{ 422, "", MPS_REJECTED, "invalid_post" },
	{ 400, "", MPS_REJECTED, "invalid_request" },
	{ 0, NULL, 0, NULL }
};

/* A refusal without words of the API, as a wall before the server writes it, proves nothing. */
static const struct error *error_of(mps_op *op)
{
	static const struct error limit = { 429, "", MPS_LIMIT, "rate_limited" }, trouble = { 0, "", MPS_TRANSIENT, "platform_unavailable" },
		unheard = { 0, "", MPS_UNKNOWN, "error_unknown" };
	const char *words = mps_json(op, "error");
	int32_t status = mps_status(op);

	if (status == 429)
		return &limit;
	if (status >= 500 || status < 400 || status == 408)
		return &trouble;
	for (const struct error *e = errors; e->words; e++)
		if (e->status == status && strstr(words, e->words) && (*words || status == 401 || status == 413))
			return e;
	return &unheard;
}

/* Seconds until the limit ends: X-RateLimit-Reset is an ISO time. */
static int64_t reset_after(mps_op *op)
{
	int64_t reset = mps_time_ms(mps_header(op, "x-ratelimit-reset")), left = (reset - mps_now(op) + 999) / 1000;

	return mps_retry_header(op, reset > 0 && left > 0 && left < 86400 ? left : 300);
}

static mps_next fail_as(mps_op *op, int32_t failure, const char *reason)
{
	const char *more = mps_json(op, "error_description");

	if (failure == MPS_LIMIT)
		mps_retry_after(op, mps_status(op) == 429 ? reset_after(op) : 10);
	return mps_fail(op, failure, reason, *more ? mps_json(op, "error") : "", *more ? more : mps_json(op, "error"));
}

static mps_next fail_with(mps_op *op)
{
	const struct error *e = error_of(op);

	return fail_as(op, e->failure, e->reason);
}

/* As fail_with, for the answers of OAuth (RFC 6749). */
static mps_next fail_oauth(mps_op *op, int32_t grant_over)
{
	const char *error = mps_json(op, "error");

	if (mps_is(error, "invalid_client") || mps_is(error, "unauthorized_client"))
		return fail_as(op, MPS_REJECTED, "client_unknown");
	if (mps_is(error, "invalid_grant"))
		return fail_as(op, grant_over, "grant_refused");
	return fail_with(op);
}

/* --- the instance -------------------------------------------------------------------------------------------- */

struct version { int64_t major, minor; int upstream; };

/* "4.3.1", "4.4.0-rc.1" and the forks that keep Mastodon's own code for statuses; whatever else is written beside
 * the numbers, as "2.7.2 (compatible; Pleroma 2.5)", says that it is not Mastodon. */
static struct version version_of(const char *s)
{
	static const char *const forks[] = { "+glitch", "+hometown" };
	struct version v = { 0, 0, 0 };
	int dots = 0;

	for (; is_digit(*s) || (*s == '.' && is_digit(s[1]) && dots < 2); s++) {
		dots += *s == '.';
		if (*s != '.' && dots < 2)
			*(dots ? &v.minor : &v.major) = (dots ? v.minor : v.major) % 100000 * 10 + (*s - '0');
	}
	if (*s == '-')
		s += strspn(s, "-.0123456789abcdefghijklmnopqrstuvwxyz");
	for (size_t i = 0; i < sizeof forks / sizeof *forks; i++)
		if (strcmp(s, forks[i]) == 0)
			s += strlen(s);
	v.upstream = dots == 2 && *s == '\0' && v.major >= 3;
	return v;
}

/* Since 4.3 an app that nobody has used yet is kept. */
static int keeps_apps(const char *version)
{
	struct version v = version_of(version);

	return v.upstream && (v.major > 4 || (v.major == 4 && v.minor >= 3));
}

/* An instance describes itself twice; servers that have not the newer description have the older one. */
#define NEW "/api/v2/instance"

static mps_next instance_ask(mps_op *op, const char *path, const char *next)
{
	return mps_send(op, request(op, "GET", path), MPS_SAFE, next);
}

static int wants_old(mps_op *op)
{
	return !*mps_get(op, "old") && mps_status(op) / 100 == 4 && mps_status(op) != 429;
}

static mps_next instance_old(mps_op *op, const char *next)
{
	mps_set(op, "old", "1");
	return instance_ask(op, "/api/v1/instance", next);
}

/* --- register ------------------------------------------------------------------------------------------------ */

static mps_next register_start(mps_op *op) { return instance_ask(op, NEW, "instance_read"); }

static mps_next register_app(mps_op *op)
{
	const char *set = mps_input(op, "setting.client_name"), *app = mps_input(op, "app.name"), *site = mps_input(op, "setting.website");
	mps_req *r = request(op, "POST", "/api/v1/apps");

	mps_form(r, "client_name", *set ? set : *app ? app : "mypostshare");
	mps_form(r, "redirect_uris", mps_input(op, "oauth.redirect_uri"));
	mps_form(r, "scopes", mps_input(op, "oauth.scope"));
	if (*site)
		mps_form(r, "website", site);
	return mps_send(op, r, MPS_SAFE, "registered");		/* one app more is harmless */
}

/* Whoever does not tell a version there is no server of this API, and is told nothing about us. */
static mps_next register_read(mps_op *op)
{
	const char *version = mps_json(op, "version");

	if (wants_old(op))
		return instance_old(op, "instance_read");
	if (mps_status(op) == 429 || mps_status(op) >= 500)
		return fail_with(op);
	if (mps_status(op) != 200 || !*version)
		return mps_fail(op, MPS_REJECTED, "credential_invalid", "", "This address is not a Mastodon server.");
	mps_set(op, "version", version);
	return register_app(op);
}

static mps_next register_done(mps_op *op)
{
	mps_token(op, "client.id", mps_get(op, "id"), 0);
	mps_token(op, "client.secret", mps_get(op, "secret"), 0);
	mps_result(op, "account.host", host_of(op));
	mps_result(op, "instance.version", mps_get(op, "version"));
	return mps_done(op);
}

static mps_next register_registered(mps_op *op)
{
	mps_req *r;

	if (mps_status(op) == 400 || mps_status(op) == 422)	/* a server that has not all of the scopes, for one */
		return fail_as(op, MPS_REJECTED, "registration_refused");
	if (!good(op))
		return fail_with(op);
	if (!*mps_json(op, "client_id") || !*mps_json(op, "client_secret"))
		return mps_fail(op, MPS_REJECTED, "instance_unsupported", "", "The server made no app.");
	mps_set(op, "id", mps_json(op, "client_id"));
	mps_set(op, "secret", mps_json(op, "client_secret"));
	if (keeps_apps(mps_get(op, "version")))
		return register_done(op);
	r = request(op, "POST", "/oauth/token");
	mps_form(r, "grant_type", "client_credentials");
	mps_form(r, "client_id", mps_get(op, "id"));
	mps_form(r, "client_secret", mps_get(op, "secret"));
	mps_form(r, "scope", mps_input(op, "oauth.scope"));
	return mps_send(op, r, MPS_SAFE, "pinned");
}

/* The token is for nothing but to show the app in use; a server that gives none keeps the app anyway, or forgets it
 * some day, and then the next person registers it anew. */
static mps_next register_pinned(mps_op *op) { return register_done(op); }

/* --- connecting ---------------------------------------------------------------------------------------------- */

static mps_next authorize_start(mps_op *op)
{
	mps_req *r = request(op, "GET", "/oauth/authorize");

	mps_query(r, "response_type", "code");
	mps_query(r, "client_id", mps_handle(op, "client.id"));
	mps_query(r, "redirect_uri", mps_input(op, "oauth.redirect_uri"));
	mps_query(r, "scope", mps_input(op, "oauth.scope"));
	mps_query(r, "state", mps_input(op, "oauth.state"));
	mps_query(r, "code_challenge", mps_input(op, "oauth.code_challenge"));
	mps_query(r, "code_challenge_method", "S256");
	return mps_redirect(op, r);
}

static mps_req *oauth(mps_op *op, const char *path)
{
	mps_req *r = request(op, "POST", path);

	mps_form(r, "client_id", mps_handle(op, "client.id"));
	mps_form(r, "client_secret", mps_handle(op, "client.secret"));
	return r;
}

static mps_next exchange_start(mps_op *op)
{
	mps_req *r = oauth(op, "/oauth/token");

	mps_form(r, "grant_type", "authorization_code");
	mps_form(r, "code", mps_handle(op, "oauth.code"));
	mps_form(r, "redirect_uri", mps_input(op, "oauth.redirect_uri"));
	mps_form(r, "code_verifier", mps_handle(op, "oauth.code_verifier"));
	return mps_send(op, r, MPS_ONCE, "exchanged");
}

static mps_next exchange_exchanged(mps_op *op) { return good(op) ? mps_done(op) : fail_oauth(op, MPS_REJECTED); }

/* Mastodon's tokens do not expire; those of some other servers do, and come with a refresh token. */
static mps_next refresh_start(mps_op *op)
{
	mps_req *r = oauth(op, "/oauth/token");

	mps_form(r, "grant_type", "refresh_token");
	mps_form(r, "refresh_token", mps_handle(op, "token.refresh"));
	return mps_send(op, r, MPS_ONCE, "refreshed");
}

static mps_next refresh_refreshed(mps_op *op) { return good(op) ? mps_done(op) : fail_oauth(op, MPS_REVOKED); }

static mps_next revoke_start(mps_op *op)
{
	mps_req *r = oauth(op, "/oauth/revoke");

	mps_form(r, "token", mps_handle(op, "token.access"));
	return mps_send(op, r, MPS_SAFE, "revoked");
}

static mps_next revoke_revoked(mps_op *op) { return good(op) ? mps_done(op) : fail_oauth(op, MPS_REJECTED); }

static mps_next me_start(mps_op *op)
{
	return mps_send(op, api(op, "GET", "/api/v1/accounts/verify_credentials"), MPS_SAFE, "read");
}

static const char *avatar(mps_op *op)
{
	const char *url = mps_json(op, "avatar");

	return strncmp(url, "https://", 8) == 0 ? url : "";
}

static mps_next check_read(mps_op *op)
{
	if (mps_status(op) != 200)
		return fail_with(op);
	mps_result(op, "account.name", mps_json(op, "display_name"));
	mps_result(op, "account.avatar_url", avatar(op));
	return mps_done(op);
}

static const char *at_host(mps_op *op, const char *name)
{
	return mps_concat(op, mps_concat(op, name, "@"), host_of(op));
}

static mps_next identify_read(mps_op *op)
{
	const char *id = mps_json(op, "id");

	if (mps_status(op) != 200)
		return fail_with(op);
	if (!*id || strpbrk(id, "@/?#") || strlen(id) > 100)
		return mps_fail(op, MPS_REJECTED, "answer_unreadable", "", "The server told no account.");
	mps_set(op, "id", id);
	mps_set(op, "username", mps_json(op, "username"));
	mps_set(op, "name", mps_json(op, "display_name"));
	mps_set(op, "avatar", avatar(op));
	return instance_ask(op, NEW, "instance_read");
}

/* A server that does not say that it is Mastodon may ignore our keys. */
static mps_next identify_instance(mps_op *op)
{
	int upstream = mps_status(op) == 200 && version_of(mps_json(op, "version")).upstream;

	if (wants_old(op))
		return instance_old(op, "instance_read");
	if (mps_status(op) == 429 || mps_status(op) >= 500)
		return fail_with(op);
	mps_result(op, "account.id", at_host(op, mps_get(op, "id")));
	mps_result(op, "account.username", at_host(op, mps_get(op, "username")));
	mps_result(op, "account.host", host_of(op));
	mps_result(op, "account.name", mps_get(op, "name"));
	mps_result(op, "account.avatar_url", mps_get(op, "avatar"));
	mps_result(op, "account.type", upstream ? "mastodon" : "compatible");
	return mps_done(op);
}

/* --- limits -------------------------------------------------------------------------------------------------- */

static const struct limit { const char *path, *key; } limit_paths[] = {
	{ "configuration.statuses.max_characters", "limits.text.max" },
	{ "configuration.statuses.characters_reserved_per_url", "limits.text.url_length" },
	{ "configuration.statuses.max_media_attachments", "limits.media.max_items" },
	{ "configuration.statuses.max_media_attachments", "limits.media.max_images" },
	{ "configuration.media_attachments.description_limit", "limits.media.alt_max" },
	{ "configuration.media_attachments.image_size_limit", "limits.media.image.max_bytes" },
	{ "configuration.media_attachments.image_matrix_limit", "limits.media.image.max_pixels" },
	{ "configuration.media_attachments.image_size_limit", "limits.media.gif.max_bytes" },
	{ "configuration.media_attachments.image_matrix_limit", "limits.media.gif.max_pixels" },
	{ "configuration.media_attachments.video_size_limit", "limits.media.video.max_bytes" },
	{ "configuration.media_attachments.video_matrix_limit", "limits.media.video.max_pixels" },
	{ "configuration.media_attachments.video_frame_rate_limit", "limits.media.video.max_frame_rate" },
	{ NULL, NULL }
};

/* The types that begin so, one per line; image/gif is a kind of its own. */
static const char *mimes(mps_op *op, const char *start)
{
	const char *list = "", *all = "configuration.media_attachments.supported_mime_types";
	int32_t n = mps_json_count(op, all);

	for (int32_t i = 0; i < n && i < 40; i++) {
		const char *mime = mps_json(op, mps_concat(op, all, mps_at(op, ".", i, "")));
		int gif = mps_is(mime, "image/gif");

		if (strncmp(mime, start, strlen(start)) == 0 && strlen(mime) < 60 && (!gif || mps_is(start, mime)))
			list = mps_concat(op, mps_concat(op, list, *list ? "\n" : ""), mime);
	}
	return list;
}

static void limit_result(mps_op *op, const char *key, const char *value)
{
	if (*value)
		mps_result(op, key, value);
}

static mps_next limits_start(mps_op *op) { return instance_ask(op, NEW, "limits_read"); }

/* Forks that predate "configuration" tell max_toot_chars; what is not told stays as the descriptor has it. */
static mps_next limits_read(mps_op *op)
{
	int64_t n = mps_int(mps_json(op, "max_toot_chars"), 0);

	if (wants_old(op))
		return instance_old(op, "limits_read");
	if (mps_status(op) != 200)
		return fail_with(op);
	if (n > 0 && !*mps_json(op, limit_paths[0].path))
		mps_result(op, "limits.text.max", mps_number(op, n));
	for (const struct limit *l = limit_paths; l->path; l++)
		if (mps_int(mps_json(op, l->path), 0) > 0)
			mps_result(op, l->key, mps_json(op, l->path));
	limit_result(op, "limits.media.image.mime", mimes(op, "image/"));
	limit_result(op, "limits.media.gif.mime", mimes(op, "image/gif"));
	limit_result(op, "limits.media.video.mime", mimes(op, "video/"));
	return mps_done(op);
}

#include "mastodon/text.h"
#include "mastodon/look.h"
#include "mastodon/post.h"

/* --- tables -------------------------------------------------------------------------------------------------- */

static const struct mps_phase registering[] = {
	{ "start", register_start }, { "instance_read", register_read }, { "registered", register_registered },
	{ "pinned", register_pinned }, { NULL, NULL }
};
static const struct mps_phase authorize[] = { { "start", authorize_start }, { NULL, NULL } };
static const struct mps_phase exchange[] = { { "start", exchange_start }, { "exchanged", exchange_exchanged }, { NULL, NULL } };
static const struct mps_phase refresh[] = { { "start", refresh_start }, { "refreshed", refresh_refreshed }, { NULL, NULL } };
static const struct mps_phase revoke[] = { { "start", revoke_start }, { "revoked", revoke_revoked }, { NULL, NULL } };
static const struct mps_phase identify[] = {
	{ "start", me_start }, { "read", identify_read }, { "instance_read", identify_instance }, { NULL, NULL }
};
static const struct mps_phase check[] = { { "start", me_start }, { "read", check_read }, { NULL, NULL } };
static const struct mps_phase limits[] = { { "start", limits_start }, { "limits_read", limits_read }, { NULL, NULL } };
static const struct mps_phase publish[] = {
	{ "start", publish_start },
	{ "uploaded", publish_uploaded }, { "media_poll", publish_media_poll }, { "media_polled", publish_media_polled },
	{ "anchored", publish_anchored }, { "posted", publish_posted },
	{ "listed", publish_listed }, { "sourced", publish_sourced },
	{ NULL, NULL }
};
static const struct mps_phase edit[] = {
	{ "start", edit_start },
	{ "uploaded", publish_uploaded }, { "media_poll", publish_media_poll }, { "media_polled", publish_media_polled },
	{ "read", edit_read }, { "edited", edit_edited }, { NULL, NULL }
};
static const struct mps_phase removal[] = { { "start", remove_start }, { "removed", remove_removed }, { NULL, NULL } };

static const struct mps_operation operations[] = {
	{ "register", registering }, { "authorize", authorize }, { "exchange", exchange }, { "identify", identify },
	{ "refresh", refresh }, { "revoke", revoke }, { "check", check }, { "limits", limits }, { "publish", publish },
	{ "edit", edit }, { "remove", removal }, { NULL, NULL }
};

MPS_PROVIDER("mastodon", "0.1", descriptor, operations)
