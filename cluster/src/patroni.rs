//! Patroni: which one, how it is set up, and what it says of the cluster.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::network::{MEMBERS, address};
use crate::programs::Missing;

/// Time for an answer about the state.
const ASK: Duration = Duration::from_secs(1);
/// Time for a switchover, which is answered when it is done.
const CHANGE: Duration = Duration::from_secs(20);

/// The Python that has what Patroni needs, of Debian's packages.
const PYTHON: &str = "/usr/bin/python3";

/// How many members have a commit before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The primary and one named standby, which alone may be promoted. Without a standby nothing commits.
    Strict,
    /// The primary and any one of its standbys, of which the most advanced is promoted. Patroni has it since 4.0.
    Quorum,
}

/// A release of Patroni.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patroni {
    /// Where it is, if that is not Debian's place.
    path: Option<PathBuf>,
    version: String,
}

impl Patroni {
    /// The release for strict mode.
    pub const STRICT: &'static str = "3.1.2";
    /// The release for quorum mode. It takes no lease shorter than 20 s, so that what waits for its end takes longer.
    pub const QUORUM: &'static str = "4.1.5";
    /// Debian's, which loses what was acknowledged: a primary whose lease ran out writes itself back as the leader,
    /// without looking whether there is another by now.
    pub const DEBIAN: &'static str = "3.0.2";

    /// The release for a mode, from the folder of judges beside the folder that this program was built in.
    ///
    /// # Errors
    /// It is not there, or Debian's Python has not what it needs.
    pub fn find(mode: Mode) -> Result<Self, Missing> {
        let version = match mode {
            Mode::Strict => Self::STRICT,
            Mode::Quorum => Self::QUORUM,
        };
        let program = std::env::current_exe().unwrap_or_default();
        let folders = program.ancestors().map(|folder| folder.join("judges/patroni").join(version));
        let path = folders.into_iter().find(|folder| folder.join("patroni").is_dir());
        let path = path.ok_or_else(|| Missing(format!("no Patroni {version} (make judges, as root)")))?;
        Self { path: Some(path), version: version.into() }.tried()
    }

    /// Debian's.
    ///
    /// # Errors
    /// It is not installed, or another release.
    pub fn debian() -> Result<Self, Missing> {
        Self { path: None, version: Self::DEBIAN.into() }.tried()
    }

    /// Whether it can be loaded, and is the release that it should be.
    fn tried(self) -> Result<Self, Missing> {
        let mut python = self.command(self.path.as_deref());
        let parts = "import patroni.version, patroni.dcs.etcd3, patroni.postgresql, psycopg2, yaml";
        let told = python.args(["-c", &format!("{parts}; print(patroni.version.__version__)")]).output();
        let told = told.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        if told.as_ref().is_ok_and(|told| *told == self.version) {
            return Ok(self);
        }
        Err(Missing(format!("no Patroni {} that runs (Debian: patroni; make judges)", self.version)))
    }

    /// Its Python, which finds it in this folder.
    fn command(&self, folder: Option<&Path>) -> Command {
        let mut python = Command::new(PYTHON);
        python.env_remove("PYTHONPATH").env_remove("PYTHONHOME").stdin(Stdio::null()).stderr(Stdio::null());
        if let Some(folder) = folder {
            python.env("PYTHONPATH", folder);
        }
        python
    }

    /// Whether it is the one that runs at a member. The calling thread is in the hub.
    pub(crate) fn runs_at(&self, member: usize) -> Result<bool> {
        let (_, body) = ask(member, 8008, "GET", "/patroni", "", ASK)?;
        let body: Value = serde_json::from_str(&body)?;
        Ok(body["patroni"]["version"] == self.version.as_str())
    }

    /// Copies it to where every user may read it, and answers the variables and the words that start it.
    pub(crate) fn lay(&self, home: &Path) -> Result<(Option<PathBuf>, [&'static str; 3])> {
        let words = [PYTHON, "-m", "patroni"];
        let Some(path) = &self.path else { return Ok((None, words)) };
        let own = home.join("patroni");
        let mut copy = Command::new("cp");
        crate::single::said(copy.args(["-r", "--no-preserve=ownership"]).arg(path).arg(&own))?;
        crate::single::said(Command::new("chmod").args(["-R", "a+rX"]).arg(&own))?;
        Ok((Some(own), words))
    }

    /// Its settings for a member, as YAML, of which JSON is a part.
    pub(crate) fn settings(&self, member: usize, home: &Path, bin: &Path, mode: Mode) -> Value {
        let own = address(member);
        let etcd: Vec<_> =
            (0..MEMBERS).map(|n| format!("{}:2379", address((member + n) % MEMBERS))).collect();
        json!({
            "scope": "tests",
            "name": name(member),
            "restapi": { "listen": format!("{own}:8008"), "connect_address": format!("{own}:8008") },
            "etcd3": { "hosts": etcd },
            "bootstrap": {
                "dcs": common(mode),
                "initdb": [{ "encoding": "UTF8" }, { "locale": "C" }, { "auth": "trust" }, "data-checksums", "no-sync"],
            },
            "postgresql": {
                "listen": format!("{own}:5432"),
                "connect_address": format!("{own}:5432"),
                "data_dir": home.join("data"),
                "bin_dir": bin,
                "pgpass": home.join("pgpass"),
                "authentication": { "superuser": { "username": "postgres" }, "replication": { "username": "postgres" } },
                "pg_hba": ["local all all trust", "host all all 0.0.0.0/0 trust", "host replication all 0.0.0.0/0 trust"],
                "parameters": { "unix_socket_directories": home },
                "remove_data_directory_on_rewind_failure": true,
                "remove_data_directory_on_diverged_timelines": true,
            },
        })
    }
}

/// What the members agree on.
fn common(mode: Mode) -> Value {
    let synchronous = match mode {
        Mode::Strict => json!(true),
        Mode::Quorum => json!("quorum"),
    };
    json!({
        // Seconds: how long a leader holds without renewing, how often it renews, how long it tries.
        "ttl": 7,
        "loop_wait": 1,
        "retry_timeout": 3,
        "synchronous_mode": synchronous,
        "synchronous_mode_strict": true,
        "synchronous_node_count": 1,
        // A server that crashed is not started again in its place, but replaced. The older name is of 3.0.
        "primary_start_timeout": 0,
        "master_start_timeout": 0,
        "maximum_lag_on_failover": 1_048_576,
        "maximum_lag_on_syncnode": -1,
        "postgresql": {
            "use_pg_rewind": true,
            // With slots a standby is refused for 2 s after each promotion.
            "use_slots": false,
            "parameters": {
                // No machine loses its power here: what is killed are processes.
                "fsync": "off",
                "synchronous_commit": "on",
                "wal_log_hints": "on",
                "wal_keep_size": "256MB",
                "max_wal_size": "256MB",
                "shared_buffers": "64MB",
                "max_connections": 120,
                "dynamic_shared_memory_type": "mmap",
                "wal_sender_timeout": "3s",
                "wal_receiver_timeout": "3s",
                "wal_retrieve_retry_interval": "200ms",
                "tcp_user_timeout": 3000,
                "tcp_keepalives_idle": 2,
                "tcp_keepalives_interval": 1,
                "tcp_keepalives_count": 3,
            },
        },
    })
}

/// The name of a member.
pub(crate) fn name(member: usize) -> String {
    format!("m{}", member + 1)
}

/// What a member is, as one of them sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// `leader`, `sync_standby`, `quorum_standby`, `replica`.
    pub(crate) role: String,
    /// Whether its server runs, or follows.
    pub(crate) well: bool,
    /// None while it is not known.
    pub(crate) timeline: Option<u64>,
}

/// The cluster as one member sees it, by members; the ones that it does not know are absent.
pub(crate) fn view(of: usize) -> Result<[Option<Seen>; MEMBERS]> {
    let (_, body) = ask(of, 8008, "GET", "/cluster", "", ASK)?;
    let body: Value = serde_json::from_str(&body)?;
    let mut seen = [const { None }; MEMBERS];
    for member in body["members"].as_array().into_iter().flatten() {
        let Some(place) = (0..MEMBERS).find(|n| member["name"] == name(*n).as_str()) else { continue };
        let state = member["state"].as_str().unwrap_or_default();
        seen[place] = Some(Seen {
            role: member["role"].as_str().unwrap_or_default().to_owned(),
            well: matches!(state, "running" | "streaming"),
            timeline: member["timeline"].as_u64(),
        });
    }
    Ok(seen)
}

/// How many standbys stream from this member, as it says.
pub(crate) fn streaming(member: usize) -> Result<usize> {
    let (_, body) = ask(member, 8008, "GET", "/patroni", "", ASK)?;
    let body: Value = serde_json::from_str(&body)?;
    let rows = body["replication"].as_array().into_iter().flatten();
    Ok(rows.filter(|row| row["state"] == "streaming").count())
}

/// Hands the leadership over in order.
pub(crate) fn switch(from: usize, to: usize) -> Result<()> {
    let wish = json!({ "leader": name(from), "candidate": name(to) }).to_string();
    let (status, body) = ask(from, 8008, "POST", "/switchover", &wish, CHANGE)?;
    ensure!(status == 200, "no switchover: {status} {body}");
    Ok(())
}

/// Whether etcd of a member has a leader.
pub(crate) fn etcd_is_well(member: usize) -> bool {
    let answer = ask(member, 2379, "GET", "/health", "", ASK);
    answer.is_ok_and(|(status, body)| status == 200 && body.contains("true"))
}

/// Whether etcd of a member is the leader of etcd.
pub(crate) fn leads_etcd(member: usize) -> bool {
    let status = etcd_status(member);
    status
        .is_ok_and(|status| status["leader"].is_string() && status["leader"] == status["header"]["member_id"])
}

/// Hands the leadership of etcd over.
pub(crate) fn move_etcd(from: usize, to: usize) -> Result<()> {
    let target = etcd_status(to)?["header"]["member_id"].take();
    let wish = json!({ "targetID": target }).to_string();
    let (status, body) = ask(from, 2379, "POST", "/v3/maintenance/transfer-leadership", &wish, CHANGE)?;
    ensure!(status == 200, "etcd keeps its leader: {status} {body}");
    Ok(())
}

fn etcd_status(member: usize) -> Result<Value> {
    let (_, body) = ask(member, 2379, "POST", "/v3/maintenance/status", "{}", ASK)?;
    Ok(serde_json::from_str(&body)?)
}

/// Asks a member. The calling thread is in the hub.
fn ask(
    member: usize,
    port: u16,
    method: &str,
    path: &str,
    body: &str,
    within: Duration,
) -> Result<(u16, String)> {
    let address = format!("{}:{port}", address(member));
    let mut stream = TcpStream::connect_timeout(&address.parse()?, ASK)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n");
    // In one piece: etcd tells protocols apart by the first bytes that it reads.
    stream.write_all((head + body).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer of HTTP")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}
