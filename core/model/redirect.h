/*
 * Redirect URLs: where a connect session may send the browser at its end.  A session's URL must be on its app's
 * list, byte for byte; what may be on the list is decided when it is added.
 */
#ifndef MPS_MODEL_REDIRECT_H
#define MPS_MODEL_REDIRECT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/id.h"
#include "core/io/db.h"

#define REDIRECT_MAX 2048

/* https with a host, http on this machine, or a scheme of an app.  NULL if it may be listed, else why not. */
const char *redirect_fault(const char *url);

bool redirect_allowed(struct db_conn *c, const char *organization_id, const char *app_id, const char *url);

/* Adds it, or finds the row that has it already. */
enum rc redirect_add(struct cx *cx, struct db_conn *c, const char *organization_id, const char *app_id, const char *url, int64_t now,
		     char ret_id[ID_MAX], bool *ret_created);
bool redirect_remove(struct db_conn *c, const char *organization_id, const char *app_id, const char *id);
/* id, url, created_at */
struct stmt *redirect_list(struct db_conn *c, const char *organization_id, const char *app_id, const char *after, int limit);
struct stmt *redirect_find(struct db_conn *c, const char *organization_id, const char *app_id, const char *id);

#endif
