//! SM4-CBC and HMAC-SM3 over many buffers at once: the ciphers of the data plane.
//!
//! Packets are many and alike, and CBC as well as SM3 are chains: within one packet there is nothing to do in
//! parallel. So the interfaces take *batches*. Each packet has a *lane*; the lanes advance block by block side by side,
//! and a lane whose packet has ended takes the next one. Keys differ from lane to lane at no cost worth mentioning.
//!
//! # The path
//!
//! There is one path, in portable Rust, laid out so that the compiler makes vector instructions of it: SM4 is
//! bit-sliced ([`sm4`]), and SM3 keeps each variable as an array over its lanes ([`sm3`]). Paths with instructions of
//! particular processors would stand beside it, behind the same interfaces, chosen once at start; their loads and
//! stores would be the only place of the workspace where `unsafe` is needed. Until there is one, it is forbidden here as
//! everywhere.
//!
//! # Secrets
//!
//! No branch and no index depends on a key or on data: S-boxes are circuits of AND and XOR, and lengths are public.
//! Keys are wiped when they are dropped, and `Debug` shows nothing of them. What is not wiped are intermediate values
//! on the stack.
//!
//! # Known answers
//!
//! [`self_test`] computes published examples on every path and with every number of lanes. A program that moves packets
//! calls it before the first one, and stops if it fails.
//!
//! ```
//! use tongguan_smcrypto::{CbcJob, HmacSm3Key, MacJob, Sm4Key, cbc_encrypt, hmac_sm3};
//!
//! let (key, mac_key) = (Sm4Key::new(&[7; 16]), HmacSm3Key::new(&[8; 32]));
//! let mut packets = [[0u8; 64], [1u8; 64]];
//! let jobs = packets.iter_mut().map(|packet| CbcJob::new(&key, [9; 16], packet).expect("whole blocks"));
//! cbc_encrypt(&mut jobs.collect::<Vec<_>>());
//! let mut jobs: Vec<_> = packets.iter().map(|packet| MacJob::new(&mac_key, packet)).collect();
//! hmac_sm3(&mut jobs);
//! assert_eq!(jobs[1].tag(), &mac_key.mac(&[&packets[1]]));
//! ```
#![forbid(unsafe_code)]

mod hmac;
mod selftest;
pub mod sm3;
pub mod sm4;

pub use hmac::{HmacSm3Key, MacJob, hmac_sm3};
pub use selftest::{SelfTestError, self_test};
pub use sm3::Sm3;
pub use sm4::{BLOCK_BYTES, CbcJob, NotWholeBlocks, Sm4Key, cbc_decrypt, cbc_encrypt};
