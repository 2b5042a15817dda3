//! What an operator is told of tunnels: how far each is, and what keeps it from being up, in words.
//!
//! What the store knows comes first, since nothing else can help then: a change that is not applied, a certificate that
//! is not bound or out of service. Then what the gateway itself says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tongguan_dataplane::{Look, Seen};
use tongguan_model::certificate::{OutOfService, Role};
use tongguan_model::connection::Connection;
use tongguan_model::gateway::VpnGateway;
use tongguan_store::{Snapshot, StoreError, TunnelStanding};

use crate::context::iso8601_seconds;
use crate::service::Service;

/// What an operator is told of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelReport {
    /// Its id.
    pub tunnel: String,
    /// Its connection.
    pub connection: String,
    /// Name of that; may be empty.
    pub name: String,
    /// Its gateway.
    pub gateway: String,
    /// Owner.
    pub account: String,
    /// Addresses of the gateway and of its peer; empty if there is none.
    pub ends: [String; 2],
    /// Blocks on both sides.
    pub blocks: [String; 2],
    /// How far its negotiation has come, in the words of the API.
    pub state: String,
    /// Since when, UNIX milliseconds.
    pub since_ms: i64,
    /// What keeps it from being up, or went wrong last; none if nothing did since it was up.
    pub reason: Option<String>,
    /// What the gateway counts; none if it was not asked or does not answer.
    pub counts: Option<TunnelCounts>,
}

/// What a gateway counts of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelCounts {
    /// Pairs of ESP SAs that it has had.
    pub child_sas: u64,
    /// Packets that were sealed and opened.
    pub packets: [u64; 2],
    /// Their octets.
    pub octets: [u64; 2],
    /// Packets that the gateway, not this tunnel alone, has dropped, by reason; without those that are none.
    pub dropped: BTreeMap<String, u64>,
}

impl Service {
    /// The tunnels of gateways, or those that this id names: of a gateway, of a connection, or one.
    ///
    /// # Errors
    /// The store fails.
    pub async fn tunnels(&self, id: Option<&str>) -> Result<Vec<TunnelReport>, StoreError> {
        let look = match self.context().dataplane.look() {
            Some(look) => Some(look.await),
            None => None,
        };
        let now = self.context().clock.now_ms().div_euclid(1000);
        let (store, id) = (self.context().store.clone(), id.map(str::to_owned));
        // Whoever asks may have the thread that other things wait for, and the database may be far away.
        let read = move || {
            store.read(|snapshot| {
                let all = snapshot.tunnels_standing()?.into_iter();
                let named = |one: &TunnelStanding| {
                    let names = [one.tunnel.as_str(), one.connection.as_str(), one.gateway.as_str()];
                    id.as_deref().is_none_or(|id| names.contains(&id))
                };
                let reports = all.filter(named).map(|one| report(snapshot, look.as_ref(), &one, now));
                reports.filter_map(Result::transpose).collect()
            })
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Panicked)?
    }
}

/// None: it is gone.
fn report(
    snapshot: &Snapshot<'_>,
    look: Option<&Look>,
    standing: &TunnelStanding,
    now: i64,
) -> Result<Option<TunnelReport>, StoreError> {
    let connection = snapshot.connection_of_any_account(standing.connection.as_str())?;
    let gateway = snapshot.gateway_of_any_account(standing.gateway.as_str())?;
    let (Some(connection), Some(gateway)) = (connection, gateway) else { return Ok(None) };
    let tunnel = connection.settings.tunnels.iter().find(|tunnel| tunnel.id == standing.tunnel);
    let peer = match tunnel {
        Some(tunnel) => snapshot.customer_gateway(&connection.account, tunnel.customer_gateway.as_str())?,
        None => None,
    };
    let seen = look.and_then(|look| look.gateways.get(gateway.id.as_str()));
    let (mut said, mut counts) = (None, None);
    if let Some(Seen::Answers { tunnels, dropped, .. }) = seen
        && let Some(status) = tunnels.get(standing.tunnel.as_str())
    {
        said.clone_from(&status.reason);
        let dropped = dropped.iter().filter(|(_, count)| **count > 0);
        counts = Some(TunnelCounts {
            child_sas: status.child_sas,
            packets: status.packets,
            octets: status.octets,
            dropped: dropped.map(|(name, count)| (name.clone(), *count)).collect(),
        });
    }
    let reason = match lacking(snapshot, &gateway, &connection, now)? {
        Some(lack) => Some(lack),
        None => said.or_else(|| unheard(look, seen)),
    };
    Ok(Some(TunnelReport {
        tunnel: standing.tunnel.to_string(),
        connection: connection.id.to_string(),
        name: connection.name,
        gateway: gateway.id.to_string(),
        account: connection.account.to_string(),
        ends: [gateway.internet_ip, peer.map(|peer| peer.ip).unwrap_or_default()],
        blocks: [connection.settings.local_subnet, connection.settings.remote_subnet],
        state: standing.observed.as_str().to_owned(),
        since_ms: standing.observed_ms,
        reason,
        counts,
    }))
}

/// What a gateway lacks to negotiate, as far as the store knows.
fn lacking(
    snapshot: &Snapshot<'_>,
    gateway: &VpnGateway,
    connection: &Connection,
    now: i64,
) -> Result<Option<String>, StoreError> {
    if let Some(intent) = snapshot.intent(gateway.id.as_str())?
        && let Some(error) = intent.last_error
    {
        return Ok(Some(format!("a change of the gateway ({}) is not applied: {error}", intent.change)));
    }
    if connection.settings.tunnels.iter().all(|tunnel| tunnel.remote_ca.is_none()) {
        return Ok(None);
    }
    let bound = snapshot.bound_certificates(Some(&gateway.id))?;
    for role in Role::ALL {
        let Some(one) = bound.iter().find(|one| one.role == *role) else {
            return Ok(Some(format!("no certificate is bound as {}: both roles are needed", role.as_str())));
        };
        let out = OutOfService::of_parts(one.status, one.not_before, one.not_after, now);
        let why = match out {
            None => continue,
            Some(OutOfService::Status(status)) => format!("is {}", status.as_str()),
            Some(OutOfService::NotYet(from)) => format!("is not valid before {}", iso8601_seconds(from)),
            Some(OutOfService::Expired(to)) => format!("has expired at {}", iso8601_seconds(to)),
        };
        return Ok(Some(format!("the certificate {}, bound as {}, {why}", one.named, role.as_str())));
    }
    Ok(None)
}

/// Why nothing is heard of a gateway, if so.
fn unheard(look: Option<&Look>, seen: Option<&Seen>) -> Option<String> {
    match (look, seen) {
        (None, _) => Some("the data plane is detached: nothing is negotiated".to_owned()),
        (Some(_), Some(Seen::Answers { .. })) => None,
        // Then nobody starts it again, or somebody else has it.
        (Some(Look { away: Some(reason), .. }), _) => Some(reason.clone()),
        (Some(Look { away: None, .. }), Some(Seen::Silent(reason))) => {
            Some(format!("the gateway's process does not answer: {reason}"))
        }
        (Some(Look { away: None, .. }), None) => Some("the gateway has no process yet".to_owned()),
    }
}
