/*
 * The pages people see: consent, a post, and a plain refusal.  No script.
 */
#ifndef MPS_SANDBOX_PAGE_H
#define MPS_SANDBOX_PAGE_H

#include "core/sandbox/call.h"

struct consent {
	const char *response_type, *client_id, *redirect_uri, *scope, *state, *challenge, *method;
};

void sandbox_page_consent(struct call *c, const struct consent *asked, const char *fault);	/* fault: words beside the account, or NULL */
void sandbox_page_post(struct call *c, const char *account, const char *text, int64_t at);
void sandbox_page_error(struct call *c, int status, const char *title, const char *words);
void sandbox_page_asset(struct call *c);	/* /assets/{id}: the product's own style sheets and icons */

#endif
