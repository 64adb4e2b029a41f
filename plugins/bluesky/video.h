/*
 * Bluesky: a video on its way to the account's server.
 *
 * The video service takes the bytes with a token that the account's server made out, encodes them, and brings the
 * result there as a blob, which is waited for.  Over 100 MB it wants them in parts.  Nothing of this is seen by anyone,
 * so whatever fails without saying why is begun anew, a few times.
 *
 * setting.video = direct sends videos to the account's server itself, for servers that the video service cannot reach.
 */
#define VIDEO_TRIES 3
#define VIDEO_HOST "video.bsky.app"
#define VIDEO_WHOLE_MAX 100000000
#define VIDEO_TOKEN_S 1800
#define VIDEO_LIMIT_S 3600

/* The service shows this token to the account's server, so that is whom it must be made out to. */
static mps_next video_begin(mps_op *op)
{
	mps_req *r = xrpc(op, "GET", account_host(op), "com.atproto.server.getServiceAuth");
	const char *host = account_host(op), *colon = strchr(host, ':');

	if (colon)
		host = mps_concat(op, mps_concat(op, part(op, host, (size_t)(colon - host)), "%3A"), colon + 1);
	authorize(op, r);
	mps_query(r, "aud", mps_concat(op, "did:web:", host));
	mps_query(r, "lxm", "com.atproto.repo.uploadBlob");
	mps_query(r, "exp", mps_number(op, mps_now(op) / 1000 + VIDEO_TOKEN_S));
	return mps_send(op, r, MPS_SAFE, "video_allowed");
}

static const char *video_name(mps_op *op)
{
	const char *mime = media(op, 0, ".mime"), *end = mps_is(mime, "image/gif") ? ".gif" : mps_is(mime, "video/webm") ? ".webm" :
		mps_is(mime, "video/quicktime") ? ".mov" : ".mp4";

	return mps_concat(op, part(op, mps_seed(op), 16), end);
}

/* A value of the job, which the service gives bare or as a member of jobStatus. */
static const char *job(mps_op *op, const char *what)
{
	const char *inner = mps_json(op, mps_concat(op, "jobStatus.", what));

	return *inner ? inner : mps_json(op, what);
}

static const char *job_blob(mps_op *op)
{
	if (*mps_json(op, "jobStatus.blob.ref.$link"))
		return mps_json_source(op, "jobStatus.blob");
	return *mps_json(op, "blob.ref.$link") ? mps_json_source(op, "blob") : "";
}

/* What ends a video for good, or for today; everything else is begun anew a little later.  A limit of the service is not
 * one of the account's server, where other posts may go on: hence TRANSIENT. */
static const struct error video_errors[] = {
	{ "unconfirmed_email", MPS_REJECTED, "email_unconfirmed" },
	{ "validation_failure", MPS_REJECTED, "video_refused" },
	{ "encoding_failure", MPS_REJECTED, "video_unreadable" },
	{ "pds_upload_unsupported_blob_size", MPS_REJECTED, "media_too_large" },
	{ "VideoTooLarge", MPS_REJECTED, "media_too_large" },
	{ "VideoTooLong", MPS_REJECTED, "video_refused" },
	{ "BadAspectRatio", MPS_REJECTED, "video_refused" },
	{ "UnsupportedContentType", MPS_REJECTED, "video_unreadable" },
	{ "UploadForbidden", MPS_REJECTED, "video_forbidden" },
	{ "DailyLimitExceeded", MPS_TRANSIENT, "video_limit" },
	{ "TooManyOpenUploads", MPS_TRANSIENT, "video_limit" },
	{ "ServiceOverloaded", MPS_TRANSIENT, "platform_unavailable" },
	{ NULL, 0, NULL }
};

static const struct error *video_error(mps_op *op)
{
	static const struct error limit = { "", MPS_TRANSIENT, "video_limit" }, trouble = { "", MPS_TRANSIENT, "platform_unavailable" },
		large = { "", MPS_REJECTED, "media_too_large" };
	const char *code = *job(op, "failureCode") ? job(op, "failureCode") : job(op, "error");
	int32_t status = mps_status(op);

	for (const struct error *e = video_errors; e->code; e++)
		if (mps_is(e->code, code))
			return e;
	if (status == 429 || strstr(code, "limit"))
		return &limit;
	return status >= 500 || status == 408 ? &trouble : status == 413 ? &large : NULL;
}

static mps_next video_again(mps_op *op)
{
	static const char *const spent[] = { "job", "part", "part_size", "part_count", "video_token" };
	int64_t tries = mps_int(mps_get(op, "video_tries"), 0) + 1;

	if (tries >= VIDEO_TRIES)
		return mps_fail(op, MPS_REJECTED, "video_failed", job(op, "error"), job(op, "message"));
	mps_set(op, "video_tries", mps_number(op, tries));
	for (size_t i = 0; i < sizeof spent / sizeof *spent; i++)
		mps_set(op, spent[i], "");
	return mps_wait(op, (int32_t)(30 * tries), "video_again");
}

static mps_next video_failed(mps_op *op)
{
	const struct error *e = video_error(op);
	const char *code = *job(op, "failureCode") ? job(op, "failureCode") : job(op, "error");

	if (!e)
		return video_again(op);
	if (e->failure == MPS_TRANSIENT)
		mps_retry_after(op, mps_retry_header(op, mps_is(e->reason, "video_limit") ? VIDEO_LIMIT_S : 1));
	return mps_fail(op, e->failure, e->reason, code, job(op, "message"));
}

/* --- in one piece ------------------------------------------------------------------------------------------------- */

static mps_req *video_request(mps_op *op, const char *name)
{
	return xrpc(op, "POST", VIDEO_HOST, name);
}

static mps_next video_whole(mps_op *op)
{
	mps_req *r = video_request(op, "app.bsky.video.uploadVideo");

	mps_query(r, "did", mps_input(op, "account.id"));
	mps_query(r, "name", video_name(op));
	mps_bearer_of(r, mps_get(op, "video_token"));
	mps_body_media(r, 0, 0, -1);
	return mps_send(op, r, MPS_SAFE, "video_uploaded");
}

/* A video that it has seen before is an error by status and a success by what it holds. */
static mps_next publish_video_uploaded(mps_op *op)
{
	const char *blob = job_blob(op), *id = *mps_json(op, "completedJobId") ? mps_json(op, "completedJobId") : job(op, "jobId");

	if (*blob) {
		mps_set(op, blob_key(op, 0), blob);
		return publish_next(op);
	}
	if (!*id || (mps_status(op) != 200 && !mps_is(job(op, "error"), "already_exists")))
		return video_failed(op);
	mps_set(op, "job", id);
	return mps_wait(op, 3, "video_poll");
}

/* --- in parts: a new token for the first and the last request, and whenever one is refused or old ------------------- */

static int64_t number_of(mps_op *op, const char *key) { return mps_int(mps_get(op, key), 0); }

static mps_next parts_start(mps_op *op)
{
	mps_req *r = video_request(op, "app.bsky.video.startUpload");

	mps_bearer_of(r, mps_get(op, "video_token"));
	mps_json_object(r, "");
	mps_json_int(r, "sizeBytes", mps_int(media(op, 0, ".bytes"), 0));
	mps_json_text(r, "mimeType", media(op, 0, ".mime"));
	mps_json_text(r, "name", video_name(op));
	mps_json_close(r);
	return mps_send(op, r, MPS_SAFE, "video_started");
}

static mps_next part_send(mps_op *op)
{
	int64_t n = number_of(op, "part"), size = number_of(op, "part_size");
	mps_req *r;

	if (mps_now(op) / 1000 > number_of(op, "video_until"))
		return video_begin(op);
	r = video_request(op, "app.bsky.video.uploadPart");
	mps_query(r, "jobId", mps_get(op, "job"));
	mps_query(r, "partNumber", mps_number(op, n));
	mps_bearer_of(r, mps_get(op, "video_token"));
	mps_req_header(r, "Content-Type", "application/octet-stream");
	mps_body_media(r, 0, (n - 1) * size, n == number_of(op, "part_count") ? -1 : size);
	return mps_send(op, r, MPS_SAFE, "video_part");
}

static mps_next parts_finish(mps_op *op)
{
	mps_req *r = video_request(op, "app.bsky.video.finishUpload");

	mps_bearer_of(r, mps_get(op, "video_token"));
	mps_json_object(r, "");
	mps_json_text(r, "jobId", mps_get(op, "job"));
	mps_json_close(r);
	return mps_send(op, r, MPS_SAFE, "video_uploaded");
}

/* A service that takes no parts is given the whole. */
static mps_next publish_video_started(mps_op *op)
{
	int64_t size = mps_int(mps_json(op, "partSizeBytes"), 0), count = mps_int(mps_json(op, "partCount"), 0);
	int64_t bytes = mps_int(media(op, 0, ".bytes"), 0);

	if (mps_status(op) != 200)
		return mps_status(op) != 501 && video_error(op) ? video_failed(op) : video_whole(op);
	if (!*mps_json(op, "jobId") || size < 1 || count != (bytes + size - 1) / size)
		return video_whole(op);
	mps_set(op, "job", mps_json(op, "jobId"));
	mps_set(op, "part", "1");
	mps_set(op, "part_size", mps_number(op, size));
	mps_set(op, "part_count", mps_number(op, count));
	return part_send(op);
}

static mps_next publish_video_part(mps_op *op)
{
	int64_t n = number_of(op, "part");

	if (mps_status(op) == 401 && number_of(op, "part_denied") != n) {
		mps_set(op, "part_denied", mps_number(op, n));
		return video_begin(op);
	}
	if (mps_status(op) != 200)
		return video_failed(op);
	mps_set(op, "part", mps_number(op, n + 1));
	return n < number_of(op, "part_count") ? part_send(op) : video_begin(op);
}

static mps_next publish_video_allowed(mps_op *op)
{
	int64_t part = number_of(op, "part");

	if (mps_status(op) != 200 || !*mps_json(op, "token"))
		return fail_with(op);
	mps_set(op, "video_token", mps_json(op, "token"));
	mps_set(op, "video_until", mps_number(op, mps_now(op) / 1000 + VIDEO_TOKEN_S / 2));
	if (part > 0)
		return part > number_of(op, "part_count") ? parts_finish(op) : part_send(op);
	return mps_int(media(op, 0, ".bytes"), 0) > VIDEO_WHOLE_MAX ? parts_start(op) : video_whole(op);
}

/* --- until it is encoded ------------------------------------------------------------------------------------------ */

static mps_next publish_video_poll(mps_op *op)
{
	mps_req *r = xrpc(op, "GET", VIDEO_HOST, "app.bsky.video.getJobStatus");

	mps_query(r, "jobId", mps_get(op, "job"));
	return mps_send(op, r, MPS_SAFE, "video_polled");
}

static mps_next publish_video_polled(mps_op *op)
{
	const char *blob = job_blob(op);

	if (*blob) {
		mps_set(op, blob_key(op, 0), blob);
		return publish_next(op);
	}
	if (mps_status(op) != 200 || mps_is(job(op, "state"), "JOB_STATE_FAILED"))
		return video_failed(op);
	return mps_wait(op, 3, "video_poll");
}
