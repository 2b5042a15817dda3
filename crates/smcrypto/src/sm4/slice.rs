//! The rounds of SM4 over many lanes.
//!
//! A word of a lane has 32 bits: four bytes of eight bits. The words of 16 lanes become eight *planes* of 64 bits; plane
//! `b` holds bit `b` of every byte, byte `p` of lane `l` at bit `16 * p + l`. In this layout the S-box is computed for 64
//! bytes at once, and a rotation by whole bytes turns a plane by 16 bits. A [`Plane`] may have two such words, for 32
//! lanes; and groups of lanes, each with its planes, follow one another.
//!
//! The constants of the S-box are not added in the rounds. The one after it reaches, through the linear map L, every
//! word as a constant; which words have it at a time is known, so that round keys can make up for it, and after 32
//! rounds each word has had it eight times, that is not at all. The one before it is a part of each round key. The
//! pattern reads the same backwards, so the same keys decrypt.

use super::plane::Plane;
use super::sbox::{AFTER, BEFORE, sbox};
use super::{Block, ROUNDS, Sm4Key};

/// Lanes of one word of a plane.
const LANES: usize = 16;
/// The lowest lane of each byte of a plane.
const FIRST_LANE: u64 = 0x0001_0001_0001_0001;

/// One word of every lane of a group.
type Word<P> = [P; 8];

/// Which way the round keys are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Encrypt,
    Decrypt,
}

/// What is added to a round key so that the circuit's missing constants do not show.
pub(super) const fn constant(round: usize) -> u32 {
    let before = u32::from_be_bytes([BEFORE; 4]);
    let after = linear(u32::from_be_bytes([AFTER; 4]));
    match round % 8 {
        1 | 3 | 4 | 6 => before ^ after,
        _ => before,
    }
}

/// The linear map L of the rounds.
const fn linear(word: u32) -> u32 {
    word ^ word.rotate_left(2) ^ word.rotate_left(10) ^ word.rotate_left(18) ^ word.rotate_left(24)
}

/// The planes of one word in lane 0.
pub(super) fn spread(word: u32) -> [u64; 8] {
    core::array::from_fn(|bit| apart(u64::from(word >> bit) & 0x0101_0101))
}

/// The word that lane 0 of some planes holds.
pub(super) fn gather(planes: &[u64; 8]) -> u32 {
    planes.iter().enumerate().fold(0, |word, (bit, plane)| {
        let bytes = (0..4).fold(0, |bytes, byte| bytes | ((plane >> (16 * byte)) as u32 & 1) << (8 * byte));
        word | bytes << bit
    })
}

/// The S-box on every byte of a word, its constants included.
pub(super) fn substitute(word: u32) -> u32 {
    let before = u32::from_be_bytes([BEFORE; 4]);
    gather(&sbox(spread(word ^ before))) ^ u32::from_be_bytes([AFTER; 4])
}

/// Round keys of `G` groups of lanes, each lane its own.
pub(super) struct Lanes<P: Plane, const G: usize> {
    keys: [[Word<P>; ROUNDS]; G],
}

impl<P: Plane, const G: usize> Lanes<P, G> {
    /// Lanes of one group.
    const GROUP: usize = LANES * P::WORDS;
    /// How many lanes.
    pub(super) const COUNT: usize = Self::GROUP * G;

    pub(super) fn new() -> Self {
        Self { keys: [[[P::of(|_| 0); 8]; ROUNDS]; G] }
    }

    /// Gives lanes a key. Lane `l` of a group is bit `l / WORDS` of word `l % WORDS`.
    pub(super) fn set(&mut self, lanes: core::ops::Range<usize>, key: &Sm4Key) {
        for (group, keys) in self.keys.iter_mut().enumerate() {
            let of_group = |lane: usize| lane.saturating_sub(group * Self::GROUP).min(Self::GROUP);
            let (begin, end) = (of_group(lanes.start), of_group(lanes.end));
            if begin == end {
                continue;
            }
            let mask = P::of(|place| {
                let chosen = (begin..end).filter(|lane| lane % P::WORDS == place);
                chosen.fold(0, |mask, lane| mask | FIRST_LANE << (lane / P::WORDS))
            });
            for (planes, of_key) in keys.iter_mut().zip(key.planes()) {
                for (plane, bits) in planes.iter_mut().zip(of_key) {
                    // From lane 0 to all sixteen.
                    let all = P::of(|_| (bits << LANES).wrapping_sub(*bits));
                    *plane = *plane ^ ((*plane ^ all) & mask);
                }
            }
        }
    }

    /// Encrypts or decrypts one block of each lane.
    pub(super) fn crypt(&self, blocks: &mut [Block], direction: Direction) {
        for (keys, blocks) in self.keys.iter().zip(blocks.chunks_exact_mut(Self::GROUP)) {
            match direction {
                Direction::Encrypt => rounds(blocks, |round| &keys[round]),
                Direction::Decrypt => rounds(blocks, |round| &keys[ROUNDS - 1 - round]),
            }
        }
    }
}

impl<P: Plane, const G: usize> Drop for Lanes<P, G> {
    fn drop(&mut self) {
        self.keys.as_flattened_mut().as_flattened_mut().iter_mut().for_each(P::wipe);
    }
}

/// All rounds of one group.
#[inline(always)]
fn rounds<'k, P: Plane + 'k>(blocks: &mut [Block], key: impl Fn(usize) -> &'k Word<P>) {
    let [mut x0, mut x1, mut x2, mut x3] = [0, 1, 2, 3].map(|place| pack(blocks, place));
    for round in (0..ROUNDS).step_by(4) {
        turn(&mut x0, &x1, &x2, &x3, key(round));
        turn(&mut x1, &x2, &x3, &x0, key(round + 1));
        turn(&mut x2, &x3, &x0, &x1, key(round + 2));
        turn(&mut x3, &x0, &x1, &x2, key(round + 3));
    }
    // The standard gives the words out in reverse order.
    for (place, word) in [x3, x2, x1, x0].into_iter().enumerate() {
        unpack(word, place, blocks);
    }
}

/// One round: `x0 ^= L(S(x1 ^ x2 ^ x3 ^ key))`.
#[inline(always)]
fn turn<P: Plane>(x0: &mut Word<P>, x1: &Word<P>, x2: &Word<P>, x3: &Word<P>, key: &Word<P>) {
    let s = sbox(core::array::from_fn(|b| x1[b] ^ x2[b] ^ x3[b] ^ key[b]));
    // s ^ s<<<24, and s ^ s<<<8 ^ s<<<16; the latter still to be turned by 2.
    let u: Word<P> = core::array::from_fn(|b| s[b] ^ s[b].turn_down());
    let v: Word<P> = core::array::from_fn(|b| s[b] ^ u[b].exchange());
    for b in 0..8 {
        x0[b] = x0[b] ^ u[b] ^ if b < 2 { v[b + 6].turn_up() } else { v[b - 2] };
    }
}

/// Makes planes of word `place` of each lane's block.
#[inline(always)]
fn pack<P: Plane>(blocks: &[Block], place: usize) -> Word<P> {
    let word = |lane: usize| {
        let bytes = &blocks[lane][4 * place..4 * place + 4];
        u64::from(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let words = |row: usize| apart(P::of(|column| word(row * P::WORDS + column)));
    let mut planes = core::array::from_fn(|row| words(row) | words(row + 8).up(8));
    transpose(&mut planes);
    planes
}

/// The reverse of [`pack`].
#[inline(always)]
fn unpack<P: Plane>(mut planes: Word<P>, place: usize, blocks: &mut [Block]) {
    transpose(&mut planes);
    for (row, plane) in planes.into_iter().enumerate() {
        for (row, words) in [(row, together(plane)), (row + 8, together(plane.down(8)))] {
            for column in 0..P::WORDS {
                let bytes = (words.word(column) as u32).to_be_bytes();
                blocks[row * P::WORDS + column][4 * place..4 * place + 4].copy_from_slice(&bytes);
            }
        }
    }
}

/// Four bytes to the even bytes of each word.
#[inline(always)]
fn apart<P: Plane>(words: P) -> P {
    let halves = (words | words.up(16)) & P::of(|_| 0x0000_ffff_0000_ffff);
    (halves | halves.up(8)) & P::of(|_| 0x00ff_00ff_00ff_00ff)
}

/// The even bytes of each word to four bytes.
#[inline(always)]
fn together<P: Plane>(plane: P) -> P {
    let even = plane & P::of(|_| 0x00ff_00ff_00ff_00ff);
    let halves = (even | even.down(8)) & P::of(|_| 0x0000_ffff_0000_ffff);
    halves | halves.down(16)
}

/// Exchanges bit `b` of each byte in plane `j` with bit `j` of that byte in plane `b`.
#[inline(always)]
fn transpose<P: Plane>(planes: &mut Word<P>) {
    for (distance, mask) in
        [(4, 0x0f0f_0f0f_0f0f_0f0f_u64), (2, 0x3333_3333_3333_3333), (1, 0x5555_5555_5555_5555)]
    {
        for low in (0..8).filter(|place| place & distance == 0) {
            let (upper, lower) = (planes[low], planes[low + distance]);
            let differing = (upper.down(distance as u32) ^ lower) & P::of(|_| mask);
            planes[low + distance] = lower ^ differing;
            planes[low] = upper ^ differing.up(distance as u32);
        }
    }
}
