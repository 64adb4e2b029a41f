/*
 * A file of the media folder while it is written: made exclusively, readable by us alone, hashed on the way, and
 * gone again unless somebody keeps it.
 *
 * The one thing to know: it is durable (file and folder) when mediafile_finish has returned, and only then may a
 * row name it.
 */
#ifndef MPS_IO_MEDIAFILE_H
#define MPS_IO_MEDIAFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/rc.h"

struct mediafile;

#define MEDIAFILE_SPARE ((int64_t)64 << 20)	/* this much of the disk is left to the store */

/* DATA/media, made if it is missing; *ret is a descriptor of it. */
enum rc mediafile_folder(struct cx *cx, const char *data_folder, int *ret);
/* RC_FULL when the disk has not this much and MEDIAFILE_SPARE. */
enum rc mediafile_room(struct cx *cx, int folder, int64_t bytes);

enum rc mediafile_new(struct cx *cx, int folder, const char *name, struct mediafile **ret);
enum rc mediafile_add(struct cx *cx, struct mediafile *f, const void *bytes, size_t n);
int64_t mediafile_bytes(const struct mediafile *f);
/* Nothing is added after it.  *ret_fd reads the file and is the mediafile's own. */
enum rc mediafile_finish(struct cx *cx, struct mediafile *f, char sha256[65], int *ret_fd);
/* Ends it: the file stays, or goes.  NULL is nothing. */
void mediafile_drop(struct mediafile *f, bool keep);

void mediafile_remove(int folder, const char *name);	/* one that is not there is removed already */
/* Every name in the folder whose file was not written for so long. */
void mediafile_each(int folder, int64_t older_ms, int64_t now, void (*fn)(void *arg, const char *name), void *arg);

#endif
