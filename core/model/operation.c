/* Operations and attempts: see operation.h. */
#include "core/model/operation.h"

#include "core/base/text.h"

static const struct { const char *kind; int64_t lifetime_ms; } kinds[] = {
	{"register", 10 * 60 * 1000},	{"authorize", 10 * 60 * 1000},	{"exchange", 10 * 60 * 1000},
	{"targets", 10 * 60 * 1000},	{"identify", 2 * 60 * 1000},	{"refresh", 2 * 60 * 1000},
	{"check", 2 * 60 * 1000},	{"limits", 2 * 60 * 1000},	{"remove", 10 * 60 * 1000},
	{"edit", 10 * 60 * 1000},	{"revoke", 10 * 60 * 1000},	{"publish", 24ll * 3600 * 1000},
};

int64_t operation_lifetime(const char *kind)
{
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (text_eq(kinds[i].kind, kind))
			return kinds[i].lifetime_ms;
	return 2 * 60 * 1000;
}

static void *blob(struct stmt *s, int column, struct arena *a, size_t *ret_len)
{
	const void *bytes = db_blob(s, column, ret_len);

	return bytes == NULL ? NULL : arena_dup(a, bytes, *ret_len);
}

#define COLUMNS "organization_id, app_id, live, id, kind, platform, provider, delivery_id, connection_id, grant_id, connect_session_id," \
	" status, provider_version, phase, event, intent_class, input, result, error," \
	" state_version, retries, intent_at, intent_until, key_at, key_boot_at, key_number, resent, due_at, deadline_at, owner_epoch," \
	" created_at, updated_at, state, secrets, intent"

static struct stmt *find(struct db_conn *c, const char *id, const char *delivery_id)
{
	return id != NULL
		? db_query(c, "SELECT " COLUMNS " FROM operation WHERE id = ?1", "s", id)
		: db_query(c, "SELECT " COLUMNS " FROM operation WHERE delivery_id = ?1 AND kind = 'publish'", "s", delivery_id);
}

bool operation_load(struct db_conn *c, const char *id, const char *delivery_id, struct arena *a, struct operation *o)
{
	STMT_AUTO struct stmt *s = find(c, id, delivery_id);
	const char **texts[] = {
		&o->id, &o->kind, &o->platform, &o->provider, &o->delivery_id, &o->connection_id, &o->grant_id, &o->session_id,
		&o->status, &o->provider_version, &o->phase, &o->event, &o->intent_class, &o->input, &o->result, &o->error,
	};
	int64_t *numbers[] = {
		&o->state_version, &o->retries, &o->intent_at, &o->intent_until, &o->key_at, &o->key_boot_at, &o->key_number, &o->resent, &o->due_at,
		&o->deadline_at, &o->epoch, &o->created_at, &o->updated_at,
	};
	int column = 3;

	if (!db_next(s))
		return false;
	o->owner = (struct owner){db_dup(s, 0, a), db_dup(s, 1, a), db_int(s, 2)};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		*texts[i] = db_dup(s, column++, a);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		*numbers[i] = db_int(s, column++);
	o->state = blob(s, column++, a, &o->state_len);
	o->secrets = blob(s, column++, a, &o->secrets_len);
	o->intent = blob(s, column, a, &o->intent_len);
	return true;
}

int64_t operation_save(struct db_conn *c, const struct operation *o, int64_t now)
{
	return db_run(c,
		"INSERT INTO operation (id, organization_id, app_id, live, kind, platform, provider, delivery_id, connection_id, grant_id,"
		" connect_session_id, status, provider_version, state_version, retries, phase, event, state, secrets, intent, intent_class,"
		" intent_at, intent_until, key_at, key_number, resent, input, result, error, due_at, deadline_at, owner_epoch,"
		" created_at, updated_at, key_boot_at)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25,"
		" ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35)"
		" ON CONFLICT (id) DO UPDATE SET status = ?12, provider_version = ?13, state_version = ?14, retries = ?15, phase = ?16, event = ?17,"
		" state = ?18, secrets = ?19, intent = ?20, intent_class = ?21, intent_at = ?22, intent_until = ?23, key_at = ?24,"
		" key_number = ?25, resent = ?26, result = ?28, error = ?29, due_at = ?30, deadline_at = ?31, owner_epoch = ?32,"
		" updated_at = ?34, key_boot_at = ?35"
		" WHERE operation.owner_epoch <= ?32",
		"sssisssssssss" "iissbbbs" "oooii" "sss" "ooiiio",
		o->id, o->owner.organization_id, o->owner.app_id, o->owner.live, o->kind, o->platform, o->provider, o->delivery_id,
		o->connection_id, o->grant_id, o->session_id, o->status, o->provider_version,
		o->state_version, o->retries, o->phase, o->event, o->state, o->state_len, o->secrets, o->secrets_len, o->intent, o->intent_len,
		o->intent_class,
		o->intent_at, o->intent_until, o->key_at, o->key_number, o->resent,
		o->input, o->result, o->error,
		o->due_at, o->deadline_at, o->epoch, now, now, o->key_boot_at);
}

void operation_start(struct db_conn *c, struct operation *o, char id[ID_MAX], int64_t lifetime_ms, int64_t now)
{
	id_new(id, "op");
	o->id = id;
	o->status = "running";
	o->phase = "start";
	o->event = "start";
	o->key_number = 1;
	o->due_at = now;
	o->deadline_at = now + lifetime_ms;
	operation_save(c, o, now);
}

void attempt_add(struct db_conn *c, const struct owner *o, const char *operation_id, const char *delivery_id, const struct attempt *t)
{
	char id[ID_MAX];

	id_new(id, "att");
	db_run(c,
		"INSERT INTO attempt (id, organization_id, operation_id, delivery_id, number, phase, class, method, endpoint, outcome, status,"
		" curl_code, words, body, sent_at, took_ms) VALUES (?1, ?2, ?3, ?4,"
		" (SELECT COUNT(*) + 1 FROM attempt WHERE operation_id = ?3 AND delivery_id = ?4), ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
		"sssssssssoissii", id, o->organization_id, operation_id, delivery_id, t->phase, t->class, t->method, t->endpoint, t->outcome,
		t->status, t->curl_code, t->words, t->body, t->sent_at, t->took_ms);
}
