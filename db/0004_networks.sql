-- What real networks need: our own client keys, apps registered at instances, facts of a grant, limits of an account, media.

-- ES256 keys by which this installation proves itself to authorization servers (client_id is a metadata address).
CREATE TABLE client_key (
	id TEXT PRIMARY KEY,                    -- kid
	platform TEXT NOT NULL UNIQUE,
	private BLOB NOT NULL,                  -- sealed by the installation's key
	public TEXT NOT NULL,                   -- JWK
	created_at INTEGER NOT NULL
);

-- An app registered at an instance (Mastodon): one per app, mode, host, callback address and scopes (who registered
-- for fewer cannot ask for more).  One that the instance has forgotten is retired as long as a grant names it.
CREATE TABLE instance_client (
	id TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	app_id TEXT NOT NULL REFERENCES app(id),
	live INTEGER NOT NULL,
	platform TEXT NOT NULL,
	host TEXT NOT NULL,
	redirect_uri TEXT NOT NULL,
	scope TEXT NOT NULL,                    -- asked for, space separated
	account_host TEXT NOT NULL,             -- the host that register found, or the one that was named
	secrets BLOB NOT NULL,                  -- sealed bag by the organization's key: client.id, client.secret
	facts TEXT,                             -- JSON: NAME to value, results instance.NAME
	retired_at INTEGER,
	created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX instance_client_host ON instance_client (app_id, live, platform, host, redirect_uri, scope) WHERE retired_at IS NULL;

ALTER TABLE auth_grant ADD COLUMN facts TEXT;              -- JSON: results grant.NAME
ALTER TABLE auth_grant ADD COLUMN asked TEXT;              -- scopes asked for, space separated
ALTER TABLE auth_grant ADD COLUMN instance_client_id TEXT;
CREATE INDEX auth_grant_instance ON auth_grant (instance_client_id) WHERE instance_client_id IS NOT NULL;

ALTER TABLE connection ADD COLUMN limits TEXT;             -- JSON: results limits.NAME
ALTER TABLE connection ADD COLUMN limits_at INTEGER;       -- when they are to be read again
ALTER TABLE connection ADD COLUMN limits_failures INTEGER NOT NULL DEFAULT 0;
CREATE INDEX connection_limits ON connection (limits_at)
	WHERE limits_at IS NOT NULL AND status IN ('active', 'expiring') AND paused = 0;

-- What is being done to a published delivery: its edit, its removal.
CREATE INDEX operation_act ON operation (delivery_id) WHERE status = 'running' AND kind <> 'publish';

CREATE TABLE media (
	id TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	app_id TEXT NOT NULL REFERENCES app(id),
	live INTEGER NOT NULL,
	status TEXT NOT NULL,                   -- uploading | processing | ready | failed
	file TEXT NOT NULL,                     -- name inside DATA/media; it goes only after this row
	filename TEXT,                          -- as uploaded, made harmless
	source_url TEXT,
	kind TEXT,                              -- image | gif | video
	mime TEXT,                              -- by its bytes, not by its word
	bytes INTEGER NOT NULL DEFAULT 0,
	sha256 TEXT,
	width INTEGER, height INTEGER, duration_ms INTEGER, frame_rate_milli INTEGER,
	codec TEXT,
	alt TEXT,
	error TEXT,                             -- JSON
	expires_at INTEGER NOT NULL,            -- may go then, unless a post holds it
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE INDEX media_page ON media (organization_id, app_id, live, id);
CREATE INDEX media_expiry ON media (expires_at);
CREATE INDEX media_source ON media (source_url, created_at) WHERE source_url IS NOT NULL;
CREATE INDEX media_unsettled ON media (updated_at) WHERE status IN ('uploading', 'processing');

-- Posts that hold a media item.
CREATE TABLE media_use (
	media_id TEXT NOT NULL REFERENCES media(id),
	post_id TEXT NOT NULL REFERENCES post(id),
	organization_id TEXT NOT NULL,
	PRIMARY KEY (media_id, post_id)
);
CREATE INDEX media_use_post ON media_use (post_id);
