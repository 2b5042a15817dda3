//! DiagnoseVpnConnections: why tunnels are not up. Source: `docs/api/vpc/DiagnoseVpnConnections.json`.
//!
//! Connections with one tunnel are named by their ids, those with two by their tunnels'. What is up has no finding, and
//! neither has what is not the account's.

use tongguan_model::connection::Connection;
use tongguan_store::{ConnectionFilter, Snapshot, TunnelRow};

use crate::api::vpc::{
    DiagnoseVpnConnections, DiagnoseVpnConnectionsOutput, DiagnoseVpnConnectionsVpnConnections as Finding,
};
use crate::args::{Args, Paging};
use crate::call::Call;
use crate::catalogue::Refusal;
use crate::operation::{Failure, Read};

use super::diagnosis::{failure, line};

/// Ids in a list at most.
const IDS: u64 = 50;

/// The tunnels that are named; there must be some if no connection is.
pub(crate) fn tunnels(
    args: &Args<'_>,
    name: &'static str,
    connections: &[String],
) -> Result<Vec<String>, Refusal> {
    let tunnels = args.list(name, IDS)?;
    if tunnels.is_empty() && connections.is_empty() {
        Err(args.missing("VpnConnectionIds"))
    } else {
        Ok(tunnels)
    }
}

impl Read for DiagnoseVpnConnections {
    type Output = DiagnoseVpnConnectionsOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let mut findings = Vec::new();
        for id in &self.vpn_connection_ids {
            let found = self.connection(call, snapshot, id)?;
            if let Some(connection) = found.filter(|connection| !connection.is_dual()) {
                let tunnels = snapshot.tunnels_named(id)?;
                findings.extend(self.findings(snapshot, &connection, &tunnels)?);
            }
        }
        for id in &self.tunnel_ids {
            let tunnels = snapshot.tunnels_named(id)?;
            let Some(tunnel) = tunnels.first().filter(|tunnel| tunnel.id.as_str() == id) else { continue };
            let found = self.connection(call, snapshot, tunnel.connection.as_str())?;
            if let Some(connection) = found.filter(Connection::is_dual) {
                findings.extend(self.findings(snapshot, &connection, std::slice::from_ref(tunnel))?);
            }
        }
        let paging = Paging { number: self.page_number, size: self.page_size };
        let (total, offset) = (findings.len() as i64, usize::try_from(paging.offset()).unwrap_or(usize::MAX));
        Ok(Self::Output {
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
            total_count: total,
            vpn_connections: findings.into_iter().skip(offset).take(paging.size as usize).collect(),
        })
    }
}

impl DiagnoseVpnConnections {
    /// The account's connection of this id in the region and on the gateway of the call.
    fn connection(
        &self,
        call: &Call,
        snapshot: &Snapshot<'_>,
        id: &str,
    ) -> Result<Option<Connection>, Failure> {
        let filter = ConnectionFilter {
            id: Some(id.to_owned()),
            gateway: self.vpn_gateway_id.clone(),
            ..ConnectionFilter::default()
        };
        let page = snapshot.connections(&call.principal.account, self.region.id, &filter, 0, 1)?;
        Ok(page.items.into_iter().next())
    }

    fn findings(
        &self,
        snapshot: &Snapshot<'_>,
        connection: &Connection,
        tunnels: &[TunnelRow],
    ) -> Result<Vec<Finding>, Failure> {
        let able = match &connection.gateway {
            None => true,
            Some(id) => {
                let bindings = snapshot.bindings_in_force(id)?;
                let gateway = snapshot.gateway(&connection.account, id.as_str())?;
                gateway.is_some_and(|gateway| gateway.can_negotiate(&bindings))
            }
        };
        let mut findings = Vec::new();
        for tunnel in tunnels {
            let Some((code, reason)) = failure(tunnel.observed, able) else { continue };
            findings.push(Finding {
                failed_reason: reason.into(),
                failed_reason_code: code.into(),
                failed_time: tunnel.observed_ms,
                severity: "Warn".into(),
                source_log: line(connection, &tunnel.observation()).into(),
                tunnel_id: connection.is_dual().then(|| tunnel.id.clone().into()),
                vpn_connection_id: connection.id.clone().into(),
            });
        }
        Ok(findings)
    }
}
