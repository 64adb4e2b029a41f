/*
 * The operator's commands.  Each is one row: its words, what follows them, and a function that reads its
 * options by a small grammar of its own table.  What a command changes, it changes in one write.
 *
 * The one thing to know: output goes to a person or a script, so it is "name value" lines, and with --json
 * one JSON object or list; keys are shown here once and nowhere else.
 */
#include "core/api/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/jsonw.h"
#include "core/base/text.h"
#include "core/engine/backupjob.h"
#include "core/model/data_key.h"
#include "core/model/organization.h"

#define OPTIONS_MAX 6
#define DAY_MS (24ll * 3600 * 1000)
#define DAYS_MAX 3650

/* A command that is being run. */
struct run {
	const struct command_env *env;
	struct cx cx;
	const char *word;		/* the one free argument, or NULL */
	const char *option[OPTIONS_MAX];/* by the index of its name in the row; "" for a flag that stands there */
	bool json;
	struct buf *out;
};

struct command {
	const char *first, *second;	/* second NULL: a command of one word */
	const char *word;		/* name of the free argument; in brackets if it may be left out; NULL: none */
	const char *options[OPTIONS_MAX];	/* "--test" is a flag, "--name=NAME" takes a value */
	enum rc (*run)(struct run *r);
	bool server;			/* only in the running server */
	const char *help;
};

/* ---- writing the answer ---------------------------------------------------------------------------- */

struct pair { const char *name, *value; };

static void pairs_write(struct run *r, const struct pair *pairs)
{
	struct jsonw w;
	if (!r->json) {
		for (; pairs->name; pairs++)
			buf_addf(r->out, "%s %s\n", pairs->name, pairs->value);
		return;
	}
	jsonw_init(&w, r->out);
	jsonw_object(&w, NULL);
	for (; pairs->name; pairs++)
		jsonw_text(&w, pairs->name, pairs->value);
	jsonw_object_end(&w);
	jsonw_end(&w);
	buf_addc(r->out, '\n');
}

/* Rows of a query as lines with tabs between, or as a JSON list of objects.  Control characters in a name
 * cannot forge a line: names with them are not accepted. */
static enum rc rows_write(struct run *r, struct db_conn *c, struct stmt *s, const char *const *names)
{
	struct jsonw w;
	if (r->json) {
		jsonw_init(&w, r->out);
		jsonw_array(&w, NULL);
	}
	while (db_next(s)) {
		if (r->json)
			jsonw_object(&w, NULL);
		for (int i = 0; names[i]; i++) {
			if (r->json)
				jsonw_text(&w, names[i], db_text(s, i));
			else
				buf_addf(r->out, "%s%s", i ? "\t" : "", db_text_or(s, i, "-"));
		}
		if (r->json)
			jsonw_object_end(&w);
		else
			buf_addc(r->out, '\n');
	}
	if (r->json) {
		jsonw_array_end(&w);
		jsonw_end(&w);
		buf_addc(r->out, '\n');
	}
	return db_rc(c) == RC_OK ? RC_OK : db_fail(&r->cx, c);
}

/* ---- organizations --------------------------------------------------------------------------------- */

struct org_write { struct vault *vault; struct organization_new o; };

static enum rc org_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct org_write *w = arg;
	return organization_create(cx, c, w->vault, &w->o, clock_now());
}

static enum rc org_create(struct run *r)
{
	struct org_write w = {.vault = r->env->vault, .o.name = r->word};
	enum rc rc = db_write(&r->cx, r->env->db, org_write, &w);
	if (rc == RC_OK)
		pairs_write(r, (struct pair[]){{"organization", w.o.id}, {"app", w.o.app_id}, {"live_key", w.o.live_key},
			{"test_key", w.o.test_key}, {NULL, NULL}});
	explicit_bzero(&w, sizeof w);
	return rc;
}

static enum rc org_list(struct run *r)
{
	static const char *const names[] = {"organization", "app", "name", NULL};
	DB_READ_AUTO struct db_conn *c = db_take(r->env->db);
	STMT_AUTO struct stmt *s = organization_list(c);
	return rows_write(r, c, s, names);
}

/* ---- API keys -------------------------------------------------------------------------------------- */

enum { KEY_TEST, KEY_NAME, KEY_SCOPES, KEY_DAYS };	/* the options of key create */

struct key_write { struct vault *vault; struct apikey_new k; char organization_id[ID_MAX]; };

static enum rc key_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct key_write *w = arg;
	enum rc rc = organization_of_app(cx, c, w->k.app_id, w->organization_id);
	if (rc != RC_OK)
		return rc;
	w->k.organization_id = w->organization_id;
	return apikey_create(cx, c, w->vault, &w->k, clock_now());
}

static enum rc key_create(struct run *r)
{
	int64_t days = 0;
	const char *name = r->option[KEY_NAME] ? r->option[KEY_NAME] : "made by the operator";
	if (r->option[KEY_DAYS] && (!text_int(r->option[KEY_DAYS], &days) || days < 1 || days > DAYS_MAX))
		return fail(&r->cx, RC_INVALID, "--days must be a number from 1 to %d", DAYS_MAX);
	if (!text_utf8(name, strlen(name)) || *name == '\0' || strpbrk(name, "\t\r\n") || !text_printable(name) || text_points(name) > 100)
		return fail(&r->cx, RC_INVALID, "--name must be 1 to 100 printable characters");

	struct key_write w = {.vault = r->env->vault, .k = {
		.app_id = r->word, .name = name, .live = r->option[KEY_TEST] == NULL,
		.scopes = r->option[KEY_SCOPES] ? r->option[KEY_SCOPES] : "all",
		.expires_at = days ? clock_now() + days * DAY_MS : 0}};
	enum rc rc = db_write(&r->cx, r->env->db, key_write, &w);
	if (rc == RC_OK)
		pairs_write(r, (struct pair[]){{"id", w.k.id}, {w.k.live ? "live_key" : "test_key", w.k.text}, {NULL, NULL}});
	explicit_bzero(&w, sizeof w);
	return rc;
}

static enum rc revoke_write(struct cx *cx, struct db_conn *c, void *arg)
{
	return apikey_revoke(cx, c, NULL, arg, clock_now());
}

static enum rc key_revoke(struct run *r)
{
	union { const char *text; void *arg; } id = {.text = r->word};
	enum rc rc = db_write(&r->cx, r->env->db, revoke_write, id.arg);
	if (rc == RC_OK)
		pairs_write(r, (struct pair[]){{"revoked", r->word}, {NULL, NULL}});
	return rc;
}

static enum rc key_list(struct run *r)
{
	static const char *const names[] = {"id", "keyId", "organization", "app", "mode", "status", "scopes", "name", NULL};
	DB_READ_AUTO struct db_conn *c = db_take(r->env->db);
	STMT_AUTO struct stmt *s = apikey_list(c, r->word ? r->word : "", clock_now());
	return rows_write(r, c, s, names);
}

/* ---- the vault --------------------------------------------------------------------------------------- */

struct rewrap { struct vault *vault; char after[32]; struct data_key_round round; };

static enum rc rewrap_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct rewrap *w = arg;
	return data_key_rewrap(cx, c, w->vault, w->after, &w->round);
}

/* In rounds, so that others write meanwhile; ended in the middle, it is simply run again. */
static enum rc vault_rewrap(struct run *r)
{
	struct rewrap w = {.vault = r->env->vault};
	char count[24];
	int64_t found = 0, failed = 0;

	do {
		enum rc rc = db_write(&r->cx, r->env->db, rewrap_write, &w);
		if (rc != RC_OK)
			return rc;
		memcpy(w.after, w.round.after, sizeof w.after);
		found += w.round.found;
		failed += w.round.failed;
	} while (w.round.found > 0);
	if (failed > 0)
		return fail(&r->cx, RC_CORRUPT, "%lld of %lld data keys could not be opened (the log names them) and stay as they are: keep every "
			"old master key", (long long)failed, (long long)found);
	snprintf(count, sizeof count, "%lld", (long long)found);
	pairs_write(r, (struct pair[]){{"master_key", vault_master_id(w.vault)}, {"wrapped_anew", count}, {NULL, NULL}});
	return RC_OK;
}

/* ---- the running server ---------------------------------------------------------------------------- */

#define COLUMNS 6

/* One line of the list: every word of it may come from a provider, which control characters were taken from. */
struct provider_line { const char *text[COLUMNS]; };

/* "2026-11-23T18:20:30.123Z" without the fraction: nobody reads it here. */
static const char *moment(struct arena *a, struct jv v, const char *none)
{
	const char *text = json_text(v);
	return json_type(v) == JSON_STRING ? arena_printf(a, "%.*sZ", (int)strcspn(text, "."), text) : none;
}

static const char *word(struct jv p, const char *key) { return json_text_or(json_get(p, key), ""); }	/* a refused one has no version */
static const char *or_dash(const char *text) { return text[0] ? text : "-"; }

static const char *cause_of(struct arena *a, struct jv p, const char *state)
{
	const char *words = word(p, "words"), *last = word(p, "lastFailure");
	if (words[0] && text_eq(state, "serving"))
		return arena_printf(a, "goes on as it was, its reload was refused: %s", words);
	return or_dash(words[0] ? words : last);
}

static struct provider_line provider_line(struct arena *a, struct jv p)
{
	const char *state = word(p, "state");
	const char *until = moment(a, json_get(p, "pausedUntil"), "");
	int64_t failures = 0;
	json_int(json_get(p, "failures"), &failures);
	return (struct provider_line){{
		word(p, "id"), or_dash(word(p, "version")),
		until[0] ? arena_printf(a, "%s until %s", state, until) : state, arena_printf(a, "%lld", (long long)failures),
		moment(a, json_get(p, "lastFailureAt"), "-"), cause_of(a, p, state),
	}};
}

static void columns_write(struct buf *out, const struct provider_line *lines, size_t n)
{
	int width[COLUMNS] = {0};
	for (size_t i = 0; i < n; i++)
		for (int c = 0; c < COLUMNS - 1; c++)
			if ((int)strlen(lines[i].text[c]) > width[c])
				width[c] = (int)strlen(lines[i].text[c]);
	for (size_t i = 0; i < n; i++)
		for (int c = 0; c < COLUMNS; c++)
			buf_addf(out, "%-*s%s", width[c], lines[i].text[c], c < COLUMNS - 1 ? "  " : "\n");
}

static enum rc providers_table(struct run *r, const struct buf *json)
{
	ARENA_AUTO struct arena a;
	struct provider_line *lines;
	struct jv list;
	arena_init(&a, 16u << 20);
	if (json_parse(&r->cx, &a, buf_text(json), json->len, &list) != RC_OK)
		return r->cx.rc;
	lines = arena_array(&a, struct provider_line, json_count(list) + 1);
	lines[0] = (struct provider_line){{"PROVIDER", "VERSION", "STATE", "FAILURES", "LAST FAILURE", "CAUSE"}};
	for (size_t i = 0; i < json_count(list); i++)
		lines[i + 1] = provider_line(&a, json_at(list, i));
	columns_write(r->out, lines, json_count(list) + 1);
	return RC_OK;
}

static enum rc providers(struct run *r)
{
	BUF_AUTO struct buf json;
	buf_init(&json, 1u << 20);
	r->env->providers(r->env->server, &json);
	if (r->option[0] == NULL)
		return providers_table(r, &json);
	buf_add(r->out, json.data, json.len);
	buf_addc(r->out, '\n');
	return RC_OK;
}

static enum rc reload(struct run *r)
{
	return r->env->reload(&r->cx, r->env->server, r->word, r->out);
}

/* ---- backups --------------------------------------------------------------------------------------- */

static const char *number_text(int64_t n, char out[24])
{
	snprintf(out, 24, "%lld", (long long)n);
	return out;
}

static void manifest_write(struct run *r, const char *state, const char *folder, const struct backup_manifest *m)
{
	char at[CLOCK_TEXT], store[24], files[24], bytes[24], missing[24];

	clock_text(m->taken_at, at);
	pairs_write(r, (struct pair[]){{"state", state}, {"folder", folder}, {"backup", m->id}, {"taken_at", at}, {"master_key", m->master},
		{"store_bytes", number_text(m->store_bytes, store)}, {"media_files", number_text(m->media_count, files)},
		{"media_bytes", number_text(m->media_bytes, bytes)}, {"media_missing", number_text(m->media_missing, missing)}, {NULL, NULL}});
}

static enum rc backup_state(struct run *r)
{
	struct backupjob_state *s = calloc(1, sizeof *s);
	char done[24];

	if (s == NULL)
		return fail(&r->cx, RC_NOMEM, "no memory");
	if (r->env->backup)
		backupjob_state(r->env->backup, s);
	if (text_eq(s->state, "done"))
		manifest_write(r, s->state, s->folder, &s->made);
	else
		pairs_write(r, (struct pair[]){{"state", s->state ? s->state : "none"}, {"folder", s->folder}, {"error", s->words},
			{"thousandths", number_text(s->thousandths, done)}, {NULL, NULL}});
	free(s);
	return RC_OK;
}

static enum rc backup(struct run *r)
{
	struct backup_job job = {.db = r->env->db, .vault = r->env->vault, .data_folder = r->env->data_folder, .folder = r->word};
	struct backup_manifest made;
	enum rc rc;

	if (r->word == NULL)
		return backup_state(r);
	if (r->env->backup) {
		rc = backupjob_start(&r->cx, r->env->backup, r->word);
		return rc == RC_OK ? backup_state(r) : rc;
	}
	rc = backup_make(&r->cx, &job, &made);
	if (rc == RC_OK)
		manifest_write(r, "done", r->word, &made);
	return rc;
}

struct release { const char *organization_id; int64_t n; };

static enum rc release_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct release *w = arg;
	return backup_release(cx, c, w->organization_id, clock_now(), &w->n);
}

static enum rc release(struct run *r)
{
	struct release w = {.organization_id = r->word, .n = 1};
	int64_t all = 0;
	char text[24];
	enum rc rc = RC_OK;

	for (; rc == RC_OK && w.n > 0; all += w.n)
		rc = db_write(&r->cx, r->env->db, release_write, &w);
	if (rc == RC_OK)
		pairs_write(r, (struct pair[]){{"released", number_text(all, text)}, {NULL, NULL}});
	if (r->env->wake)
		r->env->wake(r->env->server);
	return rc;
}

/* ---- the table ------------------------------------------------------------------------------------- */

static const struct command commands[] = {
	{"org", "create", "NAME", {NULL}, org_create, false, "make an organization with an app; prints its keys once"},
	{"org", "list", NULL, {NULL}, org_list, false, "organizations and their apps"},
	{"key", "create", "APP", {"--test", "--name=NAME", "--scopes=SCOPES", "--days=DAYS"}, key_create, false,
		"make an API key of an app (live, all scopes, for ever unless told otherwise); prints it once"},
	{"key", "revoke", "KEY", {NULL}, key_revoke, false, "end a key, named by its id or the 8 characters after its prefix"},
	{"key", "list", "[ORG|APP]", {NULL}, key_list, false, "keys, without their secrets"},
	{"backup", NULL, "[FOLDER]", {NULL}, backup, false,
		"make a backup in a new folder while the server serves; without FOLDER: how the last went"},
	{"release", NULL, "[ORG]", {NULL}, release, false, "let posts go that a restore holds back and whose time was yet to come"},
	{"vault", "rewrap", NULL, {NULL}, vault_rewrap, false,
		"wrap every data key by the newest master key, online; then KEY_FILE.old-* is needed for older backups only"},
	{"providers", NULL, NULL, {"--json"}, providers, true, "what the running server has loaded, refused or paused, and why"},
	{"reload", NULL, "[PROVIDER]", {NULL}, reload, true, "load new and changed providers into the running server"},
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static void usage_line(struct buf *out, const struct command *k)
{
	size_t begin = out->len;
	buf_addf(out, "  %s%s%s%s%s", k->first, k->second ? " " : "", k->second ? k->second : "", k->word ? " " : "", k->word ? k->word : "");
	for (int i = 0; i < OPTIONS_MAX && k->options[i]; i++) {
		const char *value = strchr(k->options[i], '=');
		int n = (int)strcspn(k->options[i], "=");
		buf_addf(out, " [%.*s%s%s]", n, k->options[i], value ? " " : "", value ? value + 1 : "");
	}
	if (!k->server)
		buf_adds(out, " [--json]");
	buf_addf(out, "%s%s\n", out->len - begin > 40 ? "\n        " : "  ", k->help);
}

void command_usage(struct buf *out, const char *word)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (word == NULL || strcmp(commands[i].first, word) == 0)
			usage_line(out, &commands[i]);
}

int command_known(const char *word)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].first, word) == 0)
			return 1;
	return 0;
}

int command_needs_server(const char *word)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].first, word) == 0)
			return commands[i].server;
	return 0;
}

static const struct command *find(int argc, char **argv)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (argc > 0 && strcmp(commands[i].first, argv[0]) == 0 &&
		    (commands[i].second == NULL || (argc > 1 && strcmp(commands[i].second, argv[1]) == 0)))
			return &commands[i];
	return NULL;
}

/* One option; the number of words it took, 0 if it is not known or lacks its value. */
static int option_read(struct run *r, const struct command *k, int argc, char **argv)
{
	if (strcmp(argv[0], "--json") == 0 && !k->server) {
		r->json = true;
		return 1;
	}
	for (int i = 0; i < OPTIONS_MAX && k->options[i]; i++) {
		size_t n = strcspn(k->options[i], "=");
		if (strlen(argv[0]) != n || memcmp(argv[0], k->options[i], n) != 0 || r->option[i])
			continue;
		bool valued = k->options[i][n] == '=';
		if (valued && argc < 2)
			return 0;
		r->option[i] = valued ? argv[1] : "";
		return valued ? 2 : 1;
	}
	return 0;
}

/* The words after the command's own; the message for the first that does not fit, or NULL. */
static const char *arguments_read(struct run *r, const struct command *k, int argc, char **argv)
{
	for (int took; argc > 0; argc -= took, argv += took) {
		took = 1;
		if (argv[0][0] == '-' && argv[0][1] == '-') {
			took = option_read(r, k, argc, argv);
			if (took == 0)
				return argv[0];
		} else if (k->word == NULL || r->word) {
			return argv[0];
		} else {
			r->word = argv[0];
		}
	}
	return k->word && k->word[0] != '[' && r->word == NULL ? k->word : NULL;
}

int command_run(const struct command_env *env, int argc, char **argv, struct buf *out, struct buf *err)
{
	struct run r = {.env = env, .out = out};
	const struct command *k = find(argc, argv);

	if (k == NULL) {
		buf_adds(err, "usage:\n");
		command_usage(err, argc > 0 && command_known(argv[0]) ? argv[0] : NULL);
		return 2;
	}
	int own = k->second ? 2 : 1;
	const char *wrong = arguments_read(&r, k, argc - own, argv + own);
	if (wrong) {
		buf_addf(err, "%s: missing, unknown or given twice; usage:\n", wrong);
		usage_line(err, k);
		return 2;
	}
	cx_init(&r.cx, "command");
	if (k->server && env->server == NULL) {
		buf_addf(err, "%s needs a running server\n", k->first);
		return 1;
	}
	if (k->run(&r) == RC_OK)
		return 0;
	buf_reset(out);
	buf_addf(err, "%s\n", r.cx.words);
	return 1;
}
