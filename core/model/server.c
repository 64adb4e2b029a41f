/* The epoch row: see server.h. */
#include "core/model/server.h"

#include "core/base/clock.h"

bool server_unclean(struct db_conn *c)
{
	return db_number(c, 0, "SELECT COUNT(*) FROM server WHERE id = 'engine' AND stopped_at IS NULL", "") > 0;
}

struct start { int64_t epoch; bool unclean; };

static enum rc start_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct start *s = arg;

	s->unclean = server_unclean(c);
	s->epoch = db_number(c, 0, "INSERT INTO server (id, epoch, started_at, stopped_at) VALUES ('engine', 1, ?1, NULL)"
			     " ON CONFLICT (id) DO UPDATE SET epoch = server.epoch + 1, started_at = ?1, stopped_at = NULL"
			     " RETURNING epoch", "i", clock_now());
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

enum rc server_start(struct cx *cx, struct db *db, int64_t *ret_epoch, bool *ret_unclean)
{
	struct start s = {0, false};
	enum rc rc = db_write(cx, db, start_write, &s);

	if (rc != RC_OK)
		return rc;
	*ret_epoch = s.epoch;
	*ret_unclean = s.unclean;
	return RC_OK;
}

static enum rc stop_write(struct cx *cx, struct db_conn *c, void *arg)
{
	const int64_t *epoch = arg;

	(void)cx;
	db_run(c, "UPDATE server SET stopped_at = ?1 WHERE id = 'engine' AND epoch = ?2", "ii", clock_now(), *epoch);
	return db_rc(c);
}

void server_stop(struct db *db, int64_t epoch)
{
	struct cx cx;

	cx_init(&cx, "server");
	(void)db_write(&cx, db, stop_write, &epoch);
}

int64_t server_epoch(struct db_conn *c)
{
	return db_number(c, 0, "SELECT epoch FROM server WHERE id = 'engine'", "");
}

/* ---- the checkup: a row of its own, whose epoch counts the checks -------------------------------------- */

int64_t server_checked(struct db_conn *c)
{
	return db_number(c, 0, "SELECT stopped_at FROM server WHERE id = 'check'", "");
}

static enum rc checked_write(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)arg;
	db_run(c, "INSERT INTO server (id, epoch, started_at, stopped_at) VALUES ('check', 1, ?1, ?1)"
	       " ON CONFLICT (id) DO UPDATE SET epoch = server.epoch + 1, stopped_at = ?1", "i", clock_now());
	return db_fail(cx, c);
}

enum rc server_checked_now(struct cx *cx, struct db *db)
{
	return db_write(cx, db, checked_write, NULL);
}
