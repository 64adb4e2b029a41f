/*
 * Keys of callers: see auth.h.  Every request reads the key's row, so a revoked key is refused from the next
 * request on.
 *
 * That a key was used is written at most once a minute for each key, without the caller waiting for it.
 */
#include "core/api/auth.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/model/apikey.h"

#define USED_EVERY_MS 60000
#define USED_SLOTS 1024

/* Two keys in one slot push each other out, and are then written more often than they must be. */
static struct { char id[ID_MAX]; int64_t at; } used[USED_SLOTS];
static pthread_mutex_t used_lock = PTHREAD_MUTEX_INITIALIZER;

struct use { char id[ID_MAX], organization_id[ID_MAX]; int64_t at; };

static bool use_new(const char *id, int64_t now)
{
	uint32_t slot = 2166136261u;
	bool fresh;

	for (const char *c = id; *c; c++)
		slot = (slot ^ (uint8_t)*c) * 16777619u;
	slot %= USED_SLOTS;
	pthread_mutex_lock(&used_lock);
	fresh = strcmp(used[slot].id, id) != 0 || now - used[slot].at >= USED_EVERY_MS || now < used[slot].at;
	if (fresh) {
		snprintf(used[slot].id, sizeof used[slot].id, "%s", id);
		used[slot].at = now;
	}
	pthread_mutex_unlock(&used_lock);
	return fresh;
}

static enum rc use_write(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct use *u = arg;

	apikey_used(c, u->organization_id, u->id, u->at);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static void use_done(enum rc rc, const char *words, void *arg)
{
	if (rc != RC_OK)
		log_warn("auth", "when a key was used could not be stored: %s", words);
	free(arg);
}

static void use_note(struct api *api, const struct apikey *k, int64_t now)
{
	struct use *u;

	if (!use_new(k->id, now))
		return;
	u = malloc(sizeof *u);
	if (u == NULL)
		return;
	snprintf(u->id, sizeof u->id, "%s", k->id);
	snprintf(u->organization_id, sizeof u->organization_id, "%s", k->organization_id);
	u->at = now;
	db_write_async(api->db, use_write, use_done, u);
}

enum rc auth_key(struct cx *cx, struct api *api, struct arena *a, const char *key, const char *address, struct identity *ret)
{
	DB_READ_AUTO struct db_conn *c = db_take(api->db);
	int64_t now = clock_now();
	struct apikey k;
	enum rc rc = apikey_check(cx, c, api->vault, key, now, a, &k);

	(void)address;
	if (rc != RC_OK)
		return rc;
	use_note(api, &k, now);
	*ret = (struct identity){
		.owner = {.organization_id = k.organization_id, .app_id = k.app_id, .live = k.live},
		.key_id = k.id, .scopes = k.scopes,
	};
	return RC_OK;
}
