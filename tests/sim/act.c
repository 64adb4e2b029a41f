/*
 * What users do, at random moments: posts, cancels, edits, retries, verdicts, disconnecting and connecting again;
 * and what operators do: restarts, crashes, stops, reloads.  All through the functions the API calls.
 *
 * The one thing to know: a person's verdict on an unconfirmed delivery is always true here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"
#include "core/model/connect_flow.h"
#include "core/model/connection.h"
#include "core/model/post_write.h"
#include "tests/sim/platform.h"

#define ACTS 40

static int64_t times[ACTS];
static int planned, done;

/* ---- on a post or a delivery ------------------------------------------------------------------------------------ */

struct touch { int index; bool published; int64_t at; };

typedef enum rc post_fn(struct cx *, struct db_conn *, struct post_act *, int64_t);

static const struct owner *owner_of_post(int post)
{
	for (int i = 0; i < sim.delivery_count; i++)
		if (sim.deliveries[i].post == post)
			return &sim.owners[sim.accounts[sim.deliveries[i].account].organization];
	return &sim.owners[0];
}

static enum rc on_post(struct cx *cx, struct db_conn *c, const struct touch *t, post_fn *fn)
{
	ARENA_AUTO struct arena a;
	struct post_act act = {.id = sim.posts[t->index], .owner = owner_of_post(t->index), .arena = &a};

	arena_init(&a, 1u << 20);
	return fn(cx, c, &act, sim.now);
}

static enum rc cancel(struct cx *cx, struct db_conn *c, void *arg) { return on_post(cx, c, arg, post_cancel); }
static enum rc retry(struct cx *cx, struct db_conn *c, void *arg) { return on_post(cx, c, arg, post_retry); }
static enum rc publish(struct cx *cx, struct db_conn *c, void *arg) { return on_post(cx, c, arg, post_publish); }

static const char *content = "{\"options\":{},\"media\":[]}";

/* A thread's first item stands right behind its post; what else hangs below a post is the comment. */
static bool is_comment(int i) { return sim.deliveries[sim.deliveries[i].parent].parent < 0 && sim.deliveries[i].parent != i - 1; }

/* Each root with what hangs below it; its parts follow it. */
static int edit_targets(const struct touch *t, struct arena *a, struct post_target *targets)
{
	int n = -1;

	for (int i = 0; i < sim.delivery_count; i++) {
		const struct delivery_known *d = &sim.deliveries[i];
		const char *text = arena_printf(a, "d%d v%d", i, sim.edits);
		struct post_child *below;

		if (d->post != t->index || (d->parent < 0 && n + 1 == ACCOUNTS))
			continue;
		if (d->parent < 0) {
			targets[++n] = (struct post_target){.connection_id = sim.accounts[d->account].connection_id, .platform = "sim",
				.provider = "sim", .text = text, .content = content, .scheduled_at = t->at,
				.children = arena_array(a, struct post_child, DELIVERIES)};
			continue;
		}
		below = (struct post_child *)(uintptr_t)&targets[n].children[targets[n].child_count++];
		*below = (struct post_child){is_comment(i) ? "first_comment" : "thread", text, content, NULL};
	}
	for (int i = 0; i <= n; i++)
		post_hash(&targets[i], NULL, NULL);
	return n + 1;
}

/* The same targets with another text, maybe at another time. */
static enum rc edit(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct touch *t = arg;
	ARENA_AUTO struct arena a;
	struct post_target targets[ACCOUNTS];
	struct post p;
	int n = 0;
	enum rc rc;

	arena_init(&a, 1u << 20);
	rc = post_load(cx, c, sim.posts[t->index], owner_of_post(t->index), &a, &p);
	if (rc != RC_OK)
		return rc;
	n = edit_targets(t, &a, targets);
	struct post_new new = {.owner = *owner_of_post(t->index), .end_user_id = p.end_user_id, .mode = t->at > 0 ? "schedule" : p.mode,
		.text = "text", .body = "{}", .on_missed = p.on_missed, .scheduled_at = t->at, .max_late_ms = p.max_late_ms, .targets = targets,
		.target_count = n};
	snprintf(new.id, ID_MAX, "%s", p.id);
	return post_edit(cx, c, &new, p.content_version, sim.now);
}

static enum rc load(struct cx *cx, struct db_conn *c, const struct touch *t, struct arena *a, struct delivery *ret)
{
	const struct delivery_known *d = &sim.deliveries[t->index];

	return delivery_find(cx, c, d->id, &sim.owners[sim.accounts[d->account].organization], a, ret);
}

static enum rc resolve(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct touch *t = arg;
	ARENA_AUTO struct arena a;
	struct delivery d;
	struct delivery_verdict v = {.published = t->published, .remote_id = t->published ? platform_post_id(t->index) : NULL};
	enum rc rc;

	arena_init(&a, 1u << 20);
	rc = load(cx, c, t, &a, &d);
	return rc == RC_OK ? delivery_resolve(cx, c, &d, &v, sim.now) : rc;
}

static enum rc reconcile(struct cx *cx, struct db_conn *c, void *arg)
{
	ARENA_AUTO struct arena a;
	struct delivery d;
	enum rc rc;

	arena_init(&a, 1u << 20);
	rc = load(cx, c, arg, &a, &d);
	return rc == RC_OK ? delivery_reconcile(cx, c, &d, sim.now) : rc;
}

/* ---- on a connection --------------------------------------------------------------------------------------------- */

static bool find(struct db_conn *c, const struct touch *t, struct arena *a, struct connection *ret)
{
	const struct account *k = &sim.accounts[t->index];

	return connection_find(c, &sim.owners[k->organization], k->connection_id, a, ret);
}

static enum rc disconnect(struct cx *cx, struct db_conn *c, void *arg)
{
	ARENA_AUTO struct arena a;
	struct connection n;

	(void)cx;
	arena_init(&a, 1u << 20);
	if (find(c, arg, &a, &n))
		connection_let_go(c, sim.platforms, &n, sim.now);
	return db_rc(c);
}

static enum rc pause_or_not(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct touch *t = arg;
	ARENA_AUTO struct arena a;
	struct connection_change change = {.paused_given = true, .paused = t->published};
	struct connection n;

	(void)cx;
	arena_init(&a, 1u << 20);
	if (find(c, t, &a, &n))
		connection_patch(c, &n, &change, sim.now);
	return db_rc(c);
}

static enum rc reconnect(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct touch *t = arg;
	const struct account *k = &sim.accounts[t->index];
	char id[ID_MAX], code[16];
	struct connect_session s = {.owner = sim.owners[k->organization], .end_user_id = sim.end_users[k->organization], .platform = "sim",
		.provider = "sim", .redirect_url = "http://127.0.0.1:1/", .credential_mode = "customer", .single_use = 1,
		.expires_at = sim.now + HOUR};
	struct connect_value value = {"code", code, true};
	struct connect_start start = {.vault = sim.store.vault, .session_id = id, .cookie = "cookie", .values = &value, .value_count = 1};
	enum rc rc = connect_session_add(cx, c, sim.store.vault, &s, id, sim.now);

	snprintf(code, sizeof code, "a%d.0", t->index);
	return rc == RC_OK ? connect_start(cx, c, &start, sim.now) : rc;
}

/* ---- choosing ----------------------------------------------------------------------------------------------------- */

static void do_write(const char *name, db_write_fn *fn, struct touch *t)
{
	bool ok;

	sim_note("user: %s %d", name, t->index);
	ok = write_try(fn, t);
	sim_note("user: %s %d %s", name, t->index, ok ? "done" : "refused");
	if (ok && sim.engine != NULL && !sim.failed)
		engine_wake(sim.engine);
}

static void new_post(void)
{
	static const char *const missed[] = {"publish", "publish", "skip", "hold"};
	int64_t at = sim_chance(40) ? sim.now + sim_delay(sim.plan.storm) + 1 : 0;

	store_post((int)sim_between(1, 15), sim_chance(10) ? "draft" : at ? "schedule" : "now", at, missed[sim_below(4)],
		   sim_chance(30) ? (int)sim_between(1, 3) : 0);
	if (sim.engine != NULL && !sim.failed)
		engine_wake(sim.engine);
}

static struct touch some(int count) { return (struct touch){.index = (int)sim_below(count)}; }

/* A person who looks sees what is there; whether something is still on its way only patience tells. */
static bool verdict_is_clear(int delivery)
{
	return platform_live(delivery) > 0 || (!platform_pending(delivery) && wire_next() == NEVER);
}

static void resolve_one(int delivery)
{
	struct touch t = {.index = delivery, .published = platform_live(delivery) > 0};

	if (verdict_is_clear(delivery))
		do_write("resolve", resolve, &t);
}

static void act_post(int what)
{
	struct touch t = some(sim.post_count);

	switch (what) {
	case 0: do_write("cancel", cancel, &t); break;
	case 1: do_write("retry", retry, &t); break;
	case 2: do_write("publish now", publish, &t); break;
	default:
		sim.edits++;
		t.at = sim_chance(50) ? sim.now + sim_delay(HOUR) + 1 : 0;
		do_write("edit", edit, &t);
	}
}

static void act_connection(void)
{
	struct touch t = some(sim.account_count);

	switch (sim_below(4)) {
	case 0: do_write("disconnect", disconnect, &t); break;
	case 1: do_write("reconnect", reconnect, &t); break;
	default: t.published = sim_chance(50); do_write(t.published ? "pause" : "unpause", pause_or_not, &t);
	}
}

static void act_process(void)
{
	switch (sim_below(5)) {
	case 0: sim_restart(); break;
	case 1: sim_stop(sim_chance(50) ? sim_delay(100 * SECOND) : sim_delay(20 * MINUTE)); break;
	case 2: sim_reload(); break;
	default:
		if (sim.engine != NULL)
			sim_crash_after((int)sim_below(25));
	}
}

static void act_one(void)
{
	struct touch t;
	int64_t dice = sim_below(100);

	sim.acts++;
	if (sim.post_count == 0 || dice < 20) {
		new_post();
	} else if (dice < 55) {
		act_post((int)sim_below(4));
	} else if (dice < 70) {
		t = some(sim.delivery_count);
		if (sim_chance(50))
			do_write("reconcile", reconcile, &t);
		else
			resolve_one(t.index);
	} else if (dice < 80) {
		act_connection();
	} else {
		act_process();
	}
}

/* ---- when ---------------------------------------------------------------------------------------------------------- */

static int before(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

void act_plan(void)
{
	int64_t span = sim_chance(60) ? 5 * MINUTE : sim.plan.storm;

	planned = (int)sim_between(2, sim_chance(70) ? 12 : ACTS);
	done = 0;
	for (int i = 0; i < planned; i++)
		times[i] = i < 2 ? sim.now : sim.now + sim_below(span);
	qsort(times, (size_t)planned, sizeof *times, before);
}

int64_t act_next(void) { return done < planned ? times[done] : NEVER; }

void act_turn(void)
{
	while (done < planned && times[done] <= sim.now && !sim.failed && sim.stopped_until <= sim.now && !sim.dead) {
		done++;
		act_one();
	}
}

/* ---- afterwards ------------------------------------------------------------------------------------------------------ */

static bool connection_wants(int account, bool *ret_paused)
{
	DB_READ_AUTO struct db_conn *c = db_take(sim.store.db);
	STMT_AUTO struct stmt *s = db_query(c, "SELECT status, paused FROM connection WHERE id = ?1", "s", sim.accounts[account].connection_id);
	bool dead = db_next(s) && !text_eq(db_text(s, 0), "active");

	*ret_paused = db_int(s, 1) != 0;
	return dead;
}

static void settle_connections(void)
{
	for (int i = 0; i < sim.account_count && !sim.failed; i++) {
		struct touch t = {.index = i};
		bool paused, dead = connection_wants(i, &paused);

		if (dead)
			do_write("reconnect", reconnect, &t);
		if (paused)
			do_write("unpause", pause_or_not, &t);
	}
}

struct standing { char state[24], reason[32]; int64_t key_number; };

static struct standing standing(int delivery)
{
	DB_READ_AUTO struct db_conn *c = db_take(sim.store.db);
	STMT_AUTO struct stmt *s = db_query(c, "SELECT d.state, d.reason, o.key_number FROM delivery d LEFT JOIN operation o"
					    " ON o.delivery_id = d.id AND o.kind = 'publish' WHERE d.id = ?1", "s", sim.deliveries[delivery].id);
	struct standing st = {"", "", 0};

	if (db_next(s)) {
		snprintf(st.state, sizeof st.state, "%s", db_text_or(s, 0, ""));
		snprintf(st.reason, sizeof st.reason, "%s", db_text_or(s, 1, ""));
		st.key_number = db_int(s, 2);
	}
	return st;
}

/* For days the platform has answered every question: what is still unconfirmed must be what no question can settle. */
static void settle_delivery(int i, int64_t calm)
{
	struct standing st = standing(i);
	struct touch t = {.index = sim.deliveries[i].post};
	enum type type = sim.accounts[sim.deliveries[i].account].type;
	bool clocks_apart = sim.plan.skew < -4 * MINUTE || sim.plan.skew > 4 * MINUTE;
	bool none = type == TYPE_NONE || (clocks_apart && type != TYPE_HANDLE);		/* a list by time proves nothing then */

	if (text_eq(st.state, "unconfirmed") && (none || calm > 3 * DAY)) {
		if (!none && st.key_number < 4)
			sim_violation("delivery %d is unconfirmed although the platform would tell", i);
		sim.resolved++;
		resolve_one(i);
	} else if (text_eq(st.state, "blocked") && text_eq(st.reason, "missed")) {
		do_write("publish now", publish, &t);
	} else if (text_eq(st.state, "pending") && calm > HOUR) {
		do_write("publish now", publish, &t);
	}
}

void act_settle(int64_t calm)
{
	bool reload = false;

	settle_connections();
	for (int i = 0; i < sim.delivery_count && !sim.failed; i++) {
		struct standing st = standing(i);

		reload = reload || text_eq(st.reason, "provider") || text_eq(st.reason, "platform_paused");
		settle_delivery(i, calm);
	}
	if (reload && !sim.failed)
		sim_reload();
}
