/* Organizations: see organization.h. */
#include "core/model/organization.h"

#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "core/model/data_key.h"

#define NAME_MAX_POINTS 100

static enum rc key_add(struct cx *cx, struct db_conn *c, struct vault *v, const struct organization_new *o, bool live,
		       char text[VAULT_API_KEY_MAX], int64_t now)
{
	struct apikey_new k = {
		.organization_id = o->id, .app_id = o->app_id, .name = live ? "first live key" : "first test key",
		.scopes = "all", .live = live,
	};
	enum rc rc = apikey_create(cx, c, v, &k, now);

	memcpy(text, k.text, VAULT_API_KEY_MAX);
	explicit_bzero(k.text, sizeof k.text);
	return rc;
}

enum rc organization_create(struct cx *cx, struct db_conn *c, struct vault *v, struct organization_new *o, int64_t now)
{
	size_t n = strlen(o->name);

	if (!text_utf8(o->name, n) || !text_printable(o->name) || strspn(o->name, " \t\r\n") == n
	    || strpbrk(o->name, "\t\r\n") || text_points(o->name) > NAME_MAX_POINTS)
		return fail_code(cx, RC_INVALID, "field_invalid", "name", "an organization's name has 1 to %d printable characters",
				 NAME_MAX_POINTS);
	id_new(o->id, "org");
	id_new(o->app_id, "app");
	db_run(c, "INSERT INTO organization (id, name, created_at) VALUES (?1, ?2, ?3)", "ssi", o->id, o->name, now);
	enum rc rc = data_key_create(cx, c, v, o->id, NULL);
	if (rc != RC_OK)
		return rc;
	db_run(c, "INSERT INTO app (id, organization_id, name, created_at) VALUES (?1, ?2, ?3, ?4)", "sssi", o->app_id, o->id, o->name, now);
	rc = key_add(cx, c, v, o, true, o->live_key, now);
	return rc == RC_OK ? key_add(cx, c, v, o, false, o->test_key, now) : rc;
}

struct stmt *organization_list(struct db_conn *c)
{
	return db_query(c, "SELECT o.id, a.id, o.name FROM organization o LEFT JOIN app a ON a.organization_id = o.id ORDER BY o.id, a.id", "");
}

enum rc organization_of_app(struct cx *cx, struct db_conn *c, const char *app_id, char ret_id[ID_MAX])
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT organization_id FROM app WHERE id = ?1", "s", app_id);

	if (!db_next(s))
		return db_rc(c) != RC_OK ? db_fail(cx, c) : fail(cx, RC_NOT_FOUND, "no app %.64s", app_id);
	snprintf(ret_id, ID_MAX, "%s", db_text_or(s, 0, ""));
	return RC_OK;
}
