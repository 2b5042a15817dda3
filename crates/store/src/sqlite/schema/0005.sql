-- Schema 5: the far ends of tunnels and the connections to them; certificates that are uploaded to Cas with their keys; and
-- what is around a gateway: more of VPCs, and resource groups.

-- == VPCs, vSwitches and route tables ==

-- Further blocks, comma-separated, oldest first.
ALTER TABLE vpc ADD COLUMN secondary_cidrs TEXT NOT NULL DEFAULT '';
ALTER TABLE vpc ADD COLUMN is_default INTEGER NOT NULL DEFAULT 0;
ALTER TABLE vpc ADD COLUMN classic_link INTEGER NOT NULL DEFAULT 0;
-- Of its system route table.
ALTER TABLE vpc ADD COLUMN route_table_name TEXT NOT NULL DEFAULT '';
ALTER TABLE vpc ADD COLUMN route_table_description TEXT NOT NULL DEFAULT '';
ALTER TABLE vpc ADD COLUMN route_propagation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE vswitch ADD COLUMN is_default INTEGER NOT NULL DEFAULT 0;
-- One default VPC in a region, one default vSwitch in a zone.
CREATE UNIQUE INDEX vpc_default ON vpc (account, region) WHERE is_default;
CREATE UNIQUE INDEX vswitch_default ON vswitch (account, zone) WHERE is_default;
CREATE UNIQUE INDEX vpc_route_table ON vpc (route_table);

-- == Certificates in Cas ==

-- An upload: one certificate, or the two of an SM pair, each a row of `certificate`. `number` is the CertId by which
-- callers name it; tags hang on `instance`.
CREATE TABLE cas_certificate (
    seq            INTEGER PRIMARY KEY,
    number         INTEGER NOT NULL UNIQUE,
    instance       TEXT NOT NULL UNIQUE,
    account        TEXT NOT NULL REFERENCES account (id),
    name           TEXT NOT NULL,
    resource_group TEXT NOT NULL,
    created_ms     INTEGER NOT NULL,
    UNIQUE (account, name)
);

-- Of a certificate that came with an upload: the upload, which of the two of a pair it is (null: the only one), the name
-- that it is looked for by, and the text that was uploaded. Null for certificates of Kms.
ALTER TABLE certificate ADD COLUMN upload INTEGER REFERENCES cas_certificate (number);
ALTER TABLE certificate ADD COLUMN half TEXT;
ALTER TABLE certificate ADD COLUMN domain TEXT;
ALTER TABLE certificate ADD COLUMN uploaded_text TEXT;
CREATE UNIQUE INDEX certificate_upload ON certificate (upload, half) WHERE upload IS NOT NULL;

-- What the caller named the certificate by: its id, or the number of its upload.
ALTER TABLE binding ADD COLUMN named TEXT NOT NULL DEFAULT '';
UPDATE binding SET named = certificate;
CREATE INDEX binding_named ON binding (named);

-- A request for a certificate. `number` is the CsrId; the private key, which is sealed for `id`, may not be known.
CREATE TABLE cas_csr (
    seq                INTEGER PRIMARY KEY,
    id                 TEXT NOT NULL UNIQUE,
    number             INTEGER NOT NULL UNIQUE,
    account            TEXT NOT NULL REFERENCES account (id),
    name               TEXT NOT NULL,
    key_spec           TEXT NOT NULL,
    common_name        TEXT NOT NULL,
    corp_name          TEXT NOT NULL,
    department         TEXT NOT NULL,
    locality           TEXT NOT NULL,
    province           TEXT NOT NULL,
    country_code       TEXT NOT NULL,
    dns_names          TEXT NOT NULL,
    csr                TEXT NOT NULL,
    public_key         TEXT NOT NULL,
    sealed_private_key BLOB,
    created_ms         INTEGER NOT NULL
);
CREATE INDEX cas_csr_page ON cas_csr (account);

-- == Far ends of tunnels ==

-- Devices that connections lead to. The key of BGP sessions is sealed under the master key, which is not in the
-- database.
CREATE TABLE customer_gateway (
    seq             INTEGER PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE,
    account         TEXT NOT NULL REFERENCES account (id),
    region          TEXT NOT NULL,
    name            TEXT NOT NULL,
    description     TEXT NOT NULL,
    ip              TEXT NOT NULL,
    -- Null: none was given.
    asn             INTEGER,
    sealed_auth_key BLOB,
    resource_group  TEXT NOT NULL,
    created_ms      INTEGER NOT NULL,
    UNIQUE (account, region, ip)
);
CREATE INDEX customer_gateway_page ON customer_gateway (account, region);

-- == Resource groups ==

CREATE TABLE resource_group (
    seq          INTEGER PRIMARY KEY,
    id           TEXT NOT NULL,
    account      TEXT NOT NULL REFERENCES account (id),
    name         TEXT NOT NULL,
    display_name TEXT NOT NULL,
    status       TEXT NOT NULL,
    is_default   INTEGER NOT NULL,
    created_ms   INTEGER NOT NULL,
    -- Not unique by itself: before groups were kept, two accounts may have written down the same one.
    UNIQUE (account, id),
    UNIQUE (account, name)
);
-- IPsec connections, each with one tunnel or two. `state` says how far it has come on its gateway; without a gateway
-- (an attachment) it is always in force. `settings` is a JSON document; the keys that the peers share are beside it,
-- sealed. What was before a change that is not applied yet is kept until it is.
CREATE TABLE vpn_connection (
    seq              INTEGER PRIMARY KEY,
    id               TEXT NOT NULL UNIQUE,
    account          TEXT NOT NULL REFERENCES account (id),
    region           TEXT NOT NULL,
    gateway          TEXT REFERENCES vpn_gateway (id),
    name             TEXT NOT NULL,
    network_type     TEXT NOT NULL,
    tunnel_bandwidth TEXT,
    resource_group   TEXT NOT NULL,
    created_ms       INTEGER NOT NULL,
    state            TEXT NOT NULL,
    settings         TEXT NOT NULL,
    sealed_keys      BLOB NOT NULL,
    before           TEXT,
    sealed_before    BLOB
);
CREATE INDEX vpn_connection_page ON vpn_connection (account, region);
CREATE INDEX vpn_connection_gateway ON vpn_connection (gateway);

-- Where the tunnels of a connection lead, and what is seen of them: `observed` is a report of the data plane, and
-- nothing that was asked for. `before` is where it led before a change that is not applied yet. `ip` is the address of
-- a tunnel that has no gateway to take it from.
CREATE TABLE vpn_tunnel (
    id               TEXT PRIMARY KEY,
    connection       TEXT NOT NULL REFERENCES vpn_connection (id),
    number           INTEGER NOT NULL,
    customer_gateway TEXT NOT NULL REFERENCES customer_gateway (id),
    before           TEXT REFERENCES customer_gateway (id),
    ip               TEXT UNIQUE,
    observed         TEXT NOT NULL,
    observed_ms      INTEGER NOT NULL,
    UNIQUE (connection, number)
) WITHOUT ROWID;
CREATE INDEX vpn_tunnel_customer ON vpn_tunnel (customer_gateway);
CREATE INDEX vpn_tunnel_before ON vpn_tunnel (before);

-- What was seen of a tunnel, whenever it was something else than before: the newest of each.
CREATE TABLE vpn_observation (
    seq      INTEGER PRIMARY KEY,
    tunnel   TEXT NOT NULL REFERENCES vpn_tunnel (id),
    observed TEXT NOT NULL,
    at_ms    INTEGER NOT NULL
);
CREATE INDEX vpn_observation_tunnel ON vpn_observation (tunnel);

-- What the last diagnosis of a gateway has found, a JSON document.
CREATE TABLE vpn_diagnosis (
    gateway    TEXT PRIMARY KEY REFERENCES vpn_gateway (id),
    id         TEXT NOT NULL UNIQUE,
    account    TEXT NOT NULL REFERENCES account (id),
    region     TEXT NOT NULL,
    connection TEXT NOT NULL,
    findings   TEXT NOT NULL,
    done_ms    INTEGER NOT NULL
) WITHOUT ROWID;
