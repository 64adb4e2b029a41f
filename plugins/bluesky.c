/*
 * Bluesky and every other server of the AT Protocol.
 *
 * The one thing to know: a post lies in the account's repository under a record key that we choose, and putting the
 * same record under the same key again changes nothing.  The key comes from the seed, so every attempt at one
 * content has the same, an answer that was lost costs nothing, and getRecord tells whether the post is there.
 *
 * Five parts are read in below: bluesky/text.h names links, tags and mentions in the text, bluesky/media.h and
 * bluesky/video.h bring images and videos there, bluesky/post.h makes the record, bluesky/oauth.h connects by OAuth.
 * Here is the rest: what is declared, requests and their errors, app passwords, the account, removal.
 *
 * Measured on the reference server (0.4.217): a consumed refresh token of an app password gives the same new pair for
 * two hours, hence refresh_repeat safe (one of OAuth is refused the second time, which is then no worse than before);
 * expired and bad tokens are status 400, not 401; didDoc comes with a session only where the operator switched it on;
 * deleting what is not there is 200.
 */
#include "ease.h"

#define POSTS "app.bsky.feed.post"
#define GATES "app.bsky.feed.threadgate"

static const char descriptor[] = "{"
	"\"name\":\"Bluesky\","
	"\"docs\":\"https://docs.bsky.app\","
	"\"operations\":[\"authorize\",\"exchange\",\"identify\",\"refresh\",\"check\",\"publish\",\"remove\",\"revoke\"],"
	"\"connect\":{\"method\":\"both\",\"client\":\"metadata\",\"dpop\":true,\"iss\":\"required\",\"scopes\":["
		"{\"scope\":\"atproto\",\"reason\":\"To know which account you signed in with\"},"
		"{\"scope\":\"transition:generic\",\"reason\":\"To publish and delete posts with images and videos\"}],\"fields\":["
		"{\"name\":\"identifier\",\"way\":\"oauth2\",\"label\":\"Handle\",\"placeholder\":\"name.bsky.social\",\"max\":253,"
		"\"help\":\"Your whole handle. If your account lives on a server of its own, the name of the server will do.\"},"
		"{\"name\":\"identifier\",\"way\":\"form\",\"label\":\"Handle\",\"placeholder\":\"name.bsky.social\",\"max\":253},"
		"{\"name\":\"password\",\"way\":\"form\",\"label\":\"App password\",\"secret\":true,\"placeholder\":\"xxxx-xxxx-xxxx-xxxx\","
		"\"max\":200,\"help\":\"Made under Settings, Privacy and security, App passwords. Not the password you sign in with.\","
		"\"help_url\":\"https://bsky.app/settings/app-passwords\"},"
		"{\"name\":\"service\",\"way\":\"form\",\"label\":\"Server\",\"type\":\"host\",\"required\":false,\"default\":\"bsky.social\","
		"\"help\":\"Only if your account lives on a server of its own.\"}]},"
	"\"hosts\":[\"bsky.social\",\"*.host.bsky.network\",\"public.api.bsky.app\",\"plc.directory\",\"video.bsky.app\"],"
	"\"user_hosts\":true,"
	"\"token_answer\":{"
		"\"exchange\":{\"access\":\"accessJwt\",\"refresh\":\"refreshJwt\",\"expires_in\":\"jwt\"},"
		"\"refresh\":{\"access\":\"accessJwt\",\"refresh\":\"refreshJwt\",\"expires_in\":\"jwt\"}},"
	"\"secret_answers\":{\"tokened\":[\"access_token\",\"refresh_token\"],\"renewed\":[\"access_token\",\"refresh_token\"],"
		"\"video_allowed\":[\"token\"]},"
	"\"refresh_repeat\":\"safe\","
	"\"text\":{\"max\":300,\"count\":\"graphemes\",\"max_bytes\":3000,\"required\":true},"
	"\"media\":{\"max_items\":10,\"max_images\":10,\"max_videos\":1,\"mixed\":false,\"alt_max\":2000,"
		"\"image\":{\"mime\":[\"image/jpeg\",\"image/png\",\"image/webp\"],\"max_bytes\":2000000},"
		"\"gif\":{\"mime\":[\"image/gif\"],\"max_bytes\":10000000},"
		"\"video\":{\"mime\":[\"video/mp4\",\"video/quicktime\",\"video/webm\"],\"max_bytes\":300000000,\"max_duration_ms\":600000}},"
	"\"capabilities\":{\"text\":true,\"images\":true,\"video\":true,\"link\":true,\"threads\":true,\"first_comment\":true,"
		"\"delete\":true,\"alt_text\":true},"
	"\"options\":[{\"name\":\"langs\",\"label\":\"Languages\",\"type\":\"list\",\"max\":3,"
		"\"help\":\"Languages of the text as BCP 47 tags, as en or pt-BR.\"},"
		"{\"name\":\"link_title\",\"label\":\"Title of the link\",\"type\":\"text\",\"max\":300,"
		"\"help\":\"Stands on the card of the link. Without it, the name of the site: the page is not read.\"},"
		"{\"name\":\"link_description\",\"label\":\"Description of the link\",\"type\":\"text\",\"max\":1000},"
		"{\"name\":\"link_thumb\",\"label\":\"Picture of the link\",\"type\":\"bool\","
		"\"help\":\"The post's only image, of at most 1,000,000 bytes, is the picture on the link's card. Otherwise a link stands under the "
		"text when there are media.\"},"
		"{\"name\":\"reply_gate\",\"label\":\"Who can reply\",\"type\":\"enum\","
		"\"values\":[\"everybody\",\"nobody\",\"mentioned\",\"following\",\"followers\"],\"default\":\"everybody\","
		"\"help\":\"For the first post of a thread: everybody, nobody, those mentioned, those you follow, or those who follow you.\"}],"
	"\"dedupe\":{\"default\":{\"class\":\"keyed\",\"window_s\":0,\"settle_s\":30,\"atomic\":true}},"
	"\"rate\":{\"publish_per_hour\":1666,\"publish_per_day\":11666,"
		"\"header_remaining\":\"RateLimit-Remaining\",\"header_reset\":\"RateLimit-Reset\",\"reset\":\"unix\"},"
	"\"poll\":{\"video_poll\":{\"first_s\":3,\"max_s\":60}},"
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

/* By OAuth a token is bound to a key, and each request proves it. */
static int is_oauth(mps_op *op) { return mps_is(mps_input(op, "grant.way"), "oauth"); }

static void authorize(mps_op *op, mps_req *r)
{
	if (is_oauth(op))
		mps_dpop(r);
	mps_bearer(r);
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
	{ "invalid_token", MPS_AUTH, "token_invalid" },		/* of OAuth, as the next two */
	{ "use_dpop_nonce", MPS_TRANSIENT, "nonce_refused" },
	{ "invalid_dpop_proof", MPS_TRANSIENT, "proof_refused" },
	{ "ScopeMissingError", MPS_REVOKED, "scope_missing" },
	{ "insufficient_scope", MPS_REVOKED, "scope_missing" },
	{ "AccountTakedown", MPS_REVOKED, "account_unavailable" },
	{ "AccountDeactivated", MPS_REVOKED, "account_unavailable" },
	{ "AccountSuspended", MPS_REVOKED, "account_unavailable" },
	{ "AccountNotFound", MPS_REVOKED, "account_unavailable" },
	{ "RepoTakendown", MPS_REVOKED, "account_unavailable" },
	{ "RepoDeactivated", MPS_REVOKED, "account_unavailable" },
	{ "RepoSuspended", MPS_REVOKED, "account_unavailable" },
	{ "RateLimitExceeded", MPS_LIMIT, "rate_limited" },
	{ "InvalidSwap", MPS_TRANSIENT, "repository_busy" },
	{ "InvalidRequest", MPS_REJECTED, "invalid_post" },
	{ "InvalidRecord", MPS_REJECTED, "invalid_post" },
	{ "InvalidMimeType", MPS_REJECTED, "invalid_media" },
	{ "InvalidSize", MPS_REJECTED, "invalid_media" },
	{ "BlobNotFound", MPS_REJECTED, "media_gone" },
	{ "BlobTooLarge", MPS_REJECTED, "media_too_large" },
	{ "PayloadTooLarge", MPS_REJECTED, "media_too_large" },
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
	return mps_fail(op, failure, reason, mps_json(op, "error"),
		*mps_json(op, "message") ? mps_json(op, "message") : mps_json(op, "error_description"));
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

#include "bluesky/text.h"
#include "bluesky/media.h"
#include "bluesky/video.h"
#include "bluesky/post.h"
#include "bluesky/oauth.h"

/* --- connecting ---------------------------------------------------------------------------------------------- */

/* By app password; a session more is harmless, so the request may be repeated. */
static mps_next exchange_start(mps_op *op)
{
	const char *service = mps_input(op, "field.service"), *name = mps_input(op, "field.identifier");
	mps_req *r;

	if (is_oauth(op))
		return exchange_code(op);
	r = xrpc(op, "POST", *service ? service : "bsky.social", "com.atproto.server.createSession");

	mps_json_object(r, "");
	mps_json_text(r, "identifier", name + (*name == '@'));
	mps_json_text(r, "password", mps_handle(op, "field.password"));
	mps_json_close(r);
	return mps_send(op, r, MPS_SAFE, "entered");
}

static mps_next exchange_entered(mps_op *op)
{
	const char *host = server_of(op, "didDoc."), *service = mps_input(op, "field.service");

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

	authorize(op, r);
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
	mps_result(op, "account.username", mps_json(op, "handle"));	/* it may have changed */
	return mps_done(op);
}

static mps_next refresh_start(mps_op *op)
{
	mps_req *r;

	if (is_oauth(op))
		return refresh_token(op);
	r = xrpc(op, "POST", account_host(op), "com.atproto.server.refreshSession");
	mps_bearer_of(r, mps_handle(op, "token.refresh"));
	return mps_send(op, r, MPS_ONCE, "refreshed");
}

static mps_next refresh_refreshed(mps_op *op)
{
	return mps_status(op) == 200 ? mps_done(op) : fail_final(op, MPS_REVOKED, "session_ended");
}

static mps_next revoke_start(mps_op *op)
{
	mps_req *r;

	if (is_oauth(op))
		return revoke_token(op);
	r = xrpc(op, "POST", account_host(op), "com.atproto.server.deleteSession");
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

/* --- removing ------------------------------------------------------------------------------------------------ */

static mps_next remove_start(mps_op *op)
{
	const char *slash = strrchr(mps_input(op, "remote_id"), '/');
	mps_req *r = xrpc(op, "POST", account_host(op), "com.atproto.repo.deleteRecord");

	authorize(op, r);
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

static const struct mps_phase authorize_phases[] = {
	{ "start", authorize_start }, { "resolved", authorize_resolved }, { "claimed", authorize_claimed },
	{ "document", authorize_document }, { "resource", authorize_resource }, { "metadata", authorize_metadata },
	{ "pushed", authorize_pushed }, { NULL, NULL }
};
static const struct mps_phase exchange[] = {
	{ "start", exchange_start }, { "entered", exchange_entered }, { "tokened", exchange_tokened },
	{ "document", exchange_document }, { "resource", exchange_resource }, { NULL, NULL }
};
static const struct mps_phase identify[] = {
	{ "start", session_start }, { "read", identify_read }, { "profiled", identify_profiled }, { NULL, NULL }
};
static const struct mps_phase check[] = { { "start", session_start }, { "read", check_read }, { NULL, NULL } };
static const struct mps_phase refresh[] = {
	{ "start", refresh_start }, { "refreshed", refresh_refreshed }, { "renewed", refresh_renewed }, { NULL, NULL }
};
static const struct mps_phase revoke[] = {
	{ "start", revoke_start }, { "revoked", revoke_revoked }, { "ended", revoke_ended }, { NULL, NULL }
};
static const struct mps_phase publish[] = {
	{ "start", publish_start }, { "mentioned", publish_mentioned }, { "uploaded", publish_uploaded },
	{ "video_again", video_begin }, { "video_allowed", publish_video_allowed }, { "video_uploaded", publish_video_uploaded },
	{ "video_started", publish_video_started }, { "video_part", publish_video_part },
	{ "video_poll", publish_video_poll }, { "video_polled", publish_video_polled },
	{ "published", publish_published }, { "gated", publish_gated }, { "looked", publish_looked },
	{ "parent_read", publish_parent_read }, { NULL, NULL }
};
static const struct mps_phase remove_phases[] = { { "start", remove_start }, { "removed", remove_removed }, { NULL, NULL } };

static const struct mps_operation operations[] = {
	{ "authorize", authorize_phases }, { "exchange", exchange }, { "identify", identify }, { "check", check },
	{ "refresh", refresh }, { "revoke", revoke }, { "publish", publish }, { "remove", remove_phases }, { NULL, NULL }
};

MPS_PROVIDER("bluesky", "1.0", descriptor, operations)
