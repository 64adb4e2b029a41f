/*
 * Provider hosts: one child process per .so.  Spawned, watched, restarted and paused here; the engine's
 * thread only.
 *
 * A step goes out as a FRAME_STEP and comes back as a FRAME_ACTION whose every byte was checked as hostile
 * input: well-formed records, known kinds, exactly one verb, sizes within limits.  Steps of one host are
 * answered in order.  After a crash the head is tried again alone; three crashes on one operation give
 * HOST_PARKED for it, three in 60 s pause the provider (its waiting steps get HOST_PAUSED).
 */
#ifndef MPS_ENGINE_HOSTPROC_H
#define MPS_ENGINE_HOSTPROC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/rc.h"
#include "core/io/http.h"

enum host_outcome { HOST_ACTION, HOST_PARKED, HOST_PAUSED };

/* action is the records of the FRAME_ACTION (without its head), valid during the call. */
typedef void host_done_fn(void *arg, enum host_outcome outcome, const char *action, size_t len, const char *words);

struct hosts;
struct cx;

/* What was loaded or refused; words tell what was wanted, what was found and the fix. */
struct host_info {
	const char *id, *file, *version, *describe;	/* describe: descriptor JSON; NULL while refused */
	uint32_t abi_minor;
	const char *sandbox;	/* level reached */
	bool loaded, paused;
	bool starting;		/* a new process of it is being loaded */
	const char *words;	/* why refused, paused, or not replaced by its last reload; "" otherwise */
	const char *fault;	/* what it did wrong last, also after that is over; "" nothing yet */
	int64_t fault_at, paused_until;		/* by clock_now; 0: never, not paused */
	int faults;		/* how often it did wrong; crashes are among them */
	int crashes, pid;
	int64_t rss_kb;
};

struct host_spec {
	const char *id;		/* expected provider id: file name without .so unless the ini says otherwise */
	const char *file;	/* path of the .so */
	const char *sha256;	/* pin in hex, or NULL */
	/* Last word before the new host serves: anything but RC_OK refuses it, by the words in cx.  NULL: no objection. */
	enum rc (*accept)(struct cx *cx, const struct host_info *info, void *arg);
	/* The end of a hosts_start: it serves, or is refused by the words in cx.  May be NULL. */
	void (*started)(struct cx *cx, const char *id, enum rc rc, void *arg);
	void *arg;
};

/* program: path of mypostshare-host, opened once.  The folder of every .so must be owned by root or us and
 * writable by nobody else; a bad provider is listed as refused and never stops the core. */
enum rc hosts_open(struct cx *cx, const char *program, struct hosts **ret);
void hosts_close(struct hosts *hs);

/* Starts a new process of a provider beside the one that serves, if there is one, and returns.  Anything but RC_OK: refused
 * at once.  Else `started` is called later, from hosts_turn or hosts_settle, at most 5 s from now. */
enum rc hosts_start(struct cx *cx, struct hosts *hs, const struct host_spec *spec);
void hosts_settle(struct hosts *hs);	/* waits for all that are starting */

/* Loads one provider (starts its host, waits at most 5 s for hello and describe).  The result stands in
 * hosts_info; the rc is OK if it was loaded. */
enum rc hosts_load(struct cx *cx, struct hosts *hs, const struct host_spec *spec);

/* Starts the new host beside the old, checks it, swaps; the old one answers its queue (at most 2 s).  A
 * failed reload leaves the old one serving and says why.  An id without a host is loaded. */
enum rc hosts_reload(struct cx *cx, struct hosts *hs, const struct host_spec *spec);

int hosts_count(const struct hosts *hs);
const struct host_info *hosts_info(struct hosts *hs, int index);
const struct host_info *hosts_find(struct hosts *hs, const char *id);

/* What changed since it was last asked.  RESUMED: a pause is over. */
#define HOSTS_CHANGED 1u
#define HOSTS_RESUMED 2u
unsigned hosts_news(struct hosts *hs);

/* The provider did something that only the engine could see to be wrong. */
void hosts_fault(struct hosts *hs, const char *id, const char *words);

/* Queues a step; frame is a whole FRAME_STEP made with frame_begin/frame_end, copied.  done is called from
 * hosts_turn, once. */
void hosts_step(struct hosts *hs, const char *id, uint64_t operation, const struct buf *frame, host_done_fn *done, void *arg);

/* Descriptors to wait for (at most max; returns how many), the next deadline in ms (-1 none), and the work. */
unsigned hosts_waits(struct hosts *hs, struct http_wait *waits, unsigned max);
int hosts_timeout(struct hosts *hs);
void hosts_turn(struct hosts *hs);

#endif
