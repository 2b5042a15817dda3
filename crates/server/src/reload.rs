//! What a running service takes up anew when it is told to (SIGHUP): the certificate and key of its listener, and how
//! much it logs. Everything else takes a restart. (That the audit log is opened anew as well is `audit_log`'s.)
//!
//! All of it is read before anything is changed: a file that is missing or wrong changes nothing, and the log says so.

use std::io::IsTerminal as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

use crate::causes::causes;
use crate::config::{Config, ServeArgs};
use crate::http::{self, Tls};

/// The log, once it is started: what is logged can be changed.
pub(crate) struct Log(Box<dyn Fn(EnvFilter) -> Result<()> + Send>);

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

impl Log {
    /// Starts the log of this process, on standard error.
    ///
    /// # Errors
    /// It was started before.
    pub(crate) fn start(filter: EnvFilter, json: bool) -> Result<Self> {
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        let failed = |error| anyhow!("cannot start the log: {error}");
        let log = if json {
            let builder = builder.json().with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map_err(failed)?;
            Self(Box::new(move |filter| Ok(handle.reload(filter)?)))
        } else {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map_err(failed)?;
            Self(Box::new(move |filter| Ok(handle.reload(filter)?)))
        };
        // Panics go to the log like everything else: in JSON mode every line is an object.
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string);
            tracing::error!(target: "panic", place, text = panic.payload_as_str(), "a panic");
        }));
        Ok(log)
    }
}

/// What is read anew.
struct Anew {
    filter: EnvFilter,
    log: String,
    tls: Option<TlsAcceptor>,
}

impl Anew {
    fn read(args: ServeArgs) -> Result<Self> {
        let config = Config::load(args)?;
        let tls = config.tls.as_ref().map(|(certificate, key)| http::tls(certificate, key)).transpose()?;
        Ok(Self { filter: config.log()?, log: config.log, tls })
    }
}

/// Reads anew what the service was started with, and takes up what may change; or changes nothing, and says why.
pub(crate) async fn reload(args: ServeArgs, tls: Option<&Arc<Tls>>, log: &Log) {
    match take_up(args, tls, log).await {
        Ok(anew) => {
            info!(log = anew.log, tls = tls.is_some(), "read anew: files of TLS, and how much is logged")
        }
        Err(error) => error!(error = causes(&error), "nothing was taken up anew"),
    }
}

async fn take_up(args: ServeArgs, tls: Option<&Arc<Tls>>, log: &Log) -> Result<Anew> {
    let anew = tokio::task::spawn_blocking(move || Anew::read(args)).await;
    let mut anew = anew.context("the reading ended with a panic")??;
    match (tls, anew.tls.take()) {
        (Some(tls), Some(acceptor)) => tls.replace(acceptor),
        (None, None) => {}
        (Some(_), None) | (None, Some(_)) => bail!("TLS is turned on and off by a restart alone"),
    }
    (log.0)(anew.filter.clone())?;
    Ok(anew)
}
