//! `tongguan record`: passes calls on to an endpoint and writes each down with its answer, for `tongguan dev --replay`.
//!
//! It is a proxy on a loopback address that holds no key: clients sign for themselves, and what they have signed is
//! passed on as it is ([`proxy`]). The recording is a file of JSON lines ([`tongguan_service::replay`]) without secrets
//! ([`veil`]). A pair is in the file, and on the disk, before its client gets the answer; a recorder that is killed
//! leaves whole lines, or part of a last one, which readers leave out.

mod proxy;
mod veil;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;
use tongguan_service::replay::{FORM, Heading, Pair, Recording};

use self::proxy::Recorder;
use super::client::{Channel, Endpoint, Trust};
use super::dev::{Ends, free};
use super::terminal::{self, harmless_json};
use crate::config::is_loopback;
use crate::exit;

/// Where it listens unless somebody says otherwise, or the port is taken.
const LISTEN: &str = "127.0.0.1:8082";

const AFTER_HELP: &str = "\
Clients are given the address that it prints as their endpoint, and sign with their own keys:
TONGGUAN_ENDPOINT for `tongguan call`. Signatures of V3 and V4 cover the host that the client was
given. Where the endpoint insists on its own name, give clients the endpoint with the protocol
HTTP, and the recorder as their HTTP proxy:
  http_proxy=http://127.0.0.1:8082 python test.py

A recording has no secrets: keys, tokens, signatures, pre-shared keys and private keys are left
out or `***`, in requests and in answers. `tongguan dev --replay FILE` answers from it
(docs/test-api.md).

Exit code: 0 ended by a signal, 74 the recording cannot be written, 78 wrong options, or no
recording to append to.";

/// Pass calls on to an endpoint, and record them with their answers
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RecordArgs {
    /// Where calls go: HOST:PORT or a URL; HTTPS unless it is a loopback address
    #[arg(long, value_name = "ENDPOINT")]
    to: String,
    /// The recording; it must not be there yet
    #[arg(long, value_name = "FILE", default_value = "recording.jsonl")]
    file: PathBuf,
    /// Go on with a recording of the same endpoint that is there
    #[arg(long)]
    append: bool,
    /// Loopback address and port; port 0 selects a free one [default: 127.0.0.1:8082, a free port if that is taken]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Trust the certificates in this file, PEM, and no others: a private CA, or the server's own, self-signed one
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Use HTTP to the endpoint
    #[arg(long)]
    insecure: bool,
    /// Print one line of JSON: endpoint, to, file, pid
    #[arg(long)]
    json: bool,
    /// End when standard input ends, beside SIGINT, SIGTERM and SIGHUP: when the test that started it is gone
    #[arg(long)]
    until_eof: bool,
}

/// Carries out `tongguan record`, until SIGINT, SIGTERM or SIGHUP, or until the recording cannot be written.
///
/// # Errors
/// It cannot listen, or cannot write the recording.
pub(crate) async fn run(args: RecordArgs) -> Result<ExitCode> {
    let mut ends = Ends::new(args.until_eof)?;
    let to = Endpoint::parse(&args.to, args.insecure).context("--to").context(exit::Configuration)?;
    let listen = args.listen.clone().unwrap_or_else(|| free(LISTEN));
    if !is_loopback(&listen) {
        let said =
            "--listen is for a loopback address: whoever reaches the recorder could have it pass on calls";
        return Err(anyhow!(said).context(exit::Configuration));
    }
    let trust = args.ca.clone().map_or(Trust::Platform, Trust::Only);
    let channel = Channel::new(to.clone(), &trust).context(exit::Configuration)?;
    let listener = TcpListener::bind(&listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {listen} (--listen)"))?;
    let own = listener.local_addr()?;
    let output = Output::open(&args.file, &to.to_string(), args.append)?;
    let recorder = Arc::new(Recorder::new(channel, to.clone(), own, output));
    say(&args, &to, &own.to_string())?;
    let outcome = proxy::listen(listener, &recorder, ends.next()).await;
    let (pairs, others) = recorder.counts();
    terminal::tell(&format!(
        "{pairs} calls recorded in `{}`, {others} passed on and not recorded",
        args.file.display()
    ));
    outcome.with_context(|| format!("cannot write `{}`", args.file.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Says where it is.
fn say(args: &RecordArgs, to: &Endpoint, own: &str) -> Result<()> {
    let mut out = terminal::out();
    if args.json {
        let place = json!({
            "endpoint": own, "to": to.to_string(), "file": args.file, "pid": std::process::id(),
        });
        writeln!(out, "{}", harmless_json(&place.to_string()))?;
    } else {
        writeln!(
            out,
            "# Calls to this endpoint go to {to} and are recorded, until Ctrl-C. In a second shell:"
        )?;
        writeln!(out, "export TONGGUAN_ENDPOINT='{own}'")?;
    }
    Ok(out.flush()?)
}

/// The file of a recording, which nobody else writes.
#[derive(Debug)]
struct Output {
    file: File,
    /// Bytes of whole lines.
    bytes: u64,
}

impl Output {
    /// Begins a recording, or goes on with one.
    fn open(path: &Path, of: &str, append: bool) -> Result<Self> {
        let failed = || format!("cannot write `{}`", path.display());
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let file = match (append, path.exists()) {
            (false, true) => {
                let said = format!("`{}` is there already: --append goes on with it", path.display());
                return Err(anyhow!(said).context(exit::Configuration));
            }
            (true, true) => options.open(path),
            (_, false) => options.create_new(true).open(path),
        };
        let mut file = file.with_context(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let said = format!("another process records in `{}`", path.display());
                return Err(anyhow!(said).context(exit::Configuration));
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(failed)?;
        let mut output = Self { file, bytes: 0 };
        if text.is_empty() {
            let heading = Heading { tongguan_recording: FORM, of: of.to_owned() };
            output.line(&heading).with_context(failed)?;
            return Ok(output);
        }
        let read = Recording::read(&text).map_err(anyhow::Error::new).and_then(|recording| {
            ensure!(recording.heading.of == of, "it is a recording of {}", recording.heading.of);
            Ok(recording.whole)
        });
        let whole = read.with_context(|| format!("`{}`", path.display())).context(exit::Configuration)?;
        output.bytes = whole as u64;
        output.cut().with_context(failed)?;
        Ok(output)
    }

    /// Writes a pair, and returns when it is on the disk.
    fn keep(&mut self, pair: &Pair) -> io::Result<()> {
        self.line(pair)
    }

    fn line(&mut self, what: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        match self.file.write_all(&line).and_then(|()| self.file.sync_data()) {
            Ok(()) => {
                self.bytes += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Part of a line may be there. If that cannot be taken away either, readers leave it out.
                let _ = self.cut();
                Err(error)
            }
        }
    }

    /// Leaves whole lines alone.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.bytes)?;
        self.file.seek(SeekFrom::Start(self.bytes)).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Pair {
        serde_json::from_value(json!({
            "time": "2026-11-29T12:00:00Z", "version": "2016-04-28", "action": "DescribeVpcs", "parameters": {},
            "format": "json", "status": 200, "body": "{\n}",
        }))
        .unwrap()
    }

    #[test]
    fn a_recording_is_gone_on_with_after_its_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut output = Output::open(&path, "http://a", false).unwrap();
        let busy = Output::open(&path, "http://a", true).unwrap_err();
        assert!(busy.downcast_ref::<exit::Configuration>().is_some());
        assert!(format!("{busy:#}").contains("another process"), "{busy:#}");
        output.keep(&pair()).unwrap();
        // As if it had been killed while it wrote.
        output.file.write_all(b"{\"time\":\"20").unwrap();
        drop(output);
        let mut output = Output::open(&path, "http://a", true).unwrap();
        output.keep(&pair()).unwrap();
        drop(output);
        let recording = Recording::read(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(recording.pairs, [(2, pair()), (3, pair())]);
        for (of, append, told) in
            [("http://a", false, "--append"), ("http://b", true, "a recording of http://a")]
        {
            let error = format!("{:#}", Output::open(&path, of, append).unwrap_err());
            assert!(error.contains(told), "{error}");
        }
        std::fs::write(&path, "not a recording\n").unwrap();
        assert!(format!("{:#}", Output::open(&path, "http://a", true).unwrap_err()).contains("line 1"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "not a recording\n");
        // What is to be gone on with may not have begun.
        let other = folder.path().join("b.jsonl");
        drop(Output::open(&other, "http://a", true).unwrap());
        assert!(Recording::read(&std::fs::read_to_string(&other).unwrap()).unwrap().pairs.is_empty());
    }
}
