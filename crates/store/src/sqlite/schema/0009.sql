-- Schema 9: what several processes on one database have to agree on is in its rows.

-- `user` is a reserved word of other databases. Rows are sealed under the names that their columns had (rights.rs).
ALTER TABLE access_key RENAME COLUMN user TO user_seq;
ALTER TABLE ram_membership RENAME COLUMN user TO user_seq;
ALTER TABLE ram_attachment RENAME COLUMN user TO user_seq;

-- How often what its principals may do was changed: what was read under another epoch holds no longer.
ALTER TABLE account ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;

-- Processes that work on what the database holds, each with its heartbeat and digests of the settings that all have
-- to have in common.
CREATE TABLE node (
    id         TEXT PRIMARY KEY,
    started_ms INTEGER NOT NULL,
    seen_ms    INTEGER NOT NULL,
    settings   TEXT NOT NULL
) WITHOUT ROWID;

-- Work that one of them does at a time: whose it is, until when nobody else takes it up, and how often somebody has.
CREATE TABLE lease (
    name  TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until INTEGER NOT NULL,
    fence INTEGER NOT NULL
) WITHOUT ROWID;

-- The same of a change that is under way: what an earlier claim comes to is not recorded, and its orders are refused.
ALTER TABLE intent ADD COLUMN owner TEXT;
ALTER TABLE intent ADD COLUMN lease_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE intent ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
