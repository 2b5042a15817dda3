//! `tongguan manual-pages`: manual pages of this command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Command};
use clap_mangen::Man;

/// Write manual pages of all commands into a folder
#[derive(Debug, Args)]
#[command(
    after_help = "man -l DIR/tongguan-serve.1 shows one. Packages put them where `man tongguan` looks."
)]
pub(crate) struct ManualPagesArgs {
    /// Folder that is there; pages of the same names are written anew
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes one page for the program and one for each of its commands, made from the command line itself.
pub(crate) fn run(args: &ManualPagesArgs, command: Command) -> Result<ExitCode> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    write(&command, &args.folder)
        .with_context(|| format!("cannot write into `{}`", args.folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The page of a command, called as it is called, and those of the commands below it.
fn write(command: &Command, folder: &Path) -> std::io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    Man::new(command.clone()).title(name).manual("tongguan").generate_to(folder)?;
    command.get_subcommands().filter(|below| !below.is_hide_set()).try_for_each(|below| write(below, folder))
}
