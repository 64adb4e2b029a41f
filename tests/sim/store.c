/* The store of the simulator: brought up once in a folder in memory, emptied for each seed. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/model/data_key.h"
#include "core/model/organization.h"
#include "core/model/post.h"
#include "core/model/post_write.h"
#include "tests/rig/power.h"
#include "tests/sim/platform.h"

static char folder[64];

/* ---- bringing up ------------------------------------------------------------------------------------------------ */

static enum rc make_owners(struct cx *cx, struct db_conn *c, void *arg)
{
	enum rc rc = RC_OK;

	(void)arg;
	for (int i = 0; i < 2 && rc == RC_OK; i++) {
		struct organization_new o = {.name = i ? "Beta" : "Acme"};

		rc = organization_create(cx, c, sim.store.vault, &o, clock_now());
		snprintf(sim.owner_ids[i][0], ID_MAX, "%s", o.id);
		snprintf(sim.owner_ids[i][1], ID_MAX, "%s", o.app_id);
		sim.owners[i] = (struct owner){sim.owner_ids[i][0], sim.owner_ids[i][1], 0};
		id_new(sim.end_users[i], "eu");
		db_run(c, "INSERT INTO end_user (id, organization_id, app_id, live, external_id, created_at, updated_at)"
		       " VALUES (?1, ?2, ?3, 0, 'u1', ?4, ?4)", "sssi", sim.end_users[i], o.id, o.app_id, clock_now());
		if (rc == RC_OK)
			rc = data_key_create(cx, c, sim.store.vault, o.id, sim.end_users[i]);
	}
	return rc;
}

/* Every change of a delivery's state is noted by the store itself, so that none can pass unseen. */
static enum rc make_log(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)cx;
	(void)arg;
	db_run(c, "CREATE TABLE sim_move (n INTEGER PRIMARY KEY, delivery_id TEXT, was TEXT, is_now TEXT, round INTEGER, claim INTEGER)", "");
	db_run(c, "CREATE TRIGGER sim_moved AFTER UPDATE OF state ON delivery BEGIN INSERT INTO sim_move (delivery_id, was, is_now, round, claim)"
	       " VALUES (new.id, old.state, new.state, new.round, new.claim); END", "");
	return db_rc(c);
}

static void remove_all(void)
{
	char path[200];
	const char *sub[] = {"data/media", "data", "providers", ""};

	for (size_t i = 0; i < sizeof sub / sizeof sub[0]; i++) {
		struct dirent *e;
		DIR *d;

		snprintf(path, sizeof path, "%s/%s", folder, sub[i]);
		d = opendir(path);
		while (d != NULL && (e = readdir(d)) != NULL)
			unlinkat(dirfd(d), e->d_name, 0);
		if (d != NULL)
			closedir(d);
		rmdir(path);
	}
}

void store_close(void)
{
	installation_close(&sim.store);
	remove_all();
}

void store_open(void)
{
	struct conf *f = &sim.conf;
	struct cx cx;
	int fd;

	snprintf(folder, sizeof folder, "%s/mps-sim-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(folder) == NULL)
		abort();
	arena_init(&f->arena, 1u << 20);
	f->data_folder = arena_printf(&f->arena, "%s/data", folder);
	f->key_file = arena_printf(&f->arena, "%s/master.key", folder);
	f->create_key = 1;
	f->provider_folder = arena_printf(&f->arena, "%s/providers", folder);
	f->host_program = "none";
	f->allow = arena_array(&f->arena, const char *, 1);
	f->in_flight = 1000;
	f->claim_batch = 200;
	f->log_level = "error";
	mkdir(f->provider_folder, 0700);
	fd = open(arena_printf(&f->arena, "%s/sim.so", f->provider_folder), O_CREAT | O_WRONLY, 0600);
	close(fd);
	cx_init(&cx, "sim");
	if (installation_open(&cx, f, &sim.store) != RC_OK) {
		fprintf(stderr, "sim: %s\n", cx.words);
		exit(2);
	}
	write_now(make_owners, NULL);
	write_now(make_log, NULL);
}

void store_power_cut(void)
{
	struct db_config config = {.folder = sim.conf.data_folder};
	struct cx cx;

	db_abandon(sim.store.db);
	sim.store.db = NULL;
	power_cut(sim_random());
	cx_init(&cx, "sim");
	if (db_open(&cx, &config, &sim.store.db) != RC_OK) {
		fprintf(stderr, "sim: after a power loss: %s\n", cx.words);
		abort();
	}
	check_all();
}

/* ---- for each seed ----------------------------------------------------------------------------------------------- */

static void add_account(struct cx *cx, struct db_conn *c, int i)
{
	static const char *const types[TYPES] = {"keyed", "handle", "search", "none"};
	struct account *a = &sim.accounts[i];
	const struct owner *o = &sim.owners[a->organization];
	struct grant g = {.owner = *o, .end_user_id = sim.end_users[a->organization], .platform = "sim", .provider = "sim"};
	struct grant_tokens t = {.expires_at = sim.plan.token_life ? sim.now + sim.plan.token_life : 0, .refreshable = true};
	const char *pair = platform_token(i);
	char access[24], remote[24];
	struct buf bag;

	buf_init(&bag, BAG_MAX);
	snprintf(access, sizeof access, "%.*s", (int)strcspn(pair, " "), pair);
	snprintf(remote, sizeof remote, "account%d", i);
	bag_put(&bag, REC_STATE, "access", access);
	bag_put(&bag, REC_STATE, "refresh", strchr(pair, ' ') + 1);
	grant_create(cx, c, sim.store.vault, &g, a->grant_id, &bag, sim.now);
	grant_tokens_save(cx, c, sim.store.vault, &g, &bag, &t, sim.now);
	db_run(c, "UPDATE auth_grant SET status = 'active' WHERE id = ?1", "s", a->grant_id);
	id_new(a->connection_id, "con");
	db_run(c, "INSERT INTO connection (id, organization_id, app_id, live, end_user_id, grant_id, platform, provider, remote_id, account_type,"
	       " status, created_at, updated_at) VALUES (?1, ?2, ?3, 0, ?4, ?5, 'sim', 'sim', ?6, ?7, 'active', ?8, ?8)", "sssssssi",
	       a->connection_id, o->organization_id, o->app_id, g.end_user_id, a->grant_id, remote, types[a->type], sim.now);
	buf_free(&bag);
}

static enum rc reset(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)arg;
	db_run(c, "DELETE FROM attempt", "");
	db_run(c, "DELETE FROM operation", "");
	db_run(c, "DELETE FROM delivery", "");
	db_run(c, "DELETE FROM post", "");
	db_run(c, "DELETE FROM event", "");
	db_run(c, "DELETE FROM connection", "");
	db_run(c, "DELETE FROM connect_session", "");
	db_run(c, "DELETE FROM auth_grant", "");
	db_run(c, "DELETE FROM server", "");
	db_run(c, "DELETE FROM sim_move", "");
	for (int i = 0; i < sim.account_count; i++)
		add_account(cx, c, i);
	return db_rc(c);
}

void store_reset(void) { write_now(reset, NULL); }

/* ---- a post ---------------------------------------------------------------------------------------------------- */

#define PLAIN "{\"options\":{},\"media\":[]}"
#define FAMILY 5		/* a target's parts at most */

struct posting {
	struct post_new p;
	struct post_target targets[ACCOUNTS];
	struct post_child children[ACCOUNTS][FAMILY];
	char texts[ACCOUNTS][FAMILY][32];
};

static void learn_delivery(const char *id, int post, int account, int parent, const char *text)
{
	struct delivery_known *d = &sim.deliveries[sim.delivery_count++];

	snprintf(d->id, ID_MAX, "%s", id);
	d->post = post;
	d->account = account;
	d->parent = parent;
	sim_note("user: delivery %d of post %d: %s", sim.delivery_count - 1, post, text);
}

static int delivery_index(const char *id)
{
	for (int i = 0; i < sim.delivery_count; i++)
		if (strcmp(sim.deliveries[i].id, id) == 0)
			return i;
	return -1;
}

static int account_index(const char *connection_id)
{
	for (int k = 0; k < sim.account_count; k++)
		if (strcmp(sim.accounts[k].connection_id, connection_id) == 0)
			return k;
	abort();
}

/* In the order of their texts' numbers: each root, its thread, its comment. */
static enum rc post_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct posting *g = arg;
	enum rc rc = post_create(cx, c, &g->p, sim.now);

	if (rc != RC_OK)
		return rc;
	STMT_AUTO struct stmt *s = db_query(c, POST_TREE " SELECT delivery.id, connection_id, parent_delivery_id, text FROM tree"
					    " JOIN delivery ON delivery.id = tree.delivery ORDER BY " POST_TREE_ORDER, "ss", g->p.id,
					    g->p.owner.organization_id);
	while (db_next(s))
		learn_delivery(db_text_or(s, 0, ""), sim.post_count, account_index(db_text_or(s, 1, "")), delivery_index(db_text_or(s, 2, "")),
			       db_text_or(s, 3, ""));
	snprintf(sim.posts[sim.post_count++], ID_MAX, "%s", g->p.id);
	return db_rc(c);
}

static void add_target(struct posting *g, int n, int account, int64_t at, int items)
{
	int comment = items % 2, first = sim.delivery_count;

	for (int i = 0; i < n; i++)
		first += 1 + g->targets[i].child_count;
	for (int i = 0; i <= items + comment; i++) {
		snprintf(g->texts[n][i], sizeof g->texts[n][i], "d%d v0", first + i);
		if (i > 0)
			g->children[n][i - 1] = (struct post_child){i <= items ? "thread" : "first_comment", g->texts[n][i], PLAIN, NULL};
	}
	g->targets[n] = (struct post_target){.connection_id = sim.accounts[account].connection_id, .platform = "sim", .provider = "sim",
		.text = g->texts[n][0], .content = PLAIN, .scheduled_at = at, .children = g->children[n], .child_count = items + comment};
	post_hash(&g->targets[n], NULL, NULL);
}

/* accounts: a mask; only those of one organization are taken.  Only the first target has what follows it. */
void store_post(int accounts, const char *mode, int64_t at, const char *on_missed, int items)
{
	struct posting g = {.p = {.owner = sim.owners[0]}};
	int n = 0, organization = -1;

	for (int i = 0; i < sim.account_count; i++)
		if (accounts >> i & 1 && (organization < 0 || organization == sim.accounts[i].organization)) {
			organization = sim.accounts[i].organization;
			add_target(&g, n, i, at, n == 0 ? items : 0);
			n++;
		}
	if (n == 0 || sim.post_count >= POSTS || sim.delivery_count + n + FAMILY > DELIVERIES)
		return;
	g.p = (struct post_new){.owner = sim.owners[organization], .end_user_id = sim.end_users[organization], .mode = mode,
		.text = "text", .body = "{}", .on_missed = on_missed, .scheduled_at = at, .max_late_ms = sim_between(1, 60) * MINUTE,
		.stop_on_failure = sim_chance(10), .targets = g.targets, .target_count = n};
	write_try(post_write, &g);
}

/* ---- when something becomes due ----------------------------------------------------------------------------------- */

int64_t store_next_due(void)
{
	struct db_conn *c = db_take(sim.store.db);
	int64_t next = db_number(c, 0,
		"SELECT MIN(at) FROM (SELECT MIN(due_at) AS at FROM delivery WHERE state IN ('queued', 'unconfirmed', 'awaiting_platform',"
		" 'awaiting_user') UNION ALL SELECT MIN(deadline_at) FROM delivery"
		" UNION ALL SELECT MIN(due_at) FROM operation WHERE status = 'running' AND kind <> 'publish'"
		" UNION ALL SELECT MIN(refresh_at) FROM auth_grant WHERE refresh_operation_id IS NULL AND status IN ('new', 'active'))", "");

	db_give(c);
	return next > 0 ? next : NEVER;
}

int64_t store_open_count(void)
{
	struct db_conn *c = db_take(sim.store.db);
	int64_t n = db_number(c, 1, "SELECT COUNT(*) FROM delivery WHERE state NOT IN ('published', 'failed', 'canceled', 'skipped')", "");

	db_give(c);
	return n;
}

const char *store_open_words(void)
{
	static char words[300];
	DB_READ_AUTO struct db_conn *c = db_take(sim.store.db);
	STMT_AUTO struct stmt *s = db_query(c, "SELECT text, state, reason, due_at FROM delivery WHERE state NOT IN"
					    " ('published', 'failed', 'canceled', 'skipped') LIMIT 1", "");

	if (!db_next(s))
		return "every delivery has its end";
	snprintf(words, sizeof words, "%s is %s (%s), due %lld", db_text_or(s, 0, ""), db_text_or(s, 1, ""), db_text_or(s, 2, "-"),
		 db_null(s, 3) ? -1 : (long long)(db_int(s, 3) - sim.begin) / 1000);
	return words;
}
