/*
 * Bluesky: what hangs on a post.  Up to four images, a gallery of ten, one video, or the card of a link.
 *
 * Bytes come first: each image becomes a blob of the account's server, and a video one by way of the video service
 * (video.h).  A blob that no record names is thrown away after a while, so all of this is SAFE and can be done again;
 * what the server said about a blob is kept, as "blob.N", and written into the record as it stands.
 */
#define IMAGE_MAX 2000000
#define THUMB_MAX 1000000
#define VIDEO_ALT_MAX 1000

enum embed { EMBED_NONE, EMBED_CARD, EMBED_IMAGES, EMBED_GALLERY, EMBED_VIDEO };

static mps_next publish_next(mps_op *op);

static int64_t media_count(mps_op *op) { return mps_int(mps_input(op, "media.count"), 0); }
static const char *media(mps_op *op, int64_t n, const char *what) { return mps_input(op, mps_at(op, "media.", n, what)); }
static int is_direct(mps_op *op) { return mps_is(mps_input(op, "setting.video"), "direct"); }
static const char *blob_key(mps_op *op, int64_t n) { return mps_at(op, "blob.", n, ""); }

/* An animated picture alone is shown moving, as a video; beside others it is a picture like them. */
static enum embed embed_of(mps_op *op)
{
	int64_t n = media_count(op);
	const char *type = media(op, 0, ".type");

	if (n == 0)
		return *mps_input(op, "link") ? EMBED_CARD : EMBED_NONE;
	if (mps_is(type, "video") || (n == 1 && mps_is(type, "gif") && !is_direct(op)))
		return EMBED_VIDEO;
	if (n == 1 && *mps_input(op, "link") && mps_is(mps_input(op, "options.link_thumb"), "true"))
		return EMBED_CARD;
	return n <= 4 ? EMBED_IMAGES : EMBED_GALLERY;
}

/* The text, and under it the link where media take the place of its card. */
static const char *post_text(mps_op *op)
{
	const char *text = mps_input(op, "text"), *link = mps_input(op, "link");

	if (!*link || embed_of(op) == EMBED_CARD || strstr(text, link))
		return text;
	return mps_concat(op, *text ? mps_concat(op, text, "\n\n") : "", link);
}

/* --- what is refused before a byte is sent ----------------------------------------------------------------------- */

static const char *image_fault(mps_op *op, enum embed embed)
{
	for (int64_t i = 0; i < media_count(op); i++) {
		if (mps_is(media(op, i, ".type"), "video"))
			return "media_mixed";
		if (mps_int(media(op, i, ".bytes"), 0) > (embed == EMBED_CARD ? THUMB_MAX : IMAGE_MAX))
			return "media_too_large";
	}
	return media_count(op) > 10 ? "media_too_many" : NULL;
}

static const char *video_fault(mps_op *op)
{
	if (media_count(op) > 1)
		return "media_mixed";
	if (is_direct(op) && !mps_is(media(op, 0, ".mime"), "video/mp4"))
		return "media_type_refused";
	return mps_graphemes(media(op, 0, ".alt")) > VIDEO_ALT_MAX ? "alt_too_long" : NULL;
}

static const char *post_fault(mps_op *op)
{
	enum embed embed = embed_of(op);
	const char *text = post_text(op), *fault;

	fault = embed == EMBED_VIDEO ? video_fault(op) : image_fault(op, embed);
	if (!fault && text != mps_input(op, "text") && (mps_graphemes(text) > 300 || strlen(text) > 3000))
		fault = "link_does_not_fit";
	return fault;
}

static const struct fault { const char *reason, *words; } faults[] = {
	{ "media_mixed", "a video stands alone: no images and no second video beside it" },
	{ "media_too_many", "ten images are the most" },
	{ "media_too_large", "an image may have 2,000,000 bytes, that of a link's card 1,000,000" },
	{ "media_type_refused", "this account's server takes videos as video/mp4 only" },
	{ "alt_too_long", "the description of a video may have 1,000 characters" },
	{ "link_does_not_fit", "beside media a link stands under the text, and both together are longer than 300 characters" },
	{ NULL, NULL }
};

static mps_next fail_fault(mps_op *op, const char *reason)
{
	const struct fault *f = faults;

	while (f->reason && !mps_is(f->reason, reason))
		f++;
	return mps_fail(op, MPS_REJECTED, reason, "", f->reason ? f->words : "");
}

/* --- images ------------------------------------------------------------------------------------------------------- */

static mps_next blob_send(mps_op *op, int64_t n)
{
	mps_req *r = xrpc(op, "POST", account_host(op), "com.atproto.repo.uploadBlob");

	authorize(op, r);
	mps_body_media(r, (int32_t)n, 0, -1);
	mps_set(op, "uploading", mps_number(op, n));
	return mps_send(op, r, MPS_SAFE, "uploaded");
}

static mps_next publish_uploaded(mps_op *op)
{
	if (mps_status(op) == 413)
		return fail_as(op, MPS_REJECTED, "media_too_large");
	if (mps_status(op) != 200 || !*mps_json(op, "blob.ref.$link"))
		return fail_with(op);
	mps_set(op, blob_key(op, mps_int(mps_get(op, "uploading"), 0)), mps_json_source(op, "blob"));
	return publish_next(op);
}

/* A blob that was thrown away before the record named it: everything is brought there once more. */
static mps_next blobs_again(mps_op *op)
{
	for (int64_t i = 0; i < media_count(op); i++)
		mps_set(op, blob_key(op, i), "");
	mps_set(op, "blobs_again", "1");
	return publish_next(op);
}

/* --- the embed ---------------------------------------------------------------------------------------------------- */

static void aspect(mps_op *op, mps_req *r, int64_t n, int required)
{
	int64_t width = mps_int(media(op, n, ".width"), 0), height = mps_int(media(op, n, ".height"), 0);

	if ((width < 1 || height < 1) && !required)
		return;
	mps_json_object(r, "aspectRatio");
	mps_json_int(r, "width", width > 0 && height > 0 ? width : 1);
	mps_json_int(r, "height", width > 0 && height > 0 ? height : 1);
	mps_json_close(r);
}

static void embed_images(mps_op *op, mps_req *r, int gallery)
{
	mps_json_text(r, "$type", gallery ? "app.bsky.embed.gallery" : "app.bsky.embed.images");
	mps_json_array(r, gallery ? "items" : "images");
	for (int64_t i = 0; i < media_count(op); i++) {
		mps_json_object(r, "");
		if (gallery)
			mps_json_text(r, "$type", "app.bsky.embed.gallery#image");
		mps_json_raw(r, "image", mps_get(op, blob_key(op, i)));
		mps_json_text(r, "alt", media(op, i, ".alt"));
		aspect(op, r, i, gallery);
		mps_json_close(r);
	}
	mps_json_close(r);
}

static void embed_video(mps_op *op, mps_req *r)
{
	const char *alt = media(op, 0, ".alt");

	mps_json_text(r, "$type", "app.bsky.embed.video");
	mps_json_raw(r, "video", mps_get(op, blob_key(op, 0)));
	if (*alt)
		mps_json_text(r, "alt", alt);
	aspect(op, r, 0, 0);
	if (mps_is(media(op, 0, ".type"), "gif"))
		mps_json_text(r, "presentation", "gif");
}

/* The page behind the link is not read: title and description are those of the post's options. */
static void embed_card(mps_op *op, mps_req *r)
{
	const char *link = mps_input(op, "link"), *bare = strstr(link, "://"), *title = mps_input(op, "options.link_title");

	if (!*title && bare)
		title = part(op, bare + 3, strcspn(bare + 3, "/?#"));

	mps_json_text(r, "$type", "app.bsky.embed.external");
	mps_json_object(r, "external");
	mps_json_text(r, "uri", link);
	mps_json_text(r, "title", *title ? title : link);
	mps_json_text(r, "description", mps_input(op, "options.link_description"));
	if (media_count(op) == 1)
		mps_json_raw(r, "thumb", mps_get(op, blob_key(op, 0)));
	mps_json_close(r);
}

static void embed(mps_op *op, mps_req *r)
{
	enum embed kind = embed_of(op);

	if (kind == EMBED_NONE)
		return;
	mps_json_object(r, "embed");
	if (kind == EMBED_CARD)
		embed_card(op, r);
	else if (kind == EMBED_VIDEO)
		embed_video(op, r);
	else
		embed_images(op, r, kind == EMBED_GALLERY);
	mps_json_close(r);
}
