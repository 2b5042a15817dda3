//! Appends records to the chain, and begins it: the only place that writes any.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::link::{AuditLink, Encoded, HASH_BYTES, Hash};
use super::record::{RECORD_COLUMNS, record};
use super::retention::stream_of;
use crate::{AuditRecord, StoreError, Tx};

/// Numbers beyond are not given: whoever puts in a record there does not stop the service.
const MOST: i64 = i64::MAX / 2;

impl Tx<'_> {
    /// Appends a record to the chain.
    ///
    /// # Errors
    /// A database error.
    pub fn audit(&self, record: &AuditRecord) -> Result<(), StoreError> {
        self.audit_all(std::slice::from_ref(record))
    }

    /// Appends records to the chain: the only place that writes any.
    pub(crate) fn audit_all(&self, records: &[AuditRecord]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let connection = self.connection();
        let sql = "SELECT head_seq, head_hash, (SELECT max(seq) FROM audit WHERE seq < ?1) FROM audit_chain";
        let (mut seq, mut hash, last) = connection.prepare_cached(sql)?.query_row([MOST], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Hash>(1)?, row.get::<_, Option<i64>>(2)?))
        })?;
        // Differs from the head only if somebody else has put records in: they must not stop the service.
        seq = last.map_or(seq, |last| seq.max(last));
        let mut insert = connection.prepare_cached(
            "INSERT INTO audit (seq, time_ms, request_id, account, principal, access_key, source, product, action, \
             resource, status, code, issued, origin, source_identity, changed, repeats, since_ms, hash, stream) VALUES \
             (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
        )?;
        for record in records {
            seq = seq.saturating_add(1);
            let encoded = Encoded::of_new(record, seq, false);
            hash = encoded.link(&hash);
            insert.execute(params![
                seq,
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
                record.code,
                record.issued,
                record.origin,
                record.source_identity,
                record.changed,
                record.repeats.map(|repeats| repeats.count.cast_signed()),
                record.repeats.map(|repeats| repeats.since_ms),
                hash,
                encoded.stream
            ])?;
        }
        let sql = "UPDATE audit_chain SET head_seq = ?1, head_hash = ?2";
        connection.prepare_cached(sql)?.execute(params![seq, hash])?;
        Ok(())
    }

    /// Begins a chain anew after the newest record, unsealed: those that are there become records from before it.
    pub(crate) fn begin_audit_anew(&self) -> Result<(), StoreError> {
        let connection = self.connection();
        connection.execute_batch("DELETE FROM audit_gap; DELETE FROM audit_trimmed;")?;
        let head: i64 = connection.query_row("SELECT head_seq FROM audit_chain", [], |row| row.get(0))?;
        let last: Option<i64> =
            connection.query_row("SELECT max(seq) FROM audit WHERE seq < ?1", [MOST], |row| row.get(0))?;
        let mut end = last.map_or(head, |last| last.max(head));
        // Those that somebody has put in where no number is given are brought to where they can be followed.
        let mut far = connection.prepare("SELECT seq FROM audit WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
        while let Some(seq) = far.query_row([MOST], |row| row.get::<_, i64>(0)).optional()? {
            end += 1;
            connection.execute("UPDATE audit SET seq = ?1 WHERE seq = ?2", [end, seq])?;
        }
        make_old(connection, end)?;
        connection.execute(
            "UPDATE audit_chain SET anchor_seq = ?1, anchor_hash = zeroblob(32), head_seq = ?1, \
             head_hash = zeroblob(32), named_seq = ?1, sealed_seq = NULL, sealed_hash = NULL, seal = NULL",
            [end],
        )?;
        Ok(())
    }
}

/// Brings the chain of schema 3 up: records that are not part of it become records from before it, if it is plain
/// that there were such; and every record gets its stream.
pub(crate) fn bring_up(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch("UPDATE audit_chain SET named_seq = head_seq")?;
    let (anchor, hash) =
        connection.query_row("SELECT anchor_seq, anchor_hash FROM audit_chain", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
    // An anchor with a hash is a record that retention has removed, and all older ones before it; one at 0 is that of
    // a database that never had any. Nobody knows of others, and `check` goes on saying so.
    if anchor > 0 && hash.iter().all(|byte| *byte == 0) {
        make_old(connection, anchor)?;
    }
    let sql = format!("SELECT {RECORD_COLUMNS} FROM audit WHERE hash IS NOT NULL AND stream = 0");
    let mut put = connection.prepare("UPDATE audit SET stream = ?2 WHERE seq = ?1")?;
    let mut streams = Vec::new();
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Ok((seq, record)) = record(row) {
            streams.push((seq, stream_of(&record, true)));
        }
    }
    streams.into_iter().try_for_each(|(seq, stream)| put.execute([seq, stream]).map(|_| ()))?;
    Ok(())
}

/// Makes all records up to a number records from before the chain: each gets a hash of that kind, and its stream.
fn make_old(connection: &Connection, upto: i64) -> Result<(), StoreError> {
    const BATCH: i64 = 1_024;
    let sql =
        format!("SELECT {RECORD_COLUMNS} FROM audit WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT {BATCH}");
    let mut put = connection.prepare("UPDATE audit SET hash = ?2, stream = ?3 WHERE seq = ?1")?;
    let mut end: Option<AuditLink> = None;
    loop {
        let mut batch = Vec::new();
        let mut statement = connection.prepare_cached(&sql)?;
        // Nothing is at the least number: `-9223372036854775808` itself is left to be found.
        let mut rows = statement.query([end.map_or(i64::MIN, |end| end.seq), upto])?;
        while let Some(row) = rows.next()? {
            let encoded = Encoded::of_old(row)?;
            let seq = row.get(0)?;
            let hash = encoded.link(&end.map_or([0; HASH_BYTES], |end| end.hash));
            end = Some(AuditLink { seq, hash });
            batch.push((seq, hash, encoded.stream));
        }
        if batch.is_empty() {
            break;
        }
        for (seq, hash, stream) in batch {
            put.execute(params![seq, hash, stream])?;
        }
    }
    let sql = "UPDATE audit_chain SET old_seq = ?1, old_hash = ?2";
    connection.execute(sql, params![end.map(|end| end.seq), end.map(|end| end.hash)])?;
    Ok(())
}
