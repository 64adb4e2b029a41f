/* The browser's side of connect sessions: see connect_flow.h. */
#include "core/model/connect_flow.h"

#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/jsonw.h"
#include "core/base/text.h"
#include "core/io/sign.h"
#include "core/model/client_key.h"
#include "core/model/connect.h"
#include "core/model/grant.h"
#include "core/model/instance.h"
#include "core/model/operation.h"

#define INPUT_MAX (64 * 1024)
#define ROW_MEMORY (4u << 20)
#define VERIFIER_BYTES 32

void connect_open(struct db_conn *c, const struct connect_session *s, int64_t now)
{
	bool first = s->opened_at == 0;

	db_run(c, "UPDATE connect_session SET open_count = open_count + 1, opened_at = COALESCE(opened_at, ?3),"
	       " status = CASE WHEN status = 'pending' THEN 'opened' ELSE status END WHERE id = ?1 AND organization_id = ?2", "ssi", s->id,
	       s->owner.organization_id, now);
	if (first)
		connect_announce(c, s->id, "connect_session.opened", NULL, now);
}

/* ---- beginning --------------------------------------------------------------------------------------- */

/* Authorize may be asked for anew while it runs: the person came back without an answer. */
static bool running(struct db_conn *c, const struct connect_session *s)
{
	return s->operation_id != NULL && db_number(c, 0, "SELECT COUNT(*) FROM operation WHERE id = ?1 AND organization_id = ?2"
		" AND status = 'running' AND kind <> 'authorize'", "ss", s->operation_id, s->owner.organization_id) == 1;
}

/* Failed and denied may be tried again as long as the link lives. */
static enum rc startable(struct cx *cx, struct db_conn *c, const struct connect_session *s, int64_t now)
{
	if (text_eq(s->status, "completed") && s->single_use)
		return fail_code(cx, RC_CONFLICT, "connect_session_used", NULL, "The link was used already.");
	if (text_eq(s->status, "canceled"))
		return fail_code(cx, RC_CONFLICT, "connect_session_canceled", NULL, "The app has withdrawn the link.");
	if (s->expires_at <= now || text_eq(s->status, "expired"))
		return fail_code(cx, RC_CONFLICT, "connect_session_expired", NULL, "The link has expired.");
	if (text_eq(s->status, "selecting") || (text_eq(s->status, "authorizing") && running(c, s)))
		return fail_code(cx, RC_CONFLICT, "connect_session_busy", NULL, "The account is being connected already.");
	return RC_OK;
}

static enum rc bind_browser(struct cx *cx, const struct connect_start *p, const struct connect_session *s, uint8_t ret_mac[CONNECT_MAC])
{
	connect_browser_mac(p->vault, s->id, p->cookie, ret_mac);
	if (s->browser_mac != NULL && s->bind_browser && !vault_equal(s->browser_mac, ret_mac, CONNECT_MAC))
		return fail_code(cx, RC_DENIED, "wrong_browser", NULL, "The link was begun in another browser.");
	return RC_OK;
}

/* What an earlier try of this session left unused. */
static void drop_grant(struct db_conn *c, const struct connect_session *s, int64_t now)
{
	db_run(c, "UPDATE auth_grant SET status = 'closed', secrets = NULL, facts = NULL, refresh_at = NULL, updated_at = ?3 WHERE id = ?1"
	       " AND organization_id = ?2 AND NOT EXISTS (SELECT 1 FROM connection WHERE grant_id = auth_grant.id)", "ssi", s->grant_id,
	       s->owner.organization_id, now);
}

static void write_oauth(struct jsonw *w, const struct connect_start *p, const char *verifier)
{
	BUF_AUTO struct buf challenge;
	uint8_t sum[32];

	buf_init(&challenge, 64);
	vault_sha256(verifier, strlen(verifier), sum);
	text_base64url(&challenge, sum, sizeof sum);
	jsonw_object(w, "oauth");
	jsonw_text(w, "redirect_uri", p->redirect_uri);
	jsonw_text(w, "code_challenge", buf_text(&challenge));
	jsonw_object_end(w);
}

/* Known at the instance by the name of the customer's app. */
static void write_app(struct jsonw *w, const struct connect_session *s)
{
	jsonw_object(w, "app");
	jsonw_text(w, "name", s->app_name);
	jsonw_object_end(w);
}

static void write_fields(struct jsonw *w, const struct connect_start *p)
{
	jsonw_object(w, "field");
	for (int i = 0; i < p->value_count; i++)
		if (!p->values[i].secret)
			jsonw_text(w, p->values[i].name, p->values[i].value);
	jsonw_object_end(w);
}

/* Of the options per platform, those of the session's own. */
static void write_options(struct jsonw *w, const struct connect_session *s, struct arena *a)
{
	struct cx ignored;
	struct jv root, own;
	const char *raw;
	size_t n;

	cx_init(&ignored, NULL);
	if (s->platform_options == NULL || json_parse(&ignored, a, s->platform_options, strlen(s->platform_options), &root) != RC_OK)
		return;
	own = json_get(root, s->platform);
	raw = json_type(own) == JSON_OBJECT ? json_raw(own, &n) : NULL;
	if (raw != NULL)
		jsonw_raw(w, "options", raw, n);
}

static enum rc add_key(struct cx *cx, struct buf *bag)
{
	SIGN_KEY_AUTO struct sign_key k;
	char text[SIGN_KEY_TEXT];
	enum rc rc = sign_key_new(cx, &k);

	if (rc != RC_OK)
		return rc;
	sign_key_text(&k, text);
	bag_put(bag, REC_STATE, "dpop", text);
	explicit_bzero(text, sizeof text);
	return RC_OK;
}

/* Who we are to the authorization server, for as long as its tokens live; what was entered, until there are tokens. */
static const char *first_facts(const struct connect_start *p, struct arena *a)
{
	BUF_AUTO struct buf out = {0};
	struct jsonw w;

	if (!p->oauth || (p->client_id == NULL && p->value_count == 0))
		return NULL;
	buf_init(&out, INPUT_MAX);
	jsonw_init(&w, &out);
	jsonw_object(&w, "");
	if (p->client_id != NULL) {
		jsonw_text(&w, "oauth.client_id", p->client_id);
		jsonw_text(&w, "oauth.client_auth", p->client_auth);
	}
	for (int i = 0; i < p->value_count; i++)
		if (!p->values[i].secret)
			jsonw_text(&w, arena_printf(a, "field.%s", p->values[i].name), p->values[i].value);
	jsonw_object_end(&w);
	return arena_text(a, buf_text(&out));
}

static void fill_bag(struct buf *bag, const struct connect_start *p, const char *verifier, struct arena *a)
{
	bag_put(bag, REC_STATE, "code_verifier", p->oauth ? verifier : NULL);
	bag_put(bag, REC_STATE, "oauth.state", p->oauth ? p->state : NULL);
	for (int i = 0; i < p->value_count; i++)
		if (p->values[i].secret)
			bag_put(bag, REC_STATE, arena_printf(a, "field.%s", p->values[i].name), p->values[i].value);
}

/* The app that is registered at the instance already, if there is one. */
static void find_instance(struct db_conn *c, const struct connect_start *p, const struct connect_session *s, struct arena *a,
			  struct grant *g)
{
	struct instance i = {
		.owner = s->owner, .platform = s->platform, .host = p->instance, .redirect_uri = p->redirect_uri, .scope = p->scope,
	};

	if (p->instance == NULL || !instance_find(c, &i, a))
		return;
	g->instance_id = i.id;
	g->account_host = i.account_host;
}

static enum rc make_grant(struct cx *cx, struct db_conn *c, struct connect_start *p, const struct connect_session *s,
			  const char *verifier, struct arena *a, char grant_id[ID_MAX], int64_t now)
{
	struct grant g = {
		.owner = s->owner, .end_user_id = s->end_user_id, .platform = s->platform, .provider = s->provider,
		.credential_id = p->credential_id, .asked = p->scope, .facts = first_facts(p, a),
	};
	struct buf bag;
	enum rc rc = text_eq(p->client_auth, "private_key_jwt") ? client_key_need(cx, c, p->vault, s->provider, now) : RC_OK;

	find_instance(c, p, s, a, &g);
	p->unregistered = p->instance != NULL && g.instance_id == NULL;
	buf_init(&bag, BAG_MAX);
	fill_bag(&bag, p, verifier, a);
	if (rc == RC_OK && p->oauth && p->dpop)
		rc = add_key(cx, &bag);
	if (rc == RC_OK)
		rc = grant_create(cx, c, p->vault, &g, grant_id, &bag, now);
	buf_wipe(&bag);
	return rc;
}

static void start_operation(struct db_conn *c, struct connect_start *p, const struct connect_session *s, const char *grant_id,
			    const char *input, int64_t now)
{
	struct operation o = {
		.owner = s->owner, .kind = !p->oauth ? "exchange" : p->unregistered ? "register" : "authorize",
		.platform = s->platform, .provider = s->provider,
		.grant_id = grant_id, .session_id = s->id, .input = input,
	};

	operation_start(c, &o, p->operation_id, operation_lifetime(o.kind), now);
}

static enum rc begin(struct cx *cx, struct db_conn *c, struct connect_start *p, const struct connect_session *s, struct arena *a,
		     const uint8_t browser[CONNECT_MAC], int64_t now)
{
	char state[CONNECT_STATE_MAX], grant_id[ID_MAX], verifier[CONNECT_TOKEN_MAX];
	uint8_t mac[CONNECT_MAC], random[VERIFIER_BYTES];
	struct buf input, text;
	struct jsonw w;
	enum rc rc;

	buf_init(&input, INPUT_MAX);
	buf_init(&text, 64);
	id_random(random, sizeof random);
	text_base64url(&text, random, sizeof random);
	snprintf(verifier, sizeof verifier, "%s", buf_text(&text));
	buf_wipe(&text);
	connect_state_new(p->vault, now, state, mac);
	p->state = state;
	jsonw_init(&w, &input);
	jsonw_object(&w, "");
	if (p->oauth)
		write_oauth(&w, p, verifier);
	write_app(&w, s);
	write_fields(&w, p);
	write_options(&w, s, a);
	jsonw_object_end(&w);
	jsonw_end(&w);
	rc = make_grant(cx, c, p, s, verifier, a, grant_id, now);
	if (rc == RC_OK) {
		start_operation(c, p, s, grant_id, buf_text(&input), now);
		db_run(c, "UPDATE connect_session SET status = 'authorizing', browser_mac = ?3, state_mac = ?4, grant_id = ?5, operation_id = ?6,"
		       " account = NULL, choices = NULL, error = NULL, completed_at = NULL WHERE id = ?1 AND organization_id = ?2", "ssbbss",
		       s->id, s->owner.organization_id, browser, (size_t)CONNECT_MAC, p->oauth ? mac : NULL, sizeof mac, grant_id,
		       p->operation_id);
	}
	explicit_bzero(verifier, sizeof verifier);
	explicit_bzero(state, sizeof state);
	p->state = NULL;
	buf_wipe(&input);
	return rc != RC_OK || db_rc(c) == RC_OK ? rc : db_fail(cx, c);
}

enum rc connect_start(struct cx *cx, struct db_conn *c, struct connect_start *p, int64_t now)
{
	ARENA_AUTO struct arena a;
	struct connect_session s;
	uint8_t browser[CONNECT_MAC];
	enum rc rc;

	arena_init(&a, ROW_MEMORY);
	if (!connect_session_find(c, NULL, p->session_id, &a, &s))
		return db_rc(c) != RC_OK ? db_fail(cx, c) : fail(cx, RC_NOT_FOUND, "no connect session %s", p->session_id);
	rc = startable(cx, c, &s, now);
	if (rc == RC_OK)
		rc = bind_browser(cx, p, &s, browser);
	if (rc != RC_OK)
		return rc;
	drop_grant(c, &s, now);
	return begin(cx, c, p, &s, &a, browser, now);
}

void connect_forget_input(struct db_conn *c, const char *operation_id, const char *organization_id)
{
	db_run(c, "UPDATE operation SET input = NULL WHERE id = ?1 AND organization_id = ?2 AND kind = 'authorize'", "ss", operation_id,
	       organization_id);
}

/* ---- coming back ------------------------------------------------------------------------------------- */

static enum rc keep_code(struct cx *cx, struct db_conn *c, const struct connect_answer *p, const struct connect_session *s, struct arena *a)
{
	struct grant g;
	struct buf bag;
	enum rc rc;

	if (s->grant_id == NULL || !grant_load(c, s->grant_id, a, &g))
		return fail(cx, RC_BUG, "connect session %s has no grant", s->id);
	buf_init(&bag, BAG_MAX);
	rc = grant_secrets(cx, c, p->vault, &g, &bag);
	if (rc == RC_OK) {
		bag_put(&bag, REC_STATE, "code", p->code);
		rc = grant_secrets_save(cx, c, p->vault, &g, &bag);
	}
	buf_wipe(&bag);
	return rc;
}

static void start_exchange(struct db_conn *c, const struct connect_answer *p, const struct connect_session *s, struct arena *a, int64_t now)
{
	BUF_AUTO struct buf input;
	struct jsonw w;
	char id[ID_MAX];
	struct operation o = {
		.owner = s->owner, .kind = "exchange", .platform = s->platform, .provider = s->provider, .grant_id = s->grant_id,
		.session_id = s->id,
	};

	buf_init(&input, INPUT_MAX);
	jsonw_init(&w, &input);
	jsonw_object(&w, "");
	jsonw_object(&w, "oauth");
	jsonw_text(&w, "redirect_uri", p->redirect_uri);
	jsonw_object_end(&w);
	jsonw_raw(&w, "callback", p->params, strlen(p->params));
	write_options(&w, s, a);
	jsonw_object_end(&w);
	jsonw_end(&w);
	o.input = buf_text(&input);
	operation_start(c, &o, id, operation_lifetime(o.kind), now);
	db_run(c, "UPDATE connect_session SET operation_id = ?3 WHERE id = ?1 AND organization_id = ?2", "sss", s->id,
	       s->owner.organization_id, id);
}

enum rc connect_answered(struct cx *cx, struct db_conn *c, const struct connect_answer *p, int64_t now)
{
	ARENA_AUTO struct arena a;
	struct connect_session s;
	enum rc rc = RC_OK;

	arena_init(&a, ROW_MEMORY);
	if (!connect_session_by_state(c, p->vault, p->state, &a, &s) || !text_eq(s.id, p->session_id) || !text_eq(s.status, "authorizing"))
		return db_rc(c) != RC_OK ? db_fail(cx, c) : fail_code(cx, RC_CONFLICT, "connect_session_used", NULL, "The answer was used already.");
	db_run(c, "UPDATE connect_session SET state_mac = NULL WHERE id = ?1 AND organization_id = ?2", "ss", s.id, s.owner.organization_id);
	if (p->code == NULL) {
		connect_end(c, s.id, p->status, p->error_code, p->message, now);
	} else {
		rc = keep_code(cx, c, p, &s, &a);
		start_exchange(c, p, &s, &a, now);
	}
	return rc != RC_OK || db_rc(c) == RC_OK ? rc : db_fail(cx, c);
}

/* ---- choosing ---------------------------------------------------------------------------------------- */

static const char *choice_text(struct jv root, struct arena *a, int index, const char *name)
{
	return json_text(json_get(root, arena_printf(a, "targets.%d.%s", index, name)));
}

static bool choice_read(struct jv root, struct arena *a, int index, struct connect_account *ret)
{
	*ret = (struct connect_account){
		.remote_id = choice_text(root, a, index, "id"), .username = choice_text(root, a, index, "username"),
		.name = choice_text(root, a, index, "name"), .avatar_url = choice_text(root, a, index, "avatar_url"),
		.type = choice_text(root, a, index, "type"),
	};
	if (choice_text(root, a, index, "token") != NULL)
		ret->target = arena_printf(a, "targets.%d", index);
	return ret->remote_id != NULL;
}

enum rc connect_select(struct cx *cx, struct db_conn *c, const char *session_id, const int *chosen, int count, int64_t now)
{
	ARENA_AUTO struct arena a;
	struct connect_session s;
	struct connect_account *accounts;
	const char *scopes = NULL;
	struct jv root;
	int failed;
	enum rc rc;

	arena_init(&a, ROW_MEMORY);
	if (!connect_session_find(c, NULL, session_id, &a, &s) || !text_eq(s.status, "selecting") || s.choices == NULL)
		return db_rc(c) != RC_OK ? db_fail(cx, c)
			: fail_code(cx, RC_CONFLICT, "connect_session_used", NULL, "There is nothing to choose any more.");
	if (s.expires_at <= now)
		return fail_code(cx, RC_CONFLICT, "connect_session_expired", NULL, "The link has expired.");
	rc = json_parse(cx, &a, s.choices, strlen(s.choices), &root);
	accounts = arena_array(&a, struct connect_account, count + 1);
	for (int i = 0; i < count && rc == RC_OK; i++)
		if (!choice_read(root, &a, chosen[i], &accounts[i]))
			rc = fail_code(cx, RC_INVALID, "field_invalid", "target", "There is no choice %d.", chosen[i]);
	if (rc != RC_OK)
		return rc;
	{
		STMT_AUTO struct stmt *q = db_query(c, "SELECT scopes FROM auth_grant WHERE id = ?1 AND organization_id = ?2", "ss", s.grant_id,
						    s.owner.organization_id);
		scopes = db_next(q) ? db_dup(q, 0, &a) : NULL;
	}
	return connect_complete(cx, c, session_id, accounts, count, scopes, &failed, now);
}
