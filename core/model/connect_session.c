/* Connect sessions: see connect_session.h. */
#include "core/model/connect_session.h"

#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "core/model/connect.h"

#define STATE_MS (10 * 60 * 1000)
#define STATE_BYTES 40			/* 8 of time, 32 random */

/* ---- tokens ------------------------------------------------------------------------------------------ */

static void base64url(const void *bytes, size_t n, char *ret, size_t size)
{
	BUF_AUTO struct buf text;

	buf_init(&text, 128);
	text_base64url(&text, bytes, n);
	snprintf(ret, size, "%s", buf_text(&text));
}

void connect_token(const struct vault *v, const char *session_id, char ret[CONNECT_TOKEN_MAX])
{
	uint8_t mac[CONNECT_MAC];

	vault_mac(v, "connect_link", session_id, strlen(session_id), mac);
	base64url(mac, sizeof mac, ret, CONNECT_TOKEN_MAX);
}

void connect_state_new(const struct vault *v, int64_t now, char ret[CONNECT_STATE_MAX], uint8_t ret_mac[CONNECT_MAC])
{
	uint8_t bytes[STATE_BYTES];
	uint64_t until = (uint64_t)(now + STATE_MS);

	id_random(bytes, sizeof bytes);
	for (int i = 7; i >= 0; i--, until >>= 8)
		bytes[i] = (uint8_t)until;
	base64url(bytes, sizeof bytes, ret, CONNECT_STATE_MAX);
	vault_mac(v, "oauth_state", ret, strlen(ret), ret_mac);
}

bool connect_state_alive(const char *state, int64_t now)
{
	BUF_AUTO struct buf bytes;
	uint64_t until = 0;

	buf_init(&bytes, 128);
	if (!text_unbase64url(&bytes, state, strlen(state)) || bytes.len != STATE_BYTES)
		return false;
	for (int i = 0; i < 8; i++)
		until = until << 8 | (uint8_t)bytes.data[i];
	return until > (uint64_t)now;
}

void connect_browser_mac(const struct vault *v, const char *session_id, const char *cookie, uint8_t ret_mac[CONNECT_MAC])
{
	BUF_AUTO struct buf text;

	buf_init(&text, 4096);
	buf_addf(&text, "%s:%.1000s", session_id, cookie);
	vault_mac(v, "connect_browser", buf_text(&text), text.len, ret_mac);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

#define SELECT "SELECT s.organization_id, s.app_id, s.live, s.id, s.end_user_id, u.external_id, a.name, s.platform, s.provider, s.status," \
	" s.issuer, s.grant_id, s.operation_id, s.redirect_url, s.client_state, s.reconnect_connection_id, s.credential_mode, s.permissions," \
	" s.branding, s.platform_options, s.tags, s.metadata, s.locale, s.account, s.choices, s.connection_ids, s.error," \
	" s.allow_account_change, s.bind_browser, s.single_use, s.open_count, s.opened_at, s.completed_at, s.expires_at, s.created_at," \
	" s.browser_mac, s.state_mac IS NOT NULL FROM connect_session s" \
	" JOIN end_user u ON u.id = s.end_user_id AND u.organization_id = s.organization_id" \
	" JOIN app a ON a.id = s.app_id AND a.organization_id = s.organization_id"

void connect_session_row(struct stmt *q, struct arena *a, struct connect_session *s)
{
	const char **texts[] = {
		&s->id, &s->end_user_id, &s->external_id, &s->app_name, &s->platform, &s->provider, &s->status, &s->issuer, &s->grant_id,
		&s->operation_id, &s->redirect_url, &s->client_state, &s->reconnect_id, &s->credential_mode, &s->permissions, &s->branding,
		&s->platform_options, &s->tags, &s->metadata, &s->locale, &s->account, &s->choices, &s->connection_ids, &s->error,
	};
	int64_t *numbers[] = {
		&s->allow_change, &s->bind_browser, &s->single_use, &s->open_count, &s->opened_at, &s->completed_at, &s->expires_at,
		&s->created_at,
	};
	int column = 3;
	const void *mac;
	size_t n;

	s->owner = (struct owner){db_dup(q, 0, a), db_dup(q, 1, a), db_int(q, 2)};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		*texts[i] = db_dup(q, column++, a);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		*numbers[i] = db_int(q, column++);
	mac = db_blob(q, column++, &n);
	s->browser_mac = n == CONNECT_MAC ? arena_dup(a, mac, n) : NULL;
	s->awaits = db_int(q, column) != 0;
}

static bool one(struct stmt *q, struct arena *a, struct connect_session *ret)
{
	bool found = db_next(q);

	if (found)
		connect_session_row(q, a, ret);
	db_end(q);
	return found;
}

bool connect_session_find(struct db_conn *c, const struct owner *o, const char *id, struct arena *a, struct connect_session *ret)
{
	return one(o != NULL
		? db_query(c, SELECT " WHERE s.id = ?1 AND s.organization_id = ?2 AND s.app_id = ?3 AND s.live = ?4", "sssi", id,
			   o->organization_id, o->app_id, o->live)
		: db_query(c, SELECT " WHERE s.id = ?1", "s", id), a, ret);
}

bool connect_session_by_token(struct db_conn *c, const struct vault *v, const char *token, struct arena *a, struct connect_session *ret)
{
	uint8_t mac[CONNECT_MAC];

	vault_mac(v, "connect_token", token, strlen(token), mac);
	return one(db_query(c, SELECT " WHERE s.token_mac = ?1", "b", mac, sizeof mac), a, ret);
}

bool connect_session_by_state(struct db_conn *c, const struct vault *v, const char *state, struct arena *a, struct connect_session *ret)
{
	uint8_t mac[CONNECT_MAC];

	vault_mac(v, "oauth_state", state, strlen(state), mac);
	return one(db_query(c, SELECT " WHERE s.state_mac = ?1", "b", mac, sizeof mac), a, ret);
}

struct stmt *connect_session_list(struct db_conn *c, const struct owner *o, const struct connect_filter *f, const char *after, int limit,
				  int64_t now)
{
	return db_query(c,
		SELECT " WHERE s.organization_id = ?1 AND s.app_id = ?2 AND s.live = ?3 AND s.id > ?4 AND (?5 IS NULL OR s.end_user_id = ?5)"
		" AND (?6 IS NULL OR s.platform = ?6) AND (?7 IS NULL OR ?7 = CASE WHEN s.expires_at <= ?8"
		" AND s.status IN ('pending', 'opened', 'authorizing', 'selecting') THEN 'expired' ELSE s.status END)"
		" ORDER BY s.id LIMIT ?9", "ssissssii", o->organization_id, o->app_id, o->live, after, f->end_user_id, f->platform, f->status,
		now, (int64_t)limit);
}

static bool open_status(const char *status)
{
	return text_eq(status, "pending") || text_eq(status, "opened") || text_eq(status, "authorizing") || text_eq(status, "selecting");
}

const char *connect_session_status(const struct connect_session *s, int64_t now)
{
	return open_status(s->status) && s->expires_at <= now ? "expired" : s->status;
}

bool connect_session_ended(const struct connect_session *s, int64_t now)
{
	return !open_status(connect_session_status(s, now));
}

/* ---- writing ----------------------------------------------------------------------------------------- */

enum rc connect_session_add(struct cx *cx, struct db_conn *c, const struct vault *v, struct connect_session *s, char id[ID_MAX],
			   int64_t now)
{
	char token[CONNECT_TOKEN_MAX];
	uint8_t mac[CONNECT_MAC];

	id_new(id, "cs");
	s->id = id;
	s->status = "pending";
	s->created_at = now;
	connect_token(v, id, token);
	vault_mac(v, "connect_token", token, strlen(token), mac);
	explicit_bzero(token, sizeof token);
	db_run(c,
		"INSERT INTO connect_session (id, organization_id, app_id, live, end_user_id, platform, provider, status, token_mac, issuer,"
		" redirect_url, client_state, reconnect_connection_id, allow_account_change, credential_mode, bind_browser, single_use, permissions,"
		" branding, platform_options, tags, metadata, locale, expires_at, created_at)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)",
		"sssi" "ssss" "bs" "sss" "isii" "ssssss" "ii",
		id, s->owner.organization_id, s->owner.app_id, s->owner.live, s->end_user_id, s->platform, s->provider, s->status, mac,
		sizeof mac, s->issuer, s->redirect_url, s->client_state, s->reconnect_id, s->allow_change, s->credential_mode, s->bind_browser,
		s->single_use, s->permissions, s->branding, s->platform_options, s->tags, s->metadata, s->locale, s->expires_at, now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

enum rc connect_session_cancel(struct cx *cx, struct db_conn *c, const struct connect_session *s, int64_t now)
{
	const char *status = connect_session_status(s, now);

	if (text_eq(status, "completed"))
		return fail_code(cx, RC_CONFLICT, "connect_session_completed", NULL, "The connect session is completed: its account is connected.");
	if (text_eq(status, "expired"))
		return fail_code(cx, RC_CONFLICT, "connect_session_expired", NULL, "The connect session has expired already.");
	if (open_status(status))
		connect_end(c, s->id, "canceled", "connect_session_canceled", "The connect session was canceled by its app.", now);
	else
		db_run(c, "UPDATE connect_session SET status = 'canceled' WHERE id = ?1 AND organization_id = ?2 AND status IN ('failed', 'denied')",
		       "ss", s->id, s->owner.organization_id);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}
