//! What can be wrong with a connection, and how it is told: in logs, as findings of tunnels, as items of a diagnosis.
//!
//! Everything follows from what is stored: settings, bindings, and what was seen of the tunnels. The codes of the two
//! timeouts are the vendor's; other names are ours.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use tongguan_model::connection::{Connection, Negotiation};
use tongguan_model::gateway::{Binding, Status, VpnGateway};
use tongguan_store::{ObservationRow, TunnelRow};

use crate::context::iso8601;

/// Why a tunnel is not up: code, words.
pub(super) fn failure(observed: Negotiation, able: bool) -> Option<(&'static str, &'static str)> {
    match observed {
        _ if !able => Some(("CertificateNotBound", "The VPN gateway has not both certificates")),
        Negotiation::IkeNotEstablished => Some(("Phase1NegotiationTimeout", "Phase1 negotiation timeout")),
        Negotiation::IkeEstablished | Negotiation::IpsecNotEstablished => {
            Some(("Phase2NegotiationTimeout", "Phase2 negotiation timeout"))
        }
        Negotiation::IpsecEstablished => None,
    }
}

/// A line of the log.
pub(super) fn line(connection: &Connection, seen: &ObservationRow) -> String {
    let words = match seen.observed {
        Negotiation::IkeNotEstablished => "phase1 is not negotiated",
        Negotiation::IkeEstablished => "phase1 is negotiated",
        Negotiation::IpsecNotEstablished => "phase1 is negotiated, phase2 is not",
        Negotiation::IpsecEstablished => "phase1 and phase2 are negotiated",
    };
    format!("{} {} {} [{}]: {words}", iso8601(seen.at_ms), connection.id, seen.tunnel, seen.observed)
}

/// One item of a diagnosis, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Item {
    /// What was looked at.
    pub(super) name: String,
    /// `normal`, `warning` or `error`.
    pub(super) level: String,
    /// A JSON document.
    pub(super) description: String,
}

/// What is diagnosed.
pub(super) struct Patient<'a> {
    pub(super) gateway: &'a VpnGateway,
    pub(super) bindings: &'a [Binding],
    pub(super) connection: &'a Connection,
    pub(super) tunnels: &'a [TunnelRow],
    /// Addresses in the VPC and in the data centre.
    pub(super) probe: Option<(Ipv4Addr, Ipv4Addr)>,
}

impl Patient<'_> {
    /// Every item, in a fixed order.
    pub(super) fn items(&self) -> Vec<Item> {
        let settings = &self.connection.settings;
        let status = self.gateway.status();
        let settled = if status == Status::Active { "normal" } else { "warning" };
        let able = self.gateway.can_negotiate(self.bindings);
        let alert = self.gateway.certificate_alert.clone().unwrap_or_default();
        let certificates = match (able, alert.is_empty()) {
            (false, _) => "error",
            (true, false) => "warning",
            (true, true) => "normal",
        };
        let down = |tunnel: &&TunnelRow| tunnel.observed != Negotiation::IpsecEstablished;
        let down: Vec<&TunnelRow> = self.tunnels.iter().filter(down).collect();
        let tunnels = match down.len() {
            0 => "normal",
            some if some < self.tunnels.len() => "warning",
            _ => "error",
        };
        let down: Vec<_> = down
            .iter()
            .map(|tunnel| serde_json::json!({"tunnelId": tunnel.id.as_str(), "status": tunnel.observed.as_str()}))
            .collect();
        let mut items = vec![
            item("GatewayStatus", settled, &serde_json::json!({"status": status.as_str()})),
            item("CertificateStatus", certificates, &serde_json::json!({"bound": able, "alert": alert})),
            item("IpsecNegotiation", tunnels, &serde_json::json!({"down": down})),
        ];
        if settings.any_bgp() {
            let blocks: Vec<&str> = settings.bgp_blocks().collect();
            items.push(item("BgpPeer", tunnels, &serde_json::json!({"tunnelCidr": blocks})));
        }
        if let Some((source, target)) = self.probe {
            let inside = |list: &str, ip| {
                list.split(',')
                    .filter_map(|block| block.parse::<Ipv4Net>().ok())
                    .any(|block| block.contains(&ip))
            };
            let from = inside(&settings.local_subnet, source);
            let to = inside(&settings.remote_subnet, target);
            let level = if !from || !to { "error" } else { tunnels };
            let told = serde_json::json!({"srcIp": source, "targetIp": target, "srcInLocalSubnet": from,
                "targetInRemoteSubnet": to});
            items.push(item("PrivateReachability", level, &told));
        }
        items
    }
}

fn item(name: &str, level: &str, description: &serde_json::Value) -> Item {
    Item { name: name.to_owned(), level: level.to_owned(), description: description.to_string() }
}
