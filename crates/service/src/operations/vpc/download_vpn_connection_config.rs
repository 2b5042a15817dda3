//! DownloadVpnConnectionConfig: what the device at the far end of a connection has to be set to.
//!
//! Source: `docs/api/vpc/DownloadVpnConnectionConfig.json`: the connection as its peer sees it, as fields and not as a
//! file, so local and remote change places. The page shows nothing else; how it is written for strongSwan is in
//! `docs/operations.md`.

use tongguan_store::Snapshot;

use crate::api::vpc::{
    DownloadVpnConnectionConfig, DownloadVpnConnectionConfigOutput,
    DownloadVpnConnectionConfigVpnConnectionConfig as Config,
    DownloadVpnConnectionConfigVpnConnectionConfigBgpConfigsBgpConfig as PeerBgp,
    DownloadVpnConnectionConfigVpnConnectionConfigTunnelsConfigTunnelConfig as PeerTunnel, IkeConfigInfo,
};
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::connection_shapes::{Around, View};
use super::keyed_connection_in;

impl Read for DownloadVpnConnectionConfig {
    type Output = DownloadVpnConnectionConfigOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let found = snapshot.connection_with_keys(&call.principal.account, &self.vpn_connection_id)?;
        let keyed = keyed_connection_in(found, self.region)?;
        let around = Around::read(call, snapshot, std::slice::from_ref(&keyed))?;
        let view = around.view(call, &keyed)?;
        let (settings, only) = (&keyed.connection.settings, view.only());
        let tunnels = view.two().map(|tunnels| {
            let tunnel = |at| PeerTunnel {
                ike_config: peer_ike(&view, at),
                ipsec_config: view.ipsec(at),
                local: view.peer_address(at),
                remote: view.address(at),
                tunnel_id: settings.tunnels[at].id.clone().into(),
            };
            tunnels.map(tunnel).collect()
        });
        let vpn_connection_config = Config {
            bgp_configs: Some(peer_bgp(&view)).filter(|configs| !configs.is_empty()),
            ike_config: only.map(|at| peer_ike(&view, at)),
            ipsec_config: only.map(|at| view.ipsec(at)),
            local: only.map(|at| view.peer_address(at)),
            local_subnet: settings.remote_subnet.clone().into(),
            remote: only.map(|at| view.address(at)),
            remote_subnet: settings.local_subnet.clone().into(),
            tunnels_config: tunnels,
        };
        Ok(Self::Output { vpn_connection_config })
    }
}

/// Phase 1 of the peer.
fn peer_ike(view: &View<'_>, at: usize) -> IkeConfigInfo {
    IkeConfigInfo {
        local_id: view.remote_id(at),
        remote_id: view.local_id(at),
        psk: Some(view.key(at)),
        ..view.ike(at)
    }
}

/// BGP of the peer, on each tunnel that has it.
fn peer_bgp(view: &View<'_>) -> Vec<PeerBgp> {
    let with_bgp = view.tunnels().filter_map(|at| Some((at, view.running_bgp(at)?)));
    let config = |(at, bgp): (usize, &tongguan_model::connection::Bgp)| PeerBgp {
        local_asn: view.peer_asn(at).map(|asn| asn.to_string().into()).unwrap_or_default(),
        local_bgp_ip: bgp.peer_ip().map(Into::into),
        peer_asn: Some(bgp.local_asn.to_string().into()),
        peer_bgp_ip: bgp.local_ip.clone().map(Into::into),
        tunnel_cidr: bgp.tunnel_cidr.clone().map(Into::into),
        tunnel_id: view.tunnel_id(at),
    };
    with_bgp.map(config).collect()
}
