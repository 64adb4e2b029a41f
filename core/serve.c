/*
 * The server: what it opens, in which order, and the wait for a signal.
 *
 * The one thing to know: the order of opening is the order of need, and closing runs the other way: the store
 * last, so that whatever still runs can commit.  Signals are blocked in every thread before the first one is
 * made and taken by the main thread, one at a time.
 */
#include "core/serve.h"

#include <signal.h>
#include <time.h>

#include <stdio.h>

#include "core/api/api.h"
#include "core/api/auth.h"
#include "core/api/command.h"
#include "core/api/connect.h"
#include "core/base/log.h"
#include "core/engine/backupjob.h"
#include "core/engine/checkup.h"
#include "core/engine/engine.h"
#include "core/engine/intake.h"
#include "core/io/control.h"
#include "core/io/web.h"
#include "core/model/installation.h"
#include "core/sandbox/child.h"

#define REPORT_MAX (1024 * 1024)
#define TEND_SECONDS 1

struct server {
	const struct conf *conf;
	struct installation store;
	struct child *sandbox;
	struct checkup *checkup;
	struct platforms *platforms;
	struct engine *engine;
	struct intake *intake;
	struct backupjob *backup;
	struct api api;
	struct web *web;
	char url[64];			/* our own address, when no public_url is given */
	struct control *control;
	struct command_env env;
};

static int control_run(void *arg, int argc, char **argv, struct buf *out, struct buf *err)
{
	struct server *s = arg;
	return command_run(&s->env, argc, argv, out, err);
}

static enum rc sandbox_start(struct cx *cx, struct server *s)
{
	const struct conf *c = s->conf;
	struct child_config config = {.listen = c->sandbox_listen, .folder = c->sandbox_folder, .public_url = c->sandbox_public_url};

	return c->sandbox && c->sandbox_url == NULL ? child_open(cx, &config, &s->sandbox) : RC_OK;
}

/* ---- the engine as commands and the API see it ------------------------------------------------------- */

static enum rc server_reload(struct cx *cx, void *server, const char *provider_id, struct buf *out)
{
	struct server *s = server;
	return engine_reload(cx, s->engine, provider_id, out);
}

static void server_providers(void *server, struct buf *out_json)
{
	struct server *s = server;
	engine_providers(s->engine, out_json);
}

static void server_wake(void *server)
{
	struct server *s = server;
	engine_wake(s->engine);
}

static void server_metrics(void *server, struct buf *out)
{
	struct server *s = server;
	backupjob_metrics(s->backup, out);
}

static void engine_metrics(struct engine *e, struct buf *out)
{
	struct engine_stats t;

	engine_stats(e, &t);
	const struct { const char *name, *type, *help; uint64_t value; } rows[] = {
		{"steps_total", "counter", "Steps of provider hosts", t.steps},
		{"sends_total", "counter", "Requests sent to platforms", t.sends},
		{"published_total", "counter", "Deliveries published", t.published},
		{"failed_total", "counter", "Deliveries failed", t.failed},
		{"unconfirmed_total", "counter", "Deliveries that became unconfirmed", t.unconfirmed},
		{"commits_total", "counter", "Commits of the engine", t.commits},
		{"active", "gauge", "Operations in memory", (uint64_t)t.active},
		{"sending", "gauge", "Requests under way", (uint64_t)t.sending},
		{"epoch", "gauge", "Epoch of the owner", (uint64_t)t.epoch},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		buf_addf(out, "# HELP mypostshare_engine_%s %s\n# TYPE mypostshare_engine_%s %s\nmypostshare_engine_%s %llu\n", rows[i].name,
			 rows[i].help, rows[i].name, rows[i].type, rows[i].name, (unsigned long long)rows[i].value);
}

/* ---- opening ------------------------------------------------------------------------------------------ */

static enum rc engine_start(struct cx *cx, struct server *s)
{
	const struct conf *c = s->conf;
	const char *child = s->sandbox ? child_url(s->sandbox) : NULL;
	struct engine_config config = {
		.db = s->store.db, .vault = s->store.vault, .conf = c,
		.sandbox_url = c->sandbox_url ? c->sandbox_url : child,
		.sandbox_public_url = c->sandbox_public_url ? c->sandbox_public_url : c->sandbox_url ? c->sandbox_url : child,
	};

	config.platforms = s->platforms = platforms_new();
	return engine_open(cx, &config, &s->engine);
}

static enum rc api_start(struct cx *cx, struct server *s)
{
	const struct conf *c = s->conf;
	struct web_config web = {.listen = c->listen, .threads = c->threads, .handle = api_handle, .refuse = api_refuse, .arg = &s->api};
	enum rc rc;

	s->api = (struct api){
		.db = s->store.db, .vault = s->store.vault, .conf = c, .public_url = c->public_url ? c->public_url : s->url,
		.platforms = s->platforms, .engine = s->engine, .intake = s->intake, .wake = engine_wake, .wait = engine_wait, .metrics = engine_metrics,
		.server = s, .server_metrics = server_metrics,
		.authorize = auth_key, .polls_max = c->threads / 4,
		.key_per_minute = c->key_per_minute > 0 ? c->key_per_minute : -1,
		.address_per_minute = c->address_per_minute > 0 ? c->address_per_minute : -1,
	};
	rc = api_init(cx, &s->api);
	if (rc == RC_OK)
		rc = web_open(cx, &web, &s->web);
	if (rc == RC_OK)
		snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", web_port(s->web));
	return rc;
}

static enum rc parts_open(struct cx *cx, struct server *s)
{
	const struct conf *c = s->conf;
	enum rc rc = installation_open(cx, c, &s->store);

	for (const char **a = c->allow; *a; a++)
		log_warn("egress", "[egress] allow is set: outgoing requests may reach %s, which is not a public address", *a);
	if (rc == RC_OK)
		rc = sandbox_start(cx, s);
	if (rc == RC_OK)
		rc = checkup_open(cx, s->store.db, &s->checkup);
	if (rc == RC_OK)
		rc = engine_start(cx, s);
	if (rc == RC_OK)
		rc = intake_open(cx, s->store.db, c, &s->intake);
	if (rc == RC_OK)
		s->backup = backupjob_open(s->store.db, s->store.vault, c->data_folder);
	if (rc == RC_OK)
		rc = api_start(cx, s);
	s->env = (struct command_env){
		.db = s->store.db, .vault = s->store.vault, .data_folder = c->data_folder, .backup = s->backup, .server = s,
		.reload = server_reload, .providers = server_providers, .wake = server_wake,
	};
	if (rc == RC_OK)
		rc = control_open(cx, c->control_socket, control_run, s, &s->control);
	return rc;
}

static void parts_close(struct server *s)
{
	control_close(s->control);
	if (s->web)
		api_drain(&s->api);
	web_close(s->web);
	backupjob_close(s->backup);
	intake_close(s->intake);
	engine_close(s->engine);
	api_free(&s->api);
	platforms_drop(s->platforms);
	checkup_close(s->checkup);
	child_close(s->sandbox);
	installation_close(&s->store);
}

static void reload(struct server *s)
{
	struct cx cx;
	struct buf out;

	cx_init(&cx, "reload");
	buf_init(&out, REPORT_MAX);
	if (s->env.server && s->env.reload(&cx, s->env.server, NULL, &out) == RC_OK)
		log_info("reload", "%s", buf_text(&out));
	buf_free(&out);
}

/* Signals are blocked in every thread and taken here, one at a time. */
static void wait_for_end(struct server *s, const sigset_t *signals)
{
	for (;;) {
		struct timespec tend = {.tv_sec = TEND_SECONDS};
		int got = sigtimedwait(signals, NULL, &tend);
		if (got == SIGTERM || got == SIGINT) {
			log_info("serve", "stopping");
			return;
		}
		if (got == SIGHUP)
			reload(s);
		child_tend(s->sandbox);
	}
}

static void signals_block(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGHUP);
	pthread_sigmask(SIG_BLOCK, ret, NULL);
}

enum rc serve_run(struct cx *cx, const struct conf *conf)
{
	struct server s = {.conf = conf};
	sigset_t signals;

	signals_block(&signals);
	enum rc rc = parts_open(cx, &s);
	if (rc == RC_CORRUPT && s.store.db && db_rescue(s.store.db)) {	/* found on the way: again, to read what can be read */
		parts_close(&s);
		s = (struct server){.conf = conf};
		cx_init(cx, cx->who);
		rc = parts_open(cx, &s);
	}
	if (rc == RC_OK) {
		log_info("serve", "mypostshare %s is ready on %s; data in %s", SERVE_VERSION, s.api.public_url, conf->data_folder);
		if (db_rescue(s.store.db))
			log_error("serve", "the store is damaged: it is only read, and nothing is sent; stop the server, restore a backup, start it again");
		wait_for_end(&s, &signals);
	}
	parts_close(&s);
	return rc;
}
