/*
 * The program that the crash tests kill: store and engine, worked by lines on its standard input, each answered by
 * one line ("ok ..." or "error ...").  Built with failpoints.
 *
 *   driver FOLDER SANDBOX_URL          RIG_SYNC_FAIL=N: the Nth sync of the WAL fails, as a bad disk's would
 *                                      RIG_ROOM=N: no more than N operations at a time
 *
 *   connect NAME TYPE | clone CONNECTION N | organization NAME | reload | wake | warp MS | quit
 *   visit HOST NAME                    connects NAME at an instance: "ok SESSION", or "error" and its status
 *   post CONNECTION TEXT               answered only once it is durable: "ok DELIVERY"
 *   thread CONNECTION N TEXT           the post, N further items and a comment: texts TEXT, "TEXT 2", "TEXT 3", "TEXT c"
 *   many CONNECTION N TEXT             N of them in one commit, each with its number behind the text
 *   cancel DELIVERY | edit DELIVERY TEXT
 *   change DELIVERY TEXT               of what is published: "ok OPERATION"
 *   rest MS                            until nothing is due or under way; the clock jumps over the waits
 *   stats                              "ok SENDS PUBLISHED STEPS ACTIVE"
 *
 * The one thing to know: the clock jumps only while the engine stands still (nothing sent, stepped or committed for
 * a few real milliseconds), so that what took place in real time, the sandbox's own work, is never overtaken.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/model/delivery.h"
#include "tests/rig/rig.h"
#include "tests/rig/shim.h"
#include "tests/rig/visit.h"
#include "tests/rig/warp.h"

#define TICK_MS 5
#define STILL_TICKS 4
#define JUMP_FIRST 250
#define JUMP_MOST 5000		/* far less than an intent may be old, so that no jump changes what is tested */

static struct rig rig;

static const char not_at_rest[] = "SELECT (SELECT COUNT(*) FROM delivery WHERE state IN ('queued', 'processing', 'committing',"
	" 'awaiting_platform') OR (state = 'unconfirmed' AND due_at IS NOT NULL AND looks < 4))"
	" + (SELECT COUNT(*) FROM operation WHERE status = 'running' AND kind <> 'publish')";

static void nap(int ms)
{
	nanosleep(&(struct timespec){0, ms * 1000000L}, NULL);
}

/* What the rows say, and what the engine still holds: it may have to look at a commit that is durable already. */
static int64_t open_work(void)
{
	DB_READ_AUTO struct db_conn *c = db_take(rig.store.db);
	int64_t n = db_number(c, -1, not_at_rest, "");
	struct engine_stats s;

	engine_stats(rig.engine, &s);
	return n < 0 ? 1 : n + s.active;
}

/* ---- rest -------------------------------------------------------------------------------------------------- */

struct watch { uint64_t sum; int still; int64_t jump; };

static void jump_if_still(struct watch *w)
{
	struct engine_stats s;
	uint64_t sum;

	engine_stats(rig.engine, &s);
	sum = s.steps + s.sends + s.commits + (uint64_t)s.sending;
	if (sum != w->sum || s.sending > 0 || s.asked != s.steps) {
		*w = (struct watch){sum, 0, JUMP_FIRST};
		return;
	}
	if (++w->still < STILL_TICKS)
		return;
	w->still = 0;
	warp_add(w->jump);
	w->jump = w->jump * 2 < JUMP_MOST ? w->jump * 2 : JUMP_MOST;
	engine_wake(rig.engine);
}

static void rest(const char *words)
{
	struct watch w = {0, 0, JUMP_FIRST};
	struct timespec start, now;
	int64_t ms = 0, left = 1;

	text_int(words, &ms);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		nap(TICK_MS);
		left = open_work();
		if (left == 0)
			break;
		jump_if_still(&w);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
	printf(left == 0 ? "ok rest\n" : "error %lld not at rest\n", (long long)left);
}

/* ---- posts ------------------------------------------------------------------------------------------------- */

static void post(const char *words)
{
	char connection[ID_MAX];
	struct rig_post p = {.connection = connection, .text = strchr(words, ' ') + 1};

	snprintf(connection, sizeof connection, "%.*s", (int)strcspn(words, " "), words);
	if (!rig_try(&rig, rig_post_write, &p)) {
		printf("error not stored\n");
		return;
	}
	engine_wake(rig.engine);
	printf("ok %s\n", p.delivery);
}

static void thread(const char *words)
{
	char connection[ID_MAX];
	struct rig_thread t = {.connection = connection, .comment = true};
	int at = 0;

	MUST(sscanf(words, "%31s %d %n", connection, &t.items, &at) == 2);
	t.text = words + at;
	if (!rig_try(&rig, rig_thread_write, &t)) {
		printf("error not stored\n");
		return;
	}
	engine_wake(rig.engine);
	printf("ok %s\n", t.delivery);
}

struct many { char connection[ID_MAX]; int n; const char *text; };

static enum rc many_write(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct many *m = arg;
	int64_t due = clock_now() - m->n;	/* all are due, in their order */
	char text[256];

	for (int i = 0; i < m->n; i++) {
		struct rig_post p = {.connection = m->connection, .text = text, .due = due + i};

		snprintf(text, sizeof text, "%s %d.", m->text, i);
		rig_post_write(cx, c, &p);
	}
	return db_fail(cx, c);
}

static void many(const char *words)
{
	struct many m;
	int at = 0;

	MUST(sscanf(words, "%31s %d %n", m.connection, &m.n, &at) == 2);
	m.text = words + at;
	rig_write(&rig, many_write, &m);
	engine_wake(rig.engine);
	printf("ok\n");
}

/* As the API cancels: by id and state, up to and including processing. */
static enum rc cancel_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct { const char *id; const char *state; } *k = arg;
	struct delivery d = {0};
	struct arena a;

	arena_init(&a, 1u << 20);
	if (delivery_load(c, k->id, NULL, &a, &d)) {
		k->state = delivery_state_name(d.state);
		if (delivery_may(d.state, DELIVERY_CANCELED) && delivery_move(c, &(struct delivery_move){.id = d.id, .owner = &d.owner,
				.from = d.state, .to = DELIVERY_CANCELED}, clock_now()) == 1)
			k->state = "canceled";
	}
	arena_free(&a);
	return db_fail(cx, c);
}

static void cancel(const char *id)
{
	struct { const char *id; const char *state; } k = {id, "missing"};

	rig_write(&rig, cancel_write, &k);
	printf("ok %s\n", k.state);
}

/* As the API edits: only what nobody has claimed, and the content version grows. */
static enum rc edit_write(struct cx *cx, struct db_conn *c, void *arg)
{
	const char *words = arg, *text = strchr(words, ' ') + 1;
	char id[ID_MAX];

	snprintf(id, sizeof id, "%.*s", (int)(text - 1 - words), words);
	if (db_run(c, "UPDATE delivery SET text = ?2, content_version = content_version + 1, claim = claim + 1 WHERE id = ?1"
		   " AND state = 'queued' AND claimed_at IS NULL", "ss", id, text) == 0)
		return fail(cx, RC_CONFLICT, "it is claimed");
	return db_fail(cx, c);
}

static void edit(const char *words)
{
	printf(rig_try(&rig, edit_write, (void *)(uintptr_t)words) ? "ok\n" : "error claimed\n");
}

static void change(const char *words)
{
	char delivery[ID_MAX];
	struct rig_edit k = {.delivery = delivery, .text = strchr(words, ' ') + 1};

	snprintf(delivery, sizeof delivery, "%.*s", (int)strcspn(words, " "), words);
	if (!rig_try(&rig, rig_edit_write, &k)) {
		printf("error not stored\n");
		return;
	}
	engine_wake(rig.engine);
	printf("ok %s\n", k.operation);
}

/* ---- the rest of the table --------------------------------------------------------------------------------- */

static void do_connect(const char *words)
{
	char name[64], type[16], id[ID_MAX];

	MUST(sscanf(words, "%63s %15s", name, type) == 2);
	rig_connect(&rig, name, type, id);
	printf("ok %s\n", id);
}

/* Begun before the engine hears of it: what takes place can be met by a failpoint. */
static void visit(const char *words)
{
	char host[64], name[64], status[64], *url;
	struct rig_visit v;

	MUST(sscanf(words, "%63s %63s", host, name) == 2);
	rig_visit_begin(&rig, host, &v);
	url = rig_visit_redirect(&v);
	if (url == NULL) {
		printf("error failed\n");
		return;
	}
	rig_visit_return(&v, url, name, status);
	free(url);
	printf(text_eq(status, "completed") ? "ok %s\n" : "error %s\n", text_eq(status, "completed") ? v.session : status);
}

static void do_clone(const char *words)
{
	char id[ID_MAX];
	int n;

	MUST(sscanf(words, "%31s %d", id, &n) == 2);
	rig_clone(&rig, id, n);
	printf("ok\n");
}

static void organization(const char *name)
{
	rig_organization(&rig, name);
	printf("ok %s\n", rig.organization);
}

static void reload(const char *words)
{
	BUF_AUTO struct buf out;
	struct cx cx;

	(void)words;
	cx_init(&cx, "driver");
	buf_init(&out, 1u << 20);
	printf(engine_reload(&cx, rig.engine, "sandbox", &out) == RC_OK ? "ok\n" : "error %s\n", cx.words);
}

static void wake(const char *words)
{
	(void)words;
	engine_wake(rig.engine);
	printf("ok\n");
}

static void do_warp(const char *words)
{
	int64_t ms = 0;

	text_int(words, &ms);
	warp_add(ms);
	engine_wake(rig.engine);
	printf("ok\n");
}

static void stats(const char *words)
{
	struct engine_stats s;

	(void)words;
	engine_stats(rig.engine, &s);
	printf("ok %llu %llu %llu %d\n", (unsigned long long)s.sends, (unsigned long long)s.published, (unsigned long long)s.steps, s.active);
}

static void quit(const char *words)
{
	(void)words;
	rig_close(&rig);
	printf("ok\n");
	fflush(stdout);
	exit(0);
}

static const struct { const char *name; void (*run)(const char *words); } commands[] = {
	{"connect", do_connect}, {"visit", visit}, {"clone", do_clone}, {"organization", organization}, {"reload", reload}, {"wake", wake},
	{"warp", do_warp}, {"post", post}, {"thread", thread}, {"many", many}, {"cancel", cancel}, {"edit", edit}, {"change", change},
	{"rest", rest}, {"stats", stats}, {"quit", quit},
};

static void obey(char *line)
{
	size_t n = strcspn(line, " ");
	const char *words = line[n] == '\0' ? "" : line + n + 1;

	line[n] = '\0';
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (text_eq(commands[i].name, line)) {
			commands[i].run(words);
			fflush(stdout);
			return;
		}
	rig_die(__FILE__, __LINE__, "unknown command %s", line);
}

int main(int argc, char **argv)
{
	char line[2048];
	const char *fail_at = getenv("RIG_SYNC_FAIL");
	int64_t n = 0;

	if (argc != 3)
		rig_die(__FILE__, __LINE__, "driver FOLDER SANDBOX_URL");
	log_set(getenv("TEST_LOG") ? LOG_INFO : LOG_ERROR);
	snprintf(rig.folder, sizeof rig.folder, "%s", argv[1]);
	snprintf(rig.sandbox_url, sizeof rig.sandbox_url, "%s", argv[2]);
	warp_map(getenv("MPS_CLOCK"));
	if (fail_at != NULL && text_int(fail_at, &n)) {
		shim_register();
		atomic_store(&shim_fail_at, (int)n);
	}
	rig_conf(&rig);
	rig_loopback(&rig);
	if (getenv("RIG_ROOM") != NULL && text_int(getenv("RIG_ROOM"), &n))
		rig.conf.in_flight = rig.conf.claim_batch = (int)n;
	rig_open(&rig);
	printf("ok ready\n");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		obey(line);
	}
	return 0;
}
