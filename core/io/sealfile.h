/*
 * Sealed files: what leaves the data folder.  A file has a key of its own, wrapped by the master key in its head, and is
 * a stream of sealed pieces, the last of which says so.  Its place (which backup, which file) is bound into the
 * key, so a file that was changed, cut, or put in another's stead does not open.
 */
#ifndef MPS_IO_SEALFILE_H
#define MPS_IO_SEALFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/rc.h"
#include "core/io/vault.h"

struct sealfile;
struct sealfile_facts { int64_t bytes; char sha256[65]; };	/* of the file as it lies there */

/* Made exclusively, 0600.  place is any text; name is a name in the folder. */
enum rc sealfile_new(struct cx *cx, struct vault *v, int folder, const char *name, const char *place, struct sealfile **ret);
enum rc sealfile_add(struct cx *cx, struct sealfile *f, const void *bytes, size_t n);
enum rc sealfile_finish(struct cx *cx, struct sealfile *f, struct sealfile_facts *ret);	/* durable, but for its name */

enum rc sealfile_open(struct cx *cx, struct vault *v, int folder, const char *name, const char *place, struct sealfile **ret);
/* Up to room bytes; *ret_n is 0 at the end, and only then the file is known to be whole: ret_facts (may be NULL) is filled. */
enum rc sealfile_read(struct cx *cx, struct sealfile *f, void *out, size_t room, size_t *ret_n, struct sealfile_facts *ret_facts);

void sealfile_drop(struct sealfile *f);		/* closes it, wipes its key; the file stays.  NULL is nothing */
void sealfile_drop_auto(struct sealfile **f);
#define SEALFILE_AUTO __attribute__((cleanup(sealfile_drop_auto)))

#endif
