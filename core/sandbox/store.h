/*
 * The sandbox's store: its tables, its accounts and the ledger.
 */
#ifndef MPS_SANDBOX_STORE_H
#define MPS_SANDBOX_STORE_H

#include <stdint.h>

#include "core/base/id.h"
#include "core/io/db.h"

enum rc sandbox_store_open(struct cx *cx, const char *folder, struct db **ret);

#define ACCOUNT_NAME_MAX 63
#define ACCOUNT_UNSET (-1)
struct account_change {		/* NULL and ACCOUNT_UNSET leave what is there, or the default of a new account */
	const char *name;
	const char *type;	/* keyed | handle | search | none */
	const char *refresh;	/* rotating | fixed | none: what a token answer does with refresh tokens */
	int64_t expires_in, window_s, search_lag_ms, processing_ms;
};

bool sandbox_account_name_ok(const char *name);
bool sandbox_account_type_ok(const char *type);
bool sandbox_account_refresh_ok(const char *refresh);

/* Inside a closure: makes or changes the account, gives its id. */
enum rc sandbox_account_put(struct cx *cx, struct db_conn *c, const struct account_change *change, char ret_id[ID_MAX]);

struct ledger_entry {
	int64_t at;
	const char *post, *account, *page, *text, *media, *key, *container, *family, *address;
};
void sandbox_ledger_add(struct db_conn *c, const struct ledger_entry *e);	/* inside a closure, after the post's row; errors stick to c */

/* Inside a closure: a post or container answers to a post; NULL: to none. */
void sandbox_reply_add(struct db_conn *c, const char *id, const char *parent);

/* Inside a closure: forgets everything; the ledger's rows stay and are hidden behind a mark. */
enum rc sandbox_store_reset(struct cx *cx, struct db_conn *c);

#endif
