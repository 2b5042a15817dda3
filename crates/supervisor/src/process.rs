//! The process of a gateway.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tongguan_gateway::{Ends, EndsError};

use crate::namespace::{Namespace, NamespaceError};

/// A gateway was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program cannot be run.
    #[error("the program of the gateway cannot be run")]
    Program(#[source] io::Error),
    /// Its namespace cannot be entered.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// Its ends could not be handed over.
    #[error("what the gateway works with could not be handed over")]
    Ends(#[from] EndsError),
}

/// A gateway's process. It goes on when this is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts `program gateway` in a namespace, with its ends. Its log goes where `log` says.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(program: &Path, namespace: &Namespace, ends: &Ends, log: Stdio) -> Result<Self, StartError> {
        let (ours, theirs) = UnixStream::pair().map_err(StartError::Program)?;
        let mut command = Command::new(program);
        command.arg("gateway").stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(log);
        // It needs nothing of the environment, and what is there may be seen by others of its user.
        let log_level = std::env::var_os("TONGGUAN_LOG");
        command.env_clear().envs(log_level.map(|level| ("TONGGUAN_LOG", level)));
        let child = namespace.enter(|| command.spawn())?.map_err(StartError::Program)?;
        drop(command);
        ends.send(&ours)?;
        Ok(Self(child))
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Kills it, and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }
}
