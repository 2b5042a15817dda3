//! Appends records to the chain, and begins it: the only place that writes any.

use super::chain::{Found, MOST};
use super::link::{AuditLink, Encoded, HASH_BYTES};
use super::record::{self, NUMBERED};
use super::retention::stream_of;
use crate::session::Session;
use crate::{AuditRecord, StoreError, Tx};

impl Tx<'_> {
    /// Appends a record to the chain.
    ///
    /// # Errors
    /// A database error.
    pub fn audit(&self, record: &AuditRecord) -> Result<(), StoreError> {
        self.audit_all(std::slice::from_ref(record))
    }

    /// Appends records to the chain: the only place that writes any. The chain's head is written with
    /// [`Tx::end_audit`].
    pub(crate) fn audit_all(&self, records: &[AuditRecord]) -> Result<(), StoreError> {
        let Some((first, others)) = records.split_first() else { return Ok(()) };
        let mut head = match self.head.get() {
            Some(head) => head,
            None => match &*self.found.borrow() {
                Some(found) => found.head_to_follow(),
                None => Found::read(self.session())?.head_to_follow(),
            },
        };
        let insert = |record: &AuditRecord, AuditLink { seq, hash }: AuditLink| {
            let seq = seq.saturating_add(1);
            let mut encoded = Encoded::of_new(record, seq, false);
            (AuditLink { seq, hash: encoded.link(&hash) }, encoded.stream)
        };
        let (link, stream) = insert(first, head);
        record::insert(self.session(), first, link.seq, &link.hash, stream)?;
        head = link;
        if !others.is_empty() {
            let mut rows = self.session().many(record::INSERT)?;
            for record in others {
                let (link, stream) = insert(record, head);
                record::insert(&mut rows, record, link.seq, &link.hash, stream)?;
                head = link;
            }
            rows.end()?;
        }
        self.head.set(Some(head));
        Ok(())
    }

    /// Writes down the head of the chain, if records were appended: once, however many they were.
    pub(crate) fn end_audit(&self) -> Result<(), StoreError> {
        let Some(AuditLink { seq, hash }) = self.head.take() else { return Ok(()) };
        self.execute("UPDATE audit_chain SET head_seq = ?1, head_hash = ?2", &binds![seq, hash])
    }

    /// Begins a chain anew after the newest record, unsealed: those that are there become records from before it.
    pub(crate) fn begin_audit_anew(&self) -> Result<(), StoreError> {
        self.end_audit()?;
        self.found.take();
        let session = self.session();
        session.script("DELETE FROM audit_gap; DELETE FROM audit_trimmed;")?;
        let head: i64 = session.only("SELECT head_seq FROM audit_chain", &[])?;
        let last: Option<i64> = session.only("SELECT max(seq) FROM audit WHERE seq < ?1", &binds![MOST])?;
        let mut end = last.map_or(head, |last| last.max(head));
        // Those that somebody has put in where no number is given are brought to where they can be followed.
        let far = "SELECT seq FROM audit WHERE seq >= ?1 ORDER BY seq LIMIT 1";
        while let Some(seq) = session.one::<i64>(far, &binds![MOST])? {
            end += 1;
            self.execute("UPDATE audit SET seq = ?1 WHERE seq = ?2", &binds![end, seq])?;
        }
        make_old(session, end)?;
        self.execute(
            "UPDATE audit_chain SET anchor_seq = ?1, anchor_hash = ?2, head_seq = ?1, head_hash = ?2, named_seq = ?1, \
             sealed_seq = NULL, sealed_hash = NULL, seal = NULL",
            &binds![end, [0; HASH_BYTES]],
        )
    }
}

/// Makes one chain of records that were brought here, numbered from 1 on without a hole: those up to number `old` are
/// from before it, and of those up to `named` nothing but the name of the operation says whether they changed
/// something. It is not sealed yet.
pub(crate) fn make_chain(session: Session<'_>, old: i64, named: i64) -> Result<(), StoreError> {
    make_old(session, old)?;
    let mut head = AuditLink { seq: old, hash: [0; HASH_BYTES] };
    let sql = sql!("SELECT ", NUMBERED, " FROM audit WHERE seq > ?1 ORDER BY seq LIMIT 1024");
    let mut put = session.prepare("UPDATE audit SET hash = ?2, stream = ?3 WHERE seq = ?1")?;
    loop {
        let records: Vec<(i64, AuditRecord)> = session.all(sql, &binds![head.seq])?;
        if records.is_empty() {
            break;
        }
        for (seq, record) in &records {
            let mut encoded = Encoded::of_new(record, *seq, *seq <= named);
            head = AuditLink { seq: *seq, hash: encoded.link(&head.hash) };
            put.execute(&binds![head.seq, head.hash, encoded.stream])?;
        }
    }
    session.execute(
        "UPDATE audit_chain SET anchor_seq = ?1, anchor_hash = ?2, head_seq = ?3, head_hash = ?4, named_seq = ?5, \
         sealed_seq = NULL, sealed_hash = NULL, seal = NULL",
        &binds![old, [0; HASH_BYTES], head.seq, head.hash, named],
    )?;
    Ok(())
}

/// Brings the chain of schema 3 up: records that are not part of it become records from before it, if it is plain
/// that there were such; and every record gets its stream.
pub(crate) fn bring_up(session: Session<'_>) -> Result<(), StoreError> {
    session.script("UPDATE audit_chain SET named_seq = head_seq")?;
    let (anchor, hash): (i64, Vec<u8>) =
        session.only("SELECT anchor_seq, anchor_hash FROM audit_chain", &[])?;
    // An anchor with a hash is a record that retention has removed, and all older ones before it; one at 0 is that of
    // a database that never had any. Nobody knows of others, and `check` goes on saying so.
    if anchor > 0 && hash.iter().all(|byte| *byte == 0) {
        make_old(session, anchor)?;
    }
    let sql = sql!("SELECT ", NUMBERED, " FROM audit WHERE hash IS NOT NULL AND stream = 0");
    let mut streams = Vec::new();
    let mut statement = session.prepare(sql)?;
    let mut rows = statement.query(&[])?;
    while let Some(row) = rows.next()? {
        if let Ok((seq, record)) = row.read::<(i64, AuditRecord)>() {
            streams.push((seq, stream_of(&record, true)));
        }
    }
    let mut put = session.prepare("UPDATE audit SET stream = ?2 WHERE seq = ?1")?;
    streams.into_iter().try_for_each(|(seq, stream)| put.execute(&binds![seq, stream]).map(drop))
}

/// Makes all records up to a number records from before the chain: each gets a hash of that kind, and its stream.
fn make_old(session: Session<'_>, upto: i64) -> Result<(), StoreError> {
    let sql = sql!("SELECT ", NUMBERED, " FROM audit WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT 1024");
    let mut put = session.prepare("UPDATE audit SET hash = ?2, stream = ?3 WHERE seq = ?1")?;
    let mut end: Option<AuditLink> = None;
    loop {
        let mut batch = Vec::new();
        let mut statement = session.prepare(sql)?;
        // Nothing is at the least number: `-9223372036854775808` itself is left to be found.
        let mut rows = statement.query(&binds![end.map_or(i64::MIN, |end| end.seq), upto])?;
        while let Some(row) = rows.next()? {
            let mut encoded = Encoded::of_old(row)?;
            let seq = row.read()?;
            let hash = encoded.link(&end.map_or([0; HASH_BYTES], |end| end.hash));
            end = Some(AuditLink { seq, hash });
            batch.push((seq, hash, encoded.stream));
        }
        if batch.is_empty() {
            break;
        }
        for (seq, hash, stream) in batch {
            put.execute(&binds![seq, hash, stream])?;
        }
    }
    let sql = "UPDATE audit_chain SET old_seq = ?1, old_hash = ?2";
    session.execute(sql, &binds![end.map(|end| end.seq), end.map(|end| end.hash)])?;
    Ok(())
}
