/*
 * The three pages of a visit that goes well: what is asked for, the wait, the choice.
 */
#include "core/api/connect_html.h"

#include <string.h>
#include <strings.h>

#include "core/base/json.h"
#include "core/base/text.h"

#define SEARCH_FROM 11		/* choices from which a search is offered */
#define CHOICES_MAX 500

/* ---- what is asked for ------------------------------------------------------------------------------- */

static void allow_line(struct connect_view *v, bool yes, const char *words)
{
	buf_addf(v->b, "<li%s>", yes ? "" : " class=\"no\"");
	html_icon(v, yes ? "check" : "close");
	buf_adds(v->b, "<span>");
	html_words(v, words);
	buf_adds(v->b, "</span></li>\n");
}

static void asks(struct connect_view *v)
{
	bool form = v->provider != NULL && v->provider->form && !v->provider->oauth;

	buf_adds(v->b, "<section aria-labelledby=\"will\"><h2 id=\"will\" class=\"pad-b\">");
	html_words(v, v->p != NULL && v->p->scope_count > 0 ? "What {app} asks for" : "{app} will be able to");
	buf_adds(v->b, "</h2><ul class=\"allow\">\n");
	for (int i = 0; v->p != NULL && i < v->p->scope_count; i++)
		allow_line(v, true, v->p->scopes[i].reason);
	if (v->p == NULL || v->p->scope_count == 0) {
		allow_line(v, true, "Publish posts in your name, when you say so");
		allow_line(v, true, "See your name and picture, to show which account is connected");
	}
	allow_line(v, false, form ? "{app} does not see what you enter here; it is kept encrypted and used for {platform} only"
		   : "It cannot see your password");
	buf_adds(v->b, "</ul></section>\n");
}

static const char *input_type(const struct platform_field *f)
{
	return f->secret ? "password" : text_eq(f->type, "email") ? "email" : "text";
}

/* A secret is never sent back to the page, not even to its own person. */
static void input(struct connect_view *v, const struct connect_entry *e, const char *id)
{
	const struct platform_field *f = e->field;

	buf_adds(v->b, "<input class=\"input\"");
	html_attribute(v, "id", id);
	html_attribute(v, "name", f->name);
	html_attribute(v, "type", input_type(f));
	html_attribute(v, "placeholder", f->placeholder);
	html_attribute(v, "value", f->secret ? NULL : e->value ? e->value : f->fallback);
	buf_addf(v->b, " maxlength=\"%lld\" autocomplete=\"off\" autocapitalize=\"none\" spellcheck=\"false\"", (long long)f->max);
	if (f->required)
		buf_adds(v->b, " required");
	if (e->fault)
		buf_adds(v->b, " aria-invalid=\"true\"");
	if (e->fault || f->help[0])
		html_attribute(v, "aria-describedby", arena_printf(v->r->arena, "%s%s%s", e->fault ? arena_printf(v->r->arena, "%s-e", id) : "",
			  e->fault && f->help[0] ? " " : "", f->help[0] ? arena_printf(v->r->arena, "%s-h", id) : ""));
	buf_adds(v->b, ">");
}

static void fault(struct connect_view *v, const struct connect_entry *e, const char *id)
{
	buf_addf(v->b, "<p class=\"error\" id=\"%s-e\"><span class=\"dot\" data-status=\"failed\"></span><span>", id);
	html_words(v, e->fault);
	buf_adds(v->b, "</span></p>");
}

/* What the app has given is shown and not asked. */
static void given(struct connect_view *v, const struct connect_entry *e, const char *id)
{
	buf_adds(v->b, "<dl class=\"kv boxed\"><dt>");
	html_words(v, e->field->label);
	buf_adds(v->b, "</dt><dd class=\"strong\">");
	text_html(v->b, e->value);
	buf_adds(v->b, "</dd></dl>\n");
	if (e->fault)
		fault(v, e, id);
}

/* Two forms may ask for the same field: ids are of the form's own. */
static void field(struct connect_view *v, const struct connect_entry *e, bool oauth)
{
	const struct platform_field *f = e->field;
	const char *id = oauth && connect_both(v) ? arena_printf(v->r->arena, "oauth-%s", f->name) : f->name;

	if (e->given) {
		given(v, e, id);
		return;
	}
	buf_addf(v->b, "<div class=\"field\"><label for=\"%s\">", id);
	html_words(v, f->label);
	if (!f->required)
		buf_adds(v->b, " <span class=\"subtle\">(if you need it)</span>");
	buf_adds(v->b, "</label>");
	input(v, e, id);
	if (e->fault)
		fault(v, e, id);
	if (f->help[0]) {
		buf_addf(v->b, "<p class=\"help\" id=\"%s-h\">", id);
		html_words(v, f->help);
		if (text_starts(f->help_url, "https://")) {
			buf_adds(v->b, " <a target=\"_blank\" rel=\"noopener noreferrer\"");
			html_attribute(v, "href", f->help_url);
			buf_adds(v->b, ">Where to find it</a>");
		}
		buf_adds(v->b, "</p>");
	}
	buf_adds(v->b, "</div>\n");
}

static void back_link(struct connect_view *v, const char *words, const char *status, const char *code)
{
	buf_adds(v->b, "<a class=\"btn quiet block\" rel=\"noreferrer\"");
	html_attribute(v, "href", connect_final_url(v, status, code));
	buf_adds(v->b, ">");
	html_words(v, words);
	buf_adds(v->b, "</a>");
}

static void ends_at(struct connect_view *v)
{
	int64_t minutes = (v->s.expires_at - v->r->now) / 60000 + 1;

	buf_adds(v->b, "<p class=\"small muted\">");
	html_words(v, "You can disconnect at any time in {app}");
	html_words(v, v->provider && v->provider->oauth ? " or on {platform}." : ".");
	if (minutes < 120)
		buf_addf(v->b, " This link works for %lld more minute%s.</p>\n", (long long)minutes, minutes == 1 ? "" : "s");
	else
		buf_addf(v->b, " This link works for %lld more hours.</p>\n", (long long)(minutes / 60));
}

static void test_notice(struct connect_view *v)
{
	if (v->s.owner.live)
		return;
	buf_adds(v->b, "<div class=\"notice\" data-status=\"attention\">");
	html_icon(v, "info");
	buf_adds(v->b, "<p><strong>A test.</strong> ");
	html_words(v, v->p != NULL && v->p->sandbox ? "Nothing that is posted here becomes public."
		   : "No account at {platform} is touched: its part is played by a sandbox.");
	buf_adds(v->b, "</p></div>\n");
}

/* What the second way asks for, by the name of its secret: "App password". */
static const char *second_name(const struct connect_fields *f)
{
	for (int i = 0; i < f->count; i++)
		if (f->list[i].field->secret)
			return f->list[i].field->label;
	return "your sign-in data";
}

/* With a platform that has both ways, the second lies folded under the first, unless something in it is to be mended. */
static void second_begin(struct connect_view *v, const struct connect_fields *f)
{
	bool open = false;

	for (int i = 0; i < f->count; i++)
		open = open || f->list[i].fault != NULL;
	buf_addf(v->b, "<details class=\"more\"%s><summary>", open ? " open" : "");
	html_icon(v, "right");
	buf_adds(v->b, "Or connect with: ");
	text_html(v->b, second_name(f));
	buf_adds(v->b, "</summary>\n");
}

/* Each way has its own fields. */
static void start_form(struct connect_view *v, const struct connect_fields *f)
{
	bool second = connect_both(v) && !f->oauth;

	if (second)
		second_begin(v, f);
	buf_addf(v->b, "<form method=\"post\" action=\"%s\" class=\"stack\">\n", connect_path(v, "/start"));
	if (second)
		buf_adds(v->b, "<input type=\"hidden\" name=\"way\" value=\"form\">\n");
	for (int i = 0; i < f->count; i++)
		field(v, &f->list[i], f->oauth);
	if (second) {
		buf_adds(v->b, "<p class=\"help\">");
		html_words(v, "{app} does not see what you enter here; it is kept encrypted and used for {platform} only.");
		buf_adds(v->b, "</p>\n");
	}
	buf_addf(v->b, "<button class=\"btn %s block\" type=\"submit\">", second ? "" : "brand");
	html_words(v, f->oauth ? "Continue to {platform}" : "Connect {platform}");
	buf_addf(v->b, "</button></form>%s\n", second ? "</details>" : "");
}

static void start_forms(struct connect_view *v, const struct connect_fields *f)
{
	struct connect_fields other;

	connect_entries(v, !f->oauth, &other);
	if (!connect_both(v))
		start_form(v, f);
	for (int i = 0; connect_both(v) && i < 2; i++)
		start_form(v, f->oauth == (i == 0) ? f : &other);
}

void connect_page_start(struct connect_view *v, const struct connect_fields *f)
{
	bool faults = false, again = v->s.reconnect_id != NULL;

	for (int i = 0; i < f->count; i++)
		faults = faults || f->list[i].fault != NULL;
	html_begin(v, faults ? 422 : 200, again ? "Reconnect {platform} to {app}" : "Connect {platform} to {app}", -1);
	html_joined(v);
	buf_adds(v->b, "<div class=\"stack tight\"><h1>");
	html_words(v, again ? "Reconnect {platform} to {app}" : "Connect {platform} to {app}");
	buf_adds(v->b, "</h1><p class=\"lead\">");
	html_words(v, "So that {app} can publish the posts you write there.");
	buf_adds(v->b, "</p></div>\n");
	test_notice(v);
	asks(v);
	start_forms(v, f);
	back_link(v, "Not now, back to {app}", "canceled", NULL);
	ends_at(v);
	html_end(v);
}

/* ---- the wait ---------------------------------------------------------------------------------------- */

void connect_page_wait(struct connect_view *v, int seconds)
{
	html_begin(v, 200, "One moment", seconds);
	html_joined(v);
	buf_adds(v->b, "<div class=\"stack tight\" role=\"status\"><h1>One moment</h1><p class=\"lead\">");
	html_words(v, "We are connecting your account with {platform}. This page goes on by itself.");
	buf_addf(v->b, "</p></div>\n<a class=\"btn quiet block\" href=\"%s\">Look again now</a>\n", connect_path(v, "/wait"));
	html_end(v);
}

/* ---- the choice -------------------------------------------------------------------------------------- */

static const char *choice(struct connect_view *v, struct jv root, int i, const char *name)
{
	return json_text_or(json_get(root, arena_printf(v->r->arena, "targets.%d.%s", i, name)), "");
}

/* ASCII letters compare without case; others as they are. */
static bool contains(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (; *text; text++)
		if (strncasecmp(text, word, n) == 0)
			return true;
	return n == 0;
}

static void choice_row(struct connect_view *v, struct jv root, int i, bool checked)
{
	const char *name = choice(v, root, i, "name"), *detail = choice(v, root, i, "detail");

	buf_addf(v->b, "<li><label><input type=\"checkbox\" name=\"target\" value=\"%d\"%s>", i, checked ? " checked" : "");
	html_tile(v, name[0] ? name : "?", "mono-tile");
	buf_adds(v->b, "<span><b>");
	text_html(v->b, name[0] ? name : choice(v, root, i, "id"));
	buf_adds(v->b, "</b>");
	if (detail[0]) {
		buf_adds(v->b, "<span class=\"subtle small\">");
		text_html(v->b, detail);
		buf_adds(v->b, "</span>");
	}
	buf_adds(v->b, "</span></label></li>\n");
}

/* What is chosen and not listed at the moment stays chosen. */
static int rows(struct connect_view *v, struct jv root, int count, const char *search, const bool *chosen)
{
	int shown = 0;

	for (int i = 0; i < count; i++)
		if (chosen[i] && !contains(choice(v, root, i, "name"), search))
			buf_addf(v->b, "<input type=\"hidden\" name=\"target\" value=\"%d\">", i);
	buf_adds(v->b, "<ul class=\"picklist\">");
	for (int i = 0; i < count; i++)
		if (contains(choice(v, root, i, "name"), search)) {
			choice_row(v, root, i, chosen[i]);
			shown++;
		}
	buf_adds(v->b, "</ul>");
	return shown;
}

/* Inside the one form, so that a search keeps what is ticked; first, so that Enter in the field searches. */
static void search_box(struct connect_view *v, int count, const char *search)
{
	if (count < SEARCH_FROM)
		return;
	buf_adds(v->b, "<div class=\"find\" role=\"search\"><div class=\"search\"><label class=\"hush\" for=\"q\">Search</label>");
	html_icon(v, "search");
	buf_addf(v->b, "<input class=\"input\" id=\"q\" type=\"search\" name=\"q\" maxlength=\"100\" placeholder=\"Search %d\"", count);
	html_attribute(v, "value", search);
	buf_addf(v->b, "></div><button class=\"btn\" type=\"submit\" formmethod=\"get\" formaction=\"%s\">Search</button></div>\n",
		 connect_path(v, "/select"));
}

static void form(struct connect_view *v, struct jv root, int count, const char *search, const bool *chosen, const char *fault)
{
	buf_addf(v->b, "<form class=\"stack\" method=\"post\" action=\"%s\">\n", connect_path(v, "/select"));
	search_box(v, count, search);
	buf_adds(v->b, "<fieldset");
	if (fault)
		buf_adds(v->b, " aria-describedby=\"none-e\"");
	buf_adds(v->b, "><legend class=\"hush\">Accounts</legend>");
	if (rows(v, root, count, search, chosen) == 0)
		buf_adds(v->b, "<p class=\"muted\" role=\"status\">Nothing is named like that.</p>");
	buf_adds(v->b, "</fieldset>\n");
	if (fault) {
		buf_adds(v->b, "<p class=\"error\" id=\"none-e\" role=\"alert\"><span class=\"dot\" data-status=\"failed\"></span><span>");
		html_words(v, fault);
		buf_adds(v->b, "</span></p>\n");
	}
	buf_adds(v->b, "<div class=\"stack tight\"><button class=\"btn brand block\" type=\"submit\">Connect what is ticked</button>");
	back_link(v, "Not now, back to {app}", "canceled", NULL);
	buf_adds(v->b, "</div>\n<p class=\"small muted\">You can change this later. What you do not choose stays untouched.</p></form>\n");
}

int connect_choices(struct connect_view *v, struct jv *ret)
{
	struct cx cx;
	int n = 0;

	cx_init(&cx, v->r->id);
	if (v->s.choices == NULL || json_parse(&cx, v->r->arena, v->s.choices, strlen(v->s.choices), ret) != RC_OK)
		return 0;
	while (n < CHOICES_MAX && choice(v, *ret, n, "id")[0] != '\0')
		n++;
	return n;
}

void connect_page_pick(struct connect_view *v, const char *search, const bool *chosen, const char *fault)
{
	struct jv root;
	int count = connect_choices(v, &root);

	html_begin(v, fault ? 422 : 200, "Choose what {app} may post to", -1);
	html_brandline(v);
	buf_adds(v->b, "<div class=\"stack tight\"><h1>");
	html_words(v, "What should {app} post to?");
	buf_adds(v->b, "</h1><p class=\"lead\">");
	html_words(v, arena_printf(v->r->arena, "Choose one or more of the %d places of your {platform} account.", count));
	buf_adds(v->b, "</p></div>\n");
	form(v, root, count, search, chosen, fault);
	html_end(v);
}
