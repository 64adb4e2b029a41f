/*
 * Bluesky: the post itself, its record, who can reply to it, and whether a lost one is there.
 *
 * The one thing to know: everything before the record is SAFE and only gathers what the record names (publish_next asks
 * for whatever is missing); the one KEYED request puts it; a reply gate comes after it, under the same key, and when it
 * fails the post is there all the same, with a warning.
 */
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

/* The digest of the post that is answered to; one that a person confirmed has none, and is asked for (parent_ask). */
static const char *cid_of(mps_op *op, const char *place)
{
	const char *cid = mps_input(op, mps_concat(op, place, ".extra.cid"));

	return *cid ? cid : mps_get(op, mps_concat(op, place, ".cid"));
}

static void reference(mps_op *op, mps_req *r, const char *key, const char *place)
{
	mps_json_object(r, key);
	mps_json_text(r, "uri", mps_input(op, mps_concat(op, place, ".remote_id")));
	mps_json_text(r, "cid", cid_of(op, place));
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

static void langs(mps_op *op, mps_req *r)
{
	const char *list = mps_input(op, "options.langs");
	size_t n;

	if (!*list)
		return;
	mps_json_array(r, "langs");
	for (; *list; list += n + (list[n] == '\n')) {
		n = strcspn(list, "\n");
		mps_json_text(r, "", part(op, list, n));
	}
	mps_json_close(r);
}

/* When it is published, because readers sort by it; it is kept, so that a repeat is the same record. */
static void created_at(mps_op *op, mps_req *r)
{
	if (!*mps_get(op, "created_at"))
		mps_set(op, "created_at", mps_number(op, mps_now(op)));
	mps_json_text(r, "createdAt", mps_time_iso(op, mps_int(mps_get(op, "created_at"), 0)));
}

static void record(mps_op *op, mps_req *r)
{
	const char *text = post_text(op);

	mps_json_object(r, "record");
	mps_json_text(r, "$type", POSTS);
	mps_json_text(r, "text", text);
	created_at(op, r);
	facets(op, r, text);
	langs(op, r);
	reply(op, r);
	embed(op, r);
	mps_json_close(r);
}

static mps_req *put(mps_op *op, const char *collection)
{
	mps_req *r = xrpc(op, "POST", account_host(op), "com.atproto.repo.putRecord");

	authorize(op, r);
	mps_json_object(r, "");
	mps_json_text(r, "repo", mps_input(op, "account.id"));
	mps_json_text(r, "collection", collection);
	mps_json_text(r, "rkey", record_key(op));
	return r;
}

static mps_next publish_put(mps_op *op)
{
	mps_req *r = put(op, POSTS);

	record(op, r);
	mps_json_close(r);
	return mps_send(op, r, MPS_KEYED, "published");
}

/* --- the post that is answered to ---------------------------------------------------------------------------------- */

static int lacks_cid(mps_op *op, const char *place)
{
	return *mps_input(op, mps_concat(op, place, ".remote_id")) && !*cid_of(op, place);
}

/* at://REPOSITORY/COLLECTION/KEY */
static mps_next parent_ask(mps_op *op, const char *place)
{
	const char *uri = mps_input(op, mps_concat(op, place, ".remote_id")), *at = uri + strlen("at://");
	size_t repo = strncmp(uri, "at://", 5) == 0 ? strcspn(at, "/") : 0, collection = repo > 0 && at[repo] ? strcspn(at + repo + 1, "/") : 0;
	mps_req *r;

	if (collection == 0 || at[repo + 1 + collection] != '/')
		return mps_fail(op, MPS_REJECTED, "parent_unknown", "", "the id of the post that this answers to is none of Bluesky: at://...");
	mps_set(op, "asked", place);
	r = xrpc(op, "GET", account_host(op), "com.atproto.repo.getRecord");
	mps_query(r, "repo", part(op, at, repo));
	mps_query(r, "collection", part(op, at + repo + 1, collection));
	mps_query(r, "rkey", at + repo + collection + 2);
	return mps_send(op, r, MPS_SAFE, "parent_read");
}

static mps_next publish_parent_read(mps_op *op)
{
	if (mps_is(mps_json(op, "error"), "RecordNotFound"))
		return fail_as(op, MPS_REJECTED, "parent_gone");
	if (mps_status(op) != 200 || !*mps_json(op, "cid"))
		return fail_with(op);
	mps_set(op, mps_concat(op, mps_get(op, "asked"), ".cid"), mps_json(op, "cid"));
	return publish_next(op);
}

/* What is still missing before the record can be written: digests of what it answers to, the DIDs of mentions, the
 * blobs of media. */
static mps_next publish_next(mps_op *op)
{
	struct piece p;
	const char *text = post_text(op);
	mps_req *r;

	if (lacks_cid(op, "parent"))
		return parent_ask(op, "parent");
	if (lacks_cid(op, "root"))
		return parent_ask(op, "root");
	if (mention_open(op, text, &p) >= 0) {
		r = xrpc(op, "GET", account_host(op), "com.atproto.identity.resolveHandle");
		mps_query(r, "handle", lowered(op, text + p.at + 1, p.length - 1));
		return mps_send(op, r, MPS_SAFE, "mentioned");
	}
	for (int64_t i = 0; i < media_count(op); i++)
		if (!*mps_get(op, blob_key(op, i)))
			return embed_of(op) == EMBED_VIDEO && !is_direct(op) ? video_begin(op) : blob_send(op, i);
	return publish_put(op);
}

static mps_next publish_start(mps_op *op)
{
	const char *fault = post_fault(op);

	return fault ? fail_fault(op, fault) : publish_next(op);
}

/* A name that the server cannot resolve ends no post; a server that is in trouble is asked again. */
static mps_next publish_mentioned(mps_op *op)
{
	int32_t status = mps_status(op);

	if (status == 429 || status == 502 || status == 503)
		return fail_with(op);
	mention_keep(op, post_text(op), status == 200 ? mps_json(op, "did") : "");
	return publish_next(op);
}

static mps_next publish_look(mps_op *op)
{
	mps_req *r = xrpc(op, "GET", account_host(op), "com.atproto.repo.getRecord");

	mps_query(r, "repo", mps_input(op, "account.id"));
	mps_query(r, "collection", POSTS);
	mps_query(r, "rkey", record_key(op));
	return mps_send(op, r, MPS_SAFE, "looked");
}

static void publish_results(mps_op *op, const char *uri, const char *cid)
{
	const char *url = mps_concat(op, "https://bsky.app/profile/", mps_input(op, "account.id"));

	url = mps_concat(op, mps_concat(op, url, "/post/"), record_key(op));
	mps_result(op, "remote_id", uri);
	mps_result(op, "remote_url", url);
	mps_result(op, "extra.cid", cid);
	mention_warnings(op, post_text(op));
}

static mps_next publish_end(mps_op *op) { return mps_looking(op) ? mps_found(op) : mps_done(op); }

/* --- who can reply: a record of its own under the post's key; only the first post of a thread has one ---------- */

static int is_gated(mps_op *op)
{
	const char *gate = mps_input(op, "options.reply_gate");

	return *gate && !mps_is(gate, "everybody") && !*mps_input(op, "parent.remote_id");
}

static mps_next gate_put(mps_op *op, const char *post)
{
	static const struct { const char *option, *rule; } rules[] = {
		{ "mentioned", GATES "#mentionRule" }, { "following", GATES "#followingRule" }, { "followers", GATES "#followerRule" }
	};
	mps_req *r = put(op, GATES);

	mps_json_object(r, "record");
	mps_json_text(r, "$type", GATES);
	mps_json_text(r, "post", post);
	mps_json_array(r, "allow");		/* empty: nobody */
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if (mps_is(rules[i].option, mps_input(op, "options.reply_gate"))) {
			mps_json_object(r, "");
			mps_json_text(r, "$type", rules[i].rule);
			mps_json_close(r);
		}
	mps_json_close(r);
	created_at(op, r);
	mps_json_close(r);
	mps_json_close(r);
	return mps_send(op, r, MPS_SAFE, "gated");
}

/* The post is there, whatever became of its gate. */
static mps_next publish_gated(mps_op *op)
{
	if (mps_looking(op))
		publish_results(op, mps_get(op, "uri"), mps_get(op, "cid"));
	if (mps_status(op) != 200)
		mps_warn(op, "reply_gate_missing", mps_concat(op, "the post is public, but everybody can reply: ", mps_json(op, "message")));
	return publish_end(op);
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

static mps_next publish_published(mps_op *op)
{
	if (mps_event(op) == MPS_LOST)
		return publish_look(op);
	if (mps_status(op) == 200 && !*mps_json(op, "uri"))
		return fail_as(op, MPS_UNKNOWN, "answer_unreadable");
	if (mps_is(mps_json(op, "error"), "BlobNotFound") && !*mps_get(op, "blobs_again"))
		return blobs_again(op);
	if (mps_status(op) != 200)
		return fail_with(op);
	publish_results(op, mps_json(op, "uri"), mps_json(op, "cid"));
	return is_gated(op) ? gate_put(op, mps_json(op, "uri")) : publish_end(op);
}

static mps_next publish_looked(mps_op *op)
{
	const char *uri = mps_json(op, "uri");

	if (mps_status(op) != 200 || !*uri)
		return mps_is(mps_json(op, "error"), "RecordNotFound") ? mps_absent(op) : mps_unknown(op);
	if (is_gated(op)) {		/* results belong to the step that ends */
		mps_set(op, "uri", uri);
		mps_set(op, "cid", mps_json(op, "cid"));
		return gate_put(op, uri);
	}
	publish_results(op, uri, mps_json(op, "cid"));
	return publish_end(op);
}
