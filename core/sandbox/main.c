/*
 * The subcommand: a sandbox in the foreground until SIGTERM or SIGINT.
 */
#include "core/sandbox/sandbox.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "core/base/text.h"

static const char usage[] =
	"usage: mypostshare sandbox [--listen 127.0.0.1:PORT] [--folder FOLDER] [--public-url URL] [--with-parent]\n"
	"  --listen       address of its own; port 0 (the default) picks one\n"
	"  --folder       of its store, default var/sandbox\n"
	"  --public-url   where browsers reach it, default its own loopback address\n"
	"  --with-parent  ends when the process that started it ends\n";

/* Fills config from the arguments; false for anything it does not know. */
static bool options(int argc, char **argv, struct sandbox_config *config, bool *ret_parent)
{
	for (int i = 1; i < argc; i++) {
		const char **to = text_eq(argv[i], "--listen") ? &config->listen :
				  text_eq(argv[i], "--folder") ? &config->folder :
				  text_eq(argv[i], "--public-url") ? &config->public_url : NULL;

		if (text_eq(argv[i], "--with-parent"))
			*ret_parent = true;
		else if (to && i + 1 < argc)
			*to = argv[++i];
		else
			return false;
	}
	return true;
}

int sandbox_main(int argc, char **argv)
{
	struct sandbox_config config = { .listen = "127.0.0.1:0", .folder = "var/sandbox" };
	struct sandbox *s = NULL;
	bool parent = false;
	struct cx cx;
	sigset_t end;
	int got;

	if (!options(argc, argv, &config, &parent)) {
		fputs(usage, stderr);
		return 2;
	}
	if (parent)
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	pthread_sigmask(SIG_BLOCK, &end, NULL);
	signal(SIGPIPE, SIG_IGN);
	cx_init(&cx, "sandbox");
	if (sandbox_open(&cx, &config, &s) != RC_OK) {
		fprintf(stderr, "mypostshare sandbox: %s\n", cx.words);
		return 1;
	}
	printf("sandbox listening on http://127.0.0.1:%d\n", sandbox_port(s));
	fflush(stdout);
	sigwait(&end, &got);
	sandbox_close(s);
	return 0;
}
