/*
 * The handlers of the sandbox's routes: see the table in sandbox.c.
 */
#ifndef MPS_SANDBOX_HANDLERS_H
#define MPS_SANDBOX_HANDLERS_H

#include "core/sandbox/call.h"

typedef void call_fn(struct call *c);

/* oauth.c */
call_fn sandbox_oauth_authorize, sandbox_oauth_consent, sandbox_oauth_token, sandbox_oauth_revoke;
/* account.c */
call_fn sandbox_account_me, sandbox_account_pages, sandbox_account_avatar;
/* posts.c */
call_fn sandbox_posts_create, sandbox_posts_list, sandbox_posts_get, sandbox_posts_delete, sandbox_posts_page;
/* edit.c */
call_fn sandbox_posts_edit;
/* media.c */
call_fn sandbox_media_create, sandbox_media_get, sandbox_control_media;
/* containers.c */
call_fn sandbox_containers_create, sandbox_containers_get, sandbox_containers_publish;
/* instance.c */
call_fn sandbox_instance_apps, sandbox_instance_read, sandbox_control_instance;
/* control.c */
call_fn sandbox_control_ledger, sandbox_control_stats, sandbox_control_accounts, sandbox_control_account,
	sandbox_control_client, sandbox_control_expire, sandbox_control_withdraw, sandbox_control_fail,
	sandbox_control_inbox, sandbox_control_reset;

/* Shared by posts.c and containers.c: reads {text, media_ids, page_id, marker} of a body and checks them against
 * the caller, or answers. */
struct draft;
bool sandbox_draft_read(struct call *c, struct draft *ret);
bool sandbox_draft_of(struct call *c, struct jv body, struct draft *ret);	/* the same of a body that was read */

/* account.c: true if the caller may act for this page ("" is the account itself). */
bool sandbox_page_ok(const struct caller *who, const char *page);

/* sandbox.c: routes by index, for the statistics. */
const char *sandbox_route_name(int index);	/* "POST /v1/posts"; NULL past the end */

#endif
