//! What strangers may use up: half-open IKE SAs and the work that they cause.
//!
//! IKEv1 has no cookie challenge: a responder keeps state after one message. So only configured addresses are
//! answered, and of those each source, and each network of 256, has a share.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Half-open IKE SAs that others have begun.
pub const MAX_HALF_OPEN: usize = 1_000;
/// Of one address.
pub const MAX_HALF_OPEN_OF_SOURCE: usize = 8;
/// Of one network: 24 bits of an IPv4 address, 56 of an IPv6 address.
pub const MAX_HALF_OPEN_OF_NETWORK: usize = 32;
/// First messages of one address in a second, and at once.
pub const FIRST_MESSAGES_PER_SECOND: u32 = 5;
/// Addresses whose first messages are counted.
const MAX_COUNTED: usize = 4_096;

/// Counts what strangers use.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    counted: BTreeMap<IpAddr, Bucket>,
    half_open: usize,
    /// Half-open IKE SAs of each address and of each network that has any.
    of_source: BTreeMap<IpAddr, usize>,
    of_network: BTreeMap<IpAddr, usize>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Millionths of a message.
    tokens: u128,
    filled: Duration,
}

const TOKEN: u128 = 1_000_000;

impl Guard {
    /// Whether a first message may be answered; the name of the bound if not.
    pub(crate) fn admit(&mut self, source: IpAddr, now: Duration) -> Result<(), &'static str> {
        let count = |counts: &BTreeMap<IpAddr, usize>, of: IpAddr| counts.get(&of).copied().unwrap_or(0);
        if self.half_open >= MAX_HALF_OPEN {
            return Err("half-open");
        }
        if count(&self.of_source, source) >= MAX_HALF_OPEN_OF_SOURCE {
            return Err("half-open of a source");
        }
        if count(&self.of_network, network(source)) >= MAX_HALF_OPEN_OF_NETWORK {
            return Err("half-open of a network");
        }
        self.count(source, now)
    }

    /// An IKE SA that another has begun is half-open.
    pub(crate) fn opened(&mut self, source: IpAddr) {
        self.half_open += 1;
        *self.of_source.entry(source).or_default() += 1;
        *self.of_network.entry(network(source)).or_default() += 1;
    }

    /// It is not any more: it is established, or gone.
    pub(crate) fn closed(&mut self, source: IpAddr) {
        self.half_open = self.half_open.saturating_sub(1);
        for (counts, of) in [(&mut self.of_source, source), (&mut self.of_network, network(source))] {
            if let Some(count) = counts.get_mut(&of) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&of);
                }
            }
        }
    }

    fn count(&mut self, source: IpAddr, now: Duration) -> Result<(), &'static str> {
        let full = u128::from(FIRST_MESSAGES_PER_SECOND) * TOKEN;
        if self.counted.len() >= MAX_COUNTED && !self.counted.contains_key(&source) {
            // Whoever has been quiet for a second has a full bucket, like one that is not counted.
            self.counted.retain(|_, bucket| now < bucket.filled + Duration::from_secs(1));
            if self.counted.len() >= MAX_COUNTED {
                return Err("sources that are counted");
            }
        }
        let bucket = self.counted.entry(source).or_insert(Bucket { tokens: full, filled: now });
        let passed = now.saturating_sub(bucket.filled).as_micros();
        bucket.tokens = full.min(bucket.tokens + passed * u128::from(FIRST_MESSAGES_PER_SECOND));
        bucket.filled = now;
        bucket.tokens = bucket.tokens.checked_sub(TOKEN).ok_or("first messages of a source")?;
        Ok(())
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4((u32::from(address) & !0xff).into()),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !(u128::MAX >> 56)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_and_its_network_have_shares() {
        let mut guard = Guard::default();
        let source = IpAddr::from([192, 0, 2, 1]);
        let near = IpAddr::from([192, 0, 2, 9]);
        let now = Duration::from_secs(9);
        (0..MAX_HALF_OPEN_OF_SOURCE - 1).for_each(|_| guard.opened(source));
        assert_eq!(guard.admit(source, now), Ok(()));
        guard.opened(source);
        assert_eq!(guard.admit(source, now), Err("half-open of a source"));
        (MAX_HALF_OPEN_OF_SOURCE..MAX_HALF_OPEN_OF_NETWORK).for_each(|_| guard.opened(near));
        let third = IpAddr::from([192, 0, 2, 200]);
        assert_eq!(guard.admit(third, now), Err("half-open of a network"));
        guard.closed(near);
        assert_eq!(guard.admit(third, now), Ok(()));
        (0..MAX_HALF_OPEN).for_each(|_| guard.opened([198, 51, 100, 1].into()));
        assert_eq!(guard.admit([203, 0, 113, 1].into(), now), Err("half-open"));
        // What was opened and closed again leaves nothing behind.
        (0..MAX_HALF_OPEN).for_each(|_| guard.closed([198, 51, 100, 1].into()));
        (0..MAX_HALF_OPEN_OF_SOURCE).for_each(|_| guard.closed(source));
        (MAX_HALF_OPEN_OF_SOURCE + 1..MAX_HALF_OPEN_OF_NETWORK).for_each(|_| guard.closed(near));
        assert_eq!((guard.half_open, guard.of_source.len(), guard.of_network.len()), (0, 0, 0));
    }

    #[test]
    fn first_messages_are_counted_in_time() {
        let mut guard = Guard::default();
        let source = IpAddr::from([192, 0, 2, 1]);
        let mut admitted = |millis| guard.admit(source, Duration::from_millis(millis)).is_ok();
        assert_eq!((0..9).filter(|_| admitted(0)).count(), 5);
        assert!(!admitted(199));
        assert!(admitted(200));
        assert!(!admitted(200));
        assert_eq!((0..9).filter(|_| admitted(9_000)).count(), 5);
    }

    #[test]
    fn a_flood_of_sources_is_forgotten_after_a_second() {
        let mut guard = Guard::default();
        for number in 0..MAX_COUNTED as u32 {
            let source = IpAddr::V4(number.into());
            assert!(guard.admit(source, Duration::ZERO).is_ok());
        }
        let newcomer = IpAddr::from([203, 0, 113, 1]);
        assert!(guard.admit(newcomer, Duration::ZERO).is_err());
        assert!(guard.admit(newcomer, Duration::from_secs(2)).is_ok());
    }
}
