-- Schema 4: whose act a record is, how long it is kept, and rows that confer rights under a seal.

-- == Audit record ==

-- == Sessions ==

-- == Rows that confer rights ==

-- == Resource groups, tags, routes ==

-- The tags of one kind of resource, in the order in which lists show them.
CREATE INDEX tag_kind ON tag (account, region, kind, resource, key);

-- == Certificates ==

-- What the keyUsage of the issued certificate lets its key do: 1 sign, 2 encrypt. Null until it is uploaded, and for
-- certificates that were uploaded before this was kept.
ALTER TABLE certificate ADD COLUMN key_purposes INTEGER;
