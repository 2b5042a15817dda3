//! Known answers, to be computed before a program relies on the ciphers.

use core::fmt;

use crate::{CbcJob, HmacSm3Key, MacJob, Sm3, Sm4Key, cbc_decrypt, cbc_encrypt, hmac_sm3};

/// A cipher that computed something else than what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelfTestError(&'static str);

impl fmt::Display for SelfTestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not compute the known answers on this machine", self.0)
    }
}

impl core::error::Error for SelfTestError {}

/// The key, and the plaintext, of the example in GB/T 32907-2016, appendix A.1.
const KEY: [u8; 16] = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128.to_be_bytes();
/// Its ciphertext.
const SEALED: [u8; 16] = 0x681e_df34_d206_965e_86b3_e94f_536e_4246_u128.to_be_bytes();
/// SM3 of "abc": GB/T 32905-2016, appendix A.1.
const ABC: [u8; 32] = [
    0x66, 0xc7, 0xf0, 0xf4, 0x62, 0xee, 0xed, 0xd9, 0xd1, 0xf2, 0xd4, 0x6b, 0xdc, 0x10, 0xe4, 0xe2, 0x41,
    0x67, 0xc4, 0x87, 0x5c, 0xf2, 0xf7, 0xa2, 0x29, 0x7d, 0xa0, 0x2b, 0x8f, 0x4b, 0xa8, 0xe0,
];
/// SM3 of "abcd" sixteen times: appendix A.2.
const LONG: [u8; 32] = [
    0xde, 0xbe, 0x9f, 0xf9, 0x22, 0x75, 0xb8, 0xa1, 0x38, 0x60, 0x48, 0x89, 0xc1, 0x8e, 0x5a, 0x4d, 0x6f,
    0xdb, 0x70, 0xe5, 0x38, 0x7e, 0x57, 0x65, 0x29, 0x3d, 0xcb, 0xa3, 0x9c, 0x0c, 0x57, 0x32,
];
/// Numbers of jobs that run on each number of lanes.
const COUNTS: [usize; 4] = [1, 16, 32, 65];

/// Computes the examples of both standards, alone and in every lane, there and back.
///
/// # Errors
/// [`SelfTestError`], which names the cipher.
pub fn self_test() -> Result<(), SelfTestError> {
    check(Sm3::digest(&[b"abc"]) == ABC && Sm3::digest(&[&b"abcd".repeat(16)]) == LONG, "SM3")?;
    let key = Sm4Key::new(&KEY);
    let mut block = KEY;
    key.encrypt_block(&mut block);
    check(block == SEALED, "SM4")?;
    key.decrypt_block(&mut block);
    check(block == KEY, "SM4")?;
    COUNTS.iter().try_for_each(|count| check(lanes(&key, *count), "SM4-CBC or HMAC-SM3 over many lanes"))
}

fn check(right: bool, what: &'static str) -> Result<(), SelfTestError> {
    if right { Ok(()) } else { Err(SelfTestError(what)) }
}

/// The example, as one block under a vector of zero, in many lanes; and a code of it in many lanes against one alone.
fn lanes(key: &Sm4Key, count: usize) -> bool {
    let mut blocks = vec![KEY; count];
    let jobs = |blocks: &mut [[u8; 16]], run: fn(&mut [CbcJob<'_>])| {
        let jobs = blocks.iter_mut().map(|block| CbcJob::new(key, [0; 16], block));
        run(&mut jobs.collect::<Result<Vec<_>, _>>().unwrap_or_default());
    };
    jobs(&mut blocks, cbc_encrypt);
    let sealed = blocks.iter().all(|block| *block == SEALED);
    jobs(&mut blocks, cbc_decrypt);
    let opened = blocks.iter().all(|block| *block == KEY);
    let mac_key = HmacSm3Key::new(&KEY);
    let mut macs: Vec<_> = blocks.iter().map(|block| MacJob::new(&mac_key, block)).collect();
    hmac_sm3(&mut macs);
    sealed && opened && macs.iter().all(|job| *job.tag() == hmac_by_definition(&KEY, &KEY))
}

/// HMAC as RFC 2104 writes it, for a key of at most a block.
fn hmac_by_definition(key: &[u8; 16], message: &[u8]) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    Sm3::digest(&[&padded(0x5c), &Sm3::digest(&[&padded(0x36), message])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_answers_are_computed() {
        self_test().unwrap();
    }
}
