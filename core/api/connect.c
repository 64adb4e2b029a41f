/* Shared parts of connecting: see connect.h. */
#include "core/api/connect.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"

const char *connect_callback_url(const struct api *api, struct arena *a, const char *platform)
{
	return arena_printf(a, "%s/oauth/%s/callback", api->public_url, platform);
}

const struct platform *connect_platform(struct cx *cx, const struct api *api, bool live, const char *id, const char **ret_provider)
{
	const struct platform *p = platforms_take(api->platforms, id);

	if (p == NULL || (live && p->sandbox)) {
		platform_give(p);
		fail_code(cx, RC_INVALID, "platform_unknown", "platform", "This server has no platform %s.", id);
		return NULL;
	}
	*ret_provider = live ? p->id : "sandbox";
	return p;
}

enum rc connect_client(struct cx *cx, struct db_conn *c, const struct api *api, const struct owner *o, const struct platform *p,
		       const char *provider, const char *wanted, struct arena *a, const char **ret_id, const char **ret_mode)
{
	const struct conf_provider *conf = conf_provider(api->conf, provider);
	bool none = text_eq(provider, "sandbox") || !platform_needs_client(p);
	struct app app;

	*ret_id = NULL;
	*ret_mode = text_eq(wanted, "customer") ? "customer" : "managed";
	if (none)
		return RC_OK;
	if (!app_find(c, o->organization_id, o->app_id, a, &app))
		return db_rc(c) != RC_OK ? db_fail(cx, c) : fail(cx, RC_BUG, "no app %s", o->app_id);
	return credential_choose(cx, c, &app, p->id, wanted, conf != NULL && conf->client_id != NULL, a, ret_id, ret_mode);
}

static void word_add(struct buf *out, const char *word)
{
	if (word == NULL || word[0] == '\0')
		return;
	if (out->len > 0)
		buf_addc(out, ' ');
	buf_adds(out, word);
}

static bool scopes_of_credential(struct db_conn *c, const struct owner *o, const struct platform *p, const char *credential_id,
				 struct arena *a, struct buf *out)
{
	struct credential k;
	struct cx ignored;
	struct jv list;

	cx_init(&ignored, NULL);
	if (!credential_find(c, o->organization_id, o->app_id, p->id, a, &k) || k.scopes == NULL ||
	    !(p->registered || text_eq(k.id, credential_id)) || json_parse(&ignored, a, k.scopes, strlen(k.scopes), &list) != RC_OK)
		return false;
	for (size_t i = 0; i < json_count(list); i++)
		word_add(out, json_text(json_at(list, i)));
	return true;
}

const char *connect_scope(struct db_conn *c, const struct owner *o, const struct platform *p, const char *credential_id, struct arena *a)
{
	BUF_AUTO struct buf out;

	buf_init(&out, 16384);
	if (!scopes_of_credential(c, o, p, credential_id, a, &out))
		for (int i = 0; i < p->scope_count; i++)
			word_add(&out, p->scopes[i].scope);
	return out.len > 0 ? arena_text(a, buf_text(&out)) : NULL;
}

struct writing { struct api_request *r; api_write_fn *fn; void *arg; };

static enum rc write_run(struct cx *cx, struct db_conn *c, void *arg)
{
	struct writing *w = arg;
	enum rc rc = w->fn(cx, c, w->r, w->arg);

	return rc != RC_OK || db_rc(c) == RC_OK ? rc : db_fail(cx, c);
}

enum rc connect_write(struct api_request *r, api_write_fn *fn, void *arg)
{
	struct writing w = {r, fn, arg};

	return db_write(r->cx, r->api->db, write_run, &w);
}

/* ---- waiting for the engine --------------------------------------------------------------------------- */

#define SLICE_MS 1000

void connect_wake(const struct api_request *r)
{
	if (r->api->wake)
		r->api->wake(r->api->engine);
}

/* Counted with the long polls: at most a quarter of the workers waits. */
void connect_wait_begin(struct api_request *r, struct connect_wait *w, int ms)
{
	*w = (struct connect_wait){.until = clock_mono() + ms, .waits = r->api->wait != NULL};
	if (w->waits && ++r->api->polls > r->api->polls_max) {
		r->api->polls--;
		w->waits = false;
	}
}

bool connect_wait_more(struct api_request *r, struct connect_wait *w)
{
	int64_t left = w->until - clock_mono();

	if (!w->waits || left <= 0 || r->api->draining)
		return false;
	w->seen = r->api->wait(r->api->engine, w->seen, (int)(left < SLICE_MS ? left : SLICE_MS));
	return true;
}

void connect_wait_end(struct api_request *r, struct connect_wait *w)
{
	if (w->waits)
		r->api->polls--;
	w->waits = false;
}
