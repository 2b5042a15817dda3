-- Schema 5: the far ends of tunnels, and the connections to them; certificates that are uploaded to Cas with their keys.

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
