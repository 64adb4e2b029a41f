/*
 * The sandbox platform: its routing table, and the call from the door to the answer.
 *
 * One table names every route, who may call it, and counts it.  Faults ordered by the control routes are
 * applied around the handler, so that "lost_after" is a request that took effect and was never answered.
 */
#include "core/sandbox/sandbox.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "core/io/db.h"
#include "core/io/web.h"
#include "core/sandbox/call.h"
#include "core/sandbox/fault.h"
#include "core/sandbox/handlers.h"
#include "core/sandbox/late.h"
#include "core/sandbox/page.h"
#include "core/sandbox/store.h"

#define THREADS 128		/* withheld answers keep a thread each */
#define PER_ADDRESS 1024
#define RATE_LIMIT 100000
#define RATE_WINDOW_S 900

enum door { DOOR_OPEN, DOOR_TOKEN, DOOR_CONTROL };

struct route { const char *method, *pattern; enum door door; call_fn *run; };

static const struct route routes[] = {
	{ "GET",    "/oauth/authorize",            DOOR_OPEN,    sandbox_oauth_authorize },
	{ "POST",   "/oauth/consent",              DOOR_OPEN,    sandbox_oauth_consent },
	{ "POST",   "/oauth/token",                DOOR_OPEN,    sandbox_oauth_token },
	{ "POST",   "/oauth/revoke",               DOOR_OPEN,    sandbox_oauth_revoke },
	{ "GET",    "/assets/{}",                  DOOR_OPEN,    sandbox_page_asset },
	{ "GET",    "/avatars/{}",                 DOOR_OPEN,    sandbox_account_avatar },
	{ "GET",    "/posts/{}",                   DOOR_OPEN,    sandbox_posts_page },
	{ "GET",    "/v1/me",                      DOOR_TOKEN,   sandbox_account_me },
	{ "GET",    "/v1/pages",                   DOOR_TOKEN,   sandbox_account_pages },
	{ "POST",   "/v1/posts",                   DOOR_TOKEN,   sandbox_posts_create },
	{ "GET",    "/v1/posts",                   DOOR_TOKEN,   sandbox_posts_list },
	{ "GET",    "/v1/posts/{}",                DOOR_TOKEN,   sandbox_posts_get },
	{ "PUT",    "/v1/posts/{}",                DOOR_TOKEN,   sandbox_posts_edit },
	{ "DELETE", "/v1/posts/{}",                DOOR_TOKEN,   sandbox_posts_delete },
	{ "POST",   "/v1/media",                   DOOR_TOKEN,   sandbox_media_create },
	{ "GET",    "/v1/media/{}",                DOOR_TOKEN,   sandbox_media_get },
	{ "POST",   "/v1/containers",              DOOR_TOKEN,   sandbox_containers_create },
	{ "GET",    "/v1/containers/{}",           DOOR_TOKEN,   sandbox_containers_get },
	{ "POST",   "/v1/containers/{}/publish",   DOOR_TOKEN,   sandbox_containers_publish },
	{ "POST",   "/v1/apps",                    DOOR_OPEN,    sandbox_instance_apps },
	{ "GET",    "/v1/instance",                DOOR_OPEN,    sandbox_instance_read },
	{ "GET",    "/control/ledger",             DOOR_CONTROL, sandbox_control_ledger },
	{ "GET",    "/control/stats",              DOOR_CONTROL, sandbox_control_stats },
	{ "GET",    "/control/media/{}",           DOOR_CONTROL, sandbox_control_media },
	{ "GET",    "/control/accounts",           DOOR_CONTROL, sandbox_control_accounts },
	{ "POST",   "/control/accounts",           DOOR_CONTROL, sandbox_control_account },
	{ "POST",   "/control/clients",            DOOR_CONTROL, sandbox_control_client },
	{ "POST",   "/control/expire",             DOOR_CONTROL, sandbox_control_expire },
	{ "POST",   "/control/withdraw",           DOOR_CONTROL, sandbox_control_withdraw },
	{ "POST",   "/control/fail",               DOOR_CONTROL, sandbox_control_fail },
	{ "POST",   "/control/inbox/{}",           DOOR_CONTROL, sandbox_control_inbox },
	{ "POST",   "/control/instance",           DOOR_CONTROL, sandbox_control_instance },
	{ "POST",   "/control/reset",              DOOR_CONTROL, sandbox_control_reset },
};
#define ROUTES ((int)(sizeof routes / sizeof *routes))
_Static_assert(sizeof routes / sizeof *routes <= SANDBOX_ROUTES, "SANDBOX_ROUTES is too small");

const char *sandbox_route_name(int index)
{
	static char names[SANDBOX_ROUTES][64];
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	if (index < 0 || index >= ROUTES)
		return NULL;
	pthread_mutex_lock(&lock);
	if (!names[index][0])
		snprintf(names[index], sizeof names[index], "%s %s", routes[index].method, routes[index].pattern);
	pthread_mutex_unlock(&lock);
	return names[index];
}

/* The pattern's {} takes one segment of the characters that our ids, names and files have. */
static bool matches(struct call *c, const char *pattern, const char *path)
{
	const char *hole = strstr(pattern, "{}");
	size_t before, n;

	c->id = NULL;
	if (!hole)
		return !strcmp(pattern, path);
	before = (size_t)(hole - pattern);
	if (strncmp(pattern, path, before))
		return false;
	n = strspn(path + before, "abcdefghijklmnopqrstuvwxyz0123456789-_.");
	if (!n || n > 80 || strcmp(path + before + n, hole + 2))
		return false;
	c->id = arena_dup(c->r->arena, path + before, n);
	return true;
}

/* Our index of the route, -1 if no pattern fits the path, -2 if only the method does not. */
static int find(struct call *c)
{
	int found = -1;

	for (int i = 0; i < ROUTES; i++) {
		if (!matches(c, routes[i].pattern, c->r->path))
			continue;
		if (text_eq(routes[i].method, c->r->method))
			return i;
		found = -2;
	}
	return found;
}

/* A proxy adds the first three, a browser one of the last two; the name keeps out rebound addresses. */
static bool control_ok(struct call *c)
{
	static const char *const foreign[] = { "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Origin", "Sec-Fetch-Site" };
	const char *host = web_header_in(c->r, "Host");
	bool ok = text_eq(c->r->address, "127.0.0.1") && host &&
		  (text_starts(host, "127.0.0.1:") || text_starts(host, "localhost:"));

	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
		ok = ok && !web_header_in(c->r, foreign[i]);
	if (!ok)
		call_error(c, 403, "forbidden", "Control routes are for programs on this machine.");
	return ok;
}

static void rate_headers(struct call *c)
{
	long long used = atomic_fetch_add(&c->s->limited, 1) + 1;

	web_header(c->a, "X-Rate-Limit-Remaining", "%lld", used < RATE_LIMIT ? RATE_LIMIT - used : 0);
	web_header(c->a, "X-Rate-Limit-Reset", "%d", RATE_WINDOW_S);
}

static void run(struct call *c, const struct route *route)
{
	if (route->door == DOOR_CONTROL && !control_ok(c))
		return;
	if (route->door == DOOR_TOKEN) {
		rate_headers(c);
		if (!call_bearer(c))
			return;
	}
	route->run(c);
}

static void run_with_faults(struct call *c, const struct route *route)
{
	struct fault f;

	if (route->door == DOOR_CONTROL || !sandbox_fault_take(c->s, route->method, route->pattern, &f)) {
		run(c, route);
	} else if (f.mode == FAULT_STATUS) {
		if (f.status == 429 || f.status == 503)
			web_header(c->a, "Retry-After", "1");
		call_error(c, f.status, "forced", "The sandbox was told to fail here.");
	} else {
		if (f.mode == FAULT_LOST_AFTER || f.mode == FAULT_HANG_AFTER)
			run(c, route);
		if (f.mode == FAULT_HANG_AFTER || f.mode == FAULT_HANG_BEFORE)
			call_wait(c, SANDBOX_HOLD_MS);
		call_reset(c);
	}
}

static void handle(void *arg, const struct web_request *r, struct web_answer *a)
{
	struct call c = { .s = arg, .r = r, .a = a };
	int i;

	cx_init(&c.cx, "sandbox");
	i = find(&c);
	if (!atomic_load(&c.s->ready)) {
		call_error(&c, 503, "starting", "The sandbox is starting.");
	} else if (i >= 0) {
		atomic_fetch_add(&c.s->counts[i], 1);
		run_with_faults(&c, &routes[i]);
	} else if (i == -2) {
		call_error(&c, 405, "method_not_allowed", "This path has no such method.");
	} else {
		call_error(&c, 404, "not_found", "No such path.");
	}
}

static void refuse(void *arg, int status, const char *words, struct web_answer *a)
{
	struct jsonw w;

	(void)arg;
	a->status = status;
	jsonw_init(&w, a->body);
	jsonw_object(&w, NULL);
	jsonw_object(&w, "error");
	jsonw_text(&w, "code", "refused");
	jsonw_text(&w, "message", words);
	jsonw_int(&w, "subcode", status * 10);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
	jsonw_end(&w);
}

static enum rc start(struct cx *cx, const struct sandbox_config *config, struct sandbox *s)
{
	struct web_config web = { .listen = config->listen, .threads = THREADS, .per_address = PER_ADDRESS, .handle = handle,
				  .refuse = refuse, .arg = s };
	enum rc rc = sandbox_store_open(cx, config->folder, &s->db);
	char own[64];

	if (rc == RC_OK)
		rc = web_open(cx, &web, &s->web);
	if (rc != RC_OK)
		return rc;
	snprintf(own, sizeof own, "http://127.0.0.1:%d", web_port(s->web));
	s->public_url = strdup(config->public_url && config->public_url[0] ? config->public_url : own);
	if (!s->public_url)
		return fail(cx, RC_NOMEM, "no memory for the sandbox's address");
	atomic_store(&s->ready, true);
	return sandbox_late_start(cx, s);
}

enum rc sandbox_open(struct cx *cx, const struct sandbox_config *config, struct sandbox **ret)
{
	struct sandbox *s = calloc(1, sizeof *s);
	pthread_condattr_t monotonic;
	enum rc rc;

	if (!s)
		return fail(cx, RC_NOMEM, "no memory for the sandbox");
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->due, &monotonic);
	pthread_condattr_destroy(&monotonic);
	rc = start(cx, config, s);
	if (rc != RC_OK)
		sandbox_close(s);
	else
		*ret = s;
	return rc;
}

int sandbox_port(const struct sandbox *s)
{
	return web_port(s->web);
}

void sandbox_close(struct sandbox *s)
{
	if (!s)
		return;
	atomic_store(&s->closing, true);
	if (s->web)
		web_close(s->web);
	sandbox_late_stop(s);
	db_close(s->db);
	pthread_cond_destroy(&s->due);
	pthread_mutex_destroy(&s->lock);
	free(s->public_url);
	free(s);
}
