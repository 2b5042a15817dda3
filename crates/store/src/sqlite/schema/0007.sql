-- Schema 7: tunnels lie with their connection, and what is seen of them stands once; lists of attachments have an index.

-- What was seen of a tunnel before what is seen of it now, which is in its own row.
CREATE TABLE seen_before AS SELECT tunnel, observed, at_ms FROM vpn_observation
    WHERE seq NOT IN (SELECT max(seq) FROM vpn_observation GROUP BY tunnel) ORDER BY seq;
DROP TABLE vpn_observation;

-- Where the tunnels of a connection lead, and what is seen of them: `observed` is a report of the data plane, and
-- nothing that was asked for. `before` is where it led before a change that is not applied yet. `ip` is the address of
-- a tunnel that has no gateway to take it from.
CREATE TABLE tunnel_of_connection (
    connection       TEXT NOT NULL REFERENCES vpn_connection (id),
    number           INTEGER NOT NULL,
    id               TEXT NOT NULL UNIQUE,
    customer_gateway TEXT NOT NULL REFERENCES customer_gateway (id),
    before           TEXT REFERENCES customer_gateway (id),
    ip               TEXT,
    observed         TEXT NOT NULL,
    observed_ms      INTEGER NOT NULL,
    PRIMARY KEY (connection, number)
) WITHOUT ROWID;
INSERT INTO tunnel_of_connection
    SELECT connection, number, id, customer_gateway, before, ip, observed, observed_ms FROM vpn_tunnel;
DROP TABLE vpn_tunnel;
ALTER TABLE tunnel_of_connection RENAME TO vpn_tunnel;
CREATE INDEX vpn_tunnel_customer ON vpn_tunnel (customer_gateway);
-- Few tunnels are being changed, and few have an address of their own.
CREATE INDEX vpn_tunnel_before ON vpn_tunnel (before) WHERE before IS NOT NULL;
CREATE UNIQUE INDEX vpn_tunnel_ip ON vpn_tunnel (ip) WHERE ip IS NOT NULL;

-- What was seen of a tunnel, whenever it became something else: the newest of each.
CREATE TABLE vpn_observation (
    seq      INTEGER PRIMARY KEY,
    tunnel   TEXT NOT NULL REFERENCES vpn_tunnel (id),
    observed TEXT NOT NULL,
    at_ms    INTEGER NOT NULL
);
INSERT INTO vpn_observation (tunnel, observed, at_ms) SELECT tunnel, observed, at_ms FROM seen_before;
DROP TABLE seen_before;
CREATE INDEX vpn_observation_tunnel ON vpn_observation (tunnel);

-- What packets a connection takes, in a form that is the same for the same packets: those of a gateway that may take the
-- same ones are looked for by it.
ALTER TABLE vpn_connection ADD COLUMN selectors TEXT NOT NULL DEFAULT '';

-- Connections without a gateway, in the order in which they are listed.
CREATE INDEX vpn_connection_attachment ON vpn_connection (account, region) WHERE gateway IS NULL;

-- What the data plane has, with documents that are rewritten in place: rows of up to a page stay on it.
CREATE TABLE applied_in_place (
    seq        INTEGER PRIMARY KEY,
    resource   TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL,
    document   TEXT NOT NULL,
    applied_ms INTEGER NOT NULL
);
INSERT INTO applied_in_place (resource, generation, document, applied_ms)
    SELECT resource, generation, document, applied_ms FROM applied ORDER BY resource;
DROP TABLE applied;
ALTER TABLE applied_in_place RENAME TO applied;
