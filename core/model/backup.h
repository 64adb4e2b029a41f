/*
 * Backups.  A folder that is whole, or is no backup:
 *
 *   manifest.json   what it is, of when, for which schema and master key; digests of the next three; no secrets; and a
 *                   mac of all that under the master key
 *   store           the store without its data keys
 *   keys            the wrapped data keys: they leave earlier than the rest.  Once a data key is destroyed, and the
 *                   `keys` that hold it, nobody can read its owner's secrets in any store
 *   media.list      the names and digests of media/
 *   media/NAME      files of media items
 *
 * All but the manifest are sealed files (io/sealfile.h).  A backup is written as FOLDER.part and renamed at the end.
 */
#ifndef MPS_MODEL_BACKUP_H
#define MPS_MODEL_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/id.h"
#include "core/io/conf.h"
#include "core/io/db.h"
#include "core/io/sealfile.h"
#include "core/io/vault.h"

struct backup_manifest {
	char id[ID_MAX], master[VAULT_KEY_ID_MAX];
	int64_t schema, begun_at, taken_at;	/* taken_at: what was committed before begun_at is in it, nothing after taken_at */
	int64_t store_bytes, key_count, media_count, media_bytes, media_missing;	/* plain */
	struct sealfile_facts store, keys, list;
};

/* Called now and then, on the caller's thread, with the part that is done, in thousandths; false ends the backup. */
typedef bool backup_fn(void *arg, int thousandths);

struct backup_job {
	struct db *db;
	struct vault *vault;
	const char *data_folder;
	const char *folder;		/* a whole path; must not be there */
	backup_fn *told;		/* or NULL */
	void *arg;
};
enum rc backup_make(struct cx *cx, const struct backup_job *job, struct backup_manifest *ret);

struct backup_restored {
	struct backup_manifest from;
	int64_t unconfirmed, blocked, sessions, operations;	/* what was open, and is held back now: see restore_hold.c */
	int64_t keys, keys_missing, tombstones;
	bool later_keys;		/* from another backup than the store */
};
struct backup_source {
	const char *folder;
	const char *keys;		/* another backup, whose data keys are taken; NULL: its own */
	const char *tombstones;		/* a file; NULL: none */
};
/* Into conf's data folder, which must have no store. */
enum rc backup_restore(struct cx *cx, const struct conf *conf, const struct backup_source *from, struct backup_restored *ret);

/* RC_CONFLICT if a restore was begun and did not end and there is no store: no empty one may take the place of the one
 * that is wanted. */
enum rc backup_unfinished(struct cx *cx, const char *data_folder);
/* What a killed backup or restore left beside the store goes.  With the store's lock held. */
void backup_tidy(const char *data_folder);

/* Deliveries that a restore holds back, whose time had not come at the backup, go on; at most 200 a call. */
enum rc backup_release(struct cx *cx, struct db_conn *c, const char *organization_id, int64_t now, int64_t *ret);

#endif
