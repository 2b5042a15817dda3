//! A data plane without a gateway: changes take effect after a delay and are remembered.
//!
//! This is what a platform engineer tests automation against: real asynchrony, at a pace that the test sets,
//! without a network.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fail::fail_point;
use serde::Serialize;
use serde_json::{Value, json};

use tongguan_model::connection::Negotiation;
use tongguan_model::id::ConnectionId;
use tongguan_model::wire_enum;

use crate::duration::duration;
use crate::steering::{ApplyFault, Steering, TooMany};
use crate::{Applying, Attempt, DataPlane, Desired, Fences, GatewayState, Progress};

/// When a change comes into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyDelay {
    /// This long after it was accepted; zero: at once.
    After(Duration),
    /// After the resource was described this often.
    Polls(u32),
}

/// The text is neither a duration nor `polls:N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseApplyDelayError(String);

impl std::fmt::Display for ParseApplyDelayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is no apply delay: give 0, a time such as 250ms, 1s or 1m 30s, or polls:N", self.0)
    }
}

impl std::error::Error for ParseApplyDelayError {}

impl std::str::FromStr for ApplyDelay {
    type Err = ParseApplyDelayError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseApplyDelayError(text.into());
        if let Some(polls) = text.strip_prefix("polls:") {
            return polls.parse().map(Self::Polls).map_err(|_| wrong());
        }
        if !text.is_empty() && text.bytes().all(|digit| digit == b'0') {
            return Ok(Self::After(Duration::ZERO));
        }
        duration(text).map(Self::After).ok_or_else(wrong)
    }
}

wire_enum! {
    /// What the far ends of tunnels do, since there are none.
    pub enum Peers {
        /// They never answer: what is seen of a tunnel is what an operator reports.
        Silent = "silent",
        /// Each answers as soon as its tunnel is in force.
        Answer = "answer",
    }
}

/// The detached data plane.
#[derive(Debug)]
pub struct Detached {
    delay: ApplyDelay,
    peers: Peers,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What is in effect, for tests, each a JSON document. Bounded by what exists: entries are removed with their
    /// resource.
    applied: HashMap<String, String>,
    /// How often each unsettled resource was described.
    looks: HashMap<String, u32>,
    /// Whether `applied` is kept: only for drivers made by tests.
    remember: bool,
    /// The newest order for each gateway.
    fences: Fences,
    /// What a test has set while the driver runs.
    steering: Steering,
}

impl Detached {
    /// A driver that applies after `delay`.
    #[must_use]
    pub fn new(delay: ApplyDelay) -> Self {
        Self { delay, peers: Peers::Silent, state: Mutex::default() }
    }

    /// The same, with far ends that do this.
    #[must_use]
    pub fn with_peers(self, peers: Peers) -> Self {
        Self { peers, ..self }
    }

    /// As [`Detached::new`], and remembers in memory what is in force, for [`DataPlane::applied`]. (The
    /// engine writes the same down durably; this is for tests that hold the driver in hand.)
    #[must_use]
    pub fn remembering(delay: ApplyDelay) -> Self {
        let state = Mutex::new(State { remember: true, ..State::default() });
        Self { state, ..Self::new(delay) }
    }

    /// From now on changes of a resource come into force so, or those of all that have no delay of their own.
    ///
    /// # Errors
    /// Too many have one.
    pub fn set_delay(&self, resource: Option<String>, delay: ApplyDelay) -> Result<(), TooMany> {
        self.state().steering.set_delay(resource, delay)
    }

    /// From now on these faults are met, and no others.
    ///
    /// # Errors
    /// They are too many.
    pub fn set_faults(&self, faults: Vec<ApplyFault>) -> Result<(), TooMany> {
        self.state().steering.set_faults(faults)
    }

    /// The faults, each with how often it was met.
    #[must_use]
    pub fn faults(&self) -> Vec<(ApplyFault, u32)> {
        self.state().steering.faults()
    }

    /// Forgets what a test has set, and what was seen of resources: as the driver was made.
    pub fn reset(&self) {
        let mut state = self.state();
        *state = State { remember: state.remember, ..State::default() };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delay_of(&self, state: &State, resource: &str) -> ApplyDelay {
        state.steering.delay(resource).unwrap_or(self.delay)
    }
}

impl DataPlane for Detached {
    fn apply(&self, attempt: &Attempt<'_>) -> Applying {
        fail_point!("dataplane::apply", |reason| Progress::Failed(reason.unwrap_or_default()).into());
        fail_point!("dataplane::hang", |_| Applying::Later(Box::pin(std::future::pending())));
        if let Err(overtaken) = self.state().pass(attempt) {
            return overtaken.into();
        }
        let met = self.state().steering.meet(attempt);
        met.unwrap_or_else(|| self.progress(attempt).into())
    }

    fn first_try(&self, resource: &str, now_ms: i64) -> i64 {
        match self.delay_of(&self.state(), resource) {
            ApplyDelay::After(delay) => now_ms.saturating_add(milliseconds(delay)),
            ApplyDelay::Polls(_) => now_ms,
        }
    }

    fn looked_at(&self, resource: &str) -> bool {
        let mut state = self.state();
        let ApplyDelay::Polls(polls) = self.delay_of(&state, resource) else { return false };
        let looks = state.looks.entry(resource.to_owned()).or_default();
        *looks = looks.saturating_add(1);
        *looks >= polls
    }

    fn observe(&self, state: &GatewayState<'_>) -> Option<Negotiation> {
        let answered = || (self.peers == Peers::Answer).then_some(Negotiation::IpsecEstablished);
        state.mute().or_else(answered)
    }

    fn applied(&self, resource: &str) -> Option<Value> {
        let document = self.state().applied.get(resource).cloned()?;
        Some(serde_json::from_str(&document).expect("what was written is read"))
    }
}

impl Detached {
    fn progress(&self, attempt: &Attempt<'_>) -> Progress {
        let resource = attempt.desired.resource();
        let mut state = self.state();
        match self.delay_of(&state, resource) {
            ApplyDelay::After(delay) => {
                let due = attempt.since_ms.saturating_add(milliseconds(delay));
                // A clock that was set back must not hold a gateway up: never wait longer than the delay.
                if attempt.now_ms < due && attempt.now_ms >= attempt.since_ms {
                    return Progress::Pending(Some(due));
                }
            }
            ApplyDelay::Polls(polls) => {
                if state.looks.get(resource).copied().unwrap_or(0) < polls {
                    return Progress::Pending(None);
                }
                state.looks.remove(resource);
            }
        }
        if let Desired::NoGateway { id } = attempt.desired {
            state.fences.gone(id);
        }
        if state.remember {
            match document_text(&attempt.desired) {
                Some(document) => state.applied.insert(resource.to_owned(), document),
                None => state.applied.remove(resource),
            };
        }
        Progress::Applied
    }
}

impl State {
    /// Lets a try through, unless a newer one was made on its gateway.
    fn pass(&mut self, attempt: &Attempt<'_>) -> Result<(), Progress> {
        let id = match &attempt.desired {
            Desired::Gateway(state) => state.gateway.id.as_str(),
            Desired::NoGateway { id } => id,
            // There is one generation of it.
            Desired::Network { .. } => return Ok(()),
        };
        let newest = self.fences.pass(id, attempt.fence());
        newest
            .map_err(|newest| Progress::Failed(format!("generation {} has overtaken it", newest.generation)))
    }
}

/// What a driver has in force for a desired state, a JSON document; none if it shall be gone.
#[must_use]
pub fn document(desired: &Desired<'_>) -> Option<Value> {
    Document::of(desired).map(|document| json!(document))
}

/// The same as a text.
#[must_use]
pub fn document_text(desired: &Desired<'_>) -> Option<String> {
    let text = |document| serde_json::to_string(&document).expect("every key of a document is a text");
    Document::of(desired).map(text)
}

#[derive(Serialize)]
#[serde(untagged)]
enum Document<'a> {
    Network {
        id: &'a str,
    },
    Gateway {
        id: &'a str,
        name: &'a str,
        vpn_type: &'a str,
        auto_propagate: bool,
        certificates: BTreeMap<&'a str, &'a str>,
        connections: Vec<&'a str>,
        routes: Vec<&'a str>,
    },
}

impl<'a> Document<'a> {
    fn of(desired: &Desired<'a>) -> Option<Self> {
        match desired {
            Desired::NoGateway { .. } => None,
            Desired::Network { id } => Some(Self::Network { id }),
            Desired::Gateway(GatewayState { gateway, bindings, connections, routes }) => {
                let certificates = bindings.iter().map(|one| (one.role.as_str(), one.certificate.as_str()));
                Some(Self::Gateway {
                    id: gateway.id.as_str(),
                    name: &gateway.name,
                    vpn_type: gateway.vpn_type.as_str(),
                    auto_propagate: gateway.auto_propagate,
                    certificates: certificates.collect(),
                    connections: connections.iter().map(ConnectionId::as_str).collect(),
                    routes: routes.iter().map(|route| route.name.as_str()).collect(),
                })
            }
        }
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_read_as_people_write_them() {
        let after = |ms| Ok(ApplyDelay::After(Duration::from_millis(ms)));
        assert_eq!("0".parse(), after(0));
        assert_eq!("250ms".parse(), after(250));
        assert_eq!("1s".parse(), after(1_000));
        assert_eq!("2m".parse(), after(120_000));
        assert_eq!("1m 30s".parse(), after(90_000));
        assert_eq!("1h".parse(), after(3_600_000));
        assert_eq!("polls:3".parse(), Ok(ApplyDelay::Polls(3)));
        for wrong in ["", "5", "s", "polls:", "1mo", "-1s", "99999999999999999999s"] {
            assert!(wrong.parse::<ApplyDelay>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_change_comes_into_force_when_its_time_has_come() {
        let driver = Detached::remembering(ApplyDelay::After(Duration::from_secs(1)));
        assert_eq!(driver.progress(&network(100, 1_099)), Progress::Pending(Some(1_100)));
        assert_eq!(driver.applied("vpc-1"), None);
        assert_eq!(driver.progress(&network(100, 1_100)), Progress::Applied);
        assert!(driver.applied("vpc-1").is_some());
        assert_eq!(
            driver.progress(&network(100, 50)),
            Progress::Applied,
            "a clock set back holds nothing up"
        );
    }

    #[test]
    fn polls_step_a_change() {
        let driver = Detached::new(ApplyDelay::Polls(2));
        assert_eq!(driver.progress(&network(0, 0)), Progress::Pending(None));
        assert!(!driver.looked_at("vpc-1"));
        assert!(driver.looked_at("vpc-1"));
        assert_eq!(driver.progress(&network(0, 0)), Progress::Applied);
        assert_eq!(driver.progress(&network(0, 0)), Progress::Pending(None), "the next change counts anew");
    }

    #[test]
    fn peers_are_words() {
        assert_eq!(Peers::parse("silent"), Some(Peers::Silent));
        assert_eq!(Peers::parse("answer"), Some(Peers::Answer));
        assert_eq!(Peers::parse("Answer"), None);
    }

    fn network(since_ms: i64, now_ms: i64) -> Attempt<'static> {
        Attempt {
            desired: Desired::Network { id: "vpc-1" },
            generation: 1,
            claim: None,
            since_ms,
            now_ms,
            document: None,
        }
    }
}
