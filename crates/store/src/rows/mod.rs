//! What is stored, one file for each thing: its columns, how a row is read, what is asked of it, what is changed, and
//! what must hold between its rows and others ([`RELATIONS`]).
//!
//! Questions are methods of [`Snapshot`], changes of [`Tx`].

use std::ops::Deref;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params, params_from_iter};
use tongguan_model::id::{AccountId, RegionId};

use crate::StoreError;
use crate::rights::Rights;

/// The columns of a row, in the order in which its reader takes them.
macro_rules! columns {
    (GATEWAY) => {
        "id, account, region, name, description, vpc, vswitch, dr_vswitch, bandwidth, network_type, vpn_type, ipsec, \
         ssl, ssl_connections, charge_type, auto_propagate, resource_group, internet_ip, dr_ip, order_id, created_ms, \
         end_ms, business_status, phase, intended, applied, certificate_alert"
    };
    (BINDING) => {
        "seq, gateway, role, certificate, state, associated_ms"
    };
    (VPC) => {
        "id, account, region, name, description, cidr, user_cidrs, dns_hostname, vrouter, route_table, resource_group, \
         created_ms, ready"
    };
    (VSWITCH) => {
        "id, account, region, vpc, zone, name, description, cidr, resource_group, created_ms, ready"
    };
    (CERTIFICATE) => {
        "id, account, region, key_spec, status, exportable, subject, dns_names, csr, public_key, created_ms, \
         updated_ms, certificate, chain, sm, issuer, issued_subject, serial, signature_algorithm, \
         subject_key_identifier, not_before, not_after, key_purposes"
    };
    (INTENT) => {
        "resource, kind, generation, change, since_ms, due_ms, attempts, last_error"
    };
}
macro_rules! concat_columns {
    ($before:literal, $columns:ident, $after:literal) => {
        concat!($before, columns!($columns), $after)
    };
}

pub(crate) mod account;
mod address;
mod applied;
pub(crate) mod binding;
pub(crate) mod certificate;
pub(crate) mod fault;
pub(crate) mod gateway;
pub(crate) mod intent;
pub(crate) mod overview;
pub(crate) mod ram;
pub(crate) mod sealed;
pub(crate) mod search;
pub(crate) mod tag;
mod tally;
pub(crate) mod token;
pub(crate) mod vpc;
pub(crate) mod vswitch;

/// What must hold between rows: what it is called, and the question for those that break it.
pub(crate) type Relation = (&'static str, &'static str);

/// Every relation between rows.
pub(crate) const RELATIONS: &[&[Relation]] = &[
    gateway::RELATIONS,
    intent::RELATIONS,
    ram::RELATIONS,
    ram::task::RELATIONS,
    ram::policy::RELATIONS,
    ram::attachment::RELATIONS,
    ram::group::RELATIONS,
    ram::key::RELATIONS,
    vpc::RELATIONS,
    binding::RELATIONS,
    applied::RELATIONS,
    address::RELATIONS,
    tag::RELATIONS,
    tally::RELATIONS,
];

/// One consistent state of the database.
pub struct Snapshot<'c> {
    connection: &'c Connection,
    rights: Option<&'c Rights>,
}

impl std::fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshot")
    }
}

pub(crate) type Answer<T> = Result<T, StoreError>;

/// A transaction of the writer: every question of [`Snapshot`], and changes.
#[derive(Debug)]
pub struct Tx<'c> {
    snapshot: Snapshot<'c>,
}

impl<'c> Deref for Tx<'c> {
    type Target = Snapshot<'c>;

    fn deref(&self) -> &Self::Target {
        &self.snapshot
    }
}

pub(crate) type Done = Result<(), StoreError>;

impl<'c> Snapshot<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        Self { connection, rights: None }
    }

    /// One that can vouch for rows that confer rights.
    pub(crate) fn vouching(connection: &'c Connection, rights: &'c Rights) -> Self {
        Self { connection, rights: Some(rights) }
    }

    pub(crate) fn rights(&self) -> Option<&'c Rights> {
        self.rights
    }

    pub(crate) fn connection(&self) -> &'c Connection {
        self.connection
    }

    /// The region of the account's gateway, VPC, vSwitch or certificate of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn region_of(&self, account: &AccountId, id: &str) -> Answer<Option<RegionId>> {
        let table = match id.split_once('-').map(|(prefix, _)| prefix) {
            Some("vpn") => "vpn_gateway",
            Some("vpc") => "vpc",
            Some("vsw") => "vswitch",
            _ => "certificate",
        };
        let sql = format!("SELECT region FROM {table} WHERE id = ?1 AND account = ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let region = statement.query_row(params![id, account.as_str()], |row| row.get::<_, String>(0));
        Ok(region.optional()?.map(RegionId::new))
    }

    /// The account's row of this id. A foreign one is left out by the question, not after it was read: it takes the
    /// time of an unknown one.
    pub(crate) fn own<T>(
        &self,
        sql: &str,
        account: &AccountId,
        id: &str,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Answer<Option<T>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([id, account.as_str()], read).optional()?)
    }

    pub(crate) fn one<T>(
        &self,
        sql: &str,
        id: &str,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Answer<Option<T>> {
        Ok(self.connection.prepare_cached(sql)?.query_row([id], read).optional()?)
    }

    pub(crate) fn all<T, P: rusqlite::Params>(
        &self,
        sql: &str,
        values: P,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Answer<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(values, read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn number<P: rusqlite::Params>(&self, sql: &str, values: P) -> Answer<u64> {
        let number: i64 = self.connection.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
        Ok(number.max(0).cast_unsigned())
    }

    pub(crate) fn count_where(&self, table: &str, clause: &str, values: &[Value]) -> Answer<u64> {
        self.number(&format!("SELECT count(*) FROM {table} WHERE {clause}"), params_from_iter(values))
    }
}

impl<'c> Tx<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        Self { snapshot: Snapshot::new(connection) }
    }

    pub(crate) fn vouching(connection: &'c Connection, rights: &'c Rights) -> Self {
        Self { snapshot: Snapshot::vouching(connection, rights) }
    }

    /// Removes what hangs on a resource's id: tags, intent, applied state.
    pub(crate) fn forget(&self, resource: &str) -> Done {
        self.delete_tags(resource, None)?;
        self.delete_intent(resource)?;
        self.execute("DELETE FROM applied WHERE resource = ?1", params![resource])
    }

    pub(crate) fn execute(&self, sql: &str, values: impl Params) -> Done {
        self.connection().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }
}

/// Reads a column that holds one of an enum's words.
pub(crate) fn word<T>(row: &Row<'_>, column: usize, parse: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    parse(text).ok_or_else(|| {
        let damaged = StoreError::Damaged(format!("unknown word `{text}` in column {column}"));
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(damaged))
    })
}
