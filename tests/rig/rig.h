/*
 * The rig: an open store with its engine, an organization with accounts at a sandbox platform, and the sandbox's
 * ledger as the oracle.  Programs of tests/crash and the engine's unit test stand on it.
 *
 * The one thing to know: nothing here fails quietly.  A rig that cannot be set up ends the program (rig_die), because
 * a test that went on without it would pass for the wrong reason.
 */
#ifndef MPS_TESTS_RIG_H
#define MPS_TESTS_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/id.h"
#include "core/engine/engine.h"
#include "core/model/installation.h"

__attribute__((noreturn, format(printf, 3, 4))) void rig_die(const char *file, int line, const char *words, ...);
#define MUST(cond) do { if (!(cond)) rig_die(__FILE__, __LINE__, "%s", #cond); } while (0)

/* ---- the far side ------------------------------------------------------------------------------------------ */

/* A call to the sandbox: a form or (starting with '{') JSON is posted, NULL gets.  Gives the status; where a
 * redirect points goes into location.  0: nobody answered. */
long rig_call(const char *url, const char *path, const char *body, struct buf *out, char *location, size_t n);
void rig_control(const char *url, const char *path, const char *json);	/* POST that must succeed */

struct rig_entry { char post_id[ID_MAX], parent_id[ID_MAX], text[512]; };	/* parent_id "": it stands alone */
/* Ledger rows whose text holds the words, oldest first; gives their number, also beyond max. */
int rig_ledger(const char *url, const char *words, struct rig_entry *ret, int max);
/* How often the post that was first published with these words was edited since; its last text into text. */
int rig_edits(const char *url, const char *words, char text[512]);
int64_t rig_stat(const char *url, const char *path);		/* a number of /control/stats: "requests.POST /v1/posts" */

/* ---- our side ---------------------------------------------------------------------------------------------- */

struct rig {
	char folder[200], sandbox_url[64];
	struct conf conf;
	struct installation store;
	struct platforms *platforms;
	struct engine *engine;
	char organization[ID_MAX], app[ID_MAX], end_user[ID_MAX];	/* the last one made; connect uses it */
};

const char *rig_build(void);			/* the folder of the build that this program belongs to */
void rig_begin(struct rig *r, const char *name);	/* a folder of this name, the sandbox in this process, rig_conf */
void rig_conf(struct rig *r);			/* fills conf with what tests want; change it before rig_open */
void rig_open(struct rig *r);			/* store and engine in r->folder; makes an organization if there is none */
void rig_close(struct rig *r);
void rig_organization(struct rig *r, const char *name);
void rig_write(struct rig *r, db_write_fn *fn, void *arg);
bool rig_try(struct rig *r, db_write_fn *fn, void *arg);

/* Connects the sandbox account `name` of a type; the connection's id into out. */
void rig_connect(struct rig *r, const char *name, const char *type, char out[ID_MAX]);
/* n more connections on the grant of one: what 100 pages of one login are. */
void rig_clone(struct rig *r, const char *connection, int n);

struct rig_post { const char *connection, *text, *content; int64_t due; char post[ID_MAX], delivery[ID_MAX]; };
enum rc rig_post_write(struct cx *cx, struct db_conn *c, void *arg);	/* a closure; arg is a rig_post; due 0: now, content NULL: none */
/* A post with `items` further items of a thread and maybe a comment, whose texts are the post's with " 2", " 3" and " c". */
struct rig_thread { const char *connection, *text; int items; bool comment; char post[ID_MAX], delivery[ID_MAX]; };
enum rc rig_thread_write(struct cx *cx, struct db_conn *c, void *arg);
void rig_post(struct rig *r, const char *connection, const char *text, struct rig_post *ret);

/* New content for what is published, as the API starts it: its text; the media stay. */
struct rig_edit { const char *delivery, *text; char operation[ID_MAX]; };
enum rc rig_edit_write(struct cx *cx, struct db_conn *c, void *arg);

/* Waits until a query with one text parameter gives a text; 20 s at most, then false and the last text into got. */
bool rig_wait(struct rig *r, const char *sql, const char *id, const char *wanted, char got[64]);

#endif
