-- Schema 4: whose act a record is, how long it is kept, and rows that confer rights under a seal.

-- == Audit record ==

-- == Sessions ==

-- == Rows that confer rights ==

-- == Resource groups, tags, routes ==

