/* Visits at an instance: see visit.h. */
#include "tests/rig/visit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/model/connect_flow.h"

#define WAIT_MS 20000
#define CALLBACK "http://127.0.0.1:1/cb"
#define COOKIE "the browser of the rig"

static const char *port_of(const struct rig *r)
{
	return strrchr(r->sandbox_url, ':') + 1;
}

void rig_loopback(struct rig *r)
{
	const char **allow = arena_array(&r->conf.arena, const char *, 2);

	allow[0] = arena_printf(&r->conf.arena, "127.0.0.1:%s", port_of(r));
	r->conf.allow = allow;
}

void rig_instances(struct rig *r)
{
	struct conf *c = &r->conf;
	char command[1200];

	rig_loopback(r);
	snprintf(command, sizeof command, "mkdir -p '%s/plugins' && cp '%s/sandbox.so' '%s/tests/plugins/instance.so' '%s/plugins'", r->folder,
		 c->provider_folder, rig_build(), r->folder);
	c->provider_folder = arena_printf(&c->arena, "%s/plugins", r->folder);
	MUST(system(command) == 0);
}

/* ---- beginning --------------------------------------------------------------------------------------------- */

enum rc rig_visit_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct rig_visit *v = arg;
	struct connect_session s = {
		.owner = {v->r->organization, v->r->app, 0}, .end_user_id = v->r->end_user, .platform = "instance", .provider = "instance",
		.redirect_url = "https://example.com/", .credential_mode = "managed", .bind_browser = 1, .single_use = 1,
		.expires_at = clock_now() + 1800000,
	};
	char host[100];
	struct connect_value value = {"server", host, false};
	struct connect_start p = {
		.vault = v->r->store.vault, .session_id = v->session, .cookie = COOKIE, .redirect_uri = CALLBACK, .oauth = true,
		.scope = v->scope ? v->scope : "publish read", .instance = host, .values = &value, .value_count = 1,
	};
	enum rc rc = connect_session_add(cx, c, v->r->store.vault, &s, v->session, clock_now());

	snprintf(host, sizeof host, "%s.localhost:%s", v->host, port_of(v->r));
	return rc != RC_OK ? rc : connect_start(cx, c, &p, clock_now());
}

void rig_visit_begin(struct rig *r, const char *host, struct rig_visit *ret)
{
	*ret = (struct rig_visit){.r = r, .host = host};
	rig_write(r, rig_visit_write, ret);
	engine_wake(r->engine);
}

/* ---- at the instance --------------------------------------------------------------------------------------- */

static void session_is(const struct rig_visit *v, char status[64], char operation[ID_MAX])
{
	DB_READ_AUTO struct db_conn *c = db_take(v->r->store.db);
	STMT_AUTO struct stmt *s = db_query(c, "SELECT status, operation_id FROM connect_session WHERE id = ?1", "s", v->session);

	MUST(db_next(s));
	snprintf(status, 64, "%s", db_text_or(s, 0, ""));
	snprintf(operation, ID_MAX, "%s", db_text_or(s, 1, ""));
}

char *rig_visit_redirect(const struct rig_visit *v)
{
	char status[64], operation[ID_MAX], *url;
	uint64_t seen = 0;

	for (int64_t until = clock_mono() + WAIT_MS; clock_mono() < until;) {
		session_is(v, status, operation);
		if (strcmp(status, "authorizing") != 0)
			return NULL;
		url = engine_redirect_take(v->r->engine, operation);
		if (url != NULL)
			return url;
		seen = engine_wait(v->r->engine, seen, 50);
	}
	rig_die(__FILE__, __LINE__, "no redirect came for %s", v->host);
}

static const char *param(struct arena *a, const char *url, const char *name)
{
	const char *at = strstr(url, name);

	MUST(at != NULL);
	at += strlen(name);
	return arena_dup(a, at, strcspn(at, "&"));
}

static const char *consent(const struct rig_visit *v, struct arena *a, const char *url, const char *name)
{
	char location[2048];
	struct buf form, answer;

	buf_init(&form, 8192);
	buf_init(&answer, 1u << 20);
	buf_addf(&form, "%s&account=%s&type=keyed&decision=allow", strchr(url, '?') + 1, name);
	if (rig_call(v->r->sandbox_url, "/oauth/consent", buf_text(&form), &answer, location, sizeof location) != 303)
		rig_die(__FILE__, __LINE__, "the instance says: %.300s", buf_text(&answer));
	buf_free(&form);
	buf_free(&answer);
	return param(a, location, "code=");
}

static enum rc answer_write(struct cx *cx, struct db_conn *c, void *arg)
{
	return connect_answered(cx, c, arg, clock_now());
}

void rig_visit_return(const struct rig_visit *v, const char *url, const char *name, char ret_status[64])
{
	struct connect_answer answer = {.vault = v->r->store.vault, .session_id = v->session, .redirect_uri = CALLBACK, .params = "{}"};
	char operation[ID_MAX];
	struct arena a;
	uint64_t seen = 0;

	arena_init(&a, 65536);
	answer.state = param(&a, url, "&state=");
	answer.code = consent(v, &a, url, name);
	rig_write(v->r, answer_write, &answer);
	engine_wake(v->r->engine);
	arena_free(&a);
	for (int64_t until = clock_mono() + WAIT_MS; clock_mono() < until; seen = engine_wait(v->r->engine, seen, 50)) {
		session_is(v, ret_status, operation);
		if (strcmp(ret_status, "authorizing") != 0)
			return;
	}
}

void rig_visit_connect(struct rig *r, const char *host, const char *name, char out[ID_MAX])
{
	struct rig_visit v;
	char status[64], *url;

	rig_visit_begin(r, host, &v);
	url = rig_visit_redirect(&v);
	MUST(url != NULL);
	rig_visit_return(&v, url, name, status);
	free(url);
	if (strcmp(status, "completed") != 0)
		rig_die(__FILE__, __LINE__, "the connect session at %s is %s", host, status);
	DB_READ_AUTO struct db_conn *c = db_take(r->store.db);
	STMT_AUTO struct stmt *q = db_query(c, "SELECT n.id FROM connection n JOIN connect_session s ON s.grant_id = n.grant_id WHERE s.id = ?1",
					    "s", v.session);
	MUST(db_next(q));
	snprintf(out, ID_MAX, "%s", db_text(q, 0));
}
