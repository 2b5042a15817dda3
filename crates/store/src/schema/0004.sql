-- Schema 4: whose act a record is, how long it is kept, and rows that confer rights under a seal.

-- == Audit record ==

-- == Sessions ==

-- == Rows that confer rights ==

-- == Resource groups, tags, routes ==

-- The tags of one kind of resource, in the order in which lists show them.
CREATE INDEX tag_kind ON tag (account, region, kind, resource, key);

