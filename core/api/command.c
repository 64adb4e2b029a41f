/*
 * The operator's commands.  Each is one row: its words, what follows them, and a function that reads its
 * options by a small grammar of its own table.  What a command changes, it changes in one write.
 *
 * The one thing to know: output goes to a person or a script, so it is "name value" lines, and with --json
 * one JSON object or list; keys are shown here once and nowhere else.
 */
#include "core/api/command_run.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/jsonw.h"
#include "core/base/text.h"
#include "core/model/organization.h"

#define DAY_MS (24ll * 3600 * 1000)
#define DAYS_MAX 3650

struct command {
	const char *first, *second;	/* second NULL: a command of one word */
	const char *word;		/* name of the free argument; in brackets if it may be left out; NULL: none */
	const char *options[OPTIONS_MAX];	/* "--test" is a flag, "--name=NAME" takes a value */
	enum rc (*run)(struct run *r);
	bool server;			/* only in the running server */
	const char *help;
};

/* ---- writing the answer ---------------------------------------------------------------------------- */

void command_pairs(struct run *r, const struct pair *pairs)
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
		command_pairs(r, (struct pair[]){{"organization", w.o.id}, {"app", w.o.app_id}, {"live_key", w.o.live_key},
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
		command_pairs(r, (struct pair[]){{"id", w.k.id}, {w.k.live ? "live_key" : "test_key", w.k.text}, {NULL, NULL}});
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
		command_pairs(r, (struct pair[]){{"revoked", r->word}, {NULL, NULL}});
	return rc;
}

static enum rc key_list(struct run *r)
{
	static const char *const names[] = {"id", "keyId", "organization", "app", "mode", "status", "scopes", "name", NULL};
	DB_READ_AUTO struct db_conn *c = db_take(r->env->db);
	STMT_AUTO struct stmt *s = apikey_list(c, r->word ? r->word : "", clock_now());
	return rows_write(r, c, s, names);
}

/* ---- the table ------------------------------------------------------------------------------------- */

static const struct command commands[] = {
	{"org", "create", "NAME", {NULL}, org_create, false, "make an organization with an app; prints its keys once"},
	{"org", "list", NULL, {NULL}, org_list, false, "organizations and their apps"},
	{"key", "create", "APP", {"--test", "--name=NAME", "--scopes=SCOPES", "--days=DAYS"}, key_create, false,
		"make an API key of an app (live, all scopes, for ever unless told otherwise); prints it once"},
	{"key", "revoke", "KEY", {NULL}, key_revoke, false, "end a key, named by its id or the 8 characters after its prefix"},
	{"key", "list", "[ORG|APP]", {NULL}, key_list, false, "keys, without their secrets"},
	{"backup", NULL, "[FOLDER]", {NULL}, command_backup, false,
		"make a backup in a new folder while the server serves; without FOLDER: how the last went"},
	{"release", NULL, "[ORG]", {NULL}, command_release, false, "let posts go that a restore holds back and whose time was yet to come"},
	{"vault", "rewrap", NULL, {NULL}, command_vault_rewrap, false,
		"wrap every data key by the newest master key, online; then KEY_FILE.old-* is needed for older backups only"},
	{"providers", NULL, NULL, {"--json"}, command_providers, true, "what the running server has loaded, refused or paused, and why"},
	{"reload", NULL, "[PROVIDER]", {NULL}, command_reload, true, "load new and changed providers into the running server"},
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
