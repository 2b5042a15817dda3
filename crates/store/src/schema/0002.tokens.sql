-- Tokens are counted from now on, those that are there included.
INSERT INTO tally (kind, account, region, value)
    SELECT 'client_token', account, '', count(*) FROM client_token GROUP BY account;
