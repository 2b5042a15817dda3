-- Schema 5: the far ends of tunnels, and the connections to them.

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
