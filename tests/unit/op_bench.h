/*
 * One operation on a bench: an engine without its thread on a store of its own, and in place of hosts, network,
 * refresh and chance functions that note what they were asked.
 *
 * The one thing to know: nothing runs by itself.  A test puts an operation into a situation, calls one function of the
 * engine's own floor, and reads in bench.did what became of it: see told().
 */
#ifndef MPS_TESTS_UNIT_OP_BENCH_H
#define MPS_TESTS_UNIT_OP_BENCH_H

#include <ftw.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/engine/op.h"
#include "core/io/db_private.h"
#include "core/model/installation.h"
#include "core/model/organization.h"
#include "tests/unit/test.h"

#define BENCH_NOW 1800000000000ll
#define UNUSED __attribute__((unused))

static struct bench {
	struct engine *e;
	struct conf conf;
	struct platforms *platforms;
	struct installation store;
	char folder[64], organization[ID_MAX], app[ID_MAX];
	int64_t now, set;		/* set: what the wall clock was set by */
	bool rescue;			/* the store is damaged: see db_rescue */
	int nonces;			/* how often a server asks for its nonce */
	int faults;			/* misdeeds of the provider that were told */
	int hosts_ms, turn_ms;		/* when the hosts want to be asked again; how long the last turn would have waited */
	char did[400];			/* what was asked of hosts, network and refresh */
	struct buf frame;		/* the last step that was asked */
	struct buf answer;		/* what the host answers at once; empty: nothing yet */
	enum host_outcome host;
	char url[600], headers[2000], body[4000];	/* of the last request */
	enum http_egress egress;
	const struct http_answer *http;	/* how it is answered at once; NULL: not yet */
} bench;

static const char bench_descriptor[] = "{\"name\":\"Net\","
	"\"operations\":[\"authorize\",\"exchange\",\"identify\",\"refresh\",\"publish\",\"edit\"],"
	"\"hosts\":[\"api.net.example\",\"*.cdn.example\",\"alt.example:8443\"],\"answer_hosts\":[\"up.example\"],"
	"\"connect\":{\"method\":\"oauth2\",\"client\":\"secret\"},"
	"\"dedupe\":{\"keyed\":{\"class\":\"keyed\",\"window_s\":3600,\"settle_s\":60,\"search_lag_s\":0},"
	"\"atomic\":{\"class\":\"keyed\",\"window_s\":0,\"settle_s\":60,\"atomic\":true},"
	"\"handle\":{\"class\":\"handle\",\"settle_s\":60},\"search\":{\"class\":\"search\",\"settle_s\":60,\"search_lag_s\":30},"
	"\"none\":{\"class\":\"none\",\"settle_s\":0}},\"state_versions\":[1,1]}";

static int64_t bench_clock(void) { return bench.now; }

static void bench_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void bench_say(const char *fmt, ...)
{
	size_t n = strlen(bench.did);
	va_list ap;

	if (n > 0 && n + 2 < sizeof bench.did)
		snprintf(bench.did + n, sizeof bench.did - n, ", ");
	n = strlen(bench.did);
	va_start(ap, fmt);
	vsnprintf(bench.did + n, sizeof bench.did - n, fmt, ap);
	va_end(ap);
}

/* ---- in place of the world: the linker leads the engine here -------------------------------------------------- */

void __wrap_hosts_step(struct hosts *hs, const char *id, uint64_t operation, const struct buf *frame, host_done_fn *done, void *arg);
void __wrap_hosts_step(struct hosts *hs, const char *id, uint64_t operation, const struct buf *frame, host_done_fn *done, void *arg)
{
	struct buf action;
	struct rec r;

	(void)hs, (void)id, (void)operation;
	buf_reset(&bench.frame);
	buf_add(&bench.frame, frame->data + FRAME_HEAD, frame->len - FRAME_HEAD);
	CHECK(rec_find(bench.frame.data, bench.frame.len, REC_EVENT, NULL, &r));
	bench_say("step %.*s", (int)r.value_len, r.value);
	if (bench.answer.len == 0 && bench.host == HOST_ACTION)
		return;
	action = bench.answer;		/* once: what it leads to may ask again */
	buf_init(&bench.answer, FRAME_OUT_MAX);
	done(arg, bench.host, action.data, action.len, "the host's words");
	buf_free(&action);
}

void __wrap_http_send(struct http *h, const struct http_request *r, http_done_fn *done, void *arg);
void __wrap_http_send(struct http *h, const struct http_request *r, http_done_fn *done, void *arg)
{
	const struct http_answer *answer = bench.http;
	size_t n = 0;

	(void)h;
	snprintf(bench.url, sizeof bench.url, "%s", r->url);
	bench.egress = r->egress;
	bench.headers[0] = bench.body[0] = '\0';
	for (int i = 0; r->headers[i] != NULL; i++)
		n += (size_t)snprintf(bench.headers + n, sizeof bench.headers - n, "%s\n", r->headers[i]);
	n = 0;
	for (size_t i = 0; i < r->part_count; i++)
		n += (size_t)snprintf(bench.body + n, sizeof bench.body - n, r->parts[i].is_range ? "<file>" : "%.*s",
				      (int)r->parts[i].n, (const char *)r->parts[i].bytes);
	bench_say("send %s", r->method);
	if (bench.nonces == 0)
		bench.http = NULL;
	if (answer != NULL)
		done(arg, answer);
}

/* No jitter, and numbers that count. */
void __wrap_id_random(void *out, size_t n);
void __wrap_id_random(void *out, size_t n)
{
	static uint64_t number;

	memset(out, 0, n);
	if (n >= sizeof number) {
		number++;
		memcpy(out, &number, sizeof number);
	}
}

/* A store that was found damaged. */
bool __wrap_db_rescue(const struct db *db);
bool __wrap_db_rescue(const struct db *db) { (void)db; return bench.rescue; }

/* Whether the server asked for its nonce. */
bool __wrap_dpop_answered(struct op *op);
bool __wrap_dpop_answered(struct op *op) { (void)op; return bench.nonces > 0 && bench.nonces-- > 0; }

void __wrap_refresh_wait(struct op *op);
void __wrap_refresh_wait(struct op *op)
{
	op->at = OP_REFRESHING;
	bench_say("refresh");
}

int64_t __wrap_clock_now(void);
int64_t __wrap_clock_now(void) { return bench.now + bench.set; }

unsigned __wrap_hosts_waits(struct hosts *hs, struct http_wait *waits, unsigned max);
unsigned __wrap_hosts_waits(struct hosts *hs, struct http_wait *waits, unsigned max) { (void)hs, (void)waits, (void)max; return 0; }

void __wrap_hosts_fault(struct hosts *hs, const char *id, const char *words);
void __wrap_hosts_fault(struct hosts *hs, const char *id, const char *words)
{
	(void)hs, (void)id, (void)words;
	bench.faults++;
}

void __wrap_hosts_turn(struct hosts *hs);
void __wrap_hosts_turn(struct hosts *hs) { (void)hs; }

int __wrap_hosts_timeout(struct hosts *hs);
int __wrap_hosts_timeout(struct hosts *hs) { (void)hs; return bench.hosts_ms; }

void __wrap_http_turn(struct http *h, struct http_wait *waits, unsigned count, int ms);
void __wrap_http_turn(struct http *h, struct http_wait *waits, unsigned count, int ms)
{
	(void)h, (void)waits, (void)count;
	bench.turn_ms = ms;
}

int __wrap_http_running(const struct http *h);
int __wrap_http_running(const struct http *h) { (void)h; return 0; }

void __wrap_provide_turn(struct engine *e);
void __wrap_provide_turn(struct engine *e) { (void)e; }

void __wrap_http_wakeup(struct http *h);
void __wrap_http_wakeup(struct http *h) { (void)h; }

/* ---- the bench ------------------------------------------------------------------------------------------------ */

static int bench_remove(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st, (void)flag, (void)at;
	return remove(path);
}

static void bench_close(void)
{
	engine_end(bench.e);
	engine_drop(bench.e);
	platforms_drop(bench.platforms);
	installation_close(&bench.store);
	arena_free(&bench.conf.arena);
	buf_free(&bench.frame);
	buf_free(&bench.answer);
	nftw(bench.folder, bench_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static enum rc bench_write_organization(struct cx *cx, struct db_conn *c, void *arg)
{
	struct organization_new o = {.name = "Acme"};
	enum rc rc = organization_create(cx, c, bench.store.vault, &o, clock_now());

	(void)arg;
	snprintf(bench.organization, sizeof bench.organization, "%s", o.id);
	snprintf(bench.app, sizeof bench.app, "%s", o.app_id);
	return rc;
}

/* One statement on the rows, as nobody but a test may. */
static enum rc bench_write(struct cx *cx, struct db_conn *c, void *arg)
{
	stmt_exec(c, arg);
	return db_fail(cx, c);
}

UNUSED static void bench_run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
UNUSED static void bench_run(const char *fmt, ...)
{
	char sql[2000];
	struct cx cx;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sql, sizeof sql, fmt, ap);
	va_end(ap);
	cx_init(&cx, "test");
	CHECK_SAY(db_write(&cx, bench.store.db, bench_write, sql) == RC_OK, "%s: %s", sql, cx.words);
}

/* While a table is hidden whatever reads or writes it fails. */
UNUSED static void bench_hide(const char *table) { bench_run("ALTER TABLE %s RENAME TO hidden_%s", table, table); }
UNUSED static void bench_show(const char *table) { bench_run("ALTER TABLE hidden_%s RENAME TO %s", table, table); }

/* Another descriptor for the platform "net"; the operations that are made later have it. */
UNUSED static void bench_platform(const char *describe)
{
	struct platform *p;
	struct cx cx;

	cx_init(&cx, "test");
	CHECK_SAY(platform_read(&cx, "net", "1", describe, &p) == RC_OK, "%s", cx.words);
	platforms_put(bench.platforms, p);
}

static void bench_open(void)
{
	struct conf *f = &bench.conf;
	struct cx cx;

	bench.now = BENCH_NOW;
	bench.set = 0;
	bench.hosts_ms = -1;
	bench.did[0] = '\0';
	bench.faults = bench.nonces = 0;
	bench.rescue = false;
	bench.host = HOST_ACTION;
	bench.http = NULL;
	buf_reset(&bench.answer);
	if (bench.e != NULL) {
		bench.e->batch_count = 0;		/* of a test that failed */
		return;
	}
	if (!getenv("TEST_LOG"))
		log_set(LOG_ERROR + 1);		/* faults are what is tested */
	clock_fake(bench_clock);
	snprintf(bench.folder, sizeof bench.folder, "/tmp/mps-bench-XXXXXX");
	CHECK(mkdtemp(bench.folder) != NULL);
	arena_init(&f->arena, 1u << 20);
	f->data_folder = arena_printf(&f->arena, "%s/data", bench.folder);
	f->key_file = arena_printf(&f->arena, "%s/master.key", bench.folder);
	f->create_key = 1;
	f->request_timeout_ms = 30000;
	f->sandbox_settle_ms = 5000;
	cx_init(&cx, "test");
	CHECK_SAY(installation_open(&cx, f, &bench.store) == RC_OK, "%s", cx.words);
	CHECK_INT(db_write(&cx, bench.store.db, bench_write_organization, NULL), RC_OK);
	bench.platforms = platforms_new();
	bench_platform(bench_descriptor);
	buf_init(&bench.frame, FRAME_IN_MAX);
	buf_init(&bench.answer, FRAME_OUT_MAX);
	bench.e = engine_make(&(struct engine_config){.db = bench.store.db, .vault = bench.store.vault, .platforms = bench.platforms, .conf = f});
	atexit(bench_close);
}

/* An operation as load.c makes one, without rows. */
UNUSED static struct op *bench_op(enum delivery_state state, const char *account_type)
{
	struct op *op = calloc(1, sizeof *op);
	struct buf *const bufs[] = {&op->inputs, &op->saved, &op->secrets, &op->made, &op->action, &op->intent, &op->headers, &op->body,
		&op->result, &op->warnings};

	bench_open();
	CHECK(op != NULL);
	op->e = bench.e;
	op->number = ++bench.e->next_number;
	op->attempts_tail = &op->attempts;
	arena_init(&op->arena, 8u << 20);
	cx_init(&op->cx, "test");
	for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
		buf_init(bufs[i], 256u * 1024u);
	op->prev = &bench.e->ops;
	op->next = bench.e->ops.next;
	op->next->prev = op;
	bench.e->ops.next = op;
	bench.e->active++;
	snprintf(op->id, sizeof op->id, "op_1");
	op->row = (struct operation){.owner = {bench.organization, bench.app, 0}, .id = op->id, .kind = "publish", .platform = "net",
		.provider = "net", .status = "running", .phase = "start", .event = "start", .key_number = 1, .deadline_at = BENCH_NOW + 3600000};
	op->d = (struct delivery){.owner = op->row.owner, .id = "dlv_1", .post_id = "post_1", .connection_id = "con_1", .text = "words",
		.on_missed = "publish"};
	op->phase = op->event = "start";
	op->publish = true;
	op->state = state;
	op->claimed = state != DELIVERY_QUEUED;
	op->looking = state == DELIVERY_UNCONFIRMED;
	op->account_type = account_type;
	op->intent_boot = bench.now;
	op->platform = platforms_take(bench.platforms, "net");
	CHECK(op->platform != NULL);
	return op;
}

UNUSED static const char *bench_after(enum after after)
{
	static const char *const names[] = {"", " then send", " then wait", " then refresh", " then begin"};

	return names[after];
}

/* "queued rate_limited +5 s: platform_rate_limited dead", or what was asked, or how it waits: what has become of the op. */
UNUSED static const char *told(struct op *op)
{
	static char out[600];
	const struct change *ch = &op->change;
	char due[40] = "", code[60] = "";
	const char *error = ch->move ? ch->to.error : op->row.error;

	if (error != NULL)
		sscanf(error, "{\"code\":\"%55[a-z_]", code);
	if (bench.e->batch_count == 0) {
		snprintf(out, sizeof out, "%s%s%s", bench.did, bench.did[0] && op->at == OP_WAITING ? ", " : "",
			 op->at != OP_WAITING ? "" : op->again ? "waits to send again" : "waits");
		return out;
	}
	if (ch->move && ch->to.due_at > 0)
		snprintf(due, sizeof due, " +%lld s", (long long)(ch->to.due_at - bench.now + 500) / 1000);
	snprintf(out, sizeof out, "%s%s%s%s%s%s%s%s%s%s%s%s%s", bench.did, bench.did[0] ? ", " : "",
		 ch->move ? delivery_state_name(ch->to.to) : ch->claim ? "claimed" : op->row.status, ch->move && ch->to.reason ? " " : "",
		 ch->move && ch->to.reason ? ch->to.reason : "", due, code[0] ? ": " : "", code, bench_after(ch->after),
		 ch->dead_grant ? " dead" : "", ch->revoked ? " revoked" : "", ch->denied ? " denied" : "", ch->reset ? " anew" : "");
	return out;
}

UNUSED static void bench_drop(struct op *op)
{
	CHECK(bench.e->batch_count <= 1);
	bench.e->batch_count = 0;
	op_free(op);
	bench.did[0] = '\0';
}

#endif
