//! Answered idempotent calls, by their ClientToken.

use std::collections::BTreeMap;
use tongguan_model::id::AccountId;

use super::{Answer, Columns as _, Done};
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

columns! { StoredToken { fingerprint, answer, created_ms } }

/// By what a token is remembered.
#[derive(Debug, Clone, Copy)]
pub struct TokenName<'a> {
    /// Account of the caller.
    pub account: &'a AccountId,
    /// Operation.
    pub action: &'a str,
    /// The caller's token.
    pub token: &'a str,
}

/// What to keep of an answered idempotent call.
#[derive(Debug)]
pub struct NewToken<'a> {
    /// By what it is remembered.
    pub name: TokenName<'a>,
    /// The caller in its account.
    pub principal: &'a str,
    /// Fingerprint of the parameters.
    pub fingerprint: &'a [u8],
    /// Answer without the request id, a JSON object.
    pub answer: &'a str,
    /// Id of the request that was answered.
    pub request_id: &'a str,
    /// When, UNIX milliseconds.
    pub created_ms: i64,
}

/// Tokens read at a time, which bounds the memory of a walk.
const BATCH: u32 = 256;

/// Kind of the tally that counts an account's remembered tokens.
pub(crate) const CLIENT_TOKEN: &str = "client_token";

/// Kind of the tally that counts them by principal, which is stored in place of the region.
pub(crate) const CLIENT_TOKEN_BY: &str = "client_token_by";

impl Snapshot<'_> {
    /// What is kept of an answered call with this token.
    ///
    /// # Errors
    /// A database error.
    pub fn token(&self, name: TokenName<'_>) -> Answer<Option<StoredToken>> {
        self.session.one(
            sql!(
                "SELECT ",
                StoredToken::COLUMNS,
                " FROM client_token WHERE account = ?1 AND action = ?2 AND token = ?3"
            ),
            &binds![name.account, name.action, name.token],
        )
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
        let NewToken { name: TokenName { account, action, token: text }, principal, .. } = *token;
        let find = "SELECT principal FROM client_token WHERE account = ?1 AND action = ?2 AND token = ?3";
        let before: Option<String> = self.session.one(find, &binds![account, action, text])?;
        match before {
            Some(before) => self.count(CLIENT_TOKEN_BY, account, &before, -1)?,
            None => self.count(CLIENT_TOKEN, account, "", 1)?,
        }
        self.count(CLIENT_TOKEN_BY, account, principal, 1)?;
        upsert!(self.session, "client_token" { account: account, action: action, token: text } set {
            fingerprint: token.fingerprint,
            answer: token.answer,
            request_id: token.request_id,
            created_ms: token.created_ms,
            principal: principal,
        })?;
        Ok(())
    }

    /// Replaces the fingerprint of every token by what `make` says of the present one.
    ///
    /// # Errors
    /// A database error.
    pub fn replace_fingerprints(&self, make: impl Fn(TokenName<'_>, &[u8]) -> Vec<u8>) -> Done {
        let page = "SELECT account, action, token, fingerprint FROM client_token \
                    WHERE (account, action, token) > (?1, ?2, ?3) ORDER BY account, action, token LIMIT ?4";
        let replace =
            "UPDATE client_token SET fingerprint = ?4 WHERE account = ?1 AND action = ?2 AND token = ?3";
        let mut after = (AccountId::new(""), String::new(), String::new());
        loop {
            let rows: Vec<(AccountId, String, String, Vec<u8>)> =
                self.session.all(page, &binds![after.0, after.1, after.2, BATCH])?;
            for (account, action, token, present) in &rows {
                let fingerprint = make(TokenName { account, action, token }, present);
                self.execute(replace, &binds![account, action, token, fingerprint])?;
            }
            match rows.into_iter().next_back() {
                Some((account, action, token, _)) => after = (account, action, token),
                None => return Ok(()),
            }
        }
    }

    /// Purges the oldest idempotent calls from before a time, at most `batch` of them; returns how many.
    ///
    /// # Errors
    /// A database error.
    pub fn expire_tokens(&self, before_ms: i64, batch: u32) -> Result<usize, StoreError> {
        let sql = "DELETE FROM client_token WHERE (account, action, token) IN (SELECT account, action, token \
                   FROM client_token WHERE created_ms < ?1 ORDER BY created_ms LIMIT ?2) RETURNING account, principal";
        let owners: Vec<(AccountId, String)> = self.session.all(sql, &binds![before_ms, batch])?;
        let expired = owners.len();
        let mut by_owner: BTreeMap<(AccountId, String), i64> = BTreeMap::new();
        for owner in owners {
            *by_owner.entry(owner).or_default() += 1;
        }
        for ((account, principal), number) in by_owner {
            self.count(CLIENT_TOKEN, &account, "", -number)?;
            self.count(CLIENT_TOKEN_BY, &account, &principal, -number)?;
            // Principals come and go; none leaves a row behind.
            self.execute(
                "DELETE FROM tally WHERE kind = ?1 AND account = ?2 AND region = ?3 AND value = 0",
                &binds![CLIENT_TOKEN_BY, account, principal],
            )?;
        }
        Ok(expired)
    }
}
