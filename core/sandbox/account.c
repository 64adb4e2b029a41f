/*
 * Who the token speaks for, and the pages of accounts named many-N: N pages, each with a token of its own.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "core/sandbox/handlers.h"
#include "core/sandbox/token.h"

#define PAGES_MAX 100

void sandbox_account_me(struct call *c)
{
	struct jsonw *w = call_json(c, 200);

	jsonw_text(w, "id", c->who.page[0] ? c->who.page : c->who.account);
	jsonw_text(w, "username", c->who.name);
	jsonw_text(w, "name", arena_printf(c->r->arena, "%c%s", c->who.name[0] >= 'a' && c->who.name[0] <= 'z' ?
					   c->who.name[0] - 'a' + 'A' : c->who.name[0], c->who.name + 1));
	jsonw_text(w, "avatar_url", arena_printf(c->r->arena, "%s/avatars/%s", c->s->public_url, c->who.name));
	jsonw_text(w, "type", c->who.type);
	jsonw_text(w, "scopes", c->who.scope);
	call_done(c);
}

/* many-12 has twelve; a page token sees none. */
static int pages_of(const struct caller *who)
{
	int64_t n;

	if (who->page[0] || !text_starts(who->name, "many-") || !text_int(who->name + 5, &n) || n < 0)
		return 0;
	return n > PAGES_MAX ? PAGES_MAX : (int)n;
}

static const char *page_id(struct arena *a, const struct caller *who, int number)
{
	return arena_printf(a, "page%d_%s", number, who->account + 4);
}

bool sandbox_page_ok(const struct caller *who, const char *page)
{
	char id[64];

	if (text_eq(page, who->page))
		return true;
	for (int i = 1; i <= pages_of(who); i++) {
		snprintf(id, sizeof id, "page%d_%s", i, who->account + 4);
		if (text_eq(id, page))
			return true;
	}
	return false;
}

static bool page_write(struct call *c, struct jsonw *w, int number)
{
	const char *id = page_id(c->r->arena, &c->who, number);
	char token[TOKEN_TEXT];

	if (sandbox_token_page(&c->cx, c->s->db, c->who.family, id, token) != RC_OK)
		return false;
	jsonw_object(w, NULL);
	jsonw_text(w, "id", id);
	jsonw_text(w, "name", arena_printf(c->r->arena, "Page %d of %s", number, c->who.name));
	jsonw_text(w, "detail", arena_printf(c->r->arena, "Sample page with %d followers", 100 * number));
	jsonw_text(w, "access_token", token);
	jsonw_object_end(w);
	return true;
}

void sandbox_account_pages(struct call *c)
{
	struct jsonw *w = call_json(c, 200);
	int n = pages_of(&c->who);
	bool ok = true;

	jsonw_array(w, "data");
	for (int i = 1; i <= n && ok; i++)
		ok = page_write(c, w, i);
	jsonw_array_end(w);
	call_done(c);
	if (!ok)
		call_failed(c);
}

void sandbox_account_avatar(struct call *c)
{
	char letter = c->id[0];

	if (!sandbox_account_name_ok(c->id)) {
		call_error(c, 404, "not_found", "No such account.");
		return;
	}
	c->a->status = 200;
	c->a->type = "image/svg+xml";
	buf_addf(c->a->body, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\"><rect width=\"64\" height=\"64\""
		 " fill=\"#3350c8\"/><text x=\"32\" y=\"43\" font-family=\"sans-serif\" font-size=\"30\" fill=\"#fff\""
		 " text-anchor=\"middle\">%c</text></svg>", letter >= 'a' && letter <= 'z' ? letter - 'a' + 'A' : letter);
}
