-- Schema 2: what the store knows of itself, and changes that the data plane did not take.

CREATE TABLE store (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    -- Groups of changes committed. The mark beside the database holds the same number, so that a lost log is noticed.
    groups  INTEGER NOT NULL,
    -- Records of the audit journal up to this one are in `audit`.
    journal INTEGER NOT NULL
);
INSERT INTO store (id, groups, journal) VALUES (1, 0, 0);

-- The last change of a resource that could not be applied, for operators. Gone when a later one is applied.
CREATE TABLE fault (
    resource  TEXT PRIMARY KEY,
    kind      TEXT NOT NULL,
    change    TEXT NOT NULL,
    reason    TEXT NOT NULL,
    attempts  INTEGER NOT NULL,
    since_ms  INTEGER NOT NULL,
    failed_ms INTEGER NOT NULL,
    outcome   TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX fault_age ON fault (failed_ms);

-- Tokens are counted from now on, those that are there included.
INSERT INTO tally (kind, account, region, value)
    SELECT 'client_token', account, '', count(*) FROM client_token GROUP BY account;
