-- Schema 5: the far ends of tunnels and the connections to them, and what is around a gateway: more of VPCs, and
-- resource groups.

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
