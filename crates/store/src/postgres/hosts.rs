//! The hosts of a database, and a session on the one that is the primary.
//!
//! A driver that is given several hosts tries one after the other, and hangs on the first that takes its connection and
//! says nothing, as a stopped server does. So every host has a configuration of its own here, all are tried at once
//! under one deadline over connection, TLS, authentication and check, and the first that passes wins.
//!
//! The check asks for more than writability: a primary that has lost its lock still says that it is one. Each promotion
//! begins a new *timeline*, whose number only grows. The highest that any host has shown is remembered, in a file too
//! if there is one ([`Hosts::remembering`]), and sessions on lower ones are refused; whoever holds a session asks
//! [`Hosts::outdated`] before it is used again. Answers of hosts that come after the winner's still count for that.
//!
//! Before a new session is trusted its user makes a small write of its own under a deadline: a primary that is cut off
//! from its standbys passes every check, and hangs on its first commit.

use std::fmt;
use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::config::{Host as Place, SslMode, TargetSessionAttrs};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::outcome::{self, Arrived, Outcome, Stage};
use super::remembered::{Remembered, Seen};
use super::stats::{SharedStats, Stats};
use crate::StoreError;

/// Time that a host has to prove that it is the primary.
pub const CONNECT_TIME: Duration = Duration::from_secs(1);
/// How long the other hosts have to show a higher timeline than the first that proves to be a primary, to who knows
/// none.
const MOMENT: Duration = Duration::from_millis(300);

/// For how long sent bytes may stay without an acknowledgement before a connection is given up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(2);
/// Rest after which a connection is probed, time between probes, and their number.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(2), Duration::from_secs(1), 2);
/// What the driver takes for the first of them where none is given.
const UNSET_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// What every session is set to, and is then asked: in one round trip.
///
/// Without warnings nobody would learn that a commit did not wait for its standby; without `synchronous_commit` it
/// would not wait at all. Statements are planned once, and may be so while tables are empty: to read one from its
/// begin to its end looks cheap then, where there is an index. What has none looks so dear now that its plan would be
/// compiled each time.
const CHECK: &str = "\
SET client_min_messages = warning; \
SET TimeZone = 'UTC'; \
SET statement_timeout = '2s'; \
SET lock_timeout = '500ms'; \
SET idle_in_transaction_session_timeout = '5s'; \
SET plan_cache_mode = force_generic_plan; \
SET enable_seqscan = off; \
SET jit = off; \
SELECT pg_is_in_recovery(), current_setting('transaction_read_only'), \
CASE WHEN pg_is_in_recovery() THEN NULL ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END, \
(SELECT system_identifier FROM pg_control_system()), \
set_config('synchronous_commit', CASE current_setting('synchronous_commit') \
WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)";

/// What a URL does not say, or should not.
#[derive(Clone, Copy, Default)]
pub struct Access<'a> {
    /// Password; it comes before that of the URL. The driver keeps a copy as long as there are [`Hosts`].
    pub password: Option<&'a [u8]>,
    /// PEM file of the authorities that certify the hosts; it comes before `sslrootcert` of the URL. Without either
    /// they are those of the platform.
    pub authorities: Option<&'a Path>,
}

impl fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("authorities", &self.authorities).finish_non_exhaustive()
    }
}

/// The hosts of one database.
pub struct Hosts {
    hosts: Vec<Arc<Host>>,
    tls: MakeRustlsConnect,
    highest: Arc<AtomicU32>,
    /// What was seen before this process began, and is kept for the next one.
    remembered: Option<Arc<Remembered>>,
    /// Host of the primary, when a session was last opened.
    primary: Mutex<Option<String>>,
    pub(super) stats: Arc<Stats>,
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

struct Host {
    name: String,
    config: Config,
}

impl Hosts {
    /// Reads `postgres://USER@HOST:PORT,HOST:PORT/DATABASE?PARAMETER=VALUE`, the parameters being the driver's
    /// (`application_name`, `hostaddr`, `keepalives_idle`, `channel_binding`, …) but for these:
    ///
    /// * `sslmode` is `disable`, or `require`, which is the default over TCP, or `verify-full`, which is the same: with
    ///   TLS the certificate and the name in it are always verified. There is no mode between them, for what falls back
    ///   to plain text protects from nobody.
    /// * `sslrootcert` names a PEM file of authorities.
    /// * `target_session_attrs`, `load_balance_hosts` and `connect_timeout` have no use here: hosts are tried at once.
    ///
    /// # Errors
    /// What is wrong with the URL or the file of authorities. The message holds no password.
    pub fn parse(url: &str, access: Access<'_>) -> Result<Self, HostsError> {
        let url = Url::split(url)?;
        let mut config = Config::from_str(&url.plain).map_err(|error| HostsError::Url(cause(&error)))?;
        match config.get_target_session_attrs() {
            TargetSessionAttrs::Any | TargetSessionAttrs::ReadWrite => {}
            _ => return Err(HostsError::Url("target_session_attrs: only the primary is of use".into())),
        }
        if let Some(password) = access.password {
            config.password(password);
        }
        let hosts = split(&config, url.plain_text)?;
        let encrypted = hosts.iter().any(|host| host.config.get_ssl_mode() != SslMode::Disable);
        let authorities = access.authorities.map(Path::to_path_buf).or(url.authorities);
        let roots = if encrypted { roots(authorities.as_deref())? } else { RootCertStore::empty() };
        let tls = MakeRustlsConnect::new(client(roots)?);
        let (highest, remembered) = (Arc::default(), None);
        Ok(Self { hosts, tls, highest, remembered, primary: Mutex::default(), stats: Arc::default() })
    }

    /// The same, the highest timeline seen kept in this file: a process that begins with it refuses what an earlier one
    /// would have.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn remembering(self, path: PathBuf) -> Result<Self, StoreError> {
        Ok(Self { remembered: Some(Arc::new(Remembered::read(path)?)), ..self })
    }

    /// Their names, as the URL has them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|host| host.name.as_str())
    }

    /// The highest timeline seen; none before the first primary.
    pub fn timeline(&self) -> Option<Timeline> {
        match self.highest.load(Ordering::Acquire) {
            0 => None,
            seen => Some(Timeline(seen)),
        }
    }

    /// What was counted of the use of these hosts.
    pub(super) fn stats(&self) -> SharedStats {
        SharedStats {
            timeline: self.timeline().map_or(0, Timeline::number),
            host: self.primary.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ..self.stats.read()
        }
    }

    /// Takes note of a timeline that was learnt in another way, for instance from what another node wrote.
    pub fn saw(&self, timeline: Timeline) {
        self.highest.fetch_max(timeline.0, Ordering::AcqRel);
    }

    /// Whether there is a newer primary than that of this session, which must not be used then.
    pub fn outdated(&self, session: &Primary) -> bool {
        self.timeline().is_some_and(|seen| session.timeline < seen)
    }

    /// A new session on the primary. Every host has `within` to prove that it is the one. As long as no timeline is
    /// known, none is the first to be believed: the others have a moment to show a higher one.
    ///
    /// # Errors
    /// Why each host is not.
    pub async fn connect(&self, within: Duration) -> Result<Primary, NoPrimary> {
        let stranger = self.timeline().is_none();
        let mut attempts = JoinSet::new();
        for (place, host) in self.hosts.iter().enumerate() {
            let (highest, remembered) = (Arc::clone(&self.highest), self.remembered.clone());
            let attempt = open(Arc::clone(host), self.tls.clone(), highest, remembered);
            attempts.spawn(async move {
                let opened = timeout(within, attempt).await;
                (place, opened.unwrap_or(Err(Refusal::Silent)))
            });
        }
        let mut refusals = Vec::new();
        while let Some(ended) = attempts.join_next().await {
            let Ok((place, opened)) = ended else { continue };
            match opened {
                Ok(mut primary) => {
                    let until = Instant::now() + MOMENT;
                    while stranger && let Ok(Some(ended)) = timeout_at(until, attempts.join_next()).await {
                        if let Ok((_, Ok(other))) = ended
                            && other.timeline > primary.timeline
                        {
                            primary = other;
                        }
                    }
                    // The others have until the deadline to show a higher timeline to those who come later.
                    attempts.detach_all();
                    Stats::add(&self.stats.opened);
                    *self.primary.lock().unwrap_or_else(PoisonError::into_inner) = Some(primary.host.clone());
                    return Ok(primary);
                }
                Err(refusal) => refusals.push((place, refusal)),
            }
        }
        Stats::add(&self.stats.unopened);
        refusals.sort_by_key(|(place, _)| *place);
        let named = |(place, refusal): (usize, Refusal)| (self.hosts[place].name.clone(), refusal);
        Err(NoPrimary { refusals: refusals.into_iter().map(named).collect() })
    }
}

/// Number of a timeline: each promotion of a standby begins a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeline(u32);

impl Timeline {
    /// With this number, from 1.
    pub fn new(number: u32) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0
    }

    /// From the first eight digits of the name of a file of the write-ahead log.
    fn parse(digits: &str) -> Option<Self> {
        u32::from_str_radix(digits, 16).ok().and_then(Self::new)
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A session on the primary. To drop it breaks the connection at once, whatever it is waiting for: nothing is
/// cancelled, and the server ends the transaction when it notices.
pub struct Primary {
    client: Arc<Client>,
    host: String,
    timeline: Timeline,
    notices: Arc<Notices>,
    _driver: Driver,
}

/// The task that moves the bytes of a session. It ends with the session, whatever it is waiting for.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for Primary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Primary")
            .field("host", &self.host)
            .field("timeline", &self.timeline)
            .finish_non_exhaustive()
    }
}

impl Primary {
    /// What statements are sent with. Futures of its go through [`Primary::run`], which knows what comes of them.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The same, for what outlives a borrow.
    pub(crate) fn client_shared(&self) -> Arc<Client> {
        Arc::clone(&self.client)
    }

    /// Which host it is on.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The timeline of that host when the session began.
    pub fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// Waits for the answer to a statement, at most this long. `stage` says how far the transaction is once it is sent.
    ///
    /// # Errors
    /// What came of the transaction, if it is not [`Outcome::Done`]. When that is [`Outcome::Unknown`], or its
    /// [`Next::ends_session`](outcome::Next::ends_session), the session is to be dropped.
    pub async fn run<T>(
        &self,
        stage: Stage,
        within: Duration,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        let mark = self.notices.mark();
        let answer = timeout(within, statement).await;
        let arrived = match &answer {
            Ok(Ok(_)) => Arrived::Done { warning: self.notices.since(mark) },
            Ok(Err(error)) => outcome::arrived(error),
            Err(_) => Arrived::Nothing,
        };
        match (outcome::classify(stage, arrived), answer) {
            (Outcome::Done, Ok(Ok(value))) => Ok(value),
            (outcome, Ok(Ok(_))) => Err(Failure { outcome, cause: None }),
            (outcome, Ok(Err(error))) => Err(Failure { outcome, cause: Some(error) }),
            (outcome, Err(_)) => Err(Failure { outcome, cause: None }),
        }
    }
}

/// Why a statement has no answer that counts, and what that means.
#[derive(Debug)]
pub struct Failure {
    /// What came of the transaction; never [`Outcome::Done`].
    pub outcome: Outcome,
    /// The driver's error; none when the deadline passed, or when a warning made a success doubtful.
    pub cause: Option<tokio_postgres::Error>,
}

impl Failure {
    /// The SQLSTATE of a refusal.
    pub fn state(&self) -> Option<&str> {
        self.cause.as_ref().and_then(tokio_postgres::Error::code).map(tokio_postgres::error::SqlState::code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Unknown => "whether it is committed is unknown",
            Outcome::NotCommitted(_) | Outcome::Done => "not committed",
        };
        match &self.cause {
            Some(error) => write!(f, "{outcome}: {}", cause(error)),
            None if self.outcome == Outcome::Unknown => {
                write!(f, "{outcome}: no answer in time, or one with a warning")
            }
            None => write!(f, "{outcome}: no answer in time"),
        }
    }
}

impl std::error::Error for Failure {}

/// Warnings of one session that make a commit doubtful. They come before the success that they are about.
#[derive(Default)]
struct Notices(Mutex<(u64, &'static str)>);

impl Notices {
    fn note(&self, state: &str) {
        if let Some(doubt) = outcome::doubt(state) {
            let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *seen = (seen.0 + 1, doubt);
        }
    }

    fn mark(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn since(&self, mark: u64) -> Option<&'static str> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.0 != mark).then_some(seen.1)
    }
}

/// Why a URL is of no use.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    /// It is not a URL of a database, or asks for what there is not.
    #[error("the URL of the database: {0}")]
    Url(String),
    /// The authorities cannot be read.
    #[error("certificate authorities of the database: {0}")]
    Authorities(String),
}

/// No host is the primary.
#[derive(Debug)]
pub struct NoPrimary {
    /// Name and reason of each, in the order of the URL.
    pub refusals: Vec<(String, Refusal)>,
}

impl fmt::Display for NoPrimary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no primary: ")?;
        for (n, (host, refusal)) in self.refusals.iter().enumerate() {
            let comma = if n > 0 { "; " } else { "" };
            write!(f, "{comma}{host} {refusal}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NoPrimary {}

/// Why a host is not the primary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It follows another.
    #[error("is a standby")]
    Standby,
    /// It takes no writes (`default_transaction_read_only`).
    #[error("is read-only")]
    ReadOnly,
    /// It was the primary once.
    #[error("is an old primary: timeline {found}, and {seen} was seen")]
    Outdated {
        /// Its timeline.
        found: Timeline,
        /// The highest that was seen.
        seen: Timeline,
    },
    /// It did not answer, or not to the end.
    #[error("gave no answer in time")]
    Silent,
    /// It could not be reached, or refused.
    #[error("failed: {cause}")]
    Failed {
        /// SQLSTATE of its refusal.
        state: Option<String>,
        /// In words, without secrets.
        cause: String,
    },
}

impl From<tokio_postgres::Error> for Refusal {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed { state: error.code().map(|state| state.code().to_owned()), cause: cause(&error) }
    }
}

/// Opens a session, and lets the host prove that it is the primary.
async fn open(
    host: Arc<Host>,
    tls: MakeRustlsConnect,
    highest: Arc<AtomicU32>,
    remembered: Option<Arc<Remembered>>,
) -> Result<Primary, Refusal> {
    let (client, connection) = host.config.connect(tls).await?;
    let notices = Arc::new(Notices::default());
    let driver = Driver(tokio::spawn(drive(connection, Arc::clone(&notices))).abort_handle());
    let answer = client.simple_query(CHECK).await?;
    let timeline = judge(&answer, &highest, remembered.as_deref())?;
    Ok(Primary { client: Arc::new(client), host: host.name.clone(), timeline, notices, _driver: driver })
}

/// Moves the bytes of a session, and takes note of what the server warns of.
async fn drive<S, T>(mut connection: Connection<S, T>, notices: Arc<Notices>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notice(notice) = message {
            notices.note(notice.code().code());
        }
    }
}

/// Whether the answer to [`CHECK`] is that of the primary.
fn judge(
    answer: &[SimpleQueryMessage],
    highest: &AtomicU32,
    remembered: Option<&Remembered>,
) -> Result<Timeline, Refusal> {
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let strange = || Refusal::Failed { state: None, cause: "its answer is not that of PostgreSQL".into() };
    let row = row.ok_or_else(strange)?;
    if row.get(0) == Some("t") {
        return Err(Refusal::Standby);
    }
    let found = row.get(2).and_then(Timeline::parse).ok_or_else(strange)?;
    let system = row.get(3).ok_or_else(strange)?;
    if let Some(before) = remembered.and_then(|remembered| remembered.of(system)) {
        highest.fetch_max(before, Ordering::AcqRel);
    }
    let seen = Timeline(highest.fetch_max(found.0, Ordering::AcqRel));
    if found < seen {
        return Err(Refusal::Outdated { found, seen });
    }
    if let Some(remembered) = remembered {
        remembered.keep(Seen { system: system.to_owned(), timeline: found.0 });
    }
    if row.get(1) != Some("off") {
        return Err(Refusal::ReadOnly);
    }
    Ok(found)
}

/// An error in words: the server's message and SQLSTATE without its details, which hold values of rows.
fn cause(error: &tokio_postgres::Error) -> String {
    if let Some(refusal) = error.as_db_error() {
        return format!("{} ({})", refusal.message(), refusal.code().code());
    }
    let mut words = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        words.push_str(": ");
        words.push_str(&error.to_string());
        next = error.source();
    }
    words
}

/// A URL without the parameters that the driver does not know as we mean them.
struct Url {
    plain: String,
    plain_text: bool,
    authorities: Option<PathBuf>,
}

impl Url {
    fn split(url: &str) -> Result<Self, HostsError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(HostsError::Url("it begins with postgres:// or postgresql://".into()));
        }
        let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
        let mut split = Self { plain: place.to_owned(), plain_text: false, authorities: None };
        let mut kept = Vec::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "sslmode" => split.plain_text = plain_text(value)?,
                "sslrootcert" => {
                    let path = percent_decode_str(value).decode_utf8();
                    let path = path.map_err(|_| HostsError::Url("sslrootcert is not UTF-8".into()))?;
                    split.authorities = Some(PathBuf::from(path.into_owned()));
                }
                _ => kept.push(parameter),
            }
        }
        if !kept.is_empty() {
            split.plain.push('?');
            split.plain.push_str(&kept.join("&"));
        }
        Ok(split)
    }
}

fn plain_text(mode: &str) -> Result<bool, HostsError> {
    match mode {
        "disable" => Ok(true),
        "require" | "verify-full" => Ok(false),
        _ => Err(HostsError::Url(
            "sslmode is disable, require or verify-full; with the last two the certificate is verified"
                .into(),
        )),
    }
}

/// One configuration for each host.
fn split(config: &Config, plain_text: bool) -> Result<Vec<Arc<Host>>, HostsError> {
    let (names, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = names.len().max(addresses.len());
    if count == 0 {
        return Err(HostsError::Url("it names no host".into()));
    }
    if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
        return Err(HostsError::Url("there are not as many addresses (hostaddr) as hosts".into()));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(HostsError::Url("there are not as many ports as hosts".into()));
    }
    let host = |n: usize| {
        let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
        let mut one = common(config);
        one.port(port);
        let mut name = String::new();
        if let Some(address) = addresses.get(n) {
            one.hostaddr(*address);
            name = format!("{address}:{port}");
        }
        match names.get(n) {
            Some(Place::Tcp(host)) => {
                one.host(host);
                name = format!("{host}:{port}");
            }
            Some(Place::Unix(path)) => {
                one.host_path(path);
                name = path.display().to_string();
            }
            None => {}
        }
        let local = matches!(names.get(n), Some(Place::Unix(_)));
        one.ssl_mode(if local || plain_text { SslMode::Disable } else { SslMode::Require });
        Arc::new(Host { name, config: one })
    };
    Ok((0..count).map(host).collect())
}

/// What the hosts have in common.
fn common(config: &Config) -> Config {
    let mut one = Config::new();
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(name) = config.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    one.application_name(config.get_application_name().unwrap_or("tongguan"));
    one.ssl_negotiation(config.get_ssl_negotiation()).channel_binding(config.get_channel_binding());
    one.tcp_user_timeout(config.get_tcp_user_timeout().copied().unwrap_or(UNACKNOWLEDGED));
    let (idle, interval, retries) = KEEPALIVE;
    one.keepalives(config.get_keepalives());
    one.keepalives_idle(match config.get_keepalives_idle() {
        UNSET_IDLE => idle,
        given => given,
    });
    one.keepalives_interval(config.get_keepalives_interval().unwrap_or(interval));
    one.keepalives_retries(config.get_keepalives_retries().unwrap_or(retries));
    one
}

/// The authorities of this file, or those of the platform.
fn roots(file: Option<&Path>) -> Result<RootCertStore, HostsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = file {
        let wrong = |what: String| HostsError::Authorities(format!("`{}`: {what}", path.display()));
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        for certificate in read.map_err(|error| wrong(error.to_string()))? {
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(wrong("holds no certificate".into()));
        }
    } else {
        let native = rustls_native_certs::load_native_certs();
        let (added, _unusable) = roots.add_parsable_certificates(native.certs);
        if added == 0 {
            return Err(HostsError::Authorities("the platform has none; name a file of them".into()));
        }
    }
    Ok(roots)
}

fn client(roots: RootCertStore) -> Result<ClientConfig, HostsError> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| HostsError::Authorities(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Hosts, HostsError> {
        Hosts::parse(url, Access::default())
    }

    fn refused(url: &str) -> String {
        parse(url).unwrap_err().to_string()
    }

    #[test]
    fn every_host_has_a_configuration_of_its_own() {
        let hosts = parse("postgres://u:pw@one,two:5433,192.0.2.3:5434/db?sslmode=disable").unwrap();
        assert_eq!(hosts.names().collect::<Vec<_>>(), ["one:5432", "two:5433", "192.0.2.3:5434"]);
        for (host, port) in hosts.hosts.iter().zip([5432, 5433, 5434]) {
            assert_eq!(host.config.get_ports(), [port]);
            assert_eq!(host.config.get_hosts().len(), 1);
            assert_eq!(host.config.get_user(), Some("u"));
            assert_eq!(host.config.get_password(), Some(&b"pw"[..]));
            assert_eq!(host.config.get_dbname(), Some("db"));
            assert_eq!(host.config.get_ssl_mode(), SslMode::Disable);
            assert_eq!(host.config.get_tcp_user_timeout(), Some(&UNACKNOWLEDGED));
            assert_eq!(host.config.get_keepalives_idle(), KEEPALIVE.0);
            assert_eq!(host.config.get_application_name(), Some("tongguan"));
        }
        let given =
            "postgres://u@h/db?sslmode=disable&keepalives_idle=9&application_name=a&tcp_user_timeout=7";
        let given = parse(given).unwrap();
        let config = &given.hosts[0].config;
        assert_eq!(config.get_keepalives_idle(), Duration::from_secs(9));
        assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_secs(7)));
        assert_eq!(config.get_application_name(), Some("a"));
    }

    #[test]
    fn addresses_go_with_their_names() {
        let hosts = parse("postgres://u@a,b/db?hostaddr=192.0.2.1,192.0.2.2&sslmode=disable").unwrap();
        assert_eq!(hosts.names().collect::<Vec<_>>(), ["a:5432", "b:5432"]);
        let addresses = |n: usize| hosts.hosts[n].config.get_hostaddrs().to_vec();
        assert_eq!(addresses(0), ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(addresses(1), ["192.0.2.2".parse::<std::net::IpAddr>().unwrap()]);
        assert!(refused("postgres://u@a,b/db?hostaddr=192.0.2.1&sslmode=disable").contains("hostaddr"));
    }

    #[test]
    fn tls_is_on_unless_it_is_said_to_be_off() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let url = |mode: &str| format!("postgres://u@h/db?{mode}sslrootcert={}", file.path().display());
        // With TLS the file is read, and it is empty.
        for mode in ["", "sslmode=require&", "sslmode=verify-full&"] {
            assert!(refused(&url(mode)).contains("holds no certificate"), "{mode}");
        }
        assert!(parse(&url("sslmode=disable&")).is_ok());
        for mode in ["prefer", "allow", "verify-ca", "no", ""] {
            assert!(refused(&url(&format!("sslmode={mode}&"))).contains("sslmode is disable"), "{mode}");
        }
    }

    #[test]
    fn a_socket_needs_no_tls() {
        let hosts = parse("postgres://u@%2Frun%2Fpostgresql/db").unwrap();
        assert_eq!(hosts.names().collect::<Vec<_>>(), ["/run/postgresql"]);
        assert_eq!(hosts.hosts[0].config.get_ssl_mode(), SslMode::Disable);
    }

    #[test]
    fn the_password_that_is_given_comes_before_that_of_the_url() {
        let access = Access { password: Some(b"given"), authorities: None };
        let hosts = Hosts::parse("postgres://u:pw@h/db?sslmode=disable", access).unwrap();
        assert_eq!(hosts.hosts[0].config.get_password(), Some(&b"given"[..]));
        let shown = format!("{hosts:?} {access:?}");
        assert!(!shown.contains("given") && !shown.contains("pw"), "{shown}");
    }

    #[test]
    fn what_is_no_url_of_hosts_is_refused_without_its_password() {
        for (url, why) in [
            ("host=a user=u", "begins with postgres://"),
            ("mysql://u:secret@h/db", "begins with postgres://"),
            ("postgres://u:secret@/db?sslmode=disable", "names no host"),
            ("postgres://u:secret@h:port/db?sslmode=disable", "port"),
            ("postgres://u:secret@h/db?sslmode=disable&unheard=of", "unheard"),
            ("postgres://u:secret@h/db?sslmode=disable&target_session_attrs=read-only", "only the primary"),
        ] {
            let message = refused(url);
            assert!(message.contains(why), "{url}: {message}");
            assert!(!message.contains("secret"), "{url}: {message}");
        }
    }

    #[test]
    fn a_timeline_is_the_head_of_a_name_in_the_log() {
        assert_eq!(Timeline::parse("0000001A"), Timeline::new(26));
        for wrong in ["", "00000000", "0000000G"] {
            assert_eq!(Timeline::parse(wrong), None, "{wrong}");
        }
        let hosts = parse("postgres://u@h/db?sslmode=disable").unwrap();
        assert_eq!(hosts.timeline(), None);
        hosts.saw(Timeline(4));
        hosts.saw(Timeline(3));
        assert_eq!(hosts.timeline(), Some(Timeline(4)));
    }

    #[test]
    fn doubtful_warnings_are_those_since_the_mark() {
        let notices = Notices::default();
        notices.note("01000");
        let mark = notices.mark();
        notices.note("25P01");
        assert_eq!(notices.since(mark), None);
        notices.note("57P01");
        assert_eq!(notices.since(mark), Some("57P01"));
    }
}
