//! AssociateVpnGatewayWithCertificate: binds one SM certificate to an SM VPN gateway in a role.
//!
//! Source: `docs/api/vpc/AssociateVpnGatewayWithCertificate.json` and `states.md`, section 3. The first
//! binding of an account makes the service-linked role `AliyunServiceRoleForVPNCertificate`, if the caller may.

use tongguan_model::gateway::Bind;
use tongguan_model::service_role::CERTIFICATES;
use tongguan_store::{Bearer, Tx};

use crate::api::vpc::{AssociateVpnGatewayWithCertificate, AssociateVpnGatewayWithCertificateOutput};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Failure, Write};
use crate::operations::kms::note_purposes;
use crate::operations::ram::service_linked;

use super::{gateway_in, intend};

impl Write for AssociateVpnGatewayWithCertificate {
    type Output = AssociateVpnGatewayWithCertificateOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (account, now_ms) = (&call.principal.account, call.now_ms);
        let mut gateway = gateway_in(tx.gateway(account, &self.vpn_gateway_id)?, Some(self.region))?;
        gateway.settled()?;
        gateway.takes_certificates()?;
        let Some(mut certificate) = tx.certificate(account, &self.certificate_id)? else {
            return Err((&c::CERTIFICATE_NOT_FOUND).into());
        };
        tx.vouch(Bearer::Certificate(certificate.id.as_str()))?;
        note_purposes(&mut certificate)?;
        let bindings = tx.bindings_of(&gateway.id)?;
        let bind = gateway
            .bind(&bindings, self.certificate_type, &certificate.id, certificate.facts(), now_ms)
            .map_err(|refusal| Refusal::from(refusal).value(&self.certificate_id))?;
        let Bind::New(binding) = bind else { return Ok(Self::Output {}) };
        tx.insert_binding(&gateway, &binding)?;
        service_linked::ensure_role(&CERTIFICATES, call, tx)?;
        intend(&call.context, tx, &mut gateway, "associate", now_ms)?;
        tx.update_generations(&gateway.id, gateway.intended, gateway.applied)?;
        Ok(Self::Output {})
    }
}
