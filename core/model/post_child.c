/*
 * Children of deliveries: see post_child.h.
 *
 * The one thing to know: a child's lateness counts from the moment its parent was published, because until then
 * nobody could have sent it.
 */
#include "core/model/post_child.h"

#include <stdio.h>

#include "core/base/text.h"

/* ---- making ---------------------------------------------------------------------------------------- */

struct making {
	struct db_conn *c;
	const struct post_new *p;
	const struct post_target *t;
	const char *root_id;
	int64_t version, now;		/* the root's content version: those that have another one are gone */
};

static void insert(const struct making *m, const struct post_child *k, int ordinal, const char *parent_id, char id[ID_MAX])
{
	const struct owner *o = &m->p->owner;

	id_new(id, "dlv");
	db_run(m->c, "INSERT INTO delivery (id, organization_id, app_id, live, post_id, parent_delivery_id, ordinal, kind, connection_id,"
	       " platform, provider, target_id, text, content, content_hash, content_version, state, on_missed, created_at, updated_at)"
	       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, '', ?15, 'pending', ?16, ?17, ?17)",
	       "sssississsssssisi", id, o->organization_id, o->app_id, o->live, m->p->id, parent_id, (int64_t)ordinal, k->kind,
	       m->t->connection_id, m->t->platform, m->t->provider, m->t->target_id, k->text, k->content, m->version, m->p->on_missed, m->now);
}

/* False: there is none of this kind below the parent yet. */
static bool update(const struct making *m, const struct post_child *k, int ordinal, const char *parent_id, char id[ID_MAX])
{
	STMT_AUTO struct stmt *s = db_query(m->c,
		"UPDATE delivery SET text = ?4, content = ?5, ordinal = ?6, target_id = ?7, on_missed = ?8, content_version = ?9, claim = claim + 1,"
		" version = version + 1, updated_at = ?10 WHERE parent_delivery_id = ?1 AND kind = ?2 AND organization_id = ?3"
		" AND state = 'pending' RETURNING id", "sssssissii", parent_id, k->kind, m->p->owner.organization_id, k->text, k->content,
		(int64_t)ordinal, m->t->target_id, m->p->on_missed, m->version, m->now);

	if (!db_next(s))
		return false;
	snprintf(id, ID_MAX, "%s", db_text_or(s, 0, ""));
	return true;
}

static void make_all(const struct making *m, bool edit)
{
	char id[ID_MAX], before[ID_MAX];

	snprintf(before, sizeof before, "%s", m->root_id);
	for (int i = 0; i < m->t->child_count; i++) {
		const struct post_child *k = &m->t->children[i];
		bool thread = text_eq(k->kind, "thread");
		const char *parent_id = thread ? before : m->root_id;

		if (!edit || !update(m, k, i + 1, parent_id, id))
			insert(m, k, i + 1, parent_id, id);
		if (thread)
			snprintf(before, sizeof before, "%s", id);
	}
}

void post_child_insert(struct db_conn *c, const struct post_new *p, const struct post_target *t, const char *root_id, int64_t now)
{
	make_all(&(struct making){c, p, t, root_id, 1, now}, false);
}

#define BELOW "WITH RECURSIVE below (id) AS (SELECT id FROM delivery WHERE parent_delivery_id = ?1 AND organization_id = ?2" \
	" UNION ALL SELECT d.id FROM delivery d JOIN below b ON d.parent_delivery_id = b.id WHERE d.organization_id = ?2)"

void post_child_edit(struct db_conn *c, const struct post_new *p, const struct post_target *t, const char *root_id, int64_t now)
{
	int64_t version = db_number(c, 0, "SELECT content_version FROM delivery WHERE id = ?1 AND organization_id = ?2", "ss", root_id,
				    p->owner.organization_id);

	make_all(&(struct making){c, p, t, root_id, version, now}, true);
	db_run(c, BELOW " DELETE FROM delivery WHERE id IN (SELECT id FROM below) AND state = 'pending' AND content_version <> ?3", "ssi", root_id,
	       p->owner.organization_id, version);
}

/* ---- with their parent ----------------------------------------------------------------------------- */

static bool has_pending(struct db_conn *c, const char *parent_id, const char *organization_id)
{
	return db_number(c, 0, "SELECT 1 FROM delivery WHERE parent_delivery_id = ?1 AND organization_id = ?2 AND state = 'pending' LIMIT 1", "ss",
			 parent_id, organization_id) > 0;
}

/* Nearly no delivery has children: one look tells. */
void post_child_queue(struct db_conn *c, const char *parent_id, const char *organization_id, int64_t now)
{
	if (!has_pending(c, parent_id, organization_id))
		return;
	db_run(c, "UPDATE delivery SET state = 'queued', reason = NULL, due_at = ?3,"
	       " late_after = ?3 + (SELECT max_late_ms FROM post WHERE id = delivery.post_id), version = version + 1, updated_at = ?3"
	       " WHERE parent_delivery_id = ?1 AND organization_id = ?2 AND state = 'pending'"
	       " AND EXISTS (SELECT 1 FROM delivery p WHERE p.id = ?1 AND p.remote_id IS NOT NULL)", "ssi", parent_id, organization_id, now);
	if (has_pending(c, parent_id, organization_id))
		post_child_skip(c, parent_id, organization_id, now);
}

void post_child_skip(struct db_conn *c, const char *parent_id, const char *organization_id, int64_t now)
{
	db_run(c, BELOW " UPDATE delivery SET state = 'skipped', reason = 'parent', due_at = NULL, version = version + 1, updated_at = ?3"
	       " WHERE id IN (SELECT id FROM below) AND state = 'pending'", "ssi", parent_id, organization_id, now);
}

void post_child_restore(struct db_conn *c, const char *parent_id, const char *organization_id, int64_t now)
{
	db_run(c, BELOW " UPDATE delivery SET state = 'pending', reason = NULL, version = version + 1, updated_at = ?3"
	       " WHERE id IN (SELECT id FROM below) AND state = 'skipped' AND reason = 'parent'", "ssi", parent_id, organization_id, now);
}
