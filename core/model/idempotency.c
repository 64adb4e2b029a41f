/*
 * The idempotency table.
 *
 * There is no lock and no "in progress": the one writer runs equal requests one after the other, so the second
 * finds the first one's row or the first one failed and left none.
 */
#include "core/model/idempotency.h"

bool idempotency_find(struct db_conn *c, const struct owner *o, const char *key, int64_t now, struct arena *a, struct idempotency *ret)
{
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT fingerprint, status, answer, request_id FROM idempotency "
		"WHERE organization_id = ?1 AND app_id = ?2 AND live = ?3 AND key = ?4 AND created_at > ?5", "ssisi",
		o->organization_id, o->app_id, o->live, key, (int64_t)(now - IDEMPOTENCY_KEPT_MS));

	if (!db_next(s))
		return false;
	ret->key = key;
	ret->fingerprint = db_dup(s, 0, a);
	ret->status = (int)db_int(s, 1);
	ret->answer = db_dup(s, 2, a);
	ret->request_id = db_dup(s, 3, a);
	return true;
}

void idempotency_add(struct db_conn *c, const struct owner *o, const struct idempotency *kept, int64_t now)
{
	db_run(c, "DELETE FROM idempotency WHERE (organization_id, app_id, live, key) IN "
		"(SELECT organization_id, app_id, live, key FROM idempotency WHERE created_at <= ?1 ORDER BY created_at LIMIT 10)", "i",
		(int64_t)(now - IDEMPOTENCY_KEPT_MS));
	db_run(c, "DELETE FROM idempotency WHERE organization_id = ?1 AND app_id = ?2 AND live = ?3 AND key = ?4", "ssis",
		o->organization_id, o->app_id, o->live, kept->key);
	db_run(c, "INSERT INTO idempotency (organization_id, app_id, live, key, fingerprint, status, answer, request_id, created_at) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)", "ssississi",
		o->organization_id, o->app_id, o->live, kept->key, kept->fingerprint, (int64_t)kept->status, kept->answer,
		kept->request_id, now);
}
