/*
 * The backup of a running server: one at a time, on a thread of its own, asked for and asked about over the
 * control socket.
 */
#ifndef MPS_ENGINE_BACKUPJOB_H
#define MPS_ENGINE_BACKUPJOB_H

#include "core/model/backup.h"

struct backupjob;

/* data_folder must live as long. */
struct backupjob *backupjob_open(struct db *db, struct vault *vault, const char *data_folder);
void backupjob_close(struct backupjob *j);	/* ends a running backup, which leaves nothing; NULL is nothing */

/* RC_CONFLICT while another runs. */
enum rc backupjob_start(struct cx *cx, struct backupjob *j, const char *folder);

struct backupjob_state {
	const char *state;		/* none | running | done | failed: of the last one */
	char folder[4096], words[768];	/* words: why it failed */
	int thousandths;
	int64_t begun_at, ended_at;
	struct backup_manifest made;	/* when done */
};
void backupjob_state(struct backupjob *j, struct backupjob_state *ret);

void backupjob_metrics(struct backupjob *j, struct buf *out);	/* NULL writes nothing */

#endif
