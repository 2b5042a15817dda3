//! The audit record: who did what, on what, with which result. Never a secret.

use std::borrow::Cow;

use rusqlite::params;
use serde::{Deserialize, Serialize};

use crate::{StoreError, Tx};

/// One call, granted or refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When it was answered, UNIX milliseconds.
    pub time_ms: i64,
    /// Id of the request.
    pub request_id: String,
    /// Account of the caller, once known.
    pub account: Option<String>,
    /// ARN of the caller, once known.
    pub principal: Option<String>,
    /// Access key id as it was sent.
    pub access_key: Option<String>,
    /// Address that the call came from.
    pub source: String,
    /// Product, once known.
    pub product: Option<Cow<'static, str>>,
    /// Operation as it was asked for.
    pub action: Option<String>,
    /// Resource named in the call.
    pub resource: Option<String>,
    /// HTTP status of the answer.
    pub status: u16,
    /// Error code of the answer, if it was refused.
    pub code: Option<String>,
}

impl Tx<'_> {
    /// Appends a record.
    ///
    /// # Errors
    /// A database error.
    pub fn audit(&self, record: &AuditRecord) -> Result<(), StoreError> {
        self.connection()
            .prepare_cached(
                "INSERT INTO audit (time_ms, request_id, account, principal, access_key, source, product, action, \
                 resource, status, code) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                record.time_ms,
                record.request_id,
                record.account,
                record.principal,
                record.access_key,
                record.source,
                record.product,
                record.action,
                record.resource,
                record.status,
                record.code
            ])?;
        Ok(())
    }

    /// Removes the oldest records beyond the newest `keep`, at most `batch` of them.
    pub(crate) fn trim_audit(&self, keep: u64, batch: u32) -> Result<usize, StoreError> {
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        let removed = self
            .connection()
            .prepare_cached(
                "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit \
                 WHERE seq <= (SELECT coalesce(max(seq), 0) FROM audit) - ?1 ORDER BY seq LIMIT ?2)",
            )?
            .execute(params![keep, batch])?;
        Ok(removed)
    }
}
