-- Schema 3: who may do what. Names of RAM are unique without regard to case; `folded` holds them in lower case.

ALTER TABLE account ADD COLUMN name TEXT NOT NULL DEFAULT '';
-- Active or Disabled.
ALTER TABLE account ADD COLUMN status TEXT NOT NULL DEFAULT 'Active';

CREATE TABLE ram_user (
    seq          INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    account      TEXT NOT NULL REFERENCES account (id),
    name         TEXT NOT NULL,
    folded       TEXT NOT NULL,
    display_name TEXT NOT NULL,
    mobile_phone TEXT NOT NULL,
    email        TEXT NOT NULL,
    comments     TEXT NOT NULL,
    created_ms   INTEGER NOT NULL,
    updated_ms   INTEGER NOT NULL,
    UNIQUE (account, folded)
);

-- Keys without a user are the account's own.
ALTER TABLE access_key ADD COLUMN user INTEGER REFERENCES ram_user (seq);
-- Active or Inactive.
ALTER TABLE access_key ADD COLUMN status TEXT NOT NULL DEFAULT 'Active';
-- When it last signed a call that was taken, and of which product; written now and then, not with every call.
ALTER TABLE access_key ADD COLUMN used_ms INTEGER;
ALTER TABLE access_key ADD COLUMN used_for TEXT;
CREATE INDEX access_key_user ON access_key (user);

CREATE TABLE ram_group (
    seq        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    account    TEXT NOT NULL REFERENCES account (id),
    name       TEXT NOT NULL,
    folded     TEXT NOT NULL,
    comments   TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    UNIQUE (account, folded)
);

CREATE TABLE ram_membership (
    user      INTEGER NOT NULL REFERENCES ram_user (seq),
    ram_group INTEGER NOT NULL REFERENCES ram_group (seq),
    joined_ms INTEGER NOT NULL,
    PRIMARY KEY (user, ram_group)
) WITHOUT ROWID;
CREATE INDEX ram_membership_group ON ram_membership (ram_group);

CREATE TABLE ram_role (
    seq                  INTEGER PRIMARY KEY,
    id                   TEXT NOT NULL UNIQUE,
    account              TEXT NOT NULL REFERENCES account (id),
    name                 TEXT NOT NULL,
    folded               TEXT NOT NULL,
    description          TEXT NOT NULL,
    trust                TEXT NOT NULL,
    max_session_seconds  INTEGER NOT NULL,
    -- Service of a service-linked role; null for all others.
    service              TEXT,
    created_ms           INTEGER NOT NULL,
    updated_ms           INTEGER NOT NULL,
    UNIQUE (account, folded)
);
INSERT INTO ram_role (id, account, name, folded, description, trust, max_session_seconds, service, created_ms, updated_ms)
    SELECT role_id, account, name, lower(name), 'VPN Gateway uses this role to access your certificates.',
        '{"Statement":[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"Service":["' || service || '"]}}],"Version":"1"}',
        3600, service, created_ms, created_ms
    FROM service_linked_role;
INSERT INTO tally (kind, account, region, value)
    SELECT 'ram_role', account, '', count(*) FROM ram_role GROUP BY account;
DROP TABLE service_linked_role;

-- Deletions of service-linked roles, as tasks: forgotten after a day.
CREATE TABLE ram_role_deletion (
    id         TEXT PRIMARY KEY,
    account    TEXT NOT NULL REFERENCES account (id),
    role       TEXT NOT NULL,
    -- IN_PROGRESS, SUCCEEDED or FAILED.
    status     TEXT NOT NULL,
    -- Why it failed, a JSON object as it is answered.
    reason     TEXT,
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX ram_role_deletion_age ON ram_role_deletion (created_ms);

-- Custom policies; the system's are part of the program.
CREATE TABLE ram_policy (
    seq             INTEGER PRIMARY KEY,
    account         TEXT NOT NULL REFERENCES account (id),
    name            TEXT NOT NULL,
    folded          TEXT NOT NULL,
    description     TEXT NOT NULL,
    default_version INTEGER NOT NULL,
    -- Numbers of versions are not used twice.
    next_version    INTEGER NOT NULL,
    created_ms      INTEGER NOT NULL,
    updated_ms      INTEGER NOT NULL,
    UNIQUE (account, folded)
);
CREATE TABLE ram_policy_version (
    policy     INTEGER NOT NULL REFERENCES ram_policy (seq),
    version    INTEGER NOT NULL,
    document   TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (policy, version)
) WITHOUT ROWID;

-- A policy attached to one user, group or role: exactly one of `policy` (custom) and `system` (name), exactly one of
-- the three.
CREATE TABLE ram_attachment (
    seq         INTEGER PRIMARY KEY,
    account     TEXT NOT NULL REFERENCES account (id),
    policy      INTEGER REFERENCES ram_policy (seq),
    system      TEXT,
    user        INTEGER REFERENCES ram_user (seq),
    ram_group   INTEGER REFERENCES ram_group (seq),
    role        INTEGER REFERENCES ram_role (seq),
    attached_ms INTEGER NOT NULL,
    CHECK ((policy IS NULL) + (system IS NULL) = 1),
    CHECK ((user IS NULL) + (ram_group IS NULL) + (role IS NULL) = 2)
);
CREATE UNIQUE INDEX ram_attachment_user ON ram_attachment (user, coalesce(policy, 0), coalesce(system, '')) WHERE user IS NOT NULL;
CREATE UNIQUE INDEX ram_attachment_group ON ram_attachment (ram_group, coalesce(policy, 0), coalesce(system, '')) WHERE ram_group IS NOT NULL;
CREATE UNIQUE INDEX ram_attachment_role ON ram_attachment (role, coalesce(policy, 0), coalesce(system, '')) WHERE role IS NOT NULL;
CREATE INDEX ram_attachment_policy ON ram_attachment (policy) WHERE policy IS NOT NULL;
CREATE INDEX ram_attachment_system ON ram_attachment (account, system) WHERE system IS NOT NULL;

-- Keys of the service's own, sealed under the master key: security tokens are made with them.
CREATE TABLE service_key (
    name       TEXT PRIMARY KEY,
    sealed_key BLOB NOT NULL,
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Users, groups and access keys, listed by owner in the order of creation.
CREATE INDEX ram_user_account ON ram_user (account);
CREATE INDEX ram_group_account ON ram_group (account);
CREATE INDEX access_key_owner ON access_key (account, user);

-- Roles, their tasks and attachments: what the tables above do not hold.

-- Whether the role may be used at a console.
ALTER TABLE ram_role ADD COLUMN console_login INTEGER NOT NULL DEFAULT 1;
UPDATE ram_role SET console_login = 0 WHERE service IS NOT NULL;
CREATE INDEX ram_role_deletion_role ON ram_role_deletion (account, role, created_ms);
-- Roles that were made before attachments were kept have the policy of their service.
INSERT INTO ram_attachment (account, system, role, attached_ms)
    SELECT account, 'AliyunServiceRolePolicyForVPNCertificate', seq, created_ms FROM ram_role
    WHERE service = 'certificate.vpn.aliyuncs.com';
-- Lists in the order of creation.
CREATE INDEX ram_role_account ON ram_role (account);
CREATE INDEX ram_policy_account ON ram_policy (account);

-- The chain of audit records. Each record holds the hash of itself and of the record before it; null: it was written
-- before there was a chain, and is not part of it.
ALTER TABLE audit ADD COLUMN hash BLOB;
CREATE TABLE audit_chain (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    -- Where the chain begins: the last record that retention removed, or the last before there was a chain.
    anchor_seq  INTEGER NOT NULL,
    anchor_hash BLOB NOT NULL,
    -- The newest record.
    head_seq    INTEGER NOT NULL,
    head_hash   BLOB NOT NULL,
    -- The newest record when it was sealed last, and the seal: an HMAC over it and the anchor.
    sealed_seq  INTEGER,
    sealed_hash BLOB,
    seal        BLOB
);
INSERT INTO audit_chain (id, anchor_seq, anchor_hash, head_seq, head_hash)
    SELECT 1, coalesce(max(seq), 0), zeroblob(32), coalesce(max(seq), 0), zeroblob(32) FROM audit;
