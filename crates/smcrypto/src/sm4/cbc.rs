//! CBC over batches, in place.

use core::fmt;

use super::plane::{Pair, Plane};
use super::slice::{Direction, Lanes};
use super::{BLOCK_BYTES, Block, Sm4Key};

/// Lanes at most.
const MOST_LANES: usize = 64;

/// What is to be encrypted or decrypted, in place: whole blocks with a key and an initialisation vector.
pub struct CbcJob<'a> {
    key: &'a Sm4Key,
    iv: Block,
    blocks: &'a mut [Block],
}

/// The length of data is not a multiple of [`BLOCK_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotWholeBlocks;

impl fmt::Display for NotWholeBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the length is not a multiple of the cipher's block")
    }
}

impl core::error::Error for NotWholeBlocks {}

impl<'a> CbcJob<'a> {
    /// A job; data may be empty.
    ///
    /// # Errors
    /// [`NotWholeBlocks`].
    pub fn new(key: &'a Sm4Key, iv: Block, data: &'a mut [u8]) -> Result<Self, NotWholeBlocks> {
        let (blocks, []) = data.as_chunks_mut::<BLOCK_BYTES>() else { return Err(NotWholeBlocks) };
        Ok(Self { key, iv, blocks })
    }
}

impl fmt::Debug for CbcJob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CbcJob").field("blocks", &self.blocks.len()).finish_non_exhaustive()
    }
}

/// Encrypts every job. Jobs run side by side, 64 at most; the more of them, the faster each.
pub fn cbc_encrypt(jobs: &mut [CbcJob<'_>]) {
    match jobs.len() {
        0..=16 => encrypt::<u64, 1>(jobs),
        17..=32 => encrypt::<Pair, 1>(jobs),
        _ => encrypt::<Pair, 2>(jobs),
    }
}

/// Decrypts every job. Blocks run side by side, whichever job they belong to.
pub fn cbc_decrypt(jobs: &mut [CbcJob<'_>]) {
    match jobs.iter().map(|job| job.blocks.len()).sum() {
        0..=16 => decrypt::<u64, 1>(jobs),
        17..=32 => decrypt::<Pair, 1>(jobs),
        _ => decrypt::<Pair, 2>(jobs),
    }
}

/// Where a lane is.
#[derive(Clone, Copy)]
struct Place {
    job: usize,
    block: usize,
}

/// One lane for each job, until it ends; then the next job takes the lane.
fn encrypt<P: Plane, const G: usize>(jobs: &mut [CbcJob<'_>]) {
    let mut lanes = Lanes::<P, G>::new();
    let mut places: [Option<Place>; MOST_LANES] = [None; MOST_LANES];
    let places = &mut places[..jobs.len().min(Lanes::<P, G>::COUNT)];
    let mut chain = [[0; BLOCK_BYTES]; MOST_LANES];
    let mut next = 0;
    loop {
        let mut busy = false;
        for (lane, place) in places.iter_mut().enumerate() {
            if place.is_some_and(|place| place.block == jobs[place.job].blocks.len()) {
                *place = None;
            }
            if place.is_none() {
                while jobs.get(next).is_some_and(|job| job.blocks.is_empty()) {
                    next += 1;
                }
                let Some(job) = jobs.get(next) else { continue };
                lanes.set(lane..lane + 1, job.key);
                chain[lane] = job.iv;
                *place = Some(Place { job: next, block: 0 });
                next += 1;
            }
            if let Some(place) = place {
                busy = true;
                add(&mut chain[lane], &jobs[place.job].blocks[place.block]);
            }
        }
        if !busy {
            return;
        }
        lanes.crypt(&mut chain, Direction::Encrypt);
        for (place, block) in places.iter_mut().zip(chain.iter()) {
            if let Some(place) = place {
                jobs[place.job].blocks[place.block] = *block;
                place.block += 1;
            }
        }
    }
}

/// One lane for each block.
fn decrypt<P: Plane, const G: usize>(jobs: &mut [CbcJob<'_>]) {
    let mut lanes = Lanes::<P, G>::new();
    let mut holders: [Option<&Sm4Key>; MOST_LANES] = [None; MOST_LANES];
    let mut clear = [[0; BLOCK_BYTES]; MOST_LANES];
    let mut begin = Place { job: 0, block: 0 };
    // Of the job that `begin` is in, what its next block is to be added to.
    let mut before = jobs.first().map_or([0; BLOCK_BYTES], |job| job.iv);
    loop {
        let mut end = begin;
        let mut used = 0;
        while let Some(job) = jobs.get(end.job).filter(|_| used < Lanes::<P, G>::COUNT) {
            let length = (job.blocks.len() - end.block).min(Lanes::<P, G>::COUNT - used);
            clear[used..used + length].copy_from_slice(&job.blocks[end.block..end.block + length]);
            let held = |holder: &Option<&Sm4Key>| holder.is_some_and(|key| core::ptr::eq(key, job.key));
            if !holders[used..used + length].iter().all(held) {
                lanes.set(used..used + length, job.key);
                holders[used..used + length].fill(Some(job.key));
            }
            used += length;
            end.block += length;
            if end.block < job.blocks.len() {
                break;
            }
            end = Place { job: end.job + 1, block: 0 };
        }
        if used == 0 {
            return;
        }
        lanes.crypt(&mut clear, Direction::Decrypt);
        let mut done = &clear[..used];
        for job in begin.job..jobs.len().min(end.job + 1) {
            let first = if job == begin.job { begin.block } else { 0 };
            let CbcJob { iv, blocks, .. } = &mut jobs[job];
            if first == 0 {
                before = *iv;
            }
            let length = done.len().min(blocks.len() - first);
            let (now, rest) = done.split_at(length);
            for (block, clear) in blocks[first..first + length].iter_mut().zip(now) {
                let sealed = core::mem::replace(block, *clear);
                add(block, &before);
                before = sealed;
            }
            done = rest;
        }
        begin = end;
    }
}

fn add(block: &mut Block, other: &Block) {
    let sum = u128::from_ne_bytes(*block) ^ u128::from_ne_bytes(*other);
    *block = sum.to_ne_bytes();
}
