//! ModifyVpnConnectionAttribute: changes an IPsec connection of a VPN gateway.
//!
//! Source: `docs/api/vpc/ModifyVpnConnectionAttribute.json`. What is left out stays as it is. The answer, the
//! connection's data, comes before the work is done; a call that changes nothing but the name starts no work. Keys are
//! not in the answer, since an answer is remembered under its ClientToken.

use tongguan_model::connection::{Connection, Given};
use tongguan_store::Tx;

use crate::api::vpc::{ModifyVpnConnectionAttribute, ModifyVpnConnectionAttributeOutput};
use crate::call::Call;
use crate::catalogue as c;
use crate::operation::{Failure, Write};

use super::connection_shapes::changed;
use super::connections::{
    OneTunnel, change_both, change_tunnels, check, gateway_of, opened_keys, sealed_keys,
};
use super::{connection_in, intend};

impl Write for ModifyVpnConnectionAttribute {
    type Output = ModifyVpnConnectionAttributeOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.connection(&call.principal.account, &self.vpn_connection_id)?;
        let mut connection = connection_in(found, self.region)?;
        let mut gateway = gateway_of(tx, &connection)?;
        gateway.usable()?;
        if let Some(name) = self.name.as_ref().filter(|name| **name != connection.name) {
            tx.rename_connection(&connection.id, name)?;
            connection.name.clone_from(name);
        }
        let (vault, id) = (&call.context.vault, connection.id.as_str());
        let sealed = tx.connection_keys(&connection.id)?.unwrap_or_default();
        let mut keys = opened_keys(vault, id, &sealed)?;
        let (settings, held) = (connection.settings.clone(), keys.clone());
        self.put(call, &mut connection, &mut keys)?;
        if connection.settings != settings || keys != held {
            check(call, tx, &connection, gateway.vpn_type)?;
            let sealed = sealed_keys(vault, connection.id.as_str(), &keys)?;
            tx.change_connection(&connection, &sealed)?;
            intend(&call.context, tx, &mut gateway, "modify-connection", call.now_ms)?;
            tx.update_generations(&gateway.id, gateway.intended, gateway.applied)?;
        }
        changed(call, tx, connection.id.as_str())
    }
}

impl ModifyVpnConnectionAttribute {
    /// Puts what is given in the place of what is there.
    fn put(
        &self,
        call: &Call,
        connection: &mut Connection,
        keys: &mut [zeroize::Zeroizing<String>],
    ) -> Result<(), Failure> {
        let one = OneTunnel {
            customer_gateway: None,
            enable_dpd: self.enable_dpd,
            enable_nat_traversal: self.enable_nat_traversal,
            ike: self.ike_config.as_ref(),
            ipsec: self.ipsec_config.as_ref(),
            bgp: self.bgp_config.as_ref(),
            health_check: self.health_check_config.as_ref(),
            remote_ca: self.remote_ca_certificate.as_ref(),
        };
        let dual = connection.is_dual();
        let settings = &mut connection.settings;
        if dual {
            one.must_be_absent(call.operation)?;
            change_both(settings, keys, &one.options().given, &self.tunnel_options_specification)?;
        } else {
            if !self.tunnel_options_specification.is_empty() {
                return Err((&c::TUNNEL_OPTIONS).into());
            }
            change_tunnels(settings, keys, &[one.options()])?;
            settings.put_health_check(self.health_check_config.as_ref());
        }
        settings.put(&Given {
            local_subnet: self.local_subnet.clone(),
            remote_subnet: self.remote_subnet.clone(),
            effect_immediately: self.effect_immediately,
            auto_config_route: self.auto_config_route,
            tunnels_bgp: self.enable_tunnels_bgp.filter(|_| dual),
        });
        Ok(())
    }
}
