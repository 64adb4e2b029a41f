/*
 * What connecting is made of, on a real store: redirect URLs, end users, credentials and their versions, sessions,
 * states, the begin of a session, its answer, its choice; and what letting go of an account does to posts.
 */
#include "tests/unit/test.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/api/connect_html.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/model/connect.h"
#include "core/model/connect_flow.h"
#include "core/model/connection.h"
#include "core/model/credential.h"
#include "core/model/data_key.h"
#include "core/model/enduser.h"
#include "core/model/grant.h"
#include "core/model/installation.h"
#include "core/model/operation.h"
#include "core/model/organization.h"
#include "core/model/redirect.h"

#define T0 1000000000000ll

static char folder[64], key_file[96], ada[ID_MAX];
static struct installation store;
static struct organization_new org = {.name = "Acme"}, other = {.name = "Else"};
static struct owner owner;
static struct platforms *platforms;
static struct cx cx;

/* ---- the store ------------------------------------------------------------------------------------------ */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st, (void)flag, (void)at;
	return remove(path);
}

static void clean(void)
{
	installation_close(&store);
	platforms_drop(platforms);
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Runs a closure of a test; its checks stand on the writer's thread, so it only returns codes. */
static enum rc write_(db_write_fn *fn, void *arg)
{
	cx_init(&cx, "test");
	return db_write(&cx, store.db, fn, arg);
}

static enum rc orgs_write(struct cx *x, struct db_conn *c, void *arg)
{
	struct enduser_change ch = {.external_id = "ada"};
	bool created;
	enum rc rc = organization_create(x, c, store.vault, &org, T0);

	(void)arg;
	if (rc == RC_OK)
		rc = organization_create(x, c, store.vault, &other, T0);
	owner = (struct owner){org.id, org.app_id, 0};
	return rc != RC_OK ? rc : enduser_put(x, c, store.vault, &owner, &ch, T0, ada, &created);
}

static void begin(void)
{
	struct conf conf = {.data_folder = folder, .key_file = key_file, .create_key = 1};

	if (*folder)
		return;
	snprintf(folder, sizeof folder, "/tmp/mps-connect-XXXXXX");
	CHECK(mkdtemp(folder) != NULL);
	snprintf(key_file, sizeof key_file, "%s/master.key", folder);
	cx_init(&cx, "test");
	CHECK_SAY(installation_open(&cx, &conf, &store) == RC_OK, "%s", cx.words);
	platforms = platforms_new();
	atexit(clean);
	CHECK_SAY(write_(orgs_write, NULL) == RC_OK, "%s", cx.words);
}

/* ---- redirect URLs --------------------------------------------------------------------------------------- */

TEST(redirect_grammar)
{
	static const char *const good[] = {
		"https://example.com", "https://example.com/cb?x=1&y=%20", "https://sub.example.com:8443/", "http://127.0.0.1:3000/cb",
		"http://localhost/cb", "http://[::1]:9/cb", "com.example.app://done", "myapp:/done", "https://[::1]/x",
	};
	static const char *const bad[] = {
		"", "example.com", "//example.com", "http://example.com/", "http://127.0.0.1.example.com/", "http://localhost.example.com/",
		"https://", "https:///x", "https://.example.com/", "https://-x/", "https://a@example.com/", "https://a:b@example.com/",
		"https://example.com/#x", "https://*.example.com/", "https://example.com/a b", "https://example.com/\\x", "https://example.com/\n",
		"https://example.com/%0d%0a", "https://example.com/%00", "https://example.com/%7f", "https://example.com:x/", "https://example.com:/",
		"https://example.com:123456/", "HTTPS://example.com/", "javascript:/x", "data:/x", "file:///x", "x:/y", "my app:/x", "myapp:done",
		"https://ex\xC3\xA4mple.com/", "https://[::2]/",
	};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		CHECK_SAY(redirect_fault(good[i]) == NULL, "%s: %s", good[i], redirect_fault(good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_SAY(redirect_fault(bad[i]) != NULL, "%s is taken", bad[i]);
}

static enum rc redirect_write(struct cx *x, struct db_conn *c, void *arg)
{
	char first[ID_MAX], second[ID_MAX];
	bool created[2];
	enum rc rc = redirect_add(x, c, org.id, org.app_id, arg, T0, first, &created[0]);

	if (rc == RC_OK)
		rc = redirect_add(x, c, org.id, org.app_id, arg, T0, second, &created[1]);
	return rc == RC_OK && created[0] && !created[1] && text_eq(first, second) && redirect_allowed(c, org.id, org.app_id, arg)
		&& !redirect_allowed(c, other.id, other.app_id, arg) && !redirect_allowed(c, other.id, org.app_id, arg)
		&& !redirect_remove(c, other.id, org.app_id, first) && redirect_remove(c, org.id, org.app_id, first)
		&& !redirect_allowed(c, org.id, org.app_id, arg) ? RC_OK : fail(x, RC_BUG, "redirect URLs");
}

TEST(redirect_list_is_exact_and_of_one_organization)
{
	char url[] = "https://example.com/cb";

	begin();
	CHECK_SAY(write_(redirect_write, url) == RC_OK, "%s", cx.words);
}

/* ---- end users ------------------------------------------------------------------------------------------- */

struct put { struct enduser_change ch; char id[ID_MAX]; bool created; };

static enum rc put_write(struct cx *x, struct db_conn *c, void *arg)
{
	struct put *p = arg;

	return enduser_put(x, c, store.vault, &owner, &p->ch, T0, p->id, &p->created);
}

TEST(end_user_put_keeps_what_is_absent_and_clears_what_is_null)
{
	ARENA_AUTO struct arena a;
	struct put one = {.ch = {.external_id = "bob", .display_name = {true, "Bob"}, .email = {true, "b@example.com"}}};
	struct put two = {.ch = {.external_id = "bob", .email = {true, NULL}}};
	struct owner live = {org.id, org.app_id, 1}, foreign = {other.id, other.app_id, 0};
	struct enduser u;

	begin();
	arena_init(&a, 1 << 20);
	CHECK_INT(write_(put_write, &one), RC_OK);
	CHECK_INT(write_(put_write, &two), RC_OK);
	CHECK(one.created && !two.created);
	CHECK_STR(one.id, two.id);
	DB_READ_AUTO struct db_conn *c = db_take(store.db);
	CHECK(enduser_find(c, &owner, "ext:bob", &a, &u));
	CHECK_STR(u.display_name, "Bob");
	CHECK(u.email == NULL);
	CHECK(enduser_find(c, &owner, one.id, &a, &u));
	CHECK(!enduser_find(c, &live, one.id, &a, &u) && !enduser_find(c, &foreign, one.id, &a, &u) && !enduser_find(c, &live, "ext:bob", &a, &u));
	DATA_KEY_AUTO struct data_key k = {.key = NULL};
	CHECK_INT(data_key_open(&cx, c, store.vault, org.id, one.id, &k), RC_OK);
}

/* ---- credentials ----------------------------------------------------------------------------------------- */

static enum rc cred_write(struct cx *x, struct db_conn *c, void *arg)
{
	return credential_put(x, c, store.vault, arg, T0);
}

static enum rc cred_remove(struct cx *x, struct db_conn *c, void *arg)
{
	return credential_remove(c, org.id, org.app_id, arg, T0) ? RC_OK : fail(x, RC_NOT_FOUND, "none");
}

static const char *secret_of(struct arena *a, const char *id)
{
	DB_READ_AUTO struct db_conn *c = db_take(store.db);
	struct buf bag;
	const char *secret;

	buf_init(&bag, BAG_MAX);
	cx_init(&cx, "test");
	CHECK_INT(credential_secrets(&cx, c, store.vault, id, &bag), RC_OK);
	secret = bag_get(&bag, "client.secret", a);
	buf_wipe(&bag);
	return secret;
}

static bool cred_find(struct arena *a, struct credential *k)
{
	DB_READ_AUTO struct db_conn *c = db_take(store.db);

	return credential_find(c, org.id, org.app_id, "x", a, k);
}

TEST(credential_versions_keep_their_secret)
{
	ARENA_AUTO struct arena a;
	struct credential_new n = {
		.organization_id = org.id, .app_id = org.app_id, .platform = "x", .mode = "customer", .client_id = "one", .secret_given = true,
		.secret = "top secret",
	};
	struct credential first, k;
	char platform[] = "x";

	begin();
	arena_init(&a, 1 << 20);
	CHECK_INT(write_(cred_write, &n), RC_OK);
	CHECK(cred_find(&a, &first));
	CHECK_INT(first.version, 1);
	CHECK_STR(secret_of(&a, first.id), "top secret");
	n.secret_given = false;
	n.scopes = "[\"a\"]";
	CHECK_INT(write_(cred_write, &n), RC_OK);
	CHECK(cred_find(&a, &k));
	CHECK_INT(k.version, 2);
	CHECK(!text_eq(k.id, first.id));
	CHECK_STR(secret_of(&a, k.id), "top secret");
	n.client_id = "two";		/* another client has no secret of the first */
	CHECK_INT(write_(cred_write, &n), RC_OK);
	CHECK(cred_find(&a, &k) && !k.secret);
	CHECK_INT(write_(cred_remove, platform), RC_OK);
	CHECK(!cred_find(&a, &k));
	CHECK(secret_of(&a, first.id) == NULL);
	CHECK_INT(write_(cred_write, &n), RC_OK);
	CHECK(cred_find(&a, &k));
	CHECK_INT(k.version, 4);
}

TEST(credential_choice)
{
	ARENA_AUTO struct arena a;
	struct app app = {.id = org.app_id, .organization_id = org.id, .credential_mode = "customer"};
	struct credential_new n = {.organization_id = org.id, .app_id = org.app_id, .platform = "y", .mode = "managed", .secret_given = true};
	const char *id, *mode;

	begin();
	arena_init(&a, 1 << 20);
	DB_READ_AUTO struct db_conn *c = db_take(store.db);
#define CHOOSE(wanted, managed) (cx_init(&cx, "test"), credential_choose(&cx, c, &app, "y", wanted, managed, &a, &id, &mode))
	CHECK_INT(CHOOSE("app_default", true), RC_CONFLICT);
	CHECK_STR(cx.code, "platform_not_configured");
	app.credential_mode = "managed";
	CHECK_INT(CHOOSE("app_default", false), RC_CONFLICT);
	CHECK_INT(CHOOSE("app_default", true), RC_OK);
	CHECK(id == NULL && text_eq(mode, "managed"));
	CHECK_INT(CHOOSE("customer", true), RC_CONFLICT);
	db_give(c);
	app.credential_mode = "customer";
	CHECK_INT(write_(cred_write, &n), RC_OK);
	c = db_take(store.db);
	CHECK_INT(CHOOSE("managed", true), RC_OK);
	CHECK_INT(CHOOSE("customer", true), RC_CONFLICT);
	db_give(c);
	n.mode = "customer";
	n.client_id = "mine";
	CHECK_INT(write_(cred_write, &n), RC_OK);
	c = db_take(store.db);
	CHECK_INT(CHOOSE("app_default", true), RC_OK);
	CHECK(id != NULL && text_eq(mode, "customer"));
	CHECK_INT(CHOOSE("managed", true), RC_CONFLICT);
}

/* ---- sessions -------------------------------------------------------------------------------------------- */

struct session_made { struct connect_session s; char id[ID_MAX]; };

static enum rc session_write(struct cx *x, struct db_conn *c, void *arg)
{
	struct session_made *m = arg;

	return connect_session_add(x, c, store.vault, &m->s, m->id, T0);
}

static struct session_made session_new(void)
{
	struct session_made m = {.s = {
		.owner = owner, .end_user_id = ada, .platform = "sandbox", .provider = "sandbox", .redirect_url = "https://example.com/",
		.credential_mode = "managed", .bind_browser = 1, .single_use = 1, .expires_at = T0 + 1800000,
		.platform_options = "{\"sandbox\":{\"colour\":\"red\"},\"else\":{\"no\":\"no\"}}",
	}};

	CHECK_SAY(write_(session_write, &m) == RC_OK, "%s", cx.words);
	return m;
}

static struct connect_session session_read(struct arena *a, const char *id)
{
	DB_READ_AUTO struct db_conn *c = db_take(store.db);
	struct connect_session s = {.id = NULL};

	CHECK(connect_session_find(c, &owner, id, a, &s));
	return s;
}

struct start_job { struct connect_start p; int64_t now; };

static enum rc start_write(struct cx *x, struct db_conn *c, void *arg)
{
	struct start_job *j = arg;

	return connect_start(x, c, &j->p, j->now);
}

static struct start_job start_of(const char *id, const char *cookie)
{
	return (struct start_job){{.vault = store.vault, .session_id = id, .cookie = cookie, .redirect_uri = "https://us/oauth/sandbox/callback",
		.oauth = true}, T0 + 1000};
}

/* The state lies sealed with the grant, and in no row in clear. */
static const char *state_of(struct arena *a, const char *operation_id)
{
	DB_READ_AUTO struct db_conn *c = db_take(store.db);
	BUF_AUTO struct buf bag;
	struct operation o;
	struct grant g;
	struct jv root;

	buf_init(&bag, BAG_MAX);
	CHECK(operation_load(c, operation_id, NULL, a, &o));
	CHECK_INT(json_parse(&cx, a, o.input, strlen(o.input), &root), RC_OK);
	CHECK_STR(json_text(json_path(root, "options.colour")), "red");
	CHECK(json_text(json_path(root, "options.no")) == NULL);
	CHECK(strstr(o.input, "state") == NULL && strstr(o.input, "verifier") == NULL);
	CHECK_INT(strlen(json_text(json_path(root, "oauth.code_challenge"))), 43);
	CHECK(grant_load(c, o.grant_id, a, &g) && grant_secrets(&cx, c, store.vault, &g, &bag) == RC_OK);
	return bag_get(&bag, "oauth.state", a);
}

TEST(session_token_is_found_and_not_guessed)
{
	ARENA_AUTO struct arena a;
	struct session_made m;
	struct connect_session s;
	char token[CONNECT_TOKEN_MAX];
	struct owner foreign, live;

	begin();
	arena_init(&a, 1 << 20);
	foreign = (struct owner){other.id, other.app_id, 0};
	live = (struct owner){org.id, org.app_id, 1};
	m = session_new();
	connect_token(store.vault, m.id, token);
	DB_READ_AUTO struct db_conn *c = db_take(store.db);
	CHECK(connect_session_by_token(c, store.vault, token, &a, &s));
	CHECK_STR(s.id, m.id);
	token[5] = token[5] == 'A' ? 'B' : 'A';
	CHECK(!connect_session_by_token(c, store.vault, token, &a, &s));
	CHECK(!connect_session_find(c, &foreign, m.id, &a, &s) && !connect_session_find(c, &live, m.id, &a, &s));
	CHECK_STR(connect_session_status(&m.s, T0), "pending");
	CHECK_STR(connect_session_status(&m.s, T0 + 1800000), "expired");
}

TEST(state_lives_ten_minutes)
{
	char state[CONNECT_STATE_MAX], again[CONNECT_STATE_MAX];
	uint8_t mac[CONNECT_MAC];

	begin();
	connect_state_new(store.vault, T0, state, mac);
	connect_state_new(store.vault, T0, again, mac);
	CHECK(strcmp(state, again) != 0);
	CHECK_INT(strlen(state), 54);
	CHECK(connect_state_alive(state, T0 + 10 * 60 * 1000 - 1));
	CHECK(!connect_state_alive(state, T0 + 10 * 60 * 1000));
	CHECK(!connect_state_alive("", T0) && !connect_state_alive("abc", T0) && !connect_state_alive("!!", T0));
}

TEST(start_binds_the_browser_and_answers_count_once)
{
	ARENA_AUTO struct arena a;
	struct session_made m;
	struct start_job first, stranger, again;
	struct connect_session s;
	const char *state, *old;

	begin();
	arena_init(&a, 4 << 20);
	m = session_new();
	first = start_of(m.id, "browser one");
	stranger = start_of(m.id, "browser two");
	CHECK_SAY(write_(start_write, &first) == RC_OK, "%s", cx.words);
	old = state_of(&a, first.p.operation_id);
	CHECK_INT(write_(start_write, &stranger), RC_DENIED);
	CHECK_STR(cx.code, "wrong_browser");
	again = start_of(m.id, "browser one");
	CHECK_INT(write_(start_write, &again), RC_OK);
	state = state_of(&a, again.p.operation_id);
	s = session_read(&a, m.id);
	CHECK_STR(s.status, "authorizing");
	CHECK(s.awaits && s.browser_mac != NULL);
	DB_READ_AUTO struct db_conn *c = db_take(store.db);
	CHECK(!connect_session_by_state(c, store.vault, old, &a, &s));
	CHECK(connect_session_by_state(c, store.vault, state, &a, &s));
	CHECK_STR(s.id, m.id);
}

struct answer_job { struct connect_answer p; int64_t now; };

static enum rc answer_write(struct cx *x, struct db_conn *c, void *arg)
{
	struct answer_job *j = arg;

	return connect_answered(x, c, &j->p, j->now);
}

TEST(an_answer_uses_its_state_up_also_when_it_says_no)
{
	ARENA_AUTO struct arena a;
	struct session_made m;
	struct start_job start;
	struct connect_session s;
	struct grant g;

	begin();
	arena_init(&a, 4 << 20);
	for (int good = 0; good < 2; good++) {
		m = session_new();
		start = start_of(m.id, "browser");
		CHECK_INT(write_(start_write, &start), RC_OK);
		struct answer_job j = {{
			.vault = store.vault, .session_id = m.id, .state = state_of(&a, start.p.operation_id), .redirect_uri = "https://us/x",
			.code = good ? "the code" : NULL, .params = "{\"shop\":\"x\"}", .status = "denied", .error_code = "connect_denied", .message = "no",
		}, T0 + 2000};
		CHECK_SAY(write_(answer_write, &j) == RC_OK, "%s", cx.words);
		CHECK_INT(write_(answer_write, &j), RC_CONFLICT);
		CHECK_STR(cx.code, "connect_session_used");
		s = session_read(&a, m.id);
		CHECK(!s.awaits);
		CHECK_STR(s.status, good ? "authorizing" : "denied");
		DB_READ_AUTO struct db_conn *c = db_take(store.db);
		CHECK(grant_load(c, s.grant_id, &a, &g));
		CHECK_STR(g.status, good ? "new" : "closed");
		BUF_AUTO struct buf bag;
		buf_init(&bag, BAG_MAX);
		CHECK_INT(grant_secrets(&cx, c, store.vault, &g, &bag), RC_OK);
		CHECK_STR(bag_get(&bag, "code", &a), good ? "the code" : NULL);
		CHECK(bag_has(&bag, "code_verifier") == (good == 1));
	}
	/* while the exchange runs nothing is begun anew */
	CHECK_INT(write_(start_write, &start), RC_CONFLICT);
	CHECK_STR(cx.code, "connect_session_busy");
}

struct sql { const char *id; int64_t now; };

static enum rc selecting_write(struct cx *x, struct db_conn *c, void *arg)
{
	const struct sql *q = arg;

	(void)x;
	db_run(c, "UPDATE connect_session SET status = 'selecting', choices = ?2 WHERE id = ?1", "ss", q->id,
	       "{\"targets.0.id\":\"p0\",\"targets.0.name\":\"Zero\","
	       "\"targets.1.id\":\"p1\",\"targets.1.name\":\"One\",\"targets.1.token\":\"sec:1\"}");
	return RC_OK;
}

struct select_job { const char *id; int chosen[3], count; };

static enum rc select_write(struct cx *x, struct db_conn *c, void *arg)
{
	struct select_job *j = arg;

	return connect_select(x, c, j->id, j->chosen, j->count, T0 + 3000);
}

TEST(a_choice_becomes_connections_with_tokens_where_places_have_them)
{
	ARENA_AUTO struct arena a;
	struct session_made m;
	struct start_job start;
	struct select_job wrong, right;
	struct connect_session s;

	begin();
	arena_init(&a, 4 << 20);
	m = session_new();
	start = start_of(m.id, "browser");
	CHECK_INT(write_(start_write, &start), RC_OK);
	CHECK_INT(write_(selecting_write, &(struct sql){m.id, T0}), RC_OK);
	wrong = (struct select_job){m.id, {0, 7}, 2};
	CHECK_INT(write_(select_write, &wrong), RC_INVALID);
	right = (struct select_job){m.id, {0, 1}, 2};
	CHECK_SAY(write_(select_write, &right) == RC_OK, "%s", cx.words);
	CHECK_INT(write_(select_write, &right), RC_CONFLICT);
	s = session_read(&a, m.id);
	CHECK_STR(s.status, "completed");
	DB_READ_AUTO struct db_conn *c = db_take(store.db);
	CHECK_INT(db_number(c, -1, "SELECT COUNT(*) FROM connection WHERE remote_id = 'p0' AND target IS NULL", ""), 1);
	CHECK_INT(db_number(c, -1, "SELECT COUNT(*) FROM connection WHERE remote_id = 'p1' AND target = 'targets.1'", ""), 1);
	CHECK_INT(write_(start_write, &start), RC_CONFLICT);
	CHECK_STR(cx.code, "connect_session_used");
}

/* ---- letting go ------------------------------------------------------------------------------------------ */

static enum rc post_write(struct cx *x, struct db_conn *c, void *arg)
{
	const char *connection = arg;

	(void)x;
	db_run(c, "INSERT INTO post (id, organization_id, app_id, live, status, mode, body, max_late_ms, on_missed, created_at, updated_at)"
	       " VALUES ('post_1', ?1, ?2, 0, 'scheduled', 'schedule', '{}', 1000, 'publish', 1, 1)", "ss", org.id, org.app_id);
	db_run(c, "INSERT INTO delivery (id, organization_id, app_id, live, post_id, connection_id, platform, provider, content, content_hash,"
	       " state, scheduled_at, due_at, on_missed, created_at, updated_at) VALUES ('dlv_1', ?1, ?2, 0, 'post_1', ?3, 'sandbox',"
	       " 'sandbox', '{}', 'h', 'queued', ?4, ?4, 'publish', 1, 1)", "sssi", org.id, org.app_id, connection, T0 + 99000);
	return RC_OK;
}

struct go_job { struct connection n; bool patch, paused; };

static enum rc go_write(struct cx *x, struct db_conn *c, void *arg)
{
	struct go_job *j = arg;
	struct connection_change ch = {.paused_given = true, .paused = j->paused};

	(void)x;
	if (j->patch)
		connection_patch(c, &j->n, &ch, T0 + 5000);
	else
		connection_let_go(c, platforms, &j->n, T0 + 5000);
	return RC_OK;
}

static int64_t count(const char *what)
{
	DB_READ_AUTO struct db_conn *c = db_take(store.db);

	if (text_eq(what, "blocked"))
		return db_number(c, -1, "SELECT COUNT(*) FROM delivery WHERE state = 'blocked' AND reason = 'disconnected' AND due_at IS NULL", "");
	if (text_eq(what, "attention"))
		return db_number(c, -1, "SELECT COUNT(*) FROM post WHERE status = 'needs_attention'", "");
	return db_number(c, -1, "SELECT COUNT(*) FROM auth_grant g JOIN connection n ON n.grant_id = g.id WHERE g.status = 'closed'"
			 " AND g.secrets IS NULL AND n.remote_id IN ('p0', 'p1')", "");
}

static struct connection connection_of(struct arena *a, int index)
{
	DB_READ_AUTO struct db_conn *c = db_take(store.db);
	struct connection_filter f = {.end_user_id = ada};
	struct stmt *s = connection_list(c, &owner, &f, "", 10);
	struct connection n = {.id = NULL};

	for (int i = 0; i <= index && db_next(s); i++)
		connection_row(s, a, &n);
	db_end(s);
	return n;
}

/* After the test of the choice: two connections of one grant. */
TEST(letting_go_blocks_what_waits_and_ends_the_grant_with_its_last_account)
{
	ARENA_AUTO struct arena a;
	struct go_job job = {.patch = false};
	char id[ID_MAX];

	begin();
	arena_init(&a, 4 << 20);
	job.n = connection_of(&a, 0);
	if (job.n.id == NULL)
		return;		/* run alone */
	snprintf(id, sizeof id, "%s", job.n.id);
	CHECK_SAY(write_(post_write, id) == RC_OK, "%s", cx.words);
	CHECK_INT(write_(go_write, &job), RC_OK);
	CHECK_INT(count("blocked"), 1);
	CHECK_INT(count("attention"), 1);
	CHECK_INT(count("closed"), 0);
	job.n = connection_of(&a, 0);
	CHECK_STR(connection_status(&job.n), "disconnected");
	CHECK_INT(write_(go_write, &job), RC_OK);	/* twice is once */
	job.n = connection_of(&a, 1);
	CHECK_INT(write_(go_write, &job), RC_OK);
	CHECK_INT(count("closed"), 2);
}

/* ---- the customer's colour -------------------------------------------------------------------------------- */

static const char *css(const char *accent)
{
	static struct buf out;

	buf_free(&out);
	buf_init(&out, 4096);
	connect_brand_css(&out, accent);
	return buf_text(&out);
}

TEST(colours_can_be_seen_and_read)
{
	CHECK_STR(css(NULL), "");
	CHECK_STR(css("#0b6e5f"), ":root { --brand: light-dark(#0b6e5f, #177567); --on-brand: light-dark(#ffffff, #ffffff);"
		  " --brand-hover: light-dark(#0a6154, #14675b); }\n");
	CHECK(strstr(css("#ffffff"), "--brand: light-dark(#8") != NULL && strstr(css("#ffffff"), ", #ffffff); --on-brand") != NULL);
	CHECK(strstr(css("#000000"), "--brand: light-dark(#000000, #") != NULL && strstr(css("#000000"), "(#000000, #000000)") == NULL);
}
