/*
 * limits: what an account or its instance allows, read after it was connected and then every day.
 *
 * The one thing to know: this never stands in anybody's way.  A look that fails leaves what was known (or the
 * descriptor's limits), comes back later and later, and nothing waits for it.  Of one host, two are asked about at
 * a time; connections that cannot have their turn because of that are put off, so that a slow or dead instance with
 * many accounts keeps nobody else's from being read.
 */
#include "core/engine/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/log.h"
#include "core/base/rc.h"
#include "core/base/text.h"
#include "core/model/connection.h"

#define PAGE 100		/* due connections seen in one look */
#define MOST 20			/* under way at once */
#define MOST_OF_HOST 2
#define LOOK_MS 500
#define MINUTE_MS (60 * 1000ll)
#define DAY_MS (24 * 60 * MINUTE_MS)
#define PREFIX "limits."
#define LIMITS_MAX 16384

/* From ms to a quarter more: what was connected at one time is not read at one time for ever. */
static int64_t spread(int64_t ms)
{
	uint16_t lot;

	id_random(&lot, sizeof lot);
	return ms + ms / 4 * lot / 65536;
}

/* ---- putting off --------------------------------------------------------------------------------------- */

struct later { char ids[PAGE][ID_MAX]; int64_t at[PAGE]; int count; };

static enum rc later_write(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct later *l = ((struct engine *)arg)->later;

	for (int i = 0; i < l->count; i++)
		connection_limits_later(c, l->ids[i], l->at[i]);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static void later_written(enum rc rc, const char *words, void *arg)
{
	if (rc != RC_OK)
		log_warn("engine", "limits: %s", words ? words : rc_name(rc));
	atomic_store(&((struct engine *)arg)->later_out, false);
}

static void put_off(struct later *l, const char *id, int64_t at)
{
	snprintf(l->ids[l->count], ID_MAX, "%s", id);
	l->at[l->count++] = at;
}

/* ---- what is due --------------------------------------------------------------------------------------- */

struct due { char id[ID_MAX]; const char *host, *provider; };

static bool is_limits(const struct op *op) { return text_eq(op->row.kind, "limits"); }

/* How many are under way, how many of them at this host; true if one is this connection's. */
static bool under_way(const struct engine *e, const struct due *d, int *ret_all, int *ret_host)
{
	bool own = false;

	*ret_all = *ret_host = 0;
	for (const struct op *op = e->ops.next; op != &e->ops; op = op->next) {
		if (!is_limits(op))
			continue;
		++*ret_all;
		*ret_host += d != NULL && text_eq(op->row.provider, d->provider) &&
			     text_eq(op->account_host ? op->account_host : "", d->host);
		own = own || (d != NULL && text_eq(op->row.connection_id, d->id));
	}
	return own;
}

static bool can_read(struct engine *e, const char *provider)
{
	PLATFORM_AUTO const struct platform *p = platforms_take(e->config.platforms, provider);

	return p != NULL && platform_has(p, "limits");
}

static int list(struct db_conn *c, int64_t now, struct due *ret, struct arena *a)
{
	int n = 0;
	STMT_AUTO struct stmt *s = connection_limits_due(c, now, PAGE);

	while (n < PAGE && db_next(s)) {
		snprintf(ret[n].id, ID_MAX, "%s", db_text_or(s, 0, ""));
		ret[n].provider = db_dup(s, 1, a);
		ret[n++].host = arena_text(a, db_text_or(s, 2, ""));
	}
	return n;
}

static void begin(struct engine *e, struct db_conn *c, const char *connection_id, int64_t now)
{
	struct op *op = op_of_limits(e, c, connection_id);

	if (op == NULL)
		return;
	if (refresh_needed(op, now))
		refresh_wait(op);
	else
		op_step(op, "start");
}

/* One look; what has no turn goes into l.  Full: others may stand behind what was seen. */
static void look(struct engine *e, struct db_conn *c, int64_t now, struct later *l)
{
	ARENA_AUTO struct arena a;
	struct due *due;
	int n, all, host;

	arena_init(&a, 1u << 20);
	due = arena_array(&a, struct due, PAGE);
	n = list(c, now, due, &a);
	for (int i = 0; i < n; i++) {
		if (under_way(e, &due[i], &all, &host))
			continue;
		if (!can_read(e, due[i].provider))
			put_off(l, due[i].id, now + spread(DAY_MS));
		else if (all < MOST && host < MOST_OF_HOST)
			begin(e, c, due[i].id, now);
		else if (n == PAGE && host >= MOST_OF_HOST)
			put_off(l, due[i].id, now + spread(10 * MINUTE_MS));
	}
}

int64_t limits_due(struct engine *e, struct db_conn *c, int64_t now)
{
	int64_t rest = e->limits_at - clock_mono();
	int all, host;

	if (rest > 0)
		return now + rest;
	under_way(e, NULL, &all, &host);
	if (all >= MOST || atomic_load(&e->later_out))
		return now + LOOK_MS;
	e->limits_at = clock_mono() + LOOK_MS;
	if (e->later == NULL && (e->later = calloc(1, sizeof *e->later)) == NULL)
		out_of_memory(__func__);
	e->later->count = 0;
	look(e, c, now, e->later);
	if (e->later->count > 0) {
		atomic_store(&e->later_out, true);
		db_write_async(e->db, later_write, later_written, e);
	}
	return connection_limits_next(c, now);
}

/* ---- ends ---------------------------------------------------------------------------------------------- */

/* Daily, for every account: its row would say nothing that the connection does not. */
static void leave_no_trace(struct db_conn *c, struct op *op)
{
	db_run(c, "DELETE FROM operation WHERE id = ?1 AND organization_id = ?2", "ss", op->id, op->row.owner.organization_id);
}

enum rc limits_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	BUF_AUTO struct buf text;
	struct jsonw w;

	(void)cx;
	buf_init(&text, LIMITS_MAX);
	jsonw_init(&w, &text);
	jsonw_object(&w, "");
	op_results_write(op, PREFIX, true, &w);
	jsonw_object_end(&w);
	jsonw_end(&w);
	if (buf_ok(&text))
		connection_limits_keep(c, op->row.connection_id, op->row.owner.organization_id, op->grant.id, buf_text(&text),
				       now + spread(DAY_MS), now);
	else
		limits_failed(c, op, now);
	leave_no_trace(c, op);
	return RC_OK;
}

void limits_failed(struct db_conn *c, struct op *op, int64_t now)
{
	int64_t ms = 5 * MINUTE_MS;

	log_info("engine", "the limits of connection %s cannot be read now: %s", op->row.connection_id, op->cx.words);
	for (int64_t i = 0; i < op->limits_failures && ms < DAY_MS; i++)
		ms *= 2;
	if (ms < op->retry_after_ms)
		ms = op->retry_after_ms;
	connection_limits_failed(c, op->row.connection_id, op->row.owner.organization_id, now + spread(ms < DAY_MS ? ms : DAY_MS));
	leave_no_trace(c, op);
}
