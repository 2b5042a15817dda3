//! Nonces on their way: no request that one side has let in is let in by the other.
//!
//! Each has the same print in either store. What was forgotten since it had expired must stay refused wherever the
//! clock is behind: so the other side refuses whatever expires no later than that.

use std::path::Path;

use crate::StoreError;
use crate::postgres::admit::LEFT_BEHIND;
use crate::postgres::held::LATE_SECONDS;
use crate::session::{Owned, Session};
use crate::sqlite::nonce::{NonceLog, Print};

use super::tables::{Batch, Table};

/// From the log of a data directory; answers how many.
pub(super) fn into_shared(target: Session<'_>, log: &Path, now: i64) -> Result<u64, StoreError> {
    let table = Table::of_nonces();
    let mut batch = Batch::new(&table, target);
    let mut count = 0;
    // A log may hold a nonce twice: what was written for a request that was not answered is written again.
    target.script("CREATE TEMP TABLE moved_nonce (print BYTEA, until BIGINT) ON COMMIT DROP")?;
    let forgotten = NonceLog::each(log, now, |print, expires| {
        if expires < now {
            return Ok(());
        }
        count += 1;
        batch.push(vec![Owned::Blob(print.to_vec()), Owned::Integer(expires)])
    })?;
    batch.end()?;
    target.script(
        "INSERT INTO nonce (print, until) SELECT print, max(until) FROM moved_nonce GROUP BY print; \
         DROP TABLE moved_nonce",
    )?;
    insert!(target, "nonce" { print: *LEFT_BEHIND, until: forgotten })?;
    Ok(count)
}

/// How many a shared database has.
pub(super) fn in_shared(source: Session<'_>) -> Result<u64, StoreError> {
    let count: i64 = source.only("SELECT count(*) FROM nonce WHERE print <> ?1", &binds![*LEFT_BEHIND])?;
    Ok(count.max(0).cast_unsigned())
}

/// Into the log of a data directory.
pub(super) fn out_of_shared(source: Session<'_>, log: &Path) -> Result<(), StoreError> {
    let now: i64 = source.only("SELECT now_ms() / 1000", &[])?;
    let left_behind: Option<i64> =
        source.one("SELECT until FROM nonce WHERE print = ?1", &binds![*LEFT_BEHIND])?;
    let forgotten = left_behind.map_or(now - LATE_SECONDS, |left| left.max(now - LATE_SECONDS));
    NonceLog::begin_with(log, forgotten, |put| {
        let mut statement = source.prepare("SELECT print, until FROM nonce WHERE print <> ?1")?;
        let mut rows = statement.query(&binds![*LEFT_BEHIND])?;
        while let Some(row) = rows.next()? {
            let (print, until): (Print, i64) = row.read()?;
            put(&print, until).map_err(|source| StoreError::File {
                what: "cannot write the nonce log in",
                path: log.to_path_buf(),
                source,
            })?;
        }
        Ok(())
    })
}
