/*
 * The bench: what its parts share.  Each part starts what it measures, measures, prints its rows and leaves
 * nothing behind.  The one thing to know: the product is measured as its own process, as installed, through the
 * same doors that customers and platforms use; only ceilings run inside the bench.
 *
 * Nothing here asserts a time.  Wrong answers, lost posts and double posts end the bench with status 1.
 */
#ifndef MPS_TESTS_BENCH_H
#define MPS_TESTS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/buf.h"
#include "core/base/id.h"
#include "core/io/vault.h"

struct bench {
	bool quick;
	bool tiny;			/* only that every part works: its figures mean nothing */
	const char *build;		/* whole path of the build folder */
	char folder[1024];		/* work folder inside it: made new, removed at the end */
};

void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
double pick(const struct bench *b, double whole, double quick, double tiny);
int64_t now_us(void);			/* monotonic */
int64_t wall_ms(void);
double percentile_ms(uint32_t *us, size_t n, double p);	/* sorts */
pid_t child_start(void);		/* fork whose child dies with the bench */
void child_end(pid_t pid, int signal);	/* and waits for it */

/* ---- report.c --------------------------------------------------------------------------------------- */

struct row {
	const char *key;		/* in build/bench.json */
	const char *what, *unit;
	double value;
	double ceiling;			/* of the same run; 0: none */
	const char *of;			/* what the ceiling is */
	const char *aim;		/* of the work item, or NULL */
};
void report_row(const struct row *r);
void report_print(void);
void report_save(const struct bench *b);
void progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));	/* on stderr */

/* ---- place.c: a folder with an ini, and the server in it ---------------------------------------------- */

struct place {
	char folder[1200], config[1300];
	int port;
	pid_t pid;			/* of the server; 0: none runs */
};
void place_make(const struct bench *b, struct place *p, const char *name, int stub_port);
double place_serve(const struct bench *b, struct place *p);	/* milliseconds from fork to ready */
void place_stop(struct place *p, int signal);
double place_rss_mb(pid_t pid);
double place_hosts_rss_mb(pid_t pid, int *ret_count);		/* mean of its provider hosts */
double place_cpu_s(const struct place *p);			/* of the server's own process, so far */
void place_remove(const struct place *p);			/* its folder, once nothing runs in it */
int64_t place_metric(const struct place *p, const char *name);

/* ---- store.c: rows for a place whose server does not run ------------------------------------------------ */

struct person { char user[ID_MAX], connection[ID_MAX]; int org; };
struct people {
	int count, org_count;
	struct person *at;
	struct { char id[ID_MAX], app[ID_MAX], key[VAULT_API_KEY_MAX]; } org[64];
};
struct store;
struct store *store_open(const struct place *p);
void store_close(struct store *s);
/* connections in orgs organizations, per_user of them to one end user; every one with a grant of its own. */
void store_people(struct store *s, struct people *people, int connections, int per_user, int orgs);
/* Posts of one delivery each, the i-th to connection i modulo all.  step_ms 0: all due at once.  The text says
 * when it is due; the stub reads that.  state published or queued; ids (may be NULL) get the posts' ids. */
struct posts { int64_t count, due_at, step_ms; const char *state; char (*ids)[ID_MAX]; int id_count; };
void store_posts(struct store *s, const struct people *people, const struct posts *posts);
/* count posts of one delivery each, by SQL: nine of ten published, the others scheduled for later. */
void store_fill(struct store *s, const struct people *people, int64_t count);
/* The engine's two statements that find due rows: microseconds each, median. */
void store_claim_us(struct store *s, const struct people *people, double *ret_orgs, double *ret_due);
int64_t store_count(struct store *s, const char *state);	/* of deliveries; NULL: posts */
/* The rows of one accepted post, again and again, by as many threads: closures a second. */
double store_rows_per_s(struct store *s, int threads, double seconds);

/* ---- load.c: HTTP clients ------------------------------------------------------------------------------ */

struct load {
	int port, connections;
	double rate;			/* a second, on a schedule; 0: each connection asks again once it was answered */
	double warm_s, run_s;
	void (*ask)(void *arg, uint64_t n, struct buf *out);	/* appends the whole n-th request */
	void *arg;
};
struct load_seen { uint64_t asked, answers; double per_s, p50_ms, p99_ms, max_ms, cpu_us; size_t body; };	/* cpu_us: the caller's */
void load_run(const struct load *l, struct load_seen *ret);
int load_call(int port, const char *head, struct buf *body);	/* one request; status, 0 if nobody answers */

/* ---- stub.c: the far side ------------------------------------------------------------------------------- */

#define STUB_LATE_MAX 1000000
#define STUB_KEYS (1u << 20)
struct stub_seen {
	uint64_t requests, answered, duplicates, refused;
	uint32_t waiting, waiting_max, late_count;
	int64_t first_us, last_us;
	uint32_t late_us[STUB_LATE_MAX];
	uint64_t keys[STUB_KEYS];
};
struct stub { pid_t pid; int port; volatile struct stub_seen *seen; };
void stub_start(struct stub *s, int delay_ms);
void stub_clear(struct stub *s);
void stub_stop(struct stub *s);

/* ---- ceiling.c ------------------------------------------------------------------------------------------- */

double ceiling_web_per_s(const struct load *like, size_t body);	/* CivetWeb, a constant answer of so many bytes */
double ceiling_curl_per_s(const struct stub *stub, int requests, int in_flight);

/* ---- accept.c -------------------------------------------------------------------------------------------- */

/* Posts of three targets to a server whose people are USERS times TARGETS of one organization. */
struct load_seen accept_measure(const struct place *p, const struct people *people, double rate, double run_s);

/* ---- the parts ------------------------------------------------------------------------------------------- */

void bench_disk(const struct bench *b);
void bench_idle(const struct bench *b);
void bench_accept(const struct bench *b);
void bench_list(const struct bench *b);
void bench_deliver(const struct bench *b);
void bench_step(const struct bench *b);
void bench_start(const struct bench *b);
void bench_scale(const struct bench *b);

#endif
