//! How a test steers the detached driver while it runs: faults, and delays of single resources. Where nobody steers it,
//! nothing of this is looked at but two empty lists.

use std::collections::HashMap;
use std::time::Duration;

use tongguan_model::wire_enum;

use crate::{ApplyDelay, Applying, Attempt, Progress};

/// Faults at once at most.
pub const APPLY_FAULTS: usize = 1_000;
/// Resources that have a delay of their own at most.
pub const OWN_DELAYS: usize = 10_000;

wire_enum! {
    /// What goes wrong when a change is applied.
    pub enum ApplyFaultKind {
        /// The change takes longer.
        Slow = "slow",
        /// The try fails; the engine tries again, up to a limit.
        Fail = "fail",
        /// It will never succeed; the engine gives the change up.
        Refuse = "refuse",
        /// The try does not end; the engine's time limit ends it, and it counts as failed.
        Hang = "hang",
    }
}

/// A fault that the driver has for what it is asked to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyFault {
    /// What goes wrong.
    pub kind: ApplyFaultKind,
    /// Of which resource; none: whichever comes.
    pub resource: Option<String>,
    /// How often: tries, and of [`ApplyFaultKind::Slow`] changes.
    pub times: u32,
    /// Why, for [`ApplyFaultKind::Fail`] and [`ApplyFaultKind::Refuse`].
    pub reason: String,
    /// How long, for [`ApplyFaultKind::Slow`].
    pub delay: Duration,
}

/// More is steered at once than there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany(pub usize);

impl std::fmt::Display for TooMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there are {} already, and no more may be", self.0)
    }
}

impl std::error::Error for TooMany {}

/// Faults and delays.
#[derive(Debug, Default)]
pub(crate) struct Steering {
    /// Each with how often it was met.
    faults: Vec<(ApplyFault, u32)>,
    /// Delays of single resources.
    own: HashMap<String, ApplyDelay>,
    /// That of all others, if it is another than the driver was made with.
    general: Option<ApplyDelay>,
    /// Changes that a fault slows down: the resource, its generation, until when, UNIX milliseconds.
    slowed: HashMap<String, (u64, i64)>,
}

impl Steering {
    /// When a change of a resource comes into force; none: as the driver was made.
    pub(crate) fn delay(&self, resource: &str) -> Option<ApplyDelay> {
        if self.own.is_empty() {
            return self.general;
        }
        self.own.get(resource).copied().or(self.general)
    }

    pub(crate) fn set_delay(&mut self, resource: Option<String>, delay: ApplyDelay) -> Result<(), TooMany> {
        let Some(resource) = resource else {
            self.general = Some(delay);
            return Ok(());
        };
        if self.own.len() >= OWN_DELAYS && !self.own.contains_key(&resource) {
            return Err(TooMany(OWN_DELAYS));
        }
        self.own.insert(resource, delay);
        Ok(())
    }

    pub(crate) fn set_faults(&mut self, faults: Vec<ApplyFault>) -> Result<(), TooMany> {
        if faults.len() > APPLY_FAULTS {
            return Err(TooMany(APPLY_FAULTS));
        }
        self.slowed.clear();
        self.faults = faults.into_iter().map(|fault| (fault, 0)).collect();
        Ok(())
    }

    /// The faults, each with how often it was met.
    pub(crate) fn faults(&self) -> Vec<(ApplyFault, u32)> {
        self.faults.clone()
    }

    /// What goes wrong with a try; none: nothing.
    pub(crate) fn meet(&mut self, attempt: &Attempt<'_>) -> Option<Applying> {
        if self.faults.is_empty() {
            return None;
        }
        let resource = attempt.desired.resource();
        if let Some((generation, until)) = self.slowed.get(resource).copied() {
            if generation == attempt.generation && attempt.now_ms < until {
                return Some(Progress::Pending(Some(until)).into());
            }
            self.slowed.remove(resource);
            if generation == attempt.generation {
                return None;
            }
        }
        let meets = |(fault, hits): &&mut (ApplyFault, u32)| {
            *hits < fault.times && fault.resource.as_deref().is_none_or(|named| named == resource)
        };
        let (fault, hits) = self.faults.iter_mut().find(meets)?;
        *hits += 1;
        Some(match fault.kind {
            ApplyFaultKind::Slow => {
                let delay = i64::try_from(fault.delay.as_millis()).unwrap_or(i64::MAX);
                let until = attempt.now_ms.saturating_add(delay);
                self.slowed.insert(resource.to_owned(), (attempt.generation, until));
                Progress::Pending(Some(until)).into()
            }
            ApplyFaultKind::Fail => Progress::Failed(fault.reason.clone()).into(),
            ApplyFaultKind::Refuse => Progress::Refused(fault.reason.clone()).into(),
            ApplyFaultKind::Hang => Applying::Later(Box::pin(std::future::pending())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Desired;

    fn attempt(id: &str, generation: u64, now_ms: i64) -> Attempt<'_> {
        Attempt {
            desired: Desired::Network { id },
            generation,
            claim: None,
            since_ms: 0,
            now_ms,
            document: None,
        }
    }

    fn fault(kind: ApplyFaultKind, resource: Option<&str>, times: u32) -> ApplyFault {
        let delay = Duration::from_millis(100);
        ApplyFault { kind, resource: resource.map(str::to_owned), times, reason: "why".into(), delay }
    }

    fn progress(met: Option<Applying>) -> Option<Progress> {
        match met {
            Some(Applying::Now(progress)) => Some(progress),
            Some(Applying::Later(_)) => panic!("it hangs"),
            None => None,
        }
    }

    #[test]
    fn a_fault_is_met_as_often_as_it_says_by_the_resource_it_names() {
        let mut steering = Steering::default();
        steering.set_faults(vec![fault(ApplyFaultKind::Fail, Some("vpc-1"), 2)]).unwrap();
        assert_eq!(progress(steering.meet(&attempt("vpc-2", 1, 0))), None);
        for _ in 0..2 {
            let met = progress(steering.meet(&attempt("vpc-1", 1, 0)));
            assert_eq!(met, Some(Progress::Failed("why".into())));
        }
        assert_eq!(progress(steering.meet(&attempt("vpc-1", 1, 0))), None);
        assert_eq!(steering.faults()[0].1, 2);
        steering.set_faults(vec![fault(ApplyFaultKind::Refuse, None, 1)]).unwrap();
        assert_eq!(progress(steering.meet(&attempt("x", 1, 0))), Some(Progress::Refused("why".into())));
        steering.set_faults(vec![fault(ApplyFaultKind::Hang, None, 1)]).unwrap();
        assert!(matches!(steering.meet(&attempt("x", 1, 0)), Some(Applying::Later(_))));
        assert!(steering.set_faults(vec![fault(ApplyFaultKind::Hang, None, 1); APPLY_FAULTS + 1]).is_err());
    }

    #[test]
    fn a_slow_change_is_slow_once() {
        let mut steering = Steering::default();
        steering.set_faults(vec![fault(ApplyFaultKind::Slow, None, 1)]).unwrap();
        let until = |until| Some(Progress::Pending(Some(until)));
        assert_eq!(progress(steering.meet(&attempt("vpc-1", 1, 50))), until(150));
        assert_eq!(progress(steering.meet(&attempt("vpc-1", 1, 149))), until(150));
        assert_eq!(progress(steering.meet(&attempt("vpc-1", 1, 150))), None);
        assert_eq!(progress(steering.meet(&attempt("vpc-1", 2, 151))), None, "the next change is not");
    }

    #[test]
    fn a_resource_may_have_a_delay_of_its_own() {
        let mut steering = Steering::default();
        assert_eq!(steering.delay("vpn-1"), None);
        steering.set_delay(Some("vpn-1".into()), ApplyDelay::Polls(2)).unwrap();
        assert_eq!((steering.delay("vpn-1"), steering.delay("vpn-2")), (Some(ApplyDelay::Polls(2)), None));
        steering.set_delay(None, ApplyDelay::Polls(7)).unwrap();
        assert_eq!(steering.delay("vpn-1"), Some(ApplyDelay::Polls(2)));
        assert_eq!(steering.delay("vpn-2"), Some(ApplyDelay::Polls(7)));
        for number in 1..OWN_DELAYS {
            steering.set_delay(Some(format!("vpn-x{number}")), ApplyDelay::Polls(1)).unwrap();
        }
        assert!(steering.set_delay(Some("one-more".into()), ApplyDelay::Polls(1)).is_err());
        assert!(steering.set_delay(Some("vpn-1".into()), ApplyDelay::Polls(1)).is_ok());
    }
}
