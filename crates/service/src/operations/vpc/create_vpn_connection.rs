//! CreateVpnConnection: makes an IPsec connection on a VPN gateway, with one tunnel or two.
//!
//! Source: `docs/api/vpc/CreateVpnConnection.json` and `states.md`, section 2. The gateway is `updating` until the
//! connection is in force. Any gateway takes one tunnel or two: with one address, both tunnels begin there.

use tongguan_model::connection::{Connection, Settings, TUNNELS, Tunnel};
use tongguan_model::gateway::ChildState;
use tongguan_model::id::{ConnectionId, RegionId};
use tongguan_store::Tx;

use crate::api::vpc::{CreateVpnConnection, CreateVpnConnectionOutput};
use crate::call::Call;
use crate::catalogue as c;
use crate::context::new_id;
use crate::operation::{Failure, Write};

use super::connections::{OneTunnel, TunnelOptions, check, completed, new_tunnels, sealed_keys};
use super::networks::put_tags;
use super::taggable::Taggable;
use super::{gateway_in, intend};

impl Write for CreateVpnConnection {
    type Output = CreateVpnConnectionOutput;

    fn check(&self, call: &Call) -> Result<(), Failure> {
        if self.tunnel_options_specification.is_empty() {
            if self.enable_tunnels_bgp == Some(true) {
                let refusal = call.operation.illegal("EnableTunnelsBgp", "true");
                return Err(refusal.because("It is for connections with two tunnels only.").into());
            }
            self.customer_gateway_id.as_ref().ok_or_else(|| call.operation.missing("CustomerGatewayId"))?;
            return Ok(());
        }
        self.one_tunnel().must_be_absent(call.operation)?;
        if self.tunnel_options_specification.len() == TUNNELS {
            Ok(())
        } else {
            Err((&c::TUNNEL_OPTIONS).into())
        }
    }

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (context, account) = (&call.context, &call.principal.account);
        let mut gateway = gateway_in(tx.gateway(account, &self.vpn_gateway_id)?, Some(self.region))?;
        gateway.connect(&tx.bindings_on(&gateway)?)?;
        if tx.connections_on(&gateway.id)? >= context.settings.quotas.vpn_connections_per_gateway {
            return Err((&c::CONNECTION_QUOTA).into());
        }
        let kind = gateway.vpn_type;
        let make = |id, customer_gateway| {
            let tunnel = Tunnel::new(id, customer_gateway, kind);
            if self.says_nothing_of_ike() { tunnel.with_version_unsaid(kind) } else { tunnel }
        };
        let (tunnels, keys) = new_tunnels(call, self.region, &self.options(), make)?;
        let connection = Connection {
            id: ConnectionId::new(new_id("vco", self.region, call.now_ms)),
            account: account.clone(),
            region: RegionId::new(self.region.id),
            gateway: Some(gateway.id.clone()),
            name: self.name.clone().unwrap_or_default(),
            network_type: gateway.network_type,
            tunnel_bandwidth: None,
            resource_group: gateway.resource_group.clone(),
            created_ms: call.now_ms,
            state: ChildState::Creating,
            settings: self.settings(tunnels),
            before: None,
        };
        check(call, tx, &connection, kind)?;
        let sealed = sealed_keys(&context.vault, connection.id.as_str(), &keys)?;
        tx.insert_connection(&connection, &sealed, &[])?;
        let (kind, id) = (Taggable::VpnConnection.as_str(), connection.id.as_str());
        put_tags(tx, account, self.region.id, kind, id, &self.tags)?;
        intend(context, tx, &mut gateway, "connect", call.now_ms)?;
        tx.update_generations(&gateway.id, gateway.intended, gateway.applied)?;
        Ok(Self::Output {
            vpn_connection_id: connection.id.into(),
            name: connection.name.into(),
            create_time: connection.created_ms,
        })
    }
}

impl CreateVpnConnection {
    fn one_tunnel(&self) -> OneTunnel<'_> {
        OneTunnel {
            customer_gateway: self.customer_gateway_id.as_ref(),
            enable_dpd: self.enable_dpd,
            enable_nat_traversal: self.enable_nat_traversal,
            ike: self.ike_config.as_ref(),
            ipsec: self.ipsec_config.as_ref(),
            bgp: self.bgp_config.as_ref(),
            health_check: self.health_check_config.as_ref(),
            remote_ca: self.remote_ca_certificate.as_ref(),
        }
    }

    /// Whether nothing at all is said of phase 1 of the only tunnel.
    fn says_nothing_of_ike(&self) -> bool {
        self.ike_config.is_none() && self.tunnel_options_specification.is_empty()
    }

    /// What is said of each tunnel.
    fn options(&self) -> Vec<TunnelOptions> {
        if self.tunnel_options_specification.is_empty() {
            return vec![self.one_tunnel().options()];
        }
        completed(&self.tunnel_options_specification, &self.one_tunnel().options().given)
    }

    fn settings(&self, tunnels: Vec<Tunnel>) -> Settings {
        let mut settings = Settings {
            local_subnet: self.local_subnet.clone(),
            remote_subnet: self.remote_subnet.clone(),
            effect_immediately: self.effect_immediately,
            auto_config_route: self.auto_config_route,
            tunnels_bgp: self.enable_tunnels_bgp.unwrap_or_else(|| {
                // Seen, not documented: the Terraform provider's tests find BGP on where tunnels are told of it.
                self.tunnel_options_specification.iter().any(|tunnel| tunnel.given.bgp.is_some())
            }),
            health_check: None,
            tunnels,
        };
        settings.put_health_check(self.health_check_config.as_ref());
        settings
    }
}
