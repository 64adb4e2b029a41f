/* Loading and reloading providers on the engine's thread: see provide.h and engine_reload. */
#include "core/engine/provide.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/jsonw.h"
#include "core/base/log.h"
#include "core/base/rc.h"
#include "core/base/text.h"
#include "core/engine/op.h"
#include "core/model/post.h"

#define UNBLOCK_MAX 200
#define LIST_MS 10000			/* memory in use changes without news */
#define REPORT_MAX (1024 * 1024)

/* What another thread waits for.  The engine's once it stands there, until it is done. */
struct reload {
	char *id;		/* NULL: all */
	struct buf out;
	enum rc rc;
	int open;		/* providers whose new process has not said yet whether it may serve */
	bool begun, done;
};

/* One provider that is being loaded. */
struct bringing {
	struct engine *e;
	struct reload *reload;	/* NULL: at start */
	struct platform *snapshot;
};

static bool spec_of(struct engine *e, const char *id, char *path, size_t n, struct host_spec *ret)
{
	const struct conf_provider *conf = conf_provider(e->config.conf, id);
	const char *folder = e->config.conf->provider_folder;

	if (conf != NULL && !conf->enabled)
		return false;
	if (conf != NULL && conf->file != NULL && conf->file[0] == '/')
		snprintf(path, n, "%s", conf->file);
	else if (conf != NULL && conf->file != NULL)
		snprintf(path, n, "%s/%s", folder, conf->file);
	else
		snprintf(path, n, "%s/%s.so", folder, id);
	*ret = (struct host_spec){.id = id, .file = path, .sha256 = conf ? conf->sha256 : NULL};
	return true;
}

/* The snapshot that the API reads.  It is made before the new host serves, so that both change or neither does. */
static enum rc snapshot_read(struct cx *cx, const struct host_info *info, void *arg)
{
	struct bringing *b = arg;

	return platform_read_built(cx, info->id, info->version, info->abi_minor, info->describe, &b->snapshot);
}

static void report(struct reload *r, const char *id, const char *version, enum rc rc, const char *words)
{
	if (rc == RC_OK)
		buf_addf(&r->out, "%s: %s loaded\n", id, version);
	else
		buf_addf(&r->out, "%s: not loaded: %s\n", id, words);
	if (rc != RC_OK && r->rc == RC_OK)
		r->rc = rc;
}

static void brought(struct cx *cx, const char *id, enum rc rc, void *arg)
{
	struct bringing *b = arg;

	if (b->reload != NULL) {
		report(b->reload, id, b->snapshot ? b->snapshot->version : "", rc, cx->words);
		b->reload->open--;
	}
	if (rc == RC_OK)
		platforms_put(b->e->config.platforms, b->snapshot);
	else
		platform_give(b->snapshot);
	free(b);
}

static void bring(struct engine *e, const char *id, struct reload *r)
{
	struct bringing *b = calloc(1, sizeof *b);
	char path[4096];
	struct host_spec spec;
	struct cx cx;

	if (b == NULL)
		out_of_memory(__func__);
	*b = (struct bringing){e, r, NULL};
	cx_init(&cx, r != NULL ? "reload" : "providers");
	if (r != NULL)
		r->open++;
	if (!spec_of(e, id, path, sizeof path, &spec)) {
		brought(&cx, id, fail(&cx, RC_CONFLICT, "provider %s is switched off in the ini", id), b);
		return;
	}
	spec.accept = snapshot_read;
	spec.started = brought;
	spec.arg = b;
	if (hosts_start(&cx, e->hosts, &spec) != RC_OK)
		brought(&cx, id, cx.rc, b);	/* its words are logged, and listed by `providers` */
}

/* ---- deliveries that waited for a provider ------------------------------------------------------------- */

/* At most as many as a closure may change; the rest comes with the next call. */
static enum rc unblock(struct db_conn *c, struct engine *e, const char *parked)
{
	ARENA_AUTO struct arena a;
	const char *posts[UNBLOCK_MAX];
	int64_t now = clock_now();
	int n = 0;

	arena_init(&a, 65536);
	{
		STMT_AUTO struct stmt *s = db_query(c,
			"UPDATE delivery SET state = 'queued', reason = NULL, due_at = ?1, deadline_at = NULL, claim = claim + 1,"
			" version = version + 1, updated_at = ?1 WHERE id IN (SELECT id FROM delivery WHERE"
			" state IN ('processing', 'committing', 'awaiting_platform', 'awaiting_user', 'blocked', 'unconfirmed')"
			" AND state = 'blocked' AND reason IN (?2, 'platform_paused') LIMIT 200) RETURNING post_id", "is", now, parked);

		while (db_next(s))
			if (n < UNBLOCK_MAX)
				posts[n++] = db_dup(s, 0, &a);
	}
	for (int i = 0; i < n; i++)
		post_derive_id(c, posts[i], now);
	e->unblocked = n;
	return db_rc(c);
}

/* A new provider may know better what the old one was parked for; a pause that is over says nothing about that. */
static enum rc unblock_all(struct cx *cx, struct db_conn *c, void *arg) { (void)cx; return unblock(c, arg, "provider"); }
static enum rc unblock_paused(struct cx *cx, struct db_conn *c, void *arg) { (void)cx; return unblock(c, arg, "platform_paused"); }

static void unblocked(struct engine *e, enum rc rc, db_write_fn *again, db_done_fn *then)
{
	engine_wake(e);
	pthread_mutex_lock(&e->lock);
	if (rc == RC_OK && e->unblocked == UNBLOCK_MAX && e->running)	/* one that stops waits for the writer, but not for more of this */
		db_write_async(e->db, again, then, e);
	pthread_mutex_unlock(&e->lock);
}

static void all_unblocked(enum rc rc, const char *words, void *arg)
{
	(void)words;
	unblocked(arg, rc, unblock_all, all_unblocked);
}

static void paused_unblocked(enum rc rc, const char *words, void *arg)
{
	(void)words;
	unblocked(arg, rc, unblock_paused, paused_unblocked);
}

/* ---- the list ------------------------------------------------------------------------------------------ */

static const char *state_of(const struct host_info *i)
{
	return i->paused ? "paused" : i->loaded ? "serving" : i->starting ? "loading" : "refused";
}

static void write_info(struct jsonw *w, const struct host_info *i)
{
	jsonw_object(w, "");
	jsonw_text(w, "id", i->id);
	jsonw_text(w, "version", i->version);
	jsonw_text(w, "file", i->file);
	jsonw_text(w, "state", state_of(i));
	jsonw_bool(w, "loaded", i->loaded);
	jsonw_bool(w, "paused", i->paused);
	jsonw_int(w, "abiMinor", i->abi_minor);
	jsonw_text(w, "sandbox", i->sandbox);
	jsonw_time(w, "pausedUntil", i->paused_until);
	jsonw_int(w, "failures", i->faults);
	jsonw_text(w, "lastFailure", i->fault);
	jsonw_time(w, "lastFailureAt", i->fault_at);
	jsonw_int(w, "crashes", i->crashes);
	jsonw_int(w, "pid", i->pid);
	jsonw_int(w, "rssKb", i->rss_kb);
	jsonw_text(w, "words", i->words);
	jsonw_object_end(w);
}

static void write_list(struct engine *e)
{
	struct buf list;
	struct jsonw w;

	buf_init(&list, 1u << 20);
	jsonw_init(&w, &list);
	jsonw_array(&w, "");
	for (int i = 0; i < hosts_count(e->hosts); i++)
		write_info(&w, hosts_info(e->hosts, i));
	jsonw_array_end(&w);
	jsonw_end(&w);
	pthread_mutex_lock(&e->lock);
	buf_free(&e->providers_json);
	e->providers_json = list;
	pthread_mutex_unlock(&e->lock);
	e->listed_at = clock_mono();
}

static int is_plugin(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 3 && n < 64 && strcmp(d->d_name + n - 3, ".so") == 0 && d->d_name[0] != '.';
}

/* Calls for each provider id of the folder; a folder that cannot be read is said once. */
static void each(struct engine *e, void (*call)(struct engine *, const char *, void *), void *arg)
{
	struct dirent **list;
	int n = scandir(e->config.conf->provider_folder, &list, is_plugin, alphasort);
	char id[64];

	if (n < 0) {
		log_error("engine", "provider folder %s cannot be read", e->config.conf->provider_folder);
		return;
	}
	for (int i = 0; i < n; i++) {
		snprintf(id, sizeof id, "%.*s", (int)(strlen(list[i]->d_name) - 3), list[i]->d_name);
		call(e, id, arg);
		free(list[i]);
	}
	free(list);
}

/* ---- loading and reloading ------------------------------------------------------------------------------- */

static void load_one(struct engine *e, const char *id, void *arg)
{
	(void)arg;
	bring(e, id, NULL);
}

/* All at once: one that hangs costs 5 s, and ten that hang cost no more. */
void provide_load(struct engine *e)
{
	each(e, load_one, NULL);
	hosts_settle(e->hosts);
	(void)hosts_news(e->hosts);
	write_list(e);
}

static void reload_one(struct engine *e, const char *id, void *arg) { bring(e, id, arg); }

/* A provider whose file is gone goes on serving; that is told, and never done in silence. */
static void reload_missing(struct engine *e, struct reload *r)
{
	for (int i = 0; i < hosts_count(e->hosts); i++) {
		const struct host_info *info = hosts_info(e->hosts, i);

		if (access(info->file, F_OK) != 0)
			reload_one(e, info->id, r);
	}
}

static void reload_begin(struct engine *e, struct reload *r)
{
	r->begun = true;
	if (r->id != NULL)
		reload_one(e, r->id, r);
	else {
		each(e, reload_one, r);
		reload_missing(e, r);
	}
}

static void reload_end(struct engine *e, struct reload *r)
{
	write_list(e);
	db_write_async(e->db, unblock_all, all_unblocked, e);
	pthread_mutex_lock(&e->lock);
	r->done = true;
	pthread_cond_broadcast(&e->ended);
	pthread_mutex_unlock(&e->lock);
}

void provide_turn(struct engine *e)
{
	unsigned news = hosts_news(e->hosts);
	struct reload *r;

	pthread_mutex_lock(&e->lock);
	r = e->reload;
	pthread_mutex_unlock(&e->lock);
	if (news & HOSTS_RESUMED)
		db_write_async(e->db, unblock_paused, paused_unblocked, e);
	if (news != 0 || clock_mono() - e->listed_at >= LIST_MS)
		write_list(e);
	if (r == NULL || r->done)
		return;
	if (!r->begun)
		reload_begin(e, r);
	if (r->open == 0)
		reload_end(e, r);
}

static void reload_drop(struct reload *r)
{
	if (r == NULL)
		return;
	free(r->id);
	buf_free(&r->out);
	free(r);
}

void provide_end(struct engine *e)
{
	reload_drop(e->reload);
	e->reload = NULL;
}

static struct reload *reload_new(const char *id)
{
	struct reload *r = calloc(1, sizeof *r);

	if (r == NULL || (id != NULL && (r->id = strdup(id)) == NULL))
		out_of_memory(__func__);
	buf_init(&r->out, REPORT_MAX);
	return r;
}

enum rc engine_reload(struct cx *cx, struct engine *e, const char *provider_id, struct buf *out)
{
	struct reload *r = reload_new(provider_id);
	enum rc rc;

	pthread_mutex_lock(&e->lock);
	while (e->reload != NULL && e->running)
		pthread_cond_wait(&e->ended, &e->lock);
	if (e->reload != NULL) {
		pthread_mutex_unlock(&e->lock);
		reload_drop(r);
		return fail(cx, RC_UNAVAILABLE, "the server is stopping");
	}
	e->reload = r;
	pthread_mutex_unlock(&e->lock);
	http_wakeup(e->http);
	pthread_mutex_lock(&e->lock);
	while (!r->done && e->running)
		pthread_cond_wait(&e->ended, &e->lock);
	if (!r->done) {		/* the engine may still write into it, and drops it at its end */
		pthread_mutex_unlock(&e->lock);
		return fail(cx, RC_UNAVAILABLE, "the server is stopping");
	}
	e->reload = NULL;
	pthread_cond_broadcast(&e->ended);
	pthread_mutex_unlock(&e->lock);
	rc = r->rc == RC_OK ? RC_OK : fail(cx, r->rc, "not every provider was loaded: %s", buf_text(&r->out));
	buf_add(out, r->out.data, r->out.len);
	reload_drop(r);
	return rc;
}

void engine_providers(struct engine *e, struct buf *out_json)
{
	pthread_mutex_lock(&e->lock);
	buf_add(out_json, e->providers_json.data, e->providers_json.len);
	pthread_mutex_unlock(&e->lock);
}
