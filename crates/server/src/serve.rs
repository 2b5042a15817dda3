//! `tongguan serve`: assembles the parts and runs them until it is told to stop.
//!
//! # Threads
//!
//! Requests, the engine and housekeeping run on the *workers*, a runtime with as many threads as there are
//! processors. What an operator needs whatever these do runs on the *front*, the first thread of the process with a
//! runtime of its own: signals, the shutdown timer, the admin listener and the control socket. A request that
//! blocks its worker delays none of them.

use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tongguan_dataplane::{DataPlane, Detached, Gateways};
use tongguan_model::id::AccountId;
use tongguan_model::limits::Quotas;
use tongguan_model::principal::{Identity, Principal};
use tongguan_rpc::{Credential, RsaPublicKey, Secret};
use tongguan_service::clock::{DatabaseClock, Reading};
use tongguan_service::context::{Clock, Context, Settings, Shared, SteppedClock, SystemClock};
use tongguan_service::keyring::{self, Key, Keyring, RootKey};
use tongguan_service::replay::Replay;
use tongguan_service::throttle::Throttle;
use tongguan_service::vault::Vault;
use tongguan_service::{Service, audit, master, rights, service_id};
use tongguan_store::{
    Admission, Kept, Moment, NONCE_FOLDER, NonceLog, Options, Purpose, Store, StoreError, TIMELINE_FILE,
    Verdict, look,
};
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::audit_log::{self, AuditLog};
use crate::cli::terminal;
use crate::config::{Config, PrincipalEntry, ServeArgs, TestAccess};
use crate::connections::{Connections, Stop};
use crate::database::Shared as SharedDatabase;
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use crate::reload::{Log, reload};
use crate::test_api::TestApi;
use crate::{admin, control, exit, house, http, permissions, secrets};

/// Threads of the workers for what blocks, and so for how many operations of theirs may take long at once. Below
/// the 512 tasks that the systemd unit allows.
const BLOCKING_THREADS: usize = 256;
/// Threads of the front for what blocks: queries to the store, commands of the operator.
const FRONT_BLOCKING_THREADS: usize = 8;
/// After [`http::STOP_TIME`], for the workers to see that it is over.
const STOP_MARGIN: Duration = Duration::from_millis(250);
/// When requests have ended, for what else runs to come to its end.
const END_TIME: Duration = Duration::from_secs(5);

/// How a stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// What was accepted is answered, or had its time.
    Orderly,
    /// It was told not to wait.
    Impatient,
    /// The workers did not even see that their time was over.
    Stuck,
}

/// A service that runs.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where it listens, as a URL.
    pub endpoint: String,
    /// Where the admin listener is, as a URL.
    pub admin: Option<String>,
    /// What is printed at the first start: the new key.
    pub welcome: Option<Welcome>,
    service: Arc<Service>,
    tls: Option<Arc<http::Tls>>,
    prepared: Arc<AtomicBool>,
    stop: watch::Sender<Stop>,
    listener: JoinHandle<()>,
    control: JoinHandle<()>,
    heart: JoinHandle<()>,
    admin_listener: Option<JoinHandle<()>>,
    engine: JoinHandle<()>,
    housekeeper: JoinHandle<()>,
    audit_log: Option<AuditLog>,
}

impl Running {
    /// What it waited for before it is ready is done.
    pub(crate) fn prepared(&self) {
        self.prepared.store(true, Ordering::Release);
    }

    /// From now on a service for tests answers from a recording.
    pub(crate) fn replay(&self, replay: Replay) {
        self.service.test_api().expect("only a service for tests replays").set_replay(replay);
    }

    /// The account whose resources and keys were there first: that of a root key from outside, unless its account was
    /// given.
    ///
    /// # Errors
    /// A database error.
    pub(crate) fn first_account(&self) -> Result<Option<AccountId>, StoreError> {
        self.service.context().store.read(|snapshot| snapshot.first_account())
    }

    /// Stops in order: no new connection, answers to what was accepted, then the engine.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop_unless(std::future::pending()).await.map(|_| ())
    }

    /// [`Running::stop`], but what was accepted is left unanswered if `impatient` comes to its end first, or if the
    /// workers do not turn.
    async fn stop_unless(mut self, impatient: impl Future<Output = ()>) -> anyhow::Result<Ending> {
        // Nobody listening any more is as good as told.
        let _ = self.stop.send(Stop::Orderly);
        let mut ended = None;
        let mut ending = tokio::select! {
            result = &mut self.listener => {
                ended = Some(result);
                Ending::Orderly
            }
            () = impatient => Ending::Impatient,
            () = sleep(http::STOP_TIME + STOP_MARGIN) => Ending::Stuck,
        };
        if ended.is_none() {
            let _ = self.stop.send(Stop::Now);
            ended = timeout(STOP_MARGIN, &mut self.listener).await.ok();
        }
        match ended {
            Some(result) => result.context("the listener ended with a panic")?,
            None if ending == Ending::Orderly => ending = Ending::Stuck,
            None => {}
        }
        if let Some(listener) = &self.admin_listener {
            listener.abort();
        }
        self.control.abort();
        self.heart.abort();
        self.engine.abort();
        self.housekeeper.abort();
        let (service, audit_log) = (self.service, self.audit_log);
        match timeout(END_TIME, service.leave()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "others have to wait for the leases of this process to end"),
            Err(_) => warn!("others have to wait for the leases of this process to end"),
        }
        let closed = tokio::task::spawn_blocking(move || {
            service.close();
            drop(audit_log);
        });
        if timeout(END_TIME, closed).await.is_err() {
            warn!("the nonce log, or the audit log, was not closed in time");
        }
        Ok(ending)
    }
}

/// Runs `tongguan serve` until SIGINT or SIGTERM, or says whether it could (`--check`).
pub(crate) fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    if args.check {
        return check(args).context(exit::Configuration);
    }
    let threads = Arc::new(AtomicUsize::new(0));
    let workers = workers(&threads)?;
    let front =
        Builder::new_current_thread().enable_all().max_blocking_threads(FRONT_BLOCKING_THREADS).build()?;
    let outcome = front.block_on(serve(args, workers.handle()));
    // Whatever has not ended by then is left behind: the store loses nothing by that.
    let time = match outcome {
        Ok(Ending::Orderly) | Err(_) => END_TIME,
        Ok(Ending::Impatient | Ending::Stuck) => STOP_MARGIN,
    };
    front.shutdown_timeout(time);
    workers.shutdown_timeout(time);
    let ending = outcome?;
    let left = threads.load(Ordering::SeqCst);
    if left > 0 || ending == Ending::Stuck {
        tracing::error!(threads = left, "work that did not end was left behind: requests may be unanswered");
        return Ok(ExitCode::from(exit::STUCK));
    }
    Ok(if ending == Ending::Orderly { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The runtime that serves the API. `threads` counts its threads.
fn workers(threads: &Arc<AtomicUsize>) -> std::io::Result<Runtime> {
    let (started, ended) = (Arc::clone(threads), Arc::clone(threads));
    Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .on_thread_start(move || {
            started.fetch_add(1, Ordering::SeqCst);
        })
        .on_thread_stop(move || {
            ended.fetch_sub(1, Ordering::SeqCst);
        })
        .build()
}

/// [`run`] on the front.
async fn serve(args: ServeArgs, workers: &Handle) -> anyhow::Result<Ending> {
    let config = Config::load(args.clone()).context(exit::Configuration)?;
    let log = Log::start(config.log().context(exit::Configuration)?, config.log_json)?;
    keep_memory_to_ourselves();
    let mut signals = Signals::new()?;
    let running = start_on(config, workers).await?;
    say_where(&running);
    info!(endpoint = running.endpoint, admin = running.admin, "listening");
    tell_systemd(NotifyState::Ready);
    while signals.next().await == Told::Reload {
        if let Some(audit_log) = &running.audit_log {
            audit_log.open_anew();
        }
        reload(args.clone(), running.tls.as_ref(), &log).await;
    }
    info!(
        "stopping: what was accepted is answered within {} s; a second signal ends that",
        http::STOP_TIME.as_secs()
    );
    tell_systemd(NotifyState::Stopping);
    running.stop_unless(signals.stopped()).await
}

/// Reads all that a start reads before it opens or takes anything, and says that it is right.
fn check(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(args)?;
    let tls = config.tls.as_ref().map(|(certificate, key)| http::tls(certificate, key)).transpose()?;
    for entry in &config.principals {
        principal_key(entry).with_context(|| format!("principal `{}`", entry.access_key_id))?;
    }
    paired(&config)?;
    config.audit_log.as_deref().map(audit_log::look).transpose()?;
    look(&config.data_dir)?;
    let mut out = terminal::out();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let data = config.data_dir.display().to_string();
    writeln!(
        out,
        "The configuration is right: {scheme}://{}, data in `{}`.",
        terminal::harmless(&config.listen),
        terminal::harmless(&data)
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Says on standard output where the service is. In one piece, and nothing depends on it: whoever has
/// read the line it was waiting for may have gone. The secret of a new key is for the eyes of a person at a terminal:
/// all other output is kept by somebody.
fn say_where(running: &Running) {
    let mut text = Zeroizing::new(String::new());
    if let Some(welcome) = &running.welcome {
        welcome.tell(&mut text, terminal::is_watched_by_a_person());
        text.push('\n');
    }
    text.push_str(&format!("listening on {}\n", running.endpoint));
    if let Some(admin) = &running.admin {
        text.push_str(&format!("admin on {admin}\n"));
    }
    let mut out = std::io::stdout();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        warn!(%error, "nobody reads standard output");
    }
}

/// Starts the service, all of it on this runtime.
pub(crate) async fn start(config: Config) -> anyhow::Result<Running> {
    start_on(config, &Handle::current()).await
}

/// Starts the service: on `workers` what serves requests, on this runtime what serves its operator.
async fn start_on(config: Config, workers: &Handle) -> anyhow::Result<Running> {
    let config = Arc::new(config);
    let tls = config.tls.as_ref().map(|(certificate, key)| http::tls(certificate, key)).transpose();
    let tls = tls.context(exit::Configuration)?.map(|acceptor| Arc::new(http::Tls::new(acceptor)));
    let assembling = Arc::clone(&config);
    let parts = tokio::task::spawn_blocking(move || assemble(&assembling)).await;
    let parts = parts.context("the start ended with a panic")??;
    let listen = config.listen.clone();
    let listener = workers.spawn(async move { http::bind(&listen).await }).await;
    let listener = listener
        .context("the start ended with a panic")?
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    if tls.is_none() && !address.ip().to_canonical().is_loopback() {
        warn!(
            %address,
            "HTTP without TLS on an address that others reach: whoever is on the way reads every request and answer, \
             secrets of new keys among them; set --tls-cert and --tls-key, or put a proxy with TLS before it"
        );
    }
    let admin_listener = admin::bind(&config.admin_listen).await?;
    let admin = admin_listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let service = Arc::new(parts.service.throttled(Throttle::new(config.rate)));
    let audit_log = parts.audit_log;
    let server = Arc::new(http::Server {
        service: Arc::clone(&service),
        connections: Arc::new(Connections::new()),
        metrics: Arc::new(Metrics::new()),
        tls: tls.clone(),
        prepared: Arc::new(AtomicBool::new(!config.waits_for_init)),
        pulse: Arc::new(Pulse::new()),
        audit_log: audit_log.as_ref().map(AuditLog::condition),
    });
    let prepared = Arc::clone(&server.prepared);
    let (stop, stopped) = watch::channel(Stop::No);
    let pulse = Arc::clone(&server.pulse);
    let heart = workers.spawn(async move { pulse.beat().await });
    let engine = workers.spawn(keep_running(Arc::clone(&service)));
    let housekeeper = workers.spawn(house::keep(Arc::clone(&service)));
    let control = tokio::spawn(control::listen(control::bind(&config.data_dir)?, Arc::clone(&service)));
    let test = config.test.as_ref().zip(parts.detached).map(|(access, detached)| {
        Arc::new(TestApi::new(Arc::clone(&service), detached, access.token.clone()))
    });
    let admin_listener =
        admin_listener.map(|listener| tokio::spawn(admin::listen(listener, Arc::clone(&server), test)));
    let listener = workers.spawn(http::listen(listener, server, stopped));
    let welcome = parts.welcome;
    Ok(Running {
        endpoint: format!("{scheme}://{address}"),
        admin: admin.map(|address| format!("http://{address}")),
        welcome,
        service,
        tls,
        prepared,
        stop,
        listener,
        control,
        heart,
        admin_listener,
        engine,
        housekeeper,
        audit_log,
    })
}

struct Parts {
    service: Service,
    /// The data plane, if it is the one that a test can steer.
    detached: Option<Arc<Detached>>,
    audit_log: Option<AuditLog>,
    welcome: Option<Welcome>,
}

/// The root key that the first start has made, and the file that keeps it.
#[derive(Debug)]
pub(crate) struct Welcome {
    key: RootKey,
    path: PathBuf,
}

impl Welcome {
    fn tell(&self, text: &mut String, person: bool) {
        let Self { key, path } = self;
        let shown = path.display();
        let how = if person {
            "Its secret is shown this once, and kept"
        } else {
            "Its secret is not shown: it is kept"
        };
        text.push_str(&format!("A new account was made. {how} in {shown} (readable by you alone).\n\n"));
        text.push_str(&format!("  account            {}\n  AccessKey ID       {}\n", key.account, key.id));
        if person {
            text.extend(["  AccessKey secret   ", key.secret.expose(), "\n"]);
        }
        text.push_str(&format!("\nFor a shell:  set -a; . {shown}; set +a\n"));
    }
}

/// Opens what is durable and builds the service on it.
fn assemble(config: &Config) -> anyhow::Result<Parts> {
    let default_region = config.region().context(exit::Configuration)?;
    let address_pool = config.address_pool().context(exit::Configuration)?;
    let apply_delay = config.apply_delay().context(exit::Configuration)?;
    let peers = config.detached_peers().context(exit::Configuration)?;
    permissions::tighten(&config.data_dir)?;
    for file in [permissions::MASTER_KEY_FILE, permissions::NEXT_KEY_FILE, permissions::ROOT_KEY_FILE] {
        let path = config.data_dir.join(file);
        if path.exists() {
            permissions::open_secret(&path)?;
        }
    }
    let purpose = match &config.test {
        None => Purpose::Service,
        Some(TestAccess { copy: false, .. }) => Purpose::Tests,
        Some(TestAccess { copy: true, .. }) => Purpose::TestsOnCopy,
    };
    let options =
        Options { mark_file: config.mark_file.clone(), purpose: Some(purpose), ..options(&config.quotas) };
    let store = match &config.database {
        Some(database) => shared(config, database, &options)?,
        None => Store::open(&config.data_dir, &options)?,
    };
    fail::fail_point!("start::opened");
    let ahead_ms = store.read(|snapshot| snapshot.test_ahead_ms())?;
    let stepped = ahead_ms.map(|ahead_ms| Arc::new(SteppedClock::new(ahead_ms)));
    let clock: Arc<dyn Clock> = match (&stepped, Reading::of(&store)?) {
        (Some(stepped), _) => Arc::clone(stepped) as Arc<dyn Clock>,
        (None, Some(reading)) => Arc::new(DatabaseClock::new(reading)),
        (None, None) => Arc::new(SystemClock),
    };
    let now_ms = clock.now_ms();
    let vault = secrets::open(&config.data_dir, &config.master_key, &store)?.vault()?;
    rights::open(&store, &vault, now_ms)?;
    master::remember(&store, &vault, now_ms)?;
    for finding in audit::seal(&store, &vault, now_ms)? {
        tracing::error!(%finding, "the audit record was tampered with; it is not sealed: run `tongguan check`");
    }
    if store.is_shared() {
        secrets::still_fits(&store, &vault)?;
    }
    let (keyring, welcome) = keys(config, &store, &vault, now_ms)?;
    let kept = kept(config, &store)?;
    let signed_ms = now_ms - clock.ahead_ms();
    let moment = Moment { unix: signed_ms.div_euclid(1000), steady: clock.steady_ms().div_euclid(1000) };
    let nonces = usize::try_from(config.quotas.nonces).unwrap_or(usize::MAX);
    let admission = match store.admission(nonces)? {
        Some(admission) => admission,
        None => Admission::new(NonceLog::open(&config.data_dir.join(NONCE_FOLDER), moment, nonces)?),
    };
    let defaults = Settings::default();
    let settings = Settings {
        quotas: config.quotas.clone(),
        default_region,
        endpoint: config.endpoint.clone(),
        address_pool: address_pool.unwrap_or(defaults.address_pool),
    };
    let (dataplane, detached): (Arc<dyn DataPlane>, _) =
        match config.supervisor().context(exit::Configuration)? {
            Some(supervisor) => {
                let service = service_id(&store, &vault, now_ms)?;
                (Arc::new(Gateways::new(supervisor, service)), None)
            }
            None => {
                let detached = Arc::new(Detached::new(apply_delay).with_peers(peers));
                (Arc::clone(&detached) as _, Some(detached))
            }
        };
    let audit_log = config.audit_log.as_deref().map(|path| AuditLog::start(path, store.clone()));
    let audit_log = audit_log.transpose()?;
    let context = Context::new(Shared { store, dataplane, vault, settings, clock });
    let mut service = Service::new(context, keyring, admission)?;
    agreed(&service)?;
    if let Some(apart) = service.context().apart() {
        tracing::error!("{apart}: calls are refused until they agree");
    }
    if let Some(clock) = stepped {
        service = service.with_test_api(tongguan_service::test_api::TestApi::new(clock, kept));
    }
    Ok(Parts { service, detached, audit_log, welcome })
}

/// The store on a database that other nodes use too.
fn shared(config: &Config, database: &SharedDatabase, options: &Options) -> anyhow::Result<Store> {
    // What is not shared: the operator's socket, and which primary this node has seen.
    DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir)?;
    let hosts = database.hosts()?.remembering(config.data_dir.join(TIMELINE_FILE))?;
    SharedDatabase::opened(hosts, options)
}

/// Refuses to serve beside nodes that have other settings, of those that all must have in common.
fn agreed(service: &Service) -> anyhow::Result<()> {
    let others = service.disagreements()?;
    let Some(other) = others.first() else { return Ok(()) };
    let said = format!(
        "another node on this database (`{}`) has other settings, which all nodes must have in common: {}",
        other.node,
        other.settings.join(", ")
    );
    Err(anyhow!(said).context(exit::Configuration))
}

/// The accounts and keys that the configuration, or the first start, has made: an emptied store keeps them.
fn kept(config: &Config, store: &Store) -> anyhow::Result<Kept> {
    let root = match &config.account_id {
        Some(id) => Some(AccountId::new(id.as_str())),
        None => store.read(|snapshot| snapshot.first_account())?,
    };
    let of_root = root.as_ref().filter(|_| config.access_key_id.is_none());
    let key = of_root.map(|root| store.read(|snapshot| snapshot.first_root_key(root))).transpose()?.flatten();
    let named = config.principals.iter().map(|entry| AccountId::new(entry.account_id.as_str()));
    Ok(Kept { accounts: root.into_iter().chain(named).collect(), keys: key.into_iter().collect() })
}

/// How the store is to keep audit records.
fn options(quotas: &Quotas) -> Options {
    Options {
        audit_records: quotas.audit_records,
        audit_changes: quotas.audit_changes,
        audit_strangers: quotas.audit_strangers,
        audit_strangers_per_minute: u32::try_from(quotas.audit_strangers_per_minute).unwrap_or(u32::MAX),
        audit_days: quotas.audit_days,
        audit_change_days: quotas.audit_change_days,
        ..Options::default()
    }
}

/// The keyring: a root key that was given, and the principals of the configuration. Makes the account, and its root
/// key, at the first start.
fn keys(
    config: &Config,
    store: &Store,
    vault: &Vault,
    now_ms: i64,
) -> anyhow::Result<(Keyring, Option<Welcome>)> {
    paired(config)?;
    let mut keyring = Keyring::default();
    let known = store.read(|snapshot| snapshot.first_account())?;
    let account = match &config.account_id {
        Some(id) => AccountId::new(id.as_str()),
        None => known.unwrap_or_else(keyring::new_account_id),
    };
    ensure_account(store, &account, now_ms)?;
    let mut welcome = None;
    match (&config.access_key_id, &config.access_key_secret) {
        (Some(id), Some(secret)) => {
            keyring.insert(RootKey { account, id: id.clone(), secret: secret.clone() }.into_key());
        }
        (None, None) if !store.is_shared() && !store.read(|snapshot| snapshot.has_access_keys())? => {
            let key = keyring::new_root_key(account);
            let path = secrets::write_root_key(&config.data_dir, &key)?;
            keyring::store_root_key(store, vault, &key, now_ms)?;
            // Where standard output is not kept, as under systemd, the log alone says it.
            let kept = path.display();
            tracing::info!(account = key.account.as_str(), %kept, "made the first account and its AccessKey");
            welcome = Some(Welcome { key, path });
        }
        (None | Some(_), None) | (None, Some(_)) => {}
    }
    for entry in &config.principals {
        let key = principal_key(entry).with_context(|| format!("principal `{}`", entry.access_key_id));
        let key = key.context(exit::Configuration)?;
        ensure_account(store, &AccountId::new(entry.account_id.as_str()), now_ms)?;
        keyring.insert_given(key, entry.documents().context(exit::Configuration)?);
    }
    Ok((keyring, welcome.filter(|_| !config.quiet)))
}

/// Refuses half a root key.
fn paired(config: &Config) -> anyhow::Result<()> {
    if config.access_key_id.is_some() == config.access_key_secret.is_some() {
        return Ok(());
    }
    let said = "access_key_id and access_key_secret go together (TONGGUAN_ACCESS_KEY_ID and _SECRET)";
    Err(anyhow!(said).context(exit::Configuration))
}

fn ensure_account(store: &Store, account: &AccountId, now_ms: i64) -> anyhow::Result<()> {
    let account = account.clone();
    store.write_blocking(move |tx| {
        tx.ensure_account(&account, now_ms)?;
        Ok(Verdict::Keep(()))
    })?;
    Ok(())
}

/// A key of the configuration file.
fn principal_key(entry: &PrincipalEntry) -> anyhow::Result<Key> {
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
    };
    let credential =
        match (&entry.access_key_secret, &entry.access_key_secret_file, &entry.rsa_public_key_file) {
            (Some(secret), None, None) => Credential::Secret(secret.0.clone()),
            (None, Some(path), None) => {
                Credential::Secret(Secret::from(permissions::read_secret(path)?.trim()))
            }
            (None, None, Some(path)) => Credential::RsaPublicKey(RsaPublicKey::from_pem(&read(path)?)?),
            _ => bail!("give one of access_key_secret, access_key_secret_file and rsa_public_key_file"),
        };
    let identity = match &entry.user_name {
        None => Identity::Root,
        Some(name) => Identity::User {
            name: name.clone(),
            id: user_id(entry, name),
            policies: Arc::new(entry.policies()?),
        },
    };
    let active = match entry.status.as_str() {
        "Active" => true,
        "Inactive" => false,
        other => bail!("status `{other}` is neither Active nor Inactive"),
    };
    let principal = Principal { account: AccountId::new(entry.account_id.as_str()), identity };
    Ok(Key { id: entry.access_key_id.clone(), credential, principal: Arc::new(principal), active })
}

/// A RAM user's decimal id, derived from account and name so that it stays the same.
fn user_id(entry: &PrincipalEntry, name: &str) -> String {
    let mut number: u64 = 14_695_981_039_346_656_037;
    for byte in entry.account_id.bytes().chain([b'/']).chain(name.bytes()) {
        number = (number ^ u64::from(byte)).wrapping_mul(1_099_511_628_211);
    }
    (200_000_000_000_000_000 + number % 100_000_000_000_000_000).to_string()
}

/// Runs the engine, and its watch over gateways.
async fn keep_running(service: Arc<Service>) {
    let engine = again("the engine", || service.engine().run());
    let watch = again("the watch over gateways", || service.engine().watch());
    let live = again("the heartbeat", || service.engine().live());
    tokio::join!(engine, watch, live);
}

/// Runs something, again if it should end with a panic: no gateway stays `updating` for want of it.
async fn again<F: Future<Output = ()> + Send + 'static>(what: &str, run: impl Fn() -> F) {
    const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
    loop {
        // Dropping the set, when this task is ended, ends what runs.
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(run());
        match tasks.join_next().await {
            Some(Err(error)) => tracing::error!(%error, "{what} ended; starting it again"),
            // It has nothing to do here.
            Some(Ok(())) | None => return,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// No core dump, and nobody but root attaches a debugger or reads our environment and memory: keys are in them.
fn keep_memory_to_ourselves() {
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        warn!(%error, "core dumps cannot be turned off");
    }
}

/// What a signal tells the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// SIGTERM, SIGINT and SIGHUP.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup: signal(SignalKind::hangup())? })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// The next one that tells the service to stop.
    async fn stopped(&mut self) {
        while self.next().await != Told::Stop {}
    }
}

/// Tells systemd how far we are, if it started us.
fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd was not told");
    }
}
