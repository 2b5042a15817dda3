//! A table by pairs of networks: what belongs to the packets between two addresses.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::sa::Selector;

/// Values by pairs of networks. The longest pair wins: of those that two addresses lie in, the one with the most bits
/// in both prefixes together.
///
/// A lookup tries each pair of prefix lengths that occurs, and there are few of these, however many pairs there are.
#[derive(Debug, Clone)]
pub struct Pairs<T> {
    values: HashMap<Selector, T>,
    /// How many pairs have prefixes of these lengths, whose sum comes first.
    lengths: BTreeMap<(u16, u8, u8), usize>,
}

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self { values: HashMap::new(), lengths: BTreeMap::new() }
    }
}

impl<T> Pairs<T> {
    /// The value of a pair, which is made if there is none.
    pub fn get_or_insert_with(&mut self, pair: Selector, make: impl FnOnce() -> T) -> &mut T {
        let lengths = &mut self.lengths;
        self.values.entry(pair).or_insert_with(|| {
            *lengths.entry(prefixes(pair)).or_default() += 1;
            make()
        })
    }

    /// The value of just this pair.
    pub fn get(&self, pair: Selector) -> Option<&T> {
        self.values.get(&pair)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, pair: Selector) -> Option<&mut T> {
        self.values.get_mut(&pair)
    }

    /// Removes a pair.
    pub fn remove(&mut self, pair: Selector) -> Option<T> {
        let value = self.values.remove(&pair)?;
        if let Some(count) = self.lengths.get_mut(&prefixes(pair)) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefixes(pair));
            }
        }
        Some(value)
    }

    /// What belongs to packets from an address of ours to one of the peer's.
    pub fn between(&self, source: IpAddr, destination: IpAddr) -> Option<&T> {
        self.lengths.keys().rev().find_map(|(_, local, remote)| {
            let local = IpNet::new(source, *local).ok()?.trunc();
            let remote = IpNet::new(destination, *remote).ok()?.trunc();
            self.values.get(&Selector { local, remote })
        })
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.values.values()
    }
}

impl<T> FromIterator<(Selector, T)> for Pairs<T> {
    /// Of a pair that comes twice, the first value counts.
    fn from_iter<I: IntoIterator<Item = (Selector, T)>>(all: I) -> Self {
        let mut pairs = Self::default();
        for (pair, value) in all {
            pairs.get_or_insert_with(pair, || value);
        }
        pairs
    }
}

fn prefixes(Selector { local, remote }: Selector) -> (u16, u8, u8) {
    let (local, remote) = (local.prefix_len(), remote.prefix_len());
    (u16::from(local) + u16::from(remote), local, remote)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pair(local: &str, remote: &str) -> Selector {
        Selector { local: local.parse().unwrap(), remote: remote.parse().unwrap() }
    }

    #[test]
    fn the_longest_pair_wins_until_it_is_removed() {
        let all = [
            (pair("0.0.0.0/0", "0.0.0.0/0"), 'a'),
            (pair("10.0.0.0/8", "10.2.0.0/16"), 'b'),
            (pair("10.1.0.0/16", "10.2.0.0/16"), 'c'),
            (pair("10.1.0.0/16", "10.2.0.0/16"), 'd'),
            (pair("10.3.0.0/16", "10.2.0.0/16"), 'e'),
        ];
        let mut pairs: Pairs<char> = all.into_iter().collect();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let found = |pairs: &Pairs<char>, local: &str, remote: &str| {
            pairs.between(address(local), address(remote)).copied()
        };
        assert_eq!(found(&pairs, "10.1.0.1", "10.2.0.1"), Some('c'));
        assert_eq!(found(&pairs, "10.9.0.1", "10.2.0.1"), Some('b'));
        assert_eq!(found(&pairs, "192.0.2.1", "10.2.0.1"), Some('a'));
        assert_eq!(found(&pairs, "2001:db8::1", "2001:db8::2"), None);
        assert_eq!(pairs.remove(all[2].0), Some('c'));
        assert_eq!(found(&pairs, "10.1.0.1", "10.2.0.1"), Some('b'));
        // Another pair has prefixes of the same lengths.
        assert_eq!(found(&pairs, "10.3.0.1", "10.2.0.1"), Some('e'));
        assert_eq!(pairs.remove(all[2].0), None);
        for (pair, _) in all {
            pairs.remove(pair);
        }
        assert_eq!((pairs.values().count(), pairs.lengths.len()), (0, 0));
    }
}
