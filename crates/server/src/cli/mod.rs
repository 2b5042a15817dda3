//! The subcommands other than `serve`.

pub mod account;
pub mod audit;
pub mod backup;
pub mod call;
pub mod check;
mod client;
pub mod completions;
pub mod demo;
pub mod limits;
pub mod master_key;
pub mod operations;
mod paint;
pub mod policy;
mod profile;
pub mod status;
pub(crate) mod terminal;
pub mod token_key;
