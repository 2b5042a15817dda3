//! The subcommands other than `serve`.

pub mod account;
pub mod audit;
pub mod backup;
pub mod call;
pub mod check;
mod client;
pub mod demo;
pub mod master_key;
pub mod operations;
mod paint;
pub mod policy;
mod profile;
pub mod status;
pub mod token_key;

use std::io::Write as _;

/// Prints an error with its causes on standard error.
pub fn complain(error: &anyhow::Error) {
    // Nothing is left to do if standard error is gone.
    let _ = writeln!(std::io::stderr(), "tongguan: {error:#}");
}
