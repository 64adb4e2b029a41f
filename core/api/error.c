/*
 * The error envelope.
 *
 * A fault on the server's side is answered with a fixed sentence: its words name files, statements and
 * addresses, and belong into the log, where the request id finds them.
 */
#include "core/api/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"

#define ISSUES_MAX 50

void error_more_init(struct error_more *m, struct arena *arena)
{
	memset(m, 0, sizeof(*m));
	m->arena = arena;
}

bool error_full(const struct error_more *m)
{
	return m->issue_count >= ISSUES_MAX;
}

struct error_issue *error_issue(struct error_more *m, const char *code, const char *param, const char *fmt, ...)
{
	static _Thread_local struct error_issue spare;
	struct error_issue *i;
	char words[768];
	va_list ap;

	if (error_full(m)) {
		memset(&spare, 0, sizeof(spare));
		return &spare;
	}
	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	i = arena_new(m->arena, struct error_issue);
	*i = (struct error_issue){NULL, code, arena_text(m->arena, param), NULL, NULL, "error", arena_text(m->arena, words)};
	if (m->last)
		m->last->next = i;
	else
		m->issues = i;
	m->last = i;
	m->issue_count++;
	return i;
}

enum rc error_issues(struct cx *cx, const struct error_more *m)
{
	for (const struct error_issue *i = m->issues; i; i = i->next) {
		if (strcmp(i->severity, "error"))
			continue;
		if (cx->rc == RC_OK) {
			snprintf(cx->rule, sizeof(cx->rule), "%s", i->rule ? i->rule : "");
			snprintf(cx->platform, sizeof(cx->platform), "%s", i->platform ? i->platform : "");
		}
		return fail_code(cx, RC_INVALID, i->code, i->param, "%s", i->message);
	}
	return RC_OK;
}

static const char *or_null(const char *text)
{
	return text && *text ? text : NULL;
}

static void issues_write(struct jsonw *w, const struct error_more *m)
{
	jsonw_array(w, "issues");
	for (const struct error_issue *i = m ? m->issues : NULL; i; i = i->next) {
		jsonw_object(w, NULL);
		jsonw_text(w, "code", i->code);
		jsonw_text(w, "param", i->param);
		jsonw_text(w, "rule", i->rule);
		jsonw_text(w, "platform", i->platform);
		jsonw_text(w, "severity", i->severity);
		jsonw_text(w, "message", i->message);
		jsonw_object_end(w);
	}
	jsonw_array_end(w);
}

static const char *message_of(const struct cx *cx, const struct error_code *e)
{
	if (!strcmp(e->code, "internal_error"))
		return "Something failed on our side. The request id finds it in the server's log.";
	if (!strcmp(e->code, "storage_error"))
		return "The store cannot be written or read at the moment.";
	if (!strcmp(e->code, "storage_damaged"))
		return "The store is damaged: it is only read, and nothing is published, until the operator has restored a backup.";
	if (!strcmp(e->code, "storage_full"))
		return "The server has no space left to store this; what was accepted before is safe.";
	return cx->words[0] ? cx->words : e->code;
}

static void doc_write(struct jsonw *w, const struct error_more *m, const char *code)
{
	char url[512];

	if (!m || !m->doc_url) {
		jsonw_null(w, "docUrl");
		return;
	}
	snprintf(url, sizeof(url), "%s%s", m->doc_url, code);
	jsonw_text(w, "docUrl", url);
}

static void error_body(struct jsonw *w, const struct cx *cx, const struct error_code *e, const char *type, const char *id,
		       const struct error_more *m)
{
	jsonw_object(w, "error");
	jsonw_text(w, "type", type);
	jsonw_text(w, "code", e->code);
	jsonw_text(w, "message", message_of(cx, e));
	jsonw_text(w, "param", or_null(cx->param));
	jsonw_text(w, "rule", or_null(cx->rule));
	jsonw_text(w, "platform", or_null(cx->platform));
	jsonw_text(w, "faultSource", e->source);
	jsonw_bool(w, "retryable", e->retryable);
	if (m && m->retry_after > 0)
		jsonw_int(w, "retryAfterSeconds", m->retry_after);
	else
		jsonw_null(w, "retryAfterSeconds");
	jsonw_text(w, "userMessage", m ? m->user_message : NULL);
	jsonw_text(w, "remediation", m && m->remediation ? m->remediation : e->remedy);
	doc_write(w, m, e->code);
	jsonw_text(w, "requestId", id);
	issues_write(w, m);
	jsonw_raw(w, "platformError", m ? m->platform_error : NULL, m && m->platform_error ? strlen(m->platform_error) : 0);
	jsonw_object_end(w);
}

void error_write(const struct cx *cx, const char *request_id, const struct error_more *more, struct web_answer *a)
{
	const struct error_code *e = error_of(cx);
	const char *type = more && more->type ? more->type : e->type;
	struct jsonw w;

	if (cx->code[0] && !error_find(cx->code))
		log_error("api", "code %s is not in the table of error codes", cx->code);
	buf_reset(a->body);
	a->type = NULL;
	a->status = error_status(type);
	jsonw_init(&w, a->body);
	jsonw_object(&w, NULL);
	error_body(&w, cx, e, type, request_id, more);
	jsonw_object_end(&w);
	jsonw_end(&w);
	if (more && more->retry_after > 0)
		web_header(a, "Retry-After", "%d", more->retry_after);
	if (a->status == 401)
		web_header(a, "WWW-Authenticate", "Bearer");
}
