/*
 * The virtual platform: accounts, tokens, posts, containers, and its bad days.  What it holds is the truth that
 * every claim of the engine is measured by.
 */
#ifndef MPS_TESTS_SIM_PLATFORM_H
#define MPS_TESTS_SIM_PLATFORM_H

#include "core/base/buf.h"
#include "tests/sim/sim.h"

/* What can happen to a request that arrived. */
enum fault {
	FAULT_REJECT, FAULT_LIMIT, FAULT_AUTH, FAULT_REVOKE, FAULT_500, FAULT_500_AFTER, FAULT_LIE, FAULT_NO_ID, FAULT_LOST,
	FAULT_LOST_AFTER, FAULT_LATE, FAULT_LATE_500, FAULT_ASYNC, FAULT_INBOX, FAULT_STALE, FAULTS
};

struct request_in {
	const char *method, *path, *token, *key;
	const char *body;
	int64_t left_at;
};

struct answer_out {
	bool lost;		/* no answer is seen */
	long status;
	int64_t retry_after;
	struct buf body;	/* initialised by the caller */
};

void platform_reset(void);
void platform_request(const struct request_in *in, struct answer_out *out);
int64_t platform_next(void);
void platform_turn(void);			/* what commits late, or is decided by a person there */

const char *platform_token(int account);	/* "access refresh" of a new pair; the first one of the account */
int platform_live(int delivery);		/* posts that are there now */
const char *platform_post_id(int delivery);	/* NULL: none */
const char *platform_post_text(int delivery);
bool platform_pending(int delivery);		/* something may still become live */
bool platform_may_be_dead(int account);		/* losing the account's grant is nobody's fault of ours */
void platform_sent_refresh(int account);
int platform_account_of(const char *token);	/* -1 */

#endif
