/*
 * A provider to start from: copy this folder, change the names, write down the platform's API.
 *
 * It publishes text, images and threads with a platform that knows a post again by the header Idempotency-Key, connects
 * accounts by an API key that a person types in, and removes posts.  platform.py is that platform, small enough to run
 * beside it.  The guide (README.md of the SDK) goes through this file from top to bottom.
 */
#include "ease.h"

#define API "https://api.example.com/v1"

/* What can be declared is declared here: see DESCRIPTOR.md. */
static const char descriptor[] = "{"
	"\"name\":\"Example\","
	"\"operations\":[\"exchange\",\"identify\",\"publish\",\"remove\"],"
	"\"connect\":{\"method\":\"form\",\"client\":\"none\",\"fields\":["
		"{\"name\":\"key\",\"label\":\"API key\",\"secret\":true,\"help\":\"Under Settings, API.\"}]},"
	"\"hosts\":[\"api.example.com\"],"
	"\"text\":{\"max\":500,\"count\":\"graphemes\",\"required\":true},"
	"\"media\":{\"max_items\":4,\"alt_max\":1000,\"image\":{\"mime\":[\"image/jpeg\",\"image/png\"],\"max_bytes\":4000000}},"
	"\"capabilities\":{\"text\":true,\"images\":true,\"alt_text\":true,\"threads\":true,\"delete\":true},"
	"\"dedupe\":{\"default\":{\"class\":\"keyed\",\"window_s\":86400,\"settle_s\":30,\"atomic\":true}}}";

/* One place decides what an error means.  Only what the platform documents as "nothing was created" is REJECTED. */
static mps_next failed(mps_op *op)
{
	const char *code = mps_json(op, "error.code"), *words = mps_json(op, "error.message");

	switch (mps_status(op)) {
	case 400:
	case 422: return mps_fail(op, MPS_REJECTED, "invalid_post", code, words);
	case 401: return mps_fail(op, MPS_REVOKED, "key_invalid", code, words);
	case 429:
		mps_retry_after(op, mps_retry_header(op, 60));
		return mps_fail(op, MPS_LIMIT, "rate_limited", code, words);
	default: return mps_fail(op, mps_status(op) >= 500 ? MPS_TRANSIENT : MPS_UNKNOWN, "platform_error", code, words);
	}
}

/* The typed key is the token: it never expires, and this code never sees it. */
static mps_next exchange_start(mps_op *op)
{
	mps_req *r = mps_get_url(op, API "/me");

	mps_bearer_of(r, mps_handle(op, "field.key"));
	return mps_send(op, r, MPS_SAFE, "checked");
}

static mps_next exchange_checked(mps_op *op)
{
	if (mps_status(op) != 200)
		return failed(op);
	mps_token(op, "access", mps_handle(op, "field.key"), 0);
	return mps_done(op);
}

static mps_next identify_start(mps_op *op)
{
	mps_req *r = mps_get_url(op, API "/me");

	mps_bearer(r);
	return mps_send(op, r, MPS_SAFE, "identified");
}

static mps_next identify_identified(mps_op *op)
{
	if (mps_status(op) != 200)
		return failed(op);
	mps_result(op, "account.id", mps_json(op, "id"));
	mps_result(op, "account.username", mps_json(op, "username"));
	return mps_done(op);
}

/* Item number "uploaded" goes up.  Nobody sees a file that no post refers to, so this may be repeated: SAFE. */
static mps_next upload(mps_op *op)
{
	int64_t i = mps_int(mps_get(op, "uploaded"), 0);
	mps_req *r = mps_post(op, API "/media");

	mps_bearer(r);
	mps_multipart(r, "alt", mps_input(op, mps_at(op, "media.", i, ".alt")));
	mps_multipart_media(r, "file", mps_input(op, mps_at(op, "media.", i, ".filename")), (int32_t)i);
	return mps_send(op, r, MPS_SAFE, "uploaded");
}

/* The one request that people see.  Its key makes it KEYED: the platform knows it again. */
static mps_next post(mps_op *op)
{
	int64_t n = mps_int(mps_get(op, "uploaded"), 0);
	mps_req *r = mps_post(op, API "/posts");

	mps_bearer(r);
	mps_req_header(r, "Idempotency-Key", mps_seed(op));
	mps_json_object(r, "");
	mps_json_text(r, "text", mps_input(op, "text"));
	if (*mps_input(op, "parent.remote_id"))		/* an item of a thread answers the one before it */
		mps_json_text(r, "reply_to", mps_input(op, "parent.remote_id"));
	mps_json_array(r, "media");
	for (int64_t i = 0; i < n; i++)
		mps_json_text(r, "", mps_get(op, mps_at(op, "media.", i, "")));
	mps_json_close(r);
	mps_json_close(r);
	return mps_send(op, r, MPS_KEYED, "published");
}

static mps_next publish_start(mps_op *op)
{
	return mps_int(mps_input(op, "media.count"), 0) > 0 ? upload(op) : post(op);
}

static mps_next publish_uploaded(mps_op *op)
{
	int64_t i = mps_int(mps_get(op, "uploaded"), 0);

	if (mps_status(op) != 201)
		return failed(op);
	mps_set(op, mps_at(op, "media.", i, ""), mps_json(op, "id"));
	mps_set(op, "uploaded", mps_number(op, i + 1));
	return i + 1 < mps_int(mps_input(op, "media.count"), 0) ? upload(op) : post(op);
}

static mps_next publish_published(mps_op *op)
{
	mps_req *r;

	if (mps_event(op) == MPS_LOST) {		/* sent, no answer, key too old to repeat: look */
		r = mps_get_url(op, API "/posts");
		mps_query(r, "key", mps_seed(op));
		mps_bearer(r);
		return mps_send(op, r, MPS_SAFE, "looked");
	}
	if (mps_status(op) != 200 && mps_status(op) != 201)
		return failed(op);
	mps_result(op, "remote_id", mps_json(op, "id"));
	mps_result(op, "remote_url", mps_json(op, "url"));
	return mps_done(op);
}

static mps_next publish_looked(mps_op *op)
{
	if (mps_status(op) != 200 || mps_json_type(op, "posts") != MPS_JSON_ARRAY)
		return mps_unknown(op);			/* an answer that cannot be read proves nothing */
	if (mps_json_count(op, "posts") == 0)
		return mps_absent(op);
	mps_result(op, "remote_id", mps_json(op, "posts.0.id"));
	mps_result(op, "remote_url", mps_json(op, "posts.0.url"));
	return mps_found(op);
}

static mps_next remove_start(mps_op *op)
{
	mps_req *r = mps_delete(op, API "/posts");

	mps_path(r, mps_input(op, "remote_id"));
	mps_bearer(r);
	return mps_send(op, r, MPS_SAFE, "removed");
}

static mps_next remove_removed(mps_op *op)
{
	return mps_status(op) / 100 == 2 || mps_status(op) == 404 ? mps_done(op) : failed(op);
}

static const struct mps_phase exchange[] = { { "start", exchange_start }, { "checked", exchange_checked }, { NULL, NULL } };
static const struct mps_phase identify[] = { { "start", identify_start }, { "identified", identify_identified }, { NULL, NULL } };
static const struct mps_phase publish[] = {
	{ "start", publish_start }, { "uploaded", publish_uploaded }, { "published", publish_published },
	{ "looked", publish_looked }, { NULL, NULL }
};
static const struct mps_phase removal[] = { { "start", remove_start }, { "removed", remove_removed }, { NULL, NULL } };

static const struct mps_operation operations[] = {
	{ "exchange", exchange }, { "identify", identify }, { "publish", publish }, { "remove", removal }, { NULL, NULL }
};

MPS_PROVIDER("example", "0.1", descriptor, operations)
