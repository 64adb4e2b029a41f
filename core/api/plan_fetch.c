/*
 * Media that a request gives by address: copied before the post is accepted, so that a link that dies later cannot
 * break it.  See plan.h.
 *
 * The one thing to know: the request is written anew with ids in the place of addresses and planned once more; what
 * is stored, and what an edit begins with, names items only.
 */
#include "core/api/plan.h"

#include <string.h>

#include "core/api/media.h"
#include "core/base/clock.h"
#include "core/base/text.h"

#define BUDGET_MS 25000		/* for all items of a post */
#define BODY_MAX (4u << 20)

struct fetched { struct fetched *next; const char *url, *param; struct media m; };	/* in the order of the request */

struct fetching {
	struct api_request *r;
	struct fetched *list, **tail;
	int64_t until;			/* by clock_mono */
};

/* ---- every item that is an address ------------------------------------------------------------------ */

typedef bool item_fn(struct fetching *f, const char *url, const char *param);

static bool each(struct fetching *f, struct jv v, const char *param, bool in_media, item_fn *fn)
{
	const char *key, *url = in_media ? json_text(json_get(v, "url")) : NULL;
	struct jv below;

	if (url != NULL && !fn(f, url, param))
		return false;
	for (size_t i = 0; json_type(v) == JSON_OBJECT && json_member(v, i, &key, &below); i++)
		if (!each(f, below, arena_printf(f->r->arena, "%s%s%s", param, param[0] ? "." : "", key), false, fn))
			return false;
	for (size_t i = 0; json_type(v) == JSON_ARRAY && i < json_count(v); i++)
		if (!each(f, json_at(v, i), arena_printf(f->r->arena, "%s[%zu]", param, i), text_eq(param, "media") ||
			  (strlen(param) > 6 && text_eq(param + strlen(param) - 6, ".media")), fn))
			return false;
	return true;
}

static bool stop(struct fetching *f, const char *url, const char *param) { (void)f; (void)url; (void)param; return false; }

bool plan_has_urls(struct api_request *r)
{
	struct fetching f = {.r = r};

	return !each(&f, r->body, "", false, stop);
}

/* ---- copying ---------------------------------------------------------------------------------------- */

static const char *known(const struct fetching *f, const char *url)
{
	for (const struct fetched *d = f->list; d != NULL; d = d->next)
		if (text_eq(d->url, url))
			return d->m.id;
	return NULL;
}

/* A fault of the file is told with the others; false: it is ours. */
static bool tell(struct fetching *f, const char *param)
{
	struct cx cx = *f->r->cx;

	if (cx.code[0] == '\0')
		return false;
	cx_init(f->r->cx, f->r->id);
	api_issue(f->r, arena_text(f->r->arena, cx.code), param, "%s", cx.words);
	return true;
}

static bool begin(struct fetching *f, const char *url, const char *param)
{
	const char *at = arena_printf(f->r->arena, "%s.url", param);
	struct fetched *d;
	struct media m;

	if (known(f, url) != NULL)
		return true;
	if (media_fetch_start(f->r, url, &m) != RC_OK)
		return tell(f, at);
	d = arena_new(f->r->arena, struct fetched);
	*d = (struct fetched){NULL, url, at, m};
	*f->tail = d;
	f->tail = &d->next;
	return true;
}

/* All at once, each within what is left for all of them. */
static enum rc fetch_all(struct fetching *f, struct jv body)
{
	if (!each(f, body, "", false, begin))
		return f->r->cx->rc;
	for (struct fetched *d = f->list; d != NULL; d = d->next) {
		int64_t left = f->until - clock_mono();

		if (media_fetch_wait(f->r, &d->m, left > 0 ? (int)left : 0, &d->m) != RC_OK && !tell(f, d->param))
			return f->r->cx->rc;
	}
	return api_issues(f->r);
}

/* ---- the request anew ------------------------------------------------------------------------------- */

static void copy(const struct fetching *f, struct jsonw *w, const char *key, struct jv v, bool in_media)
{
	const char *name;
	struct jv below;
	size_t n;

	if (json_type(v) == JSON_ARRAY) {
		jsonw_array(w, key);
		for (size_t i = 0; i < json_count(v); i++)
			copy(f, w, NULL, json_at(v, i), text_eq(key, "media"));
		jsonw_array_end(w);
	} else if (json_type(v) == JSON_OBJECT) {
		jsonw_object(w, key);
		for (size_t i = 0; json_member(v, i, &name, &below); i++)
			if (in_media && text_eq(name, "url") && json_type(below) == JSON_STRING)
				jsonw_text(w, "mediaId", known(f, json_text(below)));
			else if (!(in_media && text_eq(name, "mediaId") && json_type(below) == JSON_NULL))
				copy(f, w, name, below, false);
		jsonw_object_end(w);
	} else {
		const char *raw = json_raw(v, &n);

		jsonw_raw(w, key, raw, n);
	}
}

enum rc plan_fetch(struct api_request *r)
{
	struct fetching f = {.r = r, .until = clock_mono() + BUDGET_MS};
	BUF_AUTO struct buf out = {0};
	struct jsonw w;
	enum rc rc;

	f.tail = &f.list;
	r->more.issues = r->more.last = NULL;	/* of the plan that judged the addresses */
	r->more.issue_count = 0;
	r->more.remediation = NULL;
	rc = fetch_all(&f, r->body);
	if (rc != RC_OK)
		return rc;
	buf_init(&out, BODY_MAX);
	jsonw_init(&w, &out);
	copy(&f, &w, "", r->body, false);
	return json_parse(r->cx, r->arena, buf_text(&out), out.len, &r->body);
}
