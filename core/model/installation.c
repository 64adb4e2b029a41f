/* The installation's data key: see installation.h. */
#include "core/model/installation.h"

#include "core/base/log.h"
#include "core/model/data_key.h"

struct opening { struct vault *vault; bool made; };

/* Makes the key in a store that never had one.  A store with organizations had one: without it no API key of
 * theirs would be known, so a new one would only hide the loss. */
static enum rc make(struct cx *cx, struct db_conn *c, void *arg)
{
	struct opening *o = arg;

	o->made = false;
	if (db_number(c, 0, "SELECT COUNT(*) FROM data_key WHERE organization_id IS NULL AND end_user_id IS NULL", "") > 0)
		return RC_OK;
	if (db_number(c, 0, "SELECT COUNT(*) FROM organization", "") > 0)
		return fail(cx, RC_CORRUPT, "the installation's data key is gone although the store has organizations: "
			    "restore it from the backup of the data keys");
	if (db_rc(c) != RC_OK)
		return db_fail(cx, c);
	o->made = true;
	return data_key_create(cx, c, o->vault, NULL, NULL);
}

enum rc installation_open(struct cx *cx, struct db *db, struct vault *v)
{
	struct opening o = {.vault = v};
	DATA_KEY_AUTO struct data_key k = {.key = NULL};

	enum rc rc = db_write(cx, db, make, &o);
	if (rc != RC_OK)
		return rc;
	if (o.made)
		log_info("vault", "a new installation: its data key was made under master key %s", vault_master_id(v));
	DB_READ_AUTO struct db_conn *c = db_take(db);
	rc = data_key_open(cx, c, v, NULL, NULL, &k);
	if (rc == RC_OK)
		vault_mac_key(v, k.key);
	return rc;
}
