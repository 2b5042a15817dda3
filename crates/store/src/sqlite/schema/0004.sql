-- Schema 4: whose act a record is, how long it is kept, and rows that confer rights under a seal.

-- == Audit record ==

-- The access key that the call made; of a session's call, who made the session, and the source identity that it carries.
ALTER TABLE audit ADD COLUMN issued TEXT;
ALTER TABLE audit ADD COLUMN origin TEXT;
ALTER TABLE audit ADD COLUMN source_identity TEXT;
-- Whether the call changed something.
ALTER TABLE audit ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
-- Of a record that stands for several calls: how many, and when the first was answered; time_ms is that of the last.
ALTER TABLE audit ADD COLUMN repeats INTEGER;
ALTER TABLE audit ADD COLUMN since_ms INTEGER;
-- Whose share of the record it takes: four times the owner, and the class. It follows from the other columns.
ALTER TABLE audit ADD COLUMN stream INTEGER NOT NULL DEFAULT 0;
CREATE INDEX audit_stream ON audit (stream);
-- Records from before the chain have hashes too, of another kind; the last of them. Null: there are none.
ALTER TABLE audit_chain ADD COLUMN old_seq INTEGER;
ALTER TABLE audit_chain ADD COLUMN old_hash BLOB;
-- Up to this record nothing but its name says whether an operation changed something.
ALTER TABLE audit_chain ADD COLUMN named_seq INTEGER NOT NULL DEFAULT 0;
-- Records that retention removed: from `first` to `last`, with the hash of the record before them and that of the last,
-- under a seal.
CREATE TABLE audit_gap (
    last   INTEGER PRIMARY KEY,
    first  INTEGER NOT NULL,
    before BLOB NOT NULL,
    hash   BLOB NOT NULL,
    seal   BLOB NOT NULL
);
-- What is left of removed records: number and the begin of the hash of each, those of one batch together, under a seal.
CREATE TABLE audit_trimmed (
    id    INTEGER PRIMARY KEY,
    class INTEGER NOT NULL,
    links BLOB NOT NULL,
    seal  BLOB NOT NULL
);

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
