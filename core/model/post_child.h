/*
 * Children of a delivery: the further items of a thread, each under the one before it, and the first comment under
 * the post itself.  They are deliveries of their own, written with their post and pending until their parent ends.
 *
 * Everything here runs in the transaction that moves the parent: no moment exists in which a parent has ended and its
 * children do not know.
 */
#ifndef MPS_MODEL_POST_CHILD_H
#define MPS_MODEL_POST_CHILD_H

#include "core/model/post_write.h"

/* Below the root delivery of a target. */
void post_child_insert(struct db_conn *c, const struct post_new *p, const struct post_target *t, const char *root_id, int64_t now);
/* The same in place of those that wait there: items keep their ids, further ones come and go. */
void post_child_edit(struct db_conn *c, const struct post_new *p, const struct post_target *t, const char *root_id, int64_t now);

/* The parent is published: its own children are due.  Without a remote id there is nothing to answer to: skipped. */
void post_child_queue(struct db_conn *c, const char *parent_id, const char *organization_id, int64_t now);
/* It will not be published: whatever waits below it is skipped(parent). */
void post_child_skip(struct db_conn *c, const char *parent_id, const char *organization_id, int64_t now);
/* It is tried again: what was skipped for its sake waits again. */
void post_child_restore(struct db_conn *c, const char *parent_id, const char *organization_id, int64_t now);

#endif
