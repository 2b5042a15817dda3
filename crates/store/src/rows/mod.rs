//! The rows, one file for each kind of thing: its columns, how a row is read, queries, changes, and what must hold
//! between its rows and others ([`RELATIONS`]).
//!
//! Queries are methods of [`Snapshot`], changes of [`Tx`]. A column is named once: [`table`] makes the list of
//! columns, the reader and the INSERT of one list of fields. Nothing here knows which database answers: see
//! [`session`](crate::session).

use std::cell::{Cell, RefCell};
use std::ops::Deref;

use tongguan_model::id::{AccountId, RegionId};

use crate::epoch::Raised;
use crate::rights::Rights;
use crate::session::whole::Reader;
use crate::session::{Bind, Cells, Session, Sql};
use crate::{AuditLink, DatabaseError, Found, Node, StoreError};
use customer_gateway::CustomerGatewayRow;
use ram::{GroupRow, PolicyRow, RoleRow, UserRow};
use resource_group::ResourceGroupRow;
pub(crate) use table::{Columns, Table};
use tongguan_model::certificate::{Certificate, SigningRequest, Upload};
use tongguan_model::connection::Connection;
use tongguan_model::gateway::{Binding, VpnGateway};
use tongguan_model::network::{VSwitch, Vpc};
use tongguan_model::route::VpnRoute;

#[macro_use]
pub(crate) mod table;

pub(crate) mod account;
mod address;
mod applied;
mod batch;
pub(crate) mod binding;
pub(crate) mod certificate;
pub(crate) mod connection;
pub(crate) mod csr;
pub(crate) mod customer_gateway;
pub(crate) mod diagnosis;
pub(crate) mod fault;
pub(crate) mod gateway;
pub(crate) mod intent;
pub(crate) mod node;
pub(crate) mod overview;
pub(crate) mod ram;
pub(crate) mod reset;
pub(crate) mod resource_group;
pub(crate) mod route;
pub(crate) mod sealed;
pub(crate) mod search;
pub(crate) mod tag;
mod tally;
pub(crate) mod token;
pub(crate) mod upload;
pub(crate) mod vpc;
pub(crate) mod vswitch;

/// What must hold between rows: its name, and the query for rows that violate it.
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
    connection::RELATIONS,
    route::RELATIONS,
    diagnosis::RELATIONS,
    upload::RELATIONS,
    applied::RELATIONS,
    address::RELATIONS,
    resource_group::RELATIONS,
    tag::RELATIONS,
    tally::RELATIONS,
];

/// A table, the query for its rows, each preceded by the column that names it, and the reader of one.
pub(crate) type Readable = (&'static str, &'static str, fn(&mut Cells<'_>) -> Result<(), DatabaseError>);

/// The tables whose every row `check` reads, but for certificates and requests for them.
pub(crate) const READ: &[Readable] = &[
    readable!(VpnGateway, "id"),
    readable!(Vpc, "id"),
    readable!(VSwitch, "id"),
    readable!(Binding, "seq"),
    readable!(Upload, "number"),
    readable!(CustomerGatewayRow, "id"),
    readable!(ResourceGroupRow, "id"),
    ("vpn_connection", connection::CHECKED, |cells| cells.next::<connection::Checked>().map(drop)),
    readable!(VpnRoute, "seq"),
    readable!(UserRow, "seq"),
    readable!(GroupRow, "seq"),
    readable!(RoleRow, "seq"),
    readable!(PolicyRow, "seq"),
];

/// The row types that are taken over whole.
pub(crate) const WHOLE: &[Reader] = &[
    Reader::of::<VpnGateway>(),
    Reader::of::<Vpc>(),
    Reader::of::<VSwitch>(),
    Reader::of::<Certificate>(),
    Reader::of::<SigningRequest>(),
    Reader::of::<CustomerGatewayRow>(),
    Reader::of::<Connection>(),
];

/// One consistent state of the database.
pub struct Snapshot<'c> {
    session: Session<'c>,
    rights: Option<&'c Rights>,
}

impl std::fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshot")
    }
}

pub(crate) type Answer<T> = Result<T, StoreError>;

/// A transaction of the writer: every query of [`Snapshot`], and changes.
#[derive(Debug)]
pub struct Tx<'c> {
    snapshot: Snapshot<'c>,
    raised: Raised,
    /// The newest audit record, once one was appended, until that is written down.
    pub(crate) head: Cell<Option<AuditLink>>,
    /// The chain of audit records as the transaction found it, if it was looked at, until it is changed.
    pub(crate) found: RefCell<Option<Found>>,
}

impl<'c> Deref for Tx<'c> {
    type Target = Snapshot<'c>;

    fn deref(&self) -> &Self::Target {
        &self.snapshot
    }
}

pub(crate) type Done = Result<(), StoreError>;

impl<'c> Snapshot<'c> {
    pub(crate) fn new(session: Session<'c>) -> Self {
        Self { session, rights: None }
    }

    /// One that can vouch for rows that confer rights.
    pub(crate) fn vouching(session: Session<'c>, rights: &'c Rights) -> Self {
        Self { session, rights: Some(rights) }
    }

    pub(crate) fn rights(&self) -> Option<&'c Rights> {
        self.rights
    }

    /// The process that makes the change, once it is known which.
    fn node(&self) -> Option<&'c Node> {
        self.rights().and_then(|rights| rights.node.get())
    }

    /// The region of the account's gateway, customer gateway, connection, VPC, vSwitch or certificate of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn region_of(&self, account: &AccountId, id: &str) -> Answer<Option<RegionId>> {
        let table = match id.split_once('-').map(|(prefix, _)| prefix) {
            Some("vpn") => "vpn_gateway",
            Some("cgw") => "customer_gateway",
            Some("vco") => "vpn_connection",
            Some("vpc") => "vpc",
            Some("vsw") => "vswitch",
            _ => "certificate",
        };
        let sql = format!("SELECT region FROM {table} WHERE id = ?1 AND account = ?2");
        self.session.one(&sql, &binds![id, account])
    }

    pub(crate) fn session(&self) -> Session<'c> {
        self.session
    }

    /// A number that is not below zero.
    fn number<'s>(&self, sql: impl Into<Sql<'s>>, values: &[Bind<'_>]) -> Answer<u64> {
        let number: i64 = self.session.only(sql, values)?;
        Ok(number.max(0).cast_unsigned())
    }

    fn count_where(&self, table: &str, clause: &str, values: &[Bind<'_>]) -> Answer<u64> {
        self.number(&format!("SELECT count(*) FROM {table} WHERE {clause}"), values)
    }
}

impl<'c> Tx<'c> {
    pub(crate) fn new(session: Session<'c>) -> Self {
        Self::over(Snapshot::new(session))
    }

    pub(crate) fn vouching(session: Session<'c>, rights: &'c Rights) -> Self {
        Self::over(Snapshot::vouching(session, rights))
    }

    fn over(snapshot: Snapshot<'c>) -> Self {
        Self { snapshot, raised: Raised::default(), head: Cell::default(), found: RefCell::default() }
    }

    /// The epochs that the change has raised.
    pub(crate) fn raised(&self) -> &Raised {
        &self.raised
    }

    /// Removes what hangs on a resource's id: tags, intent, applied state.
    pub(crate) fn forget(&self, resource: &str) -> Done {
        self.delete_all_tags(resource)?;
        self.delete_intent(resource)?;
        self.execute("DELETE FROM applied WHERE resource = ?1", &binds![resource])
    }

    pub(crate) fn execute<'s>(&self, sql: impl Into<Sql<'s>>, values: &[Bind<'_>]) -> Done {
        self.session.run(sql, values)
    }
}
