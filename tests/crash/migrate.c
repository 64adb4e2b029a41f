/*
 * F12: kill -9 in every statement and at every commit of a migration, from every older version with rows in it, and from
 * nothing: what is found afterwards is exactly one version's schema with all its rows, and the next start goes on to the
 * newest.
 *
 * The one thing to know: a version's schema is what a store has that was made up to it without a fault; it is compared as
 * text.  This process never opens a store as the product does, since a failpoint is read once per process.
 */
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/text.h"
#include "core/io/migrate.h"
#include "tests/unit/test.h"

#define VERSIONS_MAX 64
#define PASSES_MAX 400
#define ROWS 40

static char folder[64];
static char *schemas[VERSIONS_MAX + 1];
static int newest;

/* ---- in children ------------------------------------------------------------------------------------- */

static enum rc rows_write(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)arg;
	db_run(c, "INSERT INTO organization (id, name, created_at) VALUES ('org_1', 'Acme', 1)", "");
	db_run(c, "INSERT INTO app (id, organization_id, name, created_at) VALUES ('app_1', 'org_1', 'App', 1)", "");
	for (int64_t i = 0; i < ROWS; i++) {
		db_run(c, "INSERT INTO end_user (id, organization_id, app_id, live, external_id, created_at, updated_at)"
		       " VALUES ('eu_' || ?1, 'org_1', 'app_1', 1, 'u' || ?1, 1, 1)", "i", i);
		db_run(c, "INSERT INTO auth_grant (id, organization_id, app_id, live, end_user_id, platform, provider, status, created_at,"
		       " updated_at) VALUES ('gr_' || ?1, 'org_1', 'app_1', 1, 'eu_' || ?1, 'p', 'p', 'active', 1, 1)", "i", i);
		db_run(c, "INSERT INTO connection (id, organization_id, app_id, live, end_user_id, grant_id, platform, provider, remote_id,"
		       " status, created_at, updated_at) VALUES ('con_' || ?1, 'org_1', 'app_1', 1, 'eu_' || ?1, 'gr_' || ?1, 'p', 'p', 'r',"
		       " 'active', 1, 1)", "i", i);
		db_run(c, "INSERT INTO post (id, organization_id, app_id, live, status, mode, text, body, max_late_ms, on_missed, created_at,"
		       " updated_at) VALUES ('post_' || ?1, 'org_1', 'app_1', 1, 'publishing', 'now', 'words ' || ?1, '{}', 1, 'publish', 1, 1)",
		       "i", i);
		db_run(c, "INSERT INTO delivery (id, organization_id, app_id, live, post_id, connection_id, platform, provider, text, content,"
		       " content_hash, state, due_at, on_missed, created_at, updated_at) VALUES ('dlv_' || ?1, 'org_1', 'app_1', 1,"
		       " 'post_' || ?1, 'con_' || ?1, 'p', 'p', 'words ' || ?1, '{}', 'h', 'queued', 1, 'publish', 1, 1)", "i", i);
	}
	return db_fail(cx, c);
}

/* Brings a store up to a version, with rows where it is asked; the process ends. */
__attribute__((noreturn)) static void child(const char *store, int version, bool rows, const char *fail)
{
	struct embed files[VERSIONS_MAX + 1] = {{NULL, NULL, 0}};
	struct db *db = NULL;
	struct cx cx;
	int n = 0, applied;
	enum rc rc;

	setenv("MPS_FAILPOINT", fail, 1);
	log_set(LOG_ERROR);
	cx_init(&cx, "child");
	for (const struct embed *f = embed_files; f->name && n < version; f++)
		if (text_starts(f->name, "db/"))
			files[n++] = *f;
	rc = db_open(&cx, &(struct db_config){.folder = store}, &db);
	if (rc == RC_OK)
		rc = migrate_files(&cx, db, files, &applied);
	if (rc == RC_OK && rows)
		rc = db_write(&cx, db, rows_write, NULL);
	if (rc != RC_OK)
		fprintf(stderr, "%s\n", cx.words);
	if (rc == RC_OK)
		db_close(db);
	_exit(rc == RC_OK ? 0 : 1);
}

/* Its status as waitpid gives it. */
static int run(const char *name, int version, bool rows, const char *fail)
{
	char store[100];
	int status;
	pid_t pid;

	snprintf(store, sizeof store, "%s/%s", folder, name);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		child(store, version, rows, fail);
	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

/* ---- what a store has ---------------------------------------------------------------------------------- */

/* All rows of one column of text, joined. */
static char *ask(const char *name, const char *sql)
{
	char path[160], *all = sqlite3_mprintf("");
	sqlite3 *raw = NULL;
	sqlite3_stmt *s = NULL;

	snprintf(path, sizeof path, "%s/%s/mypostshare.db", folder, name);
	CHECK(sqlite3_open_v2(path, &raw, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
	if (sqlite3_prepare_v2(raw, sql, -1, &s, NULL) == SQLITE_OK)
		while (sqlite3_step(s) == SQLITE_ROW)
			all = sqlite3_mprintf("%z%s\n", all, sqlite3_column_text(s, 0));
	sqlite3_finalize(s);
	sqlite3_close(raw);
	return all;
}

#define SCHEMA "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY type, name"
#define VERSION "SELECT max(number) FROM migration HAVING max(number) IS NOT NULL"
#define DATA "SELECT p.id || p.text || d.id || d.text || c.id || u.external_id FROM post p JOIN delivery d ON d.post_id = p.id" \
	" JOIN connection c ON c.id = d.connection_id JOIN end_user u ON u.id = c.end_user_id ORDER BY p.id"

static void same(const char *name, const char *sql, const char *want, const char *where)
{
	char *got = ask(name, sql);

	CHECK_SAY(strcmp(got, want) == 0, "%s: %.60s gives %.300s\nnot %.300s", where, sql, got, want);
	sqlite3_free(got);
}

static void whole(const char *name, int version, const char *data, const char *where)
{
	same(name, SCHEMA, schemas[version], where);
	same(name, "PRAGMA integrity_check", "ok\n", where);
	same(name, "PRAGMA foreign_key_check", "", where);
	if (*data)
		same(name, DATA, data, where);
}

/* ---- the kills ---------------------------------------------------------------------------------------- */

/* From one version, at the n-th pass of a place: false when it was not reached any more. */
static bool kill_at(int from, const char *place, int n, const char *data)
{
	char fail[80], where[120], *text;
	int status, at;

	snprintf(fail, sizeof fail, "%s:%d:kill", place, n);
	snprintf(where, sizeof where, "from version %d, %s", from, fail);
	test_shell("rm -rf %s/one && cp -r %s/v%d %s/one", folder, folder, from, folder);
	status = run("one", newest, false, fail);
	CHECK_SAY(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0, "%s: status %d", where, status);
	text = ask("one", VERSION);
	at = (int)strtol(text, NULL, 10);
	sqlite3_free(text);
	CHECK_SAY(at >= from && at <= newest, "%s: version %d", where, at);
	if (at > 0)
		whole("one", at, data, where);
	CHECK_SAY(run("one", newest, false, "") == 0, "%s: it does not go on", where);
	whole("one", newest, data, where);
	return WIFSIGNALED(status);
}

static void begin(void)
{
	char name[20];

	snprintf(folder, sizeof folder, "%s/mps-migrate-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	CHECK(mkdtemp(folder) != NULL);
	for (const struct embed *f = embed_files; f->name; f++)
		newest += text_starts(f->name, "db/") && strstr(f->name, ".sql") != NULL;
	CHECK(newest > 0 && newest <= VERSIONS_MAX);
	for (int v = 1; v <= newest; v++) {
		snprintf(name, sizeof name, "v%d", v);
		CHECK(run(name, v, true, "") == 0);
		schemas[v] = ask(name, SCHEMA);
	}
	test_shell("mkdir %s/v0", folder);
}

TEST(F12_kill_during_a_migration)
{
	static const char *const places[] = {"migrate.statement", "db.before_commit", "db.after_commit"};
	int kills = 0;

	begin();
	for (int from = 0; from < newest; from++) {
		char name[20], *data;

		snprintf(name, sizeof name, "v%d", from);
		data = from > 0 ? ask(name, DATA) : sqlite3_mprintf("");
		CHECK(from == 0 || strlen(data) > 20 * ROWS);
		for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
			int n = 1;

			while (n < PASSES_MAX && kill_at(from, places[p], n, data))
				n++;
			CHECK_SAY(n > newest - from, "from version %d, %s was passed %d times only", from, places[p], n - 1);
			kills += n - 1;
		}
		sqlite3_free(data);
	}
	test_shell("rm -rf %s", folder);
	printf("# %d kills, %d versions\n", kills, newest);
}
