/*
 * mypostshare: one program, one table of subcommands.
 *
 * The one thing to know: a command that needs the store asks the running server over its control socket; only
 * when nobody listens there does it take the store's lock and run in this process.  No two processes ever
 * have the store open.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/api/command.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/conf.h"
#include "core/io/control.h"
#include "core/model/backup.h"
#include "core/model/installation.h"
#include "core/sandbox/sandbox.h"
#include "core/serve.h"

#define DESCRIPTORS 8192
#define OUTPUT_MAX (1024 * 1024)

static const char *config_option;	/* --config FILE */

/* ---- the process ----------------------------------------------------------------------------------- */

/* Without one of the three standard descriptors the store's file could become standard error. */
static void descriptors_fill(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(71);
}

/* No core file and no debugger of the same user may see the keys; no file of ours is open to others. */
static void process_init(void)
{
	struct rlimit none = {0, 0}, files;

	descriptors_fill();
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max < DESCRIPTORS ? files.rlim_max : DESCRIPTORS;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);	/* a file at its limit is a full disk, told by write */
}

static void log_level_set(const char *name)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	for (int i = 0; i < 4; i++)
		if (strcmp(names[i], name) == 0)
			log_set((enum log_level)i);
}

static int say_failed(const struct cx *cx)
{
	fprintf(stderr, "mypostshare: %s\n", cx->words);
	return 1;
}

/* ---- configuration --------------------------------------------------------------------------------- */

/* etc beside the program's folder (bin, build), then the system's.  Never the working folder. */
static const char *config_find(void)
{
	static char path[4096];
	static const char name[] = "etc/mypostshare.ini";
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof name);

	if (config_option)
		return config_option;
	for (int up = 0; n > 0 && up < 2; up++)
		while (n > 0 && path[--n] != '/')
			;
	memcpy(path + (n > 0 ? n : 0), "/etc/mypostshare.ini", sizeof "/etc/mypostshare.ini");
	return access(path, F_OK) == 0 ? path : "/etc/mypostshare/mypostshare.ini";
}

static enum rc config_load(struct cx *cx, struct conf *ret)
{
	return conf_load(cx, config_find(), ret);
}

/* ---- commands of the store ------------------------------------------------------------------------- */

static int output(struct buf *out, struct buf *err, int status)
{
	fwrite(buf_text(out), 1, out->len, stdout);
	fwrite(buf_text(err), 1, err->len, stderr);
	int bad = fflush(stdout) != 0;
	buf_wipe(out);
	buf_wipe(err);
	return bad && status == 0 ? 1 : status;
}

/* Nobody serves: take the store ourselves. */
static void run_here(struct cx *cx, const struct conf *c, int argc, char **argv, struct buf *out, struct buf *err, int *ret_status)
{
	struct installation i = {.db = NULL};
	if (installation_open(cx, c, &i) == RC_OK) {
		struct command_env env = {.db = i.db, .vault = i.vault, .data_folder = c->data_folder};
		*ret_status = command_run(&env, argc, argv, out, err);
	}
	installation_close(&i);
}

static int store_command(int argc, char **argv)
{
	struct conf c;
	struct buf out, err;
	struct cx cx;
	int status = 1;

	cx_init(&cx, "cli");
	if (config_load(&cx, &c) != RC_OK)
		return say_failed(&cx);
	buf_init(&out, OUTPUT_MAX);
	buf_init(&err, OUTPUT_MAX);
	enum rc rc = control_call(&cx, c.control_socket, argc, argv, &out, &err, &status);
	if (rc == RC_NOT_FOUND && command_needs_server(argv[0]))
		buf_addf(&err, "mypostshare: no server listens on %s\n", c.control_socket);
	else if (rc == RC_NOT_FOUND)
		run_here(&cx, &c, argc, argv, &out, &err, &status);
	conf_free(&c);
	if (cx.rc != RC_OK)
		say_failed(&cx);
	return output(&out, &err, status);
}

/* ---- backup and restore ---------------------------------------------------------------------------- */

#define ASK_MS 200

/* The server's working folder is not ours. */
static char *whole_path(const char *path)
{
	char here[4096], *whole;
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	if (path[0] != '/' && getcwd(here, sizeof here) == NULL)
		return NULL;
	return asprintf(&whole, "%s%s%.*s", path[0] == '/' ? "" : here, path[0] == '/' ? "" : "/", (int)n, path) < 0 ? NULL : whole;
}

/* The value of a "name value" line. */
static bool answered(const struct buf *out, const char *name, const char *value)
{
	BUF_AUTO struct buf line;
	buf_init(&line, 256);
	buf_addf(&line, "%s %s\n", name, value);
	return strstr(buf_text(out), buf_text(&line)) != NULL;
}

static int thousandths_of(const struct buf *out)
{
	const char *at = strstr(buf_text(out), "thousandths ");
	return at ? (int)strtol(at + strlen("thousandths "), NULL, 10) : 0;
}

/* Asks the server until its backup has ended; what it said last is in out.  Progress goes to standard error. */
static enum rc backup_wait(struct cx *cx, const struct conf *c, struct buf *out, struct buf *err, int *ret_status)
{
	char word[] = "backup", *argv[] = {word, NULL};
	const struct timespec pause = {.tv_nsec = ASK_MS * 1000000};
	int shown = 0;

	while (*ret_status == 0 && answered(out, "state", "running")) {
		nanosleep(&pause, NULL);
		buf_reset(out);
		enum rc rc = control_call(cx, c->control_socket, 1, argv, out, err, ret_status);
		if (rc != RC_OK)
			return rc == RC_NOT_FOUND ? fail(cx, RC_IO, "the server ended before the backup was whole") : rc;
		if (thousandths_of(out) >= shown + 100)
			fprintf(stderr, "mypostshare: backup %d %%\n", (shown = thousandths_of(out)) / 10);
	}
	if (*ret_status == 0 && !answered(out, "state", "done"))
		*ret_status = 1;
	const char *why = *ret_status ? strstr(buf_text(out), "\nerror ") : NULL;
	if (why)
		buf_addf(err, "mypostshare: no backup was made: %.*s\n", (int)strcspn(why + 7, "\n"), why + 7);
	return RC_OK;
}

static int backup(int argc, char **argv)
{
	struct conf c;
	struct buf out, err;
	struct cx cx;
	int status = 1;

	cx_init(&cx, "backup");
	if (config_load(&cx, &c) != RC_OK)
		return say_failed(&cx);
	buf_init(&out, OUTPUT_MAX);
	buf_init(&err, OUTPUT_MAX);
	bool makes = argc > 1 && argv[1][0] != '-';
	if (makes && (argv[1] = whole_path(argv[1])) == NULL)
		fail(&cx, RC_INVALID, "the folder's path cannot be told");
	enum rc rc = cx.rc == RC_OK ? control_call(&cx, c.control_socket, makes ? 2 : argc, argv, &out, &err, &status) : cx.rc;
	if (rc == RC_NOT_FOUND)
		run_here(&cx, &c, argc, argv, &out, &err, &status);
	else if (rc == RC_OK && makes)
		backup_wait(&cx, &c, &out, &err, &status);
	if (rc == RC_OK && makes && status == 0 && argc == 3 && strcmp(argv[2], "--json") == 0) {	/* the same once more, as JSON */
		char word[] = "backup", *again[] = {word, argv[2], NULL};
		buf_reset(&out);
		control_call(&cx, c.control_socket, 2, again, &out, &err, &status);
	}
	if (makes)
		free(argv[1]);
	conf_free(&c);
	if (cx.rc != RC_OK)
		status = say_failed(&cx);
	return output(&out, &err, status);
}

static void restored_say(const struct backup_restored *r)
{
	char at[CLOCK_TEXT];

	clock_text(r->from.taken_at, at);
	printf("restored %s\nof %s\nunconfirmed %lld\nheld %lld\nsessions_ended %lld\n"
	       "data_keys %lld\nowners_without_data_key %lld\ntombstones %lld\n",
	       r->from.id, at, (long long)r->unconfirmed, (long long)r->blocked, (long long)r->sessions, (long long)r->keys,
	       (long long)r->keys_missing, (long long)r->tombstones);
	printf("\nWhat was accepted after that time is not known any more.  Nothing that could have been sent since is sent again by itself:\n"
	       "%lld deliveries are unconfirmed (what the platform shows decides, or a person); %lld whose time is yet to come are held:\n"
	       "mypostshare release lets them go, once it is sure that nobody published, moved or canceled them since.\n"
	       "API keys that were revoked since are valid again: revoke them before the server is reached.\n",
	       (long long)r->unconfirmed, (long long)r->blocked);
}

/* FOLDER [--keys FOLDER] [--tombstones FILE], in any order. */
static bool source_read(int argc, char **argv, struct backup_source *ret)
{
	for (int i = 1; i < argc; i++) {
		const char **to = strcmp(argv[i], "--keys") == 0 ? &ret->keys : strcmp(argv[i], "--tombstones") == 0 ? &ret->tombstones : NULL;
		if (to && (*to || ++i == argc))
			return false;
		if (!to && (ret->folder || argv[i][0] == '-'))
			return false;
		*(to ? to : &ret->folder) = argv[i];
	}
	return ret->folder != NULL;
}

static int restore(int argc, char **argv)
{
	struct backup_source from = {.folder = NULL};
	struct backup_restored done;
	struct conf c;
	struct cx cx;

	cx_init(&cx, "restore");
	if (!source_read(argc, argv, &from)) {
		fputs("usage: mypostshare restore FOLDER [--keys FOLDER] [--tombstones FILE]\n", stderr);
		return 2;
	}
	if (config_load(&cx, &c) != RC_OK)
		return say_failed(&cx);
	enum rc rc = backup_restore(&cx, &c, &from, &done);
	conf_free(&c);
	if (rc != RC_OK)
		return say_failed(&cx);
	restored_say(&done);
	return 0;
}

static int migrate(int argc, char **argv)
{
	struct installation i = {.db = NULL};
	struct conf c;
	struct cx cx;
	int applied = 0;

	(void)argc, (void)argv;
	cx_init(&cx, "migrate");
	if (config_load(&cx, &c) != RC_OK)
		return say_failed(&cx);
	enum rc rc = installation_open_store(&cx, &c, &i, &applied);
	installation_close(&i);
	conf_free(&c);
	if (rc != RC_OK)
		return say_failed(&cx);
	printf("%d migrations applied\n", applied);
	return 0;
}

static int serve(int argc, char **argv)
{
	struct conf c;
	struct cx cx;

	(void)argc, (void)argv;
	cx_init(&cx, "serve");
	if (config_load(&cx, &c) != RC_OK)
		return say_failed(&cx);
	log_level_set(c.log_level);
	enum rc rc = serve_run(&cx, &c);
	conf_free(&c);
	return rc == RC_OK ? 0 : say_failed(&cx);
}

/* ---- commands without a store ---------------------------------------------------------------------- */

static int config_check(int argc, char **argv)
{
	struct conf c;
	struct cx cx;

	(void)argc, (void)argv;
	cx_init(&cx, "check-config");
	if (config_load(&cx, &c) != RC_OK)
		return say_failed(&cx);
	printf("%s: fine\nlisten %s\npublic_url %s\ndata_folder %s\nproviders %d configured, files in %s\n", c.file, c.listen,
		c.public_url ? c.public_url : "(of the port that is picked)", c.data_folder, c.provider_count, c.provider_folder);
	conf_free(&c);
	return 0;
}

static int config_reference(int argc, char **argv)
{
	struct buf out, err;
	(void)argc, (void)argv;
	buf_init(&out, OUTPUT_MAX);
	buf_init(&err, OUTPUT_MAX);
	conf_reference(&out);
	return output(&out, &err, 0);
}

static int version(int argc, char **argv)
{
	(void)argc, (void)argv;
	puts("mypostshare " SERVE_VERSION);
	return 0;
}

/* ---- the table ------------------------------------------------------------------------------------- */

static const struct subcommand {
	const char *name;
	int (*run)(int argc, char **argv);	/* argv[0] is the name */
	const char *help;		/* NULL: command_usage tells */
	int words;			/* arguments it may have at most; -1: it reads its own */
} subcommands[] = {
	{"serve", serve, "run the server until SIGTERM; SIGHUP reloads providers", 0},
	{"check-config", config_check, "read the configuration as the server would", 0},
	{"config-reference", config_reference, "every key of the configuration, as Markdown", 0},
	{"sandbox", sandbox_main, "run the sandbox platform alone: [--listen ADDRESS:PORT] [--folder FOLDER] [--public-url URL]", -1},
	{"migrate", migrate, "bring the store up to date without serving", 0},
	{"version", version, "print the version", 0},
	{"restore", restore, "bring a backup back into an empty data folder: FOLDER [--keys FOLDER] [--tombstones FILE]", -1},
	{"backup", backup, NULL, -1},
	{"release", store_command, NULL, -1},
	{"org", store_command, NULL, -1},
	{"key", store_command, NULL, -1},
	{"vault", store_command, NULL, -1},
	{"providers", store_command, NULL, -1},
	{"reload", store_command, NULL, -1},
};

#define SUBCOMMANDS (sizeof subcommands / sizeof subcommands[0])

static int usage(FILE *to, int status)
{
	struct buf out;
	buf_init(&out, OUTPUT_MAX);
	fputs("usage: mypostshare [--config FILE] COMMAND\n", to);
	for (size_t i = 0; i < SUBCOMMANDS; i++)
		if (subcommands[i].help)
			fprintf(to, "  %s  %s\n", subcommands[i].name, subcommands[i].help);
	command_usage(&out, NULL);
	fputs(buf_text(&out), to);
	buf_free(&out);
	return status;
}

int main(int argc, char **argv)
{
	process_init();
	log_set(LOG_WARN);
	if (argc >= 3 && strcmp(argv[1], "--config") == 0) {
		config_option = argv[2];
		argc -= 2;
		argv += 2;
	}
	if (argc < 2)
		return usage(stderr, 2);
	if (text_eq(argv[1], "help") || text_eq(argv[1], "--help") || text_eq(argv[1], "-h"))
		return usage(stdout, 0);
	for (size_t i = 0; i < SUBCOMMANDS; i++)
		if (strcmp(subcommands[i].name, argv[1]) == 0 && (subcommands[i].words < 0 || argc - 2 <= subcommands[i].words))
			return subcommands[i].run(argc - 1, argv + 1);
	return usage(stderr, 2);
}
