-- Schema 4: whose act a record is, how long it is kept, and rows that confer rights under a seal.

-- == Audit record ==

-- == Sessions ==

-- == Rows that confer rights ==

-- == ClientTokens ==

-- Whose a token is, so that one user cannot use up what the account may remember.
ALTER TABLE client_token ADD COLUMN principal TEXT NOT NULL DEFAULT '';
INSERT INTO tally (kind, account, region, value)
    SELECT 'client_token_by', account, '', count(*) FROM client_token GROUP BY account;

-- == Resource groups, tags, routes ==

