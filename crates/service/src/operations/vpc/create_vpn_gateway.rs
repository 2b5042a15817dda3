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
use tongguan_model::id::{RegionId, VpnGatewayId};
use tongguan_model::network::{NetworkStatus, VSwitch, Vpc};
use tongguan_store::{IntentKind, Tx};

use crate::api::vpc::{CreateVpnGateway, CreateVpnGatewayOutput};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::{Context, new_id};
use crate::operation::{Failure, Write};
use crate::operations::resourcemanager::groups::group_or_default;
use crate::random::for_id;

use super::networks::draw;
use super::{in_region, to_be_applied};

const BANDWIDTHS: &[u64] = &[5, 10, 20, 50, 100, 200, 500, 1000];
const PRIVATE_BANDWIDTHS: &[u64] = &[200, 1000];
const PERIODS: &[u64] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 24, 36];
/// End of the term of what is paid as it goes: 2999-09-08T16:00:00Z, as the service writes "never".
const NEVER_MS: i64 = 32_493_801_600_000;

/// The bandwidth, one of those that a gateway of this network can have.
pub(crate) fn bandwidth(
    args: &Args<'_>,
    name: &'static str,
    network_type: &Option<NetworkType>,
) -> Result<u64, Refusal> {
    let bandwidths = match network_type {
        None | Some(NetworkType::Public) => BANDWIDTHS,
        Some(NetworkType::Private) => PRIVATE_BANDWIDTHS,
    };
    args.one_of(name, bandwidths)?.ok_or_else(|| args.missing(name))
}

/// Whether SSL-VPN is on: not on a gateway with SM algorithms, and a gateway has one of SSL-VPN and IPsec-VPN.
pub(crate) fn ssl(
    args: &Args<'_>,
    name: &'static str,
    vpn_type: &Option<VpnType>,
    ipsec: &bool,
) -> Result<bool, Refusal> {
    let ssl = args.flag(name)?.unwrap_or(false);
    if *vpn_type == Some(VpnType::NationalStandard) && ssl {
        return Err(Refusal::new(&c::SSL_NOT_SUPPORTED));
    }
    if !ipsec && !ssl {
        return Err(args.illegal("EnableIpsec", "false"));
    }
    Ok(ssl)
}

/// The charge type, which CreateVpnGateway spells in its own way.
pub(crate) fn charge_type(args: &Args<'_>, name: &'static str) -> Result<ChargeType, Refusal> {
    let parse = |text: &str| match text.to_ascii_uppercase().as_str() {
        "PREPAY" => Some(ChargeType::Prepay),
        "POSTPAY" => Some(ChargeType::PostpayByFlow),
        _ => None,
    };
    Ok(args.word(name, parse)?.unwrap_or(ChargeType::PostpayByFlow))
}

/// The months of the term, if the gateway is paid for one.
pub(crate) fn months(
    args: &Args<'_>,
    name: &'static str,
    charge_type: &ChargeType,
) -> Result<Option<u64>, Refusal> {
    let months = args.one_of(name, PERIODS)?;
    match charge_type {
        ChargeType::Prepay => Ok(Some(months.ok_or_else(|| args.missing(name))?)),
        ChargeType::PostpayByFlow => Ok(None),
    }
}

impl Write for CreateVpnGateway {
    type Output = CreateVpnGatewayOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (context, now_ms) = (&call.context, call.now_ms);
        let account = &call.principal.account;
        let (vpc, first, second) = self.look_up(call, tx)?;
        let held = tx.tally_everywhere("vpn_gateway", account)?;
        if held >= context.settings.quotas.vpn_gateways_per_account {
            return Err((&c::GATEWAY_QUOTA).into());
        }
        let address = self.draw_address(context, tx, first.as_ref())?;
        let draw = |vswitch| self.draw_address(context, tx, Some(vswitch));
        let second_address = second.as_ref().map(draw).transpose()?;
        let id = VpnGatewayId::new(new_id("vpn", self.region, now_ms));
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let gateway = VpnGateway {
            account: account.clone(),
            region: RegionId::new(self.region.id),
            name: self.name.clone().unwrap_or_else(|| id.to_string()),
            id,
            description: String::new(),
            vpc: vpc.id,
            vswitch: first.map(|vswitch| vswitch.id),
            disaster_recovery_vswitch: second.map(|vswitch| vswitch.id),
            bandwidth: small(self.bandwidth),
            network_type: self.network(),
            vpn_type: self.vpn_type.unwrap_or(VpnType::Normal),
            ipsec: self.enable_ipsec,
            ssl: self.enable_ssl,
            ssl_connections: if self.enable_ssl { small(self.ssl_connections) } else { 0 },
            charge_type: self.instance_charge_type,
            auto_propagate: false,
            resource_group: group_or_default(call, tx, self.resource_group_id.as_deref())?,
            internet_ip: address.to_string(),
            disaster_recovery_ip: second_address.map(|address| address.to_string()),
            order_id: 200_000_000_000_000 + i64::from(u32::from_le_bytes(for_id())) * 10_000,
            created_ms: now_ms,
            end_ms: end_of_term(now_ms, self.period),
            business_status: BusinessStatus::Normal,
            phase: if self.paid() { Phase::Live } else { Phase::Unpaid },
            intended: 1,
            applied: 0,
            certificate_alert: None,
        };
        store(context, tx, &gateway, now_ms)?;
        Ok(Self::Output {
            vpn_gateway_id: gateway.id.into(),
            name: gateway.name.into(),
            order_id: gateway.order_id,
        })
    }
}

impl CreateVpnGateway {
    fn network(&self) -> NetworkType {
        self.network_type.unwrap_or(NetworkType::Public)
    }

    /// Whether nothing is to be paid before it is built.
    fn paid(&self) -> bool {
        self.auto_pay || self.instance_charge_type == ChargeType::PostpayByFlow
    }

    /// The VPC and the vSwitches of the order.
    fn look_up(&self, call: &Call, tx: &Tx<'_>) -> Result<(Vpc, Option<VSwitch>, Option<VSwitch>), Failure> {
        let account = &call.principal.account;
        let found = tx.vpc(account, &self.vpc_id)?;
        let vpc = in_region(found, |vpc| &vpc.region, Some(self.region), &c::VPC_NOT_FOUND)?;
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
        let mut first = named(&self.vswitch_id, "VSwitchId")?;
        let second = named(&self.disaster_recovery_vswitch_id, "DisasterRecoveryVSwitchId")?;
        if first.is_none() {
            let candidates = tx.vswitches_in(&vpc.id)?;
            first = candidates.into_iter().find(|vswitch| vswitch.status() == NetworkStatus::Available);
        }
        Ok((vpc, first, second))
    }

    /// An address that no gateway has: from the pool, or from the vSwitch of a private gateway.
    fn draw_address(
        &self,
        context: &Context,
        tx: &Tx<'_>,
        vswitch: Option<&VSwitch>,
    ) -> Result<Ipv4Addr, Failure> {
        let block = match self.network() {
            NetworkType::Public => context.settings.address_pool,
            NetworkType::Private => {
                let block = vswitch.and_then(|vswitch| vswitch.cidr.parse().ok());
                block.ok_or_else(|| Refusal::new(&c::MISSING).parameter("VSwitchId"))?
            }
        };
        // Addresses of vSwitches may be drawn twice: each gateway has its own interface there.
        let free = |address: &str| Ok(self.network() == NetworkType::Private || !tx.address_in_use(address)?);
        draw(block, free)?.ok_or_else(|| (&c::ADDRESS_POOL_EMPTY).into())
    }
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
