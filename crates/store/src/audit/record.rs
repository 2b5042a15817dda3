//! The audit record: who did what, on what, with which result. Never a secret.

use std::borrow::Cow;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::chain::AuditChain;
use super::link::{AuditLink, Hash};
use crate::rows::Columns as _;
use crate::rows::table::count;
use crate::session::{Cells, FromRow, Row};
use crate::{DatabaseError, Snapshot, StoreError};

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
    /// Operation as it was requested.
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
    /// Set if the record represents several calls, which differ in their request ids and times, and in whatever is
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeats>,
}

/// Of a record that represents several calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeats {
    /// How many.
    pub count: u64,
    /// When the first was answered, UNIX milliseconds; [`AuditRecord::time_ms`] is that of the last.
    pub since_ms: i64,
}

columns! { Repeats { count = "repeats", since_ms } }

/// Both or none.
impl FromRow for Option<Repeats> {
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        if cells.is_null()? {
            let (None, None): (Option<i64>, Option<i64>) = cells.next()? else {
                return Err(DatabaseError::unreadable("a record has no number of calls and a begin".into()));
            };
            return Ok(None);
        }
        cells.next().map(Some)
    }
}

table! {
    AuditRecord as record in "audit" {
        both {
            time_ms, request_id, account, principal, access_key, source, product, action, resource, status, code, issued,
            origin, source_identity, changed,
        }
        read { repeats = Repeats::COLUMNS }
        write(seq: i64, hash: &Hash, stream: i64) {
            repeats = record.repeats.map(|repeats| repeats.count),
            since_ms = record.repeats.map(|repeats| repeats.since_ms),
            seq = seq,
            hash = hash,
            stream = stream,
        }
    }
}

/// Number and record: what the hash of a record from before the chain is over, in this order.
pub(super) const NUMBERED: &str = sql!("seq, ", AuditRecord::COLUMNS);
/// How many columns they are.
pub(super) const COLUMNS: usize = count(NUMBERED);
/// Number and record, and what stands in the row beside them.
pub(super) const WHOLE: &str = sql!(NUMBERED, ", hash, stream");

/// Hash and stream of a row of [`WHOLE`], as far as they can be read.
pub(super) fn beside(row: Row<'_>) -> (Option<Hash>, Option<i64>) {
    let mut cells = row.cells();
    cells.skip(COLUMNS);
    (cells.next().ok(), cells.next().ok())
}

/// Number and hash of a record; what is no hash is none.
const HASH_OF: &str = "SELECT seq, CASE WHEN length(hash) = 32 THEN hash END FROM audit WHERE seq = ?1";

impl Snapshot<'_> {
    /// Result of the call with this request id in the audit record: HTTP status and error code.
    ///
    /// # Errors
    /// A database error.
    pub fn audited(&self, request_id: &str) -> Result<Option<(u16, Option<String>)>, StoreError> {
        self.session().one("SELECT status, code FROM audit WHERE request_id = ?1", &binds![request_id])
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
            sql!("SELECT ", NUMBERED, " FROM audit WHERE seq > ?1 ORDER BY seq DESC"),
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
        self.audit_walk(sql!("SELECT ", NUMBERED, " FROM audit WHERE seq > ?1 ORDER BY seq"), after, look)
    }

    /// The place of a record in the chain; none if it is not there, or its hash cannot be read.
    ///
    /// # Errors
    /// A database error.
    pub fn audit_link(&self, seq: i64) -> Result<Option<AuditLink>, StoreError> {
        let kept: Option<(i64, Option<Hash>)> = self.session().one(HASH_OF, &binds![seq])?;
        Ok(kept.and_then(|(seq, hash)| Some(AuditLink { seq, hash: hash? })))
    }

    /// Whether these records go on where somebody who reads them in their order has arrived: at this number, and
    /// this hash if it is known.
    ///
    /// # Errors
    /// A database error.
    pub fn audit_goes_on(&self, seq: i64, hash: Option<&[u8; 32]>) -> Result<bool, StoreError> {
        let chain = AuditChain::read(self.session())?;
        let kept: Option<(i64, Option<Hash>)> = self.session().one(HASH_OF, &binds![seq])?;
        Ok(match kept {
            // Where a chain begins anew, records from before it get hashes of another kind.
            Some((seq, there)) if !chain.is_old(seq) => {
                hash.zip(there.as_ref()).is_none_or(|(hash, there)| hash == there)
            }
            Some(_) => true,
            None => seq <= chain.head.seq,
        })
    }

    fn audit_walk(
        &self,
        sql: &str,
        after: i64,
        mut look: impl FnMut(i64, AuditRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut statement = self.session().prepare(sql)?;
        let mut rows = statement.query(&binds![after])?;
        while let Some(row) = rows.next()? {
            let (seq, record) = row.read()?;
            if look(seq, record).is_break() {
                break;
            }
        }
        Ok(())
    }
}
