/*
 * register: an app of ours at an instance, made once per app of a customer and instance.  Its end stores the client,
 * ties the session's grant to it and starts authorize under the same session; the browser, which waits for the
 * session's operation, goes on to the instance then.
 */
#include "core/engine/op.h"

#include <string.h>

#include "core/base/text.h"
#include "core/model/instance.h"

#define FACTS_MAX 65536
#define FACT "instance."
#define YOUNG_MS (10 * 60 * 1000)

static bool has(const struct op *op, const char *key)
{
	size_t n = 0;

	return bag_find(&op->secrets, key, &n) != NULL && n > 0;
}

bool register_complete(struct op *op)
{
	op->secret_touched = false;	/* handles of its answers are of no use any more */
	op->row.secrets = NULL;
	op->row.secrets_len = 0;
	return has(op, "client.id") && op->platform->host_field != NULL;
}

/* Results instance.NAME as an object of names and values. */
static const char *facts_of(struct op *op)
{
	BUF_AUTO struct buf text = {0};
	struct jsonw w;

	if (op->row.result == NULL)
		return NULL;
	buf_init(&text, FACTS_MAX);
	jsonw_init(&w, &text);
	jsonw_object(&w, "");
	op_results_write(op, FACT, false, &w);
	jsonw_object_end(&w);
	jsonw_end(&w);
	return buf_ok(&text) ? arena_text(&op->arena, buf_text(&text)) : NULL;
}

static const char *input(struct op *op, const char *key)
{
	return bag_get(&op->inputs, key, &op->arena);
}

/* A session that was withdrawn or begun anew meanwhile does not go on; its app is of use to the next. */
static bool awaited(struct db_conn *c, const struct op *op)
{
	return db_number(c, 0, "SELECT COUNT(*) FROM connect_session WHERE id = ?1 AND organization_id = ?2 AND operation_id = ?3"
			 " AND status = 'authorizing'", "sss", op->row.session_id, op->row.owner.organization_id, op->id) == 1;
}

static void forget_input(struct db_conn *c, const struct op *op)
{
	db_run(c, "UPDATE operation SET input = NULL WHERE id = ?1 AND organization_id = ?2", "ss", op->id, op->row.owner.organization_id);
}

enum rc register_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	struct instance i = {
		.owner = op->row.owner, .platform = op->row.platform, .redirect_uri = input(op, "oauth.redirect_uri"),
		.scope = op->grant.asked, .account_host = op->tokens.account_host, .facts = facts_of(op),
		.host = input(op, arena_printf(&op->arena, "field.%s", op->platform->host_field)),
	};
	enum rc rc;

	if (i.host == NULL || i.redirect_uri == NULL)
		return fail(cx, RC_BUG, "operation %s has no instance", op->id);
	rc = instance_store(cx, c, op->e->vault, &i, &op->secrets, &op->arena, now);
	if (rc != RC_OK)
		return rc;
	db_run(c, "UPDATE auth_grant SET instance_client_id = ?3, account_host = ?4, updated_at = ?5 WHERE id = ?1 AND organization_id = ?2"
	       " AND status = 'new'", "ssssi", op->grant.id, op->row.owner.organization_id, i.id, i.account_host, now);
	if (awaited(c, op))
		connect_chain(c, op, "authorize", now);
	forget_input(c, op);		/* it goes on with authorize */
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

/* Nobody has been sent to the instance yet, so the session can go on by a new app; but not if the instance forgets
 * what it was told a moment ago. */
bool register_again(struct db_conn *c, struct op *op, int64_t now)
{
	struct instance i;

	if (!text_eq(op->row.kind, "authorize") || !awaited(c, op) ||
	    !instance_load(c, op->grant.instance_id, op->row.owner.organization_id, &op->arena, &i) || now - i.created_at < YOUNG_MS)
		return false;
	instance_forget(c, i.id, op->row.owner.organization_id, op->grant.id, now);
	db_run(c, "UPDATE auth_grant SET instance_client_id = NULL, account_host = NULL, updated_at = ?3 WHERE id = ?1 AND organization_id = ?2",
	       "ssi", op->grant.id, op->row.owner.organization_id, now);
	connect_chain(c, op, "register", now);
	forget_input(c, op);
	return true;
}
