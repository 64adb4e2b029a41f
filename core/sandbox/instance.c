/*
 * The sandbox as an instance of a network without a centre: apps are registered by the call that asks for it, and
 * the instance says its own limits.
 */
#include <string.h>

#include "core/io/vault.h"
#include "core/sandbox/handlers.h"

#define KEPT 1000		/* apps; the oldest go */
#define FORM_MAX 65536
#define LIMIT "instance_text_max"
#define LIMIT_DEFAULT 500

struct app_job { char id[ID_MAX]; uint8_t hash[32]; };

static enum rc app_write(struct cx *cx, struct db_conn *db, void *arg)
{
	struct app_job *j = arg;

	id_new(j->id, "app");
	db_run(db, "INSERT INTO client (id, secret) VALUES (?1, ?2)", "sb", j->id, (const void *)j->hash, sizeof j->hash);
	db_run(db, "DELETE FROM client WHERE id LIKE 'app\\_%' ESCAPE '\\' AND rowid <= (SELECT max(rowid) FROM client) - ?1", "i",
	       (int64_t)KEPT);
	return db_fail(cx, db);
}

/* As a form: client_name, redirect_uris, scopes. */
void sandbox_instance_apps(struct call *c)
{
	const char *form, *name, *redirect;
	struct app_job j = {.id = ""};
	char secret[ID_MAX];
	struct jsonw *w;
	size_t len;

	if (web_body(&c->cx, c->r, FORM_MAX, &form, &len) != RC_OK) {
		call_failed(c);
		return;
	}
	name = web_form(c->r, form, len, "client_name");
	redirect = web_form(c->r, form, len, "redirect_uris");
	if (!name || !name[0] || !redirect || !redirect[0]) {
		call_error(c, 422, "invalid_request", "client_name and redirect_uris are needed.");
		return;
	}
	id_new(secret, "sec");
	vault_sha256(secret, strlen(secret), j.hash);
	if (db_write(&c->cx, c->s->db, app_write, &j) != RC_OK) {
		call_failed(c);
		return;
	}
	w = call_json(c, 200);
	jsonw_text(w, "client_id", j.id);
	jsonw_text(w, "client_secret", secret);
	jsonw_text(w, "name", name);
	call_done(c);
}

void sandbox_instance_read(struct call *c)
{
	struct db_conn *db = db_take(c->s->db);
	int64_t text_max = db_number(db, LIMIT_DEFAULT, "SELECT value FROM mark WHERE name = ?1", "s", LIMIT);
	struct jsonw *w;

	db_give(db);
	w = call_json(c, 200);
	jsonw_text(w, "version", "1");
	jsonw_int(w, "text_max", text_max);
	call_done(c);
}

static enum rc limit_write(struct cx *cx, struct db_conn *db, void *arg)
{
	db_run(db, "INSERT INTO mark (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", "si", LIMIT,
	       *(const int64_t *)arg);
	return db_fail(cx, db);
}

static void fine(struct call *c)
{
	call_json(c, 200);
	call_done(c);
}

/* POST /control/instance: {"text_max": 1000} */
void sandbox_control_instance(struct call *c)
{
	int64_t text_max = 0;
	struct jv body;

	if (!call_body(c, &body))
		return;
	if (!json_int(json_get(body, "text_max"), &text_max) || text_max < 1)
		call_error(c, 400, "invalid_request", "text_max is needed.");
	else if (db_write(&c->cx, c->s->db, limit_write, &text_max) != RC_OK)
		call_failed(c);
	else
		fine(c);
}
