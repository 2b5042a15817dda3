//! What is durable: schema, migrations and transactions on the embedded SQLite database.
//!
//! * **One writer.** A thread owns the only connection that writes. Callers hand it closures over a
//!   [`Tx`]; it runs those that wait together in one transaction, so that durability costs one sync per
//!   *group*, and answers each caller after the commit. A closure whose verdict is
//!   [`Verdict::Discard`] leaves nothing behind.
//! * **Readers beside it.** [`Store::read`] runs a closure over a [`Snapshot`] on the caller's thread;
//!   readers never wait for the writer (write-ahead log), and see every change that was answered.
//! * **No rules.** Business rules live in `tongguan-model` and `tongguan-service`; this crate knows rows.
//! * **Floors.** What is stored (`rows`, `audit`, `rights`) works on a `session`, which hides the database;
//!   all that only an embedded engine needs is in `sqlite`.
//!
//! No SQL text stands outside this crate, and no type of SQLite's is part of its API.
#![forbid(unsafe_code)]

#[macro_use]
mod session;
#[macro_use]
mod rows;

mod admission;
mod audit;
mod entry;
mod epoch;
mod error;
mod moving;
mod options;
/// What only a store on PostgreSQL needs.
pub mod postgres;
mod put;
mod rights;
mod sqlite;
mod store;

pub use admission::Admission;
pub(crate) use audit::chain::Found;
pub use audit::chain::{AuditChain, NewAuditKey};
pub use audit::link::{AuditHead, AuditLink, NoLink};
pub use audit::record::{AuditRecord, Repeats};
pub use audit::retention::{AuditClass, LOCAL, YOUNG_DAYS};
pub use audit::walk::{AUDIT_RULE, AuditVerdict, HeadFate, Vouched};
pub use entry::{Entry, NotAdmitted};
pub use epoch::Epoch;
pub use error::{Finding, StoreError};
pub use moving::{Carried, Move, MoveKeys, Site};
pub use options::{Options, Purpose};
pub use postgres::SharedStats;
pub use postgres::lanes::LaneState;
pub use put::{put, sync_directory};
pub use rights::{Bearer, RIGHTS_RULE, RightsKey};
pub use rows::account::AccountRow;
pub use rows::binding::{BindingFilter, BindingRow, BoundCertificate};
pub use rows::certificate::{CertificateFilter, CertificateKey};
pub use rows::connection::{ConnectionFilter, KeyedConnection, ObservationRow, TunnelRow, TunnelStanding};
pub use rows::customer_gateway::{CustomerGatewayFilter, CustomerGatewayRow};
pub use rows::diagnosis::DiagnosisRow;
pub use rows::fault::{Fault, FaultOutcome};
pub use rows::gateway::{GatewayEnds, GatewayFilter, GatewayRow, StandingGateway};
pub use rows::intent::{Intent, IntentKind};
pub use rows::node::{Lease, Node, NodeRow, Term};
pub use rows::overview::{CertificateCounts, ClaimCounts, EXPIRY_DAYS, FaultCounts, GatewayCounts, Overview};
pub use rows::ram::{
    AccessKeyRow, AttachedPolicy, Attachment, DeletionStatus, Entities, EntityRow, GroupRow, Holder,
    KeyOwner, MemberRow, NewKey, OwnKeyRow, PolicyKey, PolicyRow, PolicyVersionRow, RoleDeletion, RoleRow,
    SessionsFrom, SessionsOf, UserRow, Via,
};
pub use rows::reset::Kept;
pub use rows::resource_group::{
    ResourceGroupRow, ResourceGroupStatus, default_resource_group, resource_group_id,
};
pub use rows::route::{RouteName, RouteOwner, RouteRow};
pub use rows::sealed::SealedKind;
pub use rows::search::Page;
pub use rows::tag::{TagFilter, TagRow};
pub use rows::token::{NewToken, StoredToken, TokenName};
pub use rows::upload::{UploadFilter, UploadRow, UploadedRow};
pub use rows::vpc::{NetworkFilter, VpcRow};
pub use rows::vswitch::VSwitchRow;
pub use rows::{Snapshot, Tx};
pub use session::DatabaseError;
pub use sqlite::archive::{Archive, BackupError};
pub use sqlite::health::Trouble;
pub use sqlite::lock::{LOCK_FILE, serving};
pub use sqlite::mark::MARK_FILE;
pub use sqlite::nonce::{Moment, NonceError, NonceLog, Owner};
pub use sqlite::territory::{NONCE_FOLDER, TIMELINE_FILE, Territory, look, own_entries, vacant};
pub use sqlite::writer::{COMMIT_BOUNDS_US, QUEUE, QUEUE_SHARE, Verdict, WriterStats};
pub use store::{DatabaseState, Scope, Store};

/// Name of the database inside a data directory.
pub const DATABASE_FILE: &str = "tongguan.db";

/// Directory of the audit journal inside a data directory.
const AUDIT_FOLDER: &str = "audit";
