//! DissociateVpnGatewayWithCertificate: undoes one certificate binding of an SM VPN gateway.
//!
//! Source: the operation's reference page (2021 edition; a dry run that passes answers 200), see
//! `docs/api/vpc/DissociateVpnGatewayWithCertificate.json`. A binding is (gateway, role, certificate):
//! the right id with the wrong role is not a match. The gateway is `updating` until the data plane has
//! let go of the certificate; until then the binding is still listed.

use tongguan_model::gateway::{BindingState, Role};
use tongguan_model::id::CertificateId;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    Answer, CLIENT_TOKEN, Change, DRY_RUN, DryRun, Failure, Handler, Operation, Product, REGION, Shape,
    required,
};

use super::{associate_vpn_gateway_with_certificate::role, gateway_in, intend};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "DissociateVpnGatewayWithCertificate",
    summary: "Undo one certificate binding of an SM VPN gateway.",
    permission: Some("vpc:DissociateVpnGatewayWithCertificate"),
    resource: "*",
    parameters: &[
        REGION,
        required("VpnGatewayId", Shape::Text, "Id of the gateway."),
        required("CertificateId", Shape::Text, "Id of the bound certificate, as it was given to Associate."),
        required("CertificateType", Shape::Text, "Encryption or Signature: the role in which it is bound."),
        CLIENT_TOKEN,
        DRY_RUN,
    ],
    subject: Some("VpnGatewayId"),
    dry_run: DryRun::Succeeds,
    errors: &[
        &c::FORBIDDEN,
        &c::ILLEGAL,
        &c::ILLEGAL_CERTIFICATE_TYPE,
        &c::CLIENT_TOKEN,
        &c::TOKEN_MISMATCH,
        &c::REGION_NOT_FOUND,
        &c::GATEWAY_NOT_FOUND,
        &c::GATEWAY_CONFIGURING,
        &c::NOT_BOUND,
    ],
    handler: Handler::Write(dissociate),
};

fn dissociate(context: &Context, call: &Call, args: &Args<'_>) -> Result<Change, Failure> {
    let region = args.region()?;
    let role: Role = role(args)?;
    let gateway_id = args.required("VpnGatewayId").to_owned();
    let certificate = CertificateId::new(args.required("CertificateId"));
    let (context, account, now_ms) = (context.clone(), call.principal.account.clone(), call.now_ms);
    Ok(Box::new(move |tx| {
        let mut gateway = gateway_in(tx.gateway(&account, &gateway_id)?, region)?;
        let bindings = tx.bindings_of(&gateway.id)?;
        gateway.unbind(&bindings, role, &certificate)?;
        for binding in bindings.iter().filter(|binding| binding.role == role) {
            tx.set_binding_state(&gateway, binding, BindingState::Dissociating)?;
        }
        intend(&context, tx, &mut gateway, "dissociate", now_ms)?;
        tx.update_generations(&gateway.id, gateway.intended, gateway.applied)?;
        Ok(Answer::new())
    }))
}
