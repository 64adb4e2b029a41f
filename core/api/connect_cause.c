/*
 * One page for each way in which connecting an account can end without one: what happened, in words for the
 * person, and one next step.  Nothing that a platform or a browser sent is shown here.
 */
#include "core/api/connect_html.h"

#include <string.h>

#include "core/base/json.h"
#include "core/base/text.h"

enum next {
	NEXT_NONE,
	NEXT_BACK,		/* to the customer's product */
	NEXT_AGAIN,		/* the same once more, with the way back beside it */
	NEXT_RELOAD		/* this address again */
};

static const struct cause {
	const char *code;
	int status;
	const char *title, *lead, *what;	/* what to do */
	enum next next;
	const char *end;			/* status of the final redirect behind the way back */
} causes[] = {
	{"connect_session_expired", 410, "This link has expired", "It worked for a short time only. Nothing was connected.",
		"go back to {app} and ask for a new link.", NEXT_BACK, "error"},
	{"connect_session_used", 410, "This link was used already", "The account was connected with it. It works once only.",
		"if you want to connect another account, go back to {app} and ask for a new link.", NEXT_BACK, "error"},
	{"connect_session_canceled", 410, "This link was withdrawn", "{app} does not ask for your account any more. Nothing was connected.",
		"go back to {app}.", NEXT_BACK, "canceled"},
	{"connect_session_over", 400, "This sign-in is over", "It was used already, or it took more than ten minutes. Nothing was changed.",
		"go back to where you came from and begin again there.", NEXT_NONE, "error"},
	{"connect_session_not_found", 404, "There is no such link", "It may have been copied in part.",
		"open the whole link, or ask for a new one where you got it.", NEXT_NONE, "error"},
	{"connect_denied", 200, "{platform} was not connected", "You did not allow it there. Nothing was changed.",
		"if that was a mistake, try again and choose to allow it.", NEXT_AGAIN, "canceled"},
	{"connect_account_mismatch", 409, "That was a different {platform} account",
		"You came to renew one account, but signed in to {platform} with another. Nothing was changed.",
		"on {platform}, sign out, then sign in with the account to renew.", NEXT_AGAIN, "error"},
	{"connection_scope_missing", 409, "A permission is missing",
		"{platform} did not give {app} everything that is needed to publish. Nothing was connected.",
		"try again and leave everything ticked that {platform} asks you about.", NEXT_AGAIN, "error"},
	{"host_unreachable", 502, "That server cannot be reached", "There is no server under the name that you entered, or it does not answer us.",
		"check the name and try again.", NEXT_AGAIN, "error"},
	{"platform_unavailable", 503, "{platform} does not answer at the moment", "This is not your fault. Nothing was connected.",
		"wait a minute and try again.", NEXT_AGAIN, "error"},
	{"platform_rate_limited", 503, "{platform} is too busy at the moment", "This is not your fault. Nothing was connected.",
		"wait a few minutes and try again.", NEXT_AGAIN, "error"},
	{"connect_interrupted", 503, "{platform} broke off", "It did not answer while your account was being connected.",
		"try again. Nothing is connected twice.", NEXT_AGAIN, "error"},
	{"platform_rejected", 422, "{platform} did not accept it", "{platform} refused to connect the account. Nothing was changed.",
		"check what you entered or which account you used, and try again.", NEXT_AGAIN, "error"},
	{"credential_invalid", 422, "{platform} did not accept it", "What you entered was not accepted. Nothing was changed.",
		"check it and try again.", NEXT_AGAIN, "error"},
	{"platform_auth_failed", 422, "{platform} did not accept the sign-in", "What you entered, or the sign-in there, was not accepted.",
		"check it and try again.", NEXT_AGAIN, "error"},
	{"platform_not_configured", 409, "{app} is not ready for {platform}",
		"Its own access to {platform} is not set up. You did nothing wrong.",
		"tell {app} that connecting {platform} does not work.", NEXT_BACK, "error"},
	{"platform_unknown", 409, "{platform} cannot be connected here at the moment", "It is not available on this server now.",
		"try again later, or tell {app}.", NEXT_BACK, "error"},
	{"wrong_browser", 403, "This was begun in another browser",
		"So that nobody can connect an account in your place, it has to end where it began.",
		"go on in the browser or app in which you opened the link first, or ask {app} for a new one.", NEXT_BACK, "error"},
	{"wrong_browser_callback", 400, "This was begun in another browser",
		"So that nobody can connect an account in your place, it has to end where it began. Nothing was connected.",
		"go on in the browser or app in which you opened the link first, or ask {app} for a new one.", NEXT_NONE, "error"},
	{"cookies_needed", 403, "Your browser did not keep a cookie",
		"One is needed while your account is being connected, so that nobody can step in.",
		"allow cookies for this page and open the link again.", NEXT_RELOAD, "error"},
	{"form_foreign", 403, "This did not come from our page", "Another page tried to send this form in your name. It was not done.",
		"open the link again and begin there.", NEXT_RELOAD, "error"},
	{"not_found", 404, "There is nothing here", "The address may have been copied in part.", "open the whole link that you were given.",
		NEXT_NONE, "error"},
	{"bad_request", 400, "That could not be understood", "What your browser sent is not what this page expects. Nothing was changed.",
		"open the link again and begin there.", NEXT_RELOAD, "error"},
	{"rate_limited", 429, "That was too fast", "Too many requests came from your network.", "wait a minute and try again.",
		NEXT_RELOAD, "error"},
	{"unavailable", 503, "One moment, please", "The server is busy or being restarted. Nothing is lost.", "try again in a few seconds.",
		NEXT_RELOAD, "error"},
	{"internal_error", 500, "Something went wrong on our side", "This is not your fault. Nothing was changed.", "try again in a few minutes.",
		NEXT_RELOAD, "error"},
};

static const struct cause *cause_of(const char *code)
{
	size_t n = sizeof causes / sizeof causes[0];

	for (size_t i = 0; i < n; i++)
		if (text_eq(causes[i].code, code))
			return &causes[i];
	return &causes[n - 1];
}

/* ---- who is to be renewed, and who came ----------------------------------------------------------------- */

static void pair(struct connect_view *v, const char *term, const char *value)
{
	buf_addf(v->b, "<dt>%s</dt><dd class=\"strong\">", term);
	text_html(v->b, value);
	buf_adds(v->b, "</dd>");
}

static const char *account_name(struct connect_view *v)
{
	struct jv root;
	struct cx cx;
	const char *name;

	cx_init(&cx, v->r->id);
	if (v->s.account == NULL || json_parse(&cx, v->r->arena, v->s.account, strlen(v->s.account), &root) != RC_OK)
		return NULL;
	name = json_text(json_get(root, "account.name"));
	return name && name[0] ? name : json_text(json_get(root, "account.username"));
}

static void accounts(struct connect_view *v)
{
	DB_READ_AUTO struct db_conn *c = db_take(v->r->api->db);
	STMT_AUTO struct stmt *s = db_query(c, "SELECT display_name, username, remote_id FROM connection WHERE id = ?1 AND organization_id = ?2",
					    "ss", v->s.reconnect_id, v->s.owner.organization_id);
	const char *came = account_name(v);

	if (came == NULL || !db_next(s))
		return;
	buf_adds(v->b, "<dl class=\"kv boxed\">");
	pair(v, "To renew", db_text_or(s, 0, db_text_or(s, 1, db_text_or(s, 2, ""))));
	pair(v, "Signed in as", came);
	buf_adds(v->b, "</dl>\n");
}

/* ---- the next step ----------------------------------------------------------------------------------- */

static void back(struct connect_view *v, const struct cause *cause, const char *class)
{
	buf_addf(v->b, "<a class=\"btn %s block\" rel=\"noreferrer\"", class);
	html_attribute(v, "href", connect_final_url(v, cause->end, text_eq(cause->end, "error") ? cause->code : NULL));
	buf_adds(v->b, ">");
	html_words(v, "Back to {app}");
	buf_adds(v->b, "</a>");
}

/* A form with fields has to be filled in again; a sign-in elsewhere begins with one click. */
static void again(struct connect_view *v)
{
	if (v->provider != NULL && v->provider->field_count == 0)
		buf_addf(v->b, "<form method=\"post\" action=\"%s\"><button class=\"btn brand block\" type=\"submit\">", connect_path(v, "/start"));
	else
		buf_addf(v->b, "<a class=\"btn brand block\" href=\"%s\">", connect_path(v, ""));
	html_words(v, "Try again with {platform}");
	buf_adds(v->b, v->provider != NULL && v->provider->field_count == 0 ? "</button></form>" : "</a>");
}

static void step(struct connect_view *v, const struct cause *cause)
{
	enum next next = cause->next;

	if (next == NEXT_AGAIN && v->known && v->s.expires_at <= v->r->now)
		next = NEXT_BACK;
	if (!v->known && next != NEXT_RELOAD)
		return;
	if (next == NEXT_AGAIN) {
		again(v);
		back(v, cause, "quiet");
	} else if (next == NEXT_BACK) {
		back(v, cause, "brand");
	} else if (next == NEXT_RELOAD && v->known) {
		buf_addf(v->b, "<a class=\"btn brand block\" href=\"%s\">Open the link again</a>", connect_path(v, ""));
	}
}

enum rc connect_page_cause(struct connect_view *v, const char *code)
{
	const struct cause *cause = cause_of(code);

	buf_reset(v->r->answer->body);
	html_begin(v, cause->status, cause->title, -1);
	html_brandline(v);
	buf_adds(v->b, "<div class=\"stack tight\"><h1>");
	html_words(v, cause->title);
	buf_adds(v->b, "</h1><p class=\"lead\">");
	html_words(v, cause->lead);
	buf_adds(v->b, "</p></div>\n");
	if (text_eq(cause->code, "connect_account_mismatch"))
		accounts(v);
	buf_adds(v->b, "<div class=\"stack tight\"><p><strong>What to do:</strong> ");
	html_words(v, cause->what);
	buf_adds(v->b, "</p>\n");
	step(v, cause);
	buf_adds(v->b, "</div>\n<p class=\"small subtle\">");
	html_words(v, v->known ? "If this keeps happening, give {app} this number: " : "If this keeps happening, name this number: ");
	buf_addf(v->b, "<span class=\"mono\">%s</span></p>\n", v->r->id);
	html_end(v);
	return RC_OK;
}

/* A fault before or behind the handlers: no session is at hand. */
void connect_page_error(struct api_request *r)
{
	const char *type = error_of(r->cx)->type;
	struct connect_view v = {.r = r, .b = r->answer->body, .app = "the app you came from", .platform = "the platform", .powered = true};

	connect_page_cause(&v, text_eq(type, "not_found") || text_eq(type, "method_not_allowed") ? "not_found"
		: text_eq(type, "rate_limited") ? "rate_limited" : text_eq(type, "service_unavailable") ? "unavailable"
		: error_status(type) < 500 ? "bad_request" : "internal_error");
	r->answer->status = r->status;
}
