/*
 * What each target receives: its own text, link, media and options or the post's, judged by its platform.  See plan.h.
 */
#include "core/api/plan.h"

#include "core/base/text.h"

/* ---- what ------------------------------------------------------------------------------------------- */

void plan_report(void *arg, const struct check_issue *i)
{
	struct api_request *r = arg;
	struct error_issue *issue = api_issue(r, i->code, i->param, "%s", i->message);

	issue->rule = i->rule;
	issue->platform = arena_text(r->arena, i->platform);
	if (i->warning)
		issue->severity = "warning";
	else if (i->remedy != NULL && r->more.remediation == NULL && issue == r->more.issues)
		r->more.remediation = i->remedy;
}

static struct check_options options_of(const struct plan *k, const struct plan_to *to)
{
	const char *common = arena_printf(k->r->arena, "options.%s", to->n.platform);

	return (struct check_options){
		.layer = {json_get(to->own, "options"), json_get(json_get(k->body, "options"), to->n.platform)},
		.param = {to->place[0] ? plan_param(k, to, "options") : common, common},
	};
}

static const char *text_beside(const struct check *check, const struct check_options *o)
{
	const char *all = "";

	for (const char *const *name = check->limits->text_with; name != NULL && *name != NULL; name++)
		all = arena_printf(check->arena, "%s%s", all, check_option_text(check, o, *name));
	return all;
}

/* What lies at the platform is judged no more. */
static void keep_media(struct jsonw *w, struct jv content)
{
	static const char *const names[] = {"media", "thumbnails"};

	for (size_t i = 0; i < 2; i++) {
		size_t n;
		const char *raw = json_raw(json_get(content, names[i]), &n);

		if (raw != NULL)
			jsonw_raw(w, names[i], raw, n);
	}
}

const char *plan_part(struct plan *k, const struct check *check, const struct plan_part *part, const char **ret_digests)
{
	bool kept = json_type(part->kept) == JSON_OBJECT;
	const struct plan_media *media = kept ? NULL : plan_media(k, part->media, part->media_param);
	BUF_AUTO struct buf out;
	struct jsonw w;

	check_text(check, &(struct check_text){part->text, part->text_param, text_beside(check, &part->options), part->link != NULL,
		kept ? json_count(json_get(part->kept, "media")) > 0 : media->count > 0});
	check_link(check, part->link, part->link_param);
	if (!kept)
		plan_media_check(media, check);
	buf_init(&out, 2u << 20);
	jsonw_init(&w, &out);
	jsonw_object(&w, "");
	if (part->link != NULL)
		jsonw_text(&w, "link", part->link);
	check_options(check, &part->options, &w);
	if (kept)
		keep_media(&w, part->kept);
	else
		plan_media_write(media, &w);
	jsonw_object_end(&w);
	jsonw_end(&w);
	*ret_digests = kept ? NULL : media->digests;
	return arena_text(k->r->arena, buf_text(&out));
}

static void plan_target(struct plan *k, const struct plan_to *to, struct post_target *t)
{
	PLATFORM_AUTO const struct platform *p = platforms_take(k->r->api->platforms, to->n.platform);
	struct check check = {.platform = p, .arena = k->r->arena, .report = plan_report, .arg = k->r};
	bool own_media = json_type(json_get(to->own, "media")) != JSON_NONE;
	const char *digests;
	struct limits limits;
	struct plan_part part = {
		.text = json_text(plan_value(k, to, "text")), .text_param = plan_param(k, to, "text"),
		.link = json_text(plan_value(k, to, "link")), .link_param = plan_param(k, to, "link"),
		.media = plan_value(k, to, "media"), .media_param = own_media ? plan_param(k, to, "media") : "media",
		.options = options_of(k, to),
	};

	*t = (struct post_target){
		.connection_id = to->n.id, .platform = to->n.platform, .provider = to->n.provider, .param = to->param, .scheduled_at = to->at,
		.target_id = json_text(json_get(to->own, "targetId")), .text = part.text,
	};
	if (p == NULL) {
		plan_unknown_platform(k, to->n.platform, to->param);
		return;
	}
	limits = p->limits;
	limits_overlay(&limits, to->n.limits, k->r->arena);
	check.limits = &limits;
	t->content = plan_part(k, &check, &part, &digests);
	plan_children(k, to, &check, t);
	post_hash(t, part.link, digests);
}

/* options.mastodon of a post that goes to no account on mastodon would be dropped: it is refused. */
static void refuse_stray(struct plan *k, struct jv options, const char *param)
{
	const char *platform;
	struct jv value;

	if (plan_given(options) && json_type(options) != JSON_OBJECT)
		api_issue(k->r, "field_invalid", param, "options has one member per platform.");
	for (size_t i = 0; json_member(options, i, &platform, &value); i++) {
		bool found = false;

		for (int t = 0; t < k->count; t++)
			found = found || k->to[t].n.id == NULL || text_eq(k->to[t].n.platform, platform);
		if (!found)
			api_issue(k->r, "unknown_field", arena_printf(k->r->arena, "%s.%.64s", param, platform),
				  "No target of this post is on %.64s: options has one member per platform of its targets.", platform);
	}
}

static void refuse_stray_options(struct plan *k)
{
	struct jv thread = json_get(k->body, "thread");

	refuse_stray(k, json_get(k->body, "options"), "options");
	for (size_t i = 0; i < json_count(thread); i++)
		refuse_stray(k, json_get(json_at(thread, i), "options"), arena_printf(k->r->arena, "thread[%zu].options", i));
	refuse_stray(k, json_get(json_get(k->body, "firstComment"), "options"), "firstComment.options");
}

static void refuse_twins(struct plan *k)
{
	for (int i = 1; i < k->count; i++)
		for (int j = 0; j < i; j++)
			if (text_eq(k->p->targets[i].connection_id, k->p->targets[j].connection_id) && k->p->targets[i].connection_id != NULL &&
			    text_eq(k->p->targets[i].hash, k->p->targets[j].hash) && k->p->targets[i].hash[0] != '\0') {
				api_issue(k->r, "field_invalid", k->to[i].param, "%s and %s are the same account with the same content.",
					  k->to[j].param, k->to[i].param);
				break;
			}
}

void plan_what(struct plan *k)
{
	k->p->targets = arena_array(k->r->arena, struct post_target, k->count + 1);
	k->p->target_count = k->count;
	for (int i = 0; i < k->count; i++)
		if (k->to[i].n.id != NULL)
			plan_target(k, &k->to[i], &k->p->targets[i]);
	k->p->media_ids = k->held;
	k->p->media_count = k->held_count;
	refuse_stray_options(k);
	refuse_twins(k);
}
