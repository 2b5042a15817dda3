-- Schema 1. Times are UNIX milliseconds unless a column says otherwise. `seq` orders a list: newest first.

CREATE TABLE account (
    id          TEXT PRIMARY KEY,
    created_ms  INTEGER NOT NULL
) WITHOUT ROWID;

-- Secrets are sealed under the master key, which is not in the database.
CREATE TABLE access_key (
    id            TEXT PRIMARY KEY,
    account       TEXT NOT NULL REFERENCES account (id),
    sealed_secret BLOB NOT NULL,
    created_ms    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE vpc (
    seq            INTEGER PRIMARY KEY,
    id             TEXT NOT NULL UNIQUE,
    account        TEXT NOT NULL REFERENCES account (id),
    region         TEXT NOT NULL,
    name           TEXT NOT NULL,
    description    TEXT NOT NULL,
    cidr           TEXT NOT NULL,
    user_cidrs     TEXT NOT NULL,
    dns_hostname   INTEGER NOT NULL,
    vrouter        TEXT NOT NULL,
    route_table    TEXT NOT NULL,
    resource_group TEXT NOT NULL,
    created_ms     INTEGER NOT NULL,
    ready          INTEGER NOT NULL
);
CREATE INDEX vpc_page ON vpc (account, region);

CREATE TABLE vswitch (
    seq            INTEGER PRIMARY KEY,
    id             TEXT NOT NULL UNIQUE,
    account        TEXT NOT NULL REFERENCES account (id),
    region         TEXT NOT NULL,
    vpc            TEXT NOT NULL REFERENCES vpc (id),
    zone           TEXT NOT NULL,
    name           TEXT NOT NULL,
    description    TEXT NOT NULL,
    cidr           TEXT NOT NULL,
    resource_group TEXT NOT NULL,
    created_ms     INTEGER NOT NULL,
    ready          INTEGER NOT NULL
);
CREATE INDEX vswitch_page ON vswitch (account, region);
CREATE INDEX vswitch_vpc ON vswitch (vpc);

CREATE TABLE vpn_gateway (
    seq                INTEGER PRIMARY KEY,
    id                 TEXT NOT NULL UNIQUE,
    account            TEXT NOT NULL REFERENCES account (id),
    region             TEXT NOT NULL,
    name               TEXT NOT NULL,
    description        TEXT NOT NULL,
    vpc                TEXT NOT NULL REFERENCES vpc (id),
    vswitch            TEXT REFERENCES vswitch (id),
    dr_vswitch         TEXT REFERENCES vswitch (id),
    bandwidth          INTEGER NOT NULL,
    network_type       TEXT NOT NULL,
    vpn_type           TEXT NOT NULL,
    ipsec              INTEGER NOT NULL,
    ssl                INTEGER NOT NULL,
    ssl_connections    INTEGER NOT NULL,
    charge_type        TEXT NOT NULL,
    auto_propagate     INTEGER NOT NULL,
    resource_group     TEXT NOT NULL,
    internet_ip        TEXT NOT NULL,
    dr_ip              TEXT,
    order_id           INTEGER NOT NULL,
    created_ms         INTEGER NOT NULL,
    end_ms             INTEGER NOT NULL,
    business_status    TEXT NOT NULL,
    phase              TEXT NOT NULL,
    intended           INTEGER NOT NULL,
    applied            INTEGER NOT NULL,
    -- Bound certificates that are out of service, for people; null if all are ACTIVE.
    certificate_alert  TEXT,
    CHECK (applied <= intended)
);
CREATE INDEX vpn_gateway_page ON vpn_gateway (account, region);
CREATE INDEX vpn_gateway_vpc ON vpn_gateway (vpc);
CREATE INDEX vpn_gateway_vswitch ON vpn_gateway (vswitch);
CREATE INDEX vpn_gateway_dr_vswitch ON vpn_gateway (dr_vswitch);

-- Addresses in use, so that no two gateways get the same one.
CREATE TABLE address (
    ip      TEXT PRIMARY KEY,
    gateway TEXT NOT NULL REFERENCES vpn_gateway (id)
) WITHOUT ROWID;
CREATE INDEX address_gateway ON address (gateway);

CREATE TABLE certificate (
    seq                    INTEGER PRIMARY KEY,
    id                     TEXT NOT NULL UNIQUE,
    account                TEXT NOT NULL REFERENCES account (id),
    region                 TEXT NOT NULL,
    key_spec               TEXT NOT NULL,
    status                 TEXT NOT NULL,
    exportable             INTEGER NOT NULL,
    subject                TEXT NOT NULL,
    dns_names              TEXT NOT NULL,
    csr                    TEXT NOT NULL,
    public_key             TEXT NOT NULL,
    sealed_private_key     BLOB NOT NULL,
    created_ms             INTEGER NOT NULL,
    updated_ms             INTEGER NOT NULL,
    -- The rest is null until the issued certificate is uploaded; validity in UNIX seconds.
    certificate            TEXT,
    chain                  TEXT,
    sm                     INTEGER,
    issuer                 TEXT,
    issued_subject         TEXT,
    serial                 TEXT,
    signature_algorithm    TEXT,
    subject_key_identifier TEXT,
    not_before             INTEGER,
    not_after              INTEGER
);
CREATE INDEX certificate_page ON certificate (account, region);

-- (gateway, role) names a binding; a role holds one certificate.
CREATE TABLE binding (
    seq           INTEGER PRIMARY KEY,
    gateway       TEXT NOT NULL REFERENCES vpn_gateway (id),
    role          TEXT NOT NULL,
    certificate   TEXT NOT NULL REFERENCES certificate (id),
    account       TEXT NOT NULL,
    region        TEXT NOT NULL,
    state         TEXT NOT NULL,
    associated_ms INTEGER NOT NULL,
    UNIQUE (gateway, role)
);
CREATE INDEX binding_page ON binding (account, region);
CREATE INDEX binding_certificate ON binding (certificate);

CREATE TABLE tag (
    resource TEXT NOT NULL,
    key      TEXT NOT NULL,
    value    TEXT NOT NULL,
    kind     TEXT NOT NULL,
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    PRIMARY KEY (resource, key)
) WITHOUT ROWID;
CREATE INDEX tag_search ON tag (account, key, value);

-- What is wanted and not applied yet: at most one per resource. The engine works through it.
CREATE TABLE intent (
    resource   TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    change     TEXT NOT NULL,
    since_ms   INTEGER NOT NULL,
    due_ms     INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    last_error TEXT
) WITHOUT ROWID;
CREATE INDEX intent_due ON intent (due_ms);

-- What the data plane has, as a document, for operators and tests to read.
CREATE TABLE applied (
    resource   TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    document   TEXT NOT NULL,
    applied_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE client_token (
    account     TEXT NOT NULL,
    action      TEXT NOT NULL,
    token       TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    answer      TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    created_ms  INTEGER NOT NULL,
    PRIMARY KEY (account, action, token)
) WITHOUT ROWID;
CREATE INDEX client_token_age ON client_token (created_ms);

CREATE TABLE service_linked_role (
    account    TEXT NOT NULL,
    name       TEXT NOT NULL,
    service    TEXT NOT NULL,
    role_id    TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (account, name)
) WITHOUT ROWID;

-- How many there are, so that totals and quotas cost the same however many there are.
CREATE TABLE tally (
    kind    TEXT NOT NULL,
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    value   INTEGER NOT NULL,
    PRIMARY KEY (kind, account, region)
) WITHOUT ROWID;

CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY,
    time_ms    INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    account    TEXT,
    principal  TEXT,
    access_key TEXT,
    source     TEXT NOT NULL,
    product    TEXT,
    action     TEXT,
    resource   TEXT,
    status     INTEGER NOT NULL,
    code       TEXT
);
