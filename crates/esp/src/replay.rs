//! The replay window (RFC 4303, 3.4.3) as a ring of words (RFC 6479): moving it clears words instead of shifting bits.

/// Packets that may overtake each other at most.
pub(crate) const WINDOW: u32 = 1_024;
const WORD: u32 = 64;
/// One word more than the window has, so that the newest and the oldest never share one.
const WORDS: usize = (WINDOW / WORD) as usize + 1;

/// Which sequence numbers have been received.
#[derive(Debug, Default)]
pub(crate) struct Window {
    newest: u32,
    seen: [u64; WORDS],
}

impl Window {
    /// Whether a packet with this number may still be accepted.
    pub(crate) fn admits(&self, sequence: u32) -> bool {
        if sequence == 0 {
            return false;
        }
        if sequence > self.newest {
            return true;
        }
        let fresh = self.newest - sequence < WINDOW;
        fresh && self.seen[word(sequence)] & bit(sequence) == 0
    }

    /// Takes the number of an authentic packet; false if it may not be accepted.
    pub(crate) fn accept(&mut self, sequence: u32) -> bool {
        if !self.admits(sequence) {
            return false;
        }
        if sequence > self.newest {
            let moved = (sequence / WORD - self.newest / WORD).min(WORDS as u32);
            for step in 1..=moved {
                self.seen[((self.newest / WORD + step) % WORDS as u32) as usize] = 0;
            }
            self.newest = sequence;
        }
        self.seen[word(sequence)] |= bit(sequence);
        true
    }
}

fn word(sequence: u32) -> usize {
    ((sequence / WORD) % WORDS as u32) as usize
}

fn bit(sequence: u32) -> u64 {
    1 << (sequence % WORD)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The same by its definition.
    #[derive(Default)]
    struct Model {
        newest: u32,
        seen: BTreeSet<u32>,
    }

    impl Model {
        fn accept(&mut self, sequence: u32) -> bool {
            let old = sequence <= self.newest && self.newest - sequence >= WINDOW;
            if sequence == 0 || old || !self.seen.insert(sequence) {
                return false;
            }
            self.newest = self.newest.max(sequence);
            true
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_accepts_what_its_definition_accepts(
            start in prop_oneof![Just(1u32), any::<u32>().prop_map(|start| start % (u32::MAX - 100_000))],
            steps in prop::collection::vec(prop_oneof![-2_000i64..2_000, -70i64..70, Just(0i64), 0i64..20_000], 1..300),
        ) {
            let (mut window, mut model) = (Window::default(), Model::default());
            let mut at = i64::from(start);
            for step in steps {
                at = (at + step).clamp(0, i64::from(u32::MAX));
                let sequence = at as u32;
                let admitted = window.admits(sequence);
                prop_assert_eq!(window.accept(sequence), admitted);
                prop_assert_eq!(model.accept(sequence), admitted, "{}", sequence);
                at = i64::from(window.newest);
            }
        }
    }

    #[test]
    fn the_edges_of_the_window() {
        let mut window = Window::default();
        assert!(!window.accept(0));
        assert!(window.accept(WINDOW));
        assert!(window.accept(1) && !window.accept(1));
        assert!(window.accept(WINDOW + 1));
        assert!(!window.accept(1) && window.accept(2));
        assert!(window.accept(u32::MAX) && !window.accept(u32::MAX) && !window.accept(WINDOW + 2));
    }
}
