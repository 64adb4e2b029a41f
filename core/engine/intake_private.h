/*
 * Private to core/engine/intake*.c: what is on its way in, what waits to be fetched, and the threads.
 */
#ifndef MPS_ENGINE_INTAKE_PRIVATE_H
#define MPS_ENGINE_INTAKE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/engine/intake.h"
#include "core/io/mediafile.h"
#include "core/io/probe.h"

#define INTAKE_FETCHERS 4

/* In the list from intake_begin to intake_drop, so that no sweep takes its file for one that nobody names. */
struct upload {
	struct upload *next, **back;
	struct intake *in;
	struct mediafile *file;
	char id[ID_MAX], organization_id[ID_MAX];
	int64_t reserved, before;	/* bytes that count against the quota; what the rows had at its begin */
};

/* A row that waits for its bytes, or is being fetched. */
struct fetch {
	struct fetch *next;
	bool taken;			/* by a thread */
	char id[ID_MAX], organization_id[ID_MAX], app_id[ID_MAX];
	int64_t live;
	char *url;
};

struct intake {
	struct db *db;
	const struct conf *conf;
	int folder;
	struct probe *probe;
	pthread_mutex_t lock;
	pthread_cond_t work, settled;	/* work: also the end, for all threads */
	struct upload *uploads;
	int upload_count;
	struct fetch *fetches;		/* oldest first */
	uint64_t settles;
	atomic_bool stop;
	pthread_t fetchers[INTAKE_FETCHERS], sweeper;
	int fetcher_count;
	bool sweeps;
};

/* The file of a row that is there already. */
enum rc intake_begin_as(struct cx *cx, struct intake *in, const struct owner *o, const char *id, int64_t expected, struct upload **ret);

/* intake_fetch.c */
void *intake_fetcher(void *arg);
/* The row fails, with its event; false if it could not be written, or was settled by somebody else meanwhile. */
bool intake_fail(struct intake *in, const struct media *m, const char *code, const char *message);
bool intake_has(struct intake *in, const char *id);	/* waits or is fetched, or is being uploaded */

/* intake_sweep.c */
void intake_sweep_start(struct intake *in);		/* what an older server left */
void *intake_sweeper(void *arg);

/* At most ms by the monotonic clock; under the lock. */
void intake_nap(struct intake *in, pthread_cond_t *what, int ms);

#endif
