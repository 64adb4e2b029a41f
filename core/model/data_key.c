/* Data keys: see data_key.h. */
#include "core/model/data_key.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/arena.h"
#include "core/base/id.h"
#include "core/base/log.h"

#define ROUND 200

enum rc data_key_create(struct cx *cx, struct db_conn *c, struct vault *v, const char *organization_id, const char *end_user_id)
{
	uint8_t wrapped[VAULT_WRAPPED];
	struct vault_key *key;
	char id[ID_MAX];
	enum rc rc = vault_key_new(cx, v, wrapped, &key);

	if (rc != RC_OK)
		return rc;
	vault_key_drop(key);
	id_new(id, "dk");
	db_run(c, "INSERT INTO data_key (id, organization_id, end_user_id, wrapped, master_key_id, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	       "sssbsi", id, organization_id, end_user_id, wrapped, sizeof wrapped, vault_master_id(v), clock_now());
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static struct stmt *find(struct db_conn *c, const char *organization_id, const char *end_user_id)
{
	if (organization_id == NULL)
		return db_query(c, "SELECT id, master_key_id, wrapped FROM data_key WHERE organization_id IS NULL AND end_user_id IS NULL", "");
	if (end_user_id == NULL)
		return db_query(c, "SELECT id, master_key_id, wrapped FROM data_key WHERE organization_id = ?1 AND end_user_id IS NULL", "s",
				organization_id);
	return db_query(c, "SELECT id, master_key_id, wrapped FROM data_key WHERE organization_id = ?1 AND end_user_id = ?2", "ss",
			organization_id, end_user_id);
}

enum rc data_key_open(struct cx *cx, struct db_conn *c, struct vault *v, const char *organization_id, const char *end_user_id,
		      struct data_key *ret)
{
	STMT_AUTO struct stmt *s = find(c, organization_id, end_user_id);
	const void *wrapped;
	size_t n;

	if (!db_next(s))
		return db_rc(c) != RC_OK ? db_fail(cx, c)
			: fail(cx, RC_NOT_FOUND, "no data key of organization %s, end user %s: it was destroyed",
			       organization_id ? organization_id : "-", end_user_id ? end_user_id : "-");
	wrapped = db_blob(s, 2, &n);
	snprintf(ret->id, sizeof ret->id, "%s", db_text_or(s, 0, ""));
	return vault_key_open(cx, v, db_text_or(s, 1, ""), wrapped, n, &ret->key);
}

void data_key_close(struct data_key *k)
{
	if (k->key != NULL)
		vault_key_drop(k->key);
	k->key = NULL;
}

/* ---- another master key ------------------------------------------------------------------------------------ */

struct old { const char *id, *master_id; const void *wrapped; size_t n; };

static int old_keys(struct db_conn *c, struct vault *v, const char *after, struct arena *a, struct old list[ROUND])
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT id, master_key_id, wrapped FROM data_key WHERE id > ?1 AND master_key_id <> ?2"
					    " ORDER BY id LIMIT 200", "ss", after, vault_master_id(v));
	int n = 0;

	while (n < ROUND && db_next(s)) {
		struct old *o = &list[n++];
		const void *bytes = db_blob(s, 2, &o->n);

		o->id = db_dup(s, 0, a);
		o->master_id = db_dup(s, 1, a);
		o->wrapped = memcpy(arena_alloc(a, o->n + 1), bytes, o->n);
	}
	return n;
}

static enum rc rewrap_one(struct db_conn *c, struct vault *v, const struct old *o)
{
	VAULT_KEY_AUTO struct vault_key *key = NULL;
	uint8_t wrapped[VAULT_WRAPPED];
	struct cx cx;
	enum rc rc;

	cx_init(&cx, o->id);
	rc = vault_key_open(&cx, v, o->master_id, o->wrapped, o->n, &key);
	if (rc == RC_OK)
		rc = vault_key_wrap(&cx, v, key, wrapped);
	if (rc != RC_OK)
		log_error("vault", "data key %s is not wrapped anew: %s", o->id, cx.words);
	else
		db_run(c, "UPDATE data_key SET wrapped = ?3, master_key_id = ?4 WHERE id = ?1 AND master_key_id = ?2", "ssbs", o->id, o->master_id,
		       wrapped, sizeof wrapped, vault_master_id(v));
	return rc;
}

enum rc data_key_rewrap(struct cx *cx, struct db_conn *c, struct vault *v, const char *after, struct data_key_round *ret)
{
	ARENA_AUTO struct arena a;
	struct old list[ROUND];

	arena_init(&a, 1u << 20);
	*ret = (struct data_key_round){.found = old_keys(c, v, after, &a, list)};
	for (int i = 0; i < ret->found; i++)
		ret->failed += rewrap_one(c, v, &list[i]) != RC_OK;
	snprintf(ret->after, sizeof ret->after, "%s", ret->found > 0 ? list[ret->found - 1].id : after);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

/* ---- values ------------------------------------------------------------------------------------------------ */

static struct vault_place place(const struct data_key *k, const char *organization_id, const char *table, const char *column,
				const char *row)
{
	return (struct vault_place){
		.table = table, .row = row, .column = column,
		.organization = organization_id ? organization_id : "", .data_key = k->id,
	};
}

enum rc data_key_seal(struct cx *cx, const struct data_key *k, const char *organization_id, const char *table, const char *column,
		      const char *row, const void *plain, size_t n, struct buf *ret)
{
	struct vault_place at = place(k, organization_id, table, column, row);

	return vault_seal(cx, k->key, &at, plain, n, ret);
}

enum rc data_key_unseal(struct cx *cx, const struct data_key *k, const char *organization_id, const char *table, const char *column,
			const char *row, const void *sealed, size_t n, struct buf *ret)
{
	struct vault_place at = place(k, organization_id, table, column, row);

	return vault_unseal(cx, k->key, &at, sealed, n, ret);
}
