//! How IPsec connections are shown; shared by the operations that show them.
//!
//! Operations spell one thing in several ways: numbers and flags are texts in the tunnels of a read, and are none in
//! the answer to a change. What is shown is put together once, as a [`View`], and spelled by each.

use std::collections::BTreeMap;

use tongguan_model::connection::{
    Bgp, Connection, HealthCheck, Ipsec, Negotiation, State, Tunnel, TunnelBandwidth,
};
use tongguan_model::gateway::{BusinessStatus, ChildState, VpnType};
use tongguan_model::id::{ConnectionId, CustomerGatewayId, VSwitchId, VpnGatewayId};
use tongguan_model::region::{self, Region};
use tongguan_pki::Certificate;
use tongguan_store::{CustomerGatewayRow, GatewayEnds, KeyedConnection, Snapshot, TunnelRow, Tx};
use zeroize::Zeroizing;

use crate::api::vpc::{
    BgpConfigInfo, ChangedBgpInfo, ChangedTunnelInfo, HealthCheckInfo, IkeConfigInfo, IpsecConfigInfo,
    ModifyVpnAttachmentAttributeOutput, ModifyVpnConnectionAttributeOutput, TagInfo, Text, TunnelBgpInfo,
    TunnelIkeInfo, TunnelInfo, TunnelIpsecInfo, VpnConnectionInfo,
};
use crate::call::Call;
use crate::operation::{Disclosed, Failure};

use super::attachments::spec;
use super::connections::opened_keys;
use super::customer_gateways::opened_key;
use super::shapes::tags_of_all;

/// What a connection is bound to that is bound to nothing.
pub(super) const NO_ASSOCIATED: &str = "NO_ASSOCIATED";

/// Under which name tags are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TagsOf {
    /// `Tags`, of one connection.
    One,
    /// `Tag`, in a list.
    List,
}

/// What belongs to the connections of a page, each kind read in one query.
pub(super) struct Around {
    tags: BTreeMap<String, Vec<TagInfo>>,
    tunnels: BTreeMap<ConnectionId, Vec<TunnelRow>>,
    customers: BTreeMap<CustomerGatewayId, CustomerGatewayRow>,
    gateways: BTreeMap<VpnGatewayId, GatewayEnds>,
    zones: BTreeMap<VSwitchId, String>,
}

impl Around {
    pub(super) fn read(
        call: &Call,
        snapshot: &Snapshot<'_>,
        connections: &[KeyedConnection],
    ) -> Result<Self, Failure> {
        let account = &call.principal.account;
        let connections = || connections.iter().map(|keyed| &keyed.connection);
        let ids: Vec<&str> = connections().map(|connection| connection.id.as_str()).collect();
        let tunnels = connections().flat_map(|connection| &connection.settings.tunnels);
        let customers: Vec<_> = tunnels.map(|tunnel| &tunnel.customer_gateway).collect();
        let gateways: Vec<_> = connections().filter_map(|one| one.gateway.as_ref()).collect();
        let gateways = snapshot.ends_of_all(account, &gateways)?;
        let vswitches = gateways
            .values()
            .flat_map(|gateway| gateway.vswitch.iter().chain(&gateway.disaster_recovery_vswitch));
        let vswitches: Vec<_> = vswitches.collect();
        Ok(Self {
            tags: tags_of_all(snapshot, account, &ids)?,
            tunnels: snapshot.tunnels_of_all(&ids)?,
            customers: snapshot.customer_gateways_of_all(account, &customers)?,
            zones: snapshot.zones_of_all(account, &vswitches)?,
            gateways,
        })
    }

    /// What is shown of a connection.
    pub(super) fn view<'a>(
        &'a self,
        call: &'a Call,
        KeyedConnection { connection, sealed_keys }: &'a KeyedConnection,
    ) -> Result<View<'a>, Failure> {
        Ok(View {
            around: self,
            call,
            connection,
            gateway: connection.gateway.as_ref().and_then(|id| self.gateways.get(id)),
            rows: self.tunnels.get(&connection.id).map(Vec::as_slice).unwrap_or_default(),
            keys: opened_keys(&call.context.vault, connection.id.as_str(), sealed_keys)?,
        })
    }
}

/// One connection with all that is shown of it.
pub(super) struct View<'a> {
    around: &'a Around,
    call: &'a Call,
    connection: &'a Connection,
    gateway: Option<&'a GatewayEnds>,
    rows: &'a [TunnelRow],
    keys: Vec<Zeroizing<String>>,
}

/// The connections of a page.
pub(super) fn infos(
    call: &Call,
    snapshot: &Snapshot<'_>,
    connections: &[KeyedConnection],
    tags: TagsOf,
) -> Result<Vec<VpnConnectionInfo>, Failure> {
    let around = Around::read(call, snapshot, connections)?;
    connections.iter().map(|connection| around.view(call, connection)?.info(tags)).collect()
}

/// A connection as it is after a change, as ModifyVpnConnectionAttribute answers it.
pub(super) fn changed(
    call: &Call,
    tx: &Tx<'_>,
    id: &str,
) -> Result<ModifyVpnConnectionAttributeOutput, Failure> {
    let keyed = tx.connection_with_keys(&call.principal.account, id)?;
    let keyed = keyed.ok_or_else(|| Failure::Internal("a changed connection is gone".into()))?;
    let around = Around::read(call, tx, std::slice::from_ref(&keyed))?;
    around.view(call, &keyed)?.changed()
}

/// An attachment as it is after a change, as ModifyVpnAttachmentAttribute answers it.
pub(super) fn changed_attachment(
    call: &Call,
    tx: &Tx<'_>,
    id: &str,
) -> Result<ModifyVpnAttachmentAttributeOutput, Failure> {
    let keyed = tx.connection_with_keys(&call.principal.account, id)?;
    let keyed = keyed.ok_or_else(|| Failure::Internal("a changed attachment is gone".into()))?;
    let around = Around::read(call, tx, std::slice::from_ref(&keyed))?;
    let (view, connection) = (around.view(call, &keyed)?, &keyed.connection);
    let settings = &connection.settings;
    let tunnel = |at: usize| ChangedTunnelInfo {
        tunnel_index: settings.tunnels[at].index.map(Into::into),
        remote_ca_certificate: None,
        zone_no: None,
        ..view.changed_tunnel(at)
    };
    Ok(ModifyVpnAttachmentAttributeOutput {
        attach_type: NO_ASSOCIATED.into(),
        create_time: connection.created_ms,
        effect_immediately: settings.effect_immediately,
        enable_dpd: settings.tunnels.iter().all(|tunnel| tunnel.enable_dpd),
        enable_nat_traversal: settings.tunnels.iter().all(|tunnel| tunnel.enable_nat_traversal),
        enable_tunnels_bgp: settings.tunnels_bgp,
        local_subnet: settings.local_subnet.clone().into(),
        name: connection.name.clone().into(),
        network_type: connection.network_type.as_str().into(),
        remote_subnet: settings.remote_subnet.clone().into(),
        resource_group_id: connection.resource_group.clone().into(),
        spec: view.spec(),
        status: view.status().as_str().into(),
        tunnel_options_specification: view.tunnels().map(tunnel).collect(),
        vpn_connection_id: connection.id.clone().into(),
    })
}

/// Gateways of the connections that are shown and not settled: a data plane that is stepped by looking is told.
pub(super) fn unsettled(infos: &[VpnConnectionInfo]) -> Vec<String> {
    let moving = [State::Provisioning, State::Updating, State::Deleted].map(State::as_str);
    let moving = infos.iter().filter(|info| moving.contains(&&*info.state));
    moving.filter_map(|info| info.vpn_gateway_id.clone()).map(Text::into_owned).collect()
}

fn flag(flag: bool) -> Text {
    if flag { "true" } else { "false" }.into()
}

fn some(text: Option<&String>) -> Option<Text> {
    text.map(|text| text.clone().into())
}

fn ipsec_config(ipsec: &Ipsec) -> IpsecConfigInfo {
    IpsecConfigInfo {
        ipsec_enc_alg: ipsec.enc_alg.clone().into(),
        ipsec_auth_alg: ipsec.auth_alg.clone().into(),
        ipsec_pfs: ipsec.pfs.clone().into(),
        ipsec_lifetime: ipsec.lifetime.into(),
    }
}

impl View<'_> {
    fn tunnel(&self, at: usize) -> &Tunnel {
        &self.connection.settings.tunnels[at]
    }

    pub(super) fn tunnels(&self) -> std::ops::Range<usize> {
        0..self.connection.settings.tunnels.len()
    }

    /// The only tunnel's place, unless there are two.
    pub(super) fn only(&self) -> Option<usize> {
        (!self.connection.is_dual()).then_some(0)
    }

    fn customer(&self, at: usize) -> Option<&CustomerGatewayRow> {
        self.around.customers.get(&self.tunnel(at).customer_gateway)
    }

    pub(super) fn tunnel_id(&self, at: usize) -> Text {
        self.tunnel(at).id.clone().into()
    }

    /// BGP on a tunnel, if it runs.
    pub(super) fn running_bgp(&self, at: usize) -> Option<&Bgp> {
        self.tunnel(at).bgp.as_ref().filter(|bgp| self.connection.settings.has_bgp(bgp))
    }

    /// The autonomous system of the peer.
    pub(super) fn peer_asn(&self, at: usize) -> Option<u32> {
        self.customer(at).and_then(|customer| customer.asn)
    }

    /// Where a tunnel begins: at the gateway's address of its place, or at its own.
    pub(super) fn address(&self, at: usize) -> Text {
        let own = self.rows.get(at).and_then(|row| row.ip.as_ref());
        let of_gateway = self.gateway.map(|gateway| match &gateway.disaster_recovery_ip {
            Some(second) if at > 0 => second,
            Some(_) | None => &gateway.internet_ip,
        });
        some(of_gateway.or(own)).unwrap_or_default()
    }

    /// Where a tunnel ends.
    pub(super) fn peer_address(&self, at: usize) -> Text {
        some(self.customer(at).map(|customer| &customer.ip)).unwrap_or_default()
    }

    /// The zone in which a tunnel begins; without a gateway one of the region for each tunnel.
    fn zone(&self, at: usize) -> Text {
        let Some(gateway) = self.gateway else {
            let zones = region::find(self.connection.region.as_str()).map(|region: &Region| region.zones);
            return zones
                .and_then(|zones| zones.get(at % zones.len().max(1)))
                .map(|zone| zone.id.into())
                .unwrap_or_default();
        };
        let second = gateway.disaster_recovery_vswitch.as_ref().filter(|_| at > 0);
        let vswitch = second.or(gateway.vswitch.as_ref());
        some(vswitch.and_then(|vswitch| self.around.zones.get(vswitch))).unwrap_or_default()
    }

    pub(super) fn local_id(&self, at: usize) -> Text {
        some(self.tunnel(at).ike.local_id.as_ref()).unwrap_or_else(|| self.address(at))
    }

    /// The identity of the peer: what was given, the subject of its CA on an SM gateway, its address.
    pub(super) fn remote_id(&self, at: usize) -> Text {
        if let Some(given) = &self.tunnel(at).ike.remote_id {
            return given.clone().into();
        }
        let sm = self.gateway.is_some_and(|gateway| gateway.vpn_type == VpnType::NationalStandard);
        let ca = self.tunnel(at).remote_ca.as_ref().filter(|_| sm);
        let chain = ca.and_then(|pem| Certificate::chain_from_pem(pem).ok());
        let subject = chain.and_then(|chain| chain.first().map(Certificate::subject));
        subject.map_or_else(|| self.peer_address(at), Into::into)
    }

    pub(super) fn key(&self, at: usize) -> Disclosed {
        self.keys.get(at).cloned().unwrap_or_default().into()
    }

    pub(super) fn ike(&self, at: usize) -> IkeConfigInfo {
        let ike = &self.tunnel(at).ike;
        IkeConfigInfo {
            ike_version: ike.version.clone().into(),
            ike_mode: ike.mode.clone().into(),
            ike_enc_alg: ike.enc_alg.clone().into(),
            ike_auth_alg: ike.auth_alg.clone().into(),
            ike_pfs: ike.pfs.clone().into(),
            ike_lifetime: ike.lifetime.into(),
            local_id: self.local_id(at),
            remote_id: self.remote_id(at),
            psk: None,
        }
    }

    pub(super) fn ipsec(&self, at: usize) -> IpsecConfigInfo {
        ipsec_config(&self.tunnel(at).ipsec)
    }

    fn observed(&self, at: usize) -> Negotiation {
        self.rows.get(at).map_or(Negotiation::IkeNotEstablished, |row| row.observed)
    }

    /// How far the furthest tunnel has come: packets pass if one lets them.
    pub(super) fn status(&self) -> Negotiation {
        self.tunnels().map(|at| self.observed(at)).max().unwrap_or(Negotiation::IkeNotEstablished)
    }

    /// The status of a connection as a whole. One with two tunnels of a gateway has none: clients that the vendor
    /// tests read an empty text, and the status of each tunnel beside it.
    fn status_of_all(&self) -> Text {
        let of_each = self.gateway.is_some() && self.connection.settings.tunnels.len() > 1;
        if of_each { "" } else { self.status().as_str() }.into()
    }

    /// Whether BGP has come up on a tunnel: where packets pass, its peers see each other.
    fn bgp_status(&self, at: usize, bgp: &Bgp) -> Text {
        let up = self.connection.settings.has_bgp(bgp) && self.observed(at) == Negotiation::IpsecEstablished;
        if up { "success" } else { "false" }.into()
    }

    fn state(&self) -> State {
        let locked = |gateway: &GatewayEnds| gateway.business_status == BusinessStatus::FinancialLocked;
        self.connection.shown_state(self.gateway.is_some_and(locked))
    }

    fn tunnel_state(&self) -> Text {
        match self.connection.state {
            ChildState::Active => "active",
            ChildState::Creating | ChildState::Updating => "updating",
            ChildState::Deleting => "deleting",
        }
        .into()
    }

    /// The bandwidth: the gateway's, or that of each tunnel.
    fn spec(&self) -> Text {
        let own = self.connection.tunnel_bandwidth.unwrap_or(TunnelBandwidth::Standard);
        self.gateway.map_or_else(|| spec(own).into(), |gateway| format!("{}M", gateway.bandwidth).into())
    }

    fn health_check(&self) -> HealthCheckInfo {
        let none = HealthCheck { interval: 0, retry: 0, ..HealthCheck::default() };
        let check = self.connection.settings.health_check.as_ref().unwrap_or(&none);
        HealthCheckInfo {
            enable: flag(check.enable),
            dip: check.dip.clone().into(),
            sip: check.sip.clone().into(),
            interval: check.interval.into(),
            retry: check.retry.into(),
            policy: Some(check.policy.clone().into()),
            status: Some(
                if self.status() == Negotiation::IpsecEstablished { "success" } else { "failed" }.into(),
            ),
        }
    }

    fn bgp_config(&self, at: usize) -> BgpConfigInfo {
        let none = Bgp::default();
        let given = self.tunnel(at).bgp.as_ref();
        let bgp = given.unwrap_or(&none);
        BgpConfigInfo {
            auth_key: None,
            enable_bgp: Some(flag(bgp.enable)),
            local_asn: given.map(|bgp| bgp.local_asn.into()),
            local_bgp_ip: some(bgp.local_ip.as_ref()),
            peer_asn: given.and(self.peer_asn(at)).map(Into::into),
            peer_bgp_ip: bgp.peer_ip().map(Into::into),
            status: self.bgp_status(at, bgp),
            tunnel_cidr: some(bgp.tunnel_cidr.as_ref()),
        }
    }

    fn tunnel_info(&self, at: usize) -> TunnelInfo {
        let tunnel = self.tunnel(at);
        let ike = self.ike(at);
        let asn = |asn: Option<u32>| asn.map(|asn| Text::from(asn.to_string()));
        TunnelInfo {
            customer_gateway_id: tunnel.customer_gateway.clone().into(),
            enable_dpd: tunnel.enable_dpd,
            enable_nat_traversal: tunnel.enable_nat_traversal,
            internet_ip: Some(self.address(at)).filter(|ip| !ip.is_empty()),
            remote_ca_certificate: some(tunnel.remote_ca.as_ref()),
            role: tunnel.role.map(|role| role.as_str().into()).unwrap_or_default(),
            state: self.tunnel_state(),
            status: self.observed(at).as_str().into(),
            tunnel_bgp_config: tunnel.bgp.as_ref().map(|bgp| TunnelBgpInfo {
                bgp_status: self.bgp_status(at, bgp),
                local_asn: bgp.local_asn.to_string().into(),
                local_bgp_ip: some(bgp.local_ip.as_ref()),
                peer_asn: asn(self.peer_asn(at)),
                peer_bgp_ip: bgp.peer_ip().map(Into::into),
                tunnel_cidr: some(bgp.tunnel_cidr.as_ref()),
            }),
            tunnel_id: tunnel.id.clone().into(),
            tunnel_ike_config: TunnelIkeInfo {
                ike_version: ike.ike_version,
                ike_mode: ike.ike_mode,
                ike_enc_alg: ike.ike_enc_alg,
                ike_auth_alg: ike.ike_auth_alg,
                ike_pfs: ike.ike_pfs,
                ike_lifetime: ike.ike_lifetime,
                local_id: ike.local_id,
                remote_id: ike.remote_id,
                psk: self.key(at),
            },
            tunnel_index: tunnel.index.map(Into::into),
            tunnel_ipsec_config: TunnelIpsecInfo {
                ipsec_enc_alg: tunnel.ipsec.enc_alg.clone().into(),
                ipsec_auth_alg: tunnel.ipsec.auth_alg.clone().into(),
                ipsec_pfs: tunnel.ipsec.pfs.clone().into(),
                ipsec_lifetime: tunnel.ipsec.lifetime.into(),
            },
            zone_no: self.zone(at),
        }
    }

    /// The connection as DescribeVpnConnection and DescribeVpnConnections show it.
    fn info(&self, tags: TagsOf) -> Result<VpnConnectionInfo, Failure> {
        let (connection, only) = (self.connection, self.only());
        let settings = &connection.settings;
        let own = || self.around.tags.get(connection.id.as_str()).cloned().unwrap_or_default();
        let auth_key = match only.and_then(|at| Some((self.tunnel(at).bgp.as_ref()?, self.customer(at)?))) {
            Some((_, customer)) => opened_key(&self.call.context, customer)?,
            None => None,
        };
        let one = tags == TagsOf::One;
        let bgp = only.map(|at| self.bgp_config(at));
        let bgp =
            bgp.map(|bgp| BgpConfigInfo { auth_key, enable_bgp: bgp.enable_bgp.filter(|_| one), ..bgp });
        Ok(VpnConnectionInfo {
            attach_type: if self.gateway.is_some() { "VPNGW" } else { NO_ASSOCIATED }.into(),
            create_time: connection.created_ms,
            cross_account_authorized: false,
            customer_gateway_id: self.only_customer(),
            effect_immediately: settings.effect_immediately,
            enable_dpd: settings.tunnels.iter().all(|tunnel| tunnel.enable_dpd),
            enable_nat_traversal: settings.tunnels.iter().all(|tunnel| tunnel.enable_nat_traversal),
            enable_tunnels_bgp: settings.tunnels_bgp,
            ike_config: only.map(|at| IkeConfigInfo { psk: Some(self.key(at)), ..self.ike(at) }),
            internet_ip: only.map(|at| self.address(at)),
            ipsec_config: only.map(|at| self.ipsec(at)),
            local_subnet: settings.local_subnet.clone().into(),
            name: connection.name.clone().into(),
            network_type: connection.network_type.as_str().into(),
            remote_ca_certificate: only.and_then(|at| some(self.tunnel(at).remote_ca.as_ref())),
            remote_subnet: settings.remote_subnet.clone().into(),
            resource_group_id: connection.resource_group.clone().into(),
            spec: Some(self.spec()),
            state: self.state().as_str().into(),
            status: self.status_of_all(),
            tag: (!one).then(own),
            tags: one.then(own),
            tunnel_bandwidth: connection.tunnel_bandwidth.map(|bandwidth| bandwidth.as_str().into()),
            tunnel_options_specification: self
                .two()
                .map(|tunnels| tunnels.map(|at| self.tunnel_info(at)).collect()),
            vco_health_check: only.map(|_| self.health_check()),
            vpn_bgp_config: bgp,
            vpn_connection_id: connection.id.clone().into(),
            vpn_gateway_id: connection.gateway.clone().map(Into::into),
            zone_no: one.then(|| self.zone(0)),
        })
    }

    /// The places of both tunnels, if there are two.
    pub(super) fn two(&self) -> Option<std::ops::Range<usize>> {
        self.connection.is_dual().then(|| self.tunnels())
    }

    /// Where the only tunnel leads; empty if there are two.
    pub(super) fn only_customer(&self) -> Text {
        self.only().map(|at| self.tunnel(at).customer_gateway.clone().into()).unwrap_or_default()
    }

    pub(super) fn changed_tunnel(&self, at: usize) -> ChangedTunnelInfo {
        let tunnel = self.tunnel(at);
        ChangedTunnelInfo {
            customer_gateway_id: tunnel.customer_gateway.clone().into(),
            enable_dpd: tunnel.enable_dpd,
            enable_nat_traversal: tunnel.enable_nat_traversal,
            internet_ip: self.address(at),
            remote_ca_certificate: some(tunnel.remote_ca.as_ref()),
            role: tunnel.role.map(|role| role.as_str().into()).unwrap_or_default(),
            state: self.tunnel_state(),
            tunnel_bgp_config: tunnel.bgp.as_ref().map(|bgp| ChangedBgpInfo {
                local_asn: bgp.local_asn.into(),
                local_bgp_ip: some(bgp.local_ip.as_ref()),
                peer_asn: self.peer_asn(at).map(Into::into),
                peer_bgp_ip: bgp.peer_ip().map(Into::into),
                tunnel_cidr: some(bgp.tunnel_cidr.as_ref()),
            }),
            tunnel_id: tunnel.id.clone().into(),
            tunnel_ike_config: self.ike(at),
            tunnel_ipsec_config: self.ipsec(at),
            tunnel_index: None,
            zone_no: Some(self.zone(at)),
        }
    }

    /// The connection as ModifyVpnConnectionAttribute answers it: without keys.
    fn changed(&self) -> Result<ModifyVpnConnectionAttributeOutput, Failure> {
        let (connection, only) = (self.connection, self.only());
        let settings = &connection.settings;
        let check = only.map(|_| HealthCheckInfo { policy: None, status: None, ..self.health_check() });
        Ok(ModifyVpnConnectionAttributeOutput {
            create_time: connection.created_ms,
            customer_gateway_id: self.only_customer(),
            effect_immediately: settings.effect_immediately,
            enable_dpd: settings.tunnels.iter().all(|tunnel| tunnel.enable_dpd),
            enable_nat_traversal: settings.tunnels.iter().all(|tunnel| tunnel.enable_nat_traversal),
            enable_tunnels_bgp: settings.tunnels_bgp,
            ike_config: only.map(|at| self.ike(at)),
            ipsec_config: only.map(|at| self.ipsec(at)),
            local_subnet: settings.local_subnet.clone().into(),
            name: connection.name.clone().into(),
            remote_subnet: settings.remote_subnet.clone().into(),
            resource_group_id: connection.resource_group.clone().into(),
            tunnel_options_specification: self
                .two()
                .map(|tunnels| tunnels.map(|at| self.changed_tunnel(at)).collect()),
            vco_health_check: check,
            vpn_bgp_config: only.map(|at| self.bgp_config(at)),
            vpn_connection_id: connection.id.clone().into(),
            vpn_gateway_id: connection.gateway.clone().map(Into::into).unwrap_or_default(),
        })
    }
}
