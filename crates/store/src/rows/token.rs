//! Answered idempotent calls, by their ClientToken.

use rusqlite::OptionalExtension as _;
use rusqlite::params;
use std::collections::BTreeMap;
use tongguan_model::id::AccountId;

use super::{Answer, Done};
use crate::{Snapshot, StoreError, Tx};

/// What an answered idempotent call left behind.
#[derive(Debug, Clone)]
pub struct StoredToken {
    /// Fingerprint of its parameters.
    pub fingerprint: Vec<u8>,
    /// Its answer without the request id: a JSON object.
    pub answer: String,
    /// When it was answered, UNIX milliseconds.
    pub created_ms: i64,
}

/// What to keep of an answered idempotent call.
#[derive(Debug)]
pub struct NewToken<'a> {
    /// Account of the caller.
    pub account: &'a AccountId,
    /// The caller in its account.
    pub principal: &'a str,
    /// Operation.
    pub action: &'a str,
    /// The caller's token.
    pub token: &'a str,
    /// Fingerprint of the parameters.
    pub fingerprint: &'a [u8],
    /// Answer without the request id, a JSON object.
    pub answer: &'a str,
    /// Id of the request that was answered.
    pub request_id: &'a str,
    /// When, UNIX milliseconds.
    pub created_ms: i64,
}

/// Kind of the tally that counts an account's remembered tokens.
pub(crate) const CLIENT_TOKEN: &str = "client_token";

/// Kind of the tally that counts them by principal, which stands in the place of the region.
pub(crate) const CLIENT_TOKEN_BY: &str = "client_token_by";

impl Snapshot<'_> {
    /// What is kept of an answered call with this token.
    ///
    /// # Errors
    /// A database error.
    pub fn token(&self, account: &AccountId, action: &str, token: &str) -> Answer<Option<StoredToken>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT fingerprint, answer, created_ms FROM client_token WHERE account = ?1 AND action = ?2 AND token = ?3",
        )?;
        let found = statement.query_row(params![account.as_str(), action, token], |row| {
            Ok(StoredToken { fingerprint: row.get(0)?, answer: row.get(1)?, created_ms: row.get(2)? })
        });
        Ok(found.optional()?)
    }

    /// How many tokens of the account are remembered.
    ///
    /// # Errors
    /// A database error.
    pub fn client_tokens(&self, account: &AccountId) -> Answer<u64> {
        self.tally(CLIENT_TOKEN, account, "")
    }

    /// How many of them are a principal's.
    ///
    /// # Errors
    /// A database error.
    pub fn client_tokens_of(&self, account: &AccountId, principal: &str) -> Answer<u64> {
        self.tally(CLIENT_TOKEN_BY, account, principal)
    }
}

impl Tx<'_> {
    /// Keeps an answered idempotent call.
    ///
    /// # Errors
    /// A database error.
    pub fn put_token(&self, token: &NewToken<'_>) -> Done {
        let find = "SELECT principal FROM client_token WHERE account = ?1 AND action = ?2 AND token = ?3";
        let key = params![token.account.as_str(), token.action, token.token];
        let mut statement = self.connection().prepare_cached(find)?;
        let before: Option<String> = statement.query_row(key, |row| row.get(0)).optional()?;
        match before {
            Some(before) => self.count(CLIENT_TOKEN_BY, token.account, &before, -1)?,
            None => self.count(CLIENT_TOKEN, token.account, "", 1)?,
        }
        self.count(CLIENT_TOKEN_BY, token.account, token.principal, 1)?;
        let values = params![
            token.account.as_str(),
            token.action,
            token.token,
            token.fingerprint,
            token.answer,
            token.request_id,
            token.created_ms,
            token.principal
        ];
        self.execute(
            "INSERT INTO client_token (account, action, token, fingerprint, answer, request_id, created_ms, principal) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (account, action, token) DO UPDATE SET \
             fingerprint = excluded.fingerprint, answer = excluded.answer, request_id = excluded.request_id, \
             created_ms = excluded.created_ms, principal = excluded.principal",
            values,
        )
    }

    /// Forgets the oldest idempotent calls from before a moment, at most `batch` of them; answers how many.
    ///
    /// # Errors
    /// A database error.
    pub fn expire_tokens(&self, before_ms: i64, batch: u32) -> Result<usize, StoreError> {
        let mut statement = self.connection().prepare_cached(
            "DELETE FROM client_token WHERE (account, action, token) IN (SELECT account, action, token \
             FROM client_token WHERE created_ms < ?1 ORDER BY created_ms LIMIT ?2) RETURNING account, principal",
        )?;
        let owner = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let rows = statement.query_map(params![before_ms, batch], owner)?;
        let mut expired = 0;
        let mut by_owner: BTreeMap<(String, String), i64> = BTreeMap::new();
        for owner in rows {
            *by_owner.entry(owner?).or_default() += 1;
            expired += 1;
        }
        for ((account, principal), number) in by_owner {
            let account = AccountId::new(account);
            self.count(CLIENT_TOKEN, &account, "", -number)?;
            self.count(CLIENT_TOKEN_BY, &account, &principal, -number)?;
            // Principals come and go; none leaves a row behind.
            self.execute(
                "DELETE FROM tally WHERE kind = ?1 AND account = ?2 AND region = ?3 AND value = 0",
                params![CLIENT_TOKEN_BY, account.as_str(), principal],
            )?;
        }
        Ok(expired)
    }
}
