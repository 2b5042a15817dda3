//! The operator's access to a running service: a socket in the data directory that only its owner can open.
//!
//! One request per connection: a line of JSON, answered by a line of JSON. It carries secrets (the key of a new
//! account), so it never leaves the machine; the socket's file mode is the only access control.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tongguan_service::Service;
use tongguan_service::accounts::{Done, Order};
use tongguan_service::tunnels::TunnelReport;
use tracing::{debug, warn};
use zeroize::Zeroizing;

use crate::causes::causes;

/// Name of the socket inside a data directory.
pub(crate) const SOCKET: &str = "control.sock";
/// Bytes of a request at most.
const REQUEST_BYTES: u64 = 16 * 1024;
/// Bytes of an answer at most: hundred thousand tunnels.
const ANSWER_BYTES: u64 = 64 << 20;
/// How long a request may take.
const TIME: Duration = Duration::from_secs(30);

/// What is asked of a running service.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Question {
    /// To do something.
    Order(Order),
    /// How tunnels are: all, or those that an id names.
    Tunnels(Option<String>),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply {
    /// It was done.
    Done(Outcome),
    /// So they are.
    Tunnels(Vec<TunnelReport>),
}

/// What was done, as it goes over the socket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The account that the order was about.
    pub account: Option<String>,
    /// The key of a new account.
    pub key: Option<KeyPair>,
}

/// An access key with its secret.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeyPair {
    /// Access key id.
    pub id: String,
    /// Its secret.
    pub secret: Zeroizing<String>,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("id", &self.id).finish_non_exhaustive()
    }
}

impl From<Done> for Outcome {
    fn from(done: Done) -> Self {
        match done {
            Done::Created(key) => Self {
                account: Some(key.account.to_string()),
                key: Some(KeyPair { id: key.id, secret: Zeroizing::new(key.secret.expose().to_owned()) }),
            },
            Done::Switched(account) => Self { account: Some(account.to_string()), key: None },
            Done::Observed(account) => Self { account: Some(account.to_string()), key: None },
            Done::TokenKey(_) => Self { account: None, key: None },
        }
    }
}

/// A socket's address that does not depend on how long the directory's name is: addresses hold 108 bytes.
struct Address {
    _directory: std::fs::File,
    path: PathBuf,
}

fn address(data_dir: &Path) -> Result<Address> {
    address_by(Path::new("/proc/self/fd"), data_dir)
}

/// By the directory of this process's open files.
fn address_by(open_files: &Path, data_dir: &Path) -> Result<Address> {
    if !open_files.exists() {
        bail!(
            "there is no `{}`, which the control socket is reached by: mount /proc (mount -t proc proc /proc)",
            open_files.display()
        );
    }
    let directory = std::fs::File::open(data_dir)
        .with_context(|| format!("cannot open directory `{}`", data_dir.display()))?;
    let path = open_files.join(directory.as_raw_fd().to_string()).join(SOCKET);
    Ok(Address { _directory: directory, path })
}

/// Opens the socket. The caller holds the lock of the data directory: what stands there is left over.
pub(crate) fn bind(data_dir: &Path) -> Result<UnixListener> {
    let address = address(data_dir)?;
    let failed = || format!("cannot make the control socket in `{}`", data_dir.display());
    match std::fs::remove_file(&address.path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(failed),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&address.path).with_context(failed)?;
    let owner_only = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&address.path, owner_only).with_context(failed)?;
    Ok(listener)
}

/// Answers until the task is dropped.
pub(crate) async fn listen(listener: UnixListener, service: Arc<Service>) {
    // Dropping the set, when this task is ended, ends the connections.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = Arc::clone(&service);
                connections.spawn(async move {
                    match tokio::time::timeout(TIME, serve(stream, service)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => debug!(%error, "a control connection ended"),
                        Err(_) => debug!("a control connection took too long"),
                    }
                });
            }
            Err(error) => {
                const PAUSE: Duration = Duration::from_millis(50);
                warn!(%error, "cannot accept a control connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, service: Arc<Service>) -> Result<()> {
    // Whoever connected before the socket had its mode.
    let (caller, own) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    if caller != own && caller != 0 {
        bail!("user {caller} may not use the control socket");
    }
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    tokio::io::BufReader::new(reader.take(REQUEST_BYTES)).read_line(&mut line).await?;
    let answer = match serde_json::from_str(&line)? {
        Question::Order(order) => {
            let done = tokio::task::spawn_blocking(move || anyhow::Ok(Outcome::from(service.order(&order)?)));
            done.await?.map(Reply::Done)
        }
        Question::Tunnels(id) => service.tunnels(id.as_deref()).await.map(Reply::Tunnels).map_err(Into::into),
    };
    let answer = answer.map_err(|error| causes(&error));
    let mut text = Zeroizing::new(serde_json::to_vec(&answer)?);
    text.push(b'\n');
    writer.write_all(&text).await?;
    Ok(())
}

/// Whether a service listens on the control socket in this data directory.
pub(crate) fn answers(data_dir: &Path) -> bool {
    let reached =
        address(data_dir).map(|address| std::os::unix::net::UnixStream::connect(&address.path).is_ok());
    reached.unwrap_or(false)
}

/// Has the service that runs on this data directory carry out an order.
///
/// # Errors
/// It cannot be reached, or refuses.
pub(crate) fn order(data_dir: &Path, order: Order) -> Result<Outcome> {
    match ask(data_dir, &Question::Order(order))? {
        Reply::Done(outcome) => Ok(outcome),
        Reply::Tunnels(_) => bail!("the service answers another question"),
    }
}

/// Asks the service that runs on this data directory how tunnels are: all, or those that an id names.
///
/// # Errors
/// It cannot be reached, or its store fails.
pub(crate) fn tunnels(data_dir: &Path, id: Option<&str>) -> Result<Vec<TunnelReport>> {
    match ask(data_dir, &Question::Tunnels(id.map(str::to_owned)))? {
        Reply::Tunnels(tunnels) => Ok(tunnels),
        Reply::Done(_) => bail!("the service answers another question"),
    }
}

fn ask(data_dir: &Path, question: &Question) -> Result<Reply> {
    let address = address(data_dir)?;
    let mut stream = std::os::unix::net::UnixStream::connect(&address.path)
        .with_context(|| format!("cannot reach the service that runs on `{}`", data_dir.display()))?;
    stream.set_read_timeout(Some(TIME))?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Zeroizing::new(String::new());
    BufReader::new(stream.take(ANSWER_BYTES)).read_line(&mut answer)?;
    if answer.is_empty() {
        bail!("the service ended before it answered");
    }
    serde_json::from_str::<Result<Reply, String>>(&answer)?.map_err(|error| anyhow!(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_proc_is_named() {
        let directory = tempfile::tempdir().unwrap();
        assert!(address(directory.path()).is_ok());
        let said =
            address_by(Path::new("/no/such/proc/self/fd"), directory.path()).err().unwrap().to_string();
        assert!(said.contains("/no/such/proc/self/fd") && said.contains("mount /proc"), "{said}");
    }
}
