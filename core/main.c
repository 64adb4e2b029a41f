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
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/api/command.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/conf.h"
#include "core/io/control.h"
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
		struct command_env env = {.db = i.db, .vault = i.vault};
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
