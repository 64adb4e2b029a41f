/*
 * The sandbox platform: a social network of our own making, a process and a store of its own.
 *
 * Test keys publish to it, and its ledger is the oracle of the tests: what stands there was published, once
 * per row, and a row is durable before anybody hears of it.  It can be told to lie, to stay silent and to
 * commit late, by magic words in a post's text and by its control routes (loopback only).
 */
#ifndef MPS_SANDBOX_SANDBOX_H
#define MPS_SANDBOX_SANDBOX_H

#include "core/base/rc.h"

struct sandbox;

struct sandbox_config {
	const char *listen;	/* "127.0.0.1:0": port 0 picks one */
	const char *folder;	/* of its store; made if missing (the parent must exist) */
	const char *public_url;	/* where browsers reach it, without a slash at the end; NULL: its own loopback address */
};

enum rc sandbox_open(struct cx *cx, const struct sandbox_config *config, struct sandbox **ret);
int sandbox_port(const struct sandbox *s);
void sandbox_close(struct sandbox *s);

/* The subcommand: mypostshare sandbox [--listen ADDRESS:PORT] [--folder FOLDER] [--public-url URL].  Prints one
 * line with its address, runs until SIGTERM or SIGINT, gives the exit status. */
int sandbox_main(int argc, char **argv);

#endif
