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

#include "core/api/command.h"
#include "core/base/log.h"
#include "core/io/control.h"
#include "core/model/installation.h"
#include "core/sandbox/child.h"

#define REPORT_MAX (1024 * 1024)
#define TEND_SECONDS 1

struct server {
	const struct conf *conf;
	struct installation store;
	struct child *sandbox;
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

static enum rc parts_open(struct cx *cx, struct server *s)
{
	const struct conf *c = s->conf;
	enum rc rc = installation_open(cx, c, &s->store);

	for (const char **a = c->allow; *a; a++)
		log_warn("egress", "[egress] allow is set: outgoing requests may reach %s, which is not a public address", *a);
	if (rc == RC_OK)
		rc = sandbox_start(cx, s);
	s->env = (struct command_env){.db = s->store.db, .vault = s->store.vault};
	if (rc == RC_OK)
		rc = control_open(cx, c->control_socket, control_run, s, &s->control);
	return rc;
}

static void parts_close(struct server *s)
{
	control_close(s->control);
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
	if (rc == RC_OK) {
		log_info("serve", "mypostshare %s is ready; data in %s", SERVE_VERSION, conf->data_folder);
		wait_for_end(&s, &signals);
	}
	parts_close(&s);
	return rc;
}
