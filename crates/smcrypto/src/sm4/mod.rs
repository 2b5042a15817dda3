//! SM4 (GB/T 32907-2016), bit-sliced, in the mode CBC.
//!
//! `sbox` is the nonlinear part as a circuit, `slice` the rounds over many lanes of `plane`s, `key` the
//! keys, `cbc` the batches.

mod cbc;
mod key;
mod plane;
mod sbox;
mod slice;

pub use cbc::{CbcJob, NotWholeBlocks, cbc_decrypt, cbc_encrypt};
pub use key::Sm4Key;

/// Length of a block.
pub const BLOCK_BYTES: usize = 16;

/// A block.
type Block = [u8; BLOCK_BYTES];

/// Rounds of SM4.
const ROUNDS: usize = 32;
