/*
 * Inside the engine: an operation in memory, and what the files of this floor share.  Not for other floors.
 *
 * Life of an op: loaded from rows (load.c) -> stepped (step.c) -> its change is committed with those of the
 * same turn (commit.c) -> its request is sent (send.c) -> the answer is stepped -> ... -> an outcome
 * (outcome.c) is committed and the op is freed.  An op is in exactly one place at a time: `at` says where.
 */
#ifndef MPS_ENGINE_OP_H
#define MPS_ENGINE_OP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/json.h"
#include "core/engine/dpop.h"
#include "core/engine/engine.h"
#include "core/engine/limit.h"
#include "core/io/http.h"
#include "core/model/bag.h"
#include "core/model/delivery.h"
#include "core/model/grant.h"
#include "core/model/operation.h"

enum op_at { OP_STEPPING, OP_COMMITTING, OP_SENDING, OP_WAITING, OP_REFRESHING };
enum repeat { REPEAT_SAFE, REPEAT_KEYED, REPEAT_ONCE };
struct op;
enum after { AFTER_END, AFTER_SEND, AFTER_WAIT, AFTER_REFRESH, AFTER_BEGIN };	/* what follows a commit */

/* What an action said, parsed from its records (step.c). */
struct action {
	const char *verb, *phase, *class, *reason, *message, *platform_code;
	int64_t seconds, retry_after;
	enum repeat repeat;
};

/* What the next commit does with an op. */
struct change {
	enum after after;
	bool claim;			/* delivery: take the row first */
	bool move;			/* delivery: `to` is to be written */
	struct delivery_move to;
	bool save;			/* write the operation row (status says how it stands) */
	bool reset;			/* proven absent or a new round: start anew with a new key */
	bool tokens;			/* exchange, refresh: store new tokens before anything uses them */
	bool dead_grant, revoked;	/* the grant is over */
	bool client_gone;		/* the instance has forgotten our app */
	bool denied;			/* first 401 where nothing can be refreshed: remembered */
	const char *reason;
	enum rc (*effect)(struct cx *cx, struct db_conn *c, struct op *op, int64_t now);	/* of a kind that ended: connect, refresh */
	bool fenced_off;		/* result: somebody else was there; set anew by each run */
};

struct op {
	struct op *prev, *next;		/* in the engine's list */
	struct engine *e;
	uint64_t number;
	enum op_at at;
	struct arena arena;
	struct cx cx;
	/* who */
	struct operation row;		/* as loaded or new; row.id is set */
	char id[ID_MAX];
	bool publish;
	struct delivery d;		/* of a publish; of an edit, with the new content in place of the published one */
	struct grant grant;
	bool has_grant;
	const char *account_type, *account_host, *target;
	const char *auth_host;			/* of the authorization server, where it is another */
	int64_t limits_failures;		/* of the connection, as it was read */
	int64_t connection_version;		/* as it was read */
	bool unreadable;			/* the grant's sealed tokens do not open: changed, or of another place */
	const char *blocked;			/* why the connection cannot be used now, or NULL */
	const struct platform *platform;
	/* fence: what the next commit expects to find */
	bool claimed;
	enum delivery_state state;
	int64_t claim;
	/* machine */
	const char *phase, *event;
	struct buf inputs, saved, secrets;	/* bags; secrets are in clear and wiped */
	bool looking;				/* reconciling: SAFE requests only */
	bool accepted;				/* an irreversible request was answered: nothing may be sent anew */
	bool auth_tried;			/* one refresh per run */
	int steps, polls, resends;
	bool again;				/* a timer that repeats the request instead of a step */
	bool look_again;			/* of an edit: a timer that looks once more */
	bool unsure;				/* of an edit: a SAFE request that writes was sent, and nobody knows its effect */
	int64_t wake_at;			/* OP_WAITING, by clock_mono */
	int64_t intent_boot;			/* clock_boot when the intent was made */
	/* request and answer */
	struct buf action;			/* records of the last action that has a request */
	struct buf made;			/* signatures for the request under way, by handle; wiped when it is built */
	const char *made_fault;			/* why one of them could not be made */
	const char *dpop_url;			/* the request under way carries a proof for this URL; NULL: none */
	bool dpop_again;			/* it is the repetition that the server's nonce asked for */
	struct buf intent;			/* records of the irreversible request under way */
	enum repeat repeat;			/* of the request under way */
	int64_t sent_at;
	long status;
	bool answered;
	struct buf headers, body;
	int64_t retry_after_ms;
	struct attempt *attempts, **attempts_tail;
	int attempt_count;
	const char **media_files;		/* paths, by index */
	int media_count;
	int open_files[32], open_count;		/* of the request under way */
	const char *endpoint, *method;		/* of the request under way, for the attempt row */
	struct grant_tokens tokens;
	bool have_tokens;
	const char *token_fault;		/* why the tokens of an answer were not taken */
	struct buf result, warnings;		/* JSON under construction: object members, list items */
	struct jv results;			/* row.result parsed, of the text results_of */
	const char *results_of;
	const char *remote_id, *remote_url;
	bool early_id;				/* the provider gave an id before anything could have been published */
	struct change change;
	bool secret_touched;
};

struct org_due { char id[ID_MAX]; int64_t due_at; uint64_t claimed; };

struct engine {
	struct engine_config config;
	struct db *db;
	struct vault *vault;
	struct hosts *hosts;
	struct http *http;
	struct limit *limit;
	struct dpop_nonces *nonces;
	int64_t epoch, checked_boot;
	int64_t lead, steady_since;		/* of the wall over boot time; since when, by clock_boot, it has not been set */
	int64_t set_back;			/* by so much, and the waits in the store do not know it yet */
	struct set_back { atomic_bool out; int64_t ms; } back;	/* the writer's while out */
	pthread_t thread;
	bool running, stopping, usurped;	/* usurped: the store is another's; nothing may be sent any more */
	/* ops */
	struct op ops;				/* list head */
	int active, admitted;
	uint64_t next_number;
	/* one commit out at a time; what this turn learned waits in `batch` */
	struct op **batch, **out;
	int batch_count, out_count, batch_size;
	bool out_running;
	bool solo;				/* one op per commit, to find the one that fails */
	bool uncertain;				/* the last try ended in an I/O error: it may have been committed */
	int64_t out_at;				/* when this batch was first tried */
	int64_t commit_retry_at;
	/* claiming */
	int64_t wake_next;			/* no op that waits wakes sooner, by clock_mono */
	int64_t scan_at;			/* next time to look for due rows; 0: now */
	int64_t scanned_at;			/* when it was last done, by clock_mono */
	int64_t clean_at;
	int64_t limits_at;			/* limits are looked for no sooner, by clock_mono */
	struct later *later;			/* those that were put off; the writer's while later_out */
	atomic_bool later_out;
	struct org_due *orgs;			/* sorted by id; claimed: number of the last claim */
	int org_count;
	uint64_t claim_number;
	/* shared with other threads under `lock` */
	pthread_mutex_t lock;
	pthread_cond_t ended;			/* of an op: engine_wait; of a reload */
	uint64_t ended_count;
	bool woken, commit_done;
	enum rc commit_rc;
	struct redirect { char operation_id[ID_MAX]; char *url; int64_t until; } redirects[64];
	struct reload *reload;
	int unblocked;			/* rows that the last write of a reload released; writer's thread only */
	struct buf providers_json;
	int64_t listed_at;		/* when it was written, by clock_mono */
	struct engine_stats told;	/* stats, as they were told last */
	/* the engine's thread only */
	struct engine_stats stats;
};

/* load.c: ops from rows, one read connection at a time */
struct op *op_of_delivery(struct engine *e, struct db_conn *c, const char *delivery_id);
struct op *op_of_operation(struct engine *e, struct db_conn *c, const char *operation_id);
struct op *op_of_refresh(struct engine *e, struct db_conn *c, const char *grant_id);	/* a new one, not yet stored */
struct op *op_of_limits(struct engine *e, struct db_conn *c, const char *connection_id);	/* the same */
bool op_reload_grant(struct op *op);	/* reads grant and secrets again after a refresh */
void op_free(struct op *op);
void op_input(struct op *op, const char *key, const char *value);
void op_input_int(struct op *op, const char *key, int64_t value);

/* step.c */
void op_step(struct op *op, const char *event);
void op_blame(struct op *op, const char *words);	/* the provider did what no provider may: told to the operator */
void op_misdeed(struct op *op, const char *words);	/* the same, and the operation stops */
void op_warn(struct op *op, const char *reason, const char *words);	/* trouble that did not stop the operation */

/* send.c */
void op_answer_header(const struct op *op, const char *name, char *out, size_t size);	/* of its last answer; "" if there is none */
int64_t op_answer_time(const struct op *op);	/* the platform's clock in its last answer (Date); 0: it told none */
void op_send(struct op *op);			/* the request in op->action (SAFE) or op->intent */

char *send_redirect(struct op *op, const char **ret_fault);	/* the URL of a redirect verb, with its secrets; the caller frees */

/* secret.c */
/* The value of a handle inside op->secrets (until that bag changes); NULL if there is none. */
const char *secret_find(const struct op *op, const char *handle, size_t *ret_len);
/* Appends it encoded as a builder asked: raw percent form json basic.  false: no such secret. */
bool secret_write(const struct op *op, const char *encoding, const char *handle, struct buf *out);
void secret_load(struct op *op, struct db_conn *c);	/* the grant's bag and the client's credential */
void secret_answer(struct op *op);		/* reads tokens and seals secrets of op->body in place */

/* facts.c */
void facts_inputs(struct op *op);		/* what the authorization knows */
void facts_secrets(struct op *op, struct db_conn *c);	/* who we are to its server */
void facts_keep(struct db_conn *c, struct op *op);	/* results grant.NAME and account.host, in the op's effect */
void facts_issuer(struct db_conn *c, struct op *op, const char *issuer);

/* made.c */
void made_put(struct op *op, const struct rec *r);	/* a REC_MADE: its value is there for secret_find */
void made_clear(struct op *op);

/* commit.c */
void op_commit(struct op *op, enum after after);	/* queues op->change for this turn's commit */
void commit_flush(struct engine *e);
void commit_collect(struct engine *e);

/* outcome.c: what an action or an answer does to a delivery; failure.c: how it fails */
void outcome_action(struct op *op, const struct action *a);
void outcome_resume(struct op *op);		/* a claimed row goes on: its stored intent, or its stored phase */
void outcome_published(struct op *op, const char *proof);	/* op->remote_id is set */
void outcome_fail(struct op *op, const struct action *a);
void outcome_block(struct op *op, const char *reason);	/* the connection cannot be used */
void outcome_missed(struct op *op, const char *reason);	/* missed: as its policy says, skipped or held */
void outcome_later(struct op *op, int64_t ms);	/* out of tokens in its bucket */
void outcome_recover(struct op *op);		/* committing under a dead owner */
void outcome_look(struct op *op, bool absent);	/* a reconciling look that did not find it */
void commit_intent(struct op *op);		/* durable first, then the bytes */
void op_wait(struct op *op, int64_t ms, bool again);	/* in memory; then op_timer: the request again, or a step */
void op_timer(struct op *op);
void op_waits(struct op *op);			/* in memory, until its wake_at */
void op_refreshed(struct op *op, bool ok);	/* after refresh_wait: the request is sent again with new tokens */
bool op_fresh_enough(const struct op *op);	/* its committed intent may still leave now */
void op_park(struct op *op, const char *reason, const char *words);	/* a provider that cannot go on */
void outcome_unsent(struct op *op, const char *words);	/* proven that no byte left */
void outcome_lost(struct op *op, const char *words);
void outcome_refused(struct op *op, const char *code, const char *words);	/* our own guard or a missing credential */
struct change *op_change(struct op *op, const char *status);	/* cleared; saves the operation's row with this status */
struct delivery_move *op_move(struct op *op, enum delivery_state to, const char *reason, int64_t due_at);
struct dedupe op_dedupe(const struct op *op);	/* of its platform and account type */
bool key_alive(const struct op *op, int64_t wait_ms);	/* the publish key may still be used after such a wait */
const char *op_result(struct op *op);		/* what the provider has told so far, as JSON; NULL: nothing */
const char *op_error(struct op *op, const char *code, const char *message, const char *platform_code, bool retryable);

/* refresh.c */
enum rc refresh_lease(struct cx *cx, struct db_conn *c, struct op *op, int64_t now);	/* effect of its first intent */
bool refresh_needed(const struct op *op, int64_t now);
bool refresh_running(const struct op *op);	/* of the op's grant, by another op */
void refresh_wait(struct op *op);		/* the op waits until the grant was refreshed, then op_refreshed */
void refresh_ended(struct engine *e, const char *grant_id, bool ok);
void refresh_due(struct engine *e, struct db_conn *c, int64_t now);	/* proactive */

/* connectop.c: what exchange, identify, targets, refresh, check, revoke do at their end */
struct jv op_json(struct op *op, const char *text);	/* doc NULL if it is none */
/* Members for the results of this prefix, without it; dotted: also those that have a dot behind it. */
void op_results_write(struct op *op, const char *prefix, bool dotted, struct jsonw *w);
void connect_outcome(struct op *op, const struct action *a);
void connect_failed(struct op *op, const char *code, const char *message, bool dead, bool revoked);
void connect_lost(struct op *op);		/* an exchange or refresh whose answer was not seen */
void connect_fail_class(struct op *op, const struct action *a);
void connect_chain(struct db_conn *c, struct op *op, const char *kind, int64_t now);	/* in an effect: the session's next operation */

/* registerop.c: an app of ours at an instance */
bool register_complete(struct op *op);		/* it brought a client */
enum rc register_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now);
bool register_again(struct db_conn *c, struct op *op, int64_t now);	/* in an effect: authorize found our app forgotten */

/* editop.c: new content for what is published */
bool edit_is(const struct op *op);
void edit_begin(struct op *op);			/* claimed: its beginning is stored before anything is asked */
void edit_begun(struct op *op);
void edit_lost(struct op *op, const char *words);	/* KEYED or ONCE: again with the same key, or a look */
void edit_look(struct op *op);
void edit_found(struct op *op, const struct action *a);
void edit_looked(struct op *op, bool absent);	/* a look that did not find it */
bool edit_failed(struct op *op, const struct action *a);	/* true: it goes on in a way of its own */
const char *edit_code(struct op *op, const char *code, const char **message);	/* of its end; doubt is told */
bool edit_retryable(const char *code);
enum rc edit_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now);
void edit_failed_effect(struct db_conn *c, struct op *op, int64_t now);

/* limitsop.c: what an account or its instance allows */
int64_t limits_due(struct engine *e, struct db_conn *c, int64_t now);	/* begins some that are due; when to look again, 0: never */
enum rc limits_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now);
void limits_failed(struct db_conn *c, struct op *op, int64_t now);	/* in an effect */

/* turn.c: the engine without its thread.  One thread calls these, in this order. */
struct engine *engine_make(const struct engine_config *config);
enum rc engine_begin(struct cx *cx, struct engine *e);	/* epoch, hosts, providers, recovery */
bool engine_turn(struct engine *e);		/* false: another server owns the store; nothing may be sent any more */
bool engine_quiet(const struct engine *e);	/* nothing is between request and answer, or not yet stored */
void engine_end(struct engine *e);		/* forgets every op and ends the hosts; the store keeps what was committed */
void engine_drop(struct engine *e);		/* frees it; after engine_end */

/* claim.c, recover.c; its two statements are here because the bench asks them of a large store */
#define CLAIM_NEXT_ORGANIZATION "SELECT organization_id, due_at FROM delivery WHERE state = ?1 AND organization_id > ?2" \
	" AND due_at IS NOT NULL ORDER BY organization_id, due_at LIMIT 1"
#define CLAIM_DUE "SELECT id, connection_id FROM delivery WHERE state = ?1 AND organization_id = ?2 AND due_at <= ?3" \
	" ORDER BY due_at LIMIT 1000"
void claim_due(struct engine *e);
enum rc recover(struct cx *cx, struct engine *e);

int64_t backoff_ms(int64_t retries);		/* 2 s doubling to 30 min, with jitter */

#endif
