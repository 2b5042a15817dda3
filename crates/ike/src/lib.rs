//! IKEv1 for gateways: main mode with digital envelopes (GM/T 0022) and with pre-shared keys (RFC 2409).
//!
//! The crate is pure. It does no I/O and knows no clock and no randomness of its own.
//!
//! - [`wire`]: messages and payloads, read strictly.
//! - [`suite`]: algorithms. [`keys`]: what is derived with them. [`envelope`]: what messages 3 and 4 hide.
#![forbid(unsafe_code)]

pub mod envelope;
pub mod keys;
pub mod suite;
pub mod wire;
