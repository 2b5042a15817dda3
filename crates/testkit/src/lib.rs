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
//! | `tongguan dev`, with its key and its test API | [`dev::Dev`] |
//! | the service in process, under a clock that stands | [`rig::Rig`] |
//! | a certificate authority | [`Issuer`] |
//! | a network and certificates, made through the API | [`world`] |
//! | to say why a test is not carried out | [`skipped`] |
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
#[cfg(feature = "program")]
pub mod dev;
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

use std::io::Write as _;
use std::time::Duration;

pub use call::{Call, Caller, Manner, Stamp};
pub use issuer::Issuer;

/// Says why a test is not carried out, and counts it: the file that `TONGGUAN_SKIPPED` names has a line for each.
///
/// # Panics
/// `TONGGUAN_JUDGES` is `required`: then whatever tests ask for must be there.
pub fn skipped(why: &str) {
    let required = std::env::var_os("TONGGUAN_JUDGES").is_some_and(|judges| judges == "required");
    assert!(!required, "TONGGUAN_JUDGES is required, and here is {why}");
    // Not as tests print: it is to be seen of those that pass.
    let mut seen = std::io::stderr();
    writeln!(seen, "skipped: {why}").unwrap();
    if let Some(path) = std::env::var_os("TONGGUAN_SKIPPED") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        // In one piece: tests of other processes write as well.
        file.write_all(format!("{why}\n").as_bytes()).unwrap();
    }
}

/// Longest wait for anything that must come.
pub const PATIENCE: Duration = Duration::from_secs(30);
