//! CreateVpnGateway: orders a gateway in a VPC.
//!
//! Source: `docs/api/vpc/CreateVpnGateway.json`. Ids come back at once; DescribeVpnGateway shows
//! `provisioning` until the gateway is `active`. `PREPAY` with `AutoPay=false` stays `init`: nothing is
//! built until it is paid, which cannot be done here, so such an order can only be cancelled with
//! DeleteVpnGateway. Nothing is ever charged.

use std::net::Ipv4Addr;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use tongguan_model::gateway::{BusinessStatus, ChargeType, NetworkType, Phase, VpnGateway, VpnType};
use tongguan_model::id::{AccountId, RegionId, VpnGatewayId};
use tongguan_model::network::{NetworkStatus, VSwitch, Vpc};
use tongguan_model::region::Region;
use tongguan_model::{cidr, text};
use tongguan_store::{IntentKind, Tx};

use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::{Context, new_id, random};
use crate::operation::{
    Answer, CLIENT_TOKEN, DryRun, Failure, Handler, Operation, Part, Product, REGION, Shape, UntypedChange,
    optional, required,
};

use super::{region_or_default, resource_group, to_be_applied};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "CreateVpnGateway",
    summary: "Order a VPN gateway in a VPC.",
    permission: Some("vpc:CreateVpnGateway"),
    resource: "acs:vpc:{RegionId}:{accountId}:vpngateway/*",
    arns: &[&[
        Part::Text("acs:vpc:"),
        Part::Region { of: None },
        Part::Text(":"),
        Part::Account,
        Part::Text(":vpngateway/*"),
    ]],
    conditions: &[],
    parameters: &[
        REGION,
        required("VpcId", Shape::Text, "Id of the VPC."),
        required(
            "Bandwidth",
            Shape::Integer,
            "Mbit/s: 5, 10, 20, 50, 100, 200, 500, 1000; private: 200 or 1000.",
        ),
        optional(
            "Name",
            Shape::Text,
            "2 to 100 characters: a letter, then letters, digits, _ - and . Default: the id.",
        ),
        optional("VpnType", Shape::Text, "Normal (default) or NationalStandard (SM algorithms)."),
        optional("NetworkType", Shape::Text, "public (default) or private."),
        optional("VSwitchId", Shape::Text, "First vSwitch; absent: the VPC's oldest."),
        optional("DisasterRecoveryVSwitchId", Shape::Text, "Second vSwitch."),
        optional("EnableIpsec", Shape::Boolean, "IPsec-VPN on. Default true."),
        optional("EnableSsl", Shape::Boolean, "SSL-VPN on; not on SM gateways. Default false."),
        optional(
            "SslConnections",
            Shape::Integer,
            "5 (default), 10, 20, 50, 100, 200, 500 or 1000; 0 without SSL-VPN, whatever is sent.",
        ),
        optional("InstanceChargeType", Shape::Text, "PREPAY or POSTPAY (default)."),
        optional("Period", Shape::Integer, "Months: 1 to 9, 12, 24 or 36; required with PREPAY."),
        optional("AutoPay", Shape::Boolean, "true pays a PREPAY order at once. Default false."),
        optional("ResourceGroupId", Shape::Text, "Resource group; absent: the default one."),
        CLIENT_TOKEN,
    ],
    subject: Some("VpcId"),
    dry_run: DryRun::None,
    errors: &[
        &c::FORBIDDEN,
        &c::MISSING,
        &c::ILLEGAL,
        &c::INVALID_NAME,
        &c::INVALID_RESOURCE_GROUP,
        &c::SSL_NOT_SUPPORTED,
        &c::CLIENT_TOKEN,
        &c::TOKEN_MISMATCH,
        &c::REGION_NOT_FOUND,
        &c::VPC_NOT_FOUND,
        &c::VPC_STATUS,
        &c::VSWITCH_NOT_FOUND,
        &c::VSWITCH_STATUS,
        &c::GATEWAY_QUOTA,
        &c::ADDRESS_POOL_EMPTY,
    ],
    handler: Handler::UntypedWrite(create),
};

const BANDWIDTHS: &[u64] = &[5, 10, 20, 50, 100, 200, 500, 1000];
const PRIVATE_BANDWIDTHS: &[u64] = &[200, 1000];
const SSL_CONNECTIONS: &[u64] = &[5, 10, 20, 50, 100, 200, 500, 1000];
const PERIODS: &[u64] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 24, 36];
/// End of the term of what is paid as it goes: 2999-09-08T16:00:00Z, as the service writes "never".
const NEVER_MS: i64 = 32_493_801_600_000;
/// Addresses drawn before the pool counts as used up.
const DRAWS: u32 = 64;

/// The order as it was checked, before anything is looked up.
#[derive(Clone)]
struct Order {
    name: Option<String>,
    vpc: String,
    vswitch: Option<String>,
    disaster_recovery_vswitch: Option<String>,
    bandwidth: u32,
    network_type: NetworkType,
    vpn_type: VpnType,
    ipsec: bool,
    ssl: bool,
    ssl_connections: u32,
    charge_type: ChargeType,
    months: Option<u64>,
    paid: bool,
    resource_group: String,
}

fn create(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let region = region_or_default(context, args)?;
    let account = call.principal.account.clone();
    let order = read_order(args, &account)?;
    let (context, now_ms) = (context.clone(), call.now_ms);
    let id = VpnGatewayId::new(new_id("vpn", region));
    let order_id = 200_000_000_000_000 + i64::from(u32::from_le_bytes(random())) * 10_000;
    Ok(Box::new(move |tx| {
        let (vpc, first, second) = look_up(tx, &account, region, &order)?;
        if tx.tally_everywhere("vpn_gateway", &account)? >= context.settings.quotas.vpn_gateways_per_account {
            return Err((&c::GATEWAY_QUOTA).into());
        }
        let address = draw_address(&context, tx, &order, first.as_ref())?;
        let second_address =
            second.as_ref().map(|vswitch| draw_address(&context, tx, &order, Some(vswitch))).transpose()?;
        let gateway = VpnGateway {
            id: id.clone(),
            account: account.clone(),
            region: RegionId::new(region.id),
            name: order.name.clone().unwrap_or_else(|| id.to_string()),
            description: String::new(),
            vpc: vpc.id,
            vswitch: first.map(|vswitch| vswitch.id),
            disaster_recovery_vswitch: second.map(|vswitch| vswitch.id),
            bandwidth: order.bandwidth,
            network_type: order.network_type,
            vpn_type: order.vpn_type,
            ipsec: order.ipsec,
            ssl: order.ssl,
            ssl_connections: order.ssl_connections,
            charge_type: order.charge_type,
            auto_propagate: false,
            resource_group: order.resource_group.clone(),
            internet_ip: address.to_string(),
            disaster_recovery_ip: second_address.map(|address| address.to_string()),
            order_id,
            created_ms: now_ms,
            end_ms: end_of_term(now_ms, order.months),
            business_status: BusinessStatus::Normal,
            phase: if order.paid { Phase::Live } else { Phase::Unpaid },
            intended: 1,
            applied: 0,
            certificate_alert: None,
        };
        store(&context, tx, &gateway, now_ms)?;
        let mut answer = Answer::new();
        answer.insert("VpnGatewayId".into(), gateway.id.as_str().into());
        answer.insert("Name".into(), gateway.name.into());
        answer.insert("OrderId".into(), order_id.into());
        Ok(answer)
    }))
}

/// Checks the form of the order.
fn read_order(args: &Args<'_>, account: &AccountId) -> Result<Order, Failure> {
    let network_type = args.word("NetworkType", NetworkType::parse)?.unwrap_or(NetworkType::Public);
    let bandwidths = match network_type {
        NetworkType::Public => BANDWIDTHS,
        NetworkType::Private => PRIVATE_BANDWIDTHS,
    };
    let bandwidth = args.one_of("Bandwidth", bandwidths)?.ok_or_else(|| args.missing("Bandwidth"))?;
    let vpn_type = args.word("VpnType", VpnType::parse)?.unwrap_or(VpnType::Normal);
    let name = args.text("Name").map(ToOwned::to_owned);
    if !name.as_deref().is_none_or(text::gateway_name) {
        return Err((&c::INVALID_NAME).into());
    }
    let ipsec = args.flag("EnableIpsec")?.unwrap_or(true);
    let ssl = args.flag("EnableSsl")?.unwrap_or(false);
    if vpn_type == VpnType::NationalStandard && ssl {
        return Err((&c::SSL_NOT_SUPPORTED).into());
    }
    if !ipsec && (!ssl || vpn_type == VpnType::NationalStandard) {
        return Err(args.illegal("EnableIpsec", "false").into());
    }
    let charge_type = args.word("InstanceChargeType", charge_type)?.unwrap_or(ChargeType::PostpayByFlow);
    let auto_pay = args.flag("AutoPay")?.unwrap_or(false);
    let months = args.one_of("Period", PERIODS)?;
    let (months, paid) = match charge_type {
        ChargeType::Prepay => (Some(months.ok_or_else(|| args.missing("Period"))?), auto_pay),
        ChargeType::PostpayByFlow => (None, true),
    };
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let ssl_connections = small(args.one_of("SslConnections", SSL_CONNECTIONS)?.unwrap_or(5));
    Ok(Order {
        name,
        vpc: args.required("VpcId").to_owned(),
        vswitch: args.text("VSwitchId").map(ToOwned::to_owned),
        disaster_recovery_vswitch: args.text("DisasterRecoveryVSwitchId").map(ToOwned::to_owned),
        bandwidth: small(bandwidth),
        network_type,
        vpn_type,
        ipsec,
        ssl,
        ssl_connections: if ssl { ssl_connections } else { 0 },
        charge_type,
        months,
        paid,
        resource_group: resource_group(args, account)?,
    })
}

/// CreateVpnGateway spells charge types in its own way.
fn charge_type(text: &str) -> Option<ChargeType> {
    match text.to_ascii_uppercase().as_str() {
        "PREPAY" => Some(ChargeType::Prepay),
        "POSTPAY" => Some(ChargeType::PostpayByFlow),
        _ => None,
    }
}

/// The VPC and the vSwitches of an order.
fn look_up(
    tx: &Tx<'_>,
    account: &AccountId,
    region: &Region,
    order: &Order,
) -> Result<(Vpc, Option<VSwitch>, Option<VSwitch>), Failure> {
    let vpc = tx.vpc(account, &order.vpc)?.filter(|vpc| vpc.region.as_str() == region.id);
    let vpc = vpc.ok_or_else(|| Refusal::new(&c::VPC_NOT_FOUND))?;
    if vpc.status() != NetworkStatus::Available {
        return Err((&c::VPC_STATUS).into());
    }
    let named = |id: &Option<String>, parameter: &'static str| -> Result<Option<VSwitch>, Failure> {
        let Some(id) = id else { return Ok(None) };
        let vswitch = tx.vswitch(account, id)?.ok_or_else(|| Refusal::new(&c::VSWITCH_NOT_FOUND))?;
        if vswitch.vpc != vpc.id {
            return Err(Refusal::new(&c::ILLEGAL).parameter(parameter).value(id).into());
        }
        if vswitch.status() != NetworkStatus::Available {
            return Err((&c::VSWITCH_STATUS).into());
        }
        Ok(Some(vswitch))
    };
    let mut first = named(&order.vswitch, "VSwitchId")?;
    let second = named(&order.disaster_recovery_vswitch, "DisasterRecoveryVSwitchId")?;
    if first.is_none() {
        let candidates = tx.vswitches_in(&vpc.id)?;
        first = candidates.into_iter().find(|vswitch| vswitch.status() == NetworkStatus::Available);
    }
    Ok((vpc, first, second))
}

/// An address that no gateway has: from the pool, or from the vSwitch of a private gateway.
fn draw_address(
    context: &Context,
    tx: &Tx<'_>,
    order: &Order,
    vswitch: Option<&VSwitch>,
) -> Result<Ipv4Addr, Failure> {
    let block = match order.network_type {
        NetworkType::Public => context.settings.address_pool,
        NetworkType::Private => {
            let block = vswitch.and_then(|vswitch| vswitch.cidr.parse().ok());
            block.ok_or_else(|| Refusal::new(&c::MISSING).parameter("VSwitchId"))?
        }
    };
    let size = cidr::usable_addresses(block).max(1);
    for _ in 0..DRAWS {
        let drawn = cidr::nth_address(block, u64::from_le_bytes(random()) % size);
        if let Some(address) = drawn
            && (order.network_type == NetworkType::Private || !tx.address_in_use(&address.to_string())?)
        {
            return Ok(address);
        }
    }
    Err((&c::ADDRESS_POOL_EMPTY).into())
}

fn end_of_term(now_ms: i64, months: Option<u64>) -> i64 {
    let term = months.and_then(|months| {
        let start = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(TimeZone::UTC);
        let end = start.checked_add(Span::new().months(i64::try_from(months).ok()?)).ok()?;
        Some(end.timestamp().as_millisecond())
    });
    term.unwrap_or(NEVER_MS)
}

fn store(context: &Context, tx: &Tx<'_>, gateway: &VpnGateway, now_ms: i64) -> Result<(), Failure> {
    tx.insert_gateway(gateway)?;
    if gateway.network_type == NetworkType::Public {
        tx.reserve_address(&gateway.internet_ip, &gateway.id)?;
        if let Some(address) = gateway.disaster_recovery_ip.as_ref().filter(|ip| **ip != gateway.internet_ip)
        {
            tx.reserve_address(address, &gateway.id)?;
        }
    }
    if gateway.phase == Phase::Live {
        let (id, generation) = (gateway.id.as_str(), gateway.intended);
        to_be_applied(context, tx, IntentKind::Gateway, id, generation, "create", now_ms)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_end_on_the_day_of_the_month_or_never() {
        assert_eq!(end_of_term(1_700_000_000_000, Some(1)), 1_702_592_000_000);
        assert_eq!(end_of_term(1_700_000_000_000, None), NEVER_MS);
    }
}
