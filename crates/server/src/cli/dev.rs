//! `tongguan dev`: a service to test against, in one command: a store that is thrown away, a key that is known
//! beforehand, changes at once, the test API, a certificate authority. It ends with nothing left behind.
//!
//! It is the service of `tongguan serve`, in this process; only its configuration is made here. The known key is
//! accepted on a loopback address alone: elsewhere a random one is made.
//!
//! With `--replay` it answers what was recorded elsewhere as it was answered there ([`tongguan_service::replay`]).
//!
//! With `--from` the store is a copy of a backup. The copy is for tests from then on; the backup is only read.

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tongguan_pki::{KeySpec, PrivateKey, Subject};
use tongguan_rpc::{Secret, SignatureMethod, Signer};
use tongguan_service::context::{Clock as _, SystemClock, seed_ids};
use tongguan_service::replay::{Recording, Replay};
use tracing_subscriber::EnvFilter;

use super::MarkArgs;
use super::backup::{self, RestoreArgs};
use super::ca::{self, Algorithm};
use super::client::{Client, Endpoint, Trust, random_hex};
use super::{init, terminal};
use crate::config::{AdminListen, Config, TestAccess, is_loopback};
use crate::reload::Log;
use crate::secrets::{KeyArgs, KeySource};
use crate::{exit, serve};

/// The key that is accepted on a loopback address.
const KEY_ID: &str = "tongguan-dev";
const KEY_SECRET: &str = "tongguan-dev-secret";
/// Its account in a new store.
const ACCOUNT: &str = "1234567890123456";
const REGION: &str = "cn-hangzhou";
/// Where the API is unless somebody says otherwise, or the port is taken.
const LISTEN: &str = "127.0.0.1:8080";
/// The same of the admin listener.
const ADMIN_LISTEN: &str = "127.0.0.1:8081";
/// Folders of the temporary directory.
const DATA_FOLDER: &str = "data";
const CA_FOLDER: &str = "ca";
const TLS_FOLDER: &str = "tls";
/// Days that its certificate authorities are valid: a test may step the clock.
const CA_DAYS: u32 = 3_650;

const AFTER_HELP: &str = "\
What it prints is for a second shell, as soon as the service can be called; with --json it is one object on one line:
  ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET, ALIBABA_CLOUD_ACCOUNT_ID, ALIBABA_CLOUD_REGION_ID
                       what SDKs read
  TONGGUAN_ENDPOINT    host and port of the API, or the URL of HTTPS
  TONGGUAN_ADMIN_URL   the admin listener, with the test API (docs/test-api.md)
  TONGGUAN_CA_DIR      a certificate authority for SM2, which `tongguan ca issue` takes
  TONGGUAN_TLS_CA      with --https: the certificate of the CA that the listener's is of";

/// Serve a throw-away store to test against, with a known key and the test API
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DevArgs {
    /// Address and port of the API; port 0 selects a free one [default: 127.0.0.1:8080, a free port if that is taken]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Address and port of the admin listener, on a loopback address [default: 127.0.0.1:8081, a free port if that is
    /// taken]
    #[arg(long, value_name = "HOST:PORT")]
    admin_listen: Option<String>,
    /// When a change takes effect: 0 (at once), a duration (250ms, 1s), or polls:N (after N Describe calls)
    #[arg(long, value_name = "WHEN", default_value = "0")]
    apply_delay: String,
    /// A quota, such as vpn_gateways_per_account=2; may be repeated
    #[arg(long = "quota", value_name = "NAME=VALUE")]
    quota: Vec<String>,
    /// Draw ids and addresses of resources from this number: the same creations get the same ones
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Begin with what is in this backup of `tongguan backup`: its accounts, resources and keys. The known key is one
    /// of its first account
    #[arg(long, value_name = "BACKUP")]
    from: Option<PathBuf>,
    /// File with the master key of the service that was backed up; or its value in TONGGUAN_MASTER_KEY
    #[arg(long, value_name = "FILE", requires = "from")]
    master_key_file: Option<PathBuf>,
    /// Command whose standard output is that master key
    #[arg(long, value_name = "COMMAND", requires = "from")]
    master_key_command: Option<String>,
    /// Take a backup whose seal cannot be checked
    #[arg(long, requires = "from")]
    unverified: bool,
    /// Serve HTTPS, with a certificate of a CA that is made for it
    #[arg(long)]
    https: bool,
    /// Before it is ready, run *.sh and the calls of *.json in this directory, in the order of their names
    #[arg(long, value_name = "DIR")]
    init: Option<PathBuf>,
    /// Answer what is in this recording of `tongguan record` as it was answered then, or in the *.jsonl of this
    /// directory; what is not, the service answers itself
    #[arg(long, value_name = "FILE|DIR")]
    replay: Option<PathBuf>,
    /// Refuse what is not in the recording (NotRecorded)
    #[arg(long, requires = "replay")]
    replay_only: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    /// Write the variables to this file as soon as the service can be called; it goes with the service
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// End when standard input ends, beside SIGINT, SIGTERM and SIGHUP: when the test that started it is gone
    #[arg(long)]
    until_eof: bool,
    /// How much is logged
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: String,
}

/// What a caller has to know of the service.
#[derive(Debug)]
pub(crate) struct Place {
    /// Host and port, or the URL of HTTPS.
    pub endpoint: String,
    /// URL of the admin listener.
    pub admin: String,
    /// The key.
    pub key: (String, Secret),
    /// Its account.
    pub account: String,
    /// The directory of the certificate authority for SM2.
    pub ca: PathBuf,
    /// The certificate of the CA of HTTPS.
    pub tls_ca: Option<PathBuf>,
}

impl Place {
    /// The variables, each with its value.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let path = |path: &Path| path.display().to_string();
        let mut variables = vec![
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", self.key.0.clone()),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", self.key.1.expose().to_owned()),
            ("ALIBABA_CLOUD_ACCOUNT_ID", self.account.clone()),
            ("ALIBABA_CLOUD_REGION_ID", REGION.to_owned()),
            ("TONGGUAN_ENDPOINT", self.endpoint.clone()),
            ("TONGGUAN_ADMIN_URL", self.admin.clone()),
            ("TONGGUAN_CA_DIR", path(&self.ca)),
        ];
        variables.extend(self.tls_ca.as_deref().map(|ca| ("TONGGUAN_TLS_CA", path(ca))));
        variables
    }

    fn exports(&self) -> String {
        let line =
            |(name, value): (&str, String)| format!("export {name}='{}'\n", value.replace('\'', "'\\''"));
        self.variables().into_iter().map(line).collect()
    }

    fn json(&self) -> Value {
        json!({
            "endpoint": self.endpoint, "admin": self.admin, "accountId": self.account, "regionId": REGION,
            "accessKeyId": self.key.0, "accessKeySecret": self.key.1.expose(),
            "caDir": self.ca, "tlsCa": self.tls_ca, "pid": std::process::id(),
        })
    }
}

/// A file that is removed when this is dropped.
struct EnvFile(PathBuf);

impl EnvFile {
    /// Writes it whole, readable by its owner alone: it has a secret.
    fn write(path: &Path, text: &str) -> Result<Self> {
        let failed = || format!("cannot write `{}`", path.display());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
        file.write_all(text.as_bytes()).with_context(failed)?;
        file.persist(path).with_context(failed)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for EnvFile {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What ends a command that runs until it is told: signals, and the end of standard input if that is asked for.
pub(super) struct Ends {
    signals: [Signal; 3],
    eof: oneshot::Receiver<()>,
    /// Kept as long as nothing sends.
    _never: Option<oneshot::Sender<()>>,
}

impl Ends {
    /// Listens for signals, and for the end of standard input if that is asked for.
    ///
    /// # Errors
    /// The signals cannot be listened for.
    pub(super) fn new(until_eof: bool) -> io::Result<Self> {
        // A terminal that is closed ends it too.
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        let (sender, eof) = oneshot::channel();
        let mut never = Some(sender);
        if until_eof && let Some(sender) = never.take() {
            // A thread of its own, which the end of the process ends: a read of standard input cannot be cancelled.
            std::thread::spawn(move || {
                // One that cannot be read has ended.
                let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
                let _ = sender.send(());
            });
        }
        Ok(Self { signals: [interrupt?, terminate?, hangup?], eof, _never: never })
    }

    /// Waits for the next of them.
    pub(super) async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = &mut self.eof => {}
        }
    }
}

/// Carries out `tongguan dev`, until SIGINT, SIGTERM or SIGHUP.
///
/// # Errors
/// The service does not start, or a step of `--init` fails.
pub(crate) async fn run(args: DevArgs) -> Result<ExitCode> {
    let filter = EnvFilter::try_new(&args.log).with_context(|| format!("--log `{}`", args.log));
    Log::start(filter.context(exit::Configuration)?, false)?;
    // Before anything is made: whoever ends it while it starts leaves nothing behind either.
    let mut ends = Ends::new(args.until_eof)?;
    if let Some(seed) = args.seed {
        seed_ids(seed);
    }
    let replay = args.replay.as_deref().map(recordings).transpose().context(exit::Configuration)?;
    let replay = replay.map(|recordings| Replay::new(recordings, args.replay_only));
    let directory = tempfile::Builder::new().prefix("tongguan-dev-").tempdir();
    let directory = directory.context("cannot make a temporary directory")?;
    let outcome = match restore(&args, directory.path()) {
        Ok(Ok(())) => live(&args, replay, directory.path(), &mut ends).await.map(|()| ExitCode::SUCCESS),
        Ok(Err(what)) => backup::damaged(&what),
        Err(error) => Err(error),
    };
    directory.close().context("cannot remove the temporary directory")?;
    outcome
}

/// Reads a recording, or all of a directory in the order of their names.
fn recordings(path: &Path) -> Result<Vec<(String, Recording)>> {
    let failed = || format!("cannot read `{}`", path.display());
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).with_context(failed)?.collect::<io::Result<Vec<_>>>();
        files = entries.with_context(failed)?.into_iter().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        ensure!(!files.is_empty(), "`{}` has no recording, *.jsonl", path.display());
    }
    let read = |file: PathBuf| {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read `{name}`"))?;
        let recording = Recording::read(&text).with_context(|| format!("`{name}`"))?;
        if recording.whole < text.len() {
            terminal::tell(&format!("`{name}`: the last line was cut off and is left out"));
        }
        Ok((name, recording))
    };
    files.into_iter().map(read).collect::<Result<_>>().context("--replay")
}

/// Where the master key of the backup comes from.
fn keys(args: &DevArgs) -> KeyArgs {
    KeyArgs {
        master_key_file: args.master_key_file.clone(),
        master_key_command: args.master_key_command.clone(),
    }
}

/// Makes the data directory from the backup, if there is one; or says what is wrong with that.
fn restore(args: &DevArgs, directory: &Path) -> Result<Result<(), String>> {
    let Some(from) = &args.from else { return Ok(Ok(())) };
    let arguments = RestoreArgs {
        backup: from.clone(),
        data_dir: directory.join(DATA_FOLDER),
        keys: keys(args),
        mark: MarkArgs::default(),
        unverified: args.unverified,
    };
    let restored = match backup::bring_back(&arguments)? {
        Ok(restored) => restored,
        Err(what) => return Ok(Err(what)),
    };
    if restored.keyless {
        let said = "--from needs the master key of the service that was backed up: --master-key-file";
        return Err(anyhow!(said).context(exit::Configuration));
    }
    Ok(Ok(()))
}

/// Serves until it is told to end.
async fn live(args: &DevArgs, replay: Option<Replay>, directory: &Path, ends: &mut Ends) -> Result<()> {
    let config = configure(args, directory)?;
    let key = config.access_key_id.clone().zip(config.access_key_secret.clone());
    let key = key.context("there is a key")?;
    let server = serve::start(config).await?;
    let account = server.first_account()?.context("there is an account")?;
    let place = Place {
        account: account.as_str().to_owned(),
        endpoint: endpoint(&server.endpoint, args.https),
        admin: server.admin.clone().context("there is an admin listener")?,
        key,
        ca: directory.join(CA_FOLDER),
        tls_ca: args.https.then(|| ca::certificate_file(&directory.join(TLS_FOLDER))),
    };
    let outcome = tokio::select! {
        outcome = open(args, replay, &place, &server) => match outcome {
            Ok(env_file) => {
                ends.next().await;
                drop(env_file);
                Ok(())
            }
            Err(error) => Err(error),
        },
        () = ends.next() => Ok(()),
    };
    server.stop().await.context("the service does not stop")?;
    outcome
}

/// Does what is to be done first, and says where the service is.
async fn open(
    args: &DevArgs,
    replay: Option<Replay>,
    place: &Place,
    server: &serve::Running,
) -> Result<Option<EnvFile>> {
    let variables = place.variables();
    if let Some(directory) = &args.init {
        let (id, secret) = place.key.clone();
        let method = SignatureMethod::Acs3HmacSha256;
        let signer = Signer { access_key_id: id, secret, security_token: None, method };
        let trust = place.tls_ca.clone().map_or(Trust::Platform, Trust::Only);
        let client = Client::new(Endpoint::parse(&place.endpoint, false)?, signer, &trust)?;
        init::run(directory, &client, REGION, &variables).await.context("--init")?;
    }
    // After --init, whose calls make what is really there.
    if let Some(replay) = replay {
        server.replay(replay);
    }
    server.prepared();
    let env_file = args.env_file.as_deref().map(|path| EnvFile::write(path, &place.exports())).transpose()?;
    let mut out = terminal::out();
    if args.json {
        writeln!(out, "{}", terminal::harmless_json(&place.json().to_string()))?;
    } else {
        writeln!(out, "# A service to test against, until Ctrl-C. In a second shell:")?;
        out.text(&place.exports())?;
    }
    out.flush()?;
    Ok(env_file)
}

/// Host and port, as SDKs want it; of HTTPS the URL, by the name that is in the certificate.
fn endpoint(url: &str, https: bool) -> String {
    let address = url.rsplit_once("//").map_or(url, |(_, address)| address);
    if https { format!("https://{address}") } else { address.to_owned() }
}

/// The first choice, if its port is free; else a free port.
pub(super) fn free(wanted: &str) -> String {
    match TcpListener::bind(wanted) {
        Ok(_) => wanted.to_owned(),
        Err(_) => "127.0.0.1:0".to_owned(),
    }
}

fn configure(args: &DevArgs, directory: &Path) -> Result<Config> {
    let listen = args.listen.clone().unwrap_or_else(|| free(LISTEN));
    let admin = args.admin_listen.clone().unwrap_or_else(|| free(ADMIN_LISTEN));
    if !is_loopback(&admin) {
        let said = "--admin-listen is for a loopback address: elsewhere use `tongguan serve --test-api` with a token";
        return Err(anyhow!(said).context(exit::Configuration));
    }
    let key = if is_loopback(&listen) {
        (KEY_ID.to_owned(), Secret::from(KEY_SECRET))
    } else {
        (format!("LTAI{}", random_hex::<10>()?), Secret::from(random_hex::<15>()?))
    };
    let now = SystemClock.now_ms().div_euclid(1000);
    ca::create(
        &directory.join(CA_FOLDER),
        Algorithm::Sm2,
        "CN=Test CA,OU=dev,O=tongguan,C=CN",
        CA_DAYS,
        now,
    )?;
    let tls = if args.https { Some(certify(directory, &listen, now)?) } else { None };
    // The service that was backed up may have had its key elsewhere; a file was copied.
    let master_key = match args.from.as_ref().map(|_| keys(args).source()).transpose()?.flatten() {
        Some(KeySource::File(_)) | None => KeySource::DataDirectory,
        Some(other) => other,
    };
    let mut config = Config {
        listen,
        data_dir: directory.join(DATA_FOLDER),
        master_key,
        apply_delay: args.apply_delay.clone(),
        tls,
        admin_listen: AdminListen::At(admin),
        test: Some(TestAccess { token: None, copy: args.from.is_some() }),
        account_id: args.from.is_none().then(|| ACCOUNT.to_owned()),
        access_key_id: Some(key.0),
        access_key_secret: Some(key.1),
        region: REGION.to_owned(),
        waits_for_init: args.init.is_some(),
        quiet: true,
        ..Config::default()
    };
    for entry in &args.quota {
        config.set_quota(entry).context(exit::Configuration)?;
    }
    config.checked().context(exit::Configuration)
}

/// A certificate for the listener, of a CA that is made for it; where both are.
fn certify(directory: &Path, listen: &str, now: i64) -> Result<(PathBuf, PathBuf)> {
    let folder = directory.join(TLS_FOLDER);
    let ca = ca::create(&folder, Algorithm::P256, "CN=Test TLS CA,OU=dev,O=tongguan,C=CN", CA_DAYS, now)?;
    let subject = Subject::parse("CN=localhost,OU=dev,O=tongguan,C=CN")?;
    let key = PrivateKey::generate(KeySpec::EcP256)?;
    let mut addresses = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    addresses.extend(
        host.trim_matches(['[', ']']).parse::<IpAddr>().ok().filter(|host| !addresses.contains(host)),
    );
    let names = (&["localhost".to_owned()][..], &addresses[..]);
    let until = now + i64::from(CA_DAYS) * 86_400;
    let leaf = ca.certify_listener(&subject, &key.public_key(), names, now - 300, until)?;
    let (certificate, secret) = (folder.join("tls.pem"), folder.join("tls.key"));
    ca::write_new(&secret, 0o600, &key.to_pkcs8_pem()?)?;
    ca::write_new(&certificate, 0o644, &leaf.to_pem())?;
    Ok((certificate, secret))
}
