/*
 * HTML of the sandbox, in the product's look.
 *
 * Links are relative, so that the pages work behind a path of the proxy too.  The consent form's answer leads
 * to another origin, and browsers apply form-action to that redirect: the header names it.
 */
#include "core/sandbox/page.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/embed.h"
#include "core/base/text.h"

static void headers(struct call *c, const char *form_action)
{
	c->a->type = "text/html; charset=utf-8";
	web_header(c->a, "Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none';"
		   " frame-ancestors 'none'; form-action 'self'%s%s", form_action[0] ? " " : "", form_action);
}

static void top(struct buf *b, const char *title)
{
	buf_adds(b, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
	text_html(b, title);
	buf_adds(b, " · Sandbox</title>\n<link rel=\"icon\" href=\"../assets/favicon.svg\">\n"
		 "<link rel=\"stylesheet\" href=\"../assets/tokens.css\">\n<link rel=\"stylesheet\" href=\"../assets/app.css\">\n"
		 "</head>\n<body class=\"public\">\n<main>\n<div class=\"card\"><div class=\"body\">\n");
}

static void bottom(struct buf *b)
{
	buf_adds(b, "</div></div>\n</main>\n<footer><span>A social network for tests. Nothing here is public.</span></footer>\n"
		 "</body>\n</html>\n");
}

static void hidden(struct buf *b, const char *name, const char *value)
{
	if (!value)
		return;
	buf_addf(b, "<input type=\"hidden\" name=\"%s\" value=\"", name);
	text_html(b, value);
	buf_adds(b, "\">");
}

/* "https://host:port" of a redirect that was checked already; "" if it has bytes that a header must not have. */
static void origin_of(const char *url, char *out, size_t size)
{
	const char *host = strstr(url, "://");
	size_t n;

	out[0] = '\0';
	if (!host)
		return;
	n = (size_t)(host + 3 - url) + strcspn(host + 3, "/?#");
	if (n < size && strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:/[]") >= n)
		snprintf(out, size, "%.*s", (int)n, url);
}

static void line(struct buf *b, bool yes, const char *words)
{
	buf_addf(b, "<li%s><svg class=\"icon\" aria-hidden=\"true\"><use href=\"../assets/icons.svg#%s\"/></svg>"
		 "<span>%s</span></li>\n", yes ? "" : " class=\"no\"", yes ? "check" : "close", words);
}

static void asks(struct buf *b, const struct consent *asked, const char *host)
{
	buf_adds(b, "<div class=\"joined\"><span class=\"mono-tile\" aria-hidden=\"true\">");
	text_html(b, (char[]){ asked->client_id[0] >= 'a' && asked->client_id[0] <= 'z' ?
			       (char)(asked->client_id[0] - 'a' + 'A') : asked->client_id[0], '\0' });
	buf_adds(b, "</span><svg class=\"icon\" aria-hidden=\"true\"><use href=\"../assets/icons.svg#swap\"/></svg>"
		 "<span class=\"mono-tile accent\" aria-hidden=\"true\">Sb</span></div>\n"
		 "<div class=\"stack tight\"><h1>Allow access to your Sandbox account?</h1><p class=\"lead\">The app <b>");
	text_html(b, asked->client_id);
	buf_adds(b, "</b> asks. You will be sent back to ");
	text_html(b, host);
	buf_adds(b, ".</p></div>\n<section aria-labelledby=\"will\">"
		 "<h2 id=\"will\" class=\"pad-b\">It will be able to</h2><ul class=\"allow\">\n");
	line(b, true, "Publish posts and media in your name, and delete them");
	line(b, true, "See your name, your picture and your posts");
	line(b, false, "It cannot see your password");
	buf_adds(b, "</ul></section>\n");
}

static void account_field(struct buf *b, const char *fault)
{
	buf_adds(b, "<div class=\"field\"><label for=\"account\">Account</label><input class=\"input\" id=\"account\" name=\"account\""
		 " value=\"alice\" maxlength=\"63\" required autocomplete=\"off\" autocapitalize=\"none\" spellcheck=\"false\"");
	if (fault)
		buf_adds(b, " aria-invalid=\"true\" aria-describedby=\"account-e\"");
	else
		buf_adds(b, " aria-describedby=\"account-h\"");
	buf_adds(b, ">");
	if (fault) {
		buf_adds(b, "<p class=\"error\" id=\"account-e\"><span class=\"dot\" data-status=\"failed\"></span><span>");
		text_html(b, fault);
		buf_adds(b, "</span></p></div>\n");
	} else {
		buf_adds(b, "<p class=\"small muted\" id=\"account-h\">Any name; a new one is made. many-3 has three pages.</p></div>\n");
	}
}

static void form(struct buf *b, const struct consent *asked, const char *fault)
{
	buf_adds(b, "<form method=\"post\" action=\"consent\" class=\"stack\">\n");
	hidden(b, "response_type", asked->response_type);
	hidden(b, "client_id", asked->client_id);
	hidden(b, "redirect_uri", asked->redirect_uri);
	hidden(b, "scope", asked->scope);
	hidden(b, "state", asked->state);
	hidden(b, "code_challenge", asked->challenge);
	hidden(b, "code_challenge_method", asked->method);
	account_field(b, fault);
	buf_adds(b, "<div class=\"field\"><label for=\"type\">How this account avoids double posts</label>"
		 "<select class=\"input\" id=\"type\" name=\"type\"><option value=\"\">As it is (new: by key)</option>"
		 "<option value=\"keyed\">By idempotency key</option><option value=\"handle\">By containers</option>"
		 "<option value=\"search\">By looking at its posts</option><option value=\"none\">Not at all</option></select></div>\n"
		 "<div class=\"stack tight\"><button class=\"btn primary block\" name=\"decision\" value=\"allow\">Allow</button>"
		 "<button class=\"btn quiet block\" name=\"decision\" value=\"deny\" formnovalidate>Deny</button></div>\n</form>\n");
}

void sandbox_page_consent(struct call *c, const struct consent *asked, const char *fault)
{
	char origin[300];
	const char *host;

	origin_of(asked->redirect_uri, origin, sizeof origin);
	host = strstr(origin, "://");
	c->a->status = fault ? 422 : 200;
	headers(c, origin);
	top(c->a->body, "Allow access");
	asks(c->a->body, asked, host ? host + 3 : "the app");
	form(c->a->body, asked, fault);
	bottom(c->a->body);
}

void sandbox_page_post(struct call *c, const char *account, const char *text, int64_t at)
{
	char when[CLOCK_TEXT];
	struct buf *b = c->a->body;

	clock_text(at, when);
	c->a->status = 200;
	headers(c, "");
	top(b, account);
	buf_adds(b, "<div class=\"row\"><img src=\"../avatars/");
	text_html(b, account);
	buf_adds(b, "\" alt=\"\" width=\"40\" height=\"40\"><h1>");
	text_html(b, account);
	buf_adds(b, "</h1></div>\n<p class=\"lead\">");
	text_html(b, text);
	buf_addf(b, "</p>\n<p class=\"small muted\"><time datetime=\"%s\">%s</time></p>\n", when, when);
	bottom(b);
}

void sandbox_page_error(struct call *c, int status, const char *title, const char *words)
{
	c->a->status = status;
	buf_reset(c->a->body);
	headers(c, "");
	top(c->a->body, title);
	buf_adds(c->a->body, "<div class=\"stack tight\"><h1>");
	text_html(c->a->body, title);
	buf_adds(c->a->body, "</h1><p class=\"lead\">");
	text_html(c->a->body, words);
	buf_adds(c->a->body, "</p></div>\n");
	bottom(c->a->body);
}

void sandbox_page_asset(struct call *c)
{
	static const char *const names[] = { "tokens.css", "app.css", "icons.svg", "status.svg", "favicon.svg", NULL };
	const struct embed *e = NULL;

	for (int i = 0; names[i] && !e; i++)
		if (text_eq(names[i], c->id))
			e = embed_find(arena_printf(c->r->arena, "core/dashboard/%s", c->id));
	if (!e) {
		call_error(c, 404, "not_found", "No such file.");
		return;
	}
	c->a->status = 200;
	c->a->type = strstr(c->id, ".css") ? "text/css; charset=utf-8" : "image/svg+xml";
	web_header(c->a, "Cache-Control", "max-age=300");
	buf_add(c->a->body, e->bytes, e->n);
}
