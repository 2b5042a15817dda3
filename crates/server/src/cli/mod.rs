//! The subcommands other than `serve`.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod call;
pub(crate) mod check;
mod client;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod limits;
pub(crate) mod master_key;
pub(crate) mod operations;
mod paint;
pub(crate) mod policy;
mod profile;
pub(crate) mod seal_anew;
pub(crate) mod status;
pub(crate) mod terminal;
pub(crate) mod token_key;
pub(crate) mod tunnel;

use std::path::PathBuf;

use clap::Args;
use tongguan_store::Options;

/// Where the mark is kept, on the command line.
#[derive(Debug, Default, Clone, Args)]
pub(crate) struct MarkArgs {
    /// File with the mark, if it is not kept in the data directory [default: tongguan.mark in the data directory]
    #[arg(long, env = "TONGGUAN_MARK_FILE", value_name = "FILE", global = true)]
    pub mark_file: Option<PathBuf>,
}

impl MarkArgs {
    /// How a store with this mark is opened by a command.
    pub(crate) fn options(&self) -> Options {
        Options { mark_file: self.mark_file.clone(), ..Options::default() }
    }
}
