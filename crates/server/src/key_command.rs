//! The master key from a command, such as the client of a key management service.
//!
//! The command runs without a shell and without the secrets in our environment. Its standard output is the key and
//! is never shown, not even in errors; its standard error is not read, since it may repeat the key.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::master_key::{MasterKey, VARIABLE};

/// For the command to answer.
const TIME: Duration = Duration::from_secs(30);
/// Bytes of output that are read: 64 digits and blanks around them.
const OUTPUT: usize = 256;
/// Variables that the command does not get.
const SECRET_VARIABLES: [&str; 2] = [VARIABLE, "TONGGUAN_ACCESS_KEY_SECRET"];

/// Runs a command and reads the key that it prints.
pub(crate) fn run(command: &[String]) -> Result<MasterKey> {
    run_for(command, TIME)
}

/// In a thread of its own, since the caller may be inside a runtime.
fn run_for(command: &[String], time: Duration) -> Result<MasterKey> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(asked(command, time))).join())
        .map_err(|_| anyhow!("master_key_command: the thread that waited for it died"))?
}

async fn asked(command: &[String], time: Duration) -> Result<MasterKey> {
    let Some((program, arguments)) = command.split_first() else { bail!("master_key_command is empty") };
    let mut start = Command::new(program);
    start.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    for name in SECRET_VARIABLES {
        start.env_remove(name);
    }
    let mut child = start.spawn().with_context(|| format!("master_key_command: cannot run `{program}`"))?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let Ok(ended) = timeout(time, output::<OUTPUT>(&mut child)).await else {
        // With whatever it has started.
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait().await;
        bail!("master_key_command: `{program}` did not end within {} s", time.as_secs());
    };
    let (text, status) =
        ended.with_context(|| format!("master_key_command: cannot read from `{program}`"))?;
    if !status.success() {
        bail!("master_key_command: `{program}` failed ({status}); run it by hand to see why");
    }
    let named = format!("the output of master_key_command (`{program}`)");
    let text = std::str::from_utf8(&text).ok().with_context(|| format!("{named} is not text"))?;
    MasterKey::parse(text, &named)
}

/// What a child prints, `MOST` bytes of it, and how it ends. The buffer does not grow, so that nothing of a secret is
/// left behind in memory.
pub(crate) async fn output<const MOST: usize>(
    child: &mut Child,
) -> std::io::Result<(Zeroizing<Vec<u8>>, ExitStatus)> {
    let mut text = Zeroizing::new(vec![0; MOST]);
    let mut filled = 0;
    if let Some(mut output) = child.stdout.take() {
        while filled < MOST {
            match output.read(&mut text[filled..]).await? {
                0 => break,
                read => filled += read,
            }
        }
    }
    text.truncate(filled);
    Ok((text, child.wait().await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<MasterKey> {
        run_for(&["sh".into(), "-c".into(), script.into()], Duration::from_secs(2))
    }

    #[test]
    fn a_command_gives_the_key_or_an_error_without_its_output() {
        let text = "ab".repeat(32);
        let key = shell(&format!("echo {text}")).unwrap();
        assert!(key.is(&MasterKey::parse(&text, "x").unwrap()));
        for (script, expected) in [
            (format!("echo {text}; echo {text} >&2; exit 3"), "exit status: 3"),
            (format!("echo {text}ab"), "64 hex digits"),
            (format!("exec yes {text}"), "failed (signal"),
            (format!("echo {text}; sleep 60"), "did not end within 2 s"),
            (format!("echo {text}; sleep 60 & exit 0"), "did not end"),
            (r"printf '\377'".to_owned(), "not text"),
        ] {
            let said = format!("{:#}", shell(&script).unwrap_err());
            assert!(said.contains(expected) && !said.contains(&text), "{script}: {said}");
        }
        let said = format!("{:#}", run(&["/no/such/program".into()]).unwrap_err());
        assert!(said.contains("cannot run"), "{said}");
    }
}
