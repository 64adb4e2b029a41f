/*
 * Mastodon: publishing, editing and removing a status.
 *
 * Media go up one after the other and are waited for, then the newest own status is remembered (look.h), then the one
 * irreversible request leaves.  Media that no status names are thrown away by the instance after a day.
 */
static mps_next status_send(mps_op *op);
static mps_next status_read(mps_op *op);

/* --- media ------------------------------------------------------------------------------------------------------- */

static const char *media(mps_op *op, int64_t n, const char *what) { return mps_input(op, mps_at(op, "media.", n, what)); }
static const char *media_id(mps_op *op, int64_t n) { return mps_get(op, mps_at(op, "media.", n, "")); }

/* The name is of no use to anybody but servers that trust its ending. */
static const char *filename(mps_op *op, int64_t n)
{
	const char *name = media(op, n, ".filename");

	for (const char *s = name; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f || *s == '"' || *s == '\\')
			return "media";
	return *name ? name : "media";
}

static mps_next upload(mps_op *op)
{
	int64_t n = mps_int(mps_get(op, "uploaded"), 0);
	mps_req *r;

	if (n >= media_count(op) && mps_is(mps_kind(op), "edit"))
		return status_read(op);
	if (n >= media_count(op)) {
		r = own_statuses(op, "1");
		return r ? mps_send(op, r, MPS_SAFE, "anchored") : status_send(op);
	}
	r = api(op, "POST", "/api/v2/media");
	if (*media(op, n, ".alt"))
		mps_multipart(r, "description", media(op, n, ".alt"));
	if (*media(op, n, ".focus"))
		mps_multipart(r, "focus", media(op, n, ".focus"));
	mps_multipart_media(r, "file", filename(op, n), (int32_t)n);
	return mps_send(op, r, MPS_SAFE, "uploaded");
}

static mps_next upload_next(mps_op *op)
{
	mps_set(op, "uploaded", mps_number(op, mps_int(mps_get(op, "uploaded"), 0) + 1));
	return upload(op);
}

/* 202: the instance has it and is still working on it. */
static mps_next publish_uploaded(mps_op *op)
{
	if (!good(op))
		return fail_with(op);
	if (!*mps_json(op, "id"))
		return fail_as(op, MPS_UNKNOWN, "answer_unreadable");
	mps_set(op, mps_at(op, "media.", mps_int(mps_get(op, "uploaded"), 0), ""), mps_json(op, "id"));
	return mps_status(op) == 202 ? mps_wait(op, 2, "media_poll") : upload_next(op);
}

static mps_next publish_media_poll(mps_op *op)
{
	mps_req *r = api(op, "GET", "/api/v1/media");

	mps_path(r, media_id(op, mps_int(mps_get(op, "uploaded"), 0)));
	return mps_send(op, r, MPS_SAFE, "media_polled");
}

static mps_next publish_media_polled(mps_op *op)
{
	if (mps_status(op) == 206)
		return mps_wait(op, 2, "media_poll");
	if (mps_status(op) == 200)
		return upload_next(op);
	if (mps_status(op) == 404 && !*mps_get(op, "again")) {	/* thrown away: once more */
		mps_set(op, "again", "1");
		return upload(op);
	}
	if (mps_status(op) == 422)
		return fail_as(op, MPS_REJECTED, "media_failed");
	return fail_with(op);
}

/* --- the status -------------------------------------------------------------------------------------------------- */

static mps_next publish_start(mps_op *op)
{
	if (media_count(op) > 0 && *option(op, "poll_options"))
		return mps_fail(op, MPS_REJECTED, "poll_with_media", "", "A poll stands in place of media; a post has one or the other.");
	return upload(op);
}

/* A server that does not show the list can still publish; then a lost status is looked for by time, or not at all. */
static mps_next publish_anchored(mps_op *op)
{
	int32_t count = mps_json_count(op, "");

	if (mps_status(op) == 401 || mps_status(op) == 429 || mps_status(op) >= 500)
		return fail_with(op);
	if (mps_status(op) == 200 && mps_json_type(op, "") == MPS_JSON_ARRAY && count == 0)
		mps_set(op, "anchor", NO_STATUS);
	if (mps_status(op) == 200 && *in_list(op, 0, ".id")) {
		mps_set(op, "anchor", in_list(op, 0, ".id"));
		mps_set(op, "anchor_at", mps_number(op, mps_time_ms(in_list(op, 0, ".created_at"))));
	}
	return status_send(op);
}

static void put_text(mps_op *op, mps_req *r, const char *key, const char *value)
{
	(void)op;
	if (*value)
		mps_json_text(r, key, value);
}

static void put_bool(mps_op *op, mps_req *r, const char *key, const char *name)
{
	const char *value = option(op, name);

	if (*value)
		mps_json_bool(r, key, mps_is(value, "true"));
}

static void put_poll(mps_op *op, mps_req *r)
{
	const char *list = option(op, "poll_options");
	size_t n;

	if (!*list)
		return;
	mps_json_object(r, "poll");
	mps_json_array(r, "options");
	for (; *list; list += n + (list[n] == '\n')) {
		char *one;

		n = strcspn(list, "\n");
		one = mps_alloc(op, (uint32_t)n + 1);
		mps_json_text(r, "", one ? memcpy(one, list, n) : "");
	}
	mps_json_close(r);
	mps_json_int(r, "expires_in", mps_int(option(op, "poll_expires_in"), 86400));
	put_bool(op, r, "multiple", "poll_multiple");
	put_bool(op, r, "hide_totals", "poll_hide_totals");
	mps_json_close(r);
}

/* What a new status and a changed one have in common. */
static void put_content(mps_op *op, mps_req *r)
{
	mps_json_text(r, "status", mps_input(op, "text"));
	put_text(op, r, "spoiler_text", option(op, "spoiler_text"));
	put_bool(op, r, "sensitive", "sensitive");
	put_text(op, r, "language", option(op, "language"));
	put_poll(op, r);
}

static mps_next status_send(mps_op *op)
{
	mps_req *r = api(op, "POST", "/api/v1/statuses");
	int64_t count = media_count(op);

	if (!*mps_get(op, "anchor"))
		mps_set(op, "anchor_at", mps_number(op, mps_now(op) - CLOCKS_APART_MS));
	mps_req_header(r, "Idempotency-Key", mps_seed(op));
	mps_json_object(r, "");
	put_content(op, r);
	if (count > 0) {
		mps_json_array(r, "media_ids");
		for (int64_t n = 0; n < count; n++)
			mps_json_text(r, "", media_id(op, n));
		mps_json_close(r);
	}
	put_text(op, r, "in_reply_to_id", mps_input(op, "parent.remote_id"));
	put_text(op, r, "visibility", option(op, "visibility"));
	put_text(op, r, "quote_approval_policy", option(op, "quote_policy"));
	mps_json_close(r);
	return mps_send(op, r, is_mastodon(op) ? MPS_KEYED : MPS_ONCE, "posted");
}

static void status_results(mps_op *op)
{
	const char *url = mps_json(op, "url");

	mps_result(op, "remote_id", mps_json(op, "id"));
	mps_result(op, "remote_url", *url ? url : mps_json(op, "uri"));
}

static mps_next publish_posted(mps_op *op)
{
	if (mps_event(op) == MPS_LOST)
		return look(op);
	if (!good(op))
		return fail_with(op);
	if (!*mps_json(op, "id"))
		return fail_as(op, MPS_UNKNOWN, "answer_unreadable");
	status_results(op);
	return mps_done(op);
}

/* --- editing and removing ------------------------------------------------------------------------------------------ */

static mps_req *status_request(mps_op *op, const char *method)
{
	mps_req *r = api(op, method, "/api/v1/statuses");

	mps_path(r, mps_input(op, "remote_id"));
	return r;
}

/* Media that it keeps must be named again, or they are taken from it: it is read first, in any case for what an edit
 * cannot change. */
static mps_next status_read(mps_op *op) { return mps_send(op, status_request(op, "GET"), MPS_SAFE, "read"); }

static mps_next edit_start(mps_op *op)
{
	if (!*mps_input(op, "media.kept") && media_count(op) > 0 && *option(op, "poll_options"))
		return publish_start(op);
	return *mps_input(op, "media.kept") ? status_read(op) : upload(op);
}

static void put_media(mps_op *op, mps_req *r)
{
	int kept = *mps_input(op, "media.kept") != '\0';
	int64_t count = kept ? mps_json_count(op, "media_attachments") : media_count(op);

	if (count == 0)
		return;
	mps_json_array(r, "media_ids");
	for (int64_t n = 0; n < count; n++)
		mps_json_text(r, "", kept ? mps_json(op, mps_at(op, "media_attachments.", n, ".id")) : media_id(op, n));
	mps_json_close(r);
}

/* The whole content is put in its place, so it may be put there again. */
static mps_next edit_read(mps_op *op)
{
	const char *visibility = mps_json(op, "visibility");
	mps_req *r;

	if (mps_status(op) != 200)
		return fail_with(op);
	if (*visibility && *option(op, "visibility") && !mps_is(visibility, option(op, "visibility")))
		return mps_fail(op, MPS_REJECTED, "visibility_fixed", "", "Who sees a post cannot be changed once it is published.");
	r = status_request(op, "PUT");
	mps_json_object(r, "");
	put_content(op, r);
	put_media(op, r);
	mps_json_close(r);
	return mps_send(op, r, MPS_SAFE, "edited");
}

static mps_next edit_edited(mps_op *op)
{
	const char *url = mps_json(op, "url");

	if (!good(op))
		return fail_with(op);
	if (*url)
		mps_result(op, "remote_url", url);
	return mps_done(op);
}

static mps_next remove_start(mps_op *op)
{
	return mps_send(op, status_request(op, "DELETE"), MPS_SAFE, "removed");
}

/* What is not there any more is as good as removed. */
static mps_next remove_removed(mps_op *op)
{
	if (good(op) || (mps_status(op) == 404 && *mps_json(op, "error")))
		return mps_done(op);
	return fail_with(op);
}
