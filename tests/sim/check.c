/*
 * The invariants, checked after every commit, every post at the platform, and at rest.
 *
 * One thing is said for fairness: "failed" by a person's verdict counts like any other, because the people of the
 * simulator tell the truth.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "tests/sim/platform.h"

struct row {
	char id[ID_MAX], text[32], remote_id[16], post_id[ID_MAX], connection_id[ID_MAX], parent[ID_MAX];
	enum delivery_state state;
	int64_t claimed_at, scheduled_at, attempts, late_after;
	bool late_is_fine;
};

static struct row rows[DELIVERIES];
static bool begun[DELIVERIES];		/* taken up once and put back: the late policy is over for it */
static int64_t moves_seen;

void check_reset(void)
{
	memset(rows, 0, sizeof rows);
	memset(begun, 0, sizeof begun);
	moves_seen = 0;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static int index_of(const char *id)
{
	for (int i = 0; i < sim.delivery_count; i++)
		if (strcmp(sim.deliveries[i].id, id) == 0)
			return i;
	return -1;
}

static void copy(struct stmt *s, int column, char *out, size_t size) { snprintf(out, size, "%s", db_text_or(s, column, "")); }

static void read_rows(struct db_conn *c)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT id, state, text, remote_id, post_id, connection_id, parent_delivery_id, claimed_at,"
					    " scheduled_at, attempt_count, late_after, on_missed FROM delivery", "");

	while (db_next(s)) {
		int i = index_of(db_text_or(s, 0, ""));
		struct row *r = &rows[i];

		if (i < 0)
			continue;
		copy(s, 0, r->id, sizeof r->id);
		if (!delivery_state_read(db_text_or(s, 1, ""), &r->state))
			sim_violation("delivery %d has the state %s", i, db_text_or(s, 1, ""));
		copy(s, 2, r->text, sizeof r->text);
		copy(s, 3, r->remote_id, sizeof r->remote_id);
		copy(s, 4, r->post_id, sizeof r->post_id);
		copy(s, 5, r->connection_id, sizeof r->connection_id);
		copy(s, 6, r->parent, sizeof r->parent);
		r->claimed_at = db_int(s, 7);
		r->scheduled_at = db_int(s, 8);
		r->attempts = db_int(s, 9);
		r->late_after = db_int(s, 10);
		r->late_is_fine = text_eq(db_text(s, 11), "publish");
	}
}

/* ---- each delivery ------------------------------------------------------------------------------------------------ */

static void check_delivery(int i)
{
	const struct row *r = &rows[i];
	int live = platform_live(i);
	const char *text = platform_post_text(i);

	if (live > 1)
		sim_violation("delivery %d is live %d times", i, live);
	else if (live == 0 && r->state == DELIVERY_PUBLISHED)
		sim_violation("delivery %d is published, but the platform has nothing", i);
	else if (live > 0 && delivery_final(r->state) && r->state != DELIVERY_PUBLISHED)
		sim_violation("delivery %d is %s, but it is live", i, delivery_state_name(r->state));
	else if (r->state == DELIVERY_PUBLISHED && !text_eq(r->remote_id, platform_post_id(i)))
		sim_violation("delivery %d is published as %s, but it is %s", i, r->remote_id, platform_post_id(i));
	else if (text != NULL && !text_eq(text, r->text))
		sim_violation("delivery %d went out as \"%s\", but its text is \"%s\"", i, text, r->text);
}

/* ---- each move ------------------------------------------------------------------------------------------------------ */

static bool proof_moves(enum delivery_state from, enum delivery_state to)
{
	return to == DELIVERY_PUBLISHED && (from == DELIVERY_QUEUED || from == DELIVERY_PROCESSING);
}

static void check_moves(struct db_conn *c)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT n, delivery_id, was, is_now, claim FROM sim_move WHERE n > ?1 ORDER BY n", "i", moves_seen);
	enum delivery_state from, to;

	while (db_next(s)) {
		int i = index_of(db_text_or(s, 1, ""));

		moves_seen = db_int(s, 0);
		if (!delivery_state_read(db_text_or(s, 2, ""), &from) || !delivery_state_read(db_text_or(s, 3, ""), &to))
			continue;
		sim_note("store: delivery %d %s -> %s (claim %lld)", i, db_text_or(s, 2, ""), db_text_or(s, 3, ""), (long long)db_int(s, 4));
		if (i >= 0 && from != DELIVERY_QUEUED && (to == DELIVERY_QUEUED || to == DELIVERY_BLOCKED))
			begun[i] = true;
		if (from != to && !delivery_may(from, to) && !proof_moves(from, to))
			sim_violation("delivery %d went from %s to %s", i, db_text_or(s, 2, ""), db_text_or(s, 3, ""));
	}
}

/* ---- each connection: one delivery at a time, the earliest first ------------------------------------------------- */

struct op *__real_op_of_delivery(struct engine *e, struct db_conn *c, const char *delivery_id);
struct op *__wrap_op_of_delivery(struct engine *e, struct db_conn *c, const char *delivery_id);

static bool in_hand(const struct engine *e, const char *delivery_id)
{
	for (const struct op *op = e->ops.next; op != &e->ops; op = op->next)
		if (op->publish && text_eq(op->d.id, delivery_id))
			return true;
	return false;
}

/* The engine takes a delivery up: it has it in hand nowhere else, and nobody has waited longer for its connection. */
struct op *__wrap_op_of_delivery(struct engine *e, struct db_conn *c, const char *delivery_id)
{
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT o.id FROM delivery d JOIN delivery o ON o.connection_id = d.connection_id AND o.id <> d.id WHERE d.id = ?1"
		" AND d.state = 'queued' AND o.state = 'queued' AND o.due_at < d.due_at AND o.due_at <= ?2 AND o.updated_at < ?2", "si",
		delivery_id, sim.now);

	if (in_hand(e, delivery_id))
		sim_violation("delivery %d is in hand twice", index_of(delivery_id));
	while (db_next(s))
		if (!in_hand(e, db_text_or(s, 0, "")))
			sim_violation("delivery %d is taken up before %d, which is due for longer", index_of(delivery_id), index_of(db_text_or(s, 0, "")));
	return __real_op_of_delivery(e, c, delivery_id);
}

static bool sending(const struct row *r) { return r->state == DELIVERY_PROCESSING || r->state == DELIVERY_COMMITTING; }

/* The process may have stood still between looking at the clock and taking it up. */
static void check_late(int i)
{
	const struct row *r = &rows[i];

	if (sending(r) && !begun[i] && !r->late_is_fine && r->late_after > 0 && r->claimed_at > r->late_after + 30 * MINUTE)
		sim_violation("delivery %d is sent %lld minutes after it was to be skipped or held", i,
			      (long long)((r->claimed_at - r->late_after) / MINUTE));
}

/* An operation that could not be written is dropped, and its row waits for the sweep: it is in nobody's hands. */
static void check_order(void)
{
	if (sim.dropped)
		return;
	for (int i = 0; i < sim.delivery_count; i++)
		for (int j = 0; j < i; j++)
			if (sending(&rows[i]) && sending(&rows[j]) && text_eq(rows[i].connection_id, rows[j].connection_id))
				sim_violation("deliveries %d and %d of one connection are sent at once", j, i);
}

/* ---- each part of a thread: it waits exactly as long as its parent may still be published -------------------------- */

static void check_family(int i)
{
	int parent = index_of(rows[i].parent);
	enum delivery_state is = rows[i].state, above;

	if (rows[i].parent[0] == '\0')
		return;
	above = rows[parent].state;
	if (above == DELIVERY_PUBLISHED && is == DELIVERY_PENDING)
		sim_violation("delivery %d waits, but its parent %d is published", i, parent);
	else if (above != DELIVERY_PUBLISHED && delivery_final(above) && !delivery_final(is))
		sim_violation("delivery %d is %s, but its parent %d is %s", i, delivery_state_name(is), parent, delivery_state_name(above));
	else if (!delivery_final(above) && is != DELIVERY_PENDING && is != DELIVERY_CANCELED)
		sim_violation("delivery %d is %s, and its parent %d is %s", i, delivery_state_name(is), parent, delivery_state_name(above));
	else if (platform_live(i) > 0 && platform_live(parent) == 0)
		sim_violation("delivery %d is live, its parent %d is not", i, parent);
}

/* ---- each post: its status, derived once more, from delivery.md ----------------------------------------------------- */

struct tally { int all, attention, open, claimed, scheduled, in[DELIVERY_STATES]; };

static struct tally tally(const char *post_id)
{
	struct tally t = {0};

	for (int i = 0; i < sim.delivery_count; i++) {
		const struct row *r = &rows[i];

		if (!text_eq(r->post_id, post_id) || r->state == DELIVERY_CANCELED)
			continue;
		t.all++;
		t.in[r->state]++;
		t.claimed += r->claimed_at > 0;
		t.scheduled += r->scheduled_at > 0;
	}
	t.attention = t.in[DELIVERY_UNCONFIRMED] + t.in[DELIVERY_BLOCKED] + t.in[DELIVERY_AWAITING_USER];
	t.open = t.in[DELIVERY_PENDING] + t.in[DELIVERY_QUEUED] + t.in[DELIVERY_PROCESSING] + t.in[DELIVERY_COMMITTING] +
		 t.in[DELIVERY_AWAITING_PLATFORM];
	return t;
}

static const char *derive(const struct tally *t, bool draft)
{
	if (t->all == 0)
		return "canceled";
	if (draft)
		return "draft";
	if (t->attention > 0)
		return "needs_attention";
	if (t->open > 0)
		return t->claimed == 0 && t->scheduled > 0 ? "scheduled" : "publishing";
	if (t->in[DELIVERY_PUBLISHED] == t->all)
		return "published";
	if (t->in[DELIVERY_PUBLISHED] > 0)
		return "partially_published";
	return t->in[DELIVERY_FAILED] > 0 ? "failed" : "missed";
}

static void check_posts(struct db_conn *c)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT id, status, mode FROM post", "");

	while (db_next(s)) {
		struct tally t = tally(db_text_or(s, 0, ""));
		const char *wanted = derive(&t, text_eq(db_text(s, 2), "draft"));

		if (!text_eq(db_text(s, 1), wanted))
			sim_violation("a post is %s, but by its deliveries it is %s", db_text(s, 1), wanted);
	}
}

void check_all(void)
{
	struct db_conn *c;

	if (sim.delivery_count == 0 || sim.failed)
		return;
	c = db_take(sim.store.db);
	read_rows(c);
	check_moves(c);
	for (int i = 0; i < sim.delivery_count; i++)
		if (rows[i].id[0] != '\0')
			check_delivery(i), check_late(i), check_family(i);
	check_order();
	check_posts(c);
	db_give(c);
}

/* ---- at rest ---------------------------------------------------------------------------------------------------------- */

static int64_t events(struct db_conn *c, const char *type, const char *id)
{
	return db_number(c, 0, "SELECT COUNT(*) FROM event WHERE type = ?1 AND json_extract(data, '$.object.id') = ?2", "ss", type, id);
}

/* Every end was told, once. */
static void check_events(struct db_conn *c, int i)
{
	const struct row *r = &rows[i];
	int64_t published = events(c, "delivery.published", r->id), wanted = r->state == DELIVERY_PUBLISHED;

	if (published != wanted)
		sim_violation("delivery %d is %s and has %lld events delivery.published", i, delivery_state_name(r->state), (long long)published);
	if (r->state == DELIVERY_FAILED && events(c, "delivery.failed", r->id) == 0)
		sim_violation("delivery %d failed silently", i);
}

static void check_attempts(struct db_conn *c, int i)
{
	int64_t n = db_number(c, 0, "SELECT COUNT(*) FROM attempt WHERE delivery_id = ?1", "s", rows[i].id);

	if (n < rows[i].attempts)
		sim_violation("delivery %d counts %lld attempts and has %lld", i, (long long)rows[i].attempts, (long long)n);
	if (rows[i].state == DELIVERY_PUBLISHED && n == 0 && rows[i].attempts > 0)
		sim_violation("delivery %d was published without an attempt", i);
}

static void check_grants(struct db_conn *c)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT g.status, g.status_reason, n.remote_id FROM auth_grant g"
					    " JOIN connection n ON n.grant_id = g.id", "");

	while (db_next(s)) {
		int account = db_text_or(s, 2, "account0")[7] - '0';

		if ((text_eq(db_text(s, 0), "reauth_required") || text_eq(db_text(s, 0), "revoked")) && !platform_may_be_dead(account))
			sim_violation("the grant of account %d is %s (%s) for nothing", account, db_text(s, 0), db_text_or(s, 1, ""));
	}
}

void check_rest(void)
{
	struct db_conn *c;

	check_all();
	c = db_take(sim.store.db);
	for (int i = 0; i < sim.delivery_count && !sim.failed; i++) {
		check_events(c, i);
		check_attempts(c, i);
	}
	check_grants(c);
	db_give(c);
}
