//! Routes into tunnels: what a VPN gateway or an attachment sends over which connection (`states.md`, section 8).
//!
//! A gateway has two tables: *destination routes* look at where a packet goes to, *policy routes* at where it comes
//! from as well. An attachment has destination routes alone, all over itself. A route of a gateway may be *published*:
//! told to the route table of the gateway's VPC, which then sends the block to the gateway.
//!
//! A route of a gateway hangs on it: a change of it is the gateway's next generation. Until that is applied, what is in
//! force is kept beside what is wanted.

use ipnet::Ipv4Net;

use crate::gateway::ChildState;
use crate::id::{AccountId, ConnectionId, RegionId, VpnGatewayId};
use crate::{cidr, wire_enum};

/// Weights of a route: standby and active (documented).
pub const WEIGHTS: [u32; 2] = [0, 100];

wire_enum! {
    /// Which table a route is in.
    pub enum RouteKind {
        /// Destination routes of a gateway.
        Destination = "dbr",
        /// Policy routes of a gateway.
        Policy = "pbr",
        /// Destination routes of an attachment.
        Attachment = "vco",
    }
}

wire_enum! {
    /// What a route shows as its state.
    pub enum RouteState {
        /// It is told to the route table of the VPC.
        Published = "published",
        /// It is not.
        Normal = "normal",
    }
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpnRoute {
    /// Owner.
    pub account: AccountId,
    /// Region.
    pub region: RegionId,
    /// Table.
    pub kind: RouteKind,
    /// Gateway; none: a route of an attachment.
    pub gateway: Option<VpnGatewayId>,
    /// The connection that it leads over.
    pub next_hop: ConnectionId,
    /// Block that packets come from; policy routes only.
    pub source: Option<String>,
    /// Block that packets go to.
    pub destination: String,
    /// 100 is active, 0 is standby.
    pub weight: u32,
    /// 1 to 100, a smaller one wins; policy routes only.
    pub priority: Option<u32>,
    /// Whether it is published.
    pub published: bool,
    /// Description; may be empty.
    pub description: String,
    /// Creation, UNIX milliseconds.
    pub created_ms: i64,
    /// When the last change of it was accepted, UNIX milliseconds.
    pub changed_ms: i64,
    /// How far it has come on its gateway; a route of an attachment is always in force.
    pub state: ChildState,
    /// The weight that is in force, if a change is not applied yet.
    pub before_weight: Option<u32>,
    /// The priority that is in force, if a change is not applied yet.
    pub before_priority: Option<u32>,
    /// Whether it is published as yet, if a change is not applied.
    pub before_published: Option<bool>,
}

/// A route of a gateway that shall be in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteInForce {
    /// Kind, next hop, source, destination, weight, priority and whether it is published, with blanks between them:
    /// what the record of what the data plane has calls it by.
    pub name: String,
    /// Block that packets go to.
    pub destination: String,
}

/// What may change of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteSettings {
    /// See [`VpnRoute::weight`].
    pub weight: u32,
    /// See [`VpnRoute::priority`].
    pub priority: Option<u32>,
    /// See [`VpnRoute::published`].
    pub published: bool,
}

/// Why a route cannot stand beside another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is there already.
    Exists,
    /// Neither would be the standby of the other: the one over this connection is as good.
    Conflict(ConnectionId),
}

impl VpnRoute {
    /// What is wanted of what may change.
    #[must_use]
    pub fn settings(&self) -> RouteSettings {
        RouteSettings { weight: self.weight, priority: self.priority, published: self.published }
    }

    /// The state to show: what was asked for, from the moment at which it was accepted.
    #[must_use]
    pub fn shown_state(&self) -> RouteState {
        if self.published { RouteState::Published } else { RouteState::Normal }
    }

    /// Whether the route table of the VPC has it now.
    #[must_use]
    pub fn is_published_now(&self) -> bool {
        self.state != ChildState::Creating && self.before_published.unwrap_or(self.published)
    }

    /// Whether the route table of the VPC shall have it with the gateway's next generation.
    #[must_use]
    pub fn is_published_next(&self) -> bool {
        self.state.is_wanted() && self.published
    }

    /// Checks that the route, as it is wanted, can stand beside the others of its gateway or attachment. The key of a
    /// destination route is next hop and destination; of a policy route its source as well, and of an attachment's its
    /// weight. Of routes for the same packets one is active and one standby.
    ///
    /// # Errors
    /// It is there, then one that is as good is.
    pub fn stands_beside<'a>(
        &self,
        others: impl IntoIterator<Item = &'a Self> + Clone,
    ) -> Result<(), Refusal> {
        let alike = |other: &&Self| {
            other.kind == self.kind && other.source == self.source && other.destination == self.destination
        };
        let same = |other: &Self| match self.kind {
            RouteKind::Destination | RouteKind::Policy => other.next_hop == self.next_hop,
            RouteKind::Attachment => other.next_hop == self.next_hop && other.weight == self.weight,
        };
        let as_good = |other: &&Self| {
            other.next_hop != self.next_hop && other.weight == self.weight && other.priority == self.priority
        };
        if others.clone().into_iter().filter(alike).any(same) {
            return Err(Refusal::Exists);
        }
        match others.into_iter().filter(alike).find(as_good) {
            Some(other) => Err(Refusal::Conflict(other.next_hop.clone())),
            None => Ok(()),
        }
    }
}

/// Checks a destination: not every address, nor the vendor's own services. A policy route over a connection with two
/// tunnels may lead anywhere, a destination route over one to the services as well (documented; that the tunnels of the
/// next hop decide, and not the gateway, is ours).
///
/// # Errors
/// Why not.
pub fn destination(block: Ipv4Net, kind: RouteKind, dual: bool) -> Result<(), &'static str> {
    let (everywhere, services) = match kind {
        RouteKind::Destination => (true, !dual),
        RouteKind::Policy => (!dual, !dual),
        RouteKind::Attachment => (true, true),
    };
    if everywhere && block.prefix_len() == 0 {
        return Err("A route to every address is not offered.");
    }
    if services && cidr::overlaps(block, cidr::SERVICES) {
        return Err("It overlaps 100.64.0.0/10, where the vendor's services are.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(kind: RouteKind, next_hop: &str, destination: &str, weight: u32) -> VpnRoute {
        VpnRoute {
            account: AccountId::new("1"),
            region: RegionId::new("cn-hangzhou"),
            kind,
            gateway: (kind != RouteKind::Attachment).then(|| VpnGatewayId::new("vpn-1")),
            next_hop: ConnectionId::new(next_hop),
            source: (kind == RouteKind::Policy).then(|| "10.0.0.0/24".to_owned()),
            destination: destination.to_owned(),
            weight,
            priority: (kind == RouteKind::Policy).then_some(10),
            published: false,
            description: String::new(),
            created_ms: 0,
            changed_ms: 0,
            state: ChildState::Active,
            before_weight: None,
            before_priority: None,
            before_published: None,
        }
    }

    #[test]
    fn a_route_stands_beside_its_standby_and_no_other_like_it() {
        use RouteKind::{Attachment, Destination, Policy};
        let conflict = Err(Refusal::Conflict(ConnectionId::new("vco-1")));
        for kind in [Destination, Policy] {
            let held = [route(kind, "vco-1", "10.1.0.0/24", 100)];
            let beside = |next_hop, block, weight| route(kind, next_hop, block, weight).stands_beside(&held);
            assert_eq!(beside("vco-1", "10.1.0.0/24", 100), Err(Refusal::Exists));
            assert_eq!(beside("vco-1", "10.1.0.0/24", 0), Err(Refusal::Exists));
            assert_eq!(beside("vco-2", "10.1.0.0/24", 100), conflict);
            assert_eq!(beside("vco-2", "10.1.0.0/24", 0), Ok(()));
            assert_eq!(beside("vco-2", "10.1.0.0/25", 100), Ok(()));
        }
        let held = [route(Policy, "vco-1", "10.1.0.0/24", 100)];
        let mut other = route(Policy, "vco-2", "10.1.0.0/24", 100);
        other.priority = Some(11);
        assert_eq!(other.stands_beside(&held), Ok(()), "the smaller priority wins");
        other = VpnRoute { source: Some("10.0.1.0/24".into()), ..route(Policy, "vco-1", "10.1.0.0/24", 100) };
        assert_eq!(other.stands_beside(&held), Ok(()), "other packets");
        assert_eq!(route(Destination, "vco-1", "10.1.0.0/24", 100).stands_beside(&held), Ok(()));
        let held = [route(Attachment, "vco-1", "10.1.0.0/24", 100)];
        assert_eq!(route(Attachment, "vco-1", "10.1.0.0/24", 100).stands_beside(&held), Err(Refusal::Exists));
        assert_eq!(route(Attachment, "vco-1", "10.1.0.0/24", 0).stands_beside(&held), Ok(()));
    }

    #[test]
    fn not_every_block_is_a_destination() {
        use RouteKind::{Attachment, Destination, Policy};
        let allowed = |block: &str| {
            let block = block.parse().unwrap();
            let mut allowed = Vec::new();
            for (kind, dual) in [
                (Destination, false),
                (Destination, true),
                (Policy, false),
                (Policy, true),
                (Attachment, true),
            ] {
                allowed.push(destination(block, kind, dual).is_ok());
            }
            allowed
        };
        assert_eq!(allowed("10.0.0.0/24"), [true; 5]);
        assert_eq!(allowed("0.0.0.0/0"), [false, false, false, true, false]);
        for services in ["100.64.0.0/10", "100.64.1.0/24", "100.0.0.0/8"] {
            assert_eq!(allowed(services), [false, true, false, true, false], "{services}");
        }
    }

    #[test]
    fn what_is_published_now_is_so_until_a_change_is_applied() {
        let mut route = route(RouteKind::Destination, "vco-1", "10.1.0.0/24", 100);
        for (state, published, before, now, next) in [
            (ChildState::Creating, true, None, false, true),
            (ChildState::Active, true, None, true, true),
            (ChildState::Active, false, None, false, false),
            (ChildState::Updating, true, Some(false), false, true),
            (ChildState::Updating, false, Some(true), true, false),
            (ChildState::Updating, true, None, true, true),
            (ChildState::Deleting, true, None, true, false),
        ] {
            (route.state, route.published, route.before_published) = (state, published, before);
            assert_eq!((route.is_published_now(), route.is_published_next()), (now, next), "{state}");
        }
    }
}
