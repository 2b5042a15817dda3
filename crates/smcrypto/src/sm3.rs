//! SM3 (GB/T 32905-2016) over one message, and its compression over many lanes.

use core::ops::{BitAnd, BitXor};

use zeroize::Zeroize;

/// Length of a digest.
pub const DIGEST_BYTES: usize = 32;
/// Length of a block.
pub const BLOCK_BYTES: usize = 64;
/// Where a message ends within its last block at most: a bit and a length follow.
pub(crate) const ROOM: usize = BLOCK_BYTES - 9;

/// The chaining value before the first block.
pub(crate) const INITIAL: [u32; 8] =
    [0x7380_166f, 0x4914_b2b9, 0x1724_42d7, 0xda8a_0600, 0xa96f_30bc, 0x1631_38aa, 0xe38d_ee4d, 0xb0fb_0e4e];

/// Lanes of [`Lanes`].
pub(crate) const LANES: usize = 8;
/// One word of every lane.
pub(crate) type Lanes = wide::u32x8;

/// What a compression computes with: a word, or one of every lane.
pub(crate) trait Word: Copy + BitAnd<Output = Self> + BitXor<Output = Self> {
    /// The same word in every lane.
    fn all(word: u32) -> Self;

    /// Sum modulo 2^32.
    fn plus(self, other: Self) -> Self;

    /// Rotated to the left, by 1 to 31 bits.
    fn turn(self, bits: u32) -> Self;
}

impl Word for u32 {
    #[inline(always)]
    fn all(word: u32) -> Self {
        word
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn turn(self, bits: u32) -> Self {
        self.rotate_left(bits)
    }
}

impl Word for Lanes {
    #[inline(always)]
    fn all(word: u32) -> Self {
        Self::splat(word)
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    fn turn(self, bits: u32) -> Self {
        self << bits | self >> (32 - bits)
    }
}

/// A digest that is fed piece by piece. Wiped on drop.
#[derive(Clone)]
pub struct Sm3 {
    state: [u32; 8],
    pending: [u8; BLOCK_BYTES],
    length: u64,
}

impl Sm3 {
    /// A digest of nothing yet.
    pub fn new() -> Self {
        Self::resume(INITIAL, 0)
    }

    /// The digest of some parts, one after the other.
    pub fn digest(parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
        let mut digest = Self::new();
        parts.iter().for_each(|part| digest.update(part));
        digest.finish()
    }

    /// Goes on from a chaining value that was reached after `length` bytes, a multiple of the block.
    pub(crate) fn resume(state: [u32; 8], length: u64) -> Self {
        Self { state, pending: [0; BLOCK_BYTES], length }
    }

    /// Appends to the message.
    pub fn update(&mut self, mut data: &[u8]) {
        let filled = (self.length % BLOCK_BYTES as u64) as usize;
        self.length = self.length.wrapping_add(data.len() as u64);
        if filled > 0 {
            let (now, rest) = data.split_at(data.len().min(BLOCK_BYTES - filled));
            self.pending[filled..filled + now.len()].copy_from_slice(now);
            if filled + now.len() < BLOCK_BYTES {
                return;
            }
            one(&mut self.state, &self.pending);
            data = rest;
        }
        let (blocks, rest) = data.as_chunks::<BLOCK_BYTES>();
        blocks.iter().for_each(|block| one(&mut self.state, block));
        self.pending[..rest.len()].copy_from_slice(rest);
    }

    /// The digest of everything appended.
    pub fn finish(mut self) -> [u8; DIGEST_BYTES] {
        let filled = (self.length % BLOCK_BYTES as u64) as usize;
        self.pending[filled] = 0x80;
        self.pending[filled + 1..].fill(0);
        if filled > ROOM {
            one(&mut self.state, &self.pending);
            self.pending.fill(0);
        }
        self.pending[BLOCK_BYTES - 8..].copy_from_slice(&self.length.wrapping_mul(8).to_be_bytes());
        one(&mut self.state, &self.pending);
        bytes(&self.state)
    }
}

impl Default for Sm3 {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Sm3 {
    fn drop(&mut self) {
        self.state.zeroize();
        self.pending.zeroize();
    }
}

impl core::fmt::Debug for Sm3 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sm3").field("length", &self.length).finish_non_exhaustive()
    }
}

/// A chaining value as bytes.
pub(crate) fn bytes(state: &[u32; 8]) -> [u8; DIGEST_BYTES] {
    let mut bytes = [0; DIGEST_BYTES];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// Compresses one block into one chaining value.
pub(crate) fn one(state: &mut [u32; 8], block: &[u8; BLOCK_BYTES]) {
    compress(state, |step| big_endian(block, step));
}

/// Compresses one block of each lane into that lane's chaining value.
pub(crate) fn many(state: &mut [Lanes; 8], blocks: &[[u8; BLOCK_BYTES]; LANES]) {
    compress(state, |step| Lanes::new(core::array::from_fn(|lane| big_endian(&blocks[lane], step))));
}

#[inline(always)]
fn big_endian(block: &[u8; BLOCK_BYTES], word: usize) -> u32 {
    let bytes = &block[4 * word..4 * word + 4];
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[inline(always)]
fn compress<T: Word>(state: &mut [T; 8], message: impl Fn(usize) -> T) {
    let mut w = [T::all(0); 68];
    for (step, word) in w.iter_mut().enumerate().take(16) {
        *word = message(step);
    }
    for step in 16..68 {
        let x = w[step - 16] ^ w[step - 9] ^ w[step - 3].turn(15);
        w[step] = x ^ x.turn(15) ^ x.turn(23) ^ w[step - 13].turn(7) ^ w[step - 6];
    }
    let mut x = *state;
    for step in 0..16 {
        x = one_step::<T, true>(x, 0x79cc_4519_u32.rotate_left(step), w[step as usize], w[step as usize + 4]);
    }
    for step in 16..64 {
        let constant = 0x7a87_9d8a_u32.rotate_left(step % 32);
        x = one_step::<T, false>(x, constant, w[step as usize], w[step as usize + 4]);
    }
    for (state, x) in state.iter_mut().zip(x) {
        *state = *state ^ x;
    }
}

#[inline(always)]
#[allow(clippy::many_single_char_names, reason = "the letters of the standard")]
fn one_step<T: Word, const EARLY: bool>(
    [a, b, c, d, e, f, g, h]: [T; 8],
    constant: u32,
    w0: T,
    w4: T,
) -> [T; 8] {
    let a12 = a.turn(12);
    let ss1 = a12.plus(e).plus(T::all(constant)).turn(7);
    let ss2 = ss1 ^ a12;
    let ff = if EARLY { a ^ b ^ c } else { b ^ ((a ^ b) & (b ^ c)) };
    let gg = if EARLY { e ^ f ^ g } else { g ^ (e & (f ^ g)) };
    let tt1 = ff.plus(d).plus(ss2).plus(w0 ^ w4);
    let tt2 = gg.plus(h).plus(ss1).plus(w0);
    [tt1, a, b.turn(9), c, tt2 ^ tt2.turn(9) ^ tt2.turn(17), e, f.turn(19), g]
}
