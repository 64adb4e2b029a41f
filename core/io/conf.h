/*
 * Configuration: ini files by inih, checked against one table (section, key, type, default, range, help) that
 * also prints the reference.  Unknown, duplicate, out of range, cut or not a regular file: refused, naming
 * file and line.  Secrets are file paths, never values.
 */
#ifndef MPS_IO_CONF_H
#define MPS_IO_CONF_H

#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/rc.h"

struct conf_pair { const char *key, *value; const char *file; int line; };
struct conf_pairs { struct conf_pair *list; int count; };
struct conf_provider {			/* [provider.ID] of etc/providers.d/NAME.ini or the main file */
	const char *id;
	int enabled;			/* default 1 */
	const char *file;		/* .so, default ID.so in [providers] folder */
	const char *sha256;		/* pin, or NULL */
	const char *client_id, *client_secret_file;	/* managed credential */
	struct conf_pairs base_urls;	/* base_url.HOST = URL: for our requests, and for browsers without the next */
	struct conf_pairs browser_urls;	/* browser_url.HOST = URL */
	struct conf_pairs settings;	/* setting.NAME = VALUE: input "setting.NAME" of every step */
};

struct conf {
	struct arena arena;
	const char *file;
	/* public_url and sandbox_public_url are NULL if listen has port 0 and none is given: main fills them in */
	/* [server] */ const char *listen, *public_url, *data_folder, *control_socket;
	int threads, key_per_minute, address_per_minute;	/* limits: 0 is none */
	/* [vault] */ const char *key_file;
	int create_key;
	/* [providers] */ const char *provider_folder, *provider_conf_folder, *host_program, *probe_program;
	/* [media] */ int media_upload_mb, media_quota_mb, media_keep_days, media_fetch_seconds;
	/* [sandbox] */ int sandbox;		/* run it for test keys: default yes */
	const char *sandbox_url, *sandbox_public_url, *sandbox_listen, *sandbox_folder;
	int sandbox_settle_ms;
	/* [egress] */ const char **allow;	/* NULL-terminated */
	const char *ca_file;
	/* [engine] */ int in_flight, claim_batch, request_timeout_ms;
	/* [log] */ const char *log_level;
	struct conf_provider *providers;
	int provider_count;
};

/* Relative paths are taken from the parent of the file's folder if that folder is named etc, else from the
 * file's own folder (see etc/mypostshare.ini); all paths in ret are whole.  ret is untouched on failure. */
enum rc conf_load(struct cx *cx, const char *file, struct conf *ret);
void conf_free(struct conf *c);
const struct conf_provider *conf_provider(const struct conf *c, const char *id);	/* NULL if none */
void conf_reference(struct buf *out);	/* Markdown: every key with type, default, range and meaning */

#endif
