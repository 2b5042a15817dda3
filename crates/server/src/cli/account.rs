//! `tongguan account`: makes, lists and stops accounts and ends their sessions, whether the service runs or not.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::json;
use tongguan_service::accounts::{self, Order, Whose};
use tongguan_service::context::iso8601;
use tongguan_store::{DATABASE_FILE, Territory, look, serving};

use super::place::{PlaceArgs, now_ms};
use super::terminal::{self, columns, harmless};
use crate::control::{self, Outcome};
use crate::secrets::KeyArgs;

/// Create, list and disable accounts, and end their sessions. The service may be running
#[derive(Debug, Args)]
pub(crate) struct AccountArgs {
    #[command(subcommand)]
    command: AccountCommand,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    keys: KeyArgs,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum AccountCommand {
    /// Make an account with an access key of its own, and show the key this once
    Create {
        /// A name, for people
        #[arg(default_value = "")]
        name: String,
        /// Id of the account: sixteen decimal digits. A new one by default
        #[arg(long, value_name = "ID")]
        account_id: Option<String>,
    },
    /// List the accounts
    List,
    /// Refuse all keys of an account and end its sessions. What it has stays as it is
    Disable {
        /// Id of the account
        id: String,
    },
    /// Accept the keys of an account again. Sessions that ended stay so
    Enable {
        /// Id of the account
        id: String,
    },
    /// End the role sessions created so far, and those derived from them, from the next call on. Later ones are not
    /// touched
    EndSessions {
        /// Id of the account. Without --user and --role: all sessions of its roles, and all that its users made, also
        /// of roles elsewhere
        id: String,
        /// Only those that this user created
        #[arg(long, value_name = "NAME", conflicts_with = "role")]
        user: Option<String>,
        /// Only those of this role
        #[arg(long, value_name = "NAME")]
        role: Option<String>,
    },
}

/// Carries out `tongguan account`.
pub(crate) fn run(args: &AccountArgs) -> Result<ExitCode> {
    let order = match &args.command {
        AccountCommand::List => return list(args),
        AccountCommand::Create { name, account_id } => {
            Order::Create { name: name.clone(), id: account_id.clone() }
        }
        AccountCommand::Disable { id } => Order::Disable { id: id.clone() },
        AccountCommand::Enable { id } => Order::Enable { id: id.clone() },
        AccountCommand::EndSessions { id, user, role } => {
            let of = match (user, role) {
                (Some(name), _) => Whose::User(name.clone()),
                (None, Some(name)) => Whose::Role(name.clone()),
                (None, None) => Whose::Account,
            };
            Order::EndSessions { id: id.clone(), of }
        }
    };
    let outcome = carry_out(&args.place, &args.keys, &order)?;
    let account = outcome.account.unwrap_or_default();
    let mut out = terminal::out();
    match (&outcome.key, args.json) {
        (Some(key), true) => {
            let text = json!({"AccountId": account, "AccessKeyId": key.id,
                "AccessKeySecret": key.secret.as_str()});
            out.json(&text)?;
        }
        (Some(key), false) => {
            writeln!(out, "ALIBABA_CLOUD_ACCOUNT_ID={}", account)?;
            writeln!(out, "ALIBABA_CLOUD_ACCESS_KEY_ID={}", key.id)?;
            writeln!(out, "ALIBABA_CLOUD_ACCESS_KEY_SECRET={}", key.secret.as_str())?;
        }
        (None, true) => out.json(&json!({"AccountId": account}))?,
        (None, false) => writeln!(out, "{}", account)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// By the service, if one runs on the data directory; else on the database itself. Nodes of a shared database find
/// there what was done, with the next call.
pub(super) fn carry_out(place: &PlaceArgs, keys: &KeyArgs, order: &Order) -> Result<Outcome> {
    if place.shared()?.is_none() {
        let there = look(&place.data_dir)? == Territory::Ours && place.data_dir.join(DATABASE_FILE).exists();
        if there && serving(&place.data_dir).is_some() {
            return control::order(&place.data_dir, order.clone());
        }
    }
    let (store, vault) = place.open(keys)?;
    let done = accounts::carry_out(&store, &vault, order, now_ms(&store)?).context("nothing was changed")?;
    Ok(done.into())
}

fn list(args: &AccountArgs) -> Result<ExitCode> {
    let archive = args.place.look_at_rows()?;
    let accounts = archive.read(|snapshot| snapshot.accounts())?;
    let mut out = terminal::out();
    if args.json {
        let rows: Vec<_> = accounts
            .iter()
            .map(|account| {
                json!({"AccountId": account.id.as_str(), "Name": account.name,
                    "Status": status(account.active), "CreateTime": iso8601(account.created_ms),
                    "Users": account.users, "VpnGateways": account.gateways})
            })
            .collect();
        out.json(&json!(rows))?;
        return Ok(ExitCode::SUCCESS);
    }
    let headings = ["ACCOUNT", "STATUS", "CREATED", "USERS", "GATEWAYS", "NAME"].map(str::to_owned).to_vec();
    let rows = accounts.iter().map(|account| {
        vec![
            account.id.as_str().to_owned(),
            status(account.active).to_owned(),
            iso8601(account.created_ms),
            account.users.to_string(),
            account.gateways.to_string(),
            harmless(&account.name),
        ]
    });
    out.text(&columns(std::iter::once(headings).chain(rows), &[3, 4]))?;
    Ok(ExitCode::SUCCESS)
}

fn status(active: bool) -> &'static str {
    if active { "Active" } else { "Disabled" }
}
