/*
 * The engine against the sandbox platform: connect, publish by each dedupe behaviour, lost and lying answers.
 * The oracle is the sandbox's ledger.  The program starts its own sandbox and engine in one folder.
 */
#include "tests/unit/test.h"

#include <curl/curl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/engine/engine.h"
#include "core/model/data_key.h"
#include "core/model/delivery.h"
#include "core/model/grant.h"
#include "core/model/installation.h"
#include "core/model/operation.h"
#include "core/model/organization.h"
#include "core/sandbox/sandbox.h"

static char folder[64], sandbox_url[64];
static struct sandbox *sandbox;
static struct installation store;
static struct conf conf;
static struct engine *engine;
static struct platforms *platforms;
static struct organization_new org = {.name = "Acme"};
static char end_user[ID_MAX];

/* ---- the far side ---------------------------------------------------------------------------------------- */

static size_t collect(char *data, size_t size, size_t n, void *arg)
{
	buf_add(arg, data, size * n);
	return size * n;
}

/* A call of the test's own; headers of the answer are collected too when location is wanted. */
static long call(const char *path, const char *form, struct buf *out, char *location, size_t n)
{
	CURL *c = curl_easy_init();
	char url[4096], *where = NULL;
	long status = 0;

	snprintf(url, sizeof url, "%s%s", path[0] == '/' ? sandbox_url : "", path);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, out);
	if (form != NULL)
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, form);
	CHECK_INT(curl_easy_perform(c), CURLE_OK);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &where);
	if (location != NULL)
		snprintf(location, n, "%s", where ? where : "");
	curl_easy_cleanup(c);
	return status;
}

static int ledger(const char *text)
{
	struct buf out, path;
	struct arena a;
	struct jv root;
	struct cx cx;
	int n;

	cx_init(&cx, "test");
	arena_init(&a, 16u << 20);
	buf_init(&out, 4u << 20);
	buf_init(&path, 4096);
	buf_adds(&path, "/control/ledger?text=");
	text_percent(&path, text, strlen(text));
	CHECK_INT(call(buf_text(&path), NULL, &out, NULL, 0), 200);
	CHECK_INT(json_parse(&cx, &a, out.data, out.len, &root), RC_OK);
	n = (int)json_count(json_get(root, "data"));
	buf_free(&out);
	buf_free(&path);
	arena_free(&a);
	return n;
}

/* ---- our side -------------------------------------------------------------------------------------------- */

static enum rc make_org(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)arg;
	enum rc rc = organization_create(cx, c, store.vault, &org, clock_now());

	id_new(end_user, "eu");
	db_run(c, "INSERT INTO end_user (id, organization_id, app_id, live, external_id, created_at, updated_at) VALUES (?1, ?2, ?3, 0, 'u1', ?4, ?4)",
	       "sssi", end_user, org.id, org.app_id, clock_now());
	return rc == RC_OK ? data_key_create(cx, c, store.vault, org.id, end_user) : rc;
}

static void write_now(db_write_fn *fn, void *arg)
{
	struct cx cx;

	cx_init(&cx, "test");
	CHECK_INT(db_write(&cx, store.db, fn, arg), RC_OK);
}

static void engine_up(void)
{
	struct cx cx;
	struct engine_config config = {store.db, store.vault, platforms, &conf, sandbox_url, sandbox_url};

	cx_init(&cx, "test");
	CHECK_INT(engine_open(&cx, &config, &engine), RC_OK);
}

static void setup(void)
{
	struct cx cx;
	char path[256];

	if (engine != NULL)
		return;
	snprintf(folder, sizeof folder, "/tmp/mps-engine-XXXXXX");
	CHECK(mkdtemp(folder) != NULL);
	cx_init(&cx, "test");
	snprintf(path, sizeof path, "%s/sandbox", folder);
	CHECK_INT(sandbox_open(&cx, &(struct sandbox_config){"127.0.0.1:0", path, NULL}, &sandbox), RC_OK);
	snprintf(sandbox_url, sizeof sandbox_url, "http://127.0.0.1:%d", sandbox_port(sandbox));
	arena_init(&conf.arena, 1u << 20);
	conf.data_folder = arena_printf(&conf.arena, "%s/data", folder);
	conf.key_file = arena_printf(&conf.arena, "%s/master.key", folder);
	conf.create_key = 1;
	conf.provider_folder = getenv("MPS_PLUGINS") ? getenv("MPS_PLUGINS") : "build/plugins";
	conf.host_program = getenv("MPS_HOST") ? getenv("MPS_HOST") : "build/libexec/mypostshare-host";
	conf.allow = arena_array(&conf.arena, const char *, 1);
	conf.in_flight = 1000;
	conf.claim_batch = 200;
	conf.request_timeout_ms = 1500;
	conf.sandbox_settle_ms = 1000;
	conf.log_level = "info";
	CHECK_INT(installation_open(&cx, &conf, &store), RC_OK);
	platforms = platforms_new();
	write_now(make_org, NULL);
	engine_up();
}

struct start { struct grant g; char grant_id[ID_MAX], session_id[ID_MAX], op_id[ID_MAX]; const char *kind; char code[256], verifier[64]; const char *input; };

static enum rc session_start(struct cx *cx, struct db_conn *c, void *arg)
{
	struct start *s = arg;
	struct buf bag;
	struct operation o;
	enum rc rc;

	buf_init(&bag, 4096);
	bag_put(&bag, REC_STATE, "code_verifier", s->verifier);
	s->g = (struct grant){.owner = {org.id, org.app_id, 0}, .end_user_id = end_user, .platform = "sandbox", .provider = "sandbox"};
	rc = grant_create(cx, c, store.vault, &s->g, s->grant_id, &bag, clock_now());
	buf_wipe(&bag);
	id_new(s->session_id, "cs");
	db_run(c, "INSERT INTO connect_session (id, organization_id, app_id, live, end_user_id, platform, provider, status, token_mac, grant_id,"
	       " redirect_url, credential_mode, expires_at, created_at) VALUES (?1, ?2, ?3, 0, ?4, 'sandbox', 'sandbox', 'authorizing', ?5, ?6,"
	       " 'http://127.0.0.1:1/done', 'app_default', ?7, ?7)", "ssssbsi", s->session_id, org.id, org.app_id, end_user, s->session_id,
	       strlen(s->session_id), s->grant_id, clock_now() + 600000);
	o = (struct operation){.owner = {org.id, org.app_id, 0}, .kind = s->kind, .platform = "sandbox", .provider = "sandbox",
		.grant_id = s->grant_id, .session_id = s->session_id, .input = s->input};
	operation_start(c, &o, s->op_id, 600000, clock_now());
	return rc;
}

static enum rc exchange_start(struct cx *cx, struct db_conn *c, void *arg)
{
	struct start *s = arg;
	struct operation o = {.owner = {org.id, org.app_id, 0}, .kind = "exchange", .platform = "sandbox", .provider = "sandbox",
		.grant_id = s->grant_id, .session_id = s->session_id, .input = s->input};
	struct buf bag;
	struct grant g = {0};
	struct arena a;

	arena_init(&a, 65536);
	buf_init(&bag, 65536);
	CHECK(grant_load(c, s->grant_id, &a, &g));
	CHECK_INT(grant_secrets(cx, c, store.vault, &g, &bag), RC_OK);
	bag_put(&bag, REC_STATE, "code", s->code);
	grant_secrets_save(cx, c, store.vault, &g, &bag);
	buf_wipe(&bag);
	arena_free(&a);
	operation_start(c, &o, s->op_id, 600000, clock_now());
	return db_rc(c);
}

/* Waits for a text column to have one of the values; 20 s at most. */
static void wait_for(const char *what, const char *sql, const char *id, const char *wanted)
{
	char last[64] = "";
	uint64_t seen = 0;

	for (int64_t until = clock_mono() + 20000; clock_mono() < until;) {
		struct db_conn *c = db_take(store.db);
		{
			STMT_AUTO struct stmt *s = db_query(c, sql, "s", id);
			if (db_next(s))
				snprintf(last, sizeof last, "%s", db_text_or(s, 0, ""));
		}
		db_give(c);
		if (strcmp(last, wanted) == 0)
			return;
		seen = engine_wait(engine, seen, 100);
	}
	fprintf(stderr, "%s %s is %s, not %s\n", what, id, last, wanted);
	CHECK_STR(last, wanted);
}

static char *redirect_of(const char *op_id)
{
	char *url;
	uint64_t seen = 0;

	for (int64_t until = clock_mono() + 10000; clock_mono() < until;) {
		url = engine_redirect_take(engine, op_id);
		if (url != NULL)
			return url;
		seen = engine_wait(engine, seen, 100);
	}
	CHECK(!"a redirect came");
	return NULL;
}

/* Connects account `name` of a type; the connection's id into out. */
static void connect_account(const char *name, const char *type, char out[ID_MAX])
{
	struct start s = {.kind = "authorize"};
	struct buf input, form, answer;
	uint8_t digest[32];
	char location[2048], *url, *code;

	setup();
	snprintf(s.verifier, sizeof s.verifier, "verifier-verifier-verifier-verifier-verifier-0123");
	buf_init(&input, 4096);
	buf_init(&form, 8192);
	buf_init(&answer, 1u << 20);
	vault_sha256(s.verifier, strlen(s.verifier), digest);
	buf_adds(&input, "{\"oauth\":{\"redirect_uri\":\"http://127.0.0.1:1/cb\",\"state\":\"st\",\"code_challenge\":\"");
	text_base64url(&input, digest, sizeof digest);
	buf_adds(&input, "\"}}");
	s.input = buf_text(&input);
	write_now(session_start, &s);
	engine_wake(engine);
	url = redirect_of(s.op_id);
	buf_addf(&form, "%s&account=%s&type=%s&decision=allow", strchr(url, '?') + 1, name, type);
	CHECK_INT(call("/oauth/consent", buf_text(&form), &answer, location, sizeof location), 303);
	code = strstr(location, "code=");
	CHECK(code != NULL);
	snprintf(s.code, sizeof s.code, "%.*s", (int)strcspn(code + 5, "&"), code + 5);
	s.input = "{\"oauth\":{\"redirect_uri\":\"http://127.0.0.1:1/cb\"}}";
	write_now(exchange_start, &s);
	engine_wake(engine);
	wait_for("session", "SELECT status FROM connect_session WHERE id = ?1", s.session_id, "completed");
	{
		struct db_conn *c = db_take(store.db);
		{
			STMT_AUTO struct stmt *q = db_query(c, "SELECT id FROM connection WHERE grant_id = ?1", "s", s.grant_id);
			CHECK(db_next(q));
			snprintf(out, ID_MAX, "%s", db_text(q, 0));
		}
		db_give(c);
	}
	free(url);
	buf_free(&input);
	buf_free(&form);
	buf_free(&answer);
}

struct wanted { const char *connection, *text; char post[ID_MAX], delivery[ID_MAX]; int64_t due; };

static enum rc post_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct wanted *w = arg;
	int64_t now = clock_now();

	(void)cx;
	id_new(w->post, "post");
	id_new(w->delivery, "dlv");
	db_run(c, "INSERT INTO post (id, organization_id, app_id, live, status, mode, text, body, max_late_ms, on_missed, created_at, updated_at)"
	       " VALUES (?1, ?2, ?3, 0, 'publishing', 'now', ?4, '{}', 21600000, 'publish', ?5, ?5)", "ssssi", w->post, org.id, org.app_id, w->text, now);
	db_run(c, "INSERT INTO delivery (id, organization_id, app_id, live, post_id, connection_id, platform, provider, text, content, content_hash,"
	       " state, due_at, on_missed, created_at, updated_at) VALUES (?1, ?2, ?3, 0, ?4, ?5, 'sandbox', 'sandbox', ?6,"
	       " '{\"options\":{},\"media\":[]}', 'h', 'queued', ?7, 'publish', ?8, ?8)", "ssssssii", w->delivery, org.id, org.app_id, w->post,
	       w->connection, w->text, now, now);
	return db_rc(c);
}

static void post(const char *connection, const char *text, struct wanted *w)
{
	*w = (struct wanted){.connection = connection, .text = text};
	write_now(post_write, w);
	engine_wake(engine);
}

static void ends(const struct wanted *w, const char *state)
{
	wait_for("delivery", "SELECT state FROM delivery WHERE id = ?1", w->delivery, state);
}

/* ---- tests --------------------------------------------------------------------------------------------- */

static const char *const types[] = {"keyed", "handle", "search", "none"};
static char accounts[4][ID_MAX];

static const char *account(int i)
{
	if (accounts[i][0] == '\0')
		connect_account(types[i], types[i], accounts[i]);
	return accounts[i];
}

TEST(publishes_by_each_type)
{
	struct wanted w;
	char text[64];

	for (int i = 0; i < 4; i++) {
		snprintf(text, sizeof text, "plain words %s", types[i]);
		post(account(i), text, &w);
		ends(&w, "published");
		CHECK_INT(ledger(text), 1);
	}
}

/* What each type becomes after each kind of bad answer, and how often the far side has it. */
static const struct { const char *magic; const char *state[4]; int posts[4]; } fates[] = {
	{"[[reset:after]]", {"published", "published", "published", "unconfirmed"}, {1, 1, 1, 1}},
	{"[[timeout]]", {"published", "published", "published", "unconfirmed"}, {1, 1, 1, 1}},
	{"[[lie:503]]", {"published", "published", "published", "unconfirmed"}, {1, 1, 1, 1}},
	{"[[lie:200]]", {"published", "published", "published", "unconfirmed"}, {1, 1, 1, 1}},
	{"[[lie:reject]]", {"published", "published", "published", "unconfirmed"}, {1, 1, 1, 1}},
	{"[[reject:policy]]", {"failed", "failed", "failed", "failed"}, {0, 0, 0, 0}},
	{"[[fail:rate_limited:once]]", {"published", "published", "published", "published"}, {1, 1, 1, 1}},
	{"[[fail:auth]]", {"published", "published", "published", "published"}, {1, 1, 1, 1}},
};

TEST(meets_each_bad_answer)
{
	enum { N = sizeof fates / sizeof fates[0] };
	static struct wanted w[N][4];
	static char text[N][4][96];

	for (int f = 0; f < N; f++)
		for (int i = 0; i < 4; i++) {
			snprintf(text[f][i], sizeof text[f][i], "fate %d of %s %s", f, types[i], fates[f].magic);
			post(account(i), text[f][i], &w[f][i]);
		}
	for (int f = 0; f < N; f++)
		for (int i = 0; i < 4; i++) {
			ends(&w[f][i], fates[f].state[i]);
			CHECK_INT(ledger(text[f][i]), fates[f].posts[i]);
		}
}
