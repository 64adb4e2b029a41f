/*
 * /docs/errors/CODE: the page that every refusal's docUrl leads to.  It is the error table, one line of it at a
 * time, so that it can never differ from what the API answers.
 */
#include "core/api/api.h"
#include "core/api/assets.h"
#include "core/api/routes.h"
#include "core/base/text.h"

static const struct { const char *source, *words; } sources[] = {
	{"client", "the request: your backend can mend it"},
	{"end_user", "the person whose account it is: ask them"},
	{"platform", "the platform"},
	{"server", "this server: its operator can mend it"},
};

static const char *source_words(const char *source)
{
	for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
		if (text_eq(sources[i].source, source))
			return sources[i].words;
	return source;
}

static void row(struct buf *b, const char *name, const char *value)
{
	buf_addf(b, "<dt>%s</dt><dd>", name);
	text_html(b, value);
	buf_adds(b, "</dd>\n");
}

static void page(struct api_request *r, const struct error_code *e)
{
	struct buf *b = r->answer->body;

	buf_addf(b, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>%s</title>\n"
		 "<link rel=\"stylesheet\" href=\"%s\">\n<link rel=\"stylesheet\" href=\"%s\">\n</head>\n<body class=\"public\">\n<main>\n"
		 "<div class=\"card\"><div class=\"body\">\n<h1 class=\"mono\">%s</h1>\n<dl class=\"kv boxed\">\n", e->code,
		 asset_url(r->arena, "tokens.css"), asset_url(r->arena, "app.css"), e->code);
	row(b, "Type", e->type);
	row(b, "HTTP status", arena_printf(r->arena, "%d", error_status(e->type)));
	row(b, "At fault", source_words(e->source));
	row(b, "The same again", e->retryable ? "may help, after a while" : "will be refused again");
	buf_adds(b, "</dl>\n");
	if (e->remedy != NULL) {
		buf_adds(b, "<p><strong>What to do:</strong> ");
		text_html(b, e->remedy);
		buf_adds(b, "</p>\n");
	}
	buf_adds(b, "<p class=\"small muted\">The answer itself says more: message, param, rule and issues.</p>\n"
		 "</div></div>\n</main>\n</body>\n</html>\n");
}

static enum rc error_doc(struct api_request *r)
{
	const struct error_code *e = error_find(api_param(r, "code"));

	if (e == NULL)
		return fail_code(r->cx, RC_NOT_FOUND, "not_found", NULL, "There is no error code of this name.");
	r->answer->type = "text/html; charset=utf-8";
	web_header(r->answer, "Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'");
	page(r, e);
	return RC_OK;
}

const struct route docs_routes[] = {
	{.method = "GET", .pattern = "/docs/errors/{code}", .flags = ROUTE_NO_AUTH | ROUTE_HIDDEN, .handle = error_doc,
	 .operation = "getErrorDoc", .summary = "What an error code means"},
	{0},
};
