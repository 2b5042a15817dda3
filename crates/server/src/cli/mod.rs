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
pub mod seal_anew;
pub mod status;
pub(crate) mod terminal;
pub mod token_key;

use std::path::PathBuf;

use clap::Args;
use tongguan_store::Options;

/// Where the mark is kept, on the command line.
#[derive(Debug, Default, Clone, Args)]
pub struct MarkArgs {
    /// File with the mark, if it is not kept in the data directory [default: tongguan.mark in the data directory]
    #[arg(long, env = "TONGGUAN_MARK_FILE", value_name = "FILE", global = true)]
    pub mark_file: Option<PathBuf>,
}

impl MarkArgs {
    /// How a store with this mark is opened by a command.
    pub fn options(&self) -> Options {
        Options { mark_file: self.mark_file.clone(), ..Options::default() }
    }
}
