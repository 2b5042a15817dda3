-- Schema 8: a change of a gateway costs what it changes, not what the gateway has.

-- What is half-way on a gateway is found without looking at what is at rest there.
CREATE INDEX vpn_connection_under_way ON vpn_connection (gateway) WHERE state <> 'active';
CREATE INDEX vpn_route_under_way ON vpn_route (gateway) WHERE state <> 'active';

-- What the data plane has of a gateway names connections and routes, and no longer repeats their settings. A document
-- that cannot be read is left to be found.
UPDATE applied SET document = json_set(document,
    '$.connections',
    json((SELECT json_group_array(key) FROM (SELECT key FROM json_each(document, '$.connections') ORDER BY key))),
    '$.routes',
    json((SELECT json_group_array(json_extract(value, '$.kind') || ' ' || json_extract(value, '$.next_hop') || ' '
        || coalesce(json_extract(value, '$.source'), '') || ' ' || json_extract(value, '$.destination') || ' '
        || json_extract(value, '$.weight') || ' ' || coalesce(json_extract(value, '$.priority'), '') || ' '
        || json_extract(value, '$.published')) FROM json_each(document, '$.routes'))))
    WHERE resource IN (SELECT id FROM vpn_gateway) AND json_valid(document) AND json_type(document) = 'object';
