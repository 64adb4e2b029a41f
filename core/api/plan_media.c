/*
 * The media of a post: items found by their ids, judged by each platform, written for the engine.  See plan.h.
 *
 * The one thing to know: a list is read once, however many targets share it, so that an item which is not there is
 * told once.  An item that is given by address is nobody's yet: it is judged by its address alone until plan_fetch
 * has made a media item of it.
 */
#include "core/api/plan.h"

#include <stdlib.h>

#include "core/base/text.h"
#include "core/engine/intake.h"
#include "core/io/http.h"

/* ---- finding ---------------------------------------------------------------------------------------- */

static const char *below(const struct plan *k, const char *param, const char *name)
{
	return arena_printf(k->r->arena, "%s.%s", param, name);
}

static void hold(struct plan *k, const char *id)
{
	for (int i = 0; i < k->held_count; i++)
		if (text_eq(k->held[i], id))
			return;
	if (k->held_count == k->held_size) {
		const char **more = arena_array(k->r->arena, const char *, 2 * k->held_size + 16);

		for (int i = 0; i < k->held_count; i++)
			more[i] = k->held[i];
		k->held = more;
		k->held_size = 2 * k->held_size + 16;
	}
	k->held[k->held_count++] = id;
}

static bool find(struct plan *k, const char *id, const char *param, struct media *ret)
{
	if (!media_find(k->c, &k->r->identity.owner, id, k->r->arena, ret)) {
		api_issue(k->r, "media_not_found", param, "There is no such media item.");
		return false;
	}
	if (text_eq(ret->status, "failed")) {
		api_issue(k->r, "media_unreadable", param, "The media item %s could not be read.", id);
		return false;
	}
	if (!text_eq(ret->status, "ready")) {
		api_issue(k->r, "media_not_ready", param, "The media item %s is %s; give it when it is ready.", id, ret->status);
		return false;
	}
	hold(k, ret->id);
	return true;
}

static void judge_url(struct plan *k, const char *url, const char *param)
{
	const struct conf *conf = k->r->api->conf;
	struct http_config guard = {.allow = conf ? (const char *const *)conf->allow : NULL};
	struct cx cx;

	cx_init(&cx, k->r->id);
	if ((k->r->api->intake ? intake_check(&cx, k->r->api->intake, url) : http_url_check(&cx, &guard, HTTP_USER, url)) != RC_OK)
		api_issue(k->r, "media_unreachable", param, "%s", cx.words);
	else
		api_issue(k->r, "media_unchecked", param, "The file behind this address is read and checked when the post is accepted.")
			->severity = "warning";
}

/* What a caller calls it and what its bytes say: a moving picture is no still one. */
static void judge_type(struct plan *k, const struct plan_item *item)
{
	const char *type = json_text(json_get(item->own, "type"));

	if (type != NULL && text_eq(type, "video") != text_eq(item->m.kind, "video"))
		api_issue(k->r, "field_invalid", below(k, item->param, "type"), "This file is of type %s, not %s.", item->m.kind, type);
}

/* "x,y", each from -1 to 1. */
static bool is_focus(const char *s)
{
	for (int i = 0; i < 2; i++) {
		char *end;
		double d = strtod(s, &end);

		if (end == s || !(d >= -1 && d <= 1) || *s == ' ' || *end != (i == 0 ? ',' : '\0'))
			return false;
		s = end + 1;
	}
	return true;
}

static void find_thumbnail(struct plan *k, struct plan_item *item)
{
	const char *id = json_text(json_get(item->own, "thumbnailMediaId")), *param = below(k, item->param, "thumbnailMediaId");
	struct media m;

	if (id == NULL || !find(k, id, param, &m))
		return;
	if (text_eq(m.kind, "image"))
		item->thumbnail = m;
	else
		api_issue(k->r, "media_type_unsupported", param, "A preview picture is an image; this is of type %s.", m.kind);
}

static void read_item(struct plan *k, struct plan_item *item)
{
	const char *id = json_text(json_get(item->own, "mediaId")), *url = json_text(json_get(item->own, "url"));
	const char *focus = json_text(json_get(item->own, "focus"));

	if ((id == NULL) == (url == NULL))
		api_issue(k->r, "field_required", below(k, item->param, "mediaId"), "An item has a mediaId or a url, and not both.");
	else if (id != NULL)
		item->known = find(k, id, below(k, item->param, "mediaId"), &item->m);
	else
		judge_url(k, url, below(k, item->param, "url"));
	if (item->known)
		judge_type(k, item);
	if (focus != NULL && !is_focus(focus))
		api_issue(k->r, "field_invalid", below(k, item->param, "focus"), "focus is x,y, each from -1 to 1, as 0.0,-0.5.");
	find_thumbnail(k, item);
	item->alt = json_text(json_get(item->own, "altText"));
	if (item->alt == NULL && item->known)
		item->alt = item->m.alt;
}

static const char *digest_of(const struct plan_item *item)
{
	return item->known && item->m.sha256 != NULL ? item->m.sha256 : json_text_or(json_get(item->own, "url"), "-");
}

const struct plan_media *plan_media(struct plan *k, struct jv list, const char *param)
{
	struct plan_media *m;

	for (m = k->media; m != NULL; m = m->next)
		if (m->count > 0 && m->list.doc == list.doc && m->list.at == list.at)
			return m;
	m = arena_new(k->r->arena, struct plan_media);
	*m = (struct plan_media){.next = k->media, .list = list, .param = param, .count = (int)json_count(list), .digests = NULL};
	m->items = arena_array(k->r->arena, struct plan_item, m->count + 1);
	k->media = m;
	for (int i = 0; i < m->count; i++) {
		m->items[i] = (struct plan_item){.own = json_at(list, (size_t)i), .param = arena_printf(k->r->arena, "%s[%d]", param, i)};
		read_item(k, &m->items[i]);
		m->digests = arena_printf(k->r->arena, "%s%s ", m->digests ? m->digests : "", digest_of(&m->items[i]));
	}
	return m;
}

/* ---- judging ---------------------------------------------------------------------------------------- */

void plan_media_check(const struct plan_media *m, const struct check *check)
{
	struct check_media *list = arena_array(check->arena, struct check_media, m->count + 1);
	int n = 0;

	for (int i = 0; i < m->count; i++) {
		const struct plan_item *item = &m->items[i];
		const char *type = json_text(json_get(item->own, "type"));

		if (item->known)
			list[n++] = (struct check_media){item->m.kind, item->m.mime, item->alt, item->m.bytes, item->m.width, item->m.height,
				item->m.duration_ms, item->m.frame_rate_milli, item->param};
		else if (plan_given(json_get(item->own, "url")))
			list[n++] = (struct check_media){.type = type, .alt = item->alt, .param = item->param};
		else
			return;		/* what is not there was told, and cannot be counted */
	}
	check_media(check, list, n, m->param);
}

/* ---- writing ---------------------------------------------------------------------------------------- */

static void write_number(struct jsonw *w, const char *key, int64_t n)
{
	if (n > 0)
		jsonw_int(w, key, n);
}

static void write_text(struct jsonw *w, const char *key, const char *text)
{
	if (text != NULL && text[0] != '\0')
		jsonw_text(w, key, text);
}

static void write_file(struct jsonw *w, const struct media *m)
{
	jsonw_text(w, "id", m->id);
	jsonw_text(w, "file", m->file);
	write_text(w, "type", m->kind);
	write_text(w, "mime", m->mime);
	write_number(w, "bytes", m->bytes);
	write_number(w, "width", m->width);
	write_number(w, "height", m->height);
	write_number(w, "duration_ms", m->duration_ms);
	write_text(w, "filename", m->filename);
}

static void write_item(struct jsonw *w, const struct plan_item *item, int thumbnail)
{
	jsonw_object(w, NULL);
	write_file(w, &item->m);
	write_text(w, "alt", item->alt);
	write_text(w, "focus", json_text(json_get(item->own, "focus")));
	write_text(w, "title", json_text(json_get(item->own, "title")));
	if (item->thumbnail.id != NULL)
		jsonw_int(w, "thumbnail", thumbnail);
	jsonw_object_end(w);
}

void plan_media_write(const struct plan_media *m, struct jsonw *w)
{
	int thumbnails = 0;

	jsonw_array(w, "media");
	for (int i = 0; i < m->count; i++)
		if (m->items[i].known) {
			write_item(w, &m->items[i], m->count + thumbnails);
			thumbnails += m->items[i].thumbnail.id != NULL;
		}
	jsonw_array_end(w);
	if (thumbnails == 0)
		return;
	jsonw_array(w, "thumbnails");
	for (int i = 0; i < m->count; i++)
		if (m->items[i].known && m->items[i].thumbnail.id != NULL) {
			jsonw_object(w, NULL);
			write_file(w, &m->items[i].thumbnail);
			jsonw_object_end(w);
		}
	jsonw_array_end(w);
}
