-- Schema 9: what several processes on one database have to agree on is in its rows.

-- `user` is a reserved word of other databases. Rows are sealed under the names that their columns had (rights.rs).
ALTER TABLE access_key RENAME COLUMN user TO user_seq;
ALTER TABLE ram_membership RENAME COLUMN user TO user_seq;
ALTER TABLE ram_attachment RENAME COLUMN user TO user_seq;

-- How often what its principals may do was changed: what was read under another epoch holds no longer.
ALTER TABLE account ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
