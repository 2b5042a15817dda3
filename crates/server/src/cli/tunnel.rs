//! `tongguan tunnel set-state`: reports what is seen of the far end of a tunnel, whether the service runs or not.
//!
//! The detached data plane has no far ends. What a connection shows as `Status` is what somebody reports here, as a
//! data plane would; nothing that is asked for over the API changes it, but that a tunnel without what it needs goes
//! down.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use tongguan_model::connection::Negotiation;
use tongguan_service::accounts::Order;

use super::MarkArgs;
use super::account::carry_out;
use super::terminal;
use crate::secrets::KeyArgs;

/// Report what is seen of the far end of a tunnel, in place of a data plane. The service may be running
#[derive(Debug, Args)]
pub(crate) struct TunnelArgs {
    #[command(subcommand)]
    command: TunnelCommand,
}

#[derive(Debug, Subcommand)]
enum TunnelCommand {
    /// Set how far the negotiation of a tunnel has come
    SetState(SetStateArgs),
}

/// Set how far the negotiation of a tunnel has come
#[derive(Debug, Args)]
struct SetStateArgs {
    /// Id of a tunnel (tun-), or of a connection (vco-): all of its tunnels
    #[arg(value_name = "ID")]
    id: String,
    /// How far it has come
    #[arg(value_name = "STATE", value_parser = PossibleValuesParser::new(Negotiation::ALL.iter().map(|state| state.as_str())))]
    state: String,
    /// Directory that holds the database
    #[arg(long, env = "TONGGUAN_DATA_DIR", value_name = "DIR", default_value = super::data_directory())]
    data_dir: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    mark: MarkArgs,
}

/// Carries out `tongguan tunnel`.
pub(crate) fn run(args: &TunnelArgs) -> Result<ExitCode> {
    let TunnelCommand::SetState(args) = &args.command;
    let order = Order::SetTunnelState { id: args.id.clone(), state: args.state.clone() };
    carry_out(&args.data_dir, &args.keys, &args.mark, &order)?;
    writeln!(terminal::out(), "{}: {}.", terminal::harmless(&args.id), args.state)?;
    Ok(ExitCode::SUCCESS)
}
