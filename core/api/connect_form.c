/*
 * What a browser sends to the hosted page: was it our own page, and is every field what its descriptor says?
 */
#include "core/api/connect_html.h"

#include <string.h>
#include <strings.h>

#include "core/base/json.h"
#include "core/base/text.h"

#define FORM_MAX (256 * 1024)
#define HOST_BYTES "abcdefghijklmnopqrstuvwxyz0123456789.-"

/* Sent by a page of ours?  Browsers that know Sec-Fetch-Site say so; older ones send an Origin. */
static bool own_form(const struct api_request *r)
{
	const char *site = web_header_in(r->web, "Sec-Fetch-Site"), *origin = web_header_in(r->web, "Origin");

	if (site != NULL && !text_eq(site, "same-origin"))
		return false;
	if (origin != NULL && !text_eq(origin, "null"))
		return text_eq(origin, r->api->public_url);
	return site != NULL;
}

enum rc connect_form_read(struct connect_view *v, const char **ret, size_t *ret_len, const char **ret_cause)
{
	const char *type = web_header_in(v->r->web, "Content-Type");

	*ret = "";
	*ret_len = 0;
	*ret_cause = !own_form(v->r) ? "form_foreign" : v->cookie == NULL ? "cookies_needed" : NULL;
	if (*ret_cause != NULL || v->r->web->content_length == 0)
		return RC_OK;
	if (type == NULL || strncasecmp(type, "application/x-www-form-urlencoded", 33) != 0)
		return fail_code(v->r->cx, RC_INVALID, "unsupported_media_type", NULL, "This is not a form.");
	return web_body(v->r->cx, v->r->web, FORM_MAX, ret, ret_len);
}

/* ---- fields ------------------------------------------------------------------------------------------ */

/* A host, as people write one: with https:// before it or a path behind it.  NULL if it is none. */
static const char *host_of(struct arena *a, const char *text)
{
	const char *at = strncasecmp(text, "https://", 8) == 0 ? text + 8 : text;
	char *host = arena_dup(a, at, strcspn(at, "/?#"));
	size_t name;

	for (char *c = host; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	name = strspn(host, HOST_BYTES);
	if (name == 0 || name > 253 || host[0] == '.' || host[0] == '-')
		return NULL;
	if (host[name] == ':' && strspn(host + name + 1, "0123456789") == strlen(host + name + 1) && host[name + 1])
		return host;
	return host[name] == '\0' && strchr(host, '.') ? host : NULL;
}

/* The session's platformOptions.PLATFORM.instanceUrl, as it was given. */
static const char *instance_url(struct connect_view *v)
{
	struct jv root;
	struct cx cx;

	cx_init(&cx, v->r->id);
	if (v->s.platform_options == NULL || json_parse(&cx, v->r->arena, v->s.platform_options, strlen(v->s.platform_options), &root) != RC_OK)
		return NULL;
	return json_text(json_get(json_get(root, v->s.platform), "instanceUrl"));
}

/* The instance of the account that is to be renewed. */
static const char *instance_before(struct connect_view *v)
{
	DB_READ_AUTO struct db_conn *c = db_take(v->r->api->db);
	STMT_AUTO struct stmt *s = db_query(c, "SELECT g.account_host FROM connection n JOIN auth_grant g ON g.id = n.grant_id"
					    " WHERE n.id = ?1 AND n.organization_id = ?2", "ss", v->s.reconnect_id, v->s.owner.organization_id);

	return v->s.reconnect_id != NULL && v->provider->registered && db_next(s) ? db_dup(s, 0, v->r->arena) : NULL;
}

/* An instance that is known already is not asked for again, unless it is none or another account may come. */
static void instance_fill(struct connect_view *v, struct connect_entry *e)
{
	const char *url = instance_url(v), *host = url ? host_of(v->r->arena, url) : NULL, *before = url ? NULL : instance_before(v);

	e->value = host ? host : url ? url : before;
	e->given = host != NULL || (before != NULL && !v->s.allow_change);
}

bool connect_both(const struct connect_view *v)
{
	return v->provider != NULL && v->provider->oauth && v->provider->form;
}

void connect_entries(struct connect_view *v, bool oauth, struct connect_fields *ret)
{
	int n = v->provider ? v->provider->field_count : 0;
	const char *way = oauth ? "oauth2" : "form";

	*ret = (struct connect_fields){.oauth = oauth, .list = arena_array(v->r->arena, struct connect_entry, n + 1)};
	for (int i = 0; i < n; i++) {
		const struct platform_field *f = &v->provider->fields[i];
		struct connect_entry *e = &ret->list[ret->count];

		if (connect_both(v) && f->way[0] != '\0' && !text_eq(f->way, way))
			continue;
		ret->count++;
		e->field = f;
		if (v->provider->host_field != NULL && text_eq(f->name, v->provider->host_field))
			instance_fill(v, e);
	}
}

static const char *trimmed(struct arena *a, const char *text)
{
	size_t n;

	text += strspn(text, " \t\r\n");
	n = strlen(text);
	while (n > 0 && strchr(" \t\r\n", text[n - 1]))
		n--;
	return arena_dup(a, text, n);
}

static void entry_check(struct connect_view *v, struct connect_entry *e)
{
	const struct platform_field *f = e->field;
	const char *host = NULL;

	if (e->value[0] == '\0' && f->fallback[0] != '\0')
		e->value = f->fallback;
	if (e->value[0] == '\0' && f->required)
		e->fault = "Please fill this in.";
	else if (!text_utf8(e->value, strlen(e->value)) || !text_printable(e->value) || strpbrk(e->value, "\r\n\t"))
		e->fault = "This has characters that cannot be used here.";
	else if ((int64_t)text_points(e->value) > f->max)
		e->fault = "This is too long.";
	else if (text_eq(f->type, "host") && e->value[0] != '\0' && (host = host_of(v->r->arena, e->value)) == NULL)
		e->fault = "This is not the name of a server, as example.com is.";
	else if (text_eq(f->type, "url") && e->value[0] != '\0' && !text_starts(e->value, "https://"))
		e->fault = "An address begins with https://.";
	else if (text_eq(f->type, "email") && e->value[0] != '\0' && strchr(e->value, '@') == NULL)
		e->fault = "This is not an e-mail address.";
	if (host != NULL)
		e->value = host;
}

/* True if everything is as it must be. */
bool connect_entries_read(struct connect_view *v, const char *form, size_t len, struct connect_fields *f)
{
	bool good = true;

	for (int i = 0; i < f->count; i++) {
		const char *value = web_form(v->r->web, form, len, f->list[i].field->name);

		if (!f->list[i].given)
			f->list[i].value = trimmed(v->r->arena, value ? value : "");
		entry_check(v, &f->list[i]);
		good = good && f->list[i].fault == NULL;
	}
	return good;
}
