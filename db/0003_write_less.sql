-- An index that begins with a connection is written at a place of its own for every delivery, at its making and at
-- each change of its state: two of them were three quarters of the pages that accepting a post wrote.  delivery_content
-- stays and serves whoever asks by connection; what is blocked, asked by every sweep, has a small one of its own.

DROP INDEX delivery_connection;
CREATE INDEX delivery_blocked ON delivery (connection_id) WHERE state = 'blocked';
