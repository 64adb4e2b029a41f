/*
 * Applies db/NNNN_name.sql in order, each in one transaction with its row in table migration (number, name,
 * sha256, applied_at).  The files are embedded in the binary.  A store that is newer than the program, or a
 * landed file whose text changed, is refused by name.
 */
#ifndef MPS_IO_MIGRATE_H
#define MPS_IO_MIGRATE_H

#include <stdint.h>

#include "core/base/embed.h"
#include "core/io/db.h"

enum rc migrate_run(struct cx *cx, struct db *db, int *ret_applied);

/* The number of the newest that was applied. */
int64_t migrate_newest(struct db_conn *c);

/* The same with other files than the embedded ones: for tests. */
enum rc migrate_files(struct cx *cx, struct db *db, const struct embed *files, int *ret_applied);

#endif
