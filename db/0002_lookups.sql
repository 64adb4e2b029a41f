-- Indices for questions that read the whole table without them: the children of a delivery, asked at every end of
-- one; what a start takes over; the lease of a refresh.  All are partial and small: only what is open stands in them.
-- A query on delivery_open names the same list of states, in the same order, beside the state that it wants.

CREATE INDEX delivery_parent ON delivery (parent_delivery_id, ordinal) WHERE parent_delivery_id IS NOT NULL;
CREATE INDEX delivery_open ON delivery (state)
	WHERE state IN ('processing', 'committing', 'awaiting_platform', 'awaiting_user', 'blocked', 'unconfirmed');
CREATE INDEX auth_grant_lease ON auth_grant (refresh_operation_id) WHERE refresh_operation_id IS NOT NULL;
