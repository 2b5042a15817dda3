//! What strangers may use up: half-open IKE SAs and the work that they cause.
//!
//! IKEv1 has no cookie challenge: a responder keeps state after one message. So only configured addresses are answered,
//! and of those each source, and each network of 256, has a share.

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
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Millionths of a message.
    tokens: u128,
    filled: Duration,
}

const TOKEN: u128 = 1_000_000;

impl Guard {
    /// Whether a first message may be answered, beside the half-open SAs of `sources`; the name of the bound if not.
    pub(crate) fn admit(
        &mut self,
        source: IpAddr,
        sources: impl Iterator<Item = IpAddr>,
        now: Duration,
    ) -> Result<(), &'static str> {
        let (mut all, mut same, mut near) = (0, 0, 0);
        for other in sources {
            all += 1;
            same += usize::from(other == source);
            near += usize::from(network(other) == network(source));
        }
        if all >= MAX_HALF_OPEN {
            return Err("half-open");
        }
        if same >= MAX_HALF_OPEN_OF_SOURCE {
            return Err("half-open of a source");
        }
        if near >= MAX_HALF_OPEN_OF_NETWORK {
            return Err("half-open of a network");
        }
        self.count(source, now)
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
        let of = |address: IpAddr, count: usize| std::iter::repeat_n(address, count);
        let now = Duration::from_secs(9);
        assert_eq!(guard.admit(source, of(source, 7), now), Ok(()));
        assert_eq!(guard.admit(source, of(source, 8), now), Err("half-open of a source"));
        assert_eq!(guard.admit(source, of(near, 32), now), Err("half-open of a network"));
        assert_eq!(guard.admit(source, of([198, 51, 100, 1].into(), 1_000), now), Err("half-open"));
    }

    #[test]
    fn first_messages_are_counted_in_time() {
        let mut guard = Guard::default();
        let source = IpAddr::from([192, 0, 2, 1]);
        let mut admitted =
            |millis| guard.admit(source, std::iter::empty(), Duration::from_millis(millis)).is_ok();
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
            assert!(guard.admit(source, std::iter::empty(), Duration::ZERO).is_ok());
        }
        let newcomer = IpAddr::from([203, 0, 113, 1]);
        assert!(guard.admit(newcomer, std::iter::empty(), Duration::ZERO).is_err());
        assert!(guard.admit(newcomer, std::iter::empty(), Duration::from_secs(2)).is_ok());
    }
}
