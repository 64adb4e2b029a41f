/*
 * New content for what is published: the request laid over the delivery as it stands.  See plan.h.
 *
 * The one thing to know: a delivery holds its options as texts, as providers read them.  Those that the request does
 * not name become again what a caller would have written, so that all are judged by one rule.
 */
#include "core/api/plan.h"

#include <string.h>

#include "core/base/text.h"

#define INPUT_MAX (4u << 20)

/* ---- options ---------------------------------------------------------------------------------------- */

static void write_list(struct jsonw *w, const char *key, const char *text)
{
	jsonw_array(w, key);
	for (size_t n; *text != '\0'; text += n + (text[n] == '\n')) {
		n = strcspn(text, "\n");
		jsonw_textn(w, NULL, text, n);
	}
	jsonw_array_end(w);
}

static void write_stored(struct jsonw *w, const struct platform_option *o, const char *text)
{
	int64_t n = 0;

	if (text_eq(o->type, "list"))
		write_list(w, o->name, text);
	else if (text_eq(o->type, "bool"))
		jsonw_bool(w, o->name, text_eq(text, "true"));
	else if (text_eq(o->type, "int") && text_int(text, &n))
		jsonw_int(w, o->name, n);
	else if (text_eq(o->type, "time") && text_int(text, &n))
		jsonw_time(w, o->name, n);
	else
		jsonw_text(w, o->name, text);
}

static void write_given(struct jsonw *w, struct jv given)
{
	const char *key, *raw;
	struct jv value;
	size_t n;

	for (size_t i = 0; json_member(given, i, &key, &value); i++) {
		raw = json_raw(value, &n);
		jsonw_raw(w, key, raw, n);
	}
}

static enum rc merge_options(const struct plan *k, const struct platform *p, struct jv stored, struct jv *ret)
{
	struct jv given = field_value(k->r, "options");
	BUF_AUTO struct buf out = {0};
	struct jsonw w;

	if (plan_given(given) && json_type(given) != JSON_OBJECT) {
		*ret = given;		/* check_options says so */
		return RC_OK;
	}
	buf_init(&out, INPUT_MAX);
	jsonw_init(&w, &out);
	jsonw_object(&w, "");
	for (int i = 0; i < p->option_count; i++) {
		const char *text = json_text(json_get(stored, p->options[i].name));

		if (text != NULL && json_type(json_get(given, p->options[i].name)) == JSON_NONE)
			write_stored(&w, &p->options[i], text);
	}
	write_given(&w, given);
	jsonw_object_end(&w);
	jsonw_end(&w);
	return json_parse(k->r->cx, k->r->arena, buf_text(&out), out.len, ret);
}

/* ---- the whole -------------------------------------------------------------------------------------- */

/* Digests of media that stay, as plan_media makes them; NULL: an item is gone and its digest with it. */
static const char *kept_digests(const struct plan *k, struct jv media)
{
	const char *all = "";
	struct media m;

	for (size_t i = 0; i < json_count(media); i++) {
		if (!media_find(k->c, &k->r->identity.owner, json_text_or(json_get(json_at(media, i), "id"), ""), k->r->arena, &m) ||
		    m.sha256 == NULL)
			return NULL;
		all = arena_printf(k->r->arena, "%s%s ", all, m.sha256);
	}
	return all;
}

/* What refuses the same content once more; of a post with a thread it is the whole thread's, and stays. */
static const char *hash_of(const struct plan *k, const struct delivery *d, const struct plan_part *part, const char *digests)
{
	struct post_target *t = arena_new(k->r->arena, struct post_target);

	if (digests == NULL || db_number(k->c, 1, "SELECT COUNT(*) FROM delivery WHERE post_id = ?1 AND organization_id = ?2 AND (id = ?3)"
		" <> (parent_delivery_id IS NULL)", "sss", d->post_id, d->owner.organization_id, d->id) > 0)
		return NULL;
	*t = (struct post_target){.target_id = d->target_id, .text = part->text};
	post_hash(t, part->link, digests[0] != '\0' ? digests : NULL);
	return t->hash;
}

static const char *write_input(const struct plan *k, const struct plan_part *part, const char *content, const char *hash)
{
	BUF_AUTO struct buf out;
	struct jsonw w;

	buf_init(&out, INPUT_MAX);
	jsonw_init(&w, &out);
	jsonw_object(&w, "");
	jsonw_text(&w, "text", part->text);
	jsonw_raw(&w, "content", content, strlen(content));
	jsonw_text(&w, "hash", hash);
	jsonw_bool(&w, "mediaKept", json_type(part->kept) == JSON_OBJECT);
	jsonw_object_end(&w);
	jsonw_end(&w);
	return arena_text(k->r->arena, buf_text(&out));
}

static const char *laid_over(const struct plan *k, const char *name, const char *stored)
{
	return field_has(k->r, name) ? field_text(k->r, name) : stored;
}

static enum rc judge(struct plan *k, const struct delivery *d, const struct platform *p, const struct connection *n,
		     struct delivery_edit *ret)
{
	struct limits limits = p->limits;
	struct check check = {.platform = p, .limits = &limits, .arena = k->r->arena, .report = plan_report, .arg = k->r};
	struct plan_part part = {.text_param = "text", .link_param = "link", .media_param = "media"};
	const char *content, *digests;
	struct jv stored;
	enum rc rc = json_parse(k->r->cx, k->r->arena, d->content, strlen(d->content), &stored);

	limits_overlay(&limits, n->limits, k->r->arena);
	part.options = (struct check_options){.child = !text_eq(d->kind, "post"), .param = {"options"}};
	if (rc == RC_OK)
		rc = merge_options(k, p, json_get(stored, "options"), &part.options.layer[0]);
	if (rc != RC_OK)
		return rc;
	part.text = laid_over(k, "text", d->text);
	part.link = laid_over(k, "link", json_text(json_get(stored, "link")));
	part.media = field_value(k->r, "media");
	if (!field_has(k->r, "media"))
		part.kept = stored;
	content = plan_part(k, &check, &part, &digests);
	rc = api_issues(k->r);
	if (rc != RC_OK)
		return rc;
	if (json_type(part.kept) == JSON_OBJECT)
		digests = kept_digests(k, json_get(stored, "media"));
	else if (digests == NULL)
		digests = "";
	ret->input = write_input(k, &part, content, hash_of(k, d, &part, digests));
	return RC_OK;
}

enum rc plan_delivery(struct api_request *r, struct db_conn *c, const struct delivery *d, struct delivery_edit *ret)
{
	PLATFORM_AUTO const struct platform *p = platforms_take(r->api->platforms, d->platform);
	struct plan k = {.r = r, .c = c, .body = r->body};
	struct connection n = {0};
	enum rc rc;

	*ret = (struct delivery_edit){.version = d->version};
	if (json_count(r->body) == 0)
		return fail_code(r->cx, RC_INVALID, "field_required", "text", "Say what is to change: text, link, media or options.");
	if (p == NULL)
		return fail_code(r->cx, RC_INVALID, "platform_unknown", NULL, "This server has no platform %s.", d->platform);
	if (!connection_find(c, &r->identity.owner, d->connection_id, r->arena, &n))
		return db_rc(c) != RC_OK ? db_fail(r->cx, c)
			: fail_code(r->cx, RC_NOT_FOUND, "connection_not_found", NULL, "The account of this delivery is gone.");
	rc = judge(&k, d, p, &n, ret);
	ret->media_ids = k.held;
	ret->media_count = k.held_count;
	return rc != RC_OK ? rc : db_rc(c) == RC_OK ? RC_OK : db_fail(r->cx, c);
}
