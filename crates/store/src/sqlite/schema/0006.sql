-- Schema 6: routes into tunnels; databases that are made for tests.

-- Routes of gateways and of attachments (those have no gateway). `kind` is the table that a route is in, `connection`
-- what it leads over, `source` of policy routes alone. `state` says how far it has come on its gateway. What is in
-- force stands in `before_` as long as a change of it is not applied.
CREATE TABLE vpn_route (
    seq              INTEGER PRIMARY KEY,
    account          TEXT NOT NULL REFERENCES account (id),
    region           TEXT NOT NULL,
    kind             TEXT NOT NULL,
    gateway          TEXT REFERENCES vpn_gateway (id),
    connection       TEXT NOT NULL REFERENCES vpn_connection (id),
    source           TEXT,
    destination      TEXT NOT NULL,
    weight           INTEGER NOT NULL,
    priority         INTEGER,
    published        INTEGER NOT NULL,
    description      TEXT NOT NULL,
    created_ms       INTEGER NOT NULL,
    changed_ms       INTEGER NOT NULL,
    state            TEXT NOT NULL,
    before_weight    INTEGER,
    before_priority  INTEGER,
    before_published INTEGER
);
CREATE INDEX vpn_route_gateway ON vpn_route (gateway, kind);
CREATE INDEX vpn_route_connection ON vpn_route (connection, kind);
CREATE UNIQUE INDEX vpn_route_dbr ON vpn_route (connection, destination) WHERE kind = 'dbr';
CREATE UNIQUE INDEX vpn_route_pbr ON vpn_route (connection, destination, source) WHERE kind = 'pbr';
CREATE UNIQUE INDEX vpn_route_vco ON vpn_route (connection, destination, weight) WHERE kind = 'vco';

-- Milliseconds by which the service's clock is ahead of the machine's, in a database that was made for the test API; null
-- in every other.
ALTER TABLE store ADD COLUMN test_ahead_ms INTEGER;
