//! Which order for a gateway is the newest, so that an older one is refused: whoever gave it was held up, and somebody
//! else has gone on meanwhile.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

/// Gateways that are gone whose newest order is remembered: one of before may still be on its way.
const GONE: usize = 4_096;

/// How new an order is: of two the one of the later generation is newer, and of one generation that of the later
/// claim on the work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fence {
    /// Generation of the gateway.
    pub generation: u64,
    /// How often the work on it was taken up; 0 where one process alone gives orders.
    pub claim: u64,
}

/// The newest order that each gateway was given.
#[derive(Debug, Default)]
pub struct Fences {
    newest: HashMap<String, Newest>,
    /// The oldest first.
    gone: VecDeque<String>,
}

#[derive(Debug, Default)]
struct Newest {
    fence: Fence,
    gone: bool,
}

impl Fences {
    /// Lets an order through that is not older than any before.
    ///
    /// # Errors
    /// The newest one, if this is an older one.
    pub fn pass(&mut self, gateway: &str, fence: Fence) -> Result<(), Fence> {
        let Some(newest) = self.newest.get_mut(gateway) else {
            self.newest.insert(gateway.to_owned(), Newest { fence, gone: false });
            return Ok(());
        };
        if fence < newest.fence {
            return Err(newest.fence);
        }
        newest.fence = fence;
        Ok(())
    }

    /// A gateway is gone. Its newest order is remembered for as long as few others go.
    pub fn gone(&mut self, gateway: &str) {
        if let Some(newest) = self.newest.get_mut(gateway)
            && !std::mem::replace(&mut newest.gone, true)
        {
            self.gone.push_back(gateway.to_owned());
        }
        while self.gone.len() > GONE {
            if let Some(oldest) = self.gone.pop_front() {
                self.newest.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(generation: u64, claim: u64) -> Fence {
        Fence { generation, claim }
    }

    #[test]
    fn an_older_order_never_passes_after_a_newer_one() {
        let mut fences = Fences::default();
        for newer in [fence(1, 1), fence(1, 1), fence(1, 2), fence(2, 1), fence(3, 0)] {
            assert_eq!(fences.pass("vpn-1", newer), Ok(()));
        }
        for older in [fence(0, 9), fence(2, 2), fence(2, u64::MAX)] {
            assert_eq!(fences.pass("vpn-1", older), Err(fence(3, 0)));
        }
        assert_eq!(fences.pass("vpn-2", fence(0, 0)), Ok(()), "another gateway");
        fences.gone("vpn-1");
        fences.gone("vpn-1");
        assert_eq!(fences.pass("vpn-1", fence(2, 9)), Err(fence(3, 0)), "it does not come back");
    }

    #[test]
    fn what_is_gone_is_forgotten_in_the_end() {
        let mut fences = Fences::default();
        for number in 0..3 * GONE {
            let id = format!("vpn-{number}");
            fences.pass(&id, fence(1, 1)).unwrap();
            fences.gone(&id);
        }
        assert_eq!((fences.newest.len(), fences.gone.len()), (GONE, GONE));
    }
}
