//! CreateVpnAttachment: makes an IPsec connection for a transit router instead of a VPN gateway.
//!
//! Source: `docs/api/vpc/CreateVpnAttachment.json`. Two tunnels are compulsory, as the vendor has it today. It is bound
//! to nothing, and in force at once. A public one has an address of the pool for each tunnel; a private one would get
//! its addresses from its transit router.

use tongguan_model::connection::{Connection, GivenTunnel, Settings, TUNNELS, Tunnel};
use tongguan_model::gateway::{ChildState, NetworkType, VpnType};
use tongguan_model::id::{ConnectionId, RegionId};
use tongguan_store::Tx;

use crate::api::vpc::{CreateVpnAttachment, CreateVpnAttachmentOutput};
use crate::call::Call;
use crate::catalogue as c;
use crate::context::new_id;
use crate::operation::{Failure, Write};
use crate::operations::resourcemanager::groups::group_or_default;

use super::connections::{OneTunnel, TunnelOptions, check, completed, new_tunnels, sealed_keys};
use super::networks::{pool_address, put_tags};
use super::taggable::Taggable;

impl Write for CreateVpnAttachment {
    type Output = CreateVpnAttachmentOutput;

    fn check(&self, call: &Call) -> Result<(), Failure> {
        let tunnels = &self.tunnel_options_specification;
        let twice = tunnels.len() == TUNNELS
            && tunnels[0].given.index.is_some()
            && tunnels[0].given.index == tunnels[1].given.index;
        if tunnels.len() != TUNNELS || twice {
            return Err((&c::TUNNEL_OPTIONS).into());
        }
        let one = OneTunnel {
            customer_gateway: self.customer_gateway_id.as_ref(),
            ike: self.ike_config.as_ref(),
            ipsec: self.ipsec_config.as_ref(),
            bgp: self.bgp_config.as_ref(),
            health_check: self.health_check_config.as_ref(),
            ..OneTunnel::default()
        };
        Ok(one.must_be_absent(call.operation)?)
    }

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (context, account, region) = (&call.context, &call.principal.account, self.region);
        if tx.vpn_attachments(account, region.id)? >= context.settings.quotas.vpn_attachments_per_region {
            return Err((&c::CONNECTION_QUOTA).into());
        }
        let (tunnels, keys) = new_tunnels(call, region, &self.options(), Tunnel::of_attachment)?;
        let network_type = self.network_type.unwrap_or(NetworkType::Public);
        let connection = Connection {
            id: ConnectionId::new(new_id("vco", region, call.now_ms)),
            account: account.clone(),
            region: RegionId::new(region.id),
            gateway: None,
            name: self.name.clone().unwrap_or_default(),
            network_type,
            tunnel_bandwidth: Some(self.tunnel_bandwidth),
            resource_group: group_or_default(call, tx, self.resource_group_id.as_deref())?,
            created_ms: call.now_ms,
            state: ChildState::Active,
            settings: Settings {
                local_subnet: self.local_subnet.clone(),
                remote_subnet: self.remote_subnet.clone(),
                effect_immediately: self.effect_immediately,
                auto_config_route: self.auto_config_route,
                tunnels_bgp: self.enable_tunnels_bgp,
                health_check: None,
                tunnels,
            },
            before: None,
        };
        check(call, tx, &connection, VpnType::Normal)?;
        let mut addresses = Vec::new();
        while network_type == NetworkType::Public && addresses.len() < TUNNELS {
            let address = pool_address(context, tx, &addresses)?;
            addresses.push(address);
        }
        let sealed = sealed_keys(&context.vault, connection.id.as_str(), &keys)?;
        tx.insert_connection(&connection, &sealed, &addresses)?;
        let (kind, id) = (Taggable::VpnAttachment.as_str(), connection.id.as_str());
        put_tags(tx, account, region.id, kind, id, &self.tags)?;
        put_tags(tx, account, region.id, kind, id, &self.tag)?;
        Ok(Self::Output {
            code: "200".into(),
            create_time: connection.created_ms,
            message: "successful".into(),
            name: connection.name.into(),
            success: true,
            vpn_connection_id: connection.id.into(),
        })
    }
}

impl CreateVpnAttachment {
    /// What is said of each tunnel. Unless it says otherwise, their numbers are their places.
    fn options(&self) -> Vec<TunnelOptions> {
        let both = GivenTunnel {
            enable_dpd: self.enable_dpd,
            enable_nat_traversal: self.enable_nat_traversal,
            ..GivenTunnel::default()
        };
        let mut tunnels = completed(&self.tunnel_options_specification, &both);
        for (place, tunnel) in (1..).zip(&mut tunnels) {
            tunnel.given.index.get_or_insert(place);
        }
        tunnels
    }
}
