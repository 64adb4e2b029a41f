/*
 * Mastodon: looking for a status whose answer was lost.
 *
 * The account's own statuses are listed from the newest down to the one that was the newest before ours was sent
 * ("anchor"); the instance's order is the only clock.  Each is compared by what no server changes: what it replies to,
 * its media (Mastodon keeps their ids), its text.  Where the rendered text leaves doubt, the source is asked for; where
 * that leaves doubt, the answer is unknown, and never that the status is absent.
 */
#define PAGE "20"
#define PAGES_MAX 10
#define DOUBTS_MAX 5		/* statuses whose source is asked for */
#define CLOCKS_APART_MS 600000	/* between the instance's clock and ours, where there is no anchor */
#define NO_STATUS "-"		/* the anchor of an account that had none */

/* "id@host" -> "id" */
static const char *account_id(mps_op *op)
{
	const char *whole = mps_input(op, "account.id");
	size_t n = strcspn(whole, "@");
	char *id = mps_alloc(op, (uint32_t)n + 1);

	return id ? memcpy(id, whole, n) : "";
}

/* The account's own statuses, newest first; NULL if it cannot be asked. */
static mps_req *own_statuses(mps_op *op, const char *limit)
{
	const char *id = account_id(op);
	mps_req *r;

	if (!*id)
		return NULL;
	r = api(op, "GET", "/api/v1/accounts");
	mps_path(r, id);
	mps_path(r, "statuses");
	mps_query(r, "limit", limit);
	mps_query(r, "exclude_reblogs", "true");
	return r;
}

static const char *in_list(mps_op *op, int32_t i, const char *path) { return mps_json(op, mps_at(op, "", i, path)); }

/* --- one status of the list ------------------------------------------------------------------------------------ */

static int64_t media_count(mps_op *op) { return mps_int(mps_input(op, "media.count"), 0); }

static int media_same(mps_op *op, int32_t i)
{
	for (int64_t n = 0; n < media_count(op); n++) {
		const char *shown = mps_json(op, mps_concat(op, mps_at(op, "", i, ".media_attachments."), mps_at(op, "", n, ".id")));

		if (!*shown || !mps_is(shown, mps_get(op, mps_at(op, "media.", n, ""))))
			return 0;
	}
	return media_count(op) > 0;
}

static enum verdict verdict_of(mps_op *op, int32_t i)
{
	const char *text = mps_input(op, "text"), *reply = in_list(op, i, ".in_reply_to_id"), *plain;

	if (mps_json_type(op, mps_at(op, "", i, ".reblog")) == MPS_JSON_OBJECT)
		return DIFFERENT;
	if (media_same(op, i))
		return SAME;
	if (mps_json_count(op, mps_at(op, "", i, ".media_attachments")) != media_count(op) || (media_count(op) > 0 && is_mastodon(op)))
		return DIFFERENT;
	if (*reply && !mps_is(reply, mps_input(op, "parent.remote_id")))
		return DIFFERENT;
	plain = text_plain(op, in_list(op, i, ".content"));
	if (!plain || !text[strspn(text, " \t\r\n")])
		return CANNOT_TELL;
	return text_compare(text, plain);
}

/* Of several that fit, the oldest is ours: statuses of one account are sent one after the other. */
static void remember(mps_op *op, const char *key, int32_t i)
{
	mps_set(op, key, in_list(op, i, ".id"));
	mps_set(op, mps_concat(op, key, ".url"), in_list(op, i, ".url"));
}

static void take(mps_op *op, int32_t i)
{
	int64_t doubts = mps_int(mps_get(op, "doubts"), 0);
	enum verdict v = verdict_of(op, i);

	if (v == SAME)
		remember(op, "match", i);
	if (v != CANNOT_TELL)
		return;
	if (doubts < DOUBTS_MAX)
		remember(op, mps_at(op, "doubt.", doubts, ""), i);
	mps_set(op, "doubts", mps_number(op, doubts + 1));
}

/* --- the list ---------------------------------------------------------------------------------------------------- */

static mps_next look(mps_op *op)
{
	mps_req *r = own_statuses(op, PAGE);

	if (!r)
		return mps_unknown(op);
	mps_set(op, "pages", "");
	mps_set(op, "match", "");
	mps_set(op, "doubts", "");
	mps_set(op, "told", "");
	return mps_send(op, r, MPS_SAFE, "listed");
}

/* A look that failed: a new token, a pause or "cannot tell", never that the status is absent. */
static mps_next look_failed(mps_op *op)
{
	return mps_status(op) == 401 || mps_status(op) == 429 ? fail_with(op) : mps_unknown(op);
}

/* Whether the status is the anchor or lies behind it. */
static int is_before(mps_op *op, int32_t i)
{
	const char *anchor = mps_get(op, "anchor");
	int64_t at = mps_time_ms(in_list(op, i, ".created_at")), bound = mps_int(mps_get(op, "anchor_at"), -1);

	if (mps_is(anchor, NO_STATUS))
		return 0;
	return mps_is(in_list(op, i, ".id"), anchor) || (at >= 0 && bound >= 0 && at < bound);
}

static mps_next look_end(mps_op *op)
{
	int64_t doubts = mps_int(mps_get(op, "doubts"), 0), told = mps_int(mps_get(op, "told"), 0);
	const char *match = mps_get(op, "match");
	mps_req *r;

	if (*match) {
		mps_result(op, "remote_id", match);
		mps_result(op, "remote_url", mps_get(op, "match.url"));
		return mps_found(op);
	}
	if (told == doubts)
		return mps_absent(op);
	if (doubts > DOUBTS_MAX)
		return mps_unknown(op);
	r = api(op, "GET", "/api/v1/statuses");
	mps_path(r, mps_get(op, mps_at(op, "doubt.", told, "")));
	mps_path(r, "source");
	return mps_send(op, r, MPS_SAFE, "sourced");
}

static mps_next publish_listed(mps_op *op)
{
	int32_t count = mps_json_count(op, "");
	int64_t pages = mps_int(mps_get(op, "pages"), 0);
	mps_req *r;

	if (mps_status(op) != 200 || mps_json_type(op, "") != MPS_JSON_ARRAY)
		return look_failed(op);
	for (int32_t i = 0; i < count; i++) {
		if (!*in_list(op, i, ".id"))
			return mps_unknown(op);
		if (is_before(op, i))
			return look_end(op);
		take(op, i);
	}
	if (count == 0)
		return look_end(op);
	if (pages + 1 >= PAGES_MAX)
		return *mps_get(op, "match") ? look_end(op) : mps_unknown(op);
	mps_set(op, "pages", mps_number(op, pages + 1));
	r = own_statuses(op, PAGE);
	if (!r)
		return mps_unknown(op);
	mps_query(r, "max_id", in_list(op, count - 1, ".id"));
	return mps_send(op, r, MPS_SAFE, "listed");
}

/* Mastodon gives the source as it was sent; another server may have put it in order. */
static mps_next publish_sourced(mps_op *op)
{
	int64_t told = mps_int(mps_get(op, "told"), 0);
	const char *key = mps_at(op, "doubt.", told, ""), *text = mps_input(op, "text");
	int known = mps_status(op) == 200 && mps_json_type(op, "text") == MPS_JSON_STRING && text[strspn(text, " \t\r\n")];

	if (mps_status(op) == 401 || mps_status(op) == 429)
		return fail_with(op);
	if (known && text_equal(text, mps_json(op, "text"))) {
		mps_set(op, "match", mps_get(op, key));
		mps_set(op, "match.url", mps_get(op, mps_concat(op, key, ".url")));
		return look_end(op);
	}
	if (!known || !is_mastodon(op))
		return mps_unknown(op);
	mps_set(op, "told", mps_number(op, told + 1));
	return look_end(op);
}
