/*
 * What making a backup and restoring one share; nobody else includes it.
 */
#ifndef MPS_MODEL_BACKUP_PARTS_H
#define MPS_MODEL_BACKUP_PARTS_H

#include "core/base/json.h"
#include "core/model/backup.h"

#define BACKUP_FORMAT 1
#define BACKUP_COPY "copy"		/* in the data folder: the copy while it is sealed */
#define BACKUP_RESTORE "restore"	/* in the data folder: the store that is being restored */
#define BACKUP_STORE "mypostshare.db"
#define BACKUP_PATH 4096

/* The place of a sealed file: which backup, which file. */
struct backup_place { char text[256]; };
struct backup_place backup_place(const char *backup_id, const char *file);

enum rc backup_manifest_write(struct cx *cx, struct vault *v, int folder, const struct backup_manifest *m);
enum rc backup_manifest_read(struct cx *cx, struct vault *v, const char *folder, int fd, struct backup_manifest *ret);

/* A sealed file of lines, each one JSON object. */
enum rc backup_line_add(struct cx *cx, struct sealfile *f, const struct buf *line);
/* fn for each; then the facts are compared. */
typedef enum rc backup_line_fn(struct cx *cx, struct jv line, void *arg);
struct backup_listed { struct vault *vault; int folder; const char *backup_id, *name; const struct sealfile_facts *facts; };
enum rc backup_lines_read(struct cx *cx, const struct backup_listed *l, backup_line_fn *fn, void *arg);

bool backup_facts_equal(const struct sealfile_facts *a, const struct sealfile_facts *b);
enum rc backup_path(struct cx *cx, char out[BACKUP_PATH], const char *folder, const char *name);

/* restore_hold.c: the store of a moment in the past learns that time went by without it. */
enum rc restore_hold(struct cx *cx, struct db *db, int64_t now, struct backup_restored *ret);

#endif
