/*
 * When a post is published: one time for all targets, or their own.  See plan.h.
 */
#include "core/api/plan.h"

#include "core/base/text.h"
#include "core/base/zone.h"

#define GRACE_MS 60000
#define FAR_MS (365ll * 24 * 3600 * 1000)

/* ---- when ------------------------------------------------------------------------------------------- */

/* Reports at param; 0 if it cannot be used, or is to be now. */
static int64_t read_time(struct plan *k, const char *text, const char *zone, const char *fold, const char *param)
{
	bool now_if_past = text_eq(plan_text(k, "onPast"), "publish_now");
	struct cx cx;
	int64_t at = 0;

	cx_init(&cx, k->r->id);
	if (zone_parse(&cx, text, zone, fold, &at) != RC_OK)
		api_issue(k->r, arena_text(k->r->arena, cx.code), cx.param[0] ? cx.param : param, "%s", cx.words);
	else if (at > k->r->now + FAR_MS)
		api_issue(k->r, "schedule_too_far", param, "%s is more than 365 days ahead.", text);
	else if (at >= k->r->now - GRACE_MS)
		return at;
	else if (!now_if_past)
		api_issue(k->r, "time_in_past", param, "%s has passed.", text);
	return 0;
}

static bool has_own_time(const struct plan_to *to)
{
	return plan_given(json_get(to->own, "scheduledAt")) || plan_given(json_get(to->own, "timezone")) || plan_given(json_get(to->own, "fold"));
}

static void read_times(struct plan *k)
{
	const char *text = plan_text(k, "scheduledAt"), *zone = plan_text(k, "timezone"), *fold = plan_text(k, "fold");
	int64_t common = text ? read_time(k, text, zone, fold, "scheduledAt") : 0;

	if (text == NULL && zone != NULL && !zone_exists(zone))
		api_issue(k->r, "field_invalid", "timezone", "\"%.64s\" is not a known time zone.", zone);
	for (int i = 0; i < k->count; i++) {
		struct plan_to *to = &k->to[i];
		const char *own = json_text(plan_value(k, to, "scheduledAt"));

		if (own == NULL || !has_own_time(to))
			to->at = own ? common : 0;
		else
			to->at = read_time(k, own, json_text(plan_value(k, to, "timezone")), json_text(plan_value(k, to, "fold")),
					   plan_param(k, to, "scheduledAt"));
		if (own == NULL && text_eq(k->p->mode, "schedule"))
			api_issue(k->r, "field_required", plan_param(k, to, "scheduledAt"), "A scheduled post needs a time: scheduledAt.");
	}
	k->p->scheduled_at = common;
	for (int i = 0; i < k->count && text == NULL; i++)
		if (k->to[i].at > 0 && (k->p->scheduled_at == 0 || k->to[i].at < k->p->scheduled_at))
			k->p->scheduled_at = k->to[i].at;
}

/* Times as they are stored: an edit that names none moves nothing. */
static void keep_times(struct plan *k)
{
	k->p->scheduled_at = k->old->scheduled_at;
	STMT_AUTO struct stmt *s = db_query(k->c,
		"SELECT scheduled_at FROM delivery WHERE post_id = ?1 AND organization_id = ?2 AND parent_delivery_id IS NULL ORDER BY ordinal", "ss",
		k->old->id, k->r->identity.owner.organization_id);
	for (int i = 0; i < k->count && db_next(s); i++)
		k->to[i].at = db_int(s, 0);
}

static bool any_time(const struct plan *k)
{
	bool any = plan_given(json_get(k->body, "scheduledAt"));

	for (size_t i = 0; i < json_count(json_get(k->body, "targets")); i++)
		any = any || plan_given(json_get(json_at(json_get(k->body, "targets"), i), "scheduledAt"));
	return any;
}

void plan_mode(struct plan *k, bool scheduled)
{
	const char *mode = plan_text(k, "mode");
	bool timed = any_time(k);

	k->p->mode = mode ? mode : scheduled || timed ? "schedule" : "now";
	if (scheduled && !text_eq(k->p->mode, "schedule"))
		api_issue(k->r, "field_invalid", "mode", "This call schedules: leave mode out.");
	else if (timed && text_eq(k->p->mode, "now"))
		api_issue(k->r, "field_invalid", "mode", "mode is now, and a time is given: leave one of them out.");
}

void plan_when(struct plan *k)
{
	if (k->times)
		read_times(k);
	else
		keep_times(k);
}
