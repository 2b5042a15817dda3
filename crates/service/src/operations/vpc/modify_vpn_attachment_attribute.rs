//! ModifyVpnAttachmentAttribute: changes an attachment, at once.
//!
//! Source: `docs/api/vpc/ModifyVpnAttachmentAttribute.json`. What is left out stays as it is. Keys are not in the
//! answer, since an answer is remembered under its ClientToken.

use tongguan_model::connection::{Given, GivenTunnel};
use tongguan_model::gateway::VpnType;
use tongguan_store::Tx;

use crate::api::vpc::{ModifyVpnAttachmentAttribute, ModifyVpnAttachmentAttributeOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::attachments::attachment_in;
use super::connection_shapes::changed_attachment;
use super::connections::{OneTunnel, change_both, check, opened_keys, sealed_keys};

impl Write for ModifyVpnAttachmentAttribute {
    type Output = ModifyVpnAttachmentAttributeOutput;

    fn check(&self, call: &Call) -> Result<(), Failure> {
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
        let found = tx.connection(&call.principal.account, &self.vpn_connection_id)?;
        let mut connection = attachment_in(found, self.region)?;
        if let Some(other) = self.network_type.filter(|kind| *kind != connection.network_type) {
            let refusal = call.operation.illegal("NetworkType", other.as_str());
            return Err(refusal.because("It cannot change.").into());
        }
        if let Some(name) = &self.name {
            tx.rename_connection(&connection.id, name)?;
        }
        let (vault, id) = (&call.context.vault, connection.id.clone());
        let sealed = tx.connection_keys(&id)?.unwrap_or_default();
        let mut keys = opened_keys(vault, id.as_str(), &sealed)?;
        let settings = &mut connection.settings;
        let both = GivenTunnel {
            enable_dpd: self.enable_dpd,
            enable_nat_traversal: self.enable_nat_traversal,
            ..GivenTunnel::default()
        };
        change_both(settings, &mut keys, &both, &self.tunnel_options_specification)?;
        settings.put(&Given {
            local_subnet: self.local_subnet.clone(),
            remote_subnet: self.remote_subnet.clone(),
            effect_immediately: self.effect_immediately,
            auto_config_route: self.auto_config_route,
            tunnels_bgp: self.enable_tunnels_bgp,
        });
        check(call, tx, &connection, VpnType::Normal)?;
        tx.replace_attachment(&connection, &sealed_keys(vault, id.as_str(), &keys)?)?;
        changed_attachment(call, tx, id.as_str())
    }
}
