//! `tongguan token-key rotate`: another key for the security tokens of role sessions, whether the service runs or
//! not.
//!
//! The service does it by itself once a day. The command is for a key that may have leaked, together with
//! `--end-sessions`: tokens made with it are worthless afterwards.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use tongguan_service::accounts::Order;

use super::account::carry_out;
use super::place::PlaceArgs;
use super::terminal;
use crate::secrets::KeyArgs;

/// Change the key of security tokens. The service may be running
#[derive(Debug, Args)]
pub(crate) struct TokenKeyArgs {
    #[command(subcommand)]
    command: TokenKeyCommand,
}

#[derive(Debug, Subcommand)]
enum TokenKeyCommand {
    /// Create a new key for security tokens now; otherwise there is a new one once a day
    Rotate(RotateArgs),
}

/// Create a new key for security tokens now; otherwise there is a new one once a day
#[derive(Debug, Args)]
struct RotateArgs {
    /// Delete the existing keys: all role sessions of all accounts end at once
    #[arg(long)]
    end_sessions: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

/// Carries out `tongguan token-key`.
pub(crate) fn run(args: &TokenKeyArgs) -> Result<ExitCode> {
    let TokenKeyCommand::Rotate(args) = &args.command;
    let order = Order::RotateTokenKey { end_sessions: args.end_sessions };
    carry_out(&args.place, &args.keys, &order)?;
    let sessions = if args.end_sessions { "all sessions have ended" } else { "sessions go on" };
    writeln!(terminal::out(), "Security tokens are made with a new key; {sessions}.")?;
    Ok(ExitCode::SUCCESS)
}
