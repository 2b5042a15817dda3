//! `tongguan`: a self-hosted VPN gateway service that speaks Alibaba Cloud's VPN Gateway API.
#![forbid(unsafe_code)]

mod admin;
mod audit_log;
mod bounds;
mod causes;
mod cli;
mod config;
mod connections;
mod control;
#[cfg(feature = "failpoints")]
mod crash;
mod database;
mod exit;
mod framing;
mod house;
mod http;
mod key_command;
mod master_key;
mod metrics;
mod permissions;
mod pulse;
mod reload;
mod secrets;
mod serve;
mod test_api;
mod x509;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A self-hosted VPN gateway service that speaks Alibaba Cloud's VPN Gateway API.
#[derive(Debug, Parser)]
#[command(name = "tongguan", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API, on the embedded store or on a database that several nodes share.
    Serve(Box<config::ServeArgs>),
    /// Serve a throw-away store to test against, with a known key and the test API.
    Dev(cli::dev::DevArgs),
    /// Take a certificate through its whole lifecycle, in one process, and show every request and answer.
    Demo(cli::demo::DemoArgs),
    /// Sign one operation, send it to any endpoint, and print the answer.
    Call(cli::call::CallArgs),
    /// Pass calls on to an endpoint, and record them with their answers, for `dev --replay`.
    Record(cli::record::RecordArgs),
    /// Make and use a small certificate authority for tests.
    Ca(cli::ca::CaArgs),
    /// Ask a running service whether it can serve.
    Ready(cli::ready::ReadyArgs),
    /// Create, list and disable accounts, and end their sessions. The service may be running.
    Account(cli::account::AccountArgs),
    /// Explain what policies say, and check documents.
    Policy(cli::policy::PolicyArgs),
    /// Make the database that several nodes share, and bring it up.
    Database(cli::database::DatabaseCommandArgs),
    /// Show changes in progress, failures with their reasons, and what expires soon.
    Status(cli::status::StatusArgs),
    /// Verify a database or a backup: structure, relations, values, keys. The service may be running.
    Check(cli::check::CheckArgs),
    /// Show the audit record: every call, granted or refused. The service may be running.
    Audit(cli::audit::AuditArgs),
    /// Copy the database while the service runs, and verify the copy.
    Backup(cli::backup::BackupArgs),
    /// Create a data directory from a backup.
    Restore(cli::backup::RestoreArgs),
    /// Move a store from a data directory into a database that several nodes share, or back.
    Move(cli::relocate::MoveArgs),
    /// Accept a database as it is: seal the rows that confer rights, and the mark, again.
    SealAnew(cli::seal_anew::SealAnewArgs),
    /// Change the master key, which encrypts secrets at rest.
    MasterKey(cli::master_key::MasterKeyArgs),
    /// Change the key that seals security tokens. The service may be running.
    TokenKey(cli::token_key::TokenKeyArgs),
    /// Show how far tunnels are, and why one is down; or set that, where the data plane is detached.
    Tunnel(cli::tunnel::TunnelArgs),
    /// List every operation with its permission.
    Operations(cli::operations::OperationsArgs),
    /// Print completions of commands and options for a shell.
    Completions(cli::completions::CompletionsArgs),
    /// Write manual pages of all commands into a folder.
    ManualPages(cli::manual_pages::ManualPagesArgs),
    /// Show every bound, who can fill it, and whose share is what.
    Limits(cli::limits::LimitsArgs),
    /// Keep the gateways of this host for the service: namespaces, devices, processes. Needs root.
    Supervisor(cli::supervisor::SupervisorArgs),
    /// Run the gateway that is handed over on standard input. For the supervisor; nobody calls it by hand.
    #[command(hide = true)]
    Gateway,
    /// List the points at which TONGGUAN_CRASH_AT ends the process.
    #[cfg(feature = "failpoints")]
    CrashPoints,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error),
    };
    let outcome = match cli.command {
        #[cfg(feature = "failpoints")]
        Command::Serve(args) => crash::arm().and_then(|()| serve(*args)),
        #[cfg(not(feature = "failpoints"))]
        Command::Serve(args) => serve(*args),
        Command::Dev(args) => runtime().and_then(|runtime| runtime.block_on(cli::dev::run(args))),
        Command::Ca(args) => cli::ca::run(&args),
        Command::Demo(args) => runtime().and_then(|runtime| runtime.block_on(cli::demo::run(args))),
        Command::Call(args) => runtime().and_then(|runtime| runtime.block_on(cli::call::run(args))),
        Command::Record(args) => runtime().and_then(|runtime| runtime.block_on(cli::record::run(args))),
        Command::Ready(args) => runtime().and_then(|runtime| runtime.block_on(cli::ready::run(args))),
        Command::Account(args) => cli::account::run(&args),
        Command::Policy(args) => cli::policy::run(&args),
        Command::Database(args) => cli::database::run(args),
        Command::Status(args) => cli::status::run(&args),
        Command::Check(args) => cli::check::run(&args),
        Command::Audit(args) => runtime().and_then(|runtime| runtime.block_on(cli::audit::run(args))),
        Command::Backup(args) => cli::backup::backup(&args),
        Command::Restore(args) => cli::backup::restore(&args),
        Command::Move(args) => cli::relocate::run(&args),
        Command::SealAnew(args) => cli::seal_anew::run(&args),
        #[cfg(feature = "failpoints")]
        Command::MasterKey(args) => crash::arm().and_then(|()| cli::master_key::run(&args)),
        #[cfg(not(feature = "failpoints"))]
        Command::MasterKey(args) => cli::master_key::run(&args),
        Command::TokenKey(args) => cli::token_key::run(&args),
        Command::Tunnel(args) => cli::tunnel::run(&args),
        Command::Operations(args) => cli::operations::run(&args),
        Command::Completions(args) => cli::completions::run(&args, Cli::command()),
        Command::ManualPages(args) => cli::manual_pages::run(&args, Cli::command()),
        Command::Limits(args) => cli::limits::run(&args),
        Command::Supervisor(args) => cli::supervisor::run(args),
        Command::Gateway => gateway(),
        #[cfg(feature = "failpoints")]
        Command::CrashPoints => crash::list(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            cli::terminal::complain(&error);
            exit::code(&error)
        }
    }
}

/// Help, or a wrong command line. A setting of the service with a wrong value is a wrong configuration, wherever it
/// stands.
fn misunderstood(error: &clap::Error) -> ExitCode {
    // Nobody reads it.
    let _ = error.print();
    let of_service = std::env::args_os().nth(1).is_some_and(|command| command == "serve");
    match error.kind() {
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if of_service => {
            ExitCode::from(exit::CONFIGURATION)
        }
        _ if error.exit_code() == 0 => ExitCode::SUCCESS,
        _ => ExitCode::from(exit::USAGE),
    }
}

fn serve(args: config::ServeArgs) -> anyhow::Result<ExitCode> {
    small_pages();
    serve::run(args)
}

/// The process of one gateway. Its log goes to standard error.
fn gateway() -> anyhow::Result<ExitCode> {
    small_pages();
    let level = std::env::var("TONGGUAN_LOG").unwrap_or_else(|_| "info".to_owned());
    let _log = reload::Log::start(tracing_subscriber::EnvFilter::new(level), false)?;
    match tongguan_gateway::run()? {}
}

/// No transparent huge pages: each part of the allocator would take 2 MiB at the first touch, half of what a service at
/// rest holds (docs/performance.md). The allocator is built not to ask for them; this is for kernels that give them
/// to everybody, and comes before there are threads, since each has its part.
fn small_pages() {
    // Where the kernel knows none, there is nothing to turn off.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
