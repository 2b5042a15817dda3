//! What the last diagnosis of each gateway has found.

use tongguan_model::id::{AccountId, ConnectionId, RegionId, VpnGatewayId};

use super::{Answer, Columns as _, Done, Relation};
use crate::{Snapshot, Tx};

/// A diagnosis as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiagnosisRow {
    /// Id, prefix `vpndgn-`.
    pub id: String,
    /// Owner.
    pub account: AccountId,
    /// Region.
    pub region: RegionId,
    /// Gateway.
    pub gateway: VpnGatewayId,
    /// Connection that was looked at; it may be gone.
    pub connection: ConnectionId,
    /// What was found, a JSON document.
    pub findings: String,
    /// When, UNIX milliseconds.
    pub done_ms: i64,
}

columns! { DiagnosisRow { id, account, region, gateway, connection, findings, done_ms } }

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "a diagnosis and its gateway are of one account and region",
    "SELECT d.id FROM vpn_diagnosis d JOIN vpn_gateway g ON g.id = d.gateway \
     WHERE d.account <> g.account OR d.region <> g.region",
)];

impl Snapshot<'_> {
    /// The account's diagnosis of this id and this gateway, whichever are given.
    ///
    /// # Errors
    /// A database error.
    pub fn diagnosis(
        &self,
        account: &AccountId,
        id: Option<&str>,
        gateway: Option<&str>,
    ) -> Answer<Option<DiagnosisRow>> {
        let sql = sql!(
            "SELECT ",
            DiagnosisRow::COLUMNS,
            " FROM vpn_diagnosis WHERE account = ?1 AND id = coalesce(?2, id) AND gateway = coalesce(?3, gateway) \
             ORDER BY done_ms DESC LIMIT 1"
        );
        self.session.one(sql, &binds![account, id, gateway])
    }
}

impl Tx<'_> {
    /// Stores a diagnosis in place of the one of its gateway before.
    ///
    /// # Errors
    /// A database error.
    pub fn put_diagnosis(&self, row: &DiagnosisRow) -> Done {
        upsert!(self.session, "vpn_diagnosis" { gateway: row.gateway } set {
            id: row.id,
            account: row.account,
            region: row.region,
            connection: row.connection,
            findings: row.findings,
            done_ms: row.done_ms,
        })?;
        Ok(())
    }
}
