/*
 * Inside of hostproc: the processes, the queue, the check of answers.  Not for other modules.
 *
 * A host is a provider as the engine knows it; a proc is one process that runs it.  A host has one serving proc
 * (none while refused, paused or between a crash and the next step) and, for 2 s after a reload, one that is
 * leaving, and one that is starting.  Jobs wait in the host until they are written to the proc, and go back when the proc dies.
 */
#ifndef MPS_ENGINE_HOSTWIRE_H
#define MPS_ENGINE_HOSTWIRE_H

#include "core/base/frame.h"
#include "core/engine/hostproc.h"

#define HOST_OUTSTANDING 32
#define HOST_BIG_OUTSTANDING 4
#define HOST_BIG (64 * 1024)
#define HOST_STEP_MS 2000
#define HOST_LOAD_MS 5000
#define HOST_LEAVE_MS 2000
#define HOST_CRASHES 3
#define HOST_CRASH_WINDOW_MS 60000
#define HOST_PAUSE_MS 300000
#define HOST_WORDS 4096

struct job {
	struct job *next;
	uint64_t operation;
	struct buf frame;
	host_done_fn *done;
	void *arg;
	int crashes;
};

struct jobs { struct job *first, *last; int count; };

struct proc {
	int pid, pidfd, sock, err;
	struct buf in, out, words;	/* words: first 4 KiB of stderr */
	struct jobs sent;		/* the first one is the head */
	int big;
	int64_t head_since;		/* clock_mono when the head became the head */
	int64_t born, leave_by;
	bool greeted, described, dead;
	char cause[160];		/* why we ended it, or "" */
};

/* A process that is to serve, and is being loaded. */
struct start {
	struct host_spec spec;		/* id and file are ours */
	struct proc *proc;
	int file;
	int64_t by;
};

struct host {
	struct host *next;
	struct host_info info;		/* its texts are ours */
	int file;			/* sealed copy of the .so, or -1 */
	struct proc *proc, *leaving;
	struct start *start;
	struct jobs waiting;
	bool alone;			/* after a crash: the head by itself */
	int64_t crash_at[HOST_CRASHES];	/* of crashes by different operations, newest first */
	uint64_t crash_by[HOST_CRASHES];
	int64_t paused_until;
};

struct hosts {
	int program;
	struct host *first;
	struct jobs lost;		/* steps for an id that is not there */
	unsigned news;
};

/* hostspawn.c */
enum rc host_file_open(struct cx *cx, const struct host_spec *spec, int *ret_memfd);
enum rc proc_spawn(struct cx *cx, int program, int file, const char *id, struct proc **ret);
bool proc_reap(struct proc *p, char *out, size_t size);		/* true once it has ended: how, in words */
void proc_kill(struct proc *p);
void proc_drop(struct proc *p);		/* kills and waits if need be; frees */
void proc_listen(struct proc *p);	/* collects words on stderr */

/* hostproc.c */
struct host *host_of(struct hosts *hs, const struct host_spec *spec);	/* made if it is not there */
void host_info_free(struct host_info *i);
char *host_words(const char *text);	/* a copy without what no terminal should see; the caller frees */
void host_say(struct host *h, const char *words);
void host_fault(struct host *h, const char *words);
void host_refused(struct host *h, const char *words);

/* hoststart.c */
void start_turn(struct hosts *hs, struct host *h, int64_t now);
void start_drop(struct start *s);

/* hostwire.c */
void jobs_push(struct jobs *q, struct job *j);
struct job *jobs_pop(struct jobs *q);
void job_drop(struct job *j);
void host_pump(struct hosts *hs, struct host *h, int64_t now);		/* writes what may be written; calls nobody */
void host_turn(struct hosts *hs, struct host *h, int64_t now);
void host_clear(struct host *h, enum host_outcome outcome, const char *words);	/* answers all waiting jobs */
int64_t host_deadline(const struct host *h);	/* clock_mono of the next thing to do, -1 none */
bool proc_read(struct proc *p);		/* what the socket has, without waiting; false: it has ended */
bool proc_frame(struct proc *p, struct frame_head *ret, const char **ret_records);	/* the first whole frame */
void proc_frame_done(struct proc *p, const struct frame_head *head);
void host_pause(struct host *h, int64_t now, const char *words);
void proc_finish(struct proc *p);	/* the end of its socket was seen: a moment for its exit status, then it is ended */

/* hostcheck.c: NULL if the records are a well-formed action, else what is wrong. */
const char *action_check(const char *data, size_t len);

/* The value of a REC_MADE, in parts that lie in it. */
enum made_kind { MADE_HMAC, MADE_ES256, MADE_HS256 };
struct made {
	enum made_kind kind;
	const char *encoding;		/* of a MADE_HMAC: hex base64 base64url */
	const char *key;		/* handle */
	size_t key_n;
	const char *text;		/* message or, by_handle, the handle of it; claims */
	size_t text_n;
	bool by_handle;
	int64_t seconds;		/* of a JWT */
};
bool made_read(const char *value, size_t n, struct made *ret);

#endif
