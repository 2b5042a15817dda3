//! HMAC-SM3 (RFC 2104 with SM3) over one message, and over batches.

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::sm3::{self, BLOCK_BYTES, DIGEST_BYTES, LANES, Lanes, ROOM, Sm3};

/// A key: the chaining values after its inner and its outer block. Wiped on drop; `Debug` shows nothing of it.
pub struct HmacSm3Key {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl HmacSm3Key {
    /// A key of any length; one longer than a block is replaced by its digest, as the RFC has it.
    pub fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK_BYTES];
        if key.len() > BLOCK_BYTES {
            block[..DIGEST_BYTES].copy_from_slice(&Sm3::digest(&[key]));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let (mut inner, mut outer) = (sm3::INITIAL, sm3::INITIAL);
        block.iter_mut().for_each(|byte| *byte ^= 0x36);
        sm3::one(&mut inner, &block);
        block.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5c);
        sm3::one(&mut outer, &block);
        block.zeroize();
        Self { inner, outer }
    }

    /// The code of some parts, one after the other.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
        let mut inner = Sm3::resume(self.inner, BLOCK_BYTES as u64);
        parts.iter().for_each(|part| inner.update(part));
        let mut outer = Sm3::resume(self.outer, BLOCK_BYTES as u64);
        outer.update(&inner.finish());
        outer.finish()
    }
}

impl Drop for HmacSm3Key {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

impl fmt::Debug for HmacSm3Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSm3Key")
    }
}

/// A message to be authenticated, and after [`hmac_sm3`] its code.
pub struct MacJob<'a> {
    key: &'a HmacSm3Key,
    message: &'a [u8],
    tag: [u8; DIGEST_BYTES],
}

impl<'a> MacJob<'a> {
    /// A job; the message may be empty.
    pub fn new(key: &'a HmacSm3Key, message: &'a [u8]) -> Self {
        Self { key, message, tag: [0; DIGEST_BYTES] }
    }

    /// The code, whole; zero before [`hmac_sm3`].
    pub fn tag(&self) -> &[u8; DIGEST_BYTES] {
        &self.tag
    }

    /// Whether `received` is the code, or its beginning, of at least 96 bits. Takes the same time wherever they differ.
    pub fn matches(&self, received: &[u8]) -> bool {
        (12..=DIGEST_BYTES).contains(&received.len())
            && bool::from(self.tag[..received.len()].ct_eq(received))
    }
}

impl fmt::Debug for MacJob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MacJob").field("length", &self.message.len()).finish_non_exhaustive()
    }
}

/// Computes the code of every job. Jobs run side by side, eight at a time.
pub fn hmac_sm3(jobs: &mut [MacJob<'_>]) {
    if let [job] = jobs {
        job.tag = job.key.mac(&[job.message]);
        return;
    }
    let mut state = [Lanes::default(); 8];
    let mut blocks = [[0; BLOCK_BYTES]; LANES];
    let mut lanes: [Lane; LANES] = core::array::from_fn(|_| Lane { job: usize::MAX, block: 0 });
    let mut next = 0;
    loop {
        let mut busy = false;
        for (lane, place) in lanes.iter_mut().enumerate() {
            if place.job == usize::MAX && next < jobs.len() {
                *place = Lane { job: next, block: 0 };
                put(&mut state, lane, &jobs[next].key.inner);
                next += 1;
            }
            if let Some(job) = jobs.get(place.job) {
                busy = true;
                place.fill(job.message, &mut blocks[lane]);
            }
        }
        if !busy {
            return;
        }
        sm3::many(&mut state, &blocks);
        for (lane, place) in lanes.iter_mut().enumerate() {
            let Some(job) = jobs.get_mut(place.job) else { continue };
            place.block += 1;
            let inner = inner_blocks(job.message.len());
            if place.block == inner {
                let digest = sm3::bytes(&take(&state, lane));
                blocks[lane][..DIGEST_BYTES].copy_from_slice(&digest);
                put(&mut state, lane, &job.key.outer);
            } else if place.block > inner {
                job.tag = sm3::bytes(&take(&state, lane));
                place.job = usize::MAX;
            }
        }
    }
}

/// Blocks of a message with a bit and its length after it.
fn inner_blocks(length: usize) -> usize {
    (length + BLOCK_BYTES - ROOM).div_ceil(BLOCK_BYTES)
}

fn put(state: &mut [Lanes; 8], lane: usize, value: &[u32; 8]) {
    for (word, value) in state.iter_mut().zip(value) {
        word.as_mut_array()[lane] = *value;
    }
}

fn take(state: &[Lanes; 8], lane: usize) -> [u32; 8] {
    state.map(|word| word.to_array()[lane])
}

/// Where a lane is: in the blocks of its job's message, or in the one after them, which is the outer digest's.
struct Lane {
    /// `usize::MAX` if it has none.
    job: usize,
    block: usize,
}

impl Lane {
    /// Writes the block that comes next. The outer block's first half is there already.
    fn fill(&self, message: &[u8], block: &mut [u8; BLOCK_BYTES]) {
        let inner = inner_blocks(message.len());
        if self.block >= inner {
            return end(block, DIGEST_BYTES, DIGEST_BYTES);
        }
        // Nothing is left if the message ended in the block before, and did not leave room for its length there.
        let Some(rest) = message.get(self.block * BLOCK_BYTES..) else {
            block.fill(0);
            return write_length(block, message.len());
        };
        if let Some(whole) = rest.first_chunk() {
            *block = *whole;
            return;
        }
        block[..rest.len()].copy_from_slice(rest);
        if self.block + 1 == inner {
            end(block, rest.len(), message.len());
        } else {
            block[rest.len()..].fill(0);
            block[rest.len()] = 0x80;
        }
    }
}

/// Ends a block after `filled` bytes of a message of `length` bytes.
fn end(block: &mut [u8; BLOCK_BYTES], filled: usize, length: usize) {
    block[filled..].fill(0);
    block[filled] = 0x80;
    write_length(block, length);
}

/// The length in bits, that of the key's block included.
fn write_length(block: &mut [u8; BLOCK_BYTES], length: usize) {
    let bits = (length + BLOCK_BYTES) as u64 * 8;
    block[BLOCK_BYTES - 8..].copy_from_slice(&bits.to_be_bytes());
}
