//! The audit record: who did what, on what, with which result. Never a secret.

use std::borrow::Cow;
use std::ops::ControlFlow;

use rusqlite::Row;
use serde::{Deserialize, Serialize};

use crate::{Snapshot, StoreError};

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
    /// Id of the access key that the call made: AssumeRole, CreateAccessKey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<String>,
    /// Of a session's call: who made the session, and with which key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Of a session's call: the source identity that the session carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
    /// Whether the call changed something.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
    /// Set if the record stands for several calls, which differ in their request ids and times, and in whatever is
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeats>,
}

/// Of a record that stands for several calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeats {
    /// How many.
    pub count: u64,
    /// When the first was answered, UNIX milliseconds; [`AuditRecord::time_ms`] is that of the last.
    pub since_ms: i64,
}

/// The columns of a record, in the order of [`record`].
pub(crate) const RECORD_COLUMNS: &str = "seq, time_ms, request_id, account, principal, access_key, source, product, \
     action, resource, status, code, issued, origin, source_identity, changed, repeats, since_ms";
/// How many they are.
pub(super) const COLUMNS: usize = 18;

/// Number and record of a row of [`RECORD_COLUMNS`].
pub(crate) fn record(row: &Row<'_>) -> rusqlite::Result<(i64, AuditRecord)> {
    let product: Option<String> = row.get(7)?;
    let repeats = match (row.get::<_, Option<i64>>(16)?, row.get(17)?) {
        (Some(count), Some(since_ms)) => Some(Repeats { count: count.cast_unsigned(), since_ms }),
        (None, None) => None,
        _ => return Err(rusqlite::Error::InvalidQuery),
    };
    let record = AuditRecord {
        time_ms: row.get(1)?,
        request_id: row.get(2)?,
        account: row.get(3)?,
        principal: row.get(4)?,
        access_key: row.get(5)?,
        source: row.get(6)?,
        product: product.map(Into::into),
        action: row.get(8)?,
        resource: row.get(9)?,
        status: row.get(10)?,
        code: row.get(11)?,
        issued: row.get(12)?,
        origin: row.get(13)?,
        source_identity: row.get(14)?,
        changed: row.get(15)?,
        repeats,
    };
    Ok((row.get(0)?, record))
}

impl Snapshot<'_> {
    /// Result of the call with this request id in the audit record: HTTP status and error code.
    ///
    /// # Errors
    /// A database error.
    pub fn audited(&self, request_id: &str) -> Result<Option<(u16, Option<String>)>, StoreError> {
        let sql = "SELECT status, code FROM audit WHERE request_id = ?1";
        self.one(sql, request_id, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Shows the records from the newest to the oldest, with their numbers, until `look` has seen enough.
    ///
    /// # Errors
    /// A database error.
    pub fn audit_newest(
        &self,
        look: impl FnMut(i64, AuditRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.audit_walk(
            &format!("SELECT {RECORD_COLUMNS} FROM audit WHERE seq > ?1 ORDER BY seq DESC"),
            i64::MIN,
            look,
        )
    }

    /// Shows the records after number `after`, in their order, until `look` has seen enough.
    ///
    /// # Errors
    /// A database error.
    pub fn audit_after(
        &self,
        after: i64,
        look: impl FnMut(i64, AuditRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.audit_walk(
            &format!("SELECT {RECORD_COLUMNS} FROM audit WHERE seq > ?1 ORDER BY seq"),
            after,
            look,
        )
    }

    fn audit_walk(
        &self,
        sql: &str,
        after: i64,
        mut look: impl FnMut(i64, AuditRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection().prepare_cached(sql)?;
        let mut rows = statement.query([after])?;
        while let Some(row) = rows.next()? {
            let (seq, record) = record(row)?;
            if look(seq, record).is_break() {
                break;
            }
        }
        Ok(())
    }
}
