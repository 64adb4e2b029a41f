/*
 * The parts that every page of connecting is made of: see connect_html.h.
 *
 * form-action names https because a platform may send the browser on to hosts of its own before it shows its
 * page, and browsers hold every step of a redirect after a form against that list.  Plain http is named by origin
 * where it is allowed at all: this machine.
 */
#include "core/api/connect_html.h"

#include <string.h>

#include "core/api/assets.h"
#include "core/base/text.h"

void html_words(struct connect_view *v, const char *words)
{
	static const char *const names[] = {"{app}", "{platform}"};
	const char *const values[] = {v->app, v->platform};

	while (*words) {
		size_t plain = strcspn(words, "{");
		int i = 0;

		text_html(v->b, arena_dup(v->r->arena, words, plain));
		words += plain;
		while (i < 2 && !text_starts(words, names[i]))
			i++;
		if (i < 2)
			text_html(v->b, values[i]);
		else if (*words)
			buf_addc(v->b, *words);
		words += i < 2 ? strlen(names[i]) : *words ? 1 : 0;
	}
}

void html_attribute(struct connect_view *v, const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	buf_addf(v->b, " %s=\"", name);
	text_html(v->b, value);
	buf_addc(v->b, '"');
}

void html_icon(struct connect_view *v, const char *name)
{
	buf_addf(v->b, "<svg class=\"icon\" aria-hidden=\"true\"><use href=\"%s#%s\"/></svg>", asset_url(v->r->arena, "icons.svg"), name);
}

/* The first letters of the first two words, or the first two of one. */
void html_tile(struct connect_view *v, const char *name, const char *class)
{
	size_t at = 0, n = 0, space = strcspn(name, " ");
	char first[16] = "";

	while (name[at] != '\0' && n < 2) {
		size_t len = 1;

		while (((unsigned char)name[at + len] & 0xC0) == 0x80)
			len++;
		memcpy(first + strlen(first), name + at, len < 5 ? len : 4);
		n++;
		at = n == 1 && name[space] != '\0' && name[space + 1] != '\0' ? space + 1 : at + len;
	}
	buf_addf(v->b, "<span class=\"%s\" aria-hidden=\"true\">", class);
	text_html(v->b, first);
	buf_adds(v->b, "</span>");
}

static void logo(struct connect_view *v)
{
	if (v->logo == NULL) {
		html_tile(v, v->app, "logo");
		return;
	}
	buf_adds(v->b, "<img class=\"logo\" alt=\"\" width=\"40\" height=\"40\" referrerpolicy=\"no-referrer\" src=\"");
	text_html(v->b, v->logo);
	buf_adds(v->b, "\">");
}

void html_brandline(struct connect_view *v)
{
	if (!v->known)
		return;
	buf_adds(v->b, "<div class=\"brandline\">");
	logo(v);
	buf_adds(v->b, "<span>");
	text_html(v->b, v->app);
	buf_adds(v->b, "</span></div>\n");
}

void html_joined(struct connect_view *v)
{
	buf_adds(v->b, "<div class=\"joined\">");
	logo(v);
	html_icon(v, "swap");
	html_tile(v, v->platform, "mono-tile");
	buf_adds(v->b, "</div>\n");
}

/* ---- head and foot ----------------------------------------------------------------------------------- */

/* "http://127.0.0.1:3000" of an address on this machine, "app.scheme:" of an app's; "" for https. */
static const char *source_of(struct connect_view *v, const char *url)
{
	size_t scheme = strcspn(url, ":");

	if (url[0] == '\0' || text_starts(url, "https:"))
		return "";
	if (text_starts(url, "http://"))
		return arena_printf(v->r->arena, " %.*s", (int)(7 + strcspn(url + 7, "/?#")), url);
	return arena_printf(v->r->arena, " %.*s:", (int)scheme, url);
}

static void headers(struct connect_view *v)
{
	const struct conf *conf = v->r->api->conf;
	bool sandbox = v->known && !v->s.owner.live && conf->sandbox_public_url != NULL;
	bool base = false;

	v->r->answer->type = "text/html; charset=utf-8";
	for (int i = 0; v->known && i < conf->provider_count; i++)
		base = base || (text_eq(conf->providers[i].id, v->s.provider) && conf->providers[i].base_urls.count > 0);
	web_header(v->r->answer, "Content-Security-Policy",
		   "default-src 'none'; style-src 'self'; img-src 'self' https:; base-uri 'none'; frame-ancestors 'none';"
		   " form-action 'self' https:%s%s%s",
		   v->known ? source_of(v, v->s.redirect_url) : "", sandbox ? source_of(v, conf->sandbox_public_url) : "", base ? " http:" : "");
	web_header(v->r->answer, "X-Frame-Options", "DENY");
	web_header(v->r->answer, "Referrer-Policy", "same-origin");
	if (text_starts(v->r->api->public_url, "https://"))
		web_header(v->r->answer, "Strict-Transport-Security", "max-age=31536000");
}

static void style(struct connect_view *v, const char *name)
{
	buf_addf(v->b, "<link rel=\"stylesheet\" href=\"%s\">\n", asset_url(v->r->arena, name));
}

void html_begin(struct connect_view *v, int status, const char *title, int refresh_seconds)
{
	headers(v);
	v->r->status = status;
	buf_adds(v->b, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"robots\" content=\"noindex\">\n");
	if (refresh_seconds >= 0)
		buf_addf(v->b, "<meta http-equiv=\"refresh\" content=\"%d\">\n", refresh_seconds);
	buf_adds(v->b, "<title>");
	html_words(v, title);
	buf_addf(v->b, "</title>\n<link rel=\"icon\" href=\"%s\">\n", asset_url(v->r->arena, "favicon.svg"));
	style(v, "tokens.css");
	style(v, "app.css");
	if (v->accent != NULL)
		buf_addf(v->b, "<link rel=\"stylesheet\" href=\"%s\">\n", connect_path(v, "/brand.css"));
	buf_adds(v->b, "</head>\n<body class=\"public\">\n<main>\n<div class=\"card\"><div class=\"body\">\n");
}

void html_end(struct connect_view *v)
{
	buf_adds(v->b, "</div></div>\n</main>\n");
	if (v->powered)
		buf_adds(v->b, "<footer><span>Secured by mypostshare</span></footer>\n");
	buf_adds(v->b, "</body>\n</html>\n");
}
