-- The first store: organizations and their keys, the people they serve, connections, posts and their deliveries,
-- operations with intents and attempts, events, idempotency.  Times are milliseconds UTC, flags 0 or 1, live is
-- the mode of the key that made the row (1 live, 0 test) and part of every unique index.  Sealed columns are BLOB.

-- One row per installation: which process owns the engine.  Epochs only grow.
CREATE TABLE server (
	id TEXT PRIMARY KEY,                    -- 'engine'
	epoch INTEGER NOT NULL,
	started_at INTEGER NOT NULL,
	stopped_at INTEGER                      -- NULL while it runs: tells an unclean stop
);

CREATE TABLE organization (
	id TEXT PRIMARY KEY,
	name TEXT NOT NULL,
	created_at INTEGER NOT NULL
);

-- Wrapped data keys: installation (both owners NULL), organization, or end user.
CREATE TABLE data_key (
	id TEXT PRIMARY KEY,
	organization_id TEXT REFERENCES organization(id),
	end_user_id TEXT,
	wrapped BLOB NOT NULL,
	master_key_id TEXT NOT NULL,
	created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX data_key_owner ON data_key (organization_id, end_user_id);

CREATE TABLE app (
	id TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	name TEXT NOT NULL,
	credential_mode TEXT NOT NULL DEFAULT 'customer',    -- customer | managed: default of connect sessions
	redirect_secret BLOB,                   -- sealed by the organization's key: signs final redirects
	created_at INTEGER NOT NULL
);
CREATE INDEX app_organization ON app (organization_id, id);

CREATE TABLE api_key (
	id TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	app_id TEXT NOT NULL REFERENCES app(id),
	live INTEGER NOT NULL,
	key_id TEXT NOT NULL UNIQUE,            -- the 8 characters in the key's text
	mac BLOB NOT NULL,                      -- keyed BLAKE2b of the whole text
	name TEXT NOT NULL,
	scopes TEXT NOT NULL,                   -- space separated, 'all' for every scope
	expires_at INTEGER,
	revoked_at INTEGER,
	last_used_at INTEGER,
	created_at INTEGER NOT NULL
);
CREATE INDEX api_key_app ON api_key (organization_id, app_id, id);

CREATE TABLE redirect_url (
	id TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	app_id TEXT NOT NULL REFERENCES app(id),
	url TEXT NOT NULL,
	created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX redirect_url_exact ON redirect_url (app_id, url);

-- OAuth client of an app at a platform.  Versioned: a grant remembers which one issued it.
CREATE TABLE credential (
	id TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	app_id TEXT NOT NULL REFERENCES app(id),
	platform TEXT NOT NULL,
	version INTEGER NOT NULL,
	mode TEXT NOT NULL,                     -- customer | managed
	client_id TEXT,
	client_secret BLOB,                     -- sealed by the organization's key
	scopes TEXT,                            -- JSON list, NULL: the descriptor's
	extra TEXT,                             -- JSON object
	status TEXT NOT NULL DEFAULT 'active',  -- active | deleted
	verified_at INTEGER,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX credential_version ON credential (app_id, platform, version);

CREATE TABLE end_user (
	id TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	app_id TEXT NOT NULL REFERENCES app(id),
	live INTEGER NOT NULL,
	external_id TEXT NOT NULL,
	display_name TEXT,
	email TEXT,
	timezone TEXT,
	metadata TEXT,                          -- JSON object
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX end_user_external ON end_user (app_id, live, external_id);
CREATE INDEX end_user_page ON end_user (organization_id, app_id, live, id);

-- One authorization: tokens and what belongs to them.  Made with its connect session.
CREATE TABLE auth_grant (
	id TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	app_id TEXT NOT NULL REFERENCES app(id),
	live INTEGER NOT NULL,
	end_user_id TEXT NOT NULL REFERENCES end_user(id),
	platform TEXT NOT NULL,
	provider TEXT NOT NULL,
	credential_id TEXT,                     -- NULL: managed by the ini, or none needed
	account_host TEXT,                      -- frozen at connect: PDS, instance
	secrets BLOB,                           -- sealed bag: access, refresh, code, code_verifier, field.*, targets.*
	scopes TEXT,                            -- granted, space separated
	expires_at INTEGER,                     -- of the access token; NULL: none known
	refreshable INTEGER NOT NULL DEFAULT 0,
	token_version INTEGER NOT NULL DEFAULT 0,
	refresh_at INTEGER,                     -- when to refresh proactively; the due row of refreshes
	refresh_operation_id TEXT,              -- the lease: one refresh at a time
	refresh_failures INTEGER NOT NULL DEFAULT 0,
	refreshed_at INTEGER,
	denied_at INTEGER,                      -- first of two 401s where nothing can be refreshed
	status TEXT NOT NULL,                   -- new | active | reauth_required | revoked | closed
	status_reason TEXT,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE INDEX auth_grant_refresh ON auth_grant (refresh_at) WHERE refresh_at IS NOT NULL;
CREATE INDEX auth_grant_user ON auth_grant (end_user_id);

CREATE TABLE connection (
	id TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	app_id TEXT NOT NULL REFERENCES app(id),
	live INTEGER NOT NULL,
	end_user_id TEXT NOT NULL REFERENCES end_user(id),
	grant_id TEXT NOT NULL REFERENCES auth_grant(id),
	platform TEXT NOT NULL,
	provider TEXT NOT NULL,
	remote_id TEXT NOT NULL,
	target TEXT,                            -- "targets.N": which token of the grant; NULL: the grant's own
	username TEXT,
	display_name TEXT,
	avatar_url TEXT,
	account_type TEXT,
	status TEXT NOT NULL,                   -- active | expiring | reauth_required | revoked | disconnected
	status_reason TEXT,
	paused INTEGER NOT NULL DEFAULT 0,
	scopes TEXT,
	missing TEXT,                           -- permissions asked for and not granted, JSON list
	label TEXT,
	tags TEXT,                              -- JSON list
	metadata TEXT,                          -- JSON object
	checked_at INTEGER,
	published_at INTEGER,
	disconnected_at INTEGER,
	version INTEGER NOT NULL DEFAULT 1,     -- ETag
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX connection_account ON connection (app_id, live, end_user_id, platform, remote_id);
CREATE INDEX connection_page ON connection (organization_id, app_id, live, id);
CREATE INDEX connection_grant ON connection (grant_id);

CREATE TABLE connect_session (
	id TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	app_id TEXT NOT NULL REFERENCES app(id),
	live INTEGER NOT NULL,
	end_user_id TEXT NOT NULL REFERENCES end_user(id),
	platform TEXT NOT NULL,
	provider TEXT NOT NULL,
	status TEXT NOT NULL,                   -- pending opened authorizing selecting completed failed expired canceled denied
	token_mac BLOB NOT NULL UNIQUE,         -- keyed BLAKE2b of the path token
	browser_mac BLOB,                       -- of the cookie of the browser that opened it
	state_mac BLOB UNIQUE,                  -- of the OAuth state; NULL once used
	issuer TEXT,                            -- compared with iss
	grant_id TEXT REFERENCES auth_grant(id),
	operation_id TEXT,                      -- what the browser waits for
	redirect_url TEXT NOT NULL,
	client_state TEXT,
	reconnect_connection_id TEXT,
	allow_account_change INTEGER NOT NULL DEFAULT 0,
	credential_mode TEXT NOT NULL,
	bind_browser INTEGER NOT NULL DEFAULT 1,
	single_use INTEGER NOT NULL DEFAULT 1,
	permissions TEXT,                       -- JSON list
	branding TEXT, platform_options TEXT, tags TEXT, metadata TEXT,	-- JSON
	locale TEXT,
	account TEXT,                           -- JSON: what identify found
	choices TEXT,                           -- JSON: what targets found, for the picker
	connection_ids TEXT,                    -- JSON list
	error TEXT,                             -- JSON
	open_count INTEGER NOT NULL DEFAULT 0,
	opened_at INTEGER,
	completed_at INTEGER,
	expires_at INTEGER NOT NULL,
	created_at INTEGER NOT NULL
);
CREATE INDEX connect_session_page ON connect_session (organization_id, app_id, live, id);
CREATE INDEX connect_session_open ON connect_session (expires_at) WHERE status IN ('pending', 'opened', 'authorizing', 'selecting');

CREATE TABLE post (
	id TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	app_id TEXT NOT NULL REFERENCES app(id),
	live INTEGER NOT NULL,
	end_user_id TEXT,
	external_post_id TEXT,
	status TEXT NOT NULL,                   -- derived from the deliveries, in the same transaction
	mode TEXT NOT NULL,                     -- now | schedule | draft
	text TEXT,
	body TEXT NOT NULL,                     -- the request as it was accepted, JSON
	scheduled_at INTEGER,
	wall_text TEXT, zone TEXT,
	max_late_ms INTEGER NOT NULL,
	on_missed TEXT NOT NULL,                -- publish | skip | hold
	stop_on_failure INTEGER NOT NULL DEFAULT 0,
	tags TEXT, metadata TEXT,               -- JSON
	content_version INTEGER NOT NULL DEFAULT 1,     -- ETag; part of every claim
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX post_external ON post (app_id, live, external_post_id) WHERE external_post_id IS NOT NULL;
CREATE INDEX post_page ON post (organization_id, app_id, live, id);
CREATE INDEX post_status ON post (organization_id, app_id, live, status, id);

-- due_at is the schedule and the only timer: queued (claim), awaiting_platform (poll), unconfirmed (look).
CREATE TABLE delivery (
	id TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	app_id TEXT NOT NULL,
	live INTEGER NOT NULL,
	post_id TEXT NOT NULL REFERENCES post(id),
	parent_delivery_id TEXT,
	ordinal INTEGER NOT NULL DEFAULT 0,
	kind TEXT NOT NULL DEFAULT 'post',      -- post | thread | first_comment
	connection_id TEXT NOT NULL REFERENCES connection(id),
	platform TEXT NOT NULL,
	provider TEXT NOT NULL,
	target_id TEXT,
	text TEXT,
	content TEXT NOT NULL,                  -- JSON: link, media, options, resolved for this target
	content_hash TEXT NOT NULL,             -- normalized, for duplicatePolicy
	content_version INTEGER NOT NULL DEFAULT 1,
	state TEXT NOT NULL,
	reason TEXT,
	scheduled_at INTEGER,
	due_at INTEGER,
	deadline_at INTEGER,                    -- when it counts as overdue
	overdue INTEGER NOT NULL DEFAULT 0,
	late_after INTEGER,                     -- due_at of the schedule + max late
	on_missed TEXT NOT NULL,
	owner_epoch INTEGER NOT NULL DEFAULT 0,
	claim INTEGER NOT NULL DEFAULT 0,
	round INTEGER NOT NULL DEFAULT 1,
	retries INTEGER NOT NULL DEFAULT 0,     -- transient failures since the last progress
	looks INTEGER NOT NULL DEFAULT 0,       -- reconciliation looks since it became unconfirmed
	absents INTEGER NOT NULL DEFAULT 0,     -- of them negative, in a row, after the settle time
	unconfirmed_at INTEGER,                 -- last possible send of the unknown request
	attempt_count INTEGER NOT NULL DEFAULT 0,
	claimed_at INTEGER,
	published_at INTEGER,
	remote_id TEXT, remote_url TEXT,
	proof TEXT, proof_at INTEGER,           -- answer | look | person
	result TEXT,                            -- JSON bag of the provider's results
	error TEXT,                             -- JSON
	warnings TEXT,                          -- JSON list
	version INTEGER NOT NULL DEFAULT 1,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE INDEX delivery_due ON delivery (state, organization_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_post ON delivery (post_id, ordinal);
CREATE INDEX delivery_connection ON delivery (connection_id, state, due_at);
CREATE INDEX delivery_overdue ON delivery (deadline_at) WHERE deadline_at IS NOT NULL;
CREATE INDEX delivery_content ON delivery (connection_id, content_hash, created_at);

-- The durable step machine.  A publish has one row per delivery; other kinds live by themselves.
CREATE TABLE operation (
	id TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	app_id TEXT NOT NULL,
	live INTEGER NOT NULL,
	kind TEXT NOT NULL,
	platform TEXT NOT NULL,
	provider TEXT NOT NULL,
	delivery_id TEXT, connection_id TEXT, grant_id TEXT, connect_session_id TEXT,
	status TEXT NOT NULL,                   -- running | done | failed | parked
	provider_version TEXT,
	state_version INTEGER NOT NULL DEFAULT 0,
	retries INTEGER NOT NULL DEFAULT 0,
	phase TEXT NOT NULL,                    -- where the next step starts, or what reads the intent's answer
	event TEXT NOT NULL DEFAULT 'start',    -- start | timer | lost: what that step is told
	state BLOB,                             -- records
	secrets BLOB,                           -- sealed bag of numbered handles
	intent BLOB,                            -- records of the request, before the first byte leaves
	intent_class TEXT,                      -- keyed | once
	intent_at INTEGER,                      -- committed
	intent_until INTEGER,                   -- last moment at which its bytes may leave
	key_at INTEGER,                         -- when the publish key was first used
	key_number INTEGER NOT NULL DEFAULT 1,  -- which publish key: a new one after proven absence or a new round
	resent INTEGER NOT NULL DEFAULT 0,      -- sent again after an unknown outcome: a rejection proves nothing now
	input TEXT,                             -- JSON bag beyond what rows give
	result TEXT, error TEXT,                -- JSON
	due_at INTEGER,                         -- other kinds: when to run
	deadline_at INTEGER,
	owner_epoch INTEGER NOT NULL DEFAULT 0,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX operation_delivery ON operation (delivery_id) WHERE kind = 'publish';
CREATE INDEX operation_due ON operation (due_at) WHERE status = 'running' AND kind <> 'publish';

CREATE TABLE attempt (
	id TEXT PRIMARY KEY,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	operation_id TEXT NOT NULL,
	delivery_id TEXT,
	number INTEGER NOT NULL,
	phase TEXT NOT NULL,
	class TEXT NOT NULL,                    -- safe | keyed | once
	method TEXT NOT NULL,
	endpoint TEXT NOT NULL,                 -- without query
	outcome TEXT NOT NULL,                  -- answered | unsent | lost | refused
	status INTEGER,
	curl_code INTEGER NOT NULL,
	words TEXT,
	body TEXT,                              -- first 2 KiB of the answer, redacted
	sent_at INTEGER NOT NULL,
	took_ms INTEGER NOT NULL
);
CREATE INDEX attempt_delivery ON attempt (delivery_id, id);

CREATE TABLE event (
	sequence INTEGER PRIMARY KEY,
	id TEXT NOT NULL,
	organization_id TEXT NOT NULL REFERENCES organization(id),
	app_id TEXT NOT NULL,
	live INTEGER NOT NULL,
	type TEXT NOT NULL,
	end_user_id TEXT,
	external_user_id TEXT,
	data TEXT NOT NULL,                     -- JSON {"object":..., "previous"?}
	created_at INTEGER NOT NULL
);
CREATE INDEX event_page ON event (organization_id, app_id, live, sequence);

CREATE TABLE idempotency (
	organization_id TEXT NOT NULL,
	app_id TEXT NOT NULL,
	live INTEGER NOT NULL,
	key TEXT NOT NULL,
	fingerprint TEXT NOT NULL,              -- method, route and body hash
	status INTEGER NOT NULL,
	answer TEXT NOT NULL,
	request_id TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (organization_id, app_id, live, key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);
