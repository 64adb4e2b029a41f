/* The rig's own side: store, engine, accounts, posts.  See rig.h; the far side is in far.c. */
#include "tests/rig/rig.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/model/data_key.h"
#include "core/model/grant.h"
#include "core/model/operation.h"
#include "core/model/organization.h"
#include "core/model/post_write.h"
#include "core/sandbox/sandbox.h"

#define WAIT_MS 20000

void rig_die(const char *file, int line, const char *words, ...)
{
	va_list args;

	va_start(args, words);
	fprintf(stdout, "not ok rig: %s:%d: ", file, line);
	vfprintf(stdout, words, args);
	fputc('\n', stdout);
	va_end(args);
	fflush(stdout);
	_Exit(3);
}

/* ---- store and engine -------------------------------------------------------------------------------------- */

const char *rig_build(void)
{
	static char build[300];
	ssize_t n = readlink("/proc/self/exe", build, sizeof build - 1);	/* BUILD/unit/NAME */

	if (n <= 0)
		rig_die(__FILE__, __LINE__, "/proc/self/exe cannot be read");
	build[n] = '\0';
	for (int i = 0; i < 2; i++)
		*strrchr(build, '/') = '\0';
	return build;
}

void rig_conf(struct rig *r)
{
	struct conf *c = &r->conf;

	arena_init(&c->arena, 1u << 20);
	c->data_folder = arena_printf(&c->arena, "%s/data", r->folder);
	c->key_file = arena_printf(&c->arena, "%s/master.key", r->folder);
	c->create_key = 1;
	c->provider_folder = getenv("MPS_PLUGINS") ? getenv("MPS_PLUGINS") : arena_printf(&c->arena, "%s/plugins", rig_build());
	c->host_program = getenv("MPS_HOST") ? getenv("MPS_HOST") : arena_printf(&c->arena, "%s/libexec/mypostshare-host", rig_build());
	c->allow = arena_array(&c->arena, const char *, 1);
	c->in_flight = 1000;
	c->claim_batch = 200;
	c->request_timeout_ms = 1500;
	c->sandbox_settle_ms = 1000;
	c->log_level = "info";
}

bool rig_try(struct rig *r, db_write_fn *fn, void *arg)
{
	struct cx cx;

	cx_init(&cx, "rig");
	return db_write(&cx, r->store.db, fn, arg) == RC_OK;
}

void rig_write(struct rig *r, db_write_fn *fn, void *arg)
{
	struct cx cx;

	cx_init(&cx, "rig");
	if (db_write(&cx, r->store.db, fn, arg) != RC_OK)
		rig_die(__FILE__, __LINE__, "%s", cx.words);
}

struct made { struct rig *r; const char *name; };

static enum rc organization_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct made *m = arg;
	struct organization_new org = {.name = m->name};
	enum rc rc = organization_create(cx, c, m->r->store.vault, &org, clock_now());

	if (rc != RC_OK)
		return rc;
	snprintf(m->r->organization, ID_MAX, "%s", org.id);
	snprintf(m->r->app, ID_MAX, "%s", org.app_id);
	id_new(m->r->end_user, "eu");
	db_run(c, "INSERT INTO end_user (id, organization_id, app_id, live, external_id, created_at, updated_at)"
	       " VALUES (?1, ?2, ?3, 0, 'u1', ?4, ?4)", "sssi", m->r->end_user, org.id, org.app_id, clock_now());
	return data_key_create(cx, c, m->r->store.vault, org.id, m->r->end_user);
}

void rig_organization(struct rig *r, const char *name)
{
	rig_write(r, organization_write, &(struct made){r, name});
}

static bool organization_find(struct rig *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->store.db);
	STMT_AUTO struct stmt *s = db_query(c, "SELECT organization_id, app_id, id FROM end_user ORDER BY created_at DESC LIMIT 1", "");

	if (!db_next(s))
		return false;
	snprintf(r->organization, ID_MAX, "%s", db_text(s, 0));
	snprintf(r->app, ID_MAX, "%s", db_text(s, 1));
	snprintf(r->end_user, ID_MAX, "%s", db_text(s, 2));
	return true;
}

void rig_begin(struct rig *r, const char *name)
{
	struct sandbox *sandbox;
	char path[256];
	struct cx cx;

	snprintf(r->folder, sizeof r->folder, "/tmp/mps-%s-XXXXXX", name);
	cx_init(&cx, "test");
	if (mkdtemp(r->folder) == NULL)
		rig_die(__FILE__, __LINE__, "no folder %s", r->folder);
	snprintf(path, sizeof path, "%s/sandbox", r->folder);
	if (sandbox_open(&cx, &(struct sandbox_config){"127.0.0.1:0", path, NULL}, &sandbox) != RC_OK)
		rig_die(__FILE__, __LINE__, "%s", cx.words);
	snprintf(r->sandbox_url, sizeof r->sandbox_url, "http://127.0.0.1:%d", sandbox_port(sandbox));
	rig_conf(r);
}

void rig_open(struct rig *r)
{
	struct engine_config config = {.conf = &r->conf, .sandbox_url = r->sandbox_url, .sandbox_public_url = r->sandbox_url};
	struct cx cx;

	cx_init(&cx, "rig");
	if (installation_open(&cx, &r->conf, &r->store) != RC_OK)
		rig_die(__FILE__, __LINE__, "%s", cx.words);
	r->platforms = platforms_new();
	if (!organization_find(r))
		rig_organization(r, "Acme");
	config.db = r->store.db;
	config.vault = r->store.vault;
	config.platforms = r->platforms;
	if (engine_open(&cx, &config, &r->engine) != RC_OK)
		rig_die(__FILE__, __LINE__, "%s", cx.words);
}

void rig_close(struct rig *r)
{
	engine_close(r->engine);
	platforms_drop(r->platforms);
	installation_close(&r->store);
	arena_free(&r->conf.arena);
}

bool rig_wait(struct rig *r, const char *sql, const char *id, const char *wanted, char got[64])
{
	uint64_t seen = 0;

	got[0] = '\0';
	for (int64_t until = clock_mono() + WAIT_MS; clock_mono() < until;) {
		struct db_conn *c = db_take(r->store.db);
		{
			STMT_AUTO struct stmt *s = db_query(c, sql, "s", id);
			if (db_next(s))
				snprintf(got, 64, "%s", db_text_or(s, 0, ""));
		}
		db_give(c);
		if (strcmp(got, wanted) == 0)
			return true;
		seen = engine_wait(r->engine, seen, 100);
	}
	return false;
}

/* ---- connecting an account --------------------------------------------------------------------------------- */

struct start { struct rig *r; const char *kind, *input, *verifier; char grant_id[ID_MAX], session_id[ID_MAX], op_id[ID_MAX], code[256]; };

static struct owner owner_of(const struct start *s)
{
	return (struct owner){s->r->organization, s->r->app, 0};
}

static void operation_add(struct db_conn *c, struct start *s)
{
	struct operation o = {.owner = owner_of(s), .kind = s->kind, .platform = "sandbox", .provider = "sandbox", .grant_id = s->grant_id,
		.session_id = s->session_id, .input = s->input};

	operation_start(c, &o, s->op_id, 600000, clock_now());
}

static enum rc session_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct start *s = arg;
	struct grant g = {.owner = owner_of(s), .end_user_id = s->r->end_user, .platform = "sandbox", .provider = "sandbox"};
	struct buf bag;
	enum rc rc;

	buf_init(&bag, 4096);
	bag_put(&bag, REC_STATE, "code_verifier", s->verifier);
	rc = grant_create(cx, c, s->r->store.vault, &g, s->grant_id, &bag, clock_now());
	buf_wipe(&bag);
	id_new(s->session_id, "cs");
	db_run(c, "INSERT INTO connect_session (id, organization_id, app_id, live, end_user_id, platform, provider, status, token_mac,"
	       " grant_id, redirect_url, credential_mode, expires_at, created_at) VALUES (?1, ?2, ?3, 0, ?4, 'sandbox', 'sandbox',"
	       " 'authorizing', ?5, ?6, 'http://127.0.0.1:1/done', 'app_default', ?7, ?7)", "ssssbsi", s->session_id, s->r->organization,
	       s->r->app, s->r->end_user, s->session_id, strlen(s->session_id), s->grant_id, clock_now() + 600000);
	operation_add(c, s);
	return rc;
}

static enum rc exchange_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct start *s = arg;
	struct grant g = {0};
	struct buf bag;
	struct arena a;
	enum rc rc;

	arena_init(&a, 65536);
	buf_init(&bag, 65536);
	MUST(grant_load(c, s->grant_id, &a, &g));
	rc = grant_secrets(cx, c, s->r->store.vault, &g, &bag);
	bag_put(&bag, REC_STATE, "code", s->code);
	if (rc == RC_OK)
		rc = grant_secrets_save(cx, c, s->r->store.vault, &g, &bag);
	buf_wipe(&bag);
	arena_free(&a);
	operation_add(c, s);
	return rc;
}

static char *redirect_of(struct rig *r, const char *op_id)
{
	uint64_t seen = 0;
	char *url;

	for (int64_t until = clock_mono() + WAIT_MS; clock_mono() < until;) {
		url = engine_redirect_take(r->engine, op_id);
		if (url != NULL)
			return url;
		seen = engine_wait(r->engine, seen, 100);
	}
	rig_die(__FILE__, __LINE__, "no redirect came");
}

/* The person: allows what the address asks for, and brings back the code. */
static void consent(struct start *s, const char *name, const char *type)
{
	char location[2048], *url = redirect_of(s->r, s->op_id), *code;
	struct buf form, answer;

	buf_init(&form, 8192);
	buf_init(&answer, 1u << 20);
	buf_addf(&form, "%s&account=%s&type=%s&decision=allow", strchr(url, '?') + 1, name, type);
	MUST(rig_call(s->r->sandbox_url, "/oauth/consent", buf_text(&form), &answer, location, sizeof location) == 303);
	code = strstr(location, "code=");
	MUST(code != NULL);
	snprintf(s->code, sizeof s->code, "%.*s", (int)strcspn(code + 5, "&"), code + 5);
	buf_free(&form);
	buf_free(&answer);
	free(url);
}

static void connection_of(struct rig *r, const char *grant_id, char out[ID_MAX])
{
	DB_READ_AUTO struct db_conn *c = db_take(r->store.db);
	STMT_AUTO struct stmt *q = db_query(c, "SELECT id FROM connection WHERE grant_id = ?1", "s", grant_id);

	MUST(db_next(q));
	snprintf(out, ID_MAX, "%s", db_text(q, 0));
}

void rig_connect(struct rig *r, const char *name, const char *type, char out[ID_MAX])
{
	struct start s = {.r = r, .kind = "authorize", .verifier = "verifier-verifier-verifier-verifier-verifier-0123"};
	uint8_t digest[32];
	struct buf input;
	char got[64];

	buf_init(&input, 4096);
	vault_sha256(s.verifier, strlen(s.verifier), digest);
	buf_adds(&input, "{\"oauth\":{\"redirect_uri\":\"http://127.0.0.1:1/cb\",\"state\":\"st\",\"code_challenge\":\"");
	text_base64url(&input, digest, sizeof digest);
	buf_adds(&input, "\"}}");
	s.input = buf_text(&input);
	rig_write(r, session_write, &s);
	engine_wake(r->engine);
	consent(&s, name, type);
	s.kind = "exchange";
	s.input = "{\"oauth\":{\"redirect_uri\":\"http://127.0.0.1:1/cb\"}}";
	rig_write(r, exchange_write, &s);
	engine_wake(r->engine);
	if (!rig_wait(r, "SELECT status FROM connect_session WHERE id = ?1", s.session_id, "completed", got))
		rig_die(__FILE__, __LINE__, "the connect session of %s is %s", name, got);
	connection_of(r, s.grant_id, out);
	buf_free(&input);
}

struct clones { const char *connection; int n; };

static enum rc clones_write(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct clones *k = arg;
	char id[ID_MAX];

	for (int i = 0; i < k->n; i++) {
		id_new(id, "con");
		db_run(c, "INSERT INTO connection (id, organization_id, app_id, live, end_user_id, grant_id, platform, provider, remote_id,"
		       " username, account_type, status, created_at, updated_at) SELECT ?2, organization_id, app_id, live, end_user_id, grant_id,"
		       " platform, provider, ?2, username, account_type, status, created_at, updated_at FROM connection WHERE id = ?1", "ss",
		       k->connection, id);
	}
	return db_fail(cx, c);
}

void rig_clone(struct rig *r, const char *connection, int n)
{
	rig_write(r, clones_write, &(struct clones){connection, n});
}

/* ---- posts ------------------------------------------------------------------------------------------------- */

enum rc rig_post_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct rig_post *p = arg;
	int64_t now = clock_now(), due = p->due > 0 ? p->due : now;

	id_new(p->post, "post");
	id_new(p->delivery, "dlv");
	db_run(c, "INSERT INTO post (id, organization_id, app_id, live, status, mode, text, body, max_late_ms, on_missed, created_at, updated_at)"
	       " SELECT ?1, organization_id, app_id, live, 'publishing', 'now', ?2, '{}', 21600000, 'publish', ?3, ?3 FROM connection"
	       " WHERE id = ?4", "ssis", p->post, p->text, now, p->connection);
	db_run(c, "INSERT INTO delivery (id, organization_id, app_id, live, post_id, connection_id, platform, provider, text, content,"
	       " content_hash, state, due_at, on_missed, created_at, updated_at) SELECT ?1, organization_id, app_id, live, ?2, id, platform,"
	       " provider, ?3, ?7, 'h', 'queued', ?4, 'publish', ?5, ?5 FROM connection WHERE id = ?6",
	       "sssiiss", p->delivery, p->post, p->text, due, now, p->connection,
	       p->content != NULL ? p->content : "{\"options\":{},\"media\":[]}");
	return db_fail(cx, c);
}

#define PLAIN "{\"options\":{},\"media\":[]}"

static void thread_fill(const struct rig_thread *t, struct arena *a, struct post_target *target)
{
	int n = t->items + t->comment;
	struct post_child *children = arena_array(a, struct post_child, n + 1);

	for (int i = 0; i < n; i++)
		children[i] = i < t->items
			? (struct post_child){"thread", arena_printf(a, "%s %d", t->text, i + 2), PLAIN, NULL}
			: (struct post_child){"first_comment", arena_printf(a, "%s c", t->text), PLAIN, NULL};
	*target = (struct post_target){.connection_id = t->connection, .platform = "sandbox", .provider = "sandbox", .text = t->text,
		.content = PLAIN, .children = children, .child_count = n};
	post_hash(target, NULL, NULL);
}

static bool whose(struct db_conn *c, const char *connection, struct arena *a, struct owner *ret)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT organization_id, app_id, live FROM connection WHERE id = ?1", "s", connection);

	if (!db_next(s))
		return false;
	*ret = (struct owner){db_dup(s, 0, a), db_dup(s, 1, a), db_int(s, 2)};
	return true;
}

enum rc rig_thread_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct rig_thread *t = arg;
	ARENA_AUTO struct arena a;
	struct post_target target;
	struct post_new p = {.mode = "now", .text = t->text, .body = "{}", .on_missed = "publish", .max_late_ms = POST_MAX_LATE_MS,
		.allow_duplicate = true, .targets = &target, .target_count = 1};
	enum rc rc;

	arena_init(&a, 1u << 20);
	MUST(whose(c, t->connection, &a, &p.owner));
	thread_fill(t, &a, &target);
	rc = post_create(cx, c, &p, clock_now());
	if (rc != RC_OK)
		return rc;
	STMT_AUTO struct stmt *s = db_query(c, "SELECT id FROM delivery WHERE post_id = ?1 AND parent_delivery_id IS NULL", "s", p.id);
	MUST(db_next(s));
	snprintf(t->post, ID_MAX, "%s", p.id);
	snprintf(t->delivery, ID_MAX, "%s", db_text_or(s, 0, ""));
	return db_fail(cx, c);
}

void rig_post(struct rig *r, const char *connection, const char *text, struct rig_post *ret)
{
	*ret = (struct rig_post){.connection = connection, .text = text};
	rig_write(r, rig_post_write, ret);
	engine_wake(r->engine);
}

static const char *edit_input(struct arena *a, const char *text)
{
	BUF_AUTO struct buf out;
	struct jsonw w;

	buf_init(&out, 65536);
	jsonw_init(&w, &out);
	jsonw_object(&w, "");
	jsonw_text(&w, "text", text);
	jsonw_raw(&w, "content", PLAIN, sizeof PLAIN - 1);
	jsonw_text(&w, "hash", "edited");
	jsonw_bool(&w, "mediaKept", true);
	jsonw_object_end(&w);
	jsonw_end(&w);
	return arena_text(a, buf_text(&out));
}

enum rc rig_edit_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct rig_edit *k = arg;
	struct delivery d = {0};
	struct delivery_edit e = {0};
	struct arena a ARENA_AUTO;
	enum rc rc;

	arena_init(&a, 1u << 20);
	if (!delivery_load(c, k->delivery, NULL, &a, &d))
		return fail(cx, RC_NOT_FOUND, "no delivery %s", k->delivery);
	e.input = edit_input(&a, k->text);
	e.version = d.version;
	rc = delivery_edit(cx, c, &d, &e, clock_now());
	memcpy(k->operation, e.operation_id, ID_MAX);
	return rc;
}
