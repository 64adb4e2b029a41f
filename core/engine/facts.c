/*
 * What an authorization knows beside its secrets: facts that a step found (results grant.NAME), and who we are to its
 * authorization server (stored when it began, because tokens belong to the client that they were issued to).
 *
 * In the row: members named as results are without "grant."; those with a dot in their name are inputs as they stand.
 */
#include "core/engine/op.h"

#include <string.h>

#include "core/base/text.h"
#include "core/model/client_key.h"

#define FACTS_MAX (256u * 1024u)
#define FACT "grant."

static const struct { const char *prefix, *kinds; } limited[] = {
	{"oauth.", " authorize exchange refresh revoke "},
	{"field.", " exchange "},
};

static bool of_kind(const struct op *op, const char *kinds)
{
	const char *at = strstr(kinds, op->row.kind);

	return at != NULL && at[-1] == ' ' && at[strlen(op->row.kind)] == ' ';
}

static void fact_input(struct op *op, const char *key, const char *value)
{
	for (size_t i = 0; i < sizeof limited / sizeof limited[0]; i++)
		if (text_starts(key, limited[i].prefix)) {
			if (of_kind(op, limited[i].kinds))
				op_input(op, key, value);
			return;
		}
	op_input(op, arena_printf(&op->arena, "grant.%s", key), value);
	if (text_eq(key, "auth_host"))
		op->auth_host = arena_text(&op->arena, value);
}

static struct jv facts_of(struct op *op)
{
	return op_json(op, op->has_grant ? op->grant.facts : NULL);
}

void facts_inputs(struct op *op)
{
	struct jv facts = facts_of(op), value;
	const char *key;

	for (size_t i = 0; facts.doc != NULL && json_member(facts, i, &key, &value); i++)
		fact_input(op, key, json_text_or(value, ""));
}

void facts_secrets(struct op *op, struct db_conn *c)
{
	struct jv facts = facts_of(op);
	const char *id = facts.doc ? json_text(json_get(facts, "oauth.client_id")) : NULL;

	if (id == NULL)
		return;
	bag_put(&op->secrets, REC_STATE, "client.id", id);
	if (text_eq(json_text(json_get(facts, "oauth.client_auth")), "private_key_jwt"))
		(void)client_key_secrets(&op->cx, c, op->e->vault, op->row.provider, &op->secrets);
}

/* ---- keeping ----------------------------------------------------------------------------------------- */

/* What was entered is of no use once there are tokens. */
static bool is_spent(const struct op *op, const char *key)
{
	return text_eq(op->row.kind, "exchange") && text_starts(key, "field.");
}

/* As they stand in the row now: another operation of the grant may have added some since they were read. */
static struct jv stored(struct db_conn *c, struct op *op)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT facts FROM auth_grant WHERE id = ?1 AND organization_id = ?2", "ss",
					    op->row.grant_id, op->row.owner.organization_id);

	return op_json(op, db_next(s) ? db_text(s, 0) : NULL);
}

static void write_older(struct op *op, struct jv older, struct jv results, struct jsonw *w)
{
	const char *key;
	struct jv value;

	for (size_t i = 0; older.doc != NULL && json_member(older, i, &key, &value); i++)
		if (!is_spent(op, key) && (results.doc == NULL ||
					   json_type(json_get(results, arena_printf(&op->arena, FACT "%s", key))) == JSON_NONE))
			jsonw_text(w, key, json_text_or(value, ""));
}

void facts_keep(struct db_conn *c, struct op *op)
{
	BUF_AUTO struct buf facts;
	struct jsonw w;

	buf_init(&facts, FACTS_MAX);
	jsonw_init(&w, &facts);
	jsonw_object(&w, "");
	write_older(op, stored(c, op), op_json(op, op->row.result), &w);
	op_results_write(op, FACT, false, &w);	/* those with a dot are ours */
	jsonw_object_end(&w);
	jsonw_end(&w);
	db_run(c, "UPDATE auth_grant SET facts = ?3 WHERE id = ?1 AND organization_id = ?2", "sss", op->row.grant_id,
	       op->row.owner.organization_id, buf_text(&facts));
	if (op->tokens.account_host != NULL)
		db_run(c, "UPDATE auth_grant SET account_host = ?3 WHERE id = ?1 AND organization_id = ?2", "sss", op->row.grant_id,
		       op->row.owner.organization_id, op->tokens.account_host);
}

void facts_issuer(struct db_conn *c, struct op *op, const char *issuer)
{
	if (issuer != NULL)
		db_run(c, "UPDATE connect_session SET issuer = ?3 WHERE id = ?1 AND organization_id = ?2 AND operation_id = ?4", "ssss",
		       op->row.session_id, op->row.owner.organization_id, issuer, op->id);
}
