//! Where the database is that several nodes share, as command line, environment and configuration file say.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use tongguan_rpc::Secret;
use tongguan_store::postgres::hosts::{Access, Hosts};
use tongguan_store::{Options, Store};

use crate::{exit, permissions};

/// Where the database is that several nodes share.
#[derive(Debug, Default, Clone, Args)]
pub(crate) struct DatabaseArgs {
    /// URL of a PostgreSQL database that several nodes share, instead of the embedded store:
    /// postgres://USER@HOST1,HOST2/NAME. Its password can be in TONGGUAN_DATABASE_PASSWORD
    #[arg(long, env = "TONGGUAN_DATABASE", value_name = "URL", hide_env_values = true, global = true)]
    pub database: Option<String>,
    /// File with the password of the database, readable by its owner alone
    #[arg(long, env = "TONGGUAN_DATABASE_PASSWORD_FILE", value_name = "FILE", global = true)]
    pub database_password_file: Option<PathBuf>,
    /// Certificates of the authorities that vouch for the database, PEM [default: those of the platform]
    #[arg(long, env = "TONGGUAN_DATABASE_CA", value_name = "FILE", global = true)]
    pub database_ca: Option<PathBuf>,
}

impl DatabaseArgs {
    /// These, and what they leave open as others say.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            database: self.database.or(others.database),
            database_password_file: self.database_password_file.or(others.database_password_file),
            database_ca: self.database_ca.or(others.database_ca),
        }
    }
}

/// The database that several nodes share.
#[derive(Clone)]
pub(crate) struct Shared {
    url: Secret,
    password: Option<Password>,
    authorities: Option<PathBuf>,
}

/// Where the password is.
#[derive(Debug, Clone)]
enum Password {
    Given(Secret),
    File(PathBuf),
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("password", &self.password)
            .field("authorities", &self.authorities)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// As command line, environment or configuration file say.
    ///
    /// # Errors
    /// A password stands on the command line, or its file is open to others.
    pub(crate) fn new(args: DatabaseArgs) -> Result<Option<Self>> {
        let DatabaseArgs { database, database_password_file, database_ca } = args;
        let Some(url) = database else {
            if database_password_file.is_some() || database_ca.is_some() {
                bail!("database_password_file and database_ca need database (--database)");
            }
            return Ok(None);
        };
        let has_password = url.split_once("://").is_some_and(|(_, rest)| {
            rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) || rest.contains("password=")
        });
        if has_password && std::env::args().any(|argument| argument.contains(&url)) {
            bail!(
                "a password does not belong on a command line, where everybody on the machine reads it: \
                 TONGGUAN_DATABASE_PASSWORD, or --database-password-file"
            );
        }
        let given = std::env::var("TONGGUAN_DATABASE_PASSWORD").ok().filter(|password| !password.is_empty());
        let password = match (given, database_password_file) {
            (Some(_), Some(_)) => bail!("give one of database_password_file and TONGGUAN_DATABASE_PASSWORD"),
            (Some(given), None) => Some(Password::Given(Secret::from(given))),
            (None, file) => file.map(Password::File),
        };
        Ok(Some(Self { url: Secret::from(url), password, authorities: database_ca }))
    }

    /// Whether the URL is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<()> {
        Hosts::parse(self.url.expose(), Access::default()).context(exit::Configuration)?;
        Ok(())
    }

    /// Its hosts.
    ///
    /// # Errors
    /// What is wrong with the URL, the file of the password or that of the authorities.
    pub(crate) fn hosts(&self) -> Result<Hosts> {
        let password = match &self.password {
            None => None,
            Some(Password::Given(password)) => Some(password.clone()),
            Some(Password::File(path)) => {
                let text = permissions::read_secret(path)?;
                Some(Secret::from(text.trim_end_matches(['\n', '\r'])))
            }
        };
        let access = Access {
            password: password.as_ref().map(|password| password.expose().as_bytes()),
            authorities: self.authorities.as_deref(),
        };
        Hosts::parse(self.url.expose(), access).context(exit::Configuration)
    }

    /// The store in it, for the change of a command.
    ///
    /// # Errors
    /// As [`Shared::connect`].
    pub(crate) fn connect_for_a_change(&self) -> Result<Store> {
        self.connect(&of_a_command())
    }

    /// The same, whatever became of its seals.
    ///
    /// # Errors
    /// It cannot be reached, or is of another schema.
    pub(crate) fn connect_as_it_is(&self) -> Result<Store> {
        Ok(Store::connect(self.hosts()?, &of_a_command())?)
    }

    /// The store in it. It has its keys from `tongguan database init`: two that open it at the same time
    /// do not make two of each.
    ///
    /// # Errors
    /// It cannot be reached, is of another schema, or has no keys yet.
    pub(crate) fn connect(&self, options: &Options) -> Result<Store> {
        Self::opened(self.hosts()?, options)
    }

    /// The same of these hosts.
    ///
    /// # Errors
    /// As [`Shared::connect`].
    pub(crate) fn opened(hosts: Hosts, options: &Options) -> Result<Store> {
        let store = Store::connect(hosts, options)?;
        if !store.read(|snapshot| snapshot.rights_sealed())? {
            let said = "the database has no keys and no account yet: `tongguan database init` makes them";
            return Err(anyhow!(said).context(exit::Configuration));
        }
        Ok(store)
    }
}

/// A command makes one change: it takes no lanes from the nodes that it need not have.
fn of_a_command() -> Options {
    Options { lanes: 1, ..Options::default() }
}
