/*
 * What all deliveries of a post follow together: the derived status, and children that wait for a parent.
 * (Creating and editing posts: core/model/post_write.h.)
 */
#ifndef MPS_MODEL_POST_H
#define MPS_MODEL_POST_H

#include <stdbool.h>

#include "core/io/db.h"

/* Sets the status of the delivery's post from all its deliveries; emits post.* when it changes. */
void post_derive(struct db_conn *c, const char *delivery_id, int64_t now);
void post_derive_id(struct db_conn *c, const char *post_id, int64_t now);

/* An event of the post as it stands now; before (its status) may be NULL. */
void post_announce(struct db_conn *c, const char *post_id, const char *type, const char *before, int64_t now);

/* After a parent ended: the next ordinal is queued (published) or all its waiting children are skipped. */
void post_children(struct db_conn *c, const char *delivery_id, bool published, int64_t now);

#endif
