/*
 * The pages of connecting, as HTML that needs no script.
 *
 * Everything a person sees goes through text_html.  Words of templates may say {app} and {platform}.
 */
#ifndef MPS_API_CONNECT_HTML_H
#define MPS_API_CONNECT_HTML_H

#include "core/api/connect.h"

/* One visit: what a page shows, and what it may do. */
struct connect_view {
	struct api_request *r;
	struct buf *b;
	struct connect_session s;
	bool known;			/* a session belongs to this page */
	const char *token;
	const char *app, *platform;	/* names as people know them */
	const char *logo, *accent;	/* NULL: none */
	bool powered;
	const struct platform *p;	/* of the platform asked for; NULL if it is not loaded */
	const struct platform *provider;/* of what does the work */
	const char *cookie;		/* of this browser for this session; NULL: none */
	bool bound;			/* this browser began the session */
};

/* Reads the session of a token, or of an OAuth state; false if there is none (the view still makes pages). */
bool connect_view_token(struct connect_view *v, struct api_request *r, const char *token);
bool connect_view_state(struct connect_view *v, struct api_request *r, const char *state);
void connect_view_end(struct connect_view *v);
#define VIEW_AUTO __attribute__((cleanup(connect_view_end)))

const char *connect_cookie_name(const struct api *api, struct arena *a, const char *session_id);
/* A cookie for this browser if it has none; Set-Cookie goes with the answer. */
void connect_cookie_set(struct connect_view *v);

/* The address at which the visit ends, with its parameters; signed if the app has a secret.
 * status: success, error or canceled; code may be NULL. */
const char *connect_final_url(struct connect_view *v, const char *status, const char *code);

void connect_redirect(struct connect_view *v, const char *url);		/* 303, clean, without referrer */
const char *connect_path(const struct connect_view *v, const char *end);	/* "/connect/TOKEN/wait" */

void html_attribute(struct connect_view *v, const char *name, const char *value);	/* nothing for an empty one */

/* Around every page; title may hold {app} and {platform}.  The page goes on by itself after the seconds, -1: it
 * does not. */
void html_begin(struct connect_view *v, int status, const char *title, int refresh_seconds);
void html_end(struct connect_view *v);
void html_words(struct connect_view *v, const char *words);	/* escaped, placeholders filled */
void html_icon(struct connect_view *v, const char *name);
void html_tile(struct connect_view *v, const char *name, const char *class);	/* two letters in a box */
void html_brandline(struct connect_view *v);
void html_joined(struct connect_view *v);

/* A value that was entered and what is wrong with it. */
struct connect_entry { const struct platform_field *field; const char *value, *fault; bool given; };	/* given: by the app, not asked */
/* The fields of one way to connect, which stand in a form of their own where there are two. */
struct connect_fields { bool oauth; struct connect_entry *list; int count; };
void connect_page_start(struct connect_view *v, const struct connect_fields *f);
void connect_page_wait(struct connect_view *v, int seconds);
int connect_choices(struct connect_view *v, struct jv *ret);	/* how many there are to choose from */
void connect_page_pick(struct connect_view *v, const char *search, const bool *chosen, const char *fault);

/* The page of a cause: an error code of the API, or one of the pages' own.  Always RC_OK. */
enum rc connect_page_cause(struct connect_view *v, const char *code);

/* What a form sent; ret_cause is set when it must not be obeyed. */
enum rc connect_form_read(struct connect_view *v, const char **ret, size_t *ret_len, const char **ret_cause);
bool connect_both(const struct connect_view *v);	/* the person may choose the way */
void connect_entries(struct connect_view *v, bool oauth, struct connect_fields *ret);	/* empty ones */
bool connect_entries_read(struct connect_view *v, const char *form, size_t len, struct connect_fields *f);	/* all good */

const char *connect_over(const struct connect_view *v);	/* the cause for which this visit ends at once, or NULL */
enum rc connect_go_on(struct connect_view *v);		/* waits for the engine, then goes where the session stands */

#define CONNECT_PAGE(m, path, fn, name) {.method = m, .pattern = path, .flags = ROUTE_BROWSER | ROUTE_HIDDEN, .handle = fn, \
	.operation = name, .summary = "A page for the person who connects an account"}

void connect_brand_css(struct buf *b, const char *accent);

#endif
