//! `tongguan database`: makes the database that several nodes share, and brings it up.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use tongguan_service::clock::Reading;
use tongguan_service::context::{Clock as _, SystemClock};
use tongguan_service::{audit, keyring, master, rights};
use tongguan_store::{DatabaseState, Options, Store};

use super::terminal;
use crate::database::{DatabaseArgs, Shared};
use crate::exit;
use crate::secrets::{self, KeyArgs};

/// Make the database that several nodes share, and bring it up
#[derive(Debug, Args)]
pub(crate) struct DatabaseCommandArgs {
    #[command(subcommand)]
    command: DatabaseCommand,
}

#[derive(Debug, Subcommand)]
enum DatabaseCommand {
    /// Make the schema in an empty database, the keys of the service's own, and the first account with its AccessKey
    Init(InitArgs),
    /// Bring the schema up to this release's
    Upgrade(WhereArgs),
    /// Say of which schema the database is, which nodes use it, and whether it can be written
    Status(WhereArgs),
}

/// Where the database is.
#[derive(Debug, Args)]
struct WhereArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// How a database begins.
#[derive(Debug, Args)]
struct InitArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    keys: KeyArgs,
    /// Folder in which the secret of the first AccessKey is kept, for this account alone
    #[arg(long, env = "TONGGUAN_DATA_DIR", value_name = "DIR", default_value = super::data_directory())]
    data_dir: PathBuf,
}

/// Carries out `tongguan database`.
pub(crate) fn run(args: DatabaseCommandArgs) -> Result<ExitCode> {
    match args.command {
        DatabaseCommand::Init(args) => init(args),
        DatabaseCommand::Upgrade(args) => upgrade(args.database),
        DatabaseCommand::Status(args) => status(args.database),
    }
}

fn given(args: DatabaseArgs) -> Result<Shared> {
    let shared = Shared::new(args).context(exit::Configuration)?;
    shared.ok_or_else(|| {
        anyhow!("which database (--database URL, or TONGGUAN_DATABASE)?").context(exit::Configuration)
    })
}

/// Makes what is not there yet: whatever was cut short goes on where it was.
fn init(args: InitArgs) -> Result<ExitCode> {
    let shared = given(args.database)?;
    let source = args.keys.source()?.ok_or_else(|| {
        anyhow!("nodes share one master key: --master-key-file, --master-key-command or TONGGUAN_MASTER_KEY")
            .context(exit::Configuration)
    })?;
    let mut out = terminal::out();
    if Store::make(shared.hosts()?)? {
        writeln!(out, "the schema was made")?;
    }
    let store = Store::connect(shared.hosts()?, &Options::default())?;
    let vault = secrets::open(&args.data_dir, &source, &store)?.vault()?;
    let now_ms = Reading::of(&store)?.map_or_else(|| SystemClock.now_ms(), |reading| reading.database_ms);
    rights::open(&store, &vault, now_ms)?;
    master::remember(&store, &vault, now_ms)?;
    audit::seal(&store, &vault, now_ms)?;
    if store.read(|snapshot| snapshot.has_access_keys())? {
        writeln!(out, "the database is ready: it has accounts already")?;
        return Ok(ExitCode::SUCCESS);
    }
    let key = keyring::new_root_key(keyring::new_account_id());
    std::fs::create_dir_all(&args.data_dir)?;
    let path = secrets::write_root_key(&args.data_dir, &key)?;
    if !keyring::make_first(&store, &vault, &key, now_ms)? {
        bail!(
            "somebody else has made the first account in the same moment: the AccessKey in {} is none",
            path.display()
        );
    }
    writeln!(out, "the database is ready: account {}, AccessKey {}", key.account, key.id)?;
    writeln!(out, "its secret is kept in {}, readable by you alone", path.display())?;
    Ok(ExitCode::SUCCESS)
}

fn upgrade(args: DatabaseArgs) -> Result<ExitCode> {
    let shared = given(args)?;
    let done = Store::make(shared.hosts()?)?;
    let DatabaseState { schema, newest, .. } = Store::look(shared.hosts()?)?;
    let said = match (done, schema > newest) {
        (true, _) => "the schema was brought up".to_owned(),
        (false, false) => "the schema is this release's already".to_owned(),
        (false, true) => {
            format!("the schema is that of a newer release ({schema}), and this one may serve on it")
        }
    };
    writeln!(terminal::out(), "{said}")?;
    Ok(ExitCode::SUCCESS)
}

fn status(args: DatabaseArgs) -> Result<ExitCode> {
    let state = Store::look(given(args)?.hosts()?)?;
    let mut out = terminal::out();
    writeln!(out, "primary    {} (timeline {})", state.host, state.timeline)?;
    writeln!(out, "schema     {} (this release: {})", state.schema, state.newest)?;
    if state.schema > state.newest {
        let may = if state.serves { "may serve on it" } else { "may not serve on it" };
        writeln!(out, "           for releases of schema {} and newer: this one {may}", state.oldest)?;
    }
    if state.serves {
        writeln!(out, "lanes      {} of {} are taken", state.taken, state.lanes)?;
    }
    Ok(if state.serves { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
