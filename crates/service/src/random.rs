//! Randomness of the operating system: ids, keys, secrets.

/// Random bytes from the operating system.
///
/// # Panics
/// If the operating system has none to give, which no request can be served without.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system supplies randomness");
    bytes
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
