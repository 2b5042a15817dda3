//! Keys of SM4.

use core::fmt;

use zeroize::Zeroize;

use super::slice::{Direction, Lanes, constant, spread, substitute};
use super::{Block, ROUNDS};

/// FK of the standard.
const FAMILY: [u32; 4] = [0xa3b1_bac6, 0x56aa_3350, 0x677d_9197, 0xb270_22dc];

/// A key, expanded: 32 round keys, as planes of one lane. Wiped on drop; `Debug` shows nothing of it.
///
/// It takes 2 KiB, on the heap so that moving it leaves no copy behind.
pub struct Sm4Key {
    planes: Box<[[u64; 8]; ROUNDS]>,
}

impl Sm4Key {
    /// Expands a key.
    pub fn new(key: &[u8; 16]) -> Self {
        let mut planes = Box::new([[0; 8]; ROUNDS]);
        let mut words: [u32; 4] = core::array::from_fn(|place| {
            let bytes = &key[4 * place..4 * place + 4];
            u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) ^ FAMILY[place]
        });
        for (round, planes) in planes.iter_mut().enumerate() {
            let s = substitute(words[1] ^ words[2] ^ words[3] ^ fixed(round));
            let next = words[0] ^ s ^ s.rotate_left(13) ^ s.rotate_left(23);
            words = [words[1], words[2], words[3], next];
            *planes = spread(next ^ constant(round));
        }
        words.zeroize();
        Self { planes }
    }

    /// Encrypts one block. For many blocks see [`super::cbc_encrypt`].
    pub fn encrypt_block(&self, block: &mut Block) {
        self.block(block, Direction::Encrypt);
    }

    /// Decrypts one block. For many blocks see [`super::cbc_decrypt`].
    pub fn decrypt_block(&self, block: &mut Block) {
        self.block(block, Direction::Decrypt);
    }

    pub(super) fn planes(&self) -> &[[u64; 8]; ROUNDS] {
        &self.planes
    }

    fn block(&self, block: &mut Block, direction: Direction) {
        let mut lanes = Lanes::<u64, 1>::new();
        lanes.set(0..1, self);
        let mut blocks = [[0; 16]; Lanes::<u64, 1>::COUNT];
        blocks[0] = *block;
        lanes.crypt(&mut blocks, direction);
        *block = blocks[0];
    }
}

impl Drop for Sm4Key {
    fn drop(&mut self) {
        self.planes.as_flattened_mut().zeroize();
    }
}

impl fmt::Debug for Sm4Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sm4Key")
    }
}

/// CK of the standard: byte `j` of word `i` is `(4 i + j) * 7` modulo 256.
fn fixed(round: usize) -> u32 {
    u32::from_be_bytes(core::array::from_fn(|byte| ((4 * round + byte) * 7) as u8))
}
