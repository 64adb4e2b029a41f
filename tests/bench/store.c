/*
 * Rows for a place: organizations, people, connections, posts, written through the product's own store and vault
 * while its server does not run.
 *
 * The one thing to know: the rows of store_rows_per_s are copies of one post that the product itself accepted,
 * under new ids and in the product's own number of statements, so that the ceiling of accepting writes what
 * accepting writes.
 */
#include "tests/bench/bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/engine/op.h"
#include "core/model/data_key.h"
#include "core/model/grant.h"
#include "core/model/installation.h"
#include "core/model/organization.h"

#define CHUNK 4000	/* posts of one write */

struct store { struct installation i; struct conf conf; };

struct store *store_open(const struct place *p)
{
	struct store *s = calloc(1, sizeof *s);
	struct cx cx;

	cx_init(&cx, "bench");
	if (s == NULL || conf_load(&cx, p->config, &s->conf) != RC_OK || installation_open(&cx, &s->conf, &s->i) != RC_OK)
		die("cannot open the store: %s", cx.words);
	return s;
}

void store_close(struct store *s)
{
	installation_close(&s->i);
	conf_free(&s->conf);
	free(s);
}

static void write_now(struct store *s, db_write_fn *fn, void *arg)
{
	struct cx cx;

	cx_init(&cx, "bench");
	if (db_write(&cx, s->i.db, fn, arg) != RC_OK)
		die("cannot write: %s", cx.words);
}

int64_t store_count(struct store *s, const char *state)
{
	struct db_conn *c = db_take(s->i.db);
	int64_t n = state ? db_number(c, -1, "SELECT COUNT(*) FROM delivery WHERE state = ?1", "s", state)
		: db_number(c, -1, "SELECT COUNT(*) FROM post", "");

	db_give(c);
	return n;
}

/* ---- people ------------------------------------------------------------------------------------------- */

struct peopling { struct store *s; struct people *p; int from, to, per_user; };

static enum rc orgs_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct peopling *w = arg;
	enum rc rc = RC_OK;

	for (int i = 0; i < w->p->org_count && rc == RC_OK; i++) {
		struct organization_new o = {.name = "Bench"};

		rc = organization_create(cx, c, w->s->i.vault, &o, clock_now());
		snprintf(w->p->org[i].id, ID_MAX, "%s", o.id);
		snprintf(w->p->org[i].app, ID_MAX, "%s", o.app_id);
		snprintf(w->p->org[i].key, VAULT_API_KEY_MAX, "%s", o.test_key);
	}
	return rc;
}

static enum rc user_write(struct cx *cx, struct db_conn *c, struct peopling *w, struct person *p, int n)
{
	char external[32];

	snprintf(external, sizeof external, "user-%d", n);
	id_new(p->user, "eu");
	db_run(c, "INSERT INTO end_user (id, organization_id, app_id, live, external_id, created_at, updated_at)"
	       " VALUES (?1, ?2, ?3, 0, ?4, ?5, ?5)", "ssssi", p->user, w->p->org[p->org].id, w->p->org[p->org].app, external, clock_now());
	return data_key_create(cx, c, w->s->i.vault, w->p->org[p->org].id, p->user);
}

static enum rc connection_write(struct cx *cx, struct db_conn *c, struct peopling *w, struct person *p, int n)
{
	struct grant g = {.owner = {w->p->org[p->org].id, w->p->org[p->org].app, 0}, .end_user_id = p->user, .platform = "sandbox",
		.provider = "sandbox"};
	char grant_id[ID_MAX], remote[32];
	struct buf bag;
	enum rc rc;

	buf_init(&bag, 4096);
	bag_put(&bag, REC_STATE, "access", "sbx_access_0123456789012345678901234567890123456789");
	bag_put(&bag, REC_STATE, "refresh", "sbx_refresh_0123456789012345678901234567890123456789");
	rc = grant_create(cx, c, w->s->i.vault, &g, grant_id, &bag, clock_now());
	buf_wipe(&bag);
	db_run(c, "UPDATE auth_grant SET status = 'active' WHERE id = ?1", "s", grant_id);
	id_new(p->connection, "con");
	snprintf(remote, sizeof remote, "acc_%d", n);
	db_run(c, "INSERT INTO connection (id, organization_id, app_id, live, end_user_id, grant_id, platform, provider, remote_id, username,"
	       " display_name, account_type, status, scopes, created_at, updated_at) VALUES (?1, ?2, ?3, 0, ?4, ?5, 'sandbox', 'sandbox', ?6, ?6,"
	       " 'Robin', 'keyed', 'active', 'publish read', ?7, ?7)", "ssssssi", p->connection, g.owner.organization_id, g.owner.app_id, p->user,
	       grant_id, remote, clock_now());
	return rc;
}

static enum rc people_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct peopling *w = arg;
	enum rc rc = RC_OK;

	for (int i = w->from; i < w->to && rc == RC_OK; i++) {
		struct person *p = &w->p->at[i];

		p->org = i / w->per_user % w->p->org_count;
		if (i % w->per_user == 0)
			rc = user_write(cx, c, w, p, i);
		else
			memcpy(p->user, p[-1].user, ID_MAX);
		if (rc == RC_OK)
			rc = connection_write(cx, c, w, p, i);
	}
	return rc == RC_OK ? db_rc(c) : rc;
}

void store_people(struct store *s, struct people *people, int connections, int per_user, int orgs)
{
	struct peopling w = {s, people, 0, 0, per_user};

	people->count = connections;
	people->org_count = orgs;
	people->at = calloc((size_t)connections, sizeof *people->at);
	if (people->at == NULL || orgs > (int)(sizeof people->org / sizeof people->org[0]))
		die("too many people");
	write_now(s, orgs_write, &w);
	for (; w.from < connections; w.from = w.to) {
		w.to = w.from + CHUNK < connections ? w.from + CHUNK : connections;
		write_now(s, people_write, &w);
	}
}

/* ---- posts -------------------------------------------------------------------------------------------- */

struct posting { const struct people *p; const struct posts *what; int64_t from, to; };

static void post_write(struct db_conn *c, struct posting *w, int64_t i, int64_t now)
{
	const struct posts *what = w->what;
	const struct person *p = &w->p->at[i % w->p->count];
	const char *org = w->p->org[p->org].id, *app = w->p->org[p->org].app;
	int64_t due = what->due_at + i * what->step_ms, each = what->id_count > 0 ? what->count / what->id_count : 1;
	bool open = text_eq(what->state, "queued");
	char post[ID_MAX], delivery[ID_MAX], text[160], hash[40];
	uint64_t random[2];

	id_new(post, "post");
	id_new(delivery, "dlv");
	id_random(random, sizeof random);
	snprintf(hash, sizeof hash, "%016llx%016llx", (unsigned long long)random[0], (unsigned long long)random[1]);
	snprintf(text, sizeof text, "The weekly letter is out, number %lld: what we learned, what we built and what comes next. due=%lld",
		 (long long)i, (long long)due);
	db_run(c, "INSERT INTO post (id, organization_id, app_id, live, end_user_id, status, mode, text, body, scheduled_at, max_late_ms,"
	       " on_missed, created_at, updated_at) VALUES (?1, ?2, ?3, 0, ?4, ?5, 'schedule', ?6, '{}', ?7, 21600000, 'publish', ?8, ?8)",
	       "ssssssii", post, org, app, p->user, open ? "scheduled" : "published", text, due, now);
	db_run(c, "INSERT INTO delivery (id, organization_id, app_id, live, post_id, connection_id, platform, provider, text, content,"
	       " content_hash, state, scheduled_at, due_at, late_after, on_missed, created_at, updated_at) VALUES (?1, ?2, ?3, 0, ?4, ?5,"
	       " 'sandbox', 'sandbox', ?6, '{\"options\":{},\"media\":[]}', ?7, ?8, ?9, ?10, ?9 + 21600000, 'publish', ?11, ?11)",
	       "ssssssssioi", delivery, org, app, post, p->connection, text, hash, what->state, due, open ? due : (int64_t)0, now);
	if (what->ids != NULL && i % each == 0 && i / each < what->id_count)
		memcpy(what->ids[i / each], post, ID_MAX);
}

static enum rc posts_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct posting *w = arg;
	int64_t now = clock_now();

	(void)cx;
	for (int64_t i = w->from; i < w->to; i++)
		post_write(c, w, i, now);
	return db_rc(c);
}

void store_posts(struct store *s, const struct people *people, const struct posts *posts)
{
	struct posting w = {.p = people, .what = posts};

	for (; w.from < posts->count; w.from = w.to) {
		w.to = w.from + CHUNK < posts->count ? w.from + CHUNK : posts->count;
		write_now(s, posts_write, &w);
	}
}

/* ---- very many posts ------------------------------------------------------------------------------------ */

#define FILL_CHUNK 20000
#define FILL_RANGE "WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2) "

struct filling { const struct people *p; int64_t from, to, count, now; };

/* store_people has made the connections with the rowids 1 and up. */
static enum rc fill_write(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct filling *w = arg;

	(void)cx;
	db_run(c, FILL_RANGE "INSERT INTO post (id, organization_id, app_id, live, end_user_id, status, mode, text, body, scheduled_at,"
	       " max_late_ms, on_missed, created_at, updated_at) SELECT printf('post_%026d', i), k.organization_id, k.app_id, 0, k.end_user_id,"
	       " CASE i % 10 WHEN 0 THEN 'scheduled' ELSE 'published' END, 'schedule', 'Letter ' || i, '{}', ?3 + 86400000 + i, 21600000,"
	       " 'publish', ?3 - ?5 + i, ?3 - ?5 + i FROM n JOIN connection k ON k.rowid = 1 + i % ?4",
	       "iiiii", w->from, w->to, w->now, (int64_t)w->p->count, w->count);
	db_run(c, FILL_RANGE "INSERT INTO delivery (id, organization_id, app_id, live, post_id, connection_id, platform, provider, text,"
	       " content, content_hash, state, scheduled_at, due_at, late_after, on_missed, created_at, updated_at)"
	       " SELECT printf('dlv_%026d', i), k.organization_id, k.app_id, 0, printf('post_%026d', i), k.id, 'sandbox', 'sandbox',"
	       " 'Letter ' || i, '{}', printf('%08x%024d', i * 2654435761 % 4294967296, i),"
	       " CASE i % 10 WHEN 0 THEN 'queued' ELSE 'published' END, ?3 + 86400000 + i,"
	       " CASE i % 10 WHEN 0 THEN ?3 + 86400000 + i END, NULL, 'publish', ?3 - ?5 + i, ?3 - ?5 + i FROM n"
	       " JOIN connection k ON k.rowid = 1 + i % ?4", "iiiii", w->from, w->to, w->now, (int64_t)w->p->count, w->count);
	return db_rc(c);
}

static enum rc index_drop(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)cx, (void)arg;
	db_run(c, "DROP INDEX delivery_content", "");
	return db_rc(c);
}

static enum rc index_make(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)cx, (void)arg;
	db_run(c, "CREATE INDEX delivery_content ON delivery (connection_id, content_hash, created_at)", "");
	return db_rc(c);
}

void store_fill(struct store *s, const struct people *people, int64_t count)
{
	struct filling w = {.p = people, .count = count, .now = clock_now()};
	struct cx cx;

	write_now(s, index_drop, NULL);
	for (; w.from < count; w.from = w.to) {
		w.to = w.from + FILL_CHUNK < count ? w.from + FILL_CHUNK : count;
		write_now(s, fill_write, &w);
		if (w.to % 1000000 == 0)
			progress("scale: %lld posts", (long long)w.to);
	}
	write_now(s, index_make, NULL);
	cx_init(&cx, "bench");
	if (db_scrub(&cx, s->i.db) != RC_OK)
		die("cannot copy the WAL: %s", cx.words);
	sync();		/* what is measured next does not wait for what was made before */
}

static int64_t rows_read(struct store *s, const char *sql, const char *a, const char *b, int64_t now)
{
	struct db_conn *c = db_take(s->i.db);
	int64_t n = 0;

	{
		STMT_AUTO struct stmt *q = b ? db_query(c, sql, "ssi", a, b, now) : db_query(c, sql, "ss", a, "");
		while (db_next(q))
			n++;
	}
	if (db_rc(c) != RC_OK)
		die("%s", db_words(c));
	db_give(c);
	return n;
}

void store_claim_us(struct store *s, const struct people *people, double *ret_orgs, double *ret_due)
{
	static uint32_t us[2][1000];
	const char *org = people->org[0].id;

	for (int i = 0; i < 1000; i++) {
		int64_t began = now_us(), middle;

		if (rows_read(s, CLAIM_NEXT_ORGANIZATION, "queued", NULL, 0) != 1)
			die("no organization has queued rows");
		middle = now_us();
		if (rows_read(s, CLAIM_DUE, "queued", org, wall_ms()) == 0)
			die("nothing is due");
		us[0][i] = (uint32_t)(middle - began);
		us[1][i] = (uint32_t)(now_us() - middle);
	}
	*ret_orgs = percentile_ms(us[0], 1000, 0.5) * 1000;
	*ret_due = percentile_ms(us[1], 1000, 0.5) * 1000;
}

/* ---- the ceiling of accepting ---------------------------------------------------------------------------- */

struct copying {
	struct store *s;
	char org[ID_MAX], app[ID_MAX], post[ID_MAX], key[256];	/* of the post that is copied */
	char delivery[3][ID_MAX];
	int deliveries;
	int64_t event;
	atomic_bool stop;
	atomic_llong done;
};

static void template_find(struct copying *w)
{
	struct db_conn *c = db_take(w->s->i.db);

	{
		STMT_AUTO struct stmt *q = db_query(c, "SELECT id, organization_id, app_id FROM post ORDER BY id DESC LIMIT 1", "");
		if (db_next(q)) {
			snprintf(w->post, ID_MAX, "%s", db_text_or(q, 0, ""));
			snprintf(w->org, ID_MAX, "%s", db_text_or(q, 1, ""));
			snprintf(w->app, ID_MAX, "%s", db_text_or(q, 2, ""));
		}
	}
	{
		STMT_AUTO struct stmt *q = db_query(c, "SELECT id FROM delivery WHERE post_id = ?1", "s", w->post);
		while (w->deliveries < 3 && db_next(q))
			snprintf(w->delivery[w->deliveries++], ID_MAX, "%s", db_text_or(q, 0, ""));
	}
	{
		STMT_AUTO struct stmt *q = db_query(c, "SELECT key FROM idempotency ORDER BY created_at DESC LIMIT 1", "");
		if (db_next(q))
			snprintf(w->key, sizeof w->key, "%s", db_text_or(q, 0, ""));
	}
	w->event = db_number(c, 0, "SELECT MAX(sequence) FROM event", "");
	db_give(c);
	if (w->deliveries != 3 || w->key[0] == '\0' || w->event == 0)
		die("the last accepted post has %d deliveries, key '%s', event %lld: nothing to copy", w->deliveries, w->key, (long long)w->event);
}

static void delivery_copy(struct db_conn *c, const struct copying *w, int i, const char *post, int64_t now)
{
	char id[ID_MAX], hash[40];
	uint64_t r[2];

	id_new(id, "dlv");
	id_random(r, sizeof r);
	snprintf(hash, sizeof hash, "%016llx%016llx", (unsigned long long)r[0], (unsigned long long)r[1]);
	db_run(c, "INSERT INTO delivery (id, organization_id, app_id, live, post_id, connection_id, platform, provider, text, content,"
	       " content_hash, state, scheduled_at, due_at, late_after, on_missed, created_at, updated_at)"
	       " SELECT ?1, organization_id, app_id, live, ?2, connection_id, platform, provider, text, content, ?3, state, scheduled_at, due_at,"
	       " late_after, on_missed, ?4, ?4 FROM delivery WHERE id = ?5", "sssis", id, post, hash, now, w->delivery[i]);
}

static enum rc copy(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct copying *w = arg;
	char post[ID_MAX], event[ID_MAX], key[ID_MAX];
	int64_t now = clock_now();

	(void)cx;
	id_new(post, "post");
	id_new(event, "evt");
	id_new(key, "key");
	db_run(c, "INSERT INTO post (id, organization_id, app_id, live, end_user_id, status, mode, text, body, scheduled_at, max_late_ms,"
	       " on_missed, tags, metadata, created_at, updated_at) SELECT ?1, organization_id, app_id, live, end_user_id, status, mode, text,"
	       " body, scheduled_at, max_late_ms, on_missed, tags, metadata, ?2, ?2 FROM post WHERE id = ?3", "sis", post, now, w->post);
	for (int i = 0; i < w->deliveries; i++)
		delivery_copy(c, w, i, post, now);
	db_run(c, "INSERT INTO event (sequence, id, organization_id, app_id, live, type, end_user_id, external_user_id, data, created_at)"
	       " SELECT ?1, ?2, organization_id, app_id, live, type, end_user_id, external_user_id, data, ?3 FROM event WHERE sequence = ?4",
	       "isii", db_sequence(c, "event"), event, now, w->event);
	db_run(c, "INSERT INTO idempotency (organization_id, app_id, live, key, fingerprint, status, answer, request_id, created_at)"
	       " SELECT organization_id, app_id, live, ?1, fingerprint, status, answer, request_id, ?2 FROM idempotency"
	       " WHERE organization_id = ?3 AND app_id = ?4 AND live = 0 AND key = ?5", "sisss", key, now, w->org, w->app, w->key);
	return db_rc(c);
}

static void *copier(void *arg)
{
	struct copying *w = arg;

	while (!w->stop) {
		write_now(w->s, copy, w);
		w->done++;
	}
	return NULL;
}

double store_rows_per_s(struct store *s, int threads, double seconds)
{
	struct copying w = {.s = s};
	pthread_t *t = calloc((size_t)threads, sizeof *t);
	long long from, to;
	int64_t began;

	template_find(&w);
	for (int i = 0; i < threads; i++)
		if (pthread_create(&t[i], NULL, copier, &w) != 0)
			die("cannot start a thread");
	while (w.done == 0)
		usleep(1000);
	from = w.done;
	began = now_us();
	usleep((useconds_t)(seconds * 1e6));
	to = w.done;
	seconds = (double)(now_us() - began) / 1e6;
	w.stop = true;
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	free(t);
	return (double)(to - from) / seconds;
}
