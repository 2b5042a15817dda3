//! DissociateVpnGatewayWithCertificate: undoes one certificate binding of an SM VPN gateway.
//!
//! Source: the operation's reference page (2021 edition; a dry run that passes answers 200), see
//! `docs/api/vpc/DissociateVpnGatewayWithCertificate.json`. A binding is (gateway, role, certificate):
//! the right id with the wrong role is not a match. The gateway is `updating` until the data plane has
//! let go of the certificate; until then the binding is still listed.

use tongguan_model::gateway::BindingState;
use tongguan_model::id::CertificateId;

use crate::api::vpc::{DissociateVpnGatewayWithCertificate, DissociateVpnGatewayWithCertificateOutput};
use crate::operation::prelude::*;

use super::{gateway_in, intend};

impl Write for DissociateVpnGatewayWithCertificate {
    type Output = DissociateVpnGatewayWithCertificateOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.gateway(&call.principal.account, &self.vpn_gateway_id)?;
        let mut gateway = gateway_in(found, Some(self.region))?;
        let bindings = tx.bindings_of(&gateway.id)?;
        let role = self.certificate_type;
        gateway.unbind(&bindings, role, &CertificateId::new(&self.certificate_id))?;
        for binding in bindings.iter().filter(|binding| binding.role == role) {
            tx.set_binding_state(&gateway, binding, BindingState::Dissociating)?;
        }
        intend(&call.context, tx, &mut gateway, "dissociate", call.now_ms)?;
        tx.update_generations(&gateway.id, gateway.intended, gateway.applied)?;
        Ok(Self::Output {})
    }
}
