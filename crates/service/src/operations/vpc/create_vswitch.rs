//! CreateVSwitch: creates a vSwitch in a VPC. Source: `docs/api/vpc/CreateVSwitch.json`.

use ipnet::Ipv4Net;
use tongguan_model::cidr::{self, CidrError};
use tongguan_model::id::VSwitchId;
use tongguan_model::network::{NetworkStatus, VSwitch};
use tongguan_model::{region, text};
use tongguan_store::{IntentKind, Tx};

use crate::args::{Args, Tag};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::{Context, new_id};
use crate::operation::{
    Answer, CLIENT_TOKEN, DryRun, Failure, Handler, Operation, Part, Product, REGION_OPTIONAL, Shape, TAGS,
    UntypedChange, optional, required,
};

use super::{in_region, to_be_applied};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "CreateVSwitch",
    summary: "Create a vSwitch in a VPC.",
    permission: Some("vpc:CreateVSwitch"),
    resource: "acs:vpc:{RegionId}:{accountId}:vswitch/*",
    arns: &[&[
        Part::Text("acs:vpc:"),
        Part::Region { of: None },
        Part::Text(":"),
        Part::Account,
        Part::Text(":vswitch/*"),
    ]],
    conditions: &[],
    parameters: &[
        REGION_OPTIONAL,
        required("VpcId", Shape::Text, "Id of the VPC."),
        required("CidrBlock", Shape::Text, "Mask 16 to 29, inside the VPC's block."),
        required("ZoneId", Shape::Text, "Zone id from DescribeZones."),
        optional("VSwitchName", Shape::Text, "1 to 128 characters; must not begin with http:// or https://."),
        optional("Description", Shape::Text, "1 to 256 characters; must not begin with http:// or https://."),
        optional("Ipv6CidrBlock", Shape::Integer, "Not offered: refused."),
        optional("VpcIpv6CidrBlock", Shape::Text, "Not offered: refused."),
        TAGS,
        CLIENT_TOKEN,
    ],
    subject: Some("VpcId"),
    dry_run: DryRun::None,
    errors: &[
        &c::FORBIDDEN,
        &c::ILLEGAL,
        &c::CLIENT_TOKEN,
        &c::TOKEN_MISMATCH,
        &c::REGION_NOT_FOUND,
        &c::VPC_NOT_FOUND,
        &c::VPC_STATUS,
        &c::ZONE_NOT_FOUND,
        &c::IPV6_UNSUPPORTED,
        &c::VSWITCH_NAME,
        &c::VSWITCH_DESCRIPTION,
        &c::VSWITCH_CIDR,
        &c::VSWITCH_CIDR_MASK,
        &c::VSWITCH_CIDR_OUTSIDE,
        &c::VSWITCH_CIDR_OVERLAP,
        &c::VSWITCH_SIMULTANEOUS,
        &c::VSWITCH_QUOTA,
        &c::INVALID_TAG_KEY,
        &c::INVALID_TAG_VALUE,
        &c::DUPLICATED_TAG_KEY,
    ],
    handler: Handler::UntypedWrite(create),
};

fn create(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let wanted_region = args.region()?;
    let (name, description) =
        (args.text("VSwitchName").unwrap_or_default(), args.text("Description").unwrap_or_default());
    if !name.is_empty() && !text::vpc_name(name) {
        return Err((&c::VSWITCH_NAME).into());
    }
    if !description.is_empty() && !text::vpc_description(description) {
        return Err((&c::VSWITCH_DESCRIPTION).into());
    }
    if args.text("Ipv6CidrBlock").is_some() || args.text("VpcIpv6CidrBlock").is_some() {
        return Err((&c::IPV6_UNSUPPORTED).into());
    }
    let tags = args.tags()?;
    let (name, description) = (name.to_owned(), description.to_owned());
    let (vpc_id, zone) = (args.required("VpcId").to_owned(), args.required("ZoneId").to_owned());
    let block = args.required("CidrBlock").to_owned();
    let (context, account, now_ms) = (context.clone(), call.principal.account.clone(), call.now_ms);
    Ok(Box::new(move |tx| {
        let vpc = in_region(tx.vpc(&account, &vpc_id)?, |vpc| &vpc.region, wanted_region, &c::VPC_NOT_FOUND)?;
        let region = region::find(vpc.region.as_str()).ok_or_else(|| Refusal::new(&c::REGION_NOT_FOUND))?;
        region.zone(&zone).ok_or_else(|| Refusal::new(&c::ZONE_NOT_FOUND))?;
        if vpc.status() != NetworkStatus::Available {
            return Err((&c::VPC_STATUS).into());
        }
        let siblings = tx.vswitches_in(&vpc.id)?;
        let cidr = check_block(&block, &vpc.cidr, &siblings)?;
        if siblings.len() as u64 >= context.settings.quotas.vswitches_per_vpc {
            return Err((&c::VSWITCH_QUOTA).into());
        }
        let vswitch = VSwitch {
            id: VSwitchId::new(new_id("vsw", region)),
            account: account.clone(),
            region: vpc.region,
            vpc: vpc.id,
            zone: zone.clone(),
            name: name.clone(),
            description: description.clone(),
            cidr: cidr.to_string(),
            resource_group: vpc.resource_group,
            created_ms: now_ms,
            ready: false,
        };
        store(&context, tx, &vswitch, &tags)?;
        let mut answer = Answer::new();
        answer.insert("VSwitchId".into(), vswitch.id.as_str().into());
        Ok(answer)
    }))
}

/// The block must fit the VPC and its other vSwitches, and none of those may be in the making.
fn check_block(block: &str, vpc: &str, siblings: &[VSwitch]) -> Result<Ipv4Net, Failure> {
    let outer: Ipv4Net =
        vpc.parse().map_err(|_| Failure::Internal(format!("a VPC has the block `{vpc}`")))?;
    let block = cidr::vswitch_block(block, outer).map_err(|error| {
        Refusal::new(match error {
            CidrError::Malformed { .. } => &c::VSWITCH_CIDR,
            CidrError::MaskLength { .. } => &c::VSWITCH_CIDR_MASK,
            CidrError::OutsideVpc { .. } | CidrError::Reserved { .. } => &c::VSWITCH_CIDR_OUTSIDE,
        })
    })?;
    if siblings.iter().any(|sibling| sibling.status() == NetworkStatus::Pending) {
        return Err((&c::VSWITCH_SIMULTANEOUS).into());
    }
    let taken = siblings.iter().filter_map(|sibling| sibling.cidr.parse().ok());
    if taken.into_iter().any(|taken| cidr::overlaps(taken, block)) {
        return Err((&c::VSWITCH_CIDR_OVERLAP).into());
    }
    Ok(block)
}

fn store(context: &Context, tx: &Tx<'_>, vswitch: &VSwitch, tags: &[Tag]) -> Result<(), Failure> {
    tx.insert_vswitch(vswitch)?;
    for tag in tags {
        let region = vswitch.region.as_str();
        tx.put_tag(&vswitch.account, region, "VSWITCH", vswitch.id.as_str(), &tag.key, &tag.value)?;
    }
    to_be_applied(context, tx, IntentKind::VSwitch, vswitch.id.as_str(), 1, "create", vswitch.created_ms)
}
