//! ESP in tunnel mode (RFC 4303) for gateways: sealing and opening packets in batches.
//!
//! The crate is pure: packets go in and come out as octets; it does no I/O and knows no time.
//!
//! - [`sa`]: one direction of a child SA, with its keys, sequence numbers or replay window, and what it has carried.
//! - [`Sad`]: the SAs of a gateway by SPI and by selector. Installing changes a copy, so that readers need no lock.
//! - [`Pairs`]: a table by pairs of networks, in which the longest that fits is found.
//! - [`SealBatch`], [`OpenBatch`]: up to [`BATCH`] packets in one piece of memory, each with an SA of its own.
//! - [`mtu`]: how large an inner packet may be, and what to answer to one that is larger.
//!
//! # Order of checks on the way in
//!
//! Length, SPI, replay window, ICV, replay window again (now it moves), then decryption, padding, inner lengths and
//! addresses. No octet is decrypted before the ICV was found right.
//!
//! # What is deliberately absent
//!
//! Transport mode, extended sequence numbers (IKEv1 negotiates them rarely), SM4-GCM, outer headers: whoever owns the
//! socket writes those.
#![forbid(unsafe_code)]

mod batch;
mod inner;
pub mod mtu;
mod pairs;
mod replay;
pub mod sa;
mod sad;

pub use batch::{BATCH, OpenBatch, ROOM, SealBatch, Verdict};
pub use inner::addresses;
pub use pairs::Pairs;
pub use sad::Sad;
