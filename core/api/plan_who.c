/*
 * Who receives a post: the end user, and the account of each target.  See plan.h.
 */
#include "core/api/plan.h"

#include <stdio.h>

#include "core/base/text.h"
#include "core/model/enduser.h"

#define TARGETS_MAX 50

/* ---- what is not offered ---------------------------------------------------------------------------- */

static bool is_empty(struct jv v)
{
	return !plan_given(v) || ((json_type(v) == JSON_ARRAY || json_type(v) == JSON_OBJECT) && json_count(v) == 0);
}

void plan_later(const struct plan *k, struct jv object, const char *place)
{
	static const char *const names[] = {"approval", NULL};

	for (int i = 0; names[i] != NULL; i++)
		if (!is_empty(json_get(object, names[i]))) {
			const char *at = arena_printf(k->r->arena, "%s%s", place, names[i]);

			api_issue(k->r, "option_not_supported", at, "This server does not offer %s yet.", names[i]);
		}
}

/* ---- who -------------------------------------------------------------------------------------------- */

static enum rc find_end_user(struct plan *k)
{
	const char *external = plan_text(k, "externalUserId"), *id = plan_text(k, "endUserId");
	struct enduser u = {0};

	if (k->old != NULL || (external == NULL && id == NULL))
		return RC_OK;
	if (!enduser_find(k->c, &k->r->identity.owner, external ? arena_printf(k->r->arena, "ext:%s", external) : id, k->r->arena, &u))
		return fail_code(k->r->cx, RC_NOT_FOUND, "end_user_not_found", external ? "externalUserId" : "endUserId",
				 "There is no such end user.");
	if (external != NULL && id != NULL && !text_eq(id, u.id) && !text_eq(id, arena_printf(k->r->arena, "ext:%s", external)))
		return fail_code(k->r->cx, RC_INVALID, "field_invalid", "endUserId", "endUserId and externalUserId name different end users.");
	k->end_user_id = u.id;
	return RC_OK;
}

static bool is_usable(const struct connection *n) { return text_eq(n->status, "active") || text_eq(n->status, "expiring"); }

static void find_by_id(struct plan *k, struct plan_to *to, const char *id)
{
	const char *at = arena_printf(k->r->arena, "%s.connectionId", to->param);

	if (!connection_find(k->c, &k->r->identity.owner, id, k->r->arena, &to->n) ||
	    (k->end_user_id != NULL && !text_eq(k->end_user_id, to->n.end_user_id))) {
		to->n.id = NULL;
		api_issue(k->r, "connection_not_found", at, "There is no such connection%s.", k->end_user_id ? " of this end user" : "");
	}
}

/* Two ids are enough to know that there is more than one. */
static int list_ids(struct plan *k, const char *platform, bool usable, char ids[2][ID_MAX])
{
	const struct owner *o = &k->r->identity.owner;
	int n = 0;
	STMT_AUTO struct stmt *s = db_query(k->c,
		"SELECT id FROM connection WHERE app_id = ?1 AND live = ?2 AND end_user_id = ?3 AND platform = ?4 AND organization_id = ?5"
		" AND status <> 'disconnected' AND (?6 = 0 OR status IN ('active', 'expiring')) ORDER BY id LIMIT 2", "sisssi", o->app_id,
		o->live, k->end_user_id, platform, o->organization_id, (int64_t)usable);

	while (n < 2 && db_next(s))
		snprintf(ids[n++], ID_MAX, "%s", db_text_or(s, 0, ""));
	return n;
}

static bool is_offered(const struct plan *k, const char *platform)
{
	PLATFORM_AUTO const struct platform *p = platforms_take(k->r->api->platforms, platform);

	return p != NULL && !(p->sandbox && k->r->identity.owner.live);
}

void plan_unknown_platform(struct plan *k, const char *platform, const char *at)
{
	const char **ids, *near;
	int n = platforms_list(k->r->api->platforms, k->r->arena, &ids);

	ids[n] = NULL;
	near = text_nearest(platform, ids);
	api_issue(k->r, "platform_unknown", at, "This server has no platform %.32s%s%s%s", platform, near ? "; did you mean " : ".",
		  near ? near : "", near ? "?" : "")->platform = arena_text(k->r->arena, platform);
}

static void find_by_platform(struct plan *k, struct plan_to *to, const char *platform, const char *at)
{
	char ids[2][ID_MAX];
	int n;

	if (!is_offered(k, platform)) {
		plan_unknown_platform(k, platform, at);
		return;
	}
	if (k->end_user_id == NULL) {
		api_issue(k->r, "field_required", "externalUserId", "Say whose account on %s is meant: externalUserId or endUserId.", platform);
		return;
	}
	n = list_ids(k, platform, true, ids);
	if (n == 0)
		n = list_ids(k, platform, false, ids);
	if (n == 0)
		api_issue(k->r, "connection_not_found", at, "This end user has no connection on %s.", platform)->platform = platform;
	else if (n > 1)
		api_issue(k->r, "connection_ambiguous", at, "This end user has more than one connection on %s, %s and %s among them.", platform,
			  ids[0], ids[1])->platform = platform;
	else
		connection_find(k->c, &k->r->identity.owner, arena_text(k->r->arena, ids[0]), k->r->arena, &to->n);
}

static void judge_connection(struct plan *k, struct plan_to *to)
{
	struct error_issue *issue;

	if (to->n.id == NULL || k->old != NULL)
		return;
	if (!is_usable(&to->n)) {
		api_issue(k->r, "connection_reauth_required", to->param, "Connection %s is %s.", to->n.id, to->n.status)->platform = to->n.platform;
	} else if (to->n.paused) {
		issue = api_issue(k->r, "connection_paused", to->param, "Connection %s is paused: the delivery will wait.", to->n.id);
		issue->severity = "warning";
		issue->platform = to->n.platform;
	}
}

static void find_target(struct plan *k, struct plan_to *to)
{
	const char *id = json_text(json_get(to->own, "connectionId")), *platform = json_text(json_get(to->own, "platform"));
	const char *at = arena_printf(k->r->arena, "%s.platform", to->param);

	if (id == NULL && platform == NULL) {
		api_issue(k->r, "field_required", arena_printf(k->r->arena, "%s.connectionId", to->param), "A target has a connectionId or a platform.");
		return;
	}
	if (id != NULL)
		find_by_id(k, to, id);
	else
		find_by_platform(k, to, platform, at);
	if (id != NULL && platform != NULL && to->n.id != NULL && !text_eq(platform, to->n.platform))
		api_issue(k->r, "field_invalid", at, "This connection is one of %s.", to->n.platform);
}

/* An edit that leaves a target alone has no place of its own for it. */
static void name_target(const struct plan *k, struct plan_to *to, int i)
{
	int at = k->edited ? k->edited[i] : i;

	to->param = arena_printf(k->r->arena, "targets[%d]", at >= 0 ? at : i);
	to->place = at >= 0 ? arena_printf(k->r->arena, "targets[%d].", at) : "";
}

static void find_recipients(struct plan *k)
{
	struct jv targets = json_get(k->body, "targets"), platforms = json_get(k->body, "platforms");
	int named = (int)json_count(targets), all = named + (int)json_count(platforms);

	k->to = arena_array(k->r->arena, struct plan_to, all + 1);
	if (all == 0)
		api_issue(k->r, "field_required", "targets", "Say where to publish: targets, or platforms and an end user.");
	if (all > TARGETS_MAX)
		api_issue(k->r, "field_invalid", "targets", "A post has at most %d targets; these are %d.", TARGETS_MAX, all);
	for (k->count = 0; k->count < all && all <= TARGETS_MAX; k->count++) {
		struct plan_to *to = &k->to[k->count];

		if (k->count < named) {
			to->own = json_at(targets, (size_t)k->count);
			name_target(k, to, k->count);
			plan_later(k, to->own, to->place);
			find_target(k, to);
		} else {
			to->param = arena_printf(k->r->arena, "platforms[%d]", k->count - named);
			to->place = "";
			find_by_platform(k, to, json_text(json_at(platforms, (size_t)(k->count - named))), to->param);
		}
		judge_connection(k, to);
	}
}

enum rc plan_who(struct plan *k)
{
	enum rc rc = find_end_user(k);

	if (rc != RC_OK)
		return rc;
	plan_later(k, k->body, "");
	find_recipients(k);
	return RC_OK;
}
