/*
 * Every SQL literal of the model, the API and the engine: it can be prepared, and where it touches a table of organizations it
 * compares organization_id, unless it stands in the list of exceptions with its reason.
 *
 * The one thing to know: literals are read from the sources as the compiler would join them, macros of the same
 * file and of the headers that it names included.  Run it from the top of the tree.
 */
#include <ctype.h>
#include <dirent.h>
#include <sqlite3.h>

#include "core/base/embed.h"
#include "tests/unit/test.h"

#define STATEMENTS_MAX 1000
#define TEXT_MAX 8000
#define MACROS_MAX 64

static struct statement { char file[100]; int line; char text[TEXT_MAX]; } list[STATEMENTS_MAX];
static int count;
static struct macro { char name[64], text[TEXT_MAX]; } macros[MACROS_MAX];
static int macro_count;

/* ---- the exceptions: every one with its reason -------------------------------------------------------------- */

#define ENGINE "the engine works for all organizations; it takes the id from a due row and the owner from what it reads"
#define SWEEP "time passes for all organizations alike; what is moved is told under the owner that the row names"
#define SECRET "found by a keyed hash of a secret that only its owner has; the owner is what is asked for"
#define FOLLOWS "follows from a row that was changed under its owner's id in the same closure"
#define OPERATOR "the operator's command line: all organizations"
#define DUE "what is due, of all organizations; the owner is read with each row it names"
#define TAKEOVER "a start takes over what the last life left, of all organizations"
#define WHOLE "a backup is of the whole installation, and so is its restore"
#define INSTALLATION "the installation's own key, which no organization owns"

static const struct exception { const char *file, *part, *reason; } exceptions[] = {
	{"core/model/apikey.c", "SELECT id, organization_id, app_id, scopes, live, mac", SECRET},
	{"core/model/apikey.c", "UPDATE api_key SET revoked_at = COALESCE(revoked_at, ?1) WHERE id = ?2 OR key_id = ?2", OPERATOR},
	{"core/model/backup.c", "FROM data_key", WHOLE},
	{"core/model/backup.c", "FROM media", WHOLE},
	{"core/model/restore.c", "SELECT COUNT(*) FROM", WHOLE},
	{"core/model/restore.c", "UPDATE api_key SET revoked_at", WHOLE},
	{"core/model/restore.c", "DELETE FROM data_key WHERE", WHOLE},
	{"core/model/restore_hold.c", "SELECT id, post_id, organization_id, state FROM delivery", WHOLE},
	{"core/model/restore_hold.c", "SELECT d.id, d.post_id, d.organization_id, d.state FROM delivery", WHOLE},
	{"core/model/restore_hold.c", "UPDATE operation SET status = 'failed'", WHOLE},
	{"core/model/restore_hold.c", "UPDATE connect_session SET expires_at", WHOLE},
	{"core/model/connect.c", "SELECT organization_id, app_id, live, id, end_user_id, platform, provider, grant_id", FOLLOWS},
	{"core/model/connect.c", "SELECT organization_id, app_id, live, end_user_id, platform, status", FOLLOWS},
	{"core/model/connect.c", "UPDATE connect_session SET status = ?4, error = ?2", FOLLOWS},
	{"core/model/connect.c", "UPDATE auth_grant SET status = 'closed'", FOLLOWS},
	{"core/model/connect.c", "UPDATE delivery SET state = 'queued', reason = NULL", FOLLOWS},
	{"core/model/connect.c", "UPDATE connect_session SET status = 'completed'", FOLLOWS},
	{"core/model/connection.c", "SELECT n.id, n.provider, g.account_host", ENGINE},
	{"core/model/connection.c", "SELECT MIN(n.limits_at)", ENGINE},
	{"core/model/connection.c", "UPDATE connection SET limits_at = ?2", ENGINE},
	{"core/model/connect_session.c", "WHERE s.token_mac = ?1", SECRET},
	{"core/model/connect_session.c", "WHERE s.state_mac = ?1", SECRET},
	{"core/model/connect_session.c", "WHERE s.id = ?1", "the hosted pages, which have the id from the session's own token"},
	{"core/model/data_key.c", "SELECT id, master_key_id, wrapped FROM data_key WHERE organization_id IS NULL", INSTALLATION},
	{"core/model/data_key.c", "SELECT id, master_key_id, wrapped FROM data_key WHERE id > ?1", OPERATOR},
	{"core/model/data_key.c", "UPDATE data_key SET wrapped = ?3", OPERATOR},
	{"core/model/delivery.c", "SELECT organization_id, app_id, live, id, post_id", ENGINE " (the API gives the organization: COALESCE)"},
	{"core/model/grant.c", "SELECT organization_id, app_id, live, id, end_user_id", ENGINE},
	{"core/model/grant.c", "UPDATE auth_grant SET refresh_operation_id = NULL", ENGINE},
	{"core/model/grant.c", "SELECT organization_id, client_id, client_secret FROM credential", ENGINE},
	{"core/model/idempotency.c", "DELETE FROM idempotency", SWEEP},
	{"core/model/installation.c", "SELECT COUNT(*) FROM data_key WHERE organization_id IS NULL", INSTALLATION},
	{"core/model/media.c", "SELECT COUNT(*) FROM media WHERE id = ?1 AND status", "a file in the media folder bears the id of its row"},
	{"core/model/media.c", "SELECT id, organization_id, file FROM media m WHERE expires_at", SWEEP},
	{"core/model/media.c", "FROM media WHERE status IN ('uploading', 'processing') AND updated_at", SWEEP},
	{"core/model/operation.c", "SELECT organization_id, app_id, live, id, kind", ENGINE " (operations.c of the API compares the owner)"},
	{"core/model/organization.c", "SELECT o.id, a.id, o.name", OPERATOR},
	{"core/model/organization.c", "SELECT organization_id FROM app WHERE id = ?1", OPERATOR},
	{"core/model/post.c", "SELECT MIN(p.organization_id), MIN(p.status)", FOLLOWS},
	{"core/model/post.c", "SELECT organization_id, app_id, live, end_user_id, status", FOLLOWS},
	{"core/model/post.c", "SELECT post_id FROM delivery WHERE id = ?1", FOLLOWS},
	{"core/model/sweep.c", "UPDATE delivery SET overdue = 1", SWEEP},
	{"core/model/sweep.c", "UPDATE auth_grant SET status = 'closed'", SWEEP},
	{"core/model/sweep.c", "UPDATE connect_session SET status = 'expired'", SWEEP},
	{"core/model/sweep.c", "UPDATE delivery SET state = 'canceled'", SWEEP},
	{"core/model/sweep.c", "UPDATE operation SET due_at", SWEEP},
	{"core/model/sweep.c", "UPDATE delivery SET due_at = CASE", SWEEP},
	{"core/model/sweep.c", "UPDATE delivery SET unconfirmed_at", SWEEP},
	{"core/model/sweep.c", "UPDATE delivery SET deadline_at", SWEEP},
	{"core/model/sweep.c", "UPDATE auth_grant SET refresh_at", SWEEP},
	{"core/model/sweep.c", "DELETE FROM idempotency WHERE created_at", SWEEP},
	{"core/model/sweep.c", "DELETE FROM event WHERE", SWEEP},
	{"core/engine/claim.c", "SELECT organization_id, due_at FROM delivery WHERE state = ?1", DUE},
	{"core/engine/claim.c", "SELECT id FROM operation o WHERE status = 'running'", DUE},
	{"core/engine/claim.c", "SELECT MIN(due_at) FROM operation", DUE},
	{"core/engine/load.c", "SELECT organization_id, app_id, live, platform, provider FROM connection", ENGINE},
	{"core/engine/provide.c", "UPDATE delivery SET state = 'queued', reason = NULL", "a provider that came back serves all organizations"},
	{"core/engine/recover.c", "SELECT created_at FROM event", TAKEOVER},
	{"core/engine/recover.c", "UPDATE delivery SET state = 'queued', due_at = ?2", TAKEOVER},
	{"core/engine/recover.c", "UPDATE delivery SET owner_epoch = ?1, claim = claim + 1", TAKEOVER},
	{"core/engine/recover.c", "UPDATE delivery SET deadline_at = ?1", TAKEOVER},
	{"core/engine/recover.c", "UPDATE operation SET due_at = ?1, owner_epoch = ?2", TAKEOVER},
	{"core/engine/recover.c", "UPDATE auth_grant SET refresh_operation_id = NULL", TAKEOVER},
	{"core/engine/recover.c", "SELECT id FROM delivery WHERE state IN", TAKEOVER},
	{"core/engine/refresh.c", "SELECT id FROM auth_grant WHERE refresh_at <= ?1", DUE},
	{NULL, NULL, NULL}
};

/* ---- reading literals --------------------------------------------------------------------------------------- */

static const char *macro_find(const char *name, size_t n)
{
	for (int i = 0; i < macro_count; i++)
		if (strlen(macros[i].name) == n && memcmp(macros[i].name, name, n) == 0)
			return macros[i].text;
	return NULL;
}

static void add(char *to, const char *text, size_t n)
{
	size_t have = strlen(to);

	CHECK_SAY(have + n < TEXT_MAX, "a literal over %d characters", TEXT_MAX);
	memcpy(to + have, text, n);
	to[have + n] = '\0';
}

/* A string at s, unescaped as far as SQL needs it; behind its closing quote. */
static const char *read_string(const char *s, char *to)
{
	for (s++; *s != '\0' && *s != '"'; s++) {
		s += *s == '\\';
		add(to, s, 1);
	}
	return *s == '"' ? s + 1 : s;
}

static const char *skip_comment(const char *s)
{
	const char *end = s[1] == '*' ? strstr(s + 2, "*/") : strchr(s, '\n');

	return end ? end + (s[1] == '*' ? 2 : 0) : s + strlen(s);
}

/* Strings, and macros that are strings, as long as they follow each other; *ret_found: there was one. */
static const char *read_run(const char *s, char *to, int *ret_found)
{
	*ret_found = 0;
	to[0] = '\0';
	for (;;) {
		const char *at = s, *text;
		size_t n = 0;

		while (isspace((unsigned char)*at) || (*at == '\\' && at[1] == '\n') || (*at == '/' && (at[1] == '*' || at[1] == '/')))
			at = *at == '/' ? skip_comment(at) : at + 1;
		while (isalnum((unsigned char)at[n]) || at[n] == '_')
			n++;
		text = n > 0 ? macro_find(at, n) : NULL;
		if (*at == '"')
			s = read_string(at, to);
		else if (text != NULL)
			add(to, text, strlen(text)), s = at + n;
		else
			return s;
		*ret_found = 1;
	}
}

/* #define NAME "text" ...; gives the end of the directive. */
static const char *read_define(const char *s)
{
	const char *name = s + strspn(s, " \t"), *end = name;
	size_t n = 0;
	int found;

	while (*end != '\0' && (*end != '\n' || end[-1] == '\\'))
		end++;
	while (isalnum((unsigned char)name[n]) || name[n] == '_')
		n++;
	if (name[n] != '(' && n < sizeof macros[0].name && macro_count < MACROS_MAX) {
		struct macro *m = &macros[macro_count];

		snprintf(m->name, sizeof m->name, "%.*s", (int)n, name);
		read_run(name + n, m->text, &found);
		macro_count += found;
	}
	return end;
}

static int is_sql(const char *text)
{
	static const char *const verbs[] = {"SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "};

	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (strncmp(text, verbs[i], strlen(verbs[i])) == 0)
			return 1;
	return 0;
}

static void keep(const char *file, const char *source, const char *at, const char *text)
{
	struct statement *s = &list[count];

	CHECK(count < STATEMENTS_MAX);
	snprintf(s->file, sizeof s->file, "%s", file);
	s->line = 1;
	for (const char *p = source; p < at; p++)
		s->line += *p == '\n';
	snprintf(s->text, sizeof s->text, "%s", text);
	count++;
}

static void load(const char *path, char *to, size_t size)
{
	FILE *f = fopen(path, "r");
	size_t n;

	CHECK_SAY(f != NULL, "%s cannot be read: run it from the top of the tree", path);
	n = fread(to, 1, size - 1, f);
	fclose(f);
	CHECK(n < size - 1);
	to[n] = '\0';
}

/* #include "core/...": the macros of that header; gives the end of the directive. */
static const char *read_include(const char *s)
{
	static char header[200000];
	const char *name = s + strspn(s, " \t\""), *end = name + strcspn(name, "\">\n");
	char path[200];

	if (strncmp(name, "core/", 5) != 0)
		return end + 1;
	snprintf(path, sizeof path, "%.*s", (int)(end - name), name);
	load(path, header, sizeof header);
	for (const char *at = strstr(header, "#define"); at != NULL; at = strstr(at, "#define"))
		at = read_define(at + 7);
	return end + 1;
}

static void read_source(const char *file, const char *source)
{
	static char text[TEXT_MAX];
	int found;

	macro_count = 0;
	for (const char *s = source; *s != '\0';) {
		const char *at = s;

		if (*s == '/' && (s[1] == '*' || s[1] == '/')) {
			s = skip_comment(s);
		} else if (strncmp(s, "#define", 7) == 0) {
			s = read_define(s + 7);
		} else if (strncmp(s, "#include", 8) == 0) {
			s = read_include(s + 8);
		} else if (*s == '\'') {
			s += s[1] == '\\' ? 4 : 3;
		} else if (*s == '"' || isalpha((unsigned char)*s) || *s == '_') {
			s = read_run(s, text, &found);
			if (found && is_sql(text))
				keep(file, source, at, text);
			while (!found && (isalnum((unsigned char)*s) || *s == '_'))
				s++;
		} else {
			s++;
		}
	}
}

static void read_file(const char *path)
{
	static char source[200000];

	load(path, source, sizeof source);
	read_source(path, source);
}

static void read_folder(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	char path[400];

	CHECK_SAY(d != NULL, "no folder %s: run it from the top of the tree", folder);
	while ((e = readdir(d)) != NULL) {
		size_t n = strlen(e->d_name);

		if (n < 3 || strcmp(e->d_name + n - 2, ".c") != 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
		read_file(path);
	}
	closedir(d);
}

/* ---- the store ---------------------------------------------------------------------------------------------- */

static sqlite3 *db;
static char touched[64][64];		/* tables of the statement that is being prepared */
static int touched_count;

static int note(void *arg, int action, const char *a, const char *b, const char *c, const char *d)
{
	(void)arg, (void)b, (void)c, (void)d;
	if ((action == SQLITE_READ || action == SQLITE_INSERT || action == SQLITE_UPDATE || action == SQLITE_DELETE) && a != NULL &&
	    touched_count < 64)
		snprintf(touched[touched_count++], sizeof touched[0], "%s", a);
	return SQLITE_OK;
}

static int is_owned(const char *table)
{
	sqlite3_stmt *s = NULL;
	int owned;

	sqlite3_prepare_v2(db, "SELECT 1 FROM pragma_table_info(?1) WHERE name = 'organization_id'", -1, &s, NULL);
	sqlite3_bind_text(s, 1, table, -1, SQLITE_STATIC);
	owned = sqlite3_step(s) == SQLITE_ROW;
	sqlite3_finalize(s);
	return owned;
}

static void begin(void)
{
	char *words = NULL;

	if (db != NULL)
		return;
	CHECK(sqlite3_open(":memory:", &db) == SQLITE_OK);
	for (const struct embed *e = embed_files; e->name != NULL; e++)
		if (strncmp(e->name, "db/", 3) == 0)
			CHECK_SAY(sqlite3_exec(db, (const char *)e->bytes, NULL, NULL, &words) == SQLITE_OK, "%s: %s", e->name, words);
	read_folder("core/model");
	read_folder("core/api");
	read_folder("core/engine");
	CHECK_SAY(count > 100, "only %d statements found: the reader is blind", count);
}

/* The tables it touches, as far as the authorizer sees them. */
static int prepare(const struct statement *s)
{
	sqlite3_stmt *raw = NULL;
	int code;

	touched_count = 0;
	sqlite3_set_authorizer(db, note, NULL);
	code = sqlite3_prepare_v2(db, s->text, -1, &raw, NULL);
	sqlite3_set_authorizer(db, NULL, NULL);
	sqlite3_finalize(raw);
	return code;
}

/* ---- the tests ---------------------------------------------------------------------------------------------- */

TEST(every_statement_can_be_prepared)
{
	begin();
	for (int i = 0; i < count; i++)
		CHECK_SAY(prepare(&list[i]) == SQLITE_OK, "%s:%d: %s: %.200s", list[i].file, list[i].line, sqlite3_errmsg(db), list[i].text);
}

static int names_owner(const char *text)
{
	return strstr(text, "organization_id = ?") != NULL || (strncmp(text, "INSERT ", 7) == 0 && strstr(text, "organization_id") != NULL);
}

static int exception_of(const struct statement *s)
{
	for (int i = 0; exceptions[i].file != NULL; i++)
		if (strcmp(exceptions[i].file, s->file) == 0 && strstr(s->text, exceptions[i].part) != NULL)
			return i;
	return -1;
}

static int is_of_organizations(const struct statement *s)
{
	prepare(s);
	for (int i = 0; i < touched_count; i++)
		if (is_owned(touched[i]))
			return 1;
	return 0;
}

TEST(every_statement_on_a_table_of_organizations_compares_the_organization)
{
	static int used[200];
	int bad = 0;

	begin();
	for (int i = 0; i < count; i++) {
		int e = exception_of(&list[i]);

		if (!is_of_organizations(&list[i]) || names_owner(list[i].text))
			continue;
		if (e >= 0) {
			used[e] = 1;
			continue;
		}
		fprintf(stderr, "%s:%d: no organization_id: %.240s\n", list[i].file, list[i].line, list[i].text);
		bad++;
	}
	CHECK_SAY(bad == 0, "%d statements without organization_id", bad);
	for (int i = 0; exceptions[i].file != NULL; i++)
		CHECK_SAY(used[i], "the exception \"%s\" of %s is not needed any more", exceptions[i].part, exceptions[i].file);
}

/* The same text must run on PostgreSQL: what only SQLite knows, by how it is written. */
static const char *only_sqlite(const char *text)
{
	static const char *const words[] = {
		"json_", "json(", "strftime(", "datetime(", "julianday(", "unixepoch(", "group_concat(", "ifnull(", "iif(", "instr(", "rowid",
		"INSERT OR ", "UPDATE OR ", "REPLACE INTO", " GLOB ", "AUTOINCREMENT", "last_insert", "changes()", "typeof(", "printf(", NULL
	};

	for (int i = 0; words[i] != NULL; i++)
		if (strcasestr(text, words[i]) != NULL)
			return words[i];
	return NULL;
}

TEST(no_statement_uses_what_only_sqlite_knows)
{
	begin();
	for (int i = 0; i < count; i++)
		CHECK_SAY(only_sqlite(list[i].text) == NULL, "%s:%d: %s: %.200s", list[i].file, list[i].line, only_sqlite(list[i].text), list[i].text);
	CHECK(only_sqlite("SELECT JSON_PATCH(a, b) FROM post") != NULL && only_sqlite("SELECT id FROM post") == NULL);
}

TEST(the_reader_joins_literals_and_sees_a_missing_owner)
{
	int before;

	begin();
	before = count;
	read_source("made.c", "#define T \" FROM post\" \\\n\t\" WHERE id = ?1\"\n"
		    "/* \"SELECT 9\" */ f(c, \"SELECT id\" T, \"s\"); g(\"SELECT id\"\n"
		    "\t\" FROM post WHERE organization_id = ?1\"); h('\"', \"no sql\");");
	CHECK_INT(count, before + 2);
	CHECK_STR(list[before].text, "SELECT id FROM post WHERE id = ?1");
	CHECK_INT(list[before].line, 3);
	CHECK(is_of_organizations(&list[before]) && !names_owner(list[before].text));
	CHECK(names_owner(list[before + 1].text));
	count = before;
}
