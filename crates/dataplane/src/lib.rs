//! The data plane: a driver applies the intended state to a gateway.
//!
//! The engine hands a driver the *whole* desired state of one resource and asks it to apply it: what hangs on a gateway
//! by its names, and all that it takes in a document, for a driver that needs more than names. A driver may be
//! asked again for the same generation, after a crash or from another process: applying twice must have the same
//! result as applying once. A driver does not know the store.
#![forbid(unsafe_code)]

mod detached;
mod duration;
mod fences;
mod gateways;
pub mod orders;
mod steering;

pub use detached::{ApplyDelay, Detached, ParseApplyDelayError, Peers, document, document_text};
pub use duration::duration;
pub use fences::{Fence, Fences};
pub use gateways::Gateways;
pub use steering::{APPLY_FAULTS, ApplyFault, ApplyFaultKind, OWN_DELAYS, TooMany};

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use tongguan_model::connection::Negotiation;
use tongguan_model::gateway::{Binding, VpnGateway};
use tongguan_model::id::ConnectionId;
use tongguan_model::route::RouteInForce;

/// The state that a resource shall have.
#[derive(Debug, Clone)]
pub enum Desired<'a> {
    /// The gateway exists with all that hangs on it.
    Gateway(GatewayState<'a>),
    /// The gateway of this id is gone.
    NoGateway {
        /// Id.
        id: &'a str,
    },
    /// The VPC or vSwitch of this id exists.
    Network {
        /// Id.
        id: &'a str,
    },
}

/// A gateway with all that hangs on it and shall be in force.
#[derive(Debug, Clone, Copy)]
pub struct GatewayState<'a> {
    /// The gateway.
    pub gateway: &'a VpnGateway,
    /// Certificates.
    pub bindings: &'a [Binding],
    /// Ids of its connections, the oldest first. What they are stands in [`Attempt::document`]: so a change costs a
    /// driver that does not ask for that no more the more connections a gateway has but for their ids.
    pub connections: &'a [ConnectionId],
    /// Routes over these connections, destination routes and policy routes, the oldest first.
    pub routes: &'a [RouteInForce],
}

impl GatewayState<'_> {
    /// What is seen of every tunnel of a gateway that has not what it negotiates with; none if it has.
    #[must_use]
    pub fn mute(&self) -> Option<Negotiation> {
        (!self.gateway.can_negotiate(self.bindings)).then_some(Negotiation::IkeNotEstablished)
    }
}

impl Desired<'_> {
    /// Id of the resource.
    #[must_use]
    pub fn resource(&self) -> &str {
        match self {
            Self::Gateway(state) => state.gateway.id.as_str(),
            Self::NoGateway { id } | Self::Network { id } => id,
        }
    }
}

/// How far a driver has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The state is in force.
    Applied,
    /// Not yet: ask again at this moment, UNIX milliseconds. None: when somebody has looked.
    Pending(Option<i64>),
    /// Nobody is there who could make it so, for this reason: it is no failure of the change. The engine asks again
    /// until somebody is.
    Away(String),
    /// The try failed for this reason; the engine tries again later, up to a limit.
    Failed(String),
    /// It will never succeed, for this reason: the engine gives the change up.
    Refused(String),
}

/// What a driver gives for a try: its progress, or what to wait for.
pub enum Applying {
    /// Known at once.
    Now(Progress),
    /// Known when this ends. The engine waits for many at a time, each with a time limit, after which it
    /// drops the future and counts a failed try.
    Later(Later<Progress>),
}

impl Debug for Applying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Now(progress) => f.debug_tuple("Now").field(progress).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

impl From<Progress> for Applying {
    fn from(progress: Progress) -> Self {
        Self::Now(progress)
    }
}

/// What waits for something that takes time.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One try to apply.
#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    /// What shall be.
    pub desired: Desired<'a>,
    /// Generation of it: grows with each change of the resource. A driver that works on after its future
    /// was dropped must not let an older generation replace a newer one.
    pub generation: u64,
    /// How often the work on this generation was taken up, where several processes may do it; none: no other process
    /// gives orders. Of two orders of one generation the one with the higher number is the newer; a driver keeps
    /// the newest of each gateway and refuses an older one ([`Fences`]).
    pub claim: Option<u64>,
    /// When it was accepted, UNIX milliseconds.
    pub since_ms: i64,
    /// The present moment, UNIX milliseconds.
    pub now_ms: i64,
    /// Of a gateway, for a driver that [takes documents](DataPlane::takes_documents): all that the gateway needs, keys
    /// included. Whoever has it last wipes it.
    pub document: Option<Arc<orders::Document>>,
}

/// What a driver sees of its gateways at one moment.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Why the driver does not know which gateways there are; none if it does.
    pub away: Option<String>,
    /// Each gateway that it knows of, by id.
    pub gateways: BTreeMap<String, Seen>,
}

/// What a driver sees of a gateway.
#[derive(Debug, Clone)]
pub enum Seen {
    /// It answers.
    Answers {
        /// The generation in force; none if it was told nothing since its process was started.
        generation: Option<u64>,
        /// Its tunnels, by id.
        tunnels: BTreeMap<String, orders::TunnelStatus>,
        /// Packets that were dropped, by reason.
        dropped: BTreeMap<String, u64>,
    },
    /// It does not, for this reason.
    Silent(String),
}

impl Attempt<'_> {
    /// How new it is.
    #[must_use]
    pub fn fence(&self) -> Fence {
        Fence { generation: self.generation, claim: self.claim.unwrap_or_default() }
    }
}

/// A way to make intended state true.
pub trait DataPlane: Send + Sync + Debug {
    /// Makes the desired state true, or says how far it has come. Must not block: what takes time belongs
    /// into [`Applying::Later`]. A panic counts as a failed try.
    fn apply(&self, attempt: &Attempt<'_>) -> Applying;

    /// Whether it needs [`Attempt::document`].
    fn takes_documents(&self) -> bool {
        false
    }

    /// What is to be seen of all gateways now, for a driver whose gateways are seen by looking at them; none for any
    /// other.
    fn look(&self) -> Option<Later<Look>> {
        None
    }

    /// When to try a change of a resource, accepted at `now_ms`, first, UNIX milliseconds.
    fn first_try(&self, _resource: &str, now_ms: i64) -> i64 {
        now_ms
    }

    /// An unsettled resource was described. Returns whether the engine should try now.
    fn looked_at(&self, _resource: &str) -> bool {
        false
    }

    /// What there is to see of all tunnels of a gateway whose state is in force; none: nothing new is known of any.
    /// Settings never decide this: it is the far end that answers, or does not.
    fn observe(&self, _state: &GatewayState<'_>) -> Option<Negotiation> {
        None
    }

    /// What the driver has for a resource, as a document for people.
    fn applied(&self, resource: &str) -> Option<serde_json::Value>;
}
