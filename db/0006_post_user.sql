-- The posts of one person, the newest first: the question that customers ask most, and without this index the one that
-- reads every post of the organization when the person has few.  Posts to accounts of several persons belong to none.

CREATE INDEX post_user ON post (end_user_id, id) WHERE end_user_id IS NOT NULL;
CREATE INDEX post_shared ON post (organization_id, app_id, live, id) WHERE end_user_id IS NULL;
