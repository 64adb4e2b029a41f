/*
 * The matrix of crashes: every commit and every send of a publish, by each repeat behaviour, struck by each fault;
 * then a restart without faults, run until everything rests, and the far side's own ledger is asked.
 *
 *   kill        kill -9 at that place                                (delivery.md, rules 2, 3, 5)
 *   stop        SIGSTOP there, 90 s by the clock, SIGCONT            (rules 1, 2; epochs)
 *   overdue     the same for 20 minutes, longer than any state may last
 *   hosts       the same, and meanwhile kill -9 of the provider hosts
 *   usurped     the same, and meanwhile another server takes the store over: nothing may be sent any more (rule 1)
 *   lost        the answer to that send is lost                      (rules 3, 5)
 *   io          COMMIT fails with an I/O error: before it is stored, after it, or when the WAL is synced (rule 2)
 *   twice       kill -9 in committing, then kill -9 at each commit of the recovery (rule 3)
 *
 * How often a place is passed is not written down here: a fault is tried at the 1st, 2nd, 3rd ... pass until it does
 * not strike any more.  What is written down is how often each must be passed at least, so that a place that was
 * lost from the code is noticed.
 *
 *   matrix            all; two jobs at a time
 *   matrix TYPE POINT one job
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "tests/rig/stage.h"

#define PASSES_MAX 40
#define WORKERS 2
#define REST "rest 150000"

enum { KEYED, HANDLE, SEARCH, NONE, TYPES };
static const char *const types[TYPES] = {"keyed", "handle", "search", "none"};

/* A place in the code, and how often one publish of each type passes it at least. */
static const struct point { const char *name; int least[TYPES]; bool io; } points[] = {
	{"db.before_commit", {2, 3, 2, 2}, true},
	{"db.after_commit", {2, 3, 2, 2}, true},
	{"commit.run", {2, 3, 2, 2}, false},
	{"commit.done", {2, 3, 2, 2}, false},
	{"intent.committed", {1, 2, 1, 1}, false},
	{"http.begin", {1, 4, 1, 1}, false},
	{"send.done", {1, 3, 1, 1}, false},
};
#define POINTS ((int)(sizeof points / sizeof points[0]))

static struct stage stage;
static char connections[TYPES][ID_MAX];
static int failures;

static void report(const char *name, int cells, const char *fault)
{
	if (fault == NULL)
		printf("ok %s (%d)\n", name, cells);
	else
		printf("not ok %s: %s\n", name, fault);
	fflush(stdout);
	failures += fault != NULL;
}

/* ---- one cell ---------------------------------------------------------------------------------------------- */

struct cell { char store[40], text[120], delivery[ID_MAX]; int type; struct driver d; };

static void cell_begin(struct cell *c, int type, const char *fault, const char *where, int n)
{
	static int number;

	memset(c, 0, sizeof *c);
	c->type = type;
	snprintf(c->store, sizeof c->store, "cell-%d-%d", (int)getpid(), number++);
	snprintf(c->text, sizeof c->text, "%s of %s at %s %d, cell %s.", fault, types[type], where, n, c->store);
	store_copy(&stage, "template", c->store);
	store_post(&stage, c->store, connections[type], c->text, c->delivery);
}

/* Runs without faults until everything rests, then looks. */
static const char *cell_end(struct cell *c)
{
	static char words[800];
	char state[32];
	const char *fault;

	if (c->d.pid == 0) {
		stage_settled(&stage);
		if (driver_start(&c->d, &stage, c->store, NULL) != CAME_LINE)
			return "the driver does not start again";
		driver_must(&c->d, REST);
	}
	driver_kill(&c->d);	/* what it said is in the store */
	fault = stage_judge(&stage, c->store, c->store);
	store_text(&stage, c->store, state, sizeof state, "SELECT state FROM delivery WHERE id = %Q", c->delivery);
	if (fault == NULL && c->type != NONE && strcmp(state, "published") != 0)
		fault = state;
	if (fault == NULL && strcmp(state, "published") != 0 && strcmp(state, "unconfirmed") != 0)
		fault = state;
	if (fault == NULL && strncmp(c->text, "overdue", 7) != 0 &&
	    store_int(&stage, c->store, "SELECT COUNT(*) FROM event WHERE type = 'delivery.overdue'") != 0)
		fault = "nobody worked on it until it was overdue";
	if (fault != NULL) {
		snprintf(words, sizeof words, "%s [%s]", fault, c->text);
		return words;
	}
	store_drop(&stage, c->store);
	return NULL;
}

/* Starts a driver with a failpoint and lets it work; what came before it rested. */
static enum came cell_run(struct cell *c, const struct drive *how)
{
	enum came came = driver_start(&c->d, &stage, c->store, how);

	if (came == CAME_LINE)
		came = driver_say(&c->d, REST);
	return came;
}

/* ---- kill -9 ----------------------------------------------------------------------------------------------- */

static const char *kill_at(int type, const char *where, int n, bool *ret_struck)
{
	struct cell c;
	char fail[80];

	cell_begin(&c, type, "kill", where, n);
	snprintf(fail, sizeof fail, "%s:%d:kill", where, n);
	*ret_struck = cell_run(&c, &(struct drive){.failpoint = fail}) == CAME_DEATH;
	return cell_end(&c);
}

/* ---- a standstill ------------------------------------------------------------------------------------------ */

enum meanwhile { NOTHING, OVERDUE, HOSTS, USURPED };
static const char *const stop_names[] = {"stop", "overdue", "hosts", "usurped"};

static const char *usurped_end(struct cell *c, int posts_before)
{
	enum came came = driver_await(&c->d, 20000);

	if (came == CAME_LINE)			/* what it had learned before is at rest; it must end all the same */
		came = driver_await(&c->d, 20000);
	if (came != CAME_DEATH)
		return "a server that lost the store lives on";
	stage_settled(&stage);
	if (rig_ledger(stage.url, c->store, NULL, 0) != posts_before)
		return "a server that lost the store sent something";
	return cell_end(c);
}

static const char *stop_at(int type, const char *where, int n, enum meanwhile what, bool *ret_struck)
{
	struct cell c;
	char fail[80];
	int posts;

	cell_begin(&c, type, stop_names[what], where, n);
	snprintf(fail, sizeof fail, "%s:%d:stop", where, n);
	*ret_struck = cell_run(&c, &(struct drive){.failpoint = fail}) == CAME_STOP;
	if (!*ret_struck)
		return cell_end(&c);
	stage_settled(&stage);
	posts = rig_ledger(stage.url, c.store, NULL, 0);
	if (what == HOSTS)
		driver_kill_hosts(&c.d);
	if (what == USURPED)
		store_run(&stage, c.store, "UPDATE server SET epoch = epoch + 1");
	driver_warp(&c.d, what == OVERDUE ? 1200000 : 90000);
	kill(c.d.pid, SIGCONT);
	if (what == USURPED)
		return usurped_end(&c, posts);
	if (c.d.line[0] == '\0' && driver_await(&c.d, 20000) != CAME_LINE)	/* it stood before it was ready */
		return "after a standstill it does not come up";
	if (strcmp(c.d.line, "ok ready") == 0 && driver_say(&c.d, REST) != CAME_LINE)
		return "after a standstill it ends";
	return cell_end(&c);
}

/* ---- lost answers, bad disks ------------------------------------------------------------------------------- */

static const char *fault_at(int type, const char *fault, const struct drive *how, const char *where, int n)
{
	static struct cell c;

	cell_begin(&c, type, fault, where, n);
	(void)cell_run(&c, how);	/* an error at the start ends it; that is as good */
	if (c.d.pid > 0 && strcmp(c.d.line, "ok rest") != 0)
		return c.d.line;
	return cell_end(&c);
}

static const char *once_at(int type, const char *fault, const char *where, int n)
{
	char fail[80];

	snprintf(fail, sizeof fail, "%s:%d:once", where, n);
	return fault_at(type, fault, &(struct drive){.failpoint = fail}, where, n);
}

/* ---- jobs -------------------------------------------------------------------------------------------------- */

/* Tries a fault pass by pass; the number of passes. */
static int series(int type, const struct point *p, int kind)
{
	char name[80];
	const char *fault = NULL;
	bool struck = true;
	int n = 0;

	while (struck && fault == NULL && n < PASSES_MAX) {
		n++;
		fault = kind < 0 ? kill_at(type, p->name, n, &struck) : stop_at(type, p->name, n, (enum meanwhile)kind, &struck);
	}
	if (fault == NULL && n - 1 < p->least[type])
		fault = "it is passed less often than it must be";
	snprintf(name, sizeof name, "%s %s %s", types[type], p->name, kind < 0 ? "kill" : stop_names[kind]);
	report(name, n - 1, fault);
	return n - 1;
}

static void once_series(int type, const char *fault_name, const char *where, int passes)
{
	char name[80];
	const char *fault = NULL;
	int n = 0;

	while (fault == NULL && n < passes)
		fault = once_at(type, fault_name, where, ++n);
	snprintf(name, sizeof name, "%s %s %s", types[type], where, fault_name);
	report(name, n, fault);
}

static void sync_series(int type, int passes)
{
	char name[80];
	const char *fault = NULL;
	int n = 0;

	while (fault == NULL && n < passes) {
		n++;
		fault = fault_at(type, "io", &(struct drive){.sync_fail = n}, "sync", n);
	}
	snprintf(name, sizeof name, "%s wal.sync io", types[type]);
	report(name, n, fault);
}

/* Killed in committing, and killed again at each commit of the start after it. */
static void twice_series(int type)
{
	char fail[80], name[80];
	const char *fault = NULL;
	bool struck = true;
	int n = 0;

	while (struck && fault == NULL && n < PASSES_MAX) {
		struct cell c;

		n++;
		cell_begin(&c, type, "twice", "db.after_commit", n);
		MUST(cell_run(&c, &(struct drive){.failpoint = type == HANDLE ? "send.done:3:kill" : "send.done:1:kill"}) == CAME_DEATH);
		snprintf(fail, sizeof fail, "db.after_commit:%d:kill", n);
		struck = cell_run(&c, &(struct drive){.failpoint = fail}) == CAME_DEATH;
		fault = cell_end(&c);
	}
	if (fault == NULL && n - 1 < 3)
		fault = "a recovery has fewer commits than it must have";
	snprintf(name, sizeof name, "%s recovery kill", types[type]);
	report(name, n - 1, fault);
}

static void job(int number)
{
	int type = number / POINTS;
	const struct point *p = &points[number % POINTS];
	int passes = series(type, p, -1);

	if (strcmp(p->name, "db.before_commit") == 0)
		sync_series(type, passes);
	if (strcmp(p->name, "db.after_commit") == 0)
		twice_series(type);
	if (p->io)
		once_series(type, "io", p->name, passes);
	if (strcmp(p->name, "send.done") == 0)
		once_series(type, "lost", "http.lost", passes);
	for (int kind = NOTHING; kind <= USURPED && !p->io; kind++)
		if (kind != USURPED || strcmp(p->name, "commit.run") != 0)	/* inside its transaction nobody else can write */
			series(type, p, kind);
}

/* All cells share its tokens, so these must not end while the clock runs ahead. */
static void template_make(void)
{
	struct driver d;
	char json[100];

	for (int i = 0; i < TYPES; i++) {
		snprintf(json, sizeof json, "{\"name\":\"%s\",\"type\":\"%s\",\"expires_in\":500000000}", types[i], types[i]);
		rig_control(stage.url, "/control/accounts", json);
	}
	MUST(driver_start(&d, &stage, "template", NULL) == CAME_LINE);
	for (int i = 0; i < TYPES; i++) {
		driver_must(&d, "connect %s %s", types[i], types[i]);
		snprintf(connections[i], ID_MAX, "%s", driver_answer(&d));
	}
	driver_quit(&d);
}

/* Each worker has a stage, and so a clock, of its own. */
static int work(atomic_int *next)
{
	int n;

	stage_open(&stage);
	template_make();
	while ((n = atomic_fetch_add(next, 1)) < TYPES * POINTS)
		job(n);
	stage_close(&stage);
	return failures > 0;
}

static int all(void)
{
	atomic_int *next = mmap(NULL, sizeof *next, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int bad = 0, status;

	MUST(next != MAP_FAILED);
	for (int i = 0; i < WORKERS; i++) {
		pid_t pid = fork();

		MUST(pid >= 0);
		if (pid == 0)
			_exit(work(next));
	}
	for (int i = 0; i < WORKERS; i++) {
		MUST(wait(&status) > 0);
		bad |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	}
	return bad;
}

static int one(const char *type, const char *where)
{
	stage_open(&stage);
	template_make();
	for (int i = 0; i < TYPES * POINTS; i++)
		if (strcmp(types[i / POINTS], type) == 0 && strcmp(points[i % POINTS].name, where) == 0)
			job(i);
	stage_close(&stage);
	return failures > 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	return argc == 3 ? one(argv[1], argv[2]) : all();
}
