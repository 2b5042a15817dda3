//! Randomness of the operating system: ids, keys, secrets.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;

/// Random bytes from the operating system.
///
/// # Panics
/// If the operating system has none to give, which no request can be served without.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system supplies randomness");
    bytes
}

/// What ids are drawn from, once somebody has set it.
static SEEDED: OnceLock<Seeded> = OnceLock::new();

#[derive(Debug)]
struct Seeded {
    seed: u64,
    drawn: AtomicU64,
}

impl Seeded {
    fn draw<const N: usize>(&self) -> [u8; N] {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.seed.to_be_bytes());
        context.update(&number.to_be_bytes());
        *context.finish().as_ref().first_chunk().expect("an id needs fewer bytes than a digest has")
    }
}

/// Has this process draw the ids and addresses of resources from a seed: the same creations in the same order get the
/// same ones. Keys, secrets and ids of requests stay random. For tests; what was set first counts.
pub fn seed_ids(seed: u64) {
    let _ = SEEDED.set(Seeded { seed, drawn: AtomicU64::new(0) });
}

/// Whether ids are drawn from a seed.
pub(crate) fn seeded() -> bool {
    SEEDED.get().is_some()
}

/// Bytes for the id or the address of a resource: random, unless [`seed_ids`] was called.
pub(crate) fn for_id<const N: usize>() -> [u8; N] {
    SEEDED.get().map_or_else(random, Seeded::draw)
}

/// Characters of keys.
pub(crate) const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Random characters without bias: bytes beyond the last whole multiple are drawn again.
pub(crate) fn characters(number: usize, alphabet: &[u8]) -> String {
    let limit = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(number);
    while text.len() < number {
        for byte in random::<64>() {
            if usize::from(byte) < limit && text.len() < number {
                text.push(char::from(alphabet[usize::from(byte) % alphabet.len()]));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_ids_in_the_same_order() {
        let drawn = |seed| {
            let seeded = Seeded { seed, drawn: AtomicU64::new(0) };
            [seeded.draw::<11>(), seeded.draw(), seeded.draw()]
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        assert_ne!(drawn(7)[0], drawn(7)[1]);
    }
}
