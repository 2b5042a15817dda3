//! What the rounds compute with: 64 bits, or twice as many in a vector register.
//!
//! The registers are those that every processor of an architecture has, so nothing has to be detected. Compilers make
//! vectors of loops over arrays as well, but not of a loop whose body is as long as a round.

use core::ops::{BitAnd, BitOr, BitXor};

use zeroize::Zeroize;

/// A number of 64-bit words on which every operation works alike.
pub(super) trait Plane:
    Copy + BitAnd<Output = Self> + BitOr<Output = Self> + BitXor<Output = Self>
{
    /// How many words.
    const WORDS: usize;

    /// Makes a plane of its words.
    fn of(word: impl Fn(usize) -> u64) -> Self;

    /// One of its words.
    fn word(self, place: usize) -> u64;

    /// Each word shifted to the left.
    fn up(self, bits: u32) -> Self;

    /// Each word shifted to the right.
    fn down(self, bits: u32) -> Self;

    /// Each word rotated to the left by 16 bits.
    fn turn_up(self) -> Self;

    /// Each word rotated to the right by 16 bits.
    fn turn_down(self) -> Self;

    /// Each word with its halves exchanged.
    fn exchange(self) -> Self;

    /// Wipes it.
    fn wipe(&mut self);
}

impl Plane for u64 {
    const WORDS: usize = 1;

    #[inline(always)]
    fn of(word: impl Fn(usize) -> u64) -> Self {
        word(0)
    }

    #[inline(always)]
    fn word(self, _: usize) -> u64 {
        self
    }

    #[inline(always)]
    fn up(self, bits: u32) -> Self {
        self << bits
    }

    #[inline(always)]
    fn down(self, bits: u32) -> Self {
        self >> bits
    }

    #[inline(always)]
    fn turn_up(self) -> Self {
        self.rotate_left(16)
    }

    #[inline(always)]
    fn turn_down(self) -> Self {
        self.rotate_right(16)
    }

    #[inline(always)]
    fn exchange(self) -> Self {
        self.rotate_left(32)
    }

    fn wipe(&mut self) {
        self.zeroize();
    }
}

/// Two words side by side.
pub(super) type Pair = wide::u64x2;

impl Plane for Pair {
    const WORDS: usize = 2;

    #[inline(always)]
    fn of(word: impl Fn(usize) -> u64) -> Self {
        Self::new([word(0), word(1)])
    }

    #[inline(always)]
    fn word(self, place: usize) -> u64 {
        self.to_array()[place]
    }

    #[inline(always)]
    fn up(self, bits: u32) -> Self {
        self << bits
    }

    #[inline(always)]
    fn down(self, bits: u32) -> Self {
        self >> bits
    }

    #[inline(always)]
    fn turn_up(self) -> Self {
        self << 16_u32 | self >> 48_u32
    }

    #[inline(always)]
    fn turn_down(self) -> Self {
        self >> 16_u32 | self << 48_u32
    }

    #[inline(always)]
    fn exchange(self) -> Self {
        self >> 32_u32 | self << 32_u32
    }

    fn wipe(&mut self) {
        self.as_mut_array().zeroize();
    }
}
