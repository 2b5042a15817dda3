-- Schema 4: whose act a record is, how long it is kept, and rows that confer rights under a seal.

-- == Audit record ==

-- The access key that the call made; of a session's call, who made the session, and the source identity that it carries.
ALTER TABLE audit ADD COLUMN issued TEXT;
ALTER TABLE audit ADD COLUMN origin TEXT;
ALTER TABLE audit ADD COLUMN source_identity TEXT;

-- == Sessions ==

-- == Rows that confer rights ==

-- == Resource groups, tags, routes ==

