/*
 * Organizations: the tenants.  Made with everything they need to begin: a data key, an app, a live and a test
 * key, in one transaction.
 */
#ifndef MPS_MODEL_ORGANIZATION_H
#define MPS_MODEL_ORGANIZATION_H

#include "core/model/apikey.h"

struct organization_new {
	const char *name;			/* 1 to 100 characters */
	char id[ID_MAX], app_id[ID_MAX];	/* results */
	char live_key[VAULT_API_KEY_MAX], test_key[VAULT_API_KEY_MAX];	/* shown once; the caller wipes them */
};

/* Inside a closure. */
enum rc organization_create(struct cx *cx, struct db_conn *c, struct vault *v, struct organization_new *o, int64_t now);

/* The operator's view: every organization's id, app id and name. */
struct stmt *organization_list(struct db_conn *c);

/* RC_NOT_FOUND if there is no such app.  Only for the operator, who may name any app. */
enum rc organization_of_app(struct cx *cx, struct db_conn *c, const char *app_id, char ret_id[ID_MAX]);

#endif
