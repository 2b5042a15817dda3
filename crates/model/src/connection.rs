//! IPsec connections: their settings, what a gateway takes, and how they come to be (`states.md`, section 2).
//!
//! A connection hangs on a gateway: a change of it is the gateway's next generation. What may change is its
//! [`Settings`]; the keys that the peers share are kept apart from them, sealed. A connection with one tunnel and one
//! with two differ in nothing but the number of [`Tunnel`]s. An *attachment* is a connection without a gateway, meant
//! for a transit router.
//!
//! What a caller says of settings is a [`Given`]: what it leaves out stays as it is, or as [`Tunnel::new`] has it.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::gateway::{ChildState, NetworkType, VpnType};
use crate::id::{AccountId, ConnectionId, CustomerGatewayId, RegionId, TunnelId, VpnGatewayId};
use crate::{customer_gateway, text, wire_enum};

/// Blocks on each side of a connection (documented).
pub const SUBNETS: usize = 5;
/// Tunnels of a connection whose link is redundant (documented).
pub const TUNNELS: usize = 2;
/// Longest life of a security association, seconds (documented).
pub const LIFETIME: u32 = 86_400;

wire_enum! {
    /// How far the negotiation of a tunnel has come, as the data plane sees it. In order: each is further than those
    /// before it.
    pub enum Negotiation {
        /// No phase 1.
        IkeNotEstablished = "ike_sa_not_established",
        /// Phase 1 is there.
        IkeEstablished = "ike_sa_established",
        /// Phase 1 is there, and phase 2 has failed.
        IpsecNotEstablished = "ipsec_sa_not_established",
        /// Both are there: packets pass.
        IpsecEstablished = "ipsec_sa_established",
    }
}

wire_enum! {
    /// What a connection shows as `State`: what it is bound to, and how far that has come.
    pub enum State {
        /// Bound to a gateway.
        Active = "active",
        /// Bound to nothing.
        Init = "init",
        /// Being built on its gateway.
        Provisioning = "provisioning",
        /// Being changed on its gateway.
        Updating = "updating",
        /// Being removed from its gateway.
        Deleted = "deleted",
        /// On a gateway that is locked for debt.
        FinancialLocked = "financialLocked",
    }
}

wire_enum! {
    /// Which of two tunnels carries the traffic.
    pub enum TunnelRole {
        /// As long as it is up.
        Master = "master",
        /// Otherwise.
        Slave = "slave",
    }
}

wire_enum! {
    /// Bandwidth of the tunnels of an attachment.
    pub enum TunnelBandwidth {
        /// 1 Gbit/s.
        Standard = "Standard",
        /// 3 Gbit/s.
        Large = "Large",
    }
}

/// A connection. Its tags, its keys and what is seen of its tunnels are kept apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Id, prefix `vco-`.
    pub id: ConnectionId,
    /// Owner.
    pub account: AccountId,
    /// Region.
    pub region: RegionId,
    /// Gateway; none: an attachment.
    pub gateway: Option<VpnGatewayId>,
    /// Name; may be empty.
    pub name: String,
    /// Where its addresses lie.
    pub network_type: NetworkType,
    /// Bandwidth of its tunnels; attachments only.
    pub tunnel_bandwidth: Option<TunnelBandwidth>,
    /// Resource group.
    pub resource_group: String,
    /// Creation, UNIX milliseconds.
    pub created_ms: i64,
    /// How far it has come on its gateway; an attachment is always in force.
    pub state: ChildState,
    /// What is wanted.
    pub settings: Settings,
    /// What is in force as long as that is something else: while it is being changed.
    pub before: Option<Settings>,
}

/// What may change on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Blocks on the side of the VPC, separated by commas, as they were given.
    pub local_subnet: String,
    /// Blocks on the side of the data centre.
    pub remote_subnet: String,
    /// Negotiate at once, and not when traffic arrives.
    pub effect_immediately: bool,
    /// Configure routes by itself.
    pub auto_config_route: bool,
    /// BGP on both tunnels of two.
    pub tunnels_bgp: bool,
    /// Probing, of connections with one tunnel.
    pub health_check: Option<HealthCheck>,
    /// One tunnel or two, in the order in which they were given.
    pub tunnels: Vec<Tunnel>,
}

/// One tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Id, prefix `tun-`.
    pub id: TunnelId,
    /// Where it leads.
    pub customer_gateway: CustomerGatewayId,
    /// Place among two, if it was given: attachments only.
    pub index: Option<u32>,
    /// Its part among two; none for the only one.
    pub role: Option<TunnelRole>,
    /// Dead peer detection.
    pub enable_dpd: bool,
    /// NAT traversal.
    pub enable_nat_traversal: bool,
    /// CA certificate of the peer, PEM: SM gateways only.
    pub remote_ca: Option<String>,
    /// Phase 1.
    pub ike: Ike,
    /// Phase 2.
    pub ipsec: Ipsec,
    /// BGP.
    pub bgp: Option<Bgp>,
}

/// Settings of phase 1, but for the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ike {
    /// `ikev1` or `ikev2`.
    pub version: String,
    /// `main` or `aggressive`.
    pub mode: String,
    /// Encryption.
    pub enc_alg: String,
    /// Authentication.
    pub auth_alg: String,
    /// Diffie-Hellman group.
    pub pfs: String,
    /// Seconds.
    pub lifetime: u32,
    /// Identity of the gateway; none: its address.
    pub local_id: Option<String>,
    /// Identity of the peer; none: its address, or the subject of its CA on an SM gateway.
    pub remote_id: Option<String>,
}

/// Settings of phase 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipsec {
    /// Encryption.
    pub enc_alg: String,
    /// Authentication.
    pub auth_alg: String,
    /// Diffie-Hellman group, or `disabled`.
    pub pfs: String,
    /// Seconds.
    pub lifetime: u32,
}

/// Settings of BGP on one tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bgp {
    /// On; of connections with two tunnels that is [`Settings::tunnels_bgp`].
    pub enable: bool,
    /// Autonomous system of the gateway.
    pub local_asn: u32,
    /// Block of the two addresses inside the tunnel, a /30.
    pub tunnel_cidr: Option<String>,
    /// The gateway's address in it.
    pub local_ip: Option<String>,
}

/// Probing through the tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// On.
    pub enable: bool,
    /// Address that is probed, in the data centre.
    pub dip: String,
    /// Address that it is probed from, in the VPC.
    pub sip: String,
    /// Seconds between probes.
    pub interval: u32,
    /// Probes that must fail.
    pub retry: u32,
    /// What failure does to routes.
    pub policy: String,
}

/// What a caller says of a connection; what is not said is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// See [`Settings`].
    pub local_subnet: Option<String>,
    /// See [`Settings`].
    pub remote_subnet: Option<String>,
    /// See [`Settings`].
    pub effect_immediately: Option<bool>,
    /// See [`Settings`].
    pub auto_config_route: Option<bool>,
    /// See [`Settings`].
    pub tunnels_bgp: Option<bool>,
}

/// What a caller says of probing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenHealthCheck {
    /// See [`HealthCheck`].
    pub enable: Option<bool>,
    /// See [`HealthCheck`].
    pub dip: Option<String>,
    /// See [`HealthCheck`].
    pub sip: Option<String>,
    /// See [`HealthCheck`].
    pub interval: Option<u32>,
    /// See [`HealthCheck`].
    pub retry: Option<u32>,
    /// See [`HealthCheck`].
    pub policy: Option<String>,
}

/// What a caller says of a tunnel, but for its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenTunnel {
    /// Which tunnel is meant: of a change.
    pub id: Option<String>,
    /// See [`Tunnel`].
    pub customer_gateway: Option<String>,
    /// See [`Tunnel`].
    pub index: Option<u32>,
    /// See [`Tunnel`].
    pub role: Option<TunnelRole>,
    /// See [`Tunnel`].
    pub enable_dpd: Option<bool>,
    /// See [`Tunnel`].
    pub enable_nat_traversal: Option<bool>,
    /// See [`Tunnel`].
    pub remote_ca: Option<String>,
    /// See [`Ike`].
    pub ike: GivenIke,
    /// See [`Ipsec`].
    pub ipsec: GivenIpsec,
    /// See [`Bgp`]; none if nothing is said of it.
    pub bgp: Option<GivenBgp>,
}

/// What a caller says of phase 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenIke {
    /// See [`Ike`].
    pub version: Option<String>,
    /// See [`Ike`].
    pub mode: Option<String>,
    /// See [`Ike`].
    pub enc_alg: Option<String>,
    /// See [`Ike`].
    pub auth_alg: Option<String>,
    /// See [`Ike`].
    pub pfs: Option<String>,
    /// See [`Ike`].
    pub lifetime: Option<u32>,
    /// See [`Ike`].
    pub local_id: Option<String>,
    /// See [`Ike`].
    pub remote_id: Option<String>,
}

/// What a caller says of phase 2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenIpsec {
    /// See [`Ipsec`].
    pub enc_alg: Option<String>,
    /// See [`Ipsec`].
    pub auth_alg: Option<String>,
    /// See [`Ipsec`].
    pub pfs: Option<String>,
    /// See [`Ipsec`].
    pub lifetime: Option<u32>,
}

/// What a caller says of BGP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenBgp {
    /// See [`Bgp`].
    pub enable: Option<bool>,
    /// See [`Bgp`].
    pub local_asn: Option<u32>,
    /// See [`Bgp`].
    pub tunnel_cidr: Option<String>,
    /// See [`Bgp`].
    pub local_ip: Option<String>,
}

/// A setting that is not taken: which, as the API calls it, what it is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Member of the settings, such as `IkeEncAlg`.
    pub member: &'static str,
    /// What it is.
    pub value: String,
    /// Why it is not taken, a sentence.
    pub why: &'static str,
}

/// Puts what is given in the place of what is there.
fn put<T: Clone>(place: &mut T, given: &Option<T>) {
    if let Some(given) = given {
        place.clone_from(given);
    }
}

/// Puts what is given in the place of what is there, which may be nothing.
fn put_some<T: Clone>(place: &mut Option<T>, given: &Option<T>) {
    if given.is_some() {
        place.clone_from(given);
    }
}

impl Connection {
    /// The state to show, given whether its gateway is locked.
    #[must_use]
    pub fn shown_state(&self, locked: bool) -> State {
        match self.state {
            _ if self.gateway.is_none() => State::Init,
            ChildState::Creating => State::Provisioning,
            ChildState::Updating => State::Updating,
            ChildState::Deleting => State::Deleted,
            ChildState::Active if locked => State::FinancialLocked,
            ChildState::Active => State::Active,
        }
    }

    /// Whether the link is redundant.
    #[must_use]
    pub fn is_dual(&self) -> bool {
        self.settings.tunnels.len() == TUNNELS
    }
}

impl Settings {
    /// The settings with what is given in place of what is there.
    pub fn put(&mut self, given: &Given) {
        put(&mut self.local_subnet, &given.local_subnet);
        put(&mut self.remote_subnet, &given.remote_subnet);
        put(&mut self.effect_immediately, &given.effect_immediately);
        put(&mut self.auto_config_route, &given.auto_config_route);
        put(&mut self.tunnels_bgp, &given.tunnels_bgp);
    }

    /// Puts what is given of probing in the place of what is there.
    pub fn put_health_check(&mut self, given: Option<&GivenHealthCheck>) {
        if let Some(given) = given {
            let check = self.health_check.get_or_insert_with(HealthCheck::default);
            put(&mut check.enable, &given.enable);
            put(&mut check.dip, &given.dip);
            put(&mut check.sip, &given.sip);
            put(&mut check.interval, &given.interval);
            put(&mut check.retry, &given.retry);
            put(&mut check.policy, &given.policy);
        }
    }

    /// What no rule of a single setting says: probing needs two addresses, and BGP a block and an address in it.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn check(&self) -> Result<(), Wrong> {
        if let Some(check) = self.health_check.as_ref().filter(|check| check.enable) {
            let missing =
                [("dip", &check.dip), ("sip", &check.sip)].into_iter().find(|(_, ip)| ip.is_empty());
            if let Some((member, _)) = missing {
                return Err(Wrong { member, value: String::new(), why: "Probing needs both addresses." });
            }
        }
        let dual = self.tunnels.len() == TUNNELS;
        for tunnel in &self.tunnels {
            let wanted = tunnel.bgp.as_ref().map_or(dual && self.tunnels_bgp, |bgp| self.has_bgp(bgp));
            match &tunnel.bgp {
                Some(bgp) => bgp.check(wanted)?,
                None if wanted => {
                    return Err(Wrong::new("TunnelCidr", "", "BGP needs a block on each tunnel."));
                }
                None => {}
            }
        }
        let blocks: Vec<&str> = self.bgp_blocks().collect();
        match blocks.as_slice() {
            [one, other] if one == other => {
                Err(Wrong::new("TunnelCidr", one, "Another tunnel of the gateway has the block."))
            }
            _ => Ok(()),
        }
    }

    /// Whether BGP runs where these settings are.
    #[must_use]
    pub fn has_bgp(&self, bgp: &Bgp) -> bool {
        if self.tunnels.len() == TUNNELS { self.tunnels_bgp } else { bgp.enable }
    }

    /// Whether BGP runs on any tunnel.
    #[must_use]
    pub fn any_bgp(&self) -> bool {
        self.tunnels.iter().filter_map(|tunnel| tunnel.bgp.as_ref()).any(|bgp| self.has_bgp(bgp))
    }

    /// The blocks of addresses inside the tunnels.
    pub fn bgp_blocks(&self) -> impl Iterator<Item = &str> {
        self.tunnels.iter().filter_map(|tunnel| tunnel.bgp.as_ref()?.tunnel_cidr.as_deref())
    }

    /// What packets the connection takes: the same for the same blocks on each side, in whatever order they were given.
    #[must_use]
    pub fn selectors(&self) -> String {
        let sorted = |list: &str| {
            let mut blocks: Vec<Ipv4Net> = list.split(',').filter_map(|block| block.parse().ok()).collect();
            blocks.sort_unstable();
            blocks.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        [&sorted(&self.local_subnet), " ", &sorted(&self.remote_subnet)].concat()
    }

    /// Whether two connections of a gateway would take the same packets: they lead to the same customer gateway, and
    /// have the same blocks on each side, in whatever order.
    #[must_use]
    pub fn collides(&self, other: &Self) -> bool {
        let meets = |tunnel: &Tunnel| {
            other.tunnels.iter().any(|held| held.customer_gateway == tunnel.customer_gateway)
        };
        self.tunnels.iter().any(meets) && self.selectors() == other.selectors()
    }
}

impl Default for HealthCheck {
    /// Off, as the documentation has it.
    fn default() -> Self {
        Self {
            enable: false,
            dip: String::new(),
            sip: String::new(),
            interval: 3,
            retry: 3,
            policy: String::new(),
        }
    }
}

const GROUPS: &[&str] = &["group1", "group2", "group5", "group14"];
const GROUPS_OR_NONE: &[&str] = &["disabled", "group1", "group2", "group5", "group14"];

/// What a kind of gateway takes for a member of the settings of phase 1 or 2; the first is the default of what differs
/// between kinds. Empty: there is no such member.
const fn words(kind: VpnType, member: &str) -> &'static [&'static str] {
    match (kind, member.as_bytes()) {
        (VpnType::Normal, b"IkeVersion") => &["ikev1", "ikev2"],
        (VpnType::NationalStandard, b"IkeVersion") => &["ikev1"],
        (VpnType::Normal, b"IkeMode") => &["main", "aggressive"],
        (VpnType::NationalStandard, b"IkeMode") => &["main"],
        (VpnType::Normal, b"IkeEncAlg" | b"IpsecEncAlg") => &["aes", "aes192", "aes256", "des", "3des"],
        (VpnType::NationalStandard, b"IkeEncAlg" | b"IpsecEncAlg") => &["sm4"],
        (VpnType::Normal, b"IkeAuthAlg" | b"IpsecAuthAlg") => &["md5", "sha1", "sha256", "sha384", "sha512"],
        (VpnType::NationalStandard, b"IkeAuthAlg" | b"IpsecAuthAlg") => &["sm3"],
        (_, b"IkePfs") => GROUPS,
        (_, b"IpsecPfs") => GROUPS_OR_NONE,
        _ => &[],
    }
}

/// Whether any kind of gateway takes a word for a member of the settings of phase 1 or 2.
#[must_use]
pub fn is_word(member: &str, word: &str) -> bool {
    VpnType::ALL.iter().any(|kind| words(*kind, member).contains(&word))
}

impl Tunnel {
    /// A tunnel with the defaults of a gateway's kind.
    #[must_use]
    pub fn new(id: TunnelId, customer_gateway: CustomerGatewayId, kind: VpnType) -> Self {
        let first = |member| words(kind, member)[0].to_owned();
        Self {
            id,
            customer_gateway,
            index: None,
            role: None,
            enable_dpd: true,
            enable_nat_traversal: true,
            remote_ca: None,
            ike: Ike {
                version: first("IkeVersion"),
                mode: first("IkeMode"),
                enc_alg: first("IkeEncAlg"),
                auth_alg: first("IkeAuthAlg"),
                pfs: "group2".to_owned(),
                lifetime: LIFETIME,
                local_id: None,
                remote_id: None,
            },
            ipsec: Ipsec {
                enc_alg: first("IpsecEncAlg"),
                auth_alg: first("IpsecAuthAlg"),
                pfs: "group2".to_owned(),
                lifetime: LIFETIME,
            },
            bgp: None,
        }
    }

    /// The tunnel where nothing at all is said of phase 1. The documentation gives `IkeConfig` without `IkeVersion`
    /// ikev1, and says nothing of a call without `IkeConfig`: the Terraform provider's tests read ikev2 of an
    /// ordinary gateway.
    #[must_use]
    pub fn with_version_unsaid(mut self, kind: VpnType) -> Self {
        if kind == VpnType::Normal {
            "ikev2".clone_into(&mut self.ike.version);
        }
        self
    }

    /// A tunnel of an attachment: its defaults are others.
    #[must_use]
    pub fn of_attachment(id: TunnelId, customer_gateway: CustomerGatewayId) -> Self {
        let mut tunnel = Self::new(id, customer_gateway, VpnType::Normal);
        tunnel.ike.version = "ikev2".to_owned();
        tunnel.ike.auth_alg = "sha1".to_owned();
        tunnel.ipsec.auth_alg = "sha1".to_owned();
        tunnel
    }

    /// The tunnel with what is given in place of what is there.
    pub fn put(&mut self, given: &GivenTunnel) {
        if let Some(id) = &given.customer_gateway {
            self.customer_gateway = CustomerGatewayId::new(id);
        }
        put_some(&mut self.index, &given.index);
        put_some(&mut self.role, &given.role);
        put(&mut self.enable_dpd, &given.enable_dpd);
        put(&mut self.enable_nat_traversal, &given.enable_nat_traversal);
        put_some(&mut self.remote_ca, &given.remote_ca);
        put(&mut self.ike.version, &given.ike.version);
        put(&mut self.ike.mode, &given.ike.mode);
        put(&mut self.ike.enc_alg, &given.ike.enc_alg);
        put(&mut self.ike.auth_alg, &given.ike.auth_alg);
        put(&mut self.ike.pfs, &given.ike.pfs);
        put(&mut self.ike.lifetime, &given.ike.lifetime);
        put_some(&mut self.ike.local_id, &given.ike.local_id);
        put_some(&mut self.ike.remote_id, &given.ike.remote_id);
        put(&mut self.ipsec.enc_alg, &given.ipsec.enc_alg);
        put(&mut self.ipsec.auth_alg, &given.ipsec.auth_alg);
        put(&mut self.ipsec.pfs, &given.ipsec.pfs);
        put(&mut self.ipsec.lifetime, &given.ipsec.lifetime);
        if let Some(given) = &given.bgp {
            let bgp = self.bgp.get_or_insert_with(Bgp::default);
            put(&mut bgp.enable, &given.enable);
            put(&mut bgp.local_asn, &given.local_asn);
            put_some(&mut bgp.tunnel_cidr, &given.tunnel_cidr);
            put_some(&mut bgp.local_ip, &given.local_ip);
        }
    }

    /// Whether a gateway of this kind takes the tunnel's settings.
    ///
    /// # Errors
    /// The first that it does not take.
    pub fn check(&self, kind: VpnType) -> Result<(), Wrong> {
        let (ike, ipsec) = (&self.ike, &self.ipsec);
        for (member, value) in [
            ("IkeVersion", &ike.version),
            ("IkeMode", &ike.mode),
            ("IkeEncAlg", &ike.enc_alg),
            ("IkeAuthAlg", &ike.auth_alg),
            ("IkePfs", &ike.pfs),
            ("IpsecEncAlg", &ipsec.enc_alg),
            ("IpsecAuthAlg", &ipsec.auth_alg),
            ("IpsecPfs", &ipsec.pfs),
        ] {
            if !words(kind, member).contains(&value.as_str()) {
                return Err(Wrong::new(member, value, "The VPN gateway does not take it."));
            }
        }
        match (kind, &self.remote_ca) {
            (VpnType::NationalStandard, None) => Err(Wrong::new(
                "RemoteCaCertificate",
                "",
                "A gateway with SM algorithms needs the CA of the peer.",
            )),
            (VpnType::Normal, Some(_)) => Err(Wrong::new(
                "RemoteCaCertificate",
                "",
                "Only a gateway with SM algorithms verifies peers by their CA.",
            )),
            (VpnType::NationalStandard, Some(_)) | (VpnType::Normal, None) => Ok(()),
        }
    }
}

impl Default for Bgp {
    fn default() -> Self {
        Self { enable: false, local_asn: customer_gateway::OWN_ASN, tunnel_cidr: None, local_ip: None }
    }
}

impl Bgp {
    /// Whether the block can be one inside a tunnel and the address is in it; both must be there if BGP runs.
    fn check(&self, wanted: bool) -> Result<(), Wrong> {
        let (cidr, ip) = (self.tunnel_cidr.as_deref(), self.local_ip.as_deref());
        if wanted && cidr.is_none() {
            return Err(Wrong::new("TunnelCidr", "", "BGP needs a block on each tunnel."));
        }
        if wanted && ip.is_none() {
            return Err(Wrong::new("LocalBgpIp", "", "BGP needs an address on each tunnel."));
        }
        let block = cidr.map(|cidr| {
            tunnel_block(cidr).ok_or_else(|| {
                Wrong::new("TunnelCidr", cidr, "It must be a /30 inside 169.254.0.0/16 that is not reserved.")
            })
        });
        let block = block.transpose()?;
        match (ip, block) {
            (Some(ip), Some(block)) if !hosts_of(block).iter().any(|host| host.to_string() == ip) => {
                Err(Wrong::new("LocalBgpIp", ip, "It must be one of the two addresses of TunnelCidr."))
            }
            (Some(ip), None) => Err(Wrong::new("LocalBgpIp", ip, "It must be an address of TunnelCidr.")),
            _ => Ok(()),
        }
    }

    /// The peer's address in the block: the other one.
    #[must_use]
    pub fn peer_ip(&self) -> Option<String> {
        let block = tunnel_block(self.tunnel_cidr.as_deref()?)?;
        let own = self.local_ip.as_deref()?;
        hosts_of(block).into_iter().map(|host| host.to_string()).find(|host| host != own)
    }
}

impl Wrong {
    /// A setting that is not taken.
    #[must_use]
    pub fn new(member: &'static str, value: &str, why: &'static str) -> Self {
        Self { member, value: value.to_owned(), why }
    }
}

/// The two addresses of a /30 that hosts can have.
fn hosts_of(block: Ipv4Net) -> [Ipv4Addr; 2] {
    let first = block.network().to_bits();
    [Ipv4Addr::from_bits(first + 1), Ipv4Addr::from_bits(first + 2)]
}

/// A block of addresses inside a tunnel: a /30 in 169.254.0.0/16, without 169.254.0.0/30 to 169.254.6.0/30 and
/// 169.254.169.252/30.
#[must_use]
pub fn tunnel_block(text: &str) -> Option<Ipv4Net> {
    let block: Ipv4Net = text.parse().ok()?;
    let [first, second, third, fourth] = block.addr().octets();
    let reserved = (third <= 6 && fourth == 0) || (third, fourth) == (169, 252);
    let fits = block.prefix_len() == 30 && block.addr() == block.network() && (first, second) == (169, 254);
    (fits && !reserved).then_some(block)
}

/// The blocks on one side of a connection, without blanks, as they were given: one to five that do not overlap, with
/// no bits set behind their masks. None for any other text.
#[must_use]
pub fn subnets(text: &str) -> Option<String> {
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    let blocks: Vec<Ipv4Net> = items.iter().map(|item| item.parse().ok()).collect::<Option<_>>()?;
    let aligned = blocks.iter().all(|block| block.addr() == block.network());
    let apart = |(at, one): (usize, &Ipv4Net)| {
        blocks[at + 1..].iter().all(|other| !one.contains(other) && !other.contains(one))
    };
    let fits = aligned && blocks.len() <= SUBNETS && blocks.iter().enumerate().all(apart);
    fits.then(|| items.join(","))
}

/// A key that two peers share: 1 to 100 ASCII letters, digits and `~!@#$%^&*()_-+={}[]|;:",.<>/?\`.
#[must_use]
pub fn psk(key: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() || br##"~!@#$%^&*()_-+={}[]|;:",.<>/?\"##.contains(&byte);
    (1..=100).contains(&key.len()) && key.bytes().all(fits)
}

/// The identity of a peer: 1 to 100 characters without blanks.
#[must_use]
pub fn identity(id: &str) -> bool {
    (1..=100).contains(&id.chars().take(101).count())
        && id.chars().all(|c| text::fits_line(c) && !c.is_whitespace())
}

impl Serialize for TunnelRole {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TunnelRole {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("no role of a tunnel"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tunnel(customer: &str, kind: VpnType) -> Tunnel {
        Tunnel::new(TunnelId::new("tun-1"), CustomerGatewayId::new(customer), kind)
    }

    fn settings(local: &str, remote: &str, tunnels: Vec<Tunnel>) -> Settings {
        Settings {
            local_subnet: local.into(),
            remote_subnet: remote.into(),
            effect_immediately: false,
            auto_config_route: true,
            tunnels_bgp: false,
            health_check: None,
            tunnels,
        }
    }

    #[test]
    fn a_state_says_what_a_connection_is_bound_to_and_how_far_it_has_come() {
        let mut one = Connection {
            id: ConnectionId::new("vco-1"),
            account: AccountId::new("1"),
            region: RegionId::new("cn-hangzhou"),
            gateway: Some(VpnGatewayId::new("vpn-1")),
            name: String::new(),
            network_type: NetworkType::Public,
            tunnel_bandwidth: None,
            resource_group: String::new(),
            created_ms: 0,
            state: ChildState::Active,
            settings: settings("10.0.0.0/24", "0.0.0.0/0", vec![tunnel("cgw-1", VpnType::Normal)]),
            before: None,
        };
        assert!(!one.is_dual());
        assert_eq!(one.shown_state(true), State::FinancialLocked);
        for (state, shown) in [
            (ChildState::Creating, State::Provisioning),
            (ChildState::Active, State::Active),
            (ChildState::Updating, State::Updating),
            (ChildState::Deleting, State::Deleted),
        ] {
            one.state = state;
            assert_eq!(one.shown_state(false), shown);
        }
        (one.gateway, one.state) = (None, ChildState::Active);
        assert_eq!(one.shown_state(false), State::Init);
    }

    #[test]
    fn subnets_are_blocks_that_do_not_overlap() {
        for (text, kept) in [
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("10.0.0.0/24, 10.0.1.0/24", Some("10.0.0.0/24,10.0.1.0/24")),
            (
                "10.0.0.0/24,10.0.1.0/24,10.0.2.0/24,10.0.3.0/24,10.0.4.0/24",
                Some("10.0.0.0/24,10.0.1.0/24,10.0.2.0/24,10.0.3.0/24,10.0.4.0/24"),
            ),
            ("10.0.0.0/24,10.0.1.0/24,10.0.2.0/24,10.0.3.0/24,10.0.4.0/24,10.0.5.0/24", None),
            ("10.0.0.1/24", None),
            ("10.0.0.0", None),
            ("10.0.0.0/8,10.1.0.0/16", None),
            ("10.0.0.0/24,10.0.0.0/24", None),
            ("10.0.0.0/24,", None),
            ("", None),
            ("fd00::/8", None),
        ] {
            assert_eq!(subnets(text).as_deref(), kept, "{text}");
        }
    }

    #[test]
    fn blocks_inside_tunnels_are_link_local_and_not_reserved() {
        for good in
            ["169.254.10.0/30", "169.254.0.4/30", "169.254.6.4/30", "169.254.7.0/30", "169.254.255.252/30"]
        {
            assert!(tunnel_block(good).is_some(), "{good}");
        }
        for bad in [
            "169.254.0.0/30",
            "169.254.6.0/30",
            "169.254.169.252/30",
            "169.254.10.0/29",
            "169.254.10.1/30",
            "169.253.10.0/30",
            "10.0.0.0/30",
            "169.254.10.0",
        ] {
            assert!(tunnel_block(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_gateway_takes_the_algorithms_of_its_kind() {
        let ca = Some("ca".to_owned());
        for (kind, remote_ca) in [(VpnType::Normal, None), (VpnType::NationalStandard, ca)] {
            let mut tunnel = tunnel("cgw-1", kind);
            tunnel.remote_ca = remote_ca;
            assert_eq!(tunnel.check(kind), Ok(()));
            let other = if kind == VpnType::Normal { VpnType::NationalStandard } else { VpnType::Normal };
            assert!(tunnel.check(other).is_err());
        }
        let normal = tunnel("cgw-1", VpnType::Normal);
        assert_eq!((normal.ike.enc_alg.as_str(), normal.ike.auth_alg.as_str()), ("aes", "md5"));
        let sm = tunnel("cgw-1", VpnType::NationalStandard);
        assert_eq!((sm.ipsec.enc_alg.as_str(), sm.ipsec.auth_alg.as_str()), ("sm4", "sm3"));
        let attached = Tunnel::of_attachment(TunnelId::new("tun-1"), CustomerGatewayId::new("cgw-1"));
        assert_eq!((attached.ike.version.as_str(), attached.ipsec.auth_alg.as_str()), ("ikev2", "sha1"));
        for (member, given) in [
            ("IkeVersion", GivenIke { version: Some("ikev2".into()), ..GivenIke::default() }),
            ("IkeMode", GivenIke { mode: Some("aggressive".into()), ..GivenIke::default() }),
            ("IkeEncAlg", GivenIke { enc_alg: Some("aes".into()), ..GivenIke::default() }),
            ("IkeAuthAlg", GivenIke { auth_alg: Some("sha1".into()), ..GivenIke::default() }),
            ("IkePfs", GivenIke { pfs: Some("disabled".into()), ..GivenIke::default() }),
        ] {
            let mut sm = sm.clone();
            sm.put(&GivenTunnel { ike: given, ..GivenTunnel::default() });
            assert_eq!(sm.check(VpnType::NationalStandard).unwrap_err().member, member);
        }
        assert_eq!(sm.check(VpnType::NationalStandard).unwrap_err().member, "RemoteCaCertificate");
    }

    #[test]
    fn connections_collide_that_take_the_same_packets() {
        let one =
            settings("10.0.0.0/24,10.0.1.0/24", "192.168.0.0/16", vec![tunnel("cgw-1", VpnType::Normal)]);
        let same =
            settings("10.0.1.0/24,10.0.0.0/24", "192.168.0.0/16", vec![tunnel("cgw-1", VpnType::Normal)]);
        let elsewhere = Settings { tunnels: vec![tunnel("cgw-2", VpnType::Normal)], ..same.clone() };
        let wider = Settings { remote_subnet: "0.0.0.0/0".into(), ..same.clone() };
        assert!(one.collides(&same) && same.collides(&one));
        assert_eq!(one.selectors(), "10.0.0.0/24,10.0.1.0/24 192.168.0.0/16");
        assert_eq!(same.selectors(), one.selectors());
        assert!(!one.collides(&elsewhere) && !one.collides(&wider));
        assert!(elsewhere.selectors() == one.selectors() && wider.selectors() != one.selectors());
        let both = Settings {
            tunnels: vec![tunnel("cgw-2", VpnType::Normal), tunnel("cgw-1", VpnType::Normal)],
            ..same
        };
        assert!(one.collides(&both) && both.collides(&one));
    }

    #[test]
    fn bgp_needs_a_block_and_an_address_in_it() {
        let with = |enable, cidr: Option<&str>, ip: Option<&str>| {
            let mut one = settings("10.0.0.0/24", "0.0.0.0/0", vec![tunnel("cgw-1", VpnType::Normal)]);
            one.tunnels[0].bgp = Some(Bgp {
                enable,
                tunnel_cidr: cidr.map(Into::into),
                local_ip: ip.map(Into::into),
                ..Bgp::default()
            });
            one
        };
        let good = with(true, Some("169.254.10.0/30"), Some("169.254.10.1"));
        assert_eq!(good.check(), Ok(()));
        assert_eq!(good.tunnels[0].bgp.as_ref().unwrap().peer_ip().as_deref(), Some("169.254.10.2"));
        assert_eq!(with(false, None, None).check(), Ok(()));
        for (bad, member) in [
            (with(true, None, None), "TunnelCidr"),
            (with(true, Some("169.254.10.0/30"), None), "LocalBgpIp"),
            (with(true, Some("169.254.10.0/30"), Some("169.254.10.3")), "LocalBgpIp"),
            (with(false, Some("10.0.0.0/30"), None), "TunnelCidr"),
            (with(false, None, Some("169.254.10.1")), "LocalBgpIp"),
        ] {
            assert_eq!(bad.check().unwrap_err().member, member);
        }
        let mut two = good;
        two.tunnels.push(two.tunnels[0].clone());
        two.tunnels_bgp = true;
        assert_eq!(two.check().unwrap_err().member, "TunnelCidr");
        two.tunnels[1].bgp = None;
        assert_eq!(two.check().unwrap_err().member, "TunnelCidr");
    }

    #[test]
    fn probing_needs_two_addresses() {
        let mut one = settings("10.0.0.0/24", "0.0.0.0/0", vec![tunnel("cgw-1", VpnType::Normal)]);
        let given = |enable| GivenHealthCheck {
            enable: Some(enable),
            dip: Some("10.0.0.1".into()),
            ..GivenHealthCheck::default()
        };
        one.put_health_check(Some(&given(false)));
        assert_eq!(one.check(), Ok(()));
        one.put_health_check(Some(&given(true)));
        assert_eq!(one.check().unwrap_err().member, "sip");
        assert_eq!(one.health_check.as_ref().unwrap().interval, 3);
    }

    #[test]
    fn keys_and_identities() {
        assert!(psk("aZ09~!@#$%^&*()_-+={}[]|;:\",.<>/?\\") && psk(&"k".repeat(100)));
        assert!(!psk("") && !psk("a b") && !psk("'") && !psk("密") && !psk(&"k".repeat(101)));
        assert!(identity("CN=test,OU=test,O=test,C=CHN") && identity("通关") && identity(&"i".repeat(100)));
        assert!(!identity("") && !identity("a b") && !identity("a\n") && !identity(&"i".repeat(101)));
    }

    proptest! {
        /// What is kept is read back as it was, whatever it was.
        #[test]
        fn settings_survive_their_document(local in ".{0,40}", ca in prop::option::of(".{0,40}"), index in prop::option::of(1u32..3), role in 0usize..3) {
            let mut one = settings(&local, "0.0.0.0/0", vec![tunnel("cgw-1", VpnType::Normal)]);
            one.tunnels[0].remote_ca = ca;
            one.tunnels[0].index = index;
            one.tunnels[0].role = TunnelRole::ALL.get(role).copied();
            one.health_check = Some(HealthCheck::default());
            let text = serde_json::to_string(&one).unwrap();
            prop_assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), one);
        }
    }
}
