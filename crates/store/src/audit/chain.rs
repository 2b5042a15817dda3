//! The chain of audit records: each contains a hash of itself and of the one before it, so that a record that was
//! changed, removed or inserted is detected.
//!
//! * The *anchor* is where the chain begins, the *head* its newest record. Both are in the table `audit_chain`; the
//!   head is updated in the transaction that appends. What retention purges leaves gaps
//!   ([`retention`](super::retention)), under seals of their own.
//! * Records from *before the chain* (of schemas 1 and 2, or from before it was started anew) precede the anchor.
//!   They got hashes when the chain began, in a chain of another kind with an end of its own: nothing vouches for
//!   their content before that, and tampering since then is detected.
//! * The *seal* is an HMAC over these ends under a key that is not in the clear in the database
//!   ([`Store::seal_audit`](crate::Store::seal_audit)), written with every batch. Somebody who can write the
//!   database but has no master key can make up a chain, but not its seal.
//!
//! What this cannot show: records that were appended after the last seal while the service was down (they look like
//! those that a killed process left in its journal), and that the whole database was replaced by an older copy of
//! itself. A head hash stored on another machine detects the second.

use std::sync::OnceLock;

use aws_lc_rs::hmac;
use tracing::error;

use super::link::{AuditLink, HASH_BYTES, Hash};
use crate::rows::Relation;
use crate::session::{Cells, FromRow, Session};
use crate::{DatabaseError, Snapshot, StoreError, Tx};

/// Begins what is sealed.
const SEAL: &[u8] = b"tongguan audit seal 2\0";
/// Begins what schema 3 sealed: anchor and head.
const SEAL_1: &[u8] = b"tongguan audit seal 1\0";

/// The key that a chain is sealed with, once it is known; none if the chain was not whole when it became known.
pub(crate) type Sealing = OnceLock<Option<hmac::Key>>;

/// Numbers beyond are not given: whoever puts in a record there does not stop the service.
pub(super) const MOST: i64 = i64::MAX / 2;

/// Anchor and head, as a process leaves them when it seals the chain.
pub(crate) type Ends = (AuditLink, AuditLink);

/// What a transaction that writes finds: the chain, and the number of the newest record.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) chain: AuditChain,
    last: Option<i64>,
}

/// The ends of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditChain {
    /// Where the chain begins: the last number before it.
    pub anchor: AuditLink,
    /// The newest record.
    pub head: AuditLink,
    /// The last of the records from before the chain; none if there never was one.
    pub old: Option<AuditLink>,
    /// Up to this record nothing but the name of its operation says whether it changed something.
    pub(crate) named_seq: i64,
    /// The newest record when the chain was sealed last, and the seal.
    seal: Option<(AuditLink, Vec<u8>)>,
}

impl FromRow for AuditLink {
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        let (seq, hash) = cells.next()?;
        Ok(Self { seq, hash })
    }
}

/// A place whose number is missing is none.
impl FromRow for Option<AuditLink> {
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        if cells.is_null()? {
            cells.skip(2);
            return Ok(None);
        }
        cells.next().map(Some)
    }
}

impl FromRow for AuditChain {
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        let (anchor, head, old) = cells.next()?;
        let (named_seq, seal): (_, Option<Vec<u8>>) = cells.next()?;
        let seal = match seal {
            None => None,
            Some(seal) => Some((cells.next()?, seal)),
        };
        Ok(Self { anchor, head, old, named_seq, seal })
    }
}

impl AuditChain {
    /// In the order in which they are read.
    const COLUMNS: &str = "anchor_seq, anchor_hash, head_seq, head_hash, old_seq, old_hash, named_seq, seal, sealed_seq, \
                           sealed_hash";

    /// The newest record that is sealed.
    #[must_use]
    pub fn sealed(&self) -> Option<AuditLink> {
        self.seal.as_ref().map(|(link, _)| *link)
    }

    /// Whether a record of this number is from before the chain.
    #[must_use]
    pub fn is_old(&self, seq: i64) -> bool {
        self.old.is_some_and(|old| seq <= old.seq)
    }

    pub(crate) fn read(session: Session<'_>) -> Result<Self, StoreError> {
        let sql = sql!("SELECT ", AuditChain::COLUMNS, " FROM audit_chain");
        session.only(sql, &[]).map_err(unreadable)
    }

    /// Anchor and head.
    pub(crate) fn ends(&self) -> Ends {
        (self.anchor, self.head)
    }

    /// Whether the seal is that of this key over these ends; false if there is none.
    pub(crate) fn seal_fits(&self, key: &hmac::Key) -> bool {
        self.seal.as_ref().is_some_and(|(sealed, seal)| {
            hmac::verify(key, &self.seal_text(sealed), seal).is_ok()
                || self.of_schema_3(sealed).is_some_and(|text| hmac::verify(key, &text, seal).is_ok())
        })
    }

    /// Whether there is no seal at all.
    pub(crate) fn unsealed(&self) -> bool {
        self.seal.is_none()
    }

    /// What a seal over this head is made of.
    fn seal_text(&self, head: &AuditLink) -> Vec<u8> {
        let mut text = Vec::with_capacity(SEAL.len() + 3 * (8 + HASH_BYTES) + 9);
        text.extend_from_slice(SEAL);
        for link in [&self.anchor, head].into_iter().chain(&self.old) {
            text.extend_from_slice(&link.seq.to_be_bytes());
            text.extend_from_slice(&link.hash);
        }
        text.extend_from_slice(&self.named_seq.to_be_bytes());
        text
    }

    /// What schema 3 made a seal of. Good until the chain is sealed anew: nothing later is sealed like this.
    fn of_schema_3(&self, head: &AuditLink) -> Option<Vec<u8>> {
        let mut text = SEAL_1.to_vec();
        for link in [&self.anchor, head] {
            text.extend_from_slice(&link.seq.to_be_bytes());
            text.extend_from_slice(&link.hash);
        }
        (head.seq <= self.named_seq).then_some(text)
    }

    /// The hash that a record follows; none if what comes before it is missing.
    pub(crate) fn before(&self, session: Session<'_>, seq: i64) -> Result<Option<Hash>, StoreError> {
        let old = self.is_old(seq);
        if !old && seq == self.anchor.seq.saturating_add(1) {
            return Ok(Some(self.anchor.hash));
        }
        let row = "SELECT seq, hash FROM audit WHERE seq < ?1 ORDER BY seq DESC LIMIT 1";
        let gap = "SELECT last, hash FROM audit_gap WHERE last < ?1 ORDER BY last DESC LIMIT 1";
        // A hash that cannot be read is none.
        let nearest = |sql| -> Result<Option<(i64, Option<Hash>)>, StoreError> {
            let mut statement = session.prepare(sql)?;
            let mut rows = statement.query_few(&binds![seq])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let mut cells = row.cells();
            Ok(Some((cells.next()?, cells.next().ok())))
        };
        let (row, gap) = (nearest(row)?, nearest(gap)?);
        // What a gap covers is not its record.
        let before = match (row, gap) {
            (Some(row), Some(gap)) if gap.0 >= row.0 => Some(gap),
            (row, gap) => row.or(gap),
        };
        Ok(match before {
            // Numbers of old records may have holes, and nothing is before the first.
            None if old => Some([0; HASH_BYTES]),
            Some((last, hash)) if old || last == seq.saturating_sub(1) => hash,
            _ => None,
        })
    }
}

impl FromRow for Found {
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        let (last, chain) = cells.next()?;
        Ok(Self { chain, last })
    }
}

impl Found {
    pub(crate) fn read(session: Session<'_>) -> Result<Self, StoreError> {
        let sql = sql!(
            "SELECT (SELECT max(seq) FROM audit WHERE seq < ?1), ",
            AuditChain::COLUMNS,
            " FROM audit_chain"
        );
        session.only(sql, &binds![MOST]).map_err(unreadable)
    }

    /// What a transaction finds before it writes anything, if this process seals the chain, whose ends it has left so.
    /// What somebody else has changed must not get its seal: then it is `forged`.
    pub(crate) fn look(
        session: Session<'_>,
        ends: Option<Ends>,
        forged: &mut bool,
    ) -> Result<Option<Self>, StoreError> {
        if ends.is_none() || *forged {
            return Ok(None);
        }
        let found = Self::read(session)?;
        if ends != Some(found.chain.ends()) {
            error!(
                "the audit record was changed beside the service; it is sealed no more: run `tongguan check`"
            );
            *forged = true;
        }
        Ok(Some(found))
    }

    /// The head of the chain, or the newest record, if that is beyond: then somebody else has put records in, which
    /// must not stop the service.
    pub(super) fn head_to_follow(&self) -> AuditLink {
        let AuditLink { seq, hash } = self.chain.head;
        AuditLink { seq: self.last.map_or(seq, |last| seq.max(last)), hash }
    }
}

#[cold]
fn unreadable(error: StoreError) -> StoreError {
    match error {
        StoreError::Database(error) if error.is_of_a_row() => {
            StoreError::Damaged(format!("the ends of the audit chain cannot be read: {error}"))
        }
        error => error,
    }
}

/// A key of the seal that is not kept yet.
#[derive(Debug, Clone)]
pub struct NewAuditKey {
    /// The key, sealed itself.
    pub sealed: Vec<u8>,
    /// When it was made, UNIX milliseconds.
    pub now_ms: i64,
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] =
    &[("the chain of audit records has its ends", "SELECT count(*) FROM audit_chain HAVING count(*) <> 1")];

impl Tx<'_> {
    /// Ends what a batch has appended: with its seal under this key, or without one. Answers where the chain begins and
    /// ends, if it is sealed.
    pub(crate) fn end_batch(&self, key: Option<&hmac::Key>) -> Result<Option<Ends>, StoreError> {
        match key {
            Some(key) => self.seal_audit(key).map(Some),
            None => self.end_audit().map(|()| None),
        }
    }

    /// Writes down the head of the chain, if records were appended, and seals it, unless it is sealed already. Answers
    /// where the chain begins and ends now.
    pub(crate) fn seal_audit(&self, key: &hmac::Key) -> Result<Ends, StoreError> {
        let mut chain = match self.found.take() {
            Some(found) => found.chain,
            None => AuditChain::read(self.session())?,
        };
        chain.head = self.head.take().unwrap_or(chain.head);
        let text = chain.seal_text(&chain.head);
        if let Some((sealed, seal)) = &chain.seal
            && *sealed == chain.head
            && hmac::verify(key, &text, seal).is_ok()
        {
            return Ok(chain.ends());
        }
        let (AuditLink { seq, hash }, seal) = (chain.head, hmac::sign(key, &text));
        self.execute(
            "UPDATE audit_chain SET head_seq = ?1, head_hash = ?2, sealed_seq = ?1, sealed_hash = ?2, seal = ?3",
            &binds![seq, hash, seal.as_ref()],
        )?;
        Ok(chain.ends())
    }

    /// Keeps the key of the seal, sealed itself.
    pub(crate) fn put_audit_key(
        &self,
        NewAuditKey { sealed, now_ms }: &NewAuditKey,
    ) -> Result<(), StoreError> {
        self.put_sealed_service_key("audit-chain", sealed, *now_ms)
    }
}

impl Snapshot<'_> {
    /// The ends of the chain of audit records.
    ///
    /// # Errors
    /// A database error.
    pub fn audit_chain(&self) -> Result<AuditChain, StoreError> {
        AuditChain::read(self.session())
    }

    /// The key of the seal as it was kept ([`NewAuditKey::sealed`]).
    ///
    /// # Errors
    /// A database error.
    pub fn audit_key(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.sealed_service_key("audit-chain")
    }
}
