/*
 * Migrations: applied once and in order, refused by name when text or order differ, STRICT everywhere.
 */
#include "core/io/migrate.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/db_store.h"
#include "tests/unit/test.h"

#define FILE_OF(name, text) {name, (const unsigned char *)text, sizeof text - 1}
#define END {NULL, NULL, 0}

#define ONE FILE_OF("db/0001_one.sql", "-- first; of all\nCREATE TABLE one (id TEXT PRIMARY KEY, n INTEGER); -- and; so on\n" \
	"CREATE INDEX one_n ON one (n);\n")
#define TWO FILE_OF("db/0002_two.sql", "CREATE TABLE two (id TEXT PRIMARY KEY, word TEXT DEFAULT 'a;)') /* why */ ;" \
	"CREATE TABLE lean (id TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;" \
	"CREATE TRIGGER two_in AFTER INSERT ON two BEGIN INSERT INTO one VALUES (new.id, 1); INSERT INTO one VALUES (new.word, 2); END;" \
	"INSERT INTO one (id, n) VALUES ('seed', 0);")

static enum rc migrate(struct store *st, const struct embed *files, int *ret_applied)
{
	cx_init(&st->cx, "test");
	*ret_applied = -1;
	return migrate_files(&st->cx, st->db, files, ret_applied);
}

static void open_bare(struct store *st)
{
	shim_register();
	cx_init(&st->cx, "test");
	snprintf(st->folder, sizeof st->folder, "/tmp/mps-db-XXXXXX");
	CHECK(mkdtemp(st->folder) != NULL);
	CHECK_INT(db_open(&st->cx, &(struct db_config){.folder = st->folder}, &st->db), RC_OK);
}

static int64_t number(struct store *st, const char *sql)
{
	struct db_conn *c = db_take(st->db);
	int64_t n = db_number(c, -1, sql, "");
	db_give(c);
	return n;
}

TEST(each_file_is_applied_once)
{
	static const struct embed first[] = {FILE_OF("core/dashboard/x.css", "no SQL"), ONE, END};
	static const struct embed both[] = {ONE, TWO, FILE_OF("db/README", "no SQL"), END};
	struct store st;
	int applied;
	open_bare(&st);
	CHECK_INT(migrate(&st, first, &applied), RC_OK);
	CHECK_INT(applied, 1);
	CHECK_INT(migrate(&st, both, &applied), RC_OK);
	CHECK_INT(applied, 1);
	CHECK_INT(migrate(&st, both, &applied), RC_OK);
	CHECK_INT(applied, 0);
	CHECK_INT(number(&st, "SELECT count(*) FROM one"), 1);
	CHECK_INT(number(&st, "SELECT count(*) FROM migration WHERE applied_at > 0 AND length(sha256) = 64"), 2);
	store_say(&st, "INSERT INTO two (id) VALUES ('x')");
	CHECK_INT(number(&st, "SELECT count(*) FROM one WHERE id IN ('x', 'a;)')"), 2);	/* the trigger is whole */
	store_close(&st);
}

/* What the log says while a new store is made and every reader is asked for what it did not know. */
static void log_of_a_new_store(char *text, size_t max)
{
	static const struct embed files[] = {ONE, END};
	int kept = dup(2), into = open("/tmp", O_RDWR | O_TMPFILE, 0600), applied;
	struct db_conn *all[8];
	struct store st;
	ssize_t n;

	log_set(LOG_WARN);
	dup2(into, 2);
	open_bare(&st);
	CHECK_INT(migrate(&st, files, &applied), RC_OK);
	for (int i = 0; i < 8; i++) {
		all[i] = db_take(st.db);
		CHECK_INT(db_number(all[i], -1, "SELECT count(*) FROM one", ""), 0);
	}
	for (int i = 0; i < 8; i++)
		db_give(all[i]);
	CHECK_INT(number(&st, "SELECT count(*) FROM nowhere"), -1);
	dup2(kept, 2);
	if (getenv("TEST_LOG") == NULL)
		log_set(LOG_ERROR);
	n = pread(into, text, max - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(kept);
	close(into);
	store_close(&st);
}

TEST(a_new_store_is_made_without_a_warning)
{
	char text[4096];

	log_of_a_new_store(text, sizeof text);
	CHECK(strstr(text, "no such table: nowhere") != NULL);	/* a real fault is still told */
	CHECK(strstr(text, "no such table: migration") == NULL);
	CHECK(strstr(text, "no such table: one") == NULL);
}

TEST(every_table_is_strict)
{
	static const struct embed files[] = {ONE, TWO, FILE_OF("db/0003_three.sql", "create table Three (id TEXT) strict;"), END};
	struct store st;
	int applied;
	open_bare(&st);
	CHECK_INT(migrate(&st, files, &applied), RC_OK);
	store_say(&st, "INSERT INTO one VALUES ('a', 5)");
	CHECK_INT(db_write(&st.cx, st.db, store_sql, (void *)(uintptr_t)"INSERT INTO one VALUES ('b', 'five')"), RC_CONFLICT);
	cx_init(&st.cx, "test");
	CHECK_INT(db_write(&st.cx, st.db, store_sql, (void *)(uintptr_t)"INSERT INTO lean VALUES ('b', 'five')"), RC_CONFLICT);
	CHECK_INT(number(&st, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE '%STRICT%'"), 0);
	CHECK_INT(number(&st, "SELECT count(*) FROM sqlite_schema WHERE sql LIKE '%STRICT%STRICT%'"), 0);
	store_close(&st);
}

TEST(a_changed_text_is_refused_by_name)
{
	static const struct embed before[] = {ONE, END};
	static const struct embed after[] = {FILE_OF("db/0001_one.sql", "CREATE TABLE one (id TEXT PRIMARY KEY, n INTEGER);"), TWO, END};
	static const struct embed renamed[] = {FILE_OF("db/0001_uno.sql", "CREATE TABLE one (id TEXT PRIMARY KEY);"), END};
	struct store st;
	int applied;
	open_bare(&st);
	CHECK_INT(migrate(&st, before, &applied), RC_OK);
	CHECK_INT(migrate(&st, after, &applied), RC_CONFLICT);
	CHECK(strstr(st.cx.words, "db/0001_one.sql") != NULL);
	CHECK_INT(number(&st, "SELECT count(*) FROM sqlite_schema WHERE name = 'two'"), 0);
	CHECK_INT(migrate(&st, renamed, &applied), RC_CONFLICT);
	store_close(&st);
}

TEST(a_newer_store_is_refused_by_name)
{
	static const struct embed newer[] = {ONE, TWO, END};
	static const struct embed older[] = {ONE, END};
	struct store st;
	int applied;
	open_bare(&st);
	CHECK_INT(migrate(&st, newer, &applied), RC_OK);
	CHECK_INT(migrate(&st, older, &applied), RC_CONFLICT);
	CHECK(strstr(st.cx.words, "db/0002_two.sql") != NULL);
	CHECK(strstr(st.cx.words, "newer") != NULL);
	store_close(&st);
}

TEST(a_file_that_fails_leaves_nothing_of_itself)
{
	static const struct embed files[] = {ONE,
		FILE_OF("db/0002_bad.sql", "CREATE TABLE half (id TEXT);\nINSERT INTO nowhere VALUES (1);"), END};
	struct store st;
	int applied;
	open_bare(&st);
	CHECK(migrate(&st, files, &applied) != RC_OK);
	CHECK(strstr(st.cx.words, "db/0002_bad.sql") && strstr(st.cx.words, "nowhere"));
	CHECK_INT(number(&st, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'"), 0);
	CHECK_INT(number(&st, "SELECT count(*) FROM sqlite_schema WHERE name = 'one'"), 1);
	CHECK_INT(number(&st, "SELECT max(number) FROM migration"), 1);
	store_close(&st);
}

TEST(a_list_with_a_gap_or_an_open_end_is_refused)
{
	static const struct embed gap[] = {ONE, FILE_OF("db/0003_three.sql", "CREATE TABLE three (id TEXT);"), END};
	static const struct embed twice[] = {ONE, FILE_OF("db/0001_other.sql", "CREATE TABLE three (id TEXT);"), END};
	static const struct embed cut[] = {FILE_OF("db/0001_cut.sql", "CREATE TABLE three (id TEXT)"), END};
	static const struct embed copy[] = {FILE_OF("db/0001_copy.sql", "CREATE TABLE three AS SELECT 1;"), END};
	static const struct embed sly[] = {FILE_OF("db/0001_sly.sql", "CREATE TABLE three (id TEXT); COMMIT;"), END};
	static const struct embed *const bad[] = {gap, twice, cut, copy, sly};
	struct store st;
	int applied;
	open_bare(&st);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		CHECK_SAY(migrate(&st, bad[i], &applied) != RC_OK, "list %zu was taken", i);
		CHECK_INT(number(&st, "SELECT count(*) FROM sqlite_schema WHERE name IN ('one', 'three')"), 0);
	}
	store_close(&st);
}

TEST(the_delivered_files_apply)
{
	struct store st;
	int applied = 0;
	open_bare(&st);
	CHECK_SAY(migrate_run(&st.cx, st.db, &applied) == RC_OK, "%s", st.cx.words);
	CHECK(applied > 0);
	CHECK_INT(number(&st, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE '%STRICT%'"), 0);
	CHECK_INT(migrate_run(&st.cx, st.db, &applied), RC_OK);
	CHECK_INT(applied, 0);
	store_close(&st);
}
