-- Schema 4: whose act a record is, how long it is kept, and rows that confer rights under a seal.

-- == Audit record ==

-- == Sessions ==

-- == Rows that confer rights ==

-- The seal of each bearer of rights: 32 bytes that sum up its own row and the rows that belong to it, and 32 bytes that
-- only the key of the seals makes of them. `kind` is the table of its own row.
CREATE TABLE row_seal (
    kind TEXT NOT NULL,
    id   NOT NULL,
    seal BLOB NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
-- The seals summed up, in 256 parts, so that one that was removed or put back is looked for among few.
CREATE TABLE row_bucket (
    bucket INTEGER PRIMARY KEY,
    sum    BLOB NOT NULL
);
-- The parts summed up; null: nothing is sealed yet.
ALTER TABLE store ADD COLUMN rights_root BLOB;
-- What only the key of the seals makes of `groups`, `rights_root` and `rights_mark`, with every group.
ALTER TABLE store ADD COLUMN rights_seal BLOB;
-- Whether the mark beside the database is sealed: from then on one that is missing is not taken for a new one.
ALTER TABLE store ADD COLUMN rights_mark INTEGER NOT NULL DEFAULT 0;

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
