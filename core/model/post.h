/*
 * What all deliveries of a post follow together: the derived status,.  (Creating and editing posts: core/model/post_write.h;
 * children that wait for a parent: core/model/post_child.h.)
 */
#ifndef MPS_MODEL_POST_H
#define MPS_MODEL_POST_H

#include <stdbool.h>

#include "core/io/db.h"

/* Before a SELECT: the deliveries of post ?1 of organization ?2 as `tree`; in their order each root, then its thread,
 * then its comment. */
#define POST_TREE "WITH RECURSIVE tree (delivery, root, level, place) AS (SELECT id, ordinal, 0, 0 FROM delivery WHERE post_id = ?1" \
	" AND organization_id = ?2 AND parent_delivery_id IS NULL UNION ALL SELECT d.id, t.root, t.level + 1, d.ordinal FROM delivery d" \
	" JOIN tree t ON d.parent_delivery_id = t.delivery WHERE d.organization_id = ?2)"
#define POST_TREE_ORDER "root, place"

/* Sets the status of the delivery's post from all its deliveries; emits post.* when it changes. */
void post_derive(struct db_conn *c, const char *delivery_id, int64_t now);
void post_derive_id(struct db_conn *c, const char *post_id, int64_t now);

/* An event of the post as it stands now; before (its status) may be NULL. */
void post_announce(struct db_conn *c, const char *post_id, const char *type, const char *before, int64_t now);

#endif
