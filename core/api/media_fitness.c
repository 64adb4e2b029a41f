/*
 * Which platforms would take a media item: judged by the same rules as a post, by what each platform declares.
 *
 * The one thing to know: it is judged alone.  How many a post may have, and an account's own limits, are for the post.
 */
#include "core/api/media.h"

#include "core/model/post_check.h"

static void issue_write(void *arg, const struct check_issue *i)
{
	struct jsonw *w = arg;

	jsonw_object(w, NULL);
	jsonw_text(w, "code", i->code);
	jsonw_text(w, "rule", i->rule);
	jsonw_text(w, "message", i->message);
	jsonw_object_end(w);
}

static void issue_count(void *arg, const struct check_issue *i)
{
	(void)i;
	++*(int *)arg;
}

static void platform_write(struct api_request *r, const struct media *m, const char *id)
{
	PLATFORM_AUTO const struct platform *p = platforms_take(r->api->platforms, id);
	struct check_media item = {m->kind, m->mime, m->alt, m->bytes, m->width, m->height, m->duration_ms, m->frame_rate_milli, "media[0]"};
	struct limits alone;
	int issues = 0;
	struct check check = {.platform = p, .limits = &alone, .arena = r->arena, .report = issue_count, .arg = &issues};

	if (p == NULL || (p->sandbox && r->identity.owner.live))
		return;
	alone = p->limits;
	alone.min_items = 0;
	check_media(&check, &item, 1, "media");
	jsonw_object(r->w, id);
	jsonw_bool(r->w, "ok", issues == 0);
	jsonw_array(r->w, "issues");
	check.report = issue_write;
	check.arg = r->w;
	check_media(&check, &item, 1, "media");
	jsonw_array_end(r->w);
	jsonw_object_end(r->w);
}

void media_show(struct api_request *r, const struct media *m)
{
	const char **ids;
	int n = platforms_list(r->api->platforms, r->arena, &ids);

	jsonw_object(r->w, NULL);
	media_members(r->w, m);
	jsonw_object(r->w, "fitness");
	for (int i = 0; i < n && m->kind != NULL; i++)
		platform_write(r, m, ids[i]);
	jsonw_object_end(r->w);
	jsonw_object_end(r->w);
}
