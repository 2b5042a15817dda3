//! `tongguan ca`: a small certificate authority for tests. It keeps its certificate and its key in a directory, and
//! nothing else: no serial numbers, no revocation.
//!
//! It certifies what the service asks for, with SM2 or P-256, without any other program; and on request wrongly, so
//! that tests can see what is refused.

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use tongguan_pki::{Ca, Certificate, KeySpec, MAX_PEM_BYTES, PrivateKey, Subject, Usage};
use tongguan_service::context::{Clock as _, SystemClock};

use super::terminal;
use crate::permissions;

/// Files of a directory.
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";
/// Seconds of a day.
const DAY: i64 = 86_400;
/// Seconds by which a certificate is valid before now: clocks differ.
const BEFORE: i64 = 300;
/// Days at most: certificates end with the year 9999.
const DAYS: u32 = 2_900_000;

/// A small certificate authority for tests
#[derive(Debug, Args)]
pub(crate) struct CaArgs {
    #[command(subcommand)]
    command: CaCommand,
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    /// Make a certificate authority in a new directory: ca.pem and ca.key
    New(NewArgs),
    /// Certify the key of a request that is read from standard input, and print the certificate
    Issue(IssueArgs),
}

#[derive(Debug, Args)]
struct NewArgs {
    /// Directory, made if it is absent
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Kind of key and signature
    #[arg(long, value_enum, default_value_t = Algorithm::Sm2)]
    algorithm: Algorithm,
    /// Its subject
    #[arg(long, value_name = "DN", default_value = "CN=Test CA,OU=test,O=test,C=CN")]
    subject: String,
    /// Days that it is valid
    #[arg(long, value_name = "N", default_value_t = 3_650, value_parser = clap::value_parser!(u32).range(1..=DAYS as i64))]
    days: u32,
}

#[derive(Debug, Args)]
struct IssueArgs {
    /// Directory of the certificate authority
    #[arg(long, env = "TONGGUAN_CA_DIR", value_name = "DIR", default_value = "ca")]
    ca: PathBuf,
    /// What the key may be used for
    #[arg(long, value_enum)]
    usage: UsageName,
    /// Days that the certificate is valid
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=DAYS as i64))]
    days: u32,
    /// Make it wrong: for the other usage, with an SM2 signature under the empty user id (as OpenSSL makes them
    /// unless it is told otherwise), no longer valid, or by an authority that is none of the chain
    #[arg(long, value_enum, value_name = "HOW")]
    wrong: Option<Wrong>,
}

/// Kind of key and signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Algorithm {
    /// SM2 with SM3.
    Sm2,
    /// ECDSA on P-256 with SHA-256.
    P256,
}

impl Algorithm {
    fn spec(self) -> KeySpec {
        match self {
            Self::Sm2 => KeySpec::EcSm2,
            Self::P256 => KeySpec::EcP256,
        }
    }
}

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum UsageName {
    Encryption,
    Signature,
    Tls,
}

impl UsageName {
    fn usage(self) -> Usage {
        match self {
            Self::Encryption => Usage::Encryption,
            Self::Signature => Usage::Signature,
            Self::Tls => Usage::Tls,
        }
    }

    /// One for which a key of this usage must not be taken.
    fn other(self) -> Usage {
        match self {
            Self::Encryption => Usage::Signature,
            Self::Signature | Self::Tls => Usage::Encryption,
        }
    }
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wrong {
    Usage,
    UserId,
    Dates,
    Chain,
}

/// Carries out `tongguan ca`.
///
/// # Errors
/// A file cannot be read or written, or the request is none.
pub(crate) fn run(args: &CaArgs) -> Result<ExitCode> {
    let now = SystemClock.now_ms().div_euclid(1000);
    match &args.command {
        CaCommand::New(args) => {
            create(&args.directory, args.algorithm, &args.subject, args.days, now)?;
            let certificate = args.directory.join(CERTIFICATE).display().to_string();
            writeln!(terminal::out(), "{}", terminal::harmless(&certificate))?;
        }
        CaCommand::Issue(args) => {
            let mut csr = String::new();
            let most = MAX_PEM_BYTES as u64 + 1;
            std::io::stdin().take(most).read_to_string(&mut csr).context("cannot read standard input")?;
            let certificate = issue(args, &csr, now)?;
            terminal::out().text(&certificate.to_pem())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a certificate authority in a directory; nothing is overwritten.
///
/// # Errors
/// There is one already, or a file cannot be written.
pub(crate) fn create(
    directory: &Path,
    algorithm: Algorithm,
    subject: &str,
    days: u32,
    now: i64,
) -> Result<Ca> {
    let subject = Subject::parse(subject).context("--subject")?;
    let ca = Ca::new(algorithm.spec(), &subject, now - BEFORE, now + i64::from(days) * DAY)?;
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make `{}`", directory.display()))?;
    write_new(&directory.join(KEY), 0o600, &ca.key().to_pkcs8_pem()?)?;
    write_new(&directory.join(CERTIFICATE), 0o644, &ca.certificate().to_pem())?;
    Ok(ca)
}

/// Writes a file that must not be there.
pub(crate) fn write_new(path: &Path, mode: u32, text: &str) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(mode).open(path);
    let written = opened.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
    written.with_context(|| format!("cannot write `{}`", path.display()))
}

/// The certificate of a certificate authority in a directory.
pub(crate) fn certificate_file(directory: &Path) -> PathBuf {
    directory.join(CERTIFICATE)
}

fn open(directory: &Path) -> Result<Ca> {
    let (key, certificate) = (directory.join(KEY), directory.join(CERTIFICATE));
    let key = PrivateKey::from_pkcs8_pem(&permissions::read_secret(&key)?)
        .with_context(|| format!("`{}`", key.display()))?;
    let text = std::fs::read_to_string(&certificate)
        .with_context(|| format!("cannot read `{}`", certificate.display()))?;
    let certificate = Certificate::from_pem(&text).with_context(|| format!("`{}`", certificate.display()))?;
    Ok(Ca::from_parts(key, certificate)?)
}

fn issue(args: &IssueArgs, csr: &str, now: i64) -> Result<Certificate> {
    ensure!(csr.len() <= MAX_PEM_BYTES, "the request has more than {MAX_PEM_BYTES} bytes");
    let ca = open(&args.ca)?;
    let (from, to) = (now - BEFORE, now + i64::from(args.days) * DAY);
    let usage = args.usage.usage();
    let issued = match args.wrong {
        None => ca.issue(csr, usage, from, to),
        Some(Wrong::Usage) => ca.issue(csr, args.usage.other(), from, to),
        Some(Wrong::Dates) => ca.issue(csr, usage, now - (i64::from(args.days) + 1) * DAY, now - DAY),
        Some(Wrong::UserId) => match ca.key().spec() {
            KeySpec::EcSm2 => ca.issue_under_user_id("", csr, usage, from, to),
            other => bail!("only SM2 has user ids, and this authority signs with {other}"),
        },
        Some(Wrong::Chain) => {
            // Of the same name: only the signature tells.
            let subject = Subject::parse(&ca.certificate().subject())?;
            Ca::new(ca.key().spec(), &subject, from, to)?.issue(csr, usage, from, to)
        }
    };
    issued.context("the request is not certified")
}
