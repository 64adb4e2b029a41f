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
#include "core/base/text.h"
#include "core/engine/op.h"
#include "core/model/post.h"

#define UNBLOCK_MAX 200

struct reload {
	const char *id;
	struct buf *out;
	enum rc rc;
	bool done;
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
	return platform_read_built(cx, info->id, info->version, info->abi_minor, info->describe, arg);
}

static enum rc bring(struct cx *cx, struct engine *e, const char *id, bool again)
{
	struct platform *snapshot = NULL;
	char path[4096];
	struct host_spec spec;
	enum rc rc;

	if (!spec_of(e, id, path, sizeof path, &spec))
		return fail(cx, RC_CONFLICT, "provider %s is switched off in the ini", id);
	spec.accept = snapshot_read;
	spec.arg = &snapshot;
	rc = again ? hosts_reload(cx, e->hosts, &spec) : hosts_load(cx, e->hosts, &spec);
	if (rc == RC_OK)
		platforms_put(e->config.platforms, snapshot);
	return rc;
}

/* At most as many as a closure may change; the rest comes with the next call. */
static enum rc unblock(struct cx *cx, struct db_conn *c, void *arg)
{
	ARENA_AUTO struct arena a;
	const char *posts[UNBLOCK_MAX];
	int64_t now = clock_now();
	int n = 0;

	(void)cx;
	arena_init(&a, 65536);
	{
		STMT_AUTO struct stmt *s = db_query(c,
			"UPDATE delivery SET state = 'queued', reason = NULL, due_at = ?1, deadline_at = NULL, claim = claim + 1,"
			" version = version + 1, updated_at = ?1 WHERE id IN (SELECT id FROM delivery WHERE"
			" state IN ('processing', 'committing', 'awaiting_platform', 'awaiting_user', 'blocked', 'unconfirmed')"
			" AND state = 'blocked' AND reason IN ('provider', 'platform_paused') LIMIT 200) RETURNING post_id", "i", now);

		while (db_next(s))
			if (n < UNBLOCK_MAX)
				posts[n++] = db_dup(s, 0, &a);
	}
	for (int i = 0; i < n; i++)
		post_derive_id(c, posts[i], now);
	((struct engine *)arg)->unblocked = n;
	return db_rc(c);
}

static void write_info(struct jsonw *w, const struct host_info *i)
{
	jsonw_object(w, "");
	jsonw_text(w, "id", i->id);
	jsonw_text(w, "version", i->version);
	jsonw_text(w, "file", i->file);
	jsonw_bool(w, "loaded", i->loaded);
	jsonw_bool(w, "paused", i->paused);
	jsonw_int(w, "abiMinor", i->abi_minor);
	jsonw_text(w, "sandbox", i->sandbox);
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

static void load_one(struct engine *e, const char *id, void *arg)
{
	struct cx cx;

	(void)arg;
	cx_init(&cx, "providers");
	(void)bring(&cx, e, id, false);		/* its words are logged, and listed by `providers` */
}

void provide_load(struct engine *e)
{
	each(e, load_one, NULL);
	write_list(e);
}

static void reload_one(struct engine *e, const char *id, void *arg)
{
	struct reload *r = arg;
	const struct host_info *info;
	struct cx cx;
	enum rc rc;

	cx_init(&cx, "reload");
	rc = bring(&cx, e, id, true);
	info = hosts_find(e->hosts, id);
	if (rc == RC_OK)
		buf_addf(r->out, "%s: %s loaded\n", id, info ? info->version : "");
	else
		buf_addf(r->out, "%s: not loaded: %s\n", id, cx.words);
	if (rc != RC_OK && r->rc == RC_OK)
		r->rc = rc;
}

/* A provider whose file is gone goes on serving; that is told, and never done in silence. */
static void reload_missing(struct engine *e, struct reload *r)
{
	for (int i = 0; i < hosts_count(e->hosts); i++) {
		const struct host_info *info = hosts_info(e->hosts, i);

		if (access(info->file, F_OK) != 0)
			reload_one(e, info->id, r);
	}
}

static void unblocked(enum rc rc, const char *words, void *arg)
{
	struct engine *e = arg;

	(void)words;
	engine_wake(e);
	pthread_mutex_lock(&e->lock);
	if (rc == RC_OK && e->unblocked == UNBLOCK_MAX && e->running)	/* one that stops waits for the writer, but not for more of this */
		db_write_async(e->db, unblock, unblocked, e);
	pthread_mutex_unlock(&e->lock);
}

void provide_turn(struct engine *e)
{
	struct reload *r;

	pthread_mutex_lock(&e->lock);
	r = e->reload;
	pthread_mutex_unlock(&e->lock);
	if (r == NULL || r->done)
		return;
	if (r->id != NULL)
		reload_one(e, r->id, r);
	else {
		each(e, reload_one, r);
		reload_missing(e, r);
	}
	write_list(e);
	db_write_async(e->db, unblock, unblocked, e);
	pthread_mutex_lock(&e->lock);
	r->done = true;
	pthread_cond_broadcast(&e->ended);
	pthread_mutex_unlock(&e->lock);
}

enum rc engine_reload(struct cx *cx, struct engine *e, const char *provider_id, struct buf *out)
{
	struct reload r = {provider_id, out, RC_OK, false};

	pthread_mutex_lock(&e->lock);
	while (e->reload != NULL && e->running)
		pthread_cond_wait(&e->ended, &e->lock);
	e->reload = &r;
	pthread_mutex_unlock(&e->lock);
	http_wakeup(e->http);
	pthread_mutex_lock(&e->lock);
	while (!r.done && e->running)
		pthread_cond_wait(&e->ended, &e->lock);
	e->reload = NULL;
	pthread_cond_broadcast(&e->ended);
	pthread_mutex_unlock(&e->lock);
	if (!r.done)
		return fail(cx, RC_UNAVAILABLE, "the server is stopping");
	return r.rc == RC_OK ? RC_OK : fail(cx, r.rc, "not every provider was loaded: %s", buf_text(out));
}

void engine_providers(struct engine *e, struct buf *out_json)
{
	pthread_mutex_lock(&e->lock);
	buf_add(out_json, e->providers_json.data, e->providers_json.len);
	pthread_mutex_unlock(&e->lock);
}
