/* The installation's data key: see installation.h. */
#include "core/model/installation.h"

#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/io/migrate.h"
#include "core/model/backup.h"
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

/* Once, before any thread that may call vault_mac. */
static enum rc key_open(struct cx *cx, struct db *db, struct vault *v)
{
	struct opening o = {.vault = v};
	DATA_KEY_AUTO struct data_key k = {.key = NULL};

	enum rc rc = db_rescue(db) ? RC_OK : db_write(cx, db, make, &o);
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

enum rc installation_owner(struct cx *cx, const struct conf *conf)
{
	struct stat st;
	if (stat(conf->data_folder, &st) == 0 && st.st_uid != geteuid())
		return fail(cx, RC_DENIED, "the data folder %s belongs to uid %u: run this as that user", conf->data_folder,
			    (unsigned)st.st_uid);
	return RC_OK;
}

enum rc installation_open_store(struct cx *cx, const struct conf *conf, struct installation *ret, int *ret_applied)
{
	struct db_config config = {.folder = conf->data_folder};

	enum rc rc = installation_owner(cx, conf);
	if (rc == RC_OK)
		rc = backup_unfinished(cx, conf->data_folder);
	if (rc == RC_OK)
		rc = db_open(cx, &config, &ret->db);
	if (rc == RC_OK)
		backup_tidy(conf->data_folder);
	if (rc == RC_OK)
		rc = migrate_run(cx, ret->db, ret_applied);
	return rc;
}

/* The store's lock comes first, so only one process makes a master key or a data key. */
enum rc installation_open(struct cx *cx, const struct conf *conf, struct installation *ret)
{
	int applied = 0;
	enum rc rc = installation_open_store(cx, conf, ret, &applied);

	if (rc == RC_OK && applied > 0)
		log_info("store", "%d migrations applied", applied);
	if (rc == RC_OK)
		rc = vault_open(cx, conf->key_file, conf->create_key, &ret->vault);
	return rc == RC_OK ? key_open(cx, ret->db, ret->vault) : rc;
}

void installation_close(struct installation *i)
{
	db_close(i->db);
	vault_close(i->vault);
	*i = (struct installation){NULL, NULL};
}
