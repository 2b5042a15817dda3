-- Schema 4: whose act a record is, how long it is kept, and rows that confer rights under a seal.

-- == Audit record ==

-- The access key that the call made; of a session's call, who made the session, and the source identity that it carries.
ALTER TABLE audit ADD COLUMN issued TEXT;
ALTER TABLE audit ADD COLUMN origin TEXT;
ALTER TABLE audit ADD COLUMN source_identity TEXT;

-- == Sessions ==

-- A session remembers this number of all that it stands on, and is over when one of them has another. The number is the
-- moment at which sessions were ended last, UNIX milliseconds, or one more than before, if that is later.
ALTER TABLE account ADD COLUMN sessions_from_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ram_user ADD COLUMN sessions_from_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ram_role ADD COLUMN sessions_from_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE access_key ADD COLUMN sessions_from_ms INTEGER NOT NULL DEFAULT 0;
-- Tokens of older releases do not say whose act the session is: with their key they end.
DELETE FROM service_key WHERE name = 'security-token';

-- == Rows that confer rights ==

-- == ClientTokens ==

-- Whose a token is, so that one user cannot use up what the account may remember.
ALTER TABLE client_token ADD COLUMN principal TEXT NOT NULL DEFAULT '';
INSERT INTO tally (kind, account, region, value)
    SELECT 'client_token_by', account, '', count(*) FROM client_token GROUP BY account;

-- == Resource groups, tags, routes ==

-- The tags of one kind of resource, in the order in which lists show them.
CREATE INDEX tag_kind ON tag (account, region, kind, resource, key);

-- == Certificates ==

-- What the keyUsage of the issued certificate lets its key do: 1 sign, 2 encrypt. Null until it is uploaded, and for
-- certificates that were uploaded before this was kept.
ALTER TABLE certificate ADD COLUMN key_purposes INTEGER;
