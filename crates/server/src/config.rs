//! Configuration: command line over environment over file over defaults.

use std::io::Read as _;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use ipnet::Ipv4Net;
use serde::Deserialize;
use tongguan_dataplane::{ApplyDelay, Peers};
use tongguan_model::limits::Quotas;
use tongguan_model::policy::{Attached, Policy, PolicySet, system_policy};
use tongguan_model::region::{self, Region};
use tongguan_rpc::Secret;
use tongguan_service::accounts::account_id;
use tongguan_service::throttle::Rate;
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

use crate::cli::MarkArgs;
use crate::database::{DatabaseArgs, Shared};
use crate::permissions;
use crate::secrets::{self, KeyArgs, KeySource};

const AFTER_HELP: &str = "\
Variables without an option, since secrets do not belong on a command line:
  TONGGUAN_ACCESS_KEY_ID, TONGGUAN_ACCESS_KEY_SECRET  root key; without them the first start creates one
  TONGGUAN_ACCOUNT_ID                                 its account, 16 digits
  TONGGUAN_MASTER_KEY                                 the master key itself, 64 hex digits
  TONGGUAN_TEST_TOKEN                                 what callers of the test API show

The command line wins over variables, variables over the configuration file. An invalid value ends with exit code 78
wherever it stands; docs/operations.md lists the codes.";

/// The data plane that moves no packets.
const DETACHED: &str = "detached";

/// Serve the API, on the embedded store or on a database that several nodes share.
#[derive(Debug, Default, Clone, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ServeArgs {
    /// Say whether the configuration is right, and end: no database is opened, no port is taken, nothing is changed.
    #[arg(long)]
    pub check: bool,
    /// Configuration file (TOML); its keys are named like these options, with underscores.
    #[arg(long, env = "TONGGUAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on; port 0 selects a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "TONGGUAN_LISTEN", value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Directory that holds the database and the keys [default: data]
    #[arg(long, env = "TONGGUAN_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// When a change takes effect: 0 (at once), a duration (250ms, 1s), or polls:N (after N Describe calls)
    /// [default: 1s]
    #[arg(long, env = "TONGGUAN_APPLY_DELAY", value_name = "WHEN")]
    apply_delay: Option<String>,
    /// What the far ends of tunnels do, since no packet is moved: silent, until `tongguan tunnel set-state` reports
    /// otherwise, or answer, as soon as a tunnel is in force [default: silent]
    #[arg(long, env = "TONGGUAN_DETACHED_PEERS", value_name = "silent|answer")]
    detached_peers: Option<String>,
    /// Where gateways are: detached, which records what is applied and moves no packet, or gateways:SOCKET, those of
    /// the `tongguan supervisor` that takes orders at SOCKET [default: detached]
    #[arg(long, env = "TONGGUAN_DATAPLANE", value_name = "detached|gateways:SOCKET")]
    dataplane: Option<String>,
    /// Certificate chain of the listener, PEM; with --tls-key the service speaks HTTPS.
    #[arg(long, env = "TONGGUAN_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Private key of the listener, PEM, readable by its owner alone.
    #[arg(long, env = "TONGGUAN_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// A quota, such as vpn_gateways_per_account=100000; may be repeated.
    #[arg(long = "quota", env = "TONGGUAN_QUOTA", value_name = "NAME=VALUE", value_delimiter = ',')]
    quota: Vec<String>,
    /// Region of calls that do not name one [default: cn-hangzhou]
    #[arg(long, env = "TONGGUAN_REGION", value_name = "REGION")]
    region: Option<String>,
    /// Host and port returned by DescribeEndpoints [default: the host that the call was sent to]
    #[arg(long, env = "TONGGUAN_ENDPOINT", value_name = "HOST:PORT")]
    endpoint: Option<String>,
    /// Address pool of public gateways [default: 198.18.0.0/15]
    #[arg(long, env = "TONGGUAN_ADDRESS_POOL", value_name = "CIDR")]
    address_pool: Option<String>,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    mark: MarkArgs,
    /// How much is logged: error, warn, info, debug or trace, or a filter such as info,tongguan::request=debug
    /// [default: info]
    #[arg(long, env = "TONGGUAN_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// Log lines as JSON.
    #[arg(long, env = "TONGGUAN_LOG_JSON")]
    log_json: bool,
    /// File to which every audit record is appended as a line of JSON, beside the database; opened anew on SIGHUP.
    #[arg(long, env = "TONGGUAN_AUDIT_LOG", value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Address of health checks and metrics, or `off`; a bare port is one of the loopback address [default:
    /// 127.0.0.1:8081]
    #[arg(long, env = "TONGGUAN_ADMIN_LISTEN", value_name = "HOST:PORT|off")]
    admin_listen: Option<String>,
    /// Serve the test API on the admin listener: reset, faults, clock. The data directory is for that alone from its
    /// beginning
    #[arg(long, env = "TONGGUAN_TEST_API")]
    test_api: bool,
    /// Requests per second for each account, or `off` [default: off on a loopback address, else 1000]
    #[arg(long, env = "TONGGUAN_RATE_LIMIT", value_name = "N|off")]
    rate_limit: Option<String>,
    /// Burst of requests that an account may send after a pause [default: twice the rate limit]
    #[arg(long, env = "TONGGUAN_RATE_BURST", value_name = "N")]
    rate_burst: Option<NonZeroU32>,
}

/// The configuration file. Unknown keys are refused, since a misspelt limit is no limit.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<String>,
    data_dir: Option<PathBuf>,
    database: Option<String>,
    database_password_file: Option<PathBuf>,
    database_ca: Option<PathBuf>,
    apply_delay: Option<String>,
    detached_peers: Option<String>,
    dataplane: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    region: Option<String>,
    endpoint: Option<String>,
    address_pool: Option<String>,
    master_key_file: Option<PathBuf>,
    master_key_command: Option<CommandLine>,
    mark_file: Option<PathBuf>,
    log: Option<String>,
    log_json: Option<bool>,
    audit_log: Option<PathBuf>,
    admin_listen: Option<TextOrNumber>,
    test_api: Option<bool>,
    test_token: Option<GivenSecret>,
    rate_limit: Option<TextOrNumber>,
    rate_burst: Option<NonZeroU32>,
    account_id: Option<String>,
    access_key_id: Option<String>,
    access_key_secret: Option<GivenSecret>,
    #[serde(default)]
    quota: std::collections::BTreeMap<String, u64>,
    #[serde(default)]
    principal: Vec<PrincipalEntry>,
}

/// A value that is a number or a word, such as `off`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Text(String),
    Number(u32),
}

impl From<TextOrNumber> for String {
    fn from(value: TextOrNumber) -> Self {
        match value {
            TextOrNumber::Text(text) => text,
            TextOrNumber::Number(number) => number.to_string(),
        }
    }
}

/// A command: a list of program and arguments, or a string that is split at spaces.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum CommandLine {
    List(Vec<String>),
    Text(String),
}

impl From<CommandLine> for Vec<String> {
    fn from(value: CommandLine) -> Self {
        match value {
            CommandLine::List(list) => list,
            CommandLine::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        }
    }
}

/// A secret of the configuration file: not printed, and not quoted in an error if it is not a text.
#[derive(Debug, Clone)]
pub(crate) struct GivenSecret(pub Secret);

impl<'de> Deserialize<'de> for GivenSecret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer) {
            Ok(text) => Ok(Self(Secret::from(text))),
            Err(_) => Err(serde::de::Error::custom("a secret is a text in quotation marks")),
        }
    }
}

/// Who may use the test API.
#[derive(Debug, Clone)]
pub(crate) struct TestAccess {
    /// What callers have to show; none: whoever reaches the loopback address may.
    pub token: Option<Secret>,
    /// The data directory is a copy that was made for tests, of a database that may be for something else.
    pub copy: bool,
}

/// Where the admin listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AdminListen {
    /// Nowhere.
    Off,
    /// At its usual place, or on a free port if that is taken.
    Default,
    /// Here.
    At(String),
}

/// A principal of the configuration file: an access key and what its owner may do.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrincipalEntry {
    /// Account of the principal.
    pub account_id: String,
    /// RAM user; absent: the account itself.
    pub user_name: Option<String>,
    /// Access key id.
    pub access_key_id: String,
    /// Secret of the key.
    pub access_key_secret: Option<GivenSecret>,
    /// File that holds the secret.
    pub access_key_secret_file: Option<PathBuf>,
    /// File with an RSA public key (PEM): the key signs with ACS3-RSA-SHA256.
    pub rsa_public_key_file: Option<PathBuf>,
    /// `Active` or `Inactive`.
    #[serde(default = "active")]
    pub status: String,
    /// Names of system policies.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Files with policy documents.
    #[serde(default)]
    pub policy_files: Vec<PathBuf>,
}

impl PrincipalEntry {
    /// The policies that are given, compiled.
    ///
    /// # Errors
    /// A name is no system policy's; a file cannot be read, or is no policy.
    pub(crate) fn policies(&self) -> anyhow::Result<PolicySet> {
        let mut attached = Vec::new();
        for name in &self.policies {
            let policy =
                system_policy(name).with_context(|| format!("policies: `{name}` is no system policy"))?;
            let origin = format!("policy/{name} (System), of the configuration");
            attached.push(Attached { origin, policy });
        }
        for path in &self.policy_files {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
            let policy = Policy::parse(&text).with_context(|| format!("`{}`", path.display()))?;
            let origin = format!("file {}, of the configuration", path.display());
            attached.push(Attached { origin, policy: Arc::new(policy) });
        }
        Ok(PolicySet::new(attached))
    }

    /// Names of its policies, and what is in its files but for secrets: what decides who it is and what it may do.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn documents(&self) -> anyhow::Result<Vec<String>> {
        let mut documents = self.policies.clone();
        for path in self.policy_files.iter().chain(&self.rsa_public_key_file) {
            let text = std::fs::read_to_string(path);
            documents.push(text.with_context(|| format!("cannot read `{}`", path.display()))?);
        }
        Ok(documents)
    }
}

impl std::fmt::Debug for PrincipalEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrincipalEntry").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

fn active() -> String {
    "Active".into()
}

/// What `serve` runs with.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Address and port to listen on.
    pub listen: String,
    /// Directory that holds the database and the keys.
    pub data_dir: PathBuf,
    /// The database that several nodes share; none: the embedded store in the data directory.
    pub database: Option<Shared>,
    /// When a change comes into force.
    pub apply_delay: String,
    /// What the far ends of tunnels do.
    pub detached_peers: String,
    /// Where gateways are.
    pub dataplane: String,
    /// Certificate and key of the listener.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Limits.
    pub quotas: Quotas,
    /// Region of calls that do not name one.
    pub region: String,
    /// Host and port returned by DescribeEndpoints.
    pub endpoint: Option<String>,
    /// Address pool of public gateways.
    pub address_pool: Option<String>,
    /// Where the master key comes from.
    pub master_key: KeySource,
    /// Where the mark is kept; none: in the data directory.
    pub mark_file: Option<PathBuf>,
    /// How much is logged, in the syntax of `tracing`.
    pub log: String,
    /// Log lines as JSON.
    pub log_json: bool,
    /// File to which audit records are appended.
    pub audit_log: Option<PathBuf>,
    /// The admin listener.
    pub admin_listen: AdminListen,
    /// The test API, if it is served.
    pub test: Option<TestAccess>,
    /// Requests per second of each account.
    pub rate: Option<Rate>,
    /// Account of the root key.
    pub account_id: Option<String>,
    /// Root key given from outside.
    pub access_key_id: Option<String>,
    /// Its secret.
    pub access_key_secret: Option<Secret>,
    /// Further principals.
    pub principals: Vec<PrincipalEntry>,
    /// It is not ready before [`crate::serve::Running::prepared`].
    pub waits_for_init: bool,
    /// Print nothing.
    pub quiet: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            data_dir: "data".into(),
            database: None,
            apply_delay: "1s".into(),
            detached_peers: Peers::Silent.as_str().into(),
            dataplane: DETACHED.into(),
            tls: None,
            quotas: Quotas::default(),
            region: "cn-hangzhou".into(),
            endpoint: None,
            address_pool: None,
            master_key: KeySource::DataDirectory,
            mark_file: None,
            log: "info".into(),
            log_json: false,
            audit_log: None,
            admin_listen: AdminListen::Off,
            test: None,
            rate: None,
            account_id: None,
            access_key_id: None,
            access_key_secret: None,
            principals: Vec::new(),
            waits_for_init: false,
            quiet: false,
        }
    }
}

impl Config {
    /// Merges command line, environment, file and defaults.
    pub(crate) fn load(args: ServeArgs) -> anyhow::Result<Self> {
        let file = args.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let database = args.database.or(file.database());
        let defaults = Self::default();
        let mut quotas = Quotas::default();
        for (name, value) in &file.quota {
            quotas.set(name, *value).with_context(|| UNKNOWN_QUOTA)?;
        }
        for entry in &args.quota {
            set_quota(&mut quotas, entry)?;
        }
        let tls = match (args.tls_cert.or(file.tls_cert), args.tls_key.or(file.tls_key)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                bail!("tls_cert and tls_key go together: {} and {}", named("tls_cert"), named("tls_key"))
            }
        };
        let in_file = file.master_key_command.map(Vec::from);
        let in_file = || secrets::one_source(file.master_key_file, in_file, None);
        let master_key =
            args.keys.source()?.map_or_else(in_file, |source| Ok(Some(source)))?.unwrap_or_default();
        let listen = args.listen.or(file.listen).unwrap_or(defaults.listen);
        let test_token =
            environment("TONGGUAN_TEST_TOKEN").map(Secret::from).or(file.test_token.map(|given| given.0));
        let test = args.test_api || file.test_api.unwrap_or(false);
        let rate_limit = args.rate_limit.or(file.rate_limit.map(String::from));
        let rate = rate(&listen, rate_limit.as_deref(), args.rate_burst.or(file.rate_burst))?;
        let config = Self {
            listen,
            data_dir: args.data_dir.or(file.data_dir).unwrap_or(defaults.data_dir),
            database: Shared::new(database)?,
            apply_delay: args.apply_delay.or(file.apply_delay).unwrap_or(defaults.apply_delay),
            detached_peers: args.detached_peers.or(file.detached_peers).unwrap_or(defaults.detached_peers),
            dataplane: args.dataplane.or(file.dataplane).unwrap_or(defaults.dataplane),
            tls,
            quotas,
            region: args.region.or(file.region).unwrap_or(defaults.region),
            endpoint: args.endpoint.or(file.endpoint),
            address_pool: args.address_pool.or(file.address_pool),
            master_key,
            mark_file: args.mark.mark_file.or(file.mark_file),
            log: args.log.filter(|log| !log.is_empty()).or(file.log).unwrap_or(defaults.log),
            log_json: args.log_json || file.log_json.unwrap_or(false),
            audit_log: args.audit_log.or(file.audit_log),
            admin_listen: admin_listen(args.admin_listen.or(file.admin_listen.map(String::from))),
            test: test.then_some(TestAccess { token: test_token, copy: false }),
            rate,
            account_id: environment("TONGGUAN_ACCOUNT_ID").or(file.account_id),
            access_key_id: environment("TONGGUAN_ACCESS_KEY_ID").or(file.access_key_id),
            access_key_secret: environment("TONGGUAN_ACCESS_KEY_SECRET")
                .map(Secret::from)
                .or(file.access_key_secret.map(|given| given.0)),
            principals: file.principal,
            waits_for_init: false,
            quiet: false,
        };
        config.checked()
    }

    /// The configuration, if each of its values can be read.
    ///
    /// # Errors
    /// The first that cannot, with all its names.
    pub(crate) fn checked(self) -> anyhow::Result<Self> {
        host_and_port(&self.listen).with_context(|| named("listen"))?;
        if let AdminListen::At(address) = &self.admin_listen {
            let also = "a bare port, or `off`";
            host_and_port(address).with_context(|| format!("{} (or {also})", named("admin_listen")))?;
        }
        if let Some(endpoint) = &self.endpoint {
            host_and_port(endpoint).with_context(|| named("endpoint"))?;
        }
        self.check_database()?;
        self.check_test_api()?;
        self.log()?;
        self.apply_delay()?;
        self.detached_peers()?;
        self.supervisor()?;
        self.region()?;
        self.address_pool()?;
        if let Some(id) = &self.account_id {
            account_id(id).context("account_id (TONGGUAN_ACCOUNT_ID)")?;
        }
        for entry in &self.principals {
            let of = || format!("account_id of principal `{}`", entry.access_key_id);
            account_id(&entry.account_id).with_context(of)?;
        }
        Ok(self)
    }

    /// Sets a quota, given as NAME=VALUE.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn set_quota(&mut self, entry: &str) -> anyhow::Result<()> {
        set_quota(&mut self.quotas, entry)
    }

    /// What cannot be shared is not asked for.
    fn check_database(&self) -> anyhow::Result<()> {
        let Some(database) = &self.database else { return Ok(()) };
        database.check()?;
        if matches!(self.master_key, KeySource::DataDirectory) {
            bail!("nodes share one master key: master_key_file, master_key_command or TONGGUAN_MASTER_KEY");
        }
        if self.mark_file.is_some() {
            bail!("{} is of the embedded store", named("mark_file"));
        }
        if self.audit_log.is_some() {
            bail!("{} is of the embedded store", named("audit_log"));
        }
        if self.test.is_some() {
            bail!("{} is of the embedded store", named("test_api"));
        }
        if self.apply_delay.starts_with("polls:") {
            bail!("{} counts calls, which several nodes answer: give a time", named("apply_delay"));
        }
        Ok(())
    }

    /// The test API has a listener, and asks for a token where others reach it.
    fn check_test_api(&self) -> anyhow::Result<()> {
        let Some(TestAccess { token, .. }) = &self.test else { return Ok(()) };
        match &self.admin_listen {
            AdminListen::Off => {
                bail!("{} needs the admin listener, and {} is off", named("test_api"), named("admin_listen"))
            }
            AdminListen::At(address) if token.is_none() && !is_loopback(address) => bail!(
                "the test API on `{address}`, which others reach, needs a token: TONGGUAN_TEST_TOKEN, or test_token in \
                 the configuration file"
            ),
            AdminListen::At(_) | AdminListen::Default => Ok(()),
        }
    }

    /// What is logged, read.
    pub(crate) fn log(&self) -> anyhow::Result<EnvFilter> {
        let text = &self.log;
        // The driver of the database would log each statement with what is bound to it.
        let quiet = "tokio_postgres=warn".parse().context("a filter of our own")?;
        EnvFilter::try_new(text)
            .map(|filter| filter.add_directive(quiet))
            .map_err(|error| anyhow!("{} `{text}` is neither a level nor a filter: {error}", named("log")))
    }

    /// The apply delay, read.
    pub(crate) fn apply_delay(&self) -> anyhow::Result<ApplyDelay> {
        let text = &self.apply_delay;
        text.parse().map_err(|_| {
            anyhow!(
                "{} `{text}` is neither 0, nor a time such as 250ms or 1s, nor polls:N",
                named("apply_delay")
            )
        })
    }

    /// What the far ends of tunnels do, read.
    pub(crate) fn detached_peers(&self) -> anyhow::Result<Peers> {
        let text = &self.detached_peers;
        Peers::parse(text)
            .ok_or_else(|| anyhow!("{} `{text}` is neither silent nor answer", named("detached_peers")))
    }

    /// The socket of the supervisor whose gateways are used; none: the data plane is detached.
    pub(crate) fn supervisor(&self) -> anyhow::Result<Option<PathBuf>> {
        match self.dataplane.split_once(':') {
            None if self.dataplane == DETACHED => Ok(None),
            Some(("gateways", _)) if self.test.is_some() => Err(anyhow!(
                "the test API steers the detached data plane: {} is `gateways`",
                named("dataplane")
            )),
            Some(("gateways", socket)) if !socket.is_empty() => Ok(Some(socket.into())),
            _ => {
                let given = &self.dataplane;
                Err(anyhow!("{} `{given}` is neither detached nor gateways:SOCKET", named("dataplane")))
            }
        }
    }

    /// The default region, found.
    pub(crate) fn region(&self) -> anyhow::Result<&'static Region> {
        region::find(&self.region).with_context(|| {
            let known: Vec<&str> = region::regions().iter().map(|region| region.id).collect();
            format!("{} `{}` is none of {}", named("region"), self.region, known.join(", "))
        })
    }

    /// The address pool, read.
    pub(crate) fn address_pool(&self) -> anyhow::Result<Option<Ipv4Net>> {
        let read = |pool: &str| {
            let wrong =
                || anyhow!("{} `{pool}` is no IPv4 CIDR block such as 198.18.0.0/15", named("address_pool"));
            pool.parse().map_err(|_| wrong())
        };
        self.address_pool.as_deref().map(read).transpose()
    }
}

const UNKNOWN_QUOTA: &str = "quota (docs/reference.md lists their names)";

/// A setting by all its names: option, variable, key of the configuration file.
fn named(key: &str) -> String {
    format!("--{} (TONGGUAN_{}, {key} in the configuration file)", key.replace('_', "-"), key.to_uppercase())
}

/// Refuses what is not `HOST:PORT`.
fn host_and_port(text: &str) -> anyhow::Result<()> {
    let fits = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_fits = match bare {
            Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.contains([':', '/', ' ']),
        };
        host_fits && !port.starts_with('+') && port.parse::<u16>().is_ok()
    });
    if fits { Ok(()) } else { bail!("`{text}` is not HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080") }
}

fn admin_listen(text: Option<String>) -> AdminListen {
    match text {
        None => AdminListen::Default,
        Some(text) if text == "off" => AdminListen::Off,
        Some(text) if text.parse::<u16>().is_ok() => AdminListen::At(format!("127.0.0.1:{text}")),
        Some(text) => AdminListen::At(text),
    }
}

/// The rate limit of each account. A service that others can reach has one unless it is set to `off`.
fn rate(listen: &str, limit: Option<&str>, burst: Option<NonZeroU32>) -> anyhow::Result<Option<Rate>> {
    const ELSEWHERE: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
    let per_second = match limit {
        Some("off") => None,
        Some(text) => Some(text.parse().map_err(|_| {
            anyhow!("{} `{text}` is neither a whole number above 0 nor `off`", named("rate_limit"))
        })?),
        None if is_loopback(listen) => None,
        None => Some(ELSEWHERE),
    };
    match (per_second, burst) {
        (None, Some(_)) if limit.is_none() => {
            bail!("{} needs {} on a loopback address", named("rate_burst"), named("rate_limit"))
        }
        (None, _) => Ok(None),
        (Some(per_second), burst) => {
            let burst = burst.unwrap_or(per_second.saturating_mul(NonZeroU32::MIN.saturating_add(1)));
            Ok(Some(Rate { per_second, burst }))
        }
    }
}

/// Whether this `HOST:PORT` can be reached from this machine alone.
pub(crate) fn is_loopback(listen: &str) -> bool {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Secrets do not belong on a command line: root credentials come from the environment or the file.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn read_file(path: &Path) -> anyhow::Result<File> {
    let failed = || format!("cannot read `{}`", path.display());
    let mut opened = std::fs::File::open(path).with_context(failed)?;
    let mut text = Zeroizing::new(String::new());
    opened.read_to_string(&mut text).with_context(failed)?;
    let mut file: File = toml::from_str(&text).map_err(|error| {
        // The error's own text quotes the line, which may hold a secret.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        anyhow::anyhow!("cannot understand `{}`, line {line}: {}", path.display(), error.message())
    })?;
    let secrets = file.principal.iter().map(|principal| &principal.access_key_secret);
    if secrets.chain([&file.access_key_secret, &file.test_token]).any(Option::is_some) {
        permissions::judge_opened(path, &opened)?;
    }
    let base = path.parent().unwrap_or(Path::new(""));
    for entry in &mut file.principal {
        let files = [&mut entry.access_key_secret_file, &mut entry.rsa_public_key_file];
        for path in files.into_iter().flatten().chain(&mut entry.policy_files) {
            *path = base.join(&*path);
        }
    }
    Ok(file)
}

/// What commands other than `serve` want of a configuration file: where the store is, and its principals.
#[derive(Debug, Default)]
pub(crate) struct Configured {
    /// The data directory.
    pub data_dir: Option<PathBuf>,
    /// The database that several nodes share.
    pub database: DatabaseArgs,
    /// Principals with keys of their own.
    pub principals: Vec<PrincipalEntry>,
}

impl Configured {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read or understood, or holds secrets and is open to others.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let file = read_file(path)?;
        let database = file.database();
        Ok(Self { data_dir: file.data_dir, database, principals: file.principal })
    }
}

impl File {
    /// The database that several nodes share.
    fn database(&self) -> DatabaseArgs {
        DatabaseArgs {
            database: self.database.clone(),
            database_password_file: self.database_password_file.clone(),
            database_ca: self.database_ca.clone(),
        }
    }
}

fn set_quota(quotas: &mut Quotas, entry: &str) -> anyhow::Result<()> {
    let Some((name, value)) = entry.split_once('=') else {
        bail!("{} `{entry}` is not NAME=VALUE", named("quota"))
    };
    let value = value.parse().map_err(|_| anyhow!("{} `{entry}` has no whole number", named("quota")))?;
    quotas.set(name, value).with_context(|| UNKNOWN_QUOTA)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tongguan.toml");
        std::fs::write(
            &path,
            "listen = '0.0.0.0:1'\napply_delay = '2s'\n[quota]\nvpcs_per_region = 3\n\
             [[principal]]\naccount_id = '1234567890123456'\naccess_key_id = 'k'\nrsa_public_key_file = 'k.pem'\n",
        )
        .unwrap();
        let args = ServeArgs {
            config: Some(path.clone()),
            listen: Some("127.0.0.1:2".into()),
            quota: vec!["vswitches_per_vpc=5".into()],
            ..ServeArgs::default()
        };
        let config = Config::load(args).unwrap();
        assert_eq!(config.listen, "127.0.0.1:2");
        assert_eq!(config.apply_delay, "2s");
        assert_eq!((config.quotas.vpcs_per_region, config.quotas.vswitches_per_vpc), (3, 5));
        assert_eq!(config.principals[0].rsa_public_key_file, Some(directory.path().join("k.pem")));
        std::fs::write(&path, "lisen = 'x'\n").unwrap();
        assert!(Config::load(ServeArgs { config: Some(path), ..ServeArgs::default() }).is_err());
    }

    #[test]
    fn nothing_that_holds_a_secret_prints_it() {
        const SECRET: &str = "a secret of a test";
        let text = format!(
            "access_key_id = 'k'\naccess_key_secret = '{SECRET}'\n\
             [[principal]]\naccount_id = '1234567890123456'\naccess_key_id = 'k'\naccess_key_secret = '{SECRET}'\n"
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tongguan.toml");
        std::fs::write(&path, &text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let file: File = toml::from_str(&text).unwrap();
        let config = Config::load(ServeArgs { config: Some(path), ..ServeArgs::default() }).unwrap();
        let principal = &config.principals[0];
        let key = tongguan_service::keyring::RootKey {
            account: tongguan_model::id::AccountId::new("1"),
            id: "k".into(),
            secret: config.access_key_secret.clone().unwrap(),
        };
        let shown = format!("{file:?} {config:?} {principal:?} {:?} {key:?}", principal.access_key_secret);
        let key = key.into_key();
        let shown = format!("{shown} {key:?} {:?}", key.credential);
        assert!(shown.contains("***") && !shown.contains(SECRET), "{shown}");
        // Nor is it quoted when it is not understood.
        for wrong in
            [text.replacen('\'', "", 3), text.replace("account_id", "acount_id"), format!("{text}{SECRET}")]
        {
            std::fs::write(directory.path().join("tongguan.toml"), wrong).unwrap();
            let said = read_file(&directory.path().join("tongguan.toml")).unwrap_err();
            assert!(!format!("{said:#} {said:?}").contains(SECRET), "{said:#}");
        }
    }

    /// The names that serde would accept.
    fn keys<T: serde::de::DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
        let error = toml::from_str::<T>("no_such_key = 1").unwrap_err().to_string();
        let (_, expected) = error.split_once("expected one of ").unwrap();
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_example_names_every_key() {
        let text = include_str!("../../../dist/tongguan.toml");
        // As it is, it sets nothing; uncommented, everything.
        assert!(toml::from_str::<toml::Table>(text).unwrap().is_empty());
        let set: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') => {
                    rest
                }
                _ => line,
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let file: File = toml::from_str(&set).unwrap();
        assert_eq!(file.principal.len(), 3);
        let table: toml::Table = toml::from_str(&set).unwrap();
        for key in keys::<File>() {
            assert!(table.contains_key(&key), "the example has no {key}");
        }
        let principals = table["principal"].as_array().unwrap();
        for key in keys::<PrincipalEntry>() {
            let named = principals.iter().any(|principal| principal.get(&key).is_some());
            assert!(named, "no principal of the example has {key}");
        }
        let mut quotas = Quotas::default();
        for (name, value) in &file.quota {
            let before = quotas.clone();
            quotas.set(name, *value).unwrap();
            assert_eq!(quotas, before, "{name} is not the default");
        }
        // What it calls the default is the default.
        let defaults = Config::default();
        assert_eq!(file.listen, Some(defaults.listen));
        assert_eq!(file.log, Some(defaults.log));
        assert_eq!(file.apply_delay, Some(defaults.apply_delay));
        assert_eq!(file.detached_peers, Some(defaults.detached_peers));
        assert_eq!(file.dataplane, Some(defaults.dataplane));
        assert_eq!(file.region, Some(defaults.region));
        assert_eq!(file.data_dir, Some(defaults.data_dir));
    }

    /// Each key of the file with a value that is not its default, as it stands in the file and on the command line.
    /// What is a secret, or a table, stands in the file alone.
    const SET: &[(&str, &str, Option<&str>)] = &[
        ("listen", "'127.0.0.1:1'", Some("127.0.0.1:1")),
        ("data_dir", "'elsewhere'", Some("elsewhere")),
        ("database", "'postgres://a@h/n'", Some("postgres://a@h/n")),
        ("database_password_file", "'p'", Some("p")),
        ("database_ca", "'a'", Some("a")),
        ("apply_delay", "'polls:3'", Some("polls:3")),
        ("detached_peers", "'answer'", Some("answer")),
        ("dataplane", "'gateways:s'", Some("gateways:s")),
        ("tls_cert", "'c'", Some("c")),
        ("tls_key", "'k'", Some("k")),
        ("region", "'cn-beijing'", Some("cn-beijing")),
        ("endpoint", "'e:1'", Some("e:1")),
        ("address_pool", "'10.0.0.0/8'", Some("10.0.0.0/8")),
        ("master_key_file", "'f'", Some("f")),
        ("master_key_command", "['a', 'b']", Some("a b")),
        ("mark_file", "'m'", Some("m")),
        ("log", "'debug'", Some("debug")),
        ("log_json", "true", Some("")),
        ("audit_log", "'l'", Some("l")),
        ("admin_listen", "7", Some("7")),
        ("test_api", "true", Some("")),
        ("test_token", "'t'", None),
        ("rate_limit", "7", Some("7")),
        ("rate_burst", "7", Some("7")),
        ("account_id", "'1234567890123456'", None),
        ("access_key_id", "'i'", None),
        ("access_key_secret", "'s'", None),
        ("quota", "{ vpcs_per_region = 3 }", Some("vpcs_per_region=3")),
        ("principal", "[{ account_id = '1234567890123456', access_key_id = 'k' }]", None),
    ];
    /// Keys that say nothing without another one.
    const TOGETHER: &[(&str, &[&str])] = &[
        ("tls_cert", &["tls_key"]),
        ("tls_key", &["tls_cert"]),
        ("database", &["master_key_file"]),
        ("database_password_file", &["database", "master_key_file"]),
        ("database_ca", &["database", "master_key_file"]),
        ("rate_burst", &["rate_limit"]),
        ("test_token", &["test_api"]),
        ("access_key_id", &["access_key_secret"]),
        ("access_key_secret", &["access_key_id"]),
        ("account_id", &["access_key_id", "access_key_secret"]),
    ];

    /// Command line, variables, file and what is made of them know the same settings.
    #[test]
    fn every_key_is_an_option_and_a_variable_and_has_an_effect() {
        use clap::FromArgMatches as _;

        let command = ServeArgs::augment_args(clap::Command::new("serve").no_binary_name(true));
        let named: Vec<_> = SET.iter().map(|(key, ..)| (*key).to_owned()).collect();
        assert_eq!(named, keys::<File>());
        for option in command.get_arguments().filter_map(|option| Some((option.get_long()?, option))) {
            let (long, option) = option;
            let key = long.replace('-', "_");
            let known = SET.iter().any(|(name, _, given)| *name == key && given.is_some());
            assert!(known || ["check", "config", "help"].contains(&long), "no key of the file for --{long}");
            if known {
                let variable = option.get_env().and_then(|name| name.to_str());
                assert_eq!(variable, Some(&*format!("TONGGUAN_{}", key.to_uppercase())));
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tongguan.toml");
        let load = |file: &[&str], line: &[&str]| {
            let value = |key: &str| SET.iter().find(|(name, ..)| *name == key).unwrap();
            let text: String = file.iter().map(|key| format!("{key} = {}\n", value(key).1)).collect();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            let options = line.iter().filter_map(|key| Some((key.replace('_', "-"), value(key).2?)));
            let words = options.flat_map(|(name, given)| {
                let value = if given.is_empty() { None } else { Some(given.to_owned()) };
                std::iter::once(format!("--{name}")).chain(value)
            });
            let matches = command.clone().try_get_matches_from(words).unwrap();
            let args =
                ServeArgs { config: Some(path.clone()), ..ServeArgs::from_arg_matches(&matches).unwrap() };
            Config::load(args).map(|config| format!("{config:?}"))
        };
        for (key, _, given) in SET {
            let others = TOGETHER.iter().find(|(name, _)| name == key).map_or(&[][..], |(_, others)| *others);
            let all: Vec<_> = others.iter().copied().chain([*key]).collect();
            let of_file = load(&all, &[]).unwrap();
            // Some are refused alone.
            let without = load(others, &[]).or_else(|_| load(&[], &[])).unwrap();
            assert_ne!(of_file, without, "{key} in the file has no effect");
            if given.is_some() {
                assert_eq!(load(&[], &all).unwrap(), of_file, "--{key} does not do what the key does");
            }
        }
    }

    #[test]
    fn who_listens_for_others_has_a_rate() {
        let of = |per_second: u32, burst: u32| {
            Some(Rate { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() })
        };
        for (listen, limit, burst, expected) in [
            ("127.0.0.1:8080", None, None, None),
            ("[::1]:8080", None, None, None),
            ("localhost:0", None, None, None),
            ("0.0.0.0:8080", None, None, of(1_000, 2_000)),
            ("[::]:8080", None, Some(7), of(1_000, 7)),
            ("example.com:80", Some("off"), Some(7), None),
            ("127.0.0.1:0", Some("5"), None, of(5, 10)),
        ] {
            let burst = burst.and_then(NonZeroU32::new);
            assert_eq!(rate(listen, limit, burst).unwrap(), expected, "{listen} {limit:?}");
        }
        for (limit, burst) in [(Some("0"), None), (Some("many"), None), (None, NonZeroU32::new(1))] {
            assert!(rate("127.0.0.1:0", limit, burst).is_err(), "{limit:?}");
        }
    }

    #[test]
    fn a_bare_admin_port_is_on_the_loopback_address() {
        for (text, expected) in [
            (None, AdminListen::Default),
            (Some("off"), AdminListen::Off),
            (Some("9000"), AdminListen::At("127.0.0.1:9000".into())),
            (Some("[::]:9000"), AdminListen::At("[::]:9000".into())),
        ] {
            assert_eq!(admin_listen(text.map(str::to_owned)), expected);
        }
    }

    #[test]
    fn quotas_are_named_or_refused() {
        let mut quotas = Quotas::default();
        assert!(set_quota(&mut quotas, "vpn_gateways_per_account=7").is_ok());
        assert_eq!(quotas.vpn_gateways_per_account, 7);
        for wrong in ["vpn_gateways=7", "vpn_gateways_per_account", "vpn_gateways_per_account=many"] {
            assert!(set_quota(&mut quotas, wrong).is_err(), "{wrong}");
        }
    }
}
