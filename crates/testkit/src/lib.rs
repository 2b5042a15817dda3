//! One kit for tests: what signs, sends, starts, parses and builds a world, for the tests of the crates, `bench`,
//! `torture` and `fuzz`.
//!
//! | you want | use |
//! |---|---|
//! | API versions, the region and the account of tests | [`api`] |
//! | a signed request, in V1, V3 or V4 | [`Caller`], [`Call`], [`Manner`], [`Stamp`] |
//! | a request that owns its parts, or one that an official client sent | [`request::Owned`], [`recorded`] |
//! | bytes out, an answer in | [`http`] |
//! | the real program as a child process | [`program::Program`]; with what most tests want of it, [`server::Server`] |
//! | the service in process, under a clock that stands | [`rig::Rig`] |
//! | a certificate authority | [`Issuer`] |
//! | a network and certificates, made through the API | [`world`] |
//!
//! A crate under test depends on this one for its tests only, though this one depends on it. Cargo allows that; but the
//! crate that unit tests are compiled into is another one than this kit has linked, so that its types do not fit there:
//! what uses the kit is an integration test.
//!
//! Nothing here is in a shipped binary. What is wrong in a harness ends its test: most functions panic.
#![allow(clippy::disallowed_methods, reason = "whoever calls from outside goes by the time of day")]
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what is wrong in a harness ends its test")]

pub mod api;
mod call;
pub mod fixtures;
pub mod http;
mod issuer;
#[cfg(feature = "program")]
pub mod program;
pub mod recorded;
pub mod request;
#[cfg(feature = "rig")]
pub mod rig;
#[cfg(feature = "program")]
pub mod server;
mod versions;
#[cfg(feature = "program")]
pub mod world;

use std::time::Duration;

pub use call::{Call, Caller, Manner, Stamp};
pub use issuer::Issuer;

/// Longest wait for anything that must come.
pub const PATIENCE: Duration = Duration::from_secs(30);
