/*
 * What time does to media: items that expire, fetches that nobody has in hand any more, files that no row names.
 *
 * The one thing to know: rows first, in the writer; files after the commit.  A crash in between leaves a file that
 * no row names, and this finds it, an hour after it was last written.
 */
#include "core/engine/intake_private.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"

#define BATCH 100
#define EXPIRE_MS 60000			/* between looks for what has expired */
#define FILES_MS 3600000		/* between looks through the folder, and the age of what may go */
#define LEFT_MS 60000			/* a row that nobody has in hand for so long is failed */
#define TICK_MS 1000

/* ---- expired -------------------------------------------------------------------------------------------- */

struct expiring { struct arena *arena; const char *files[BATCH]; int n; };

static enum rc expire_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct expiring *e = arg;

	e->n = media_expire(c, clock_now(), e->arena, e->files, BATCH);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static bool expire_some(struct intake *in)
{
	ARENA_AUTO struct arena a;
	struct expiring e = {.arena = &a};
	struct cx cx;

	arena_init(&a, 4u << 20);
	cx_init(&cx, "media");
	if (db_write(&cx, in->db, expire_write, &e) != RC_OK)
		return false;
	if (e.n > 0)
		failpoint("media.expired");
	for (int i = 0; i < e.n; i++)
		intake_forget(in, e.files[i]);
	if (e.n > 0)
		log_info("media", "%d items have expired", e.n);
	return e.n == BATCH;
}

/* ---- left unfinished ------------------------------------------------------------------------------------ */

static int unsettled_read(struct intake *in, int64_t before, struct arena *a, struct media *ret)
{
	DB_READ_AUTO struct db_conn *c = db_take(in->db);
	struct stmt *s = media_unsettled(c, before, BATCH);
	int n = 0;

	while (n < BATCH && db_next(s))
		media_row(s, a, &ret[n++]);
	db_end(s);
	return n;
}

/* How many were failed. */
static int left_fail(struct intake *in, int64_t before)
{
	ARENA_AUTO struct arena a;
	struct media *left;
	int n, done = 0;

	arena_init(&a, 16u << 20);
	left = arena_array(&a, struct media, BATCH);
	n = unsettled_read(in, before, &a, left);
	for (int i = 0; i < n; i++)
		if (!intake_has(in, left[i].id) &&
		    intake_fail(in, &left[i], "media_unreachable", "The server stopped while the file was fetched. Ask for it again.")) {
			intake_forget(in, left[i].file);
			done++;
		}
	return done;
}

void intake_sweep_start(struct intake *in)
{
	while (!db_rescue(in->db) && left_fail(in, INT64_MAX) == BATCH)
		;
}

/* ---- files that nobody names ---------------------------------------------------------------------------- */

struct looking { struct intake *in; int gone; };

static void look(void *arg, const char *name)
{
	struct looking *l = arg;
	bool named = intake_has(l->in, name);

	if (!named) {
		DB_READ_AUTO struct db_conn *c = db_take(l->in->db);

		named = media_names(c, name) || db_rc(c) != RC_OK;
	}
	if (named)
		return;
	intake_forget(l->in, name);
	l->gone++;
}

static void files_sweep(struct intake *in)
{
	struct looking l = {.in = in};

	mediafile_each(in->folder, FILES_MS, clock_now(), look, &l);
	if (l.gone > 0)
		log_info("media", "%d files that no item names were removed", l.gone);
}

/* ---- the thread ----------------------------------------------------------------------------------------- */

static bool is_due(int64_t *last, int64_t every)
{
	int64_t now = clock_now();

	if (*last != 0 && now >= *last && now - *last < every)
		return false;
	*last = now;
	return true;
}

void *intake_sweeper(void *arg)
{
	struct intake *in = arg;
	int64_t expired = 0, looked = 0;

	while (!in->stop) {
		bool sound = !db_rescue(in->db);	/* a damaged store may have forgotten whom a file belongs to */

		if (sound && is_due(&expired, EXPIRE_MS)) {
			while (!in->stop && expire_some(in))
				;
			left_fail(in, clock_now() - LEFT_MS);
		}
		if (sound && is_due(&looked, FILES_MS))
			files_sweep(in);
		pthread_mutex_lock(&in->lock);
		if (!in->stop)
			intake_nap(in, &in->work, TICK_MS);
		pthread_mutex_unlock(&in->lock);
	}
	return NULL;
}
