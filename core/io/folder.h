/*
 * Folders that are written whole under another name and then renamed, and what is left of them after a crash.
 */
#ifndef MPS_IO_FOLDER_H
#define MPS_IO_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/rc.h"

/* Made (0700; it must not be there) and opened; at is a folder's descriptor or AT_FDCWD. */
enum rc folder_new(struct cx *cx, int at, const char *path, int *ret);
enum rc folder_open(struct cx *cx, const char *path, int *ret);
bool folder_has(int at, const char *path);		/* anything of that name */

/* What lies at path goes, with what is in it (three floors at most); links are not followed. */
void folder_remove(int at, const char *path);

/* The folder's names are durable; the parent's for the second. */
enum rc folder_sync(struct cx *cx, int fd);
enum rc folder_sync_parent(struct cx *cx, const char *path);

/* RC_FULL unless this much is left on its disk. */
enum rc folder_room(struct cx *cx, int fd, int64_t bytes);
bool folder_same_disk(int a, int b);

/* A small file, whole: made exclusively (0600) and durable, but for its name; read with a ceiling. */
enum rc folder_write(struct cx *cx, int at, const char *name, const void *bytes, size_t n);
enum rc folder_read(struct cx *cx, int at, const char *name, struct buf *ret);

#endif
