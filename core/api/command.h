/*
 * The operator's commands that need the store or the running server: one table, used by the control socket
 * and by the program itself when no server runs.
 */
#ifndef MPS_API_COMMAND_H
#define MPS_API_COMMAND_H

#include "core/base/buf.h"
#include "core/io/db.h"
#include "core/io/vault.h"

struct backupjob;
struct command_env {
	struct db *db;
	struct vault *vault;
	const char *data_folder;
	struct backupjob *backup;	/* of the running server; NULL: a backup is made before the command returns */
	/* Of the running server; NULL when the command runs in a process of its own. */
	void *server;
	enum rc (*reload)(struct cx *cx, void *server, const char *provider_id, struct buf *out);	/* NULL: all */
	void (*providers)(void *server, struct buf *out_json);
	void (*wake)(void *server);
};

/* argv[0] is the command's first word.  Exit status: 0 done, 1 refused or failed (words in err), 2 not
 * understood (usage in err). */
int command_run(const struct command_env *env, int argc, char **argv, struct buf *out, struct buf *err);

/* Whether a first word belongs to the table, and whether such a command is possible without a server. */
int command_known(const char *word);
int command_needs_server(const char *word);
void command_usage(struct buf *out, const char *word);	/* one line per command; NULL: of all */

#endif
