//! The subcommands other than `serve`.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod ca;
pub(crate) mod call;
pub(crate) mod check;
mod client;
pub(crate) mod completions;
pub(crate) mod database;
pub(crate) mod demo;
pub(crate) mod dev;
mod exchange;
mod init;
pub(crate) mod limits;
pub(crate) mod manual_pages;
pub(crate) mod master_key;
pub(crate) mod operations;
mod paint;
pub(crate) mod place;
pub(crate) mod policy;
mod profile;
pub(crate) mod ready;
pub(crate) mod record;
pub(crate) mod relocate;
pub(crate) mod seal_anew;
pub(crate) mod status;
pub(crate) mod supervisor;
pub(crate) mod terminal;
pub(crate) mod token_key;
pub(crate) mod tunnel;
mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;

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

/// Where the unit and the packages keep the data.
const INSTALLED: &str = "/var/lib/tongguan";

/// The data directory of a command that is given none: `data` in the current folder; where that is not there, the
/// installed service's.
pub(crate) fn data_directory() -> &'static str {
    if !Path::new("data").exists() && Path::new(INSTALLED).is_dir() { INSTALLED } else { "data" }
}

/// A time as people write it: `250ms`, `10s`, `1m 30s`, `40d`. A day has 24 hours.
///
/// # Errors
/// It is something else, is below zero, or has months or years, which are of no fixed length.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    tongguan_dataplane::duration(text)
        .ok_or_else(|| format!("`{text}` is no time such as 250ms, 10s, 1m 30s or 40d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Restoring is no reading: it makes a folder where it is told to, or here.
    #[test]
    fn every_command_but_restore_finds_the_installed_service() {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli")];
        let mut texts = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    texts.push((
                        path.file_name().unwrap().to_owned(),
                        std::fs::read_to_string(&path).unwrap(),
                    ));
                }
            }
        }
        let literal = concat!("default_value = ", "\"data\"");
        let with: Vec<_> =
            texts.into_iter().filter(|(_, text)| text.contains(literal)).map(|(name, _)| name).collect();
        assert_eq!(with, ["backup.rs"]);
    }
}
