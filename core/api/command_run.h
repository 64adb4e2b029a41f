/*
 * What the commands of the operator share: a command that is being run, and how it answers.  command.c has the table and
 * the grammar, with what is done to the store; command_server.c what concerns the vault, the providers and backups.
 */
#ifndef MPS_API_COMMAND_RUN_H
#define MPS_API_COMMAND_RUN_H

#include "core/api/command.h"

#define OPTIONS_MAX 6

struct run {
	const struct command_env *env;
	struct cx cx;
	const char *word;		/* the one free argument, or NULL */
	const char *option[OPTIONS_MAX];/* by the index of its name in the row; "" for a flag that stands there */
	bool json;
	struct buf *out;
};

struct pair { const char *name, *value; };

/* Lines of "name value", or one JSON object; up to a pair without a name. */
void command_pairs(struct run *r, const struct pair *pairs);

enum rc command_vault_rewrap(struct run *r);
enum rc command_providers(struct run *r);
enum rc command_reload(struct run *r);
enum rc command_backup(struct run *r);
enum rc command_release(struct run *r);

#endif
