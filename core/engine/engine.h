/*
 * The engine: one thread that performs operations.  It claims due rows under its epoch, asks provider hosts
 * for the next step, commits every intent before its first byte, does every request, and writes outcomes.
 *
 * Everything it decides upon is in the store; other threads only insert due rows and wake it.
 */
#ifndef MPS_ENGINE_ENGINE_H
#define MPS_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/engine/hostproc.h"
#include "core/io/conf.h"
#include "core/io/db.h"
#include "core/io/vault.h"
#include "core/model/platform.h"

struct engine;

struct engine_config {
	struct db *db;
	struct vault *vault;
	struct platforms *platforms;	/* filled by the engine as providers load */
	const struct conf *conf;	/* outlives the engine */
	const char *sandbox_url;	/* where this process reaches the sandbox, as "http://127.0.0.1:8081"; NULL: none */
	const char *sandbox_public_url;	/* where browsers reach it */
};

/* Takes the epoch, recovers what an older owner left, loads the providers, starts the thread. */
enum rc engine_open(struct cx *cx, const struct engine_config *config, struct engine **ret);
void engine_close(struct engine *e);		/* admits nothing more, finishes what runs (at most 8 s), stops */

void engine_wake(struct engine *e);		/* after a commit that made something due; any thread */

/* Waits until any operation or delivery ended since `seen` (0 at first), at most ms.  Returns the number to
 * pass next time.  Long polls look at the store after each return. */
uint64_t engine_wait(struct engine *e, uint64_t seen, int ms);

/* The address an authorize operation made, once: its state and client id must not rest in the store.
 * NULL if there is none (yet); the caller frees. */
char *engine_redirect_take(struct engine *e, const char *operation_id);

/* Loads or swaps providers (NULL: all of the folder); words for the operator into out.  Any thread; waits. */
enum rc engine_reload(struct cx *cx, struct engine *e, const char *provider_id, struct buf *out);

/* JSON list of loaded and refused providers, as {"id","version","file","loaded","paused","sandbox","words",...}. */
void engine_providers(struct engine *e, struct buf *out_json);

struct engine_stats {
	uint64_t asked, steps;		/* steps asked of provider hosts, and those that were answered */
	uint64_t sends, published, failed, unconfirmed, commits, turns;
	int active, sending;
	int64_t epoch;
};
void engine_stats(struct engine *e, struct engine_stats *ret);

#endif
