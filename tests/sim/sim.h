/*
 * The simulator of the engine: the real engine and model on a real store, and everything around them virtual:
 * clock, provider hosts, HTTP, the platform, the people, the crashes.
 *
 *   world.c     the clock and the order of events; crashes, stops, restarts
 *   write.c     the engine's way to the store: delays, faults, what a crash forgets
 *   wire.c      http.h without sockets: when bytes leave, arrive, are answered
 *   platform.c  the virtual platform, which is the oracle: what is really live
 *   hosts.c     hostproc.h without processes; provider.c is the one provider: four ways to find a post again
 *   store.c     bringing up the store once, emptying it for each seed, reading it
 *   act.c       what users do at random moments
 *   check.c     the invariants
 *
 * The one thing to know: everything random is drawn from one seed on one thread, so a seed replays exactly.
 */
#ifndef MPS_TESTS_SIM_SIM_H
#define MPS_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/id.h"
#include "core/engine/op.h"
#include "core/model/installation.h"

#define SECOND 1000ll
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define NEVER INT64_MAX

#define ACCOUNTS 4
#define DELIVERIES 40
#define POSTS 12

enum type { TYPE_KEYED, TYPE_HANDLE, TYPE_SEARCH, TYPE_NONE, TYPES };

/* What one seed is like. */
struct plan {
	int64_t settle, lag, window, timeout;		/* window 0: unlimited */
	int64_t storm;					/* how long faults and people last */
	int fault[16];					/* percent, by enum fault of platform.h */
	int refused, slow_writes, bad_writes, bad_hosts;/* percent */
	bool readback, container_once, edge;
	bool atomic;					/* keys are known from the first byte on, or from the post on */
	int64_t token_life;				/* 0: tokens do not expire */
	int64_t skew;					/* how far the platform's clock is ahead of ours */
};

struct account {
	enum type type;
	int organization;
	char connection_id[ID_MAX], grant_id[ID_MAX];
};

struct delivery_known { char id[ID_MAX]; int post, account, parent; };	/* parent: -1 for a root */

struct sim {
	uint64_t seed, random, noise;	/* noise: for getrandom */
	int64_t now, begin, turn_at;	/* turn_at: when the storm ends, then when people come to decide */
	struct plan plan;
	bool tracing, failed, calm, dead;
	bool dropped;			/* an operation may have been given up because its rows could not be written */
	char words[512];		/* of the first violation */
	/* ours */
	struct installation store;
	struct conf conf;
	struct platforms *platforms;
	struct engine *engine;		/* NULL: down */
	int64_t up_at;			/* when it comes up again */
	int crash_in;			/* effects until a crash; 0: none planned */
	int64_t stopped_until;		/* the process stands still */
	bool stopping;
	int64_t stop_by;
	/* what there is */
	struct owner owners[2];
	char owner_ids[2][2][ID_MAX], end_users[2][ID_MAX];
	struct account accounts[ACCOUNTS];
	int account_count;
	struct delivery_known deliveries[DELIVERIES];
	int delivery_count;
	char posts[POSTS][ID_MAX];
	int post_account[POSTS];
	int post_count, edits;
	int64_t moves_seen;
	/* counted, for the last line */
	bool power;			/* crashes inside a commit are power losses: tests/rig/power.h */
	uint64_t power_cuts;
	uint64_t crashes, stops, sends, turns, acts, published, resolved;
};
extern struct sim sim;

/* random.c */
uint64_t sim_random(void);
int64_t sim_below(int64_t n);			/* 0 .. n-1 */
int64_t sim_between(int64_t least, int64_t most);
bool sim_chance(int percent);
int64_t sim_delay(int64_t most);		/* mostly short */

/* world.c */
void sim_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void sim_violation(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool sim_run(uint64_t seed, bool tracing);	/* false: an invariant broke; sim.words */
/* Called before anything the engine does to the outside.  false: the process died before it. */
bool sim_effect(void);
void sim_crash_after(int effects);
void sim_stop(int64_t ms);
void sim_restart(void);				/* gracefully */
void sim_reload(void);				/* of the providers */

/* write.c: the engine's jobs */
int64_t write_next(void);
void write_turn(void);
void write_forget(void);			/* a crash */
bool write_waits(void);
void write_now(db_write_fn *fn, void *arg);	/* of the simulator itself */
bool write_try(db_write_fn *fn, void *arg);	/* of a user: may be refused */

/* wire.c */
int64_t wire_next(void);
void wire_turn(void);				/* bytes leave and arrive */
void wire_forget(void);
bool wire_waits(void);
void wire_end(void);

int64_t host_next(void);			/* hosts.c */

/* store.c */
void store_open(void);
void store_reset(void);
void store_close(void);
void store_power_cut(void);			/* the disk has a part of what was not synced; opened again */
int64_t store_next_due(void);
int64_t store_open_count(void);			/* deliveries without an end */
const char *store_open_words(void);
/* items: a thread of so many more; odd: a comment too */
void store_post(int accounts, const char *mode, int64_t at, const char *on_missed, int items);

/* act.c */
int64_t act_next(void);
void act_plan(void);
void act_turn(void);
void act_settle(int64_t calm);			/* after so long without faults: people decide what waits for people */

/* check.c */
void check_reset(void);
void check_all(void);
void check_rest(void);

#endif
