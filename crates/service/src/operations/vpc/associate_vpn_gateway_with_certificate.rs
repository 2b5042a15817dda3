//! AssociateVpnGatewayWithCertificate: binds one SM certificate to an SM VPN gateway in a role.
//!
//! Source: `docs/api/vpc/AssociateVpnGatewayWithCertificate.json` and `states.md`, section 3. The first
//! binding of an account makes the service-linked role `AliyunServiceRoleForVPNCertificate`, if the caller may.

use tongguan_model::gateway::{Bind, Role};
use tongguan_model::id::CertificateId;
use tongguan_store::Bearer;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::Context;
use crate::operation::{
    Answer, CLIENT_TOKEN, Change, DRY_RUN, DryRun, Failure, Handler, Operation, Product, REGION, Shape,
    required,
};
use crate::operations::kms::note_purposes;
use crate::operations::ram::service_linked::CERTIFICATES;

use super::{gateway_in, intend};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "AssociateVpnGatewayWithCertificate",
    summary: "Bind one SM certificate to an SM VPN gateway in a given role.",
    permission: Some("vpc:AssociateVpnGatewayWithCertificate"),
    resource: "*",
    parameters: &[
        REGION,
        required("VpnGatewayId", Shape::Text, "Id of the gateway; its VpnType must be NationalStandard."),
        required("CertificateId", Shape::Text, "Id of a certificate that is ACTIVE and uses SM2 with SM3."),
        required("CertificateType", Shape::Text, "Encryption or Signature, exactly as written here."),
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
        &c::GATEWAY_NOT_SM,
        &c::CERTIFICATE_NOT_FOUND,
        &c::CERTIFICATE_NOT_BINDABLE,
        &c::CERTIFICATE_USAGE,
        &c::CERTIFICATE_DUPLICATED,
        &c::ROLE_OCCUPIED,
    ],
    handler: Handler::Write(associate),
};

/// The role that `CertificateType` names.
pub(super) fn role(args: &Args<'_>) -> Result<Role, Refusal> {
    let text = args.required("CertificateType");
    Role::parse(text).ok_or_else(|| Refusal::new(&c::ILLEGAL_CERTIFICATE_TYPE).value(text))
}

fn associate(context: &Context, call: &Call, args: &Args<'_>) -> Result<Change, Failure> {
    let region = args.region()?;
    let role = role(args)?;
    let gateway_id = args.required("VpnGatewayId").to_owned();
    let certificate_id = CertificateId::new(args.required("CertificateId"));
    let (context, account, now_ms) = (context.clone(), call.principal.account.clone(), call.now_ms);
    let call = call.clone();
    Ok(Box::new(move |tx| {
        let mut gateway = gateway_in(tx.gateway(&account, &gateway_id)?, region)?;
        gateway.settled()?;
        gateway.takes_certificates()?;
        let Some(mut certificate) = tx.certificate(&account, certificate_id.as_str())? else {
            return Err((&c::CERTIFICATE_NOT_FOUND).into());
        };
        tx.vouch(Bearer::Certificate(certificate.id.as_str()))?;
        note_purposes(&mut certificate)?;
        let bindings = tx.bindings_of(&gateway.id)?;
        let bind = gateway
            .bind(&bindings, role, &certificate.id, certificate.facts(), now_ms)
            .map_err(|refusal| Refusal::from(refusal).value(certificate_id.as_str()))?;
        let Bind::New(binding) = bind else { return Ok(Answer::new()) };
        tx.insert_binding(&gateway, &binding)?;
        if tx.role(&account, CERTIFICATES.role)?.is_none() {
            call.require("ram:CreateServiceLinkedRole", "*", &[("ram:servicename", CERTIFICATES.name)])?;
            CERTIFICATES.ensure_role(tx, &account, now_ms)?;
        }
        intend(&context, tx, &mut gateway, "associate", now_ms)?;
        tx.update_generations(&gateway.id, gateway.intended, gateway.applied)?;
        Ok(Answer::new())
    }))
}
