//! What the operations about IPsec connections share: how settings are read, checked and kept.
//!
//! Settings of one tunnel come as JSON objects in texts, those of two as a list of structures. Both are read by member
//! ([`Members`]) into what the model knows as given, so that a rule stands once. A refusal names the member; of a key
//! it shows nothing.

use std::net::Ipv4Addr;

use serde_json::Value;
use tongguan_model::connection::{
    self as rules, Connection, GivenBgp, GivenHealthCheck, GivenIke, GivenIpsec, GivenTunnel, LIFETIME,
    Settings, TUNNELS, Tunnel, TunnelRole, Wrong,
};
use tongguan_model::customer_gateway;
use tongguan_model::gateway::{VpnGateway, VpnType};
use tongguan_model::id::{AccountId, CustomerGatewayId, TunnelId};
use tongguan_model::region::Region;
use tongguan_pki::Certificate;
use tongguan_rpc::{Secret, parse_bool};
use tongguan_store::{SealedKind, Tx};
use zeroize::Zeroizing;

use crate::args::{Args, digits};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::new_id;
use crate::master;
use crate::operation::{Failure, Operation};
use crate::random::{LETTERS, characters};
use crate::vault::Vault;

use super::customer_gateways::opened;

/// Characters of a key that is made here (documented).
const KEY: usize = 16;
/// Bytes of a CA certificate at most.
const CA_BYTES: usize = 16 * 1024;
/// Longest pause between probes, seconds.
const INTERVAL: u32 = 86_400;
/// Most probes.
const RETRIES: u32 = 1_000;

/// What a caller says of phase 1, with the key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenPhase1 {
    /// All but the key.
    pub ike: GivenIke,
    /// The key.
    pub psk: Option<Secret>,
}

/// What a caller says of one of two tunnels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TunnelOptions {
    /// All but the key.
    pub given: GivenTunnel,
    /// The key.
    pub psk: Option<Secret>,
}

/// Gives the value of a member; what is empty or null counts as absent.
type Members<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The refusal of a setting of a connection with one tunnel or two.
pub(super) fn refusal(operation: &Operation, dual: bool, wrong: &Wrong) -> Refusal {
    let parameter = match wrong.member {
        "dip" | "sip" | "enable" | "interval" | "retry" | "policy" => "HealthCheckConfig",
        _ if dual => "TunnelOptionsSpecification",
        "RemoteCaCertificate" => "RemoteCaCertificate",
        "EnableBgp" | "LocalAsn" | "TunnelCidr" | "LocalBgpIp" => "BgpConfig",
        member if member.starts_with("Ipsec") => "IpsecConfig",
        _ => "IkeConfig",
    };
    operation.illegal(parameter, &shown(parameter, wrong)).because(wrong.why)
}

/// A setting as a refusal of a parameter shows it.
fn shown(parameter: &str, wrong: &Wrong) -> String {
    if parameter == wrong.member { wrong.value.clone() } else { format!("{}: {}", wrong.member, wrong.value) }
}

/// The blocks of one side, which must be there.
pub(crate) fn required_subnet(args: &Args<'_>, name: &'static str) -> Result<String, Refusal> {
    subnet(args, name)?.ok_or_else(|| args.missing(name))
}

/// The blocks of one side.
pub(crate) fn subnet(args: &Args<'_>, name: &'static str) -> Result<Option<String>, Refusal> {
    let Some(text) = args.bare(name) else { return Ok(None) };
    rules::subnets(text).map(Some).ok_or_else(|| args.illegal(name, text))
}

/// Phase 1 of the only tunnel.
pub(crate) fn ike_config(args: &Args<'_>, name: &'static str) -> Result<Option<GivenPhase1>, Refusal> {
    object(args, name, phase1)
}

/// Phase 2 of the only tunnel.
pub(crate) fn ipsec_config(args: &Args<'_>, name: &'static str) -> Result<Option<GivenIpsec>, Refusal> {
    object(args, name, phase2)
}

/// BGP on the only tunnel.
pub(crate) fn bgp_config(args: &Args<'_>, name: &'static str) -> Result<Option<GivenBgp>, Refusal> {
    object(args, name, bgp)
}

/// Probing through the only tunnel.
pub(crate) fn health_check_config(
    args: &Args<'_>,
    name: &'static str,
) -> Result<Option<GivenHealthCheck>, Refusal> {
    object(args, name, health_check)
}

/// The CA certificate of the peer of the only tunnel.
pub(crate) fn remote_ca(args: &Args<'_>, name: &'static str) -> Result<Option<String>, Refusal> {
    let ca = authority(&|_| args.text(name).map(str::to_owned));
    ca.map_err(|wrong| args.illegal(name, &wrong.value).because(wrong.why))
}

/// Two tunnels, or those that change.
pub(crate) fn tunnels(args: &Args<'_>, name: &'static str) -> Result<Vec<TunnelOptions>, Refusal> {
    let given = args.structures(name);
    if given.len() > TUNNELS {
        return Err(Refusal::new(&c::TUNNEL_OPTIONS));
    }
    let one = |structure: &tongguan_rpc::StructParams<'_>| {
        tunnel(&|member| structure.get(member).filter(|value| !value.is_empty()).map(str::to_owned))
    };
    let tunnels = given.iter().map(one).collect::<Result<_, _>>();
    tunnels.map_err(|wrong: Wrong| args.illegal(name, &shown(name, &wrong)).because(wrong.why))
}

/// A JSON object in a text, read by member, whatever the case of their letters. One that says nothing counts as absent.
fn object<T: Default + PartialEq>(
    args: &Args<'_>,
    name: &'static str,
    read: fn(&Members<'_>) -> Result<T, Wrong>,
) -> Result<Option<T>, Refusal> {
    let Some(text) = args.text(name) else { return Ok(None) };
    let object = match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object,
        Ok(Value::Null) => return Ok(None),
        Ok(_) | Err(_) => return Err(args.illegal(name, "***").because("It must be a JSON object.")),
    };
    let given = read(&|member| {
        let (_, value) = object.iter().find(|(name, _)| name.eq_ignore_ascii_case(member))?;
        match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            other => Some(other.to_string()),
        }
    });
    let given = given.map_err(|wrong| args.illegal(name, &shown(name, &wrong)).because(wrong.why))?;
    Ok(Some(given).filter(|given| *given != T::default()))
}

fn tunnel(get: &Members<'_>) -> Result<TunnelOptions, Wrong> {
    let within = |object: &'static str| move |member: &str| get(&format!("{object}.{member}"));
    let GivenPhase1 { ike, psk } = phase1(&within("TunnelIkeConfig"))?;
    let role = text(get, "Role", |word| TunnelRole::parse(word).is_some(), "It must be master or slave.")?;
    let bgp = bgp(&within("TunnelBgpConfig"))?;
    let given = GivenTunnel {
        id: get("TunnelId"),
        customer_gateway: get("CustomerGatewayId"),
        index: number(get, "TunnelIndex", 1, TUNNELS as u32)?,
        role: role.as_deref().and_then(TunnelRole::parse),
        enable_dpd: flag(get, "EnableDpd")?,
        enable_nat_traversal: flag(get, "EnableNatTraversal")?,
        remote_ca: authority(get)?,
        ike,
        ipsec: phase2(&within("TunnelIpsecConfig"))?,
        bgp: Some(bgp).filter(|bgp| *bgp != GivenBgp::default()),
    };
    Ok(TunnelOptions { given, psk })
}

fn phase1(get: &Members<'_>) -> Result<GivenPhase1, Wrong> {
    let psk = get("Psk").map(Secret::from);
    if psk.as_ref().is_some_and(|psk| !rules::psk(psk.expose())) {
        return Err(Wrong::new("Psk", "***", "It must be 1 to 100 of the characters that a key may have."));
    }
    let identity =
        |member| text(get, member, rules::identity, "It must be 1 to 100 characters without blanks.");
    let ike = GivenIke {
        version: word(get, "IkeVersion")?,
        mode: word(get, "IkeMode")?,
        enc_alg: word(get, "IkeEncAlg")?,
        auth_alg: word(get, "IkeAuthAlg")?,
        pfs: word(get, "IkePfs")?,
        lifetime: number(get, "IkeLifetime", 0, LIFETIME)?,
        local_id: identity("LocalId")?,
        remote_id: identity("RemoteId")?,
    };
    Ok(GivenPhase1 { ike, psk })
}

fn phase2(get: &Members<'_>) -> Result<GivenIpsec, Wrong> {
    Ok(GivenIpsec {
        enc_alg: word(get, "IpsecEncAlg")?,
        auth_alg: word(get, "IpsecAuthAlg")?,
        pfs: word(get, "IpsecPfs")?,
        lifetime: number(get, "IpsecLifetime", 0, LIFETIME)?,
    })
}

fn bgp(get: &Members<'_>) -> Result<GivenBgp, Wrong> {
    let asn =
        text(get, "LocalAsn", |asn| customer_gateway::asn(asn).is_some(), "It must be 1 to 4294967295.")?;
    let block = |text: &str| rules::tunnel_block(text).is_some();
    Ok(GivenBgp {
        enable: flag(get, "EnableBgp")?,
        local_asn: asn.as_deref().and_then(customer_gateway::asn),
        tunnel_cidr: text(
            get,
            "TunnelCidr",
            block,
            "It must be a /30 inside 169.254.0.0/16 that is not reserved.",
        )?,
        local_ip: address(get, "LocalBgpIp")?,
    })
}

fn health_check(get: &Members<'_>) -> Result<GivenHealthCheck, Wrong> {
    let policy = |word: &str| ["revoke_route", "reserve_route"].contains(&word);
    Ok(GivenHealthCheck {
        enable: flag(get, "enable")?,
        dip: address(get, "dip")?,
        sip: address(get, "sip")?,
        interval: number(get, "interval", 1, INTERVAL)?,
        retry: number(get, "retry", 1, RETRIES)?,
        policy: text(get, "policy", policy, "It must be revoke_route or reserve_route.")?,
    })
}

fn authority(get: &Members<'_>) -> Result<Option<String>, Wrong> {
    let Some(pem) = get("RemoteCaCertificate") else { return Ok(None) };
    let wrong = |why| Wrong::new("RemoteCaCertificate", "", why);
    if pem.len() > CA_BYTES {
        return Err(wrong("It is too long."));
    }
    let chain = Certificate::chain_from_pem(&pem).map_err(|_| wrong("It must be a certificate in PEM."))?;
    if !chain.iter().all(Certificate::is_ca) {
        return Err(wrong("It must be the certificate of an authority."));
    }
    Ok(Some(pem))
}

fn text(
    get: &Members<'_>,
    member: &'static str,
    fits: impl Fn(&str) -> bool,
    why: &'static str,
) -> Result<Option<String>, Wrong> {
    match get(member) {
        Some(value) if !fits(&value) => Err(Wrong::new(member, &value, why)),
        value => Ok(value),
    }
}

fn word(get: &Members<'_>, member: &'static str) -> Result<Option<String>, Wrong> {
    text(get, member, |word| rules::is_word(member, word), "No VPN gateway takes it.")
}

fn address(get: &Members<'_>, member: &'static str) -> Result<Option<String>, Wrong> {
    text(get, member, |ip| ip.parse::<Ipv4Addr>().is_ok(), "It must be an IPv4 address.")
}

fn number(get: &Members<'_>, member: &'static str, min: u32, max: u32) -> Result<Option<u32>, Wrong> {
    let Some(value) = get(member) else { return Ok(None) };
    let number = digits(&value).and_then(|number| u32::try_from(number).ok());
    match number.filter(|number| (min..=max).contains(number)) {
        Some(number) => Ok(Some(number)),
        None => Err(Wrong::new(member, &value, "It must be a number in its range.")),
    }
}

fn flag(get: &Members<'_>, member: &'static str) -> Result<Option<bool>, Wrong> {
    let Some(value) = get(member) else { return Ok(None) };
    match parse_bool(&value) {
        Some(flag) => Ok(Some(flag)),
        None => Err(Wrong::new(member, &value, "It must be true or false.")),
    }
}

/// What a call says of the only tunnel of a connection, parameter by parameter.
#[derive(Debug, Default)]
pub(super) struct OneTunnel<'a> {
    pub(super) customer_gateway: Option<&'a String>,
    pub(super) enable_dpd: Option<bool>,
    pub(super) enable_nat_traversal: Option<bool>,
    pub(super) ike: Option<&'a GivenPhase1>,
    pub(super) ipsec: Option<&'a GivenIpsec>,
    pub(super) bgp: Option<&'a GivenBgp>,
    pub(super) health_check: Option<&'a GivenHealthCheck>,
    pub(super) remote_ca: Option<&'a String>,
}

impl OneTunnel<'_> {
    /// Refuses what a connection with two tunnels does not take. Its flags stand for those that tunnels do not name.
    pub(super) fn must_be_absent(&self, operation: &Operation) -> Result<(), Refusal> {
        let given = [
            ("CustomerGatewayId", self.customer_gateway.is_some()),
            ("IkeConfig", self.ike.is_some()),
            ("IpsecConfig", self.ipsec.is_some()),
            ("BgpConfig", self.bgp.is_some()),
            ("HealthCheckConfig", self.health_check.is_some()),
            ("RemoteCaCertificate", self.remote_ca.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                Err(operation.illegal(name, "***").because("It is for connections with one tunnel only."))
            }
            None => Ok(()),
        }
    }

    /// All of it, as of a list of tunnels.
    pub(super) fn options(&self) -> TunnelOptions {
        let GivenPhase1 { ike, psk } = self.ike.cloned().unwrap_or_default();
        let given = GivenTunnel {
            customer_gateway: self.customer_gateway.cloned(),
            enable_dpd: self.enable_dpd,
            enable_nat_traversal: self.enable_nat_traversal,
            remote_ca: self.remote_ca.cloned(),
            ike,
            ipsec: self.ipsec.cloned().unwrap_or_default(),
            bgp: self.bgp.cloned(),
            ..GivenTunnel::default()
        };
        TunnelOptions { given, psk }
    }
}

/// The tunnels of a new connection, and their keys. `make` gives each its defaults.
pub(super) fn new_tunnels(
    call: &Call,
    region: &Region,
    options: &[TunnelOptions],
    make: impl Fn(TunnelId, CustomerGatewayId) -> Tunnel,
) -> Result<(Vec<Tunnel>, Vec<Zeroizing<String>>), Failure> {
    let mut tunnels = Vec::with_capacity(options.len());
    let mut keys = Vec::with_capacity(options.len());
    for TunnelOptions { given, psk } in options {
        let customer = given.customer_gateway.as_deref();
        let customer = customer.ok_or_else(|| call.operation.missing("CustomerGatewayId"))?;
        let id = TunnelId::new(new_id("tun", region, call.now_ms));
        let mut tunnel = make(id, CustomerGatewayId::new(customer));
        tunnel.put(given);
        tunnels.push(tunnel);
        keys.push(key_or_random(psk.as_ref()));
    }
    Ok((tunnels, keys))
}

/// What a call says of two tunnels, completed by what it says of both. The first is the master, unless their roles are
/// given.
pub(super) fn completed(options: &[TunnelOptions], both: &GivenTunnel) -> Vec<TunnelOptions> {
    let roles = TunnelRole::ALL.iter();
    let complete = |(TunnelOptions { given, psk }, role): (&TunnelOptions, &TunnelRole)| {
        let given = GivenTunnel {
            role: given.role.or(Some(*role)),
            enable_dpd: given.enable_dpd.or(both.enable_dpd),
            enable_nat_traversal: given.enable_nat_traversal.or(both.enable_nat_traversal),
            ..given.clone()
        };
        TunnelOptions { given, psk: psk.clone() }
    };
    options.iter().zip(roles).map(complete).collect()
}

/// Puts what a call says of both tunnels in the place of what is there, then what it says of each.
pub(super) fn change_both(
    settings: &mut Settings,
    keys: &mut [Zeroizing<String>],
    both: &GivenTunnel,
    options: &[TunnelOptions],
) -> Result<(), Refusal> {
    settings.tunnels.iter_mut().for_each(|tunnel| tunnel.put(both));
    change_tunnels(settings, keys, options)
}

/// Puts what a call says of tunnels in the place of what is there. Each is named by its id or its index; where both
/// tunnels are given, by their places.
pub(super) fn change_tunnels(
    settings: &mut Settings,
    keys: &mut [Zeroizing<String>],
    options: &[TunnelOptions],
) -> Result<(), Refusal> {
    for (place, TunnelOptions { given, psk }) in options.iter().enumerate() {
        let named = |tunnel: &Tunnel| match (&given.id, given.index) {
            (Some(id), _) => tunnel.id.as_str() == id,
            (None, index) => index.is_some() && tunnel.index == index,
        };
        let at = settings.tunnels.iter().position(named);
        let by_place = given.id.is_none() && options.len() == settings.tunnels.len();
        let at = at.or(by_place.then_some(place)).ok_or(&c::TUNNEL_OPTIONS)?;
        settings.tunnels[at].put(given);
        if let (Some(psk), Some(key)) = (psk, keys.get_mut(at)) {
            *key = key_or_random(Some(psk));
        }
    }
    Ok(())
}

/// The key that is given, or one of random characters.
pub(super) fn key_or_random(given: Option<&Secret>) -> Zeroizing<String> {
    Zeroizing::new(given.map_or_else(|| characters(KEY, LETTERS), |key| key.expose().to_owned()))
}

/// The keys of a connection's tunnels, sealed.
pub(super) fn sealed_keys(vault: &Vault, id: &str, keys: &[Zeroizing<String>]) -> Result<Vec<u8>, Failure> {
    let bug = |error: &dyn std::fmt::Display| Failure::Internal(format!("sealing keys: {error}"));
    let document = Zeroizing::new(serde_json::to_vec(keys).map_err(|error| bug(&error))?);
    vault.seal(&master::purpose(SealedKind::Connection, id), &document).map_err(|error| bug(&error))
}

/// The keys of a connection's tunnels.
pub(super) fn opened_keys(vault: &Vault, id: &str, sealed: &[u8]) -> Result<Vec<Zeroizing<String>>, Failure> {
    let document = opened(vault, &master::purpose(SealedKind::Connection, id), sealed)?;
    serde_json::from_str(&document).map_err(|_| Failure::Internal(format!("the keys of {id} cannot be read")))
}

/// The gateway of a connection that has one.
pub(super) fn gateway_of(tx: &Tx<'_>, connection: &Connection) -> Result<VpnGateway, Failure> {
    let id = connection.gateway.as_ref().ok_or(&c::CONNECTION_NOT_FOUND)?;
    let found = tx.gateway(&connection.account, id.as_str())?;
    found.ok_or_else(|| Failure::Internal(format!("connection {} has no gateway", connection.id)))
}

/// Checks that no routes lead over a connection that is to be deleted.
pub(super) fn leads_nowhere(tx: &Tx<'_>, connection: &Connection) -> Result<(), Failure> {
    if tx.routes_over(&connection.id)? > 0 { Err((&c::CONNECTION_HAS_ROUTES).into()) } else { Ok(()) }
}

/// Checks what is wanted of a connection against a kind of gateway, against where it leads, and against the other
/// connections of its gateway.
pub(super) fn check(call: &Call, tx: &Tx<'_>, connection: &Connection, kind: VpnType) -> Result<(), Failure> {
    let (settings, dual) = (&connection.settings, connection.is_dual());
    let wrong = |wrong: Wrong| refusal(call.operation, dual, &wrong);
    settings.tunnels.iter().try_for_each(|tunnel| tunnel.check(kind)).map_err(wrong)?;
    settings.check().map_err(wrong)?;
    leads_somewhere(tx, &connection.account, connection.region.as_str(), settings, wrong)?;
    if connection.gateway.is_none() {
        return Ok(());
    }
    for other in tx.settings_to_compare(connection)? {
        if settings.collides(&other) {
            return Err((&c::CONNECTION_EXISTS).into());
        }
        let taken = |block: &&str| other.bgp_blocks().any(|held| held == *block);
        if let Some(block) = settings.bgp_blocks().find(taken) {
            let why = "Another tunnel of the gateway has the block.";
            return Err(wrong(Wrong::new("TunnelCidr", block, why)).into());
        }
    }
    Ok(())
}

/// Checks that every tunnel leads to a customer gateway, and that those with BGP lead to autonomous systems.
fn leads_somewhere(
    tx: &Tx<'_>,
    account: &AccountId,
    region: &str,
    settings: &Settings,
    wrong: impl Fn(Wrong) -> Refusal,
) -> Result<(), Failure> {
    for tunnel in &settings.tunnels {
        let found = tx.customer_gateway(account, tunnel.customer_gateway.as_str())?;
        let found = found.filter(|customer| customer.region.as_str() == region);
        let customer = found.ok_or(&c::CUSTOMER_GATEWAY_NOT_FOUND)?;
        let speaks = tunnel.bgp.as_ref().is_some_and(|bgp| settings.has_bgp(bgp));
        if speaks && customer.asn.is_none() {
            let why = "BGP needs a customer gateway that has an Asn.";
            return Err(wrong(Wrong::new("EnableBgp", "true", why)).into());
        }
    }
    Ok(())
}
