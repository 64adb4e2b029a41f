/*
 * The picker: /connect/{token}/select.  One login may open many places; each that is ticked becomes a connection
 * of the same grant.
 */
#include "core/api/connect_html.h"

#include <string.h>

#include "core/api/routes.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/model/connect_flow.h"

struct choosing { struct connect_view *v; int *chosen; int count; };

static enum rc select_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct choosing *k = arg;

	return connect_select(cx, c, k->v->s.id, k->chosen, k->count, r->now);
}

/* Indices as the page wrote them; others are not there. */
static void tick(bool *ticked, int choices, const char *value)
{
	int64_t i;

	if (text_int(value, &i) && i >= 0 && i < choices)
		ticked[i] = true;
}

static void ticks_of_query(struct connect_view *v, bool *ticked, int choices)
{
	const char *name, *value;

	for (int i = 0; web_query_at(v->r->web, i, &name, &value); i++)
		if (text_eq(name, "target"))
			tick(ticked, choices, value);
}

static void ticks_of_form(struct connect_view *v, const char *form, size_t len, bool *ticked, int choices)
{
	const char *end = form + len, *value;

	for (const char *at = form; at < end; at += strcspn(at, "&") + 1) {
		if (!text_starts(at, "target="))
			continue;
		value = arena_dup(v->r->arena, at + 7, strcspn(at + 7, "&"));
		tick(ticked, choices, value);
	}
}

/* A renewal begins with the place that is to be renewed. */
static void tick_renewed(struct connect_view *v, struct jv root, bool *ticked, int choices)
{
	DB_READ_AUTO struct db_conn *c = db_take(v->r->api->db);
	STMT_AUTO struct stmt *s = db_query(c, "SELECT remote_id FROM connection WHERE id = ?1 AND organization_id = ?2", "ss",
					    v->s.reconnect_id, v->s.owner.organization_id);

	if (v->s.reconnect_id == NULL || !db_next(s))
		return;
	for (int i = 0; i < choices; i++)
		if (text_eq(json_text(json_get(root, arena_printf(v->r->arena, "targets.%d.id", i))), db_text(s, 0)))
			ticked[i] = true;
}

/* Whether there is a choice to be made by this browser; else answers. */
static bool choosable(struct connect_view *v, struct api_request *r)
{
	if (!connect_view_token(v, r, api_param(r, "token")))
		connect_page_cause(v, "connect_session_not_found");
	else if (!v->bound)
		connect_page_cause(v, "wrong_browser");
	else if (connect_over(v) != NULL && !text_eq(v->s.status, "completed"))
		connect_page_cause(v, connect_over(v));
	else if (!text_eq(v->s.status, "selecting"))
		connect_redirect(v, connect_path(v, "/wait"));
	else
		return true;
	return false;
}

static enum rc select_show(struct api_request *r)
{
	VIEW_AUTO struct connect_view v;
	const char *search = "";
	struct jv root;
	bool *ticked;
	int choices;

	if (!choosable(&v, r))
		return RC_OK;
	choices = connect_choices(&v, &root);
	ticked = arena_array(r->arena, bool, choices + 1);
	if (web_query(r->web, "q", &search))
		ticks_of_query(&v, ticked, choices);
	else
		tick_renewed(&v, root, ticked, choices);
	connect_page_pick(&v, strlen(search) <= 400 ? search : "", ticked, NULL);
	return RC_OK;
}

static enum rc chosen_take(struct connect_view *v, const bool *ticked, int choices)
{
	struct choosing k = {v, arena_array(v->r->arena, int, choices + 1), 0};
	enum rc rc;

	for (int i = 0; i < choices; i++)
		if (ticked[i])
			k.chosen[k.count++] = i;
	if (k.count == 0) {
		connect_page_pick(v, "", ticked, "Please tick at least one.");
		return RC_OK;
	}
	rc = connect_write(v->r, select_write, &k);
	if (rc != RC_OK && rc != RC_CONFLICT)
		return rc;
	connect_wake(v->r);
	return rc == RC_OK ? connect_go_on(v) : connect_page_cause(v, v->r->cx->code);
}

static enum rc select_take(struct api_request *r)
{
	VIEW_AUTO struct connect_view v;
	const char *form, *cause;
	struct jv root;
	bool *ticked;
	size_t len;
	int choices;
	enum rc rc;

	if (!choosable(&v, r))
		return RC_OK;
	rc = connect_form_read(&v, &form, &len, &cause);
	if (rc != RC_OK)
		return rc;
	if (cause != NULL)
		return connect_page_cause(&v, cause);
	choices = connect_choices(&v, &root);
	ticked = arena_array(r->arena, bool, choices + 1);
	ticks_of_form(&v, form, len, ticked, choices);
	return chosen_take(&v, ticked, choices);
}

const struct route connect_choose_routes[] = {
	CONNECT_PAGE("GET", "/connect/{token}/select", select_show, "showConnectChoice"),
	CONNECT_PAGE("POST", "/connect/{token}/select", select_take, "takeConnectChoice"),
	{0},
};
