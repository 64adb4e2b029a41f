/*
 * The sandbox platform: everything a provider can meet, on a platform of our own.
 *
 * The one thing to know: the account's type chooses how a post that was sent and never answered is found again.
 * keyed sends our key and may be sent again; handle makes a container first, whose status tells; search lists its
 * own posts and compares; none can only say that it does not know.
 */
#include "ease.h"

#define API "https://sandbox.mypostshare.invalid"
#define CLOCKS_APART_MS 600000		/* how far the platform's clock may be off when posts are listed by time */
#define LISTED_MAX 200			/* a list this long may hide older posts */

static const char descriptor[] = "{"
	"\"name\":\"Sandbox\","
	"\"operations\":[\"authorize\",\"exchange\",\"identify\",\"targets\",\"refresh\",\"check\",\"publish\",\"edit\","
		"\"remove\",\"revoke\"],"
	"\"connect\":{\"method\":\"oauth2\",\"client\":\"public\",\"scopes\":["
		"{\"scope\":\"publish\",\"reason\":\"To publish posts for you\"},"
		"{\"scope\":\"read\",\"reason\":\"To show your name, and to find a post again after a lost answer\"}]},"
	"\"hosts\":[\"sandbox.mypostshare.invalid\"],"
	"\"secret_answers\":{\"pages_listed\":[\"data.*.access_token\"]},"
	"\"text\":{\"max\":1000,\"count\":\"graphemes\",\"max_bytes\":10000},"
	"\"media\":{\"max_items\":4,\"mixed\":true,\"alt_max\":1000,"
		"\"image\":{\"mime\":[\"image/jpeg\",\"image/png\",\"image/webp\"],\"max_bytes\":8000000},"
		"\"gif\":{\"mime\":[\"image/gif\"],\"max_bytes\":8000000},"
		"\"video\":{\"mime\":[\"video/mp4\"],\"max_bytes\":100000000}},"
	"\"capabilities\":{\"text\":true,\"images\":true,\"video\":true,\"mixed\":true,\"delete\":true,\"edit\":true,\"threads\":true,"
		"\"first_comment\":true,"
		"\"alt_text\":true},"
	"\"targets\":\"connections\","
	"\"dedupe\":{\"default\":{\"class\":\"keyed\",\"window_s\":3600,\"settle_s\":10},"
		"\"keyed\":{\"class\":\"keyed\",\"window_s\":3600,\"settle_s\":10},"
		"\"handle\":{\"class\":\"handle\",\"settle_s\":10},"
		"\"search\":{\"class\":\"search\",\"settle_s\":10,\"search_lag_s\":5},"
		"\"none\":{\"class\":\"none\",\"settle_s\":10}},"
	"\"rate\":{\"header_remaining\":\"X-Rate-Limit-Remaining\",\"header_reset\":\"X-Rate-Limit-Reset\",\"reset\":\"seconds\"},"
	"\"state_versions\":[1,1]}";

/* --- requests and errors ------------------------------------------------------------------------------------- */

static mps_req *api(mps_op *op, const char *method, const char *path)
{
	mps_req *r = mps_request(op, method, mps_concat(op, API, path));

	mps_bearer(r);
	return r;
}

static int is_type(mps_op *op, const char *type)
{
	return mps_is(mps_input(op, "account.type"), type);
}

/* Codes whose answer proves that nothing was created.  "blocked" is none of them: such posts were seen alive. */
static const struct error {
	const char *code;
	int32_t failure;
} errors[] = {
	{ "invalid_token", MPS_AUTH }, { "token_revoked", MPS_REVOKED }, { "invalid_grant", MPS_REVOKED },
	{ "rate_limited", MPS_LIMIT }, { "policy", MPS_REJECTED }, { "gone", MPS_REJECTED }, { "not_found", MPS_REJECTED },
	{ "page_not_found", MPS_REJECTED }, { "parent_not_found", MPS_REJECTED },
	{ "invalid_request", MPS_REJECTED }, { "invalid_media", MPS_REJECTED },
	{ "unsupported_media_type", MPS_REJECTED }, { "invalid_client", MPS_REJECTED }, { "unknown_magic", MPS_REJECTED },
	{ "not_ready", MPS_REJECTED }, { "invalid_code", MPS_REJECTED }, { NULL, 0 }
};

/* The code as a reason: it is one already where the platform keeps to a-z 0-9 _. */
static const char *reason_of(const char *code)
{
	for (const struct error *e = errors; e->code; e++)
		if (mps_is(e->code, code))
			return e->code;
	return "platform_error";
}

static mps_next failed(mps_op *op)
{
	const char *code = mps_json(op, "error.code"), *message = mps_json(op, "error.message");
	int32_t failure = mps_status(op) >= 500 || mps_event(op) == MPS_LOST ? MPS_TRANSIENT : MPS_UNKNOWN;

	for (const struct error *e = errors; e->code; e++)
		if (mps_is(e->code, code))
			failure = e->failure;
	if (mps_status(op) == 429)
		failure = MPS_LIMIT;
	if (failure == MPS_LIMIT)
		mps_retry_after(op, mps_retry_header(op, 60));
	return mps_fail(op, failure, reason_of(code), code, message);
}

/* --- connecting ---------------------------------------------------------------------------------------------- */

static mps_next authorize_start(mps_op *op)
{
	mps_req *r = mps_get_url(op, API "/oauth/authorize");

	mps_query(r, "response_type", "code");
	mps_query(r, "client_id", mps_handle(op, "client.id"));
	mps_query(r, "redirect_uri", mps_input(op, "oauth.redirect_uri"));
	mps_query(r, "scope", "publish read");
	mps_query(r, "state", mps_input(op, "oauth.state"));
	mps_query(r, "code_challenge", mps_input(op, "oauth.code_challenge"));
	mps_query(r, "code_challenge_method", "S256");
	return mps_redirect(op, r);
}

static mps_next exchange_start(mps_op *op)
{
	mps_req *r = mps_post(op, API "/oauth/token");

	mps_form(r, "grant_type", "authorization_code");
	mps_form(r, "code", mps_handle(op, "oauth.code"));
	mps_form(r, "redirect_uri", mps_input(op, "oauth.redirect_uri"));
	mps_form(r, "client_id", mps_handle(op, "client.id"));
	mps_form(r, "code_verifier", mps_handle(op, "oauth.code_verifier"));
	return mps_send(op, r, MPS_ONCE, "exchanged");
}

static mps_next refresh_start(mps_op *op)
{
	mps_req *r = mps_post(op, API "/oauth/token");

	mps_form(r, "grant_type", "refresh_token");
	mps_form(r, "refresh_token", mps_handle(op, "token.refresh"));
	mps_form(r, "client_id", mps_handle(op, "client.id"));
	return mps_send(op, r, MPS_ONCE, "refreshed");
}

static mps_next revoke_start(mps_op *op)
{
	mps_req *r = mps_post(op, API "/oauth/revoke");

	mps_form(r, "token", mps_handle(op, "token.refresh"));
	mps_form(r, "client_id", mps_handle(op, "client.id"));
	return mps_send(op, r, MPS_SAFE, "revoked");
}

/* The core has taken the tokens; a 2xx is all that matters here. */
static mps_next done_if_good(mps_op *op)
{
	return mps_status(op) / 100 == 2 ? mps_done(op) : failed(op);
}

static mps_next me_start(mps_op *op)
{
	return mps_send(op, api(op, "GET", "/v1/me"), MPS_SAFE, "identified");
}

static mps_next me_read(mps_op *op)
{
	if (mps_status(op) != 200)
		return failed(op);
	mps_result(op, "account.id", mps_json(op, "id"));
	mps_result(op, "account.username", mps_json(op, "username"));
	mps_result(op, "account.name", mps_json(op, "name"));
	mps_result(op, "account.avatar_url", mps_json(op, "avatar_url"));
	mps_result(op, "account.type", mps_json(op, "type"));
	mps_result(op, "scopes", mps_json(op, "scopes"));
	return mps_done(op);
}

/* Pages are of the type of the account that owns them. */
static mps_next targets_identified(mps_op *op)
{
	if (mps_status(op) != 200)
		return failed(op);
	mps_set(op, "type", mps_json(op, "type"));
	return mps_send(op, api(op, "GET", "/v1/pages"), MPS_SAFE, "pages_listed");
}

static mps_next targets_listed(mps_op *op)
{
	static const char *const fields[] = { "id", "name", "detail" };

	if (mps_status(op) != 200)
		return failed(op);
	for (int32_t i = 0; i < mps_json_count(op, "data"); i++) {
		const char *from = mps_at(op, "data.", i, "."), *to = mps_at(op, "targets.", i, ".");

		for (size_t f = 0; f < sizeof fields / sizeof *fields; f++)
			mps_result(op, mps_concat(op, to, fields[f]), mps_json(op, mps_concat(op, from, fields[f])));
		mps_result(op, mps_concat(op, to, "type"), mps_get(op, "type"));
		mps_result(op, mps_concat(op, to, "token"), mps_json(op, mps_concat(op, from, "access_token")));
	}
	return mps_done(op);
}

/* --- publishing: media --------------------------------------------------------------------------------------- */

static mps_next compose(mps_op *op);
static mps_next edit_send(mps_op *op);

/* Uploads the next item; media nobody refers to is harmless. */
static mps_next upload(mps_op *op)
{
	int64_t at = mps_int(mps_get(op, "uploaded"), 0);
	mps_req *r;

	if (at >= mps_int(mps_input(op, "media.count"), 0))
		return mps_is(mps_kind(op), "edit") ? edit_send(op) : compose(op);
	r = api(op, "POST", "/v1/media");
	mps_body_media(r, (int32_t)at, 0, -1);
	return mps_send(op, r, MPS_SAFE, "uploaded");
}

static mps_next publish_uploaded(mps_op *op)
{
	int64_t at = mps_int(mps_get(op, "uploaded"), 0);

	if (mps_status(op) != 200)
		return failed(op);
	mps_set(op, mps_at(op, "media.", at, ""), mps_json(op, "id"));
	mps_set(op, "uploaded", mps_number(op, at + 1));
	return mps_is(mps_json(op, "state"), "ready") ? upload(op) : mps_wait(op, 2, "media_poll");
}

static mps_next publish_media_poll(mps_op *op)
{
	const char *id = mps_get(op, mps_at(op, "media.", mps_int(mps_get(op, "uploaded"), 1) - 1, ""));
	mps_req *r = api(op, "GET", "/v1/media");

	mps_path(r, id);
	return mps_send(op, r, MPS_SAFE, "media_polled");
}

static mps_next publish_media_polled(mps_op *op)
{
	if (mps_status(op) != 200)
		return failed(op);
	return mps_is(mps_json(op, "state"), "ready") ? upload(op) : mps_wait(op, 2, "media_poll");
}

/* --- publishing: the post ------------------------------------------------------------------------------------ */

static mps_next publish_start(mps_op *op)
{
	char marker[33] = "";

	memcpy(marker, mps_seed(op), strlen(mps_seed(op)) < 32 ? strlen(mps_seed(op)) : 32);
	mps_set(op, "marker", marker);
	mps_set(op, "since", mps_number(op, mps_now(op) - CLOCKS_APART_MS));
	return upload(op);
}

static mps_req *draft(mps_op *op, const char *path)
{
	mps_req *r = api(op, "POST", path);
	int64_t count = mps_int(mps_get(op, "uploaded"), 0);

	mps_json_object(r, "");
	mps_json_text(r, "text", mps_input(op, "text"));
	mps_json_text(r, "marker", mps_get(op, "marker"));
	if (*mps_input(op, "parent.remote_id"))
		mps_json_text(r, "parent_id", mps_input(op, "parent.remote_id"));
	if (count > 0) {
		mps_json_array(r, "media_ids");
		for (int64_t i = 0; i < count; i++)
			mps_json_text(r, "", mps_get(op, mps_at(op, "media.", i, "")));
		mps_json_close(r);
	}
	mps_json_close(r);
	return r;
}

static mps_next compose(mps_op *op)
{
	mps_req *r;

	if (is_type(op, "handle"))
		return mps_send(op, draft(op, "/v1/containers"), MPS_SAFE, "created");
	r = draft(op, "/v1/posts");
	if (is_type(op, "search") || is_type(op, "none"))
		return mps_send(op, r, MPS_ONCE, "posted");
	mps_req_header(r, "Idempotency-Key", mps_seed(op));
	return mps_send(op, r, MPS_KEYED, "posted");
}

/* A person has to accept the post first: id is of the post, or of the container. */
static mps_next ask_person(mps_op *op)
{
	mps_set(op, "inbox", mps_json(op, "id"));
	return mps_wait_user(op, 10, "inbox");
}

static mps_next look(mps_op *op);

static mps_next publish_posted(mps_op *op)
{
	if (mps_event(op) == MPS_LOST)
		return look(op);
	if (mps_status(op) == 202 && *mps_json(op, "id"))
		return ask_person(op);
	if (mps_status(op) != 200)
		return failed(op);
	if (!*mps_json(op, "id"))
		return mps_fail(op, MPS_UNKNOWN, "platform_error", "", "The answer has no id.");
	mps_result(op, "remote_id", mps_json(op, "id"));
	mps_result(op, "remote_url", mps_json(op, "url"));
	return mps_done(op);
}

/* --- publishing: the container -------------------------------------------------------------------------------- */

static mps_req *container(mps_op *op)
{
	mps_req *r = api(op, "GET", "/v1/containers");

	mps_path(r, mps_get(op, "container"));
	return r;
}

static mps_next publish_created(mps_op *op)
{
	if (mps_status(op) != 200)
		return failed(op);
	mps_set(op, "container", mps_json(op, "id"));
	return mps_send(op, container(op), MPS_SAFE, "polled");
}

static mps_next publish_poll(mps_op *op)
{
	return mps_send(op, container(op), MPS_SAFE, "polled");
}

static mps_next publish_polled(mps_op *op)
{
	mps_req *r;

	if (mps_status(op) != 200)
		return failed(op);
	if (mps_is(mps_json(op, "status"), "error"))
		return mps_fail(op, MPS_REJECTED, "processing_failed", "error", "The sandbox could not make this post.");
	if (!mps_is(mps_json(op, "status"), "finished"))
		return mps_wait(op, 1, "poll");
	r = api(op, "POST", "/v1/containers");
	mps_path(r, mps_get(op, "container"));
	mps_path(r, "publish");
	return mps_send(op, r, MPS_ONCE, "published");
}

static mps_next publish_published(mps_op *op)
{
	if (mps_event(op) == MPS_LOST)
		return look(op);
	if (mps_status(op) == 202)
		return ask_person(op);
	if (mps_status(op) == 409 && mps_is(mps_json(op, "error.code"), "already_published"))
		return mps_send(op, container(op), MPS_SAFE, "reread");
	return publish_posted(op);
}

/* The container says which post it became. */
static void container_results(mps_op *op)
{
	mps_result(op, "remote_id", mps_json(op, "post_id"));
	mps_result(op, "remote_url", mps_json(op, "post_url"));
}

static mps_next publish_reread(mps_op *op)
{
	if (mps_status(op) != 200 || !mps_is(mps_json(op, "status"), "published"))
		return mps_status(op) == 200 ? mps_wait(op, 5, "reread_poll") : failed(op);
	container_results(op);
	return mps_done(op);
}

static mps_next publish_reread_poll(mps_op *op)
{
	return mps_send(op, container(op), MPS_SAFE, "reread");
}

/* --- publishing: in a person's inbox --------------------------------------------------------------------------- */

static mps_next publish_inbox(mps_op *op)
{
	mps_req *r;

	if (*mps_get(op, "container"))
		return mps_send(op, container(op), MPS_SAFE, "inbox_read");
	r = api(op, "GET", "/v1/posts");
	mps_path(r, mps_get(op, "inbox"));
	return mps_send(op, r, MPS_SAFE, "inbox_read");
}

static mps_next publish_inbox_read(mps_op *op)
{
	if (mps_status(op) == 404)
		return mps_fail(op, MPS_REJECTED, "not_found", "not_found", "The post was not accepted.");
	if (mps_status(op) != 200)
		return failed(op);
	if (!mps_is(mps_json(op, "status"), "published"))
		return mps_wait_user(op, 10, "inbox");
	if (*mps_get(op, "container")) {
		container_results(op);
	} else {
		mps_result(op, "remote_id", mps_json(op, "id"));
		mps_result(op, "remote_url", mps_json(op, "url"));
	}
	return mps_done(op);
}

/* --- looking for a post whose answer was lost ------------------------------------------------------------------ */

static mps_next look(mps_op *op)
{
	mps_req *r;

	if (is_type(op, "none"))
		return mps_unknown(op);
	if (is_type(op, "handle"))
		return *mps_get(op, "container") ? mps_send(op, container(op), MPS_SAFE, "looked") : mps_unknown(op);
	r = api(op, "GET", "/v1/posts");
	mps_query(r, "since", mps_get(op, "since"));
	return mps_send(op, r, MPS_SAFE, "listed");
}

/* What a failed look means: a new token, a pause or "cannot tell", never that the post is absent. */
static mps_next look_failed(mps_op *op)
{
	if (mps_status(op) == 401 || mps_status(op) == 429)
		return failed(op);
	return mps_unknown(op);
}

static mps_next publish_looked(mps_op *op)
{
	const char *status = mps_json(op, "status");

	if (mps_status(op) != 200)
		return look_failed(op);
	if (mps_is(status, "published")) {
		container_results(op);
		return mps_found(op);
	}
	/* only what a container says of itself proves anything: not a proxy's page, nor a word that we do not know */
	return mps_is(status, "in_progress") || mps_is(status, "finished") || mps_is(status, "error") ? mps_absent(op) : mps_unknown(op);
}

static mps_next publish_listed(mps_op *op)
{
	int32_t count = mps_json_count(op, "data");

	if (mps_status(op) != 200 || mps_json_type(op, "data") != MPS_JSON_ARRAY)
		return look_failed(op);
	for (int32_t i = 0; i < count; i++) {
		if (!mps_is(mps_json(op, mps_at(op, "data.", i, ".marker")), mps_get(op, "marker")) ||
		    !mps_is(mps_json(op, mps_at(op, "data.", i, ".text")), mps_input(op, "text")))
			continue;
		mps_result(op, "remote_id", mps_json(op, mps_at(op, "data.", i, ".id")));
		mps_result(op, "remote_url", mps_json(op, mps_at(op, "data.", i, ".url")));
		return mps_found(op);
	}
	return count >= LISTED_MAX ? mps_unknown(op) : mps_absent(op);
}

/* --- editing -------------------------------------------------------------------------------------------------- */

static mps_next edit_start(mps_op *op)
{
	return *mps_input(op, "media.kept") ? edit_send(op) : upload(op);
}

/* Each type in its way: handle puts the content in its place as often as it likes, keyed sends our key along, search
 * and none ask once; search then reads the post, none cannot tell. */
static mps_next edit_send(mps_op *op)
{
	mps_req *r = api(op, "PUT", "/v1/posts");
	int64_t count = mps_int(mps_get(op, "uploaded"), 0);

	mps_path(r, mps_input(op, "remote_id"));
	if (is_type(op, "keyed"))
		mps_req_header(r, "Idempotency-Key", mps_seed(op));
	mps_json_object(r, "");
	mps_json_text(r, "text", mps_input(op, "text"));
	if (!*mps_input(op, "media.kept")) {
		mps_json_array(r, "media_ids");
		for (int64_t i = 0; i < count; i++)
			mps_json_text(r, "", mps_get(op, mps_at(op, "media.", i, "")));
		mps_json_close(r);
	}
	mps_json_close(r);
	return mps_send(op, r, is_type(op, "handle") ? MPS_SAFE : is_type(op, "keyed") ? MPS_KEYED : MPS_ONCE, "edited");
}

static mps_next edit_edited(mps_op *op)
{
	mps_req *r;

	if (mps_event(op) == MPS_LOST) {
		if (is_type(op, "none"))
			return mps_unknown(op);
		r = api(op, "GET", "/v1/posts");
		mps_path(r, mps_input(op, "remote_id"));
		return mps_send(op, r, MPS_SAFE, "looked");
	}
	if (mps_status(op) != 200)
		return failed(op);
	if (!*mps_json(op, "id"))
		return mps_fail(op, MPS_UNKNOWN, "platform_error", "", "The answer has no id.");
	mps_result(op, "remote_url", mps_json(op, "url"));
	mps_result(op, "extra.edits", mps_json(op, "edits"));
	return mps_done(op);
}

static mps_next edit_looked(mps_op *op)
{
	if (mps_status(op) != 200 || !mps_is(mps_json(op, "id"), mps_input(op, "remote_id")))
		return look_failed(op);
	if (!mps_is(mps_json(op, "text"), mps_input(op, "text")))
		return mps_absent(op);
	mps_result(op, "remote_url", mps_json(op, "url"));
	return mps_found(op);
}

/* --- removing -------------------------------------------------------------------------------------------------- */

static mps_next remove_start(mps_op *op)
{
	mps_req *r = api(op, "DELETE", "/v1/posts");

	mps_path(r, mps_input(op, "remote_id"));
	return mps_send(op, r, MPS_SAFE, "removed");
}

/* What is not there any more is as good as removed. */
static mps_next remove_removed(mps_op *op)
{
	return mps_status(op) == 404 ? mps_done(op) : done_if_good(op);
}

/* --- tables ---------------------------------------------------------------------------------------------------- */

static const struct mps_phase authorize[] = { { "start", authorize_start }, { NULL, NULL } };
static const struct mps_phase exchange[] = { { "start", exchange_start }, { "exchanged", done_if_good }, { NULL, NULL } };
static const struct mps_phase refresh[] = { { "start", refresh_start }, { "refreshed", done_if_good }, { NULL, NULL } };
static const struct mps_phase revoke[] = { { "start", revoke_start }, { "revoked", done_if_good }, { NULL, NULL } };
static const struct mps_phase identify[] = { { "start", me_start }, { "identified", me_read }, { NULL, NULL } };
static const struct mps_phase targets[] = {
	{ "start", me_start }, { "identified", targets_identified }, { "pages_listed", targets_listed }, { NULL, NULL }
};
static const struct mps_phase publish[] = {
	{ "start", publish_start },
	{ "uploaded", publish_uploaded }, { "media_poll", publish_media_poll }, { "media_polled", publish_media_polled },
	{ "posted", publish_posted },
	{ "created", publish_created }, { "poll", publish_poll }, { "polled", publish_polled },
	{ "published", publish_published }, { "reread", publish_reread }, { "reread_poll", publish_reread_poll },
	{ "inbox", publish_inbox }, { "inbox_read", publish_inbox_read },
	{ "looked", publish_looked }, { "listed", publish_listed },
	{ NULL, NULL }
};
static const struct mps_phase edit[] = {
	{ "start", edit_start },
	{ "uploaded", publish_uploaded }, { "media_poll", publish_media_poll }, { "media_polled", publish_media_polled },
	{ "edited", edit_edited }, { "looked", edit_looked },
	{ NULL, NULL }
};
static const struct mps_phase removal[] = { { "start", remove_start }, { "removed", remove_removed }, { NULL, NULL } };

static const struct mps_operation operations[] = {
	{ "authorize", authorize }, { "exchange", exchange }, { "identify", identify }, { "check", identify },
	{ "targets", targets }, { "refresh", refresh }, { "publish", publish }, { "edit", edit }, { "remove", removal }, { "revoke", revoke },
	{ NULL, NULL }
};

MPS_PROVIDER("sandbox", "1.0", descriptor, operations)
