/*
 * The server, from configuration to graceful stop.
 */
#ifndef MPS_SERVE_H
#define MPS_SERVE_H

#include "core/base/rc.h"
#include "core/io/conf.h"

#define SERVE_VERSION "0.1.0"

/* Runs until SIGTERM or SIGINT; SIGHUP reloads providers.  Call from the main thread, before any other. */
enum rc serve_run(struct cx *cx, const struct conf *conf);

#endif
