/*
 * Planning a post: see plan.h.  A plan is made in passes: who, when, what.
 *
 * The one thing to know: an edit is planned like a new post, from the stored request with the changes laid over
 * it; only who receives it is fixed.
 */
#include "core/api/plan.h"

#include <stdio.h>
#include <string.h>

#include "core/base/text.h"

bool plan_given(struct jv v) { return json_type(v) != JSON_NONE && json_type(v) != JSON_NULL; }

const char *plan_text(const struct plan *k, const char *name) { return json_text(json_get(k->body, name)); }

struct jv plan_value(const struct plan *k, const struct plan_to *to, const char *name)
{
	struct jv own = json_get(to->own, name);

	return json_type(own) != JSON_NONE ? own : json_get(k->body, name);
}

const char *plan_param(const struct plan *k, const struct plan_to *to, const char *name)
{
	return arena_printf(k->r->arena, "%s%s", to->place, name);
}

/* ---- what an edit begins with ----------------------------------------------------------------------- */

static const char *const body_names[] = {"text", "link", "media", "thread", "firstComment", "options",
	"scheduledAt", "timezone", "fold", "maxLateSeconds", "onMissed",
	"duplicatePolicy", "partialPolicy", "tags", "metadata", NULL};
static const char *const target_names[] = {"targetId", "text", "link", "media", "thread", "firstComment", "options",
	"scheduledAt", "timezone", "fold", NULL};

static void copy(struct jsonw *w, struct jv from, const char *name)
{
	struct jv v = json_get(from, name);
	size_t n;
	const char *raw = json_raw(v, &n);

	if (plan_given(v))
		jsonw_raw(w, name, raw, n);
}

static void write_target(struct jsonw *w, const struct plan_to *to)
{
	jsonw_object(w, "");
	jsonw_text(w, "connectionId", to->n.id);
	for (int i = 0; target_names[i] != NULL; i++)
		copy(w, to->own, target_names[i]);
	jsonw_object_end(w);
}

static const char *write_body(const struct plan *k)
{
	BUF_AUTO struct buf out;
	struct jsonw w;

	buf_init(&out, 4u << 20);
	jsonw_init(&w, &out);
	jsonw_object(&w, "");
	for (int i = 0; body_names[i] != NULL; i++)
		copy(&w, k->body, body_names[i]);
	jsonw_array(&w, "targets");
	for (int i = 0; i < k->count; i++)
		write_target(&w, &k->to[i]);
	jsonw_array_end(&w);
	jsonw_object_end(&w);
	jsonw_end(&w);
	return arena_text(k->r->arena, buf_text(&out));
}

/* ---- the whole -------------------------------------------------------------------------------------- */

static const char *raw_of(const struct plan *k, const char *name)
{
	size_t n;
	struct jv v = json_get(k->body, name);
	const char *raw = json_raw(v, &n);

	return plan_given(v) ? arena_dup(k->r->arena, raw, n) : NULL;
}

/* The end user of the post: the one named, or the one all accounts belong to. */
static const char *whose(const struct plan *k)
{
	const char *id = k->end_user_id ? k->end_user_id : k->count > 0 ? k->to[0].n.end_user_id : NULL;

	for (int i = 0; i < k->count; i++)
		if (!text_eq(k->to[i].n.end_user_id, id))
			return NULL;
	return id;
}

static void fill(struct plan *k)
{
	struct post_new *p = k->p;
	int64_t late = POST_MAX_LATE_MS / 1000;

	json_int(json_get(k->body, "maxLateSeconds"), &late);
	p->owner = k->r->identity.owner;
	p->end_user_id = whose(k);
	p->external_post_id = plan_text(k, "externalPostId");
	p->text = plan_text(k, "text");
	p->wall_text = plan_text(k, "scheduledAt");
	p->zone = plan_text(k, "timezone");
	p->max_late_ms = late * 1000;
	p->on_missed = json_text_or(json_get(k->body, "onMissed"), "publish");
	p->stop_on_failure = text_eq(plan_text(k, "partialPolicy"), "stop_on_first_failure");
	p->allow_duplicate = text_eq(plan_text(k, "duplicatePolicy"), "allow");
	p->tags = raw_of(k, "tags");
	p->metadata = raw_of(k, "metadata");
	p->body = write_body(k);
}

static enum rc plan_run(struct plan *k)
{
	enum rc rc = plan_who(k);

	if (rc != RC_OK)
		return rc;
	plan_when(k);
	plan_what(k);
	rc = api_issues(k->r);
	if (rc == RC_OK)
		fill(k);
	return rc != RC_OK ? rc : db_rc(k->c) == RC_OK ? RC_OK : db_fail(k->r->cx, k->c);
}

enum rc plan_new(struct api_request *r, struct db_conn *c, bool scheduled, struct post_new *ret)
{
	struct plan k = {.r = r, .c = c, .body = r->body, .p = ret, .times = true};

	*ret = (struct post_new){.targets = NULL};
	plan_mode(&k, scheduled);
	return plan_run(&k);
}

/* ---- edits ------------------------------------------------------------------------------------------ */

/* The stored target that a target of the request means; -1: none, or more than one. */
static int matching(struct jv stored, struct jv target, const struct plan *k)
{
	const char *id = json_text(json_get(target, "connectionId")), *place = json_text(json_get(target, "targetId"));
	const char *platform = json_text(json_get(target, "platform"));
	int found = -1;

	for (int i = 0; i < (int)json_count(stored); i++) {
		const char *own = json_text(json_get(json_at(stored, (size_t)i), "connectionId"));
		struct connection n = {0};

		if (id != NULL && !text_eq(id, own))
			continue;
		if (id == NULL && (!connection_find(k->c, &k->r->identity.owner, own, k->r->arena, &n) || !text_eq(n.platform, platform)))
			continue;
		if (found >= 0 && place == NULL)
			return -1;
		if (found < 0 || text_eq(place, json_text(json_get(json_at(stored, (size_t)i), "targetId"))))
			found = i;
	}
	return found;
}

static const int *match_targets(struct plan *k, struct jv stored)
{
	struct jv targets = field_value(k->r, "targets");
	int n = (int)json_count(stored), *edited = arena_array(k->r->arena, int, n + 1);

	for (int i = 0; i < n; i++)
		edited[i] = -1;
	for (int i = 0; i < (int)json_count(targets); i++) {
		const char *param = arena_printf(k->r->arena, "targets[%d]", i);
		int at = matching(stored, json_at(targets, (size_t)i), k);

		if (at < 0 || edited[at] >= 0)
			api_issue(k->r, "field_invalid", param,
				  "This names no account of the post, or one that was named already: a post keeps its accounts.");
		else
			edited[at] = i;
		plan_later(k, json_at(targets, (size_t)i), arena_printf(k->r->arena, "%s.", param));
	}
	return edited;
}

/* The newer value where the newer object has the member, null clears. */
static void lay_over(struct jsonw *w, struct jv older, struct jv newer, const char *const *names)
{
	for (int i = 0; names[i] != NULL; i++)
		copy(w, json_type(json_get(newer, names[i])) != JSON_NONE ? newer : older, names[i]);
}

static const char *merge(struct plan *k, struct jv stored)
{
	struct jv targets = json_get(stored, "targets"), none = {0};
	BUF_AUTO struct buf out;
	struct jsonw w;

	buf_init(&out, 4u << 20);
	jsonw_init(&w, &out);
	jsonw_object(&w, "");
	lay_over(&w, stored, k->r->body, body_names);
	copy(&w, k->r->body, "onPast");
	jsonw_array(&w, "targets");
	for (int i = 0; i < (int)json_count(targets); i++) {
		jsonw_object(&w, "");
		copy(&w, json_at(targets, (size_t)i), "connectionId");
		lay_over(&w, json_at(targets, (size_t)i), k->edited[i] >= 0 ? json_at(field_value(k->r, "targets"), (size_t)k->edited[i]) : none,
			 target_names);
		jsonw_object_end(&w);
	}
	jsonw_array_end(&w);
	jsonw_object_end(&w);
	jsonw_end(&w);
	return arena_text(k->r->arena, buf_text(&out));
}

static bool names_time(struct jv object)
{
	return json_type(json_get(object, "scheduledAt")) != JSON_NONE || json_type(json_get(object, "timezone")) != JSON_NONE ||
	       json_type(json_get(object, "fold")) != JSON_NONE;
}

static void edit_mode(struct plan *k)
{
	const char *mode = field_text(k->r, "mode");
	bool draft = text_eq(k->old->mode, "draft");

	k->times = names_time(k->r->body);
	for (size_t i = 0; i < json_count(field_value(k->r, "targets")); i++)
		k->times = k->times || names_time(json_at(field_value(k->r, "targets"), i));
	if (mode != NULL && !text_eq(mode, k->old->mode) && !(draft && text_eq(mode, "schedule")))
		api_issue(k->r, "field_invalid", "mode", "A %s post cannot become %s by an edit%s.", k->old->mode, mode,
			  draft ? "; POST /v1/posts/{id}/publish publishes it" : "");
	k->p->mode = draft && text_eq(mode, "schedule") ? "schedule" : !draft && k->times ? "schedule" : k->old->mode;
	k->times = k->times || (draft && mode != NULL);
}

enum rc plan_edit(struct api_request *r, struct db_conn *c, const struct post *p, struct post_new *ret)
{
	struct plan k = {.r = r, .c = c, .p = ret, .old = p};
	const char *merged;
	struct jv stored;
	enum rc rc = json_parse(r->cx, r->arena, p->body, strlen(p->body), &stored);

	if (rc != RC_OK)
		return rc;
	*ret = (struct post_new){.targets = NULL};
	edit_mode(&k);
	plan_later(&k, r->body, "");
	k.edited = match_targets(&k, json_get(stored, "targets"));
	rc = api_issues(r);
	merged = merge(&k, stored);
	if (rc == RC_OK)
		rc = json_parse(r->cx, r->arena, merged, strlen(merged), &k.body);
	if (rc == RC_OK)
		rc = plan_run(&k);
	snprintf(ret->id, ID_MAX, "%s", p->id);
	return rc;
}
