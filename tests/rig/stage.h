/*
 * The parent's side of the crash tests: a sandbox and drivers as processes of their own, started, stopped, killed,
 * and what their stores hold afterwards.
 *
 * The one thing to know: a program that uses this never opens a store itself as the product does; it looks at the
 * rows through SQLite alone, also while a driver runs, so that it sees what a restart would find.
 */
#ifndef MPS_TESTS_STAGE_H
#define MPS_TESTS_STAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/rig/rig.h"

struct stage { char folder[100], url[64], build[200], clock[140]; pid_t sandbox; };
void stage_open(struct stage *s);		/* a folder in memory if there is one, the sandbox, a folder of providers */
void stage_close(struct stage *s);		/* ends the sandbox, removes the folder */
void stage_settled(const struct stage *s);	/* what was sent to the sandbox before now has taken effect */

/* A driver on a store of this stage. */
struct driver {
	const struct stage *stage;
	pid_t pid;
	int in, out;
	char folder[160], clock[200], line[512];
	size_t held;
	char waiting[4096];
};
enum came { CAME_LINE, CAME_STOP, CAME_DEATH, CAME_LATE };

/* NULL, 0: none; own_clock false: the stage's. */
struct drive { const char *failpoint; int sync_fail; bool own_clock; };
/* To its first line. */
enum came driver_start(struct driver *d, const struct stage *s, const char *store, const struct drive *how);
enum came driver_await(struct driver *d, int ms);		/* an answer (in d->line), a SIGSTOP, or its end */
enum came driver_say(struct driver *d, const char *words, ...) __attribute__((format(printf, 2, 3)));
void driver_must(struct driver *d, const char *words, ...) __attribute__((format(printf, 2, 3)));	/* and is answered with ok */
const char *driver_answer(const struct driver *d);		/* what stands behind "ok " */
void driver_tell(struct driver *d, const char *words, ...) __attribute__((format(printf, 2, 3)));	/* without waiting */
void driver_warp(struct driver *d, int64_t ms);			/* puts its clock forward (usually everybody's), also while it is stopped */
void driver_kill(struct driver *d);				/* kill -9, and waits for its end */
int driver_signal_hosts(const struct driver *d, int number);	/* a signal to its provider hosts; how many there were */
int driver_kill_hosts(const struct driver *d);			/* kill -9 of them */
void driver_quit(struct driver *d);

/* ---- stores ------------------------------------------------------------------------------------------------ */

void store_copy(const struct stage *s, const char *from, const char *to);
void store_drop(const struct stage *s, const char *store);
void store_path(const struct stage *s, const char *store, char *out, size_t n);
/* One number or text of a query written with sqlite3_mprintf's % forms; -1 or "" where there is none. */
int64_t store_int(const struct stage *s, const char *store, const char *sql, ...);
void store_text(const struct stage *s, const char *store, char *out, size_t n, const char *sql, ...);
void store_run(const struct stage *s, const char *store, const char *sql, ...);
bool store_sound(const struct stage *s, const char *store);	/* SQLite's own check */

/* Inserts a post as the driver would, without a driver; gives the delivery's id. */
void store_post(const struct stage *s, const char *store, const char *connection, const char *text, char delivery[ID_MAX]);

/* NULL if the rows and the ledger's rows that hold `mark` agree, else words: see store.c for what that means. */
const char *stage_judge(const struct stage *s, const char *store, const char *mark);

#endif
