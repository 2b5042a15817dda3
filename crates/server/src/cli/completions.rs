//! `tongguan completions`: completions of this command line for a shell.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

use super::terminal;

/// Print completions of commands and options for a shell
#[derive(Debug, Args)]
#[command(after_help = "bash:  source <(tongguan completions bash)\n\
    zsh:   tongguan completions zsh > \"${fpath[1]}/_tongguan\"\n\
    fish:  tongguan completions fish > ~/.config/fish/completions/tongguan.fish\n\
    `make install` puts them where the shells look.")]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Which,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script for one shell, made from the command line itself.
pub(crate) fn run(args: &CompletionsArgs, mut command: Command) -> Result<ExitCode> {
    let shell = match args.shell {
        Which::Bash => Shell::Bash,
        Which::Zsh => Shell::Zsh,
        Which::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut command, "tongguan", &mut script);
    terminal::out().bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}
