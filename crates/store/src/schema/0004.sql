-- Schema 4: whose act a record is, how long it is kept, and rows that confer rights under a seal.

-- == Audit record ==

-- == Sessions ==

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
