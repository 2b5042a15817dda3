//! Clearing away, whatever becomes of the test.
//!
//! A janitor is a shell that waits for the end of its standard input: that is when it is dismissed, or when the process
//! that employs it is gone, killed or not. Then it clears away what it was told at the beginning. So there is one way
//! to clear away, and it is the same for tests that end and for tests that are killed. It is in a process group of its
//! own, so that Ctrl-C does not reach it.

use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

/// One that waits. To drop it dismisses it, and waits until all is cleared away.
#[derive(Debug)]
pub(crate) struct Janitor(Child);

impl Janitor {
    /// Employs one with a script for `sh`, and its arguments.
    pub(crate) fn employ(script: &str, arguments: &[&str]) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let script = format!("trap '' HUP INT QUIT TERM\ncat >/dev/null\n{script}");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, "janitor"]).args(arguments).current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().context("no /bin/sh")?))
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
