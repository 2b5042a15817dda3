//! Every sealed value of the database, in one list: to read them all, and to seal them again.
//!
//! The store does not know how values are sealed; it knows where they are. A test compares the list with the
//! schema: a column that is named `sealed_...` and is not in the list fails it.

use crate::{Bearer, Snapshot, StoreError, Tx};

/// Rows read at a time, which bounds the memory of a walk.
const BATCH: usize = 256;

/// Gets an id and the sealed value; returns whether to continue.
type Look<'l> = dyn FnMut(&str, &[u8]) -> Result<bool, StoreError> + 'l;

/// What a sealed value is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedKind {
    /// The secret of an access key, by the key's id.
    AccessKey,
    /// The private key of a certificate, by the certificate's id.
    Certificate,
    /// The private key of a request for a certificate in Cas, where it is known, by the request's own id.
    SigningRequest,
    /// The key of a customer gateway's BGP sessions, by the gateway's id.
    CustomerGateway,
    /// The keys of a connection's tunnels, by the connection's id: those that are wanted, and those before a change.
    Connection,
    /// A key of the service's own, by its name.
    ServiceKey,
}

/// Where the sealed values of one kind are stored.
struct Place {
    kind: SealedKind,
    table: &'static str,
    /// A unique text that names the row.
    id: &'static str,
    column: &'static str,
}

/// Every column with sealed values.
const PLACES: &[Place] = &[
    Place { kind: SealedKind::ServiceKey, table: "service_key", id: "name", column: "sealed_key" },
    Place { kind: SealedKind::AccessKey, table: "access_key", id: "id", column: "sealed_secret" },
    Place { kind: SealedKind::Certificate, table: "certificate", id: "id", column: "sealed_private_key" },
    Place { kind: SealedKind::Connection, table: "vpn_connection", id: "id", column: "sealed_keys" },
    Place { kind: SealedKind::Connection, table: "vpn_connection", id: "id", column: "sealed_before" },
    Place { kind: SealedKind::SigningRequest, table: "cas_csr", id: "id", column: "sealed_private_key" },
    Place {
        kind: SealedKind::CustomerGateway,
        table: "customer_gateway",
        id: "id",
        column: "sealed_auth_key",
    },
];

impl Place {
    fn batch(&self, snapshot: &Snapshot<'_>, after: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let Self { table, id, column, .. } = self;
        let sql = format!(
            "SELECT {id}, {column} FROM {table} WHERE {id} > ?1 AND {column} IS NOT NULL ORDER BY {id} LIMIT {BATCH}"
        );
        snapshot.session.all(&sql, &binds![after])
    }

    /// Gives every value to `look`, a batch at a time, until it answers `false`.
    fn walk(&self, snapshot: &Snapshot<'_>, look: &mut Look<'_>) -> Result<bool, StoreError> {
        let mut after = String::new();
        loop {
            let rows = self.batch(snapshot, &after)?;
            let last = rows.len() < BATCH;
            for (id, sealed) in &rows {
                if !look(id, sealed)? {
                    return Ok(false);
                }
            }
            match rows.into_iter().next_back() {
                Some((id, _)) if !last => after = id,
                _ => return Ok(true),
            }
        }
    }
}

impl Snapshot<'_> {
    /// Gives every sealed value with its kind and id to `look`, until it answers `false`.
    ///
    /// # Errors
    /// A database error.
    pub fn each_sealed(
        &self,
        mut look: impl FnMut(SealedKind, &str, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        for place in PLACES {
            if !place.walk(self, &mut |id, sealed| Ok(look(place.kind, id, sealed)))? {
                break;
            }
        }
        Ok(())
    }

    /// One of the service's own keys, sealed.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`].
    pub fn sealed_service_key(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let kept = self.session.one("SELECT sealed_key FROM service_key WHERE name = ?1", &binds![name])?;
        kept.iter().try_for_each(|_: &Vec<u8>| self.vouch(Bearer::ServiceKey(name)))?;
        Ok(kept)
    }

    /// The service's own keys whose names begin with `prefix`, sealed: name, key, and when it was stored, UNIX
    /// milliseconds. The oldest comes first, of two of one moment the one whose name comes first.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`].
    pub fn sealed_service_keys(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>, i64)>, StoreError> {
        let sql = "SELECT name, sealed_key, created_ms FROM service_key \
                   WHERE substr(name, 1, length(?1)) = ?1 ORDER BY created_ms, name";
        let rows: Vec<(String, Vec<u8>, i64)> = self.session.all(sql, &binds![prefix])?;
        rows.iter().try_for_each(|(name, ..)| self.vouch(Bearer::ServiceKey(name)))?;
        Ok(rows)
    }

    /// The names of the same, and when each was stored; whoever put it there, so that all can be removed.
    ///
    /// # Errors
    /// A database error.
    pub fn service_key_names(&self, prefix: &str) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT name, created_ms FROM service_key \
                   WHERE substr(name, 1, length(?1)) = ?1 ORDER BY created_ms, name";
        self.session.all(sql, &binds![prefix])
    }
}

impl Tx<'_> {
    /// Removes one of the service's own keys.
    ///
    /// # Errors
    /// A database error.
    pub fn drop_service_key(&self, name: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM service_key WHERE name = ?1", &binds![name])
    }

    /// Replaces every sealed value by what `seal` makes of it; returns how many there were.
    ///
    /// # Errors
    /// A database error, or what `seal` gives: then the change must not be kept.
    pub fn reseal<E: From<StoreError>>(
        &self,
        mut seal: impl FnMut(SealedKind, &str, &[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<u64, E> {
        let mut count = 0;
        self.all_rights_changed()?;
        for place in PLACES {
            let Place { table, id, column, .. } = place;
            let sql = format!("UPDATE {table} SET {column} = ?2 WHERE {id} = ?1");
            let mut refused = None;
            place.walk(self, &mut |row, sealed| {
                match seal(place.kind, row, sealed) {
                    Ok(anew) => {
                        count += 1;
                        self.execute(&sql, &binds![row, anew])?;
                    }
                    Err(error) => refused = Some(error),
                }
                Ok(refused.is_none())
            })?;
            if let Some(error) = refused {
                return Err(error);
            }
        }
        Ok(count)
    }

    /// Stores one of the service's own keys, replacing one of the same name.
    ///
    /// # Errors
    /// A database error.
    pub fn put_sealed_service_key(&self, name: &str, sealed: &[u8], now_ms: i64) -> Result<(), StoreError> {
        upsert!(self.session, "service_key" { name: name } set { sealed_key: sealed, created_ms: now_ms })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rusqlite::Connection;

    use super::*;
    use crate::session::Session;

    #[test]
    fn every_sealed_column_of_the_schema_is_in_the_list() {
        let mut connection = Connection::open_in_memory().unwrap();
        crate::sqlite::schema::migrate(&mut connection).unwrap();
        // What is sealed in `audit_chain` is a hash, in the sense of closed: no secret.
        let sql = "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c \
                   WHERE t.type = 'table' AND c.name LIKE '%sealed%' AND t.name <> 'audit_chain'";
        let mut statement = connection.prepare(sql).unwrap();
        let found: BTreeSet<(String, String)> = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let listed = PLACES.iter().map(|place| (place.table.to_owned(), place.column.to_owned())).collect();
        assert_eq!(found, listed);
    }

    #[test]
    fn every_value_is_seen_and_replaced_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        crate::sqlite::schema::migrate(&mut connection).unwrap();
        let tx = Tx::new(Session::new(&connection));
        let many = 3 * BATCH;
        for number in 0..many {
            tx.put_sealed_service_key(&format!("key-{number}"), &number.to_be_bytes(), 1).unwrap();
        }
        let mut seen = BTreeSet::new();
        let count = tx
            .reseal(|kind, id, sealed| {
                assert_eq!(kind, SealedKind::ServiceKey);
                assert!(seen.insert(id.to_owned()), "{id} twice");
                Ok::<_, StoreError>([sealed, b"!"].concat())
            })
            .unwrap();
        assert_eq!((count, seen.len()), (many as u64, many));
        tx.each_sealed(|_, id, sealed| {
            assert!(sealed.ends_with(b"!") && seen.remove(id));
            true
        })
        .unwrap();
        assert!(seen.is_empty());
        let wanted: Result<u64, StoreError> = tx.reseal(|_, _, _| Err(StoreError::Closed));
        assert!(wanted.is_err());
        assert_eq!(tx.sealed_service_key("key-0").unwrap().unwrap().last(), Some(&b'!'));
    }
}
