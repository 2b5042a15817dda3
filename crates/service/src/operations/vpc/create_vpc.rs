//! CreateVpc: creates a VPC with its vRouter and route table. Source: `docs/api/vpc/CreateVpc.json`.
//!
//! IPv6 and IPAM are not offered here and are refused with their documented codes.

use tongguan_model::id::{RegionId, VpcId};
use tongguan_model::network::Vpc;
use tongguan_model::{cidr, region, text};
use tongguan_store::{IntentKind, Tx};

use crate::args::{Args, Tag};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::{Context, new_id};
use crate::operation::{
    Answer, CLIENT_TOKEN, DRY_RUN, DryRun, Failure, Handler, Operation, Part, Product, REGION, Shape, TAGS,
    UntypedChange, optional,
};

use super::{resource_group, to_be_applied};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "CreateVpc",
    summary: "Create a VPC.",
    permission: Some("vpc:CreateVpc"),
    resource: "acs:vpc:{RegionId}:{accountId}:vpc/*",
    arns: &[&[
        Part::Text("acs:vpc:"),
        Part::Region { of: None },
        Part::Text(":"),
        Part::Account,
        Part::Text(":vpc/*"),
    ]],
    conditions: &[],
    parameters: &[
        REGION,
        optional("CidrBlock", Shape::Text, "IPv4 block. Default 172.16.0.0/12."),
        optional("VpcName", Shape::Text, "1 to 128 characters; must not begin with http:// or https://."),
        optional("Description", Shape::Text, "1 to 256 characters; must not begin with http:// or https://."),
        optional("UserCidr", Shape::Text, "Up to three comma-separated blocks."),
        optional("EnableDnsHostname", Shape::Boolean, "DNS host names on. Default false."),
        optional("EnableIpv6", Shape::Boolean, "Not offered: true is refused."),
        optional("Ipv6CidrBlock", Shape::Text, "Not offered: refused."),
        optional("Ipv6CidrMask", Shape::Integer, "Not offered: refused."),
        optional("Ipv6Isp", Shape::Text, "Ignored without IPv6."),
        optional("Ipv4IpamPoolId", Shape::Text, "Not offered: refused."),
        optional("Ipv4CidrMask", Shape::Integer, "Not offered: refused."),
        optional("Ipv6IpamPoolId", Shape::Text, "Not offered: refused."),
        optional("ResourceGroupId", Shape::Text, "Resource group; absent: the default one."),
        TAGS,
        CLIENT_TOKEN,
        DRY_RUN,
    ],
    subject: None,
    dry_run: DryRun::Refuses,
    errors: &[
        &c::FORBIDDEN,
        &c::ILLEGAL,
        &c::CLIENT_TOKEN,
        &c::TOKEN_MISMATCH,
        &c::DRY_RUN,
        &c::VPC_REGION,
        &c::VPC_CIDR,
        &c::VPC_NAME,
        &c::VPC_DESCRIPTION,
        &c::USER_CIDR,
        &c::USER_CIDR_QUOTA,
        &c::IPV6_UNSUPPORTED,
        &c::IPAM_UNSUPPORTED,
        &c::INVALID_RESOURCE_GROUP,
        &c::INVALID_TAG_KEY,
        &c::INVALID_TAG_VALUE,
        &c::DUPLICATED_TAG_KEY,
        &c::VPC_QUOTA,
    ],
    handler: Handler::UntypedWrite(create),
};

/// Block of a VPC that names none.
const DEFAULT_BLOCK: &str = "172.16.0.0/12";
const USER_BLOCKS: usize = 3;

fn create(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let region = region::find(args.required("RegionId")).ok_or_else(|| Refusal::new(&c::VPC_REGION))?;
    refuse_what_is_not_offered(args)?;
    let block = args.text("CidrBlock").unwrap_or(DEFAULT_BLOCK);
    let block = cidr::vpc_block(block).map_err(|_| Refusal::new(&c::VPC_CIDR))?;
    let (name, description) =
        (args.text("VpcName").unwrap_or_default(), args.text("Description").unwrap_or_default());
    if !name.is_empty() && !text::vpc_name(name) {
        return Err((&c::VPC_NAME).into());
    }
    if !description.is_empty() && !text::vpc_description(description) {
        return Err((&c::VPC_DESCRIPTION).into());
    }
    let account = call.principal.account.clone();
    let vpc = Vpc {
        id: VpcId::new(new_id("vpc", region)),
        account: account.clone(),
        region: RegionId::new(region.id),
        name: name.to_owned(),
        description: description.to_owned(),
        cidr: block.to_string(),
        user_cidrs: user_blocks(args)?,
        dns_hostname: args.flag("EnableDnsHostname")?.unwrap_or(false),
        vrouter: new_id("vrt", region),
        route_table: new_id("vtb", region),
        resource_group: resource_group(args, &account)?,
        created_ms: call.now_ms,
        ready: false,
    };
    let tags = args.tags()?;
    let context = context.clone();
    Ok(Box::new(move |tx| {
        if tx.tally("vpc", &account, region.id)? >= context.settings.quotas.vpcs_per_region {
            return Err((&c::VPC_QUOTA).into());
        }
        store(&context, tx, &vpc, &tags)?;
        let mut answer = Answer::new();
        answer.insert("VpcId".into(), vpc.id.as_str().into());
        answer.insert("VRouterId".into(), vpc.vrouter.as_str().into());
        answer.insert("RouteTableId".into(), vpc.route_table.as_str().into());
        answer.insert("ResourceGroupId".into(), vpc.resource_group.as_str().into());
        Ok(answer)
    }))
}

fn refuse_what_is_not_offered(args: &Args<'_>) -> Result<(), Failure> {
    let ipv6 = args.flag("EnableIpv6")?.unwrap_or(false);
    if ipv6 || args.text("Ipv6CidrBlock").is_some() {
        return Err((&c::IPV6_UNSUPPORTED).into());
    }
    let pools = ["Ipv4IpamPoolId", "Ipv6IpamPoolId", "Ipv4CidrMask", "Ipv6CidrMask"];
    if pools.iter().any(|name| args.text(name).is_some()) {
        return Err((&c::IPAM_UNSUPPORTED).into());
    }
    Ok(())
}

fn user_blocks(args: &Args<'_>) -> Result<String, Refusal> {
    let Some(text) = args.text("UserCidr") else { return Ok(String::new()) };
    let blocks: Vec<&str> = text.split(',').map(str::trim).collect();
    if blocks.len() > USER_BLOCKS {
        return Err(Refusal::new(&c::USER_CIDR_QUOTA));
    }
    if blocks.iter().any(|block| block.parse::<ipnet::Ipv4Net>().is_err()) {
        return Err(Refusal::new(&c::USER_CIDR));
    }
    Ok(blocks.join(","))
}

fn store(context: &Context, tx: &Tx<'_>, vpc: &Vpc, tags: &[Tag]) -> Result<(), Failure> {
    tx.insert_vpc(vpc)?;
    for tag in tags {
        tx.put_tag(&vpc.account, vpc.region.as_str(), "VPC", vpc.id.as_str(), &tag.key, &tag.value)?;
    }
    to_be_applied(context, tx, IntentKind::Vpc, vpc.id.as_str(), 1, "create", vpc.created_ms)
}
