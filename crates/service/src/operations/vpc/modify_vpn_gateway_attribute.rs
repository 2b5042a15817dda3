//! ModifyVpnGatewayAttribute: changes name, description or route propagation of a gateway.
//!
//! Source: `docs/api/vpc/ModifyVpnGatewayAttribute.json`. The answer, the gateway's data, comes before
//! the work is done. What is left out stays as it is; a call that changes nothing starts no work.

use serde_json::{Value, json};
use tongguan_model::gateway::VpnGateway;
use tongguan_model::text;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    Answer, CLIENT_TOKEN, DryRun, Failure, Handler, Operation, Part, Product, REGION, Shape, UntypedChange,
    optional, required,
};

use super::{gateway_in, intend, new_text};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "ModifyVpnGatewayAttribute",
    summary: "Change name, description or route propagation of a VPN gateway.",
    permission: Some("vpc:ModifyVpnGatewayAttribute"),
    resource: "acs:vpc:{RegionId}:{accountId}:vpngateway/{VpnGatewayId}",
    arns: &[&[
        Part::Text("acs:vpc:"),
        Part::Region { of: Some("VpnGatewayId") },
        Part::Text(":"),
        Part::Account,
        Part::Text(":vpngateway/"),
        Part::Parameter("VpnGatewayId"),
    ]],
    conditions: &[],
    parameters: &[
        REGION,
        required("VpnGatewayId", Shape::Text, "Id of the gateway."),
        optional("Name", Shape::Text, "2 to 100 characters: a letter, then letters, digits, _ - and .")
            .never_empty(&c::INVALID_NAME),
        optional("Description", Shape::Text, "Up to 100 characters.").emptied(),
        optional("AutoPropagate", Shape::Boolean, "Exchange routes with the VPC's route table by itself."),
        CLIENT_TOKEN,
    ],
    subject: Some("VpnGatewayId"),
    dry_run: DryRun::None,
    errors: &[
        &c::FORBIDDEN,
        &c::ILLEGAL,
        &c::CLIENT_TOKEN,
        &c::TOKEN_MISMATCH,
        &c::REGION_NOT_FOUND,
        &c::INVALID_NAME,
        &c::INVALID_DESCRIPTION,
        &c::GATEWAY_NOT_FOUND,
        &c::GATEWAY_CONFIGURING,
    ],
    handler: Handler::UntypedWrite(modify),
};

fn modify(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let region = args.region()?;
    let gateway_id = args.required("VpnGatewayId").to_owned();
    let name = args.text("Name").map(ToOwned::to_owned);
    if !name.as_deref().is_none_or(text::gateway_name) {
        return Err((&c::INVALID_NAME).into());
    }
    let description = new_text(args, "Description", text::gateway_description, &c::INVALID_DESCRIPTION)?;
    let auto_propagate = args.flag("AutoPropagate")?;
    let (context, account, now_ms) = (context.clone(), call.principal.account.clone(), call.now_ms);
    Ok(Box::new(move |tx| {
        let mut gateway = gateway_in(tx.gateway(&account, &gateway_id)?, region)?;
        gateway.settled()?;
        let before = gateway.clone();
        gateway.name = name.clone().unwrap_or(gateway.name);
        gateway.description = description.clone().unwrap_or(gateway.description);
        gateway.auto_propagate = auto_propagate.unwrap_or(gateway.auto_propagate);
        if gateway != before {
            intend(&context, tx, &mut gateway, "modify", now_ms)?;
            tx.update_gateway(&gateway)?;
        }
        Ok(shown(&gateway))
    }))
}

fn shown(gateway: &VpnGateway) -> Answer {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let members = json!({
        "VpnGatewayId": gateway.id.as_str(),
        "Name": gateway.name,
        "Description": gateway.description,
        "Status": gateway.status().as_str(),
        "BusinessStatus": gateway.business_status.as_str(),
        "Spec": format!("{}M", gateway.bandwidth),
        "VpcId": gateway.vpc.as_str(),
        "VSwitchId": text(gateway.vswitch.as_ref().map(|id| id.as_str())),
        "DisasterRecoveryVSwitchId": text(gateway.disaster_recovery_vswitch.as_ref().map(|id| id.as_str())),
        "InternetIp": gateway.internet_ip,
        "DisasterRecoveryInternetIp": text(gateway.disaster_recovery_ip.as_deref()),
        "AutoPropagate": gateway.auto_propagate,
        "EnableBgp": false,
        "CreateTime": gateway.created_ms,
        "EndTime": gateway.end_ms,
        "ResourceGroupId": gateway.resource_group,
    });
    match members {
        Value::Object(members) => members,
        _ => Answer::new(),
    }
}
