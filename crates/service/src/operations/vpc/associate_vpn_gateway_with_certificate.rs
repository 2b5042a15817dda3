//! AssociateVpnGatewayWithCertificate: binds one SM certificate to an SM VPN gateway in a role.
//!
//! Source: `docs/api/vpc/AssociateVpnGatewayWithCertificate.json` and `states.md`, section 3. The id is that of a
//! certificate in Kms, or of an upload to Cas; of an SM pair there the half of the role is bound, so that one id may
//! stand in both roles. The first binding of an account makes the service-linked role
//! `AliyunServiceRoleForVPNCertificate`, if the caller may.

use tongguan_model::gateway::Bind;
use tongguan_model::id::CertificateId;
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
        let role = self.certificate_type;
        let Some(mut certificate) = tx.certificate_for(account, &self.certificate_id, role)? else {
            return Err((&c::CERTIFICATE_NOT_FOUND).into());
        };
        tx.vouch(Bearer::Certificate(certificate.id.as_str()))?;
        note_purposes(&mut certificate)?;
        let bindings = tx.bindings_of(&gateway.id)?;
        let (named, facts) = (CertificateId::new(&self.certificate_id), certificate.facts());
        let bind = gateway
            .bind(&bindings, role, &named, &certificate.id, facts, now_ms)
            .map_err(|refusal| Refusal::from(refusal).value(&self.certificate_id))?;
        let Bind::New(binding) = bind else { return Ok(Self::Output {}) };
        tx.insert_binding(&gateway, &binding)?;
        service_linked::ensure_role(&CERTIFICATES, call, tx)?;
        intend(&call.context, tx, &mut gateway, "associate", now_ms)?;
        tx.update_generations(&gateway.id, gateway.intended, gateway.applied)?;
        Ok(Self::Output {})
    }
}
