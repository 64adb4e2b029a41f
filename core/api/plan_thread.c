/*
 * What follows a post on the same account: the items of its thread and the first comment.  See plan.h.
 *
 * Each is judged by itself, by the limits of its platform and at its own place in the request; what it does not say
 * about options it has from its post.
 */
#include "core/api/plan.h"

#include "core/base/text.h"

/* The target's own, or the post's for all targets: where it stands tells which. */
static const char *place_of(const struct plan *k, const struct plan_to *to, const char *name)
{
	bool own = json_type(json_get(to->own, name)) != JSON_NONE;

	return arena_printf(k->r->arena, "%s%s", own ? to->place : "", name);
}

static bool is_own(const struct plan_to *to, const char *name) { return json_type(json_get(to->own, name)) != JSON_NONE; }

/* options of an item are the platform's in a target, and one member per platform for all targets. */
static struct check_options child_options(const struct plan *k, const struct plan_to *to, struct jv item, bool own, const char *param)
{
	const char *common = arena_printf(k->r->arena, "options.%s", to->n.platform);
	struct jv options = json_get(item, "options");

	return (struct check_options){
		.layer = {own ? options : json_get(options, to->n.platform), json_get(to->own, "options"),
			json_get(json_get(k->body, "options"), to->n.platform)},
		.param = {own ? arena_printf(k->r->arena, "%s.options", param) : arena_printf(k->r->arena, "%s.options.%s", param, to->n.platform),
			to->place[0] ? plan_param(k, to, "options") : common, common},
		.child = true,
	};
}

static bool refuse_ability(const struct plan *k, const struct check *check, const char *ability, const char *what, const char *param)
{
	struct error_issue *issue;

	if (platform_can(check->platform, ability))
		return false;
	issue = api_issue(k->r, "option_not_supported", param, "%s has no %s.", check->platform->name, what);
	issue->rule = arena_printf(k->r->arena, "%s.%s", check->platform->id, ability);
	issue->platform = arena_text(k->r->arena, check->platform->id);
	return true;
}

static struct post_child plan_item(struct plan *k, const struct plan_to *to, const struct check *check, struct jv item, const char *param)
{
	struct plan_part part = {
		.text = json_text(json_get(item, "text")), .text_param = arena_printf(k->r->arena, "%s.text", param),
		.media = json_get(item, "media"), .media_param = arena_printf(k->r->arena, "%s.media", param),
	};
	struct post_child child = {.kind = "thread"};

	part.options = child_options(k, to, item, is_own(to, "thread"), param);
	child.content = plan_part(k, check, &part, &child.media);
	child.text = part.text;
	return child;
}

/* A comment needs no media where a post does, and has none where nothing but a comment can follow. */
static struct post_child plan_comment(struct plan *k, const struct plan_to *to, const struct check *check, struct jv comment,
				      const char *param)
{
	bool is_text = json_type(comment) == JSON_STRING;
	struct limits limits = *check->limits;
	struct check own = *check;
	struct plan_part part = {
		.text = is_text ? json_text(comment) : json_text(json_get(comment, "text")),
		.text_param = is_text ? param : arena_printf(k->r->arena, "%s.text", param),
		.media = json_get(comment, "media"), .media_param = arena_printf(k->r->arena, "%s.media", param),
	};
	struct post_child child = {.kind = "first_comment"};

	limits.media_required = false;
	limits.min_items = 0;
	own.limits = &limits;
	if (json_count(part.media) > 0)
		refuse_ability(k, check, "threads", "media in a comment", part.media_param);
	part.options = child_options(k, to, comment, is_own(to, "firstComment"), param);
	child.content = plan_part(k, &own, &part, &child.media);
	child.text = part.text;
	return child;
}

void plan_children(struct plan *k, const struct plan_to *to, const struct check *check, struct post_target *t)
{
	struct jv thread = plan_value(k, to, "thread"), comment = plan_value(k, to, "firstComment");
	const char *place = place_of(k, to, "thread"), *beside = place_of(k, to, "firstComment");
	size_t n = json_count(thread);
	struct post_child *list = arena_array(k->r->arena, struct post_child, n + 2);

	if (n > 0 && refuse_ability(k, check, "threads", "threads", place))
		n = 0;
	for (size_t i = 0; i < n; i++)
		list[t->child_count++] = plan_item(k, to, check, json_at(thread, i), arena_printf(k->r->arena, "%s[%zu]", place, i));
	if (plan_given(comment) && !refuse_ability(k, check, "first_comment", "first comment", beside))
		list[t->child_count++] = plan_comment(k, to, check, comment, beside);
	t->children = list;
}
