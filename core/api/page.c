/*
 * Cursors: base64url(payload) "." base64url(keyed hash of who asks, what for, and the payload).
 *
 * The hash binds a cursor to its list, so that nobody walks another organization's rows or another filter's
 * by editing it; what stands in the payload is ours alone.
 */
#include "core/api/page.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"

#define MAC_SIZE 16
#define LIMIT_DEFAULT 50
#define TEXT_MAX (128 * 1024)

struct pair { const char *name, *value; };

static int pair_order(const void *a, const void *b)
{
	return strcmp(((const struct pair *)a)->name, ((const struct pair *)b)->name);
}

/* The query without limit and cursor, sorted: the same list, however it was written. */
static void filter_text(const struct api_request *r, struct buf *out)
{
	int n = web_query_count(r->web), used = 0;
	struct pair *pairs = arena_array(r->arena, struct pair, n + 1);

	for (int i = 0; i < n; i++) {
		struct pair *p = &pairs[used];

		if (web_query_at(r->web, i, &p->name, &p->value) && strcmp(p->name, "limit") && strcmp(p->name, "cursor"))
			used++;
	}
	qsort(pairs, (size_t)used, sizeof(*pairs), pair_order);
	for (int i = 0; i < used; i++)
		buf_addf(out, "%zu:%s=%zu:%s\n", strlen(pairs[i].name), pairs[i].name, strlen(pairs[i].value), pairs[i].value);
}

static void cursor_mac(const struct api_request *r, const char *payload, uint8_t ret[32])
{
	const struct owner *o = &r->identity.owner;
	BUF_AUTO struct buf text;

	buf_init(&text, TEXT_MAX);
	buf_addf(&text, "%s\n%s\n%d\n%s\n", o->organization_id ? o->organization_id : "", o->app_id ? o->app_id : "",
		(int)o->live, r->route->pattern);
	for (int i = 0; i < r->match.params; i++)
		buf_addf(&text, "%zu:%s\n", strlen(r->match.values[i]), r->match.values[i]);
	filter_text(r, &text);
	buf_addf(&text, "\n%s", payload);
	vault_mac(r->api->vault, "cursor", buf_text(&text), text.len, ret);
}

static bool part_decode(struct arena *a, const char *text, size_t n, const char **ret, size_t *ret_len)
{
	BUF_AUTO struct buf out;

	buf_init(&out, PAGE_KEY_MAX);
	if (!text_unbase64url(&out, text, n) || !buf_ok(&out))
		return false;
	*ret = arena_dup(a, buf_text(&out), out.len);
	*ret_len = out.len;
	return true;
}

static bool cursor_read(struct api_request *r, const char *cursor, const char **ret)
{
	const char *dot = strchr(cursor, '.'), *payload, *mac;
	size_t payload_n, mac_n;
	uint8_t want[32];

	if (!dot || !part_decode(r->arena, cursor, (size_t)(dot - cursor), &payload, &payload_n))
		return false;
	if (!part_decode(r->arena, dot + 1, strlen(dot + 1), &mac, &mac_n) || mac_n != MAC_SIZE || strlen(payload) != payload_n)
		return false;
	cursor_mac(r, payload, want);
	if (!vault_equal(mac, want, MAC_SIZE))
		return false;
	*ret = payload;
	return true;
}

enum rc page_read(struct api_request *r, struct page *ret)
{
	const char *cursor = api_query(r, "cursor"), *after = "";

	if (cursor && !cursor_read(r, cursor, &after)) {
		r->more.type = "invalid_request";
		return fail_code(r->cx, RC_INVALID, "field_invalid", "cursor",
			"The cursor is not one of this list: use nextCursor with the same filters, or begin without a cursor.");
	}
	ret->limit = (int)api_query_int(r, "limit", LIMIT_DEFAULT);
	ret->rows = 0;
	ret->after = after;
	ret->last[0] = 0;
	return RC_OK;
}

void page_begin(struct api_request *r)
{
	jsonw_object(r->w, NULL);
	jsonw_array(r->w, "data");
}

bool page_more(const struct page *p)
{
	return p->rows < p->limit;
}

void page_row(struct page *p, const char *key)
{
	assert(strlen(key) < sizeof(p->last));
	snprintf(p->last, sizeof(p->last), "%s", key);
	p->rows++;
}

void page_end(struct api_request *r, const struct page *p, bool more)
{
	BUF_AUTO struct buf cursor;
	uint8_t mac[32];

	buf_init(&cursor, PAGE_KEY_MAX * 2);
	if (more) {
		cursor_mac(r, p->last, mac);
		text_base64url(&cursor, p->last, strlen(p->last));
		buf_addc(&cursor, '.');
		text_base64url(&cursor, mac, MAC_SIZE);
	}
	jsonw_array_end(r->w);
	jsonw_text(r->w, "nextCursor", more ? buf_text(&cursor) : NULL);
	jsonw_bool(r->w, "hasMore", more);
	jsonw_object_end(r->w);
}
