//! The master key from a command, such as the client of a key management service.
//!
//! The command runs without a shell and without the secrets in our environment. Its standard output is the key and
//! is never shown, not even in errors; its standard error is not read, since it may repeat the key.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
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

fn run_for(command: &[String], time: Duration) -> Result<MasterKey> {
    let Some((program, arguments)) = command.split_first() else { bail!("master_key_command is empty") };
    let begun = Instant::now();
    let mut start = Command::new(program);
    start.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    for name in SECRET_VARIABLES {
        start.env_remove(name);
    }
    let mut child = start.spawn().with_context(|| format!("master_key_command: cannot run `{program}`"))?;
    let mut output = child.stdout.take().context("master_key_command: no output")?;
    let (sender, receiver) = mpsc::channel();
    // Reading has no time limit of its own. The thread ends with the last process that holds the pipe.
    std::thread::spawn(move || {
        let mut text = Zeroizing::new([0_u8; OUTPUT]);
        let mut filled = 0;
        while filled < OUTPUT {
            match output.read(&mut text[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // Nobody waits any more if it took too long.
        let _ = sender.send((text, filled));
    });
    let outcome = receiver.recv_timeout(time).ok().zip(ended(&mut child, begun + time));
    let Some(((text, filled), status)) = outcome else {
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait();
        bail!("master_key_command: `{program}` did not end within {} s", time.as_secs());
    };
    if !status.success() {
        bail!("master_key_command: `{program}` failed ({status}); run it by hand to see why");
    }
    let named = format!("the output of master_key_command (`{program}`)");
    let text = std::str::from_utf8(&text[..filled]).ok().with_context(|| format!("{named} is not text"))?;
    MasterKey::parse(text, &named)
}

fn ended(child: &mut Child, until: Instant) -> Option<std::process::ExitStatus> {
    const PAUSE: Duration = Duration::from_millis(5);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(PAUSE),
            Ok(None) | Err(_) => return None,
        }
    }
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
