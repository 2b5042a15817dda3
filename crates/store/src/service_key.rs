//! Keys of the service's own, sealed under the master key.

use rusqlite::{OptionalExtension as _, params};

use crate::{Snapshot, StoreError, Tx};

impl Snapshot<'_> {
    /// The sealed key of this name.
    ///
    /// # Errors
    /// A database error.
    pub fn service_key(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT sealed_key FROM service_key WHERE name = ?1";
        Ok(self.connection().prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?)
    }
}

impl Tx<'_> {
    /// Stores a sealed key, replacing one of the same name.
    ///
    /// # Errors
    /// A database error.
    pub fn put_service_key(&self, name: &str, sealed_key: &[u8], now_ms: i64) -> Result<(), StoreError> {
        self.connection()
            .prepare_cached(
                "INSERT INTO service_key (name, sealed_key, created_ms) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (name) DO UPDATE SET sealed_key = excluded.sealed_key",
            )?
            .execute(params![name, sealed_key, now_ms])?;
        Ok(())
    }
}
