//! The real program on a loopback port, and callers that write bytes.
#![allow(clippy::disallowed_methods, reason = "whoever calls from outside goes by the time of day")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod program;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use program::Process;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tongguan_rpc::{ClientCall, Format, OutgoingRequest, Placement, Secret, SignatureMethod, Signer};

pub const KEY: &str = "LTAItest";
pub const SECRET: &str = "a secret that no log may hold";
pub const OTHER_KEY: &str = "LTAIother";
pub const OTHER_SECRET: &str = "another secret that no log may hold";
pub const VPC: &str = "2016-04-28";
pub const KMS: &str = "2016-01-20";
pub const STS: &str = "2015-04-01";
pub const RAM: &str = "2015-05-01";
/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What signs a call.
#[derive(Clone)]
pub struct Key {
    pub id: String,
    pub secret: String,
    /// Of a temporary key.
    pub token: Option<String>,
}

impl Key {
    /// A key that is not temporary.
    pub fn of(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), secret: secret.to_owned(), token: None }
    }
}

impl From<(&str, &str)> for Key {
    fn from((id, secret): (&str, &str)) -> Self {
        Self::of(id, secret)
    }
}

/// A running server. Killed when dropped.
pub struct Server {
    process: Process,
    pub address: SocketAddr,
    pub admin: Option<SocketAddr>,
    directory: TempDir,
}

impl Server {
    /// Starts it with further arguments.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Starts it with further arguments and environment.
    pub fn start_with(arguments: &[&str], environment: &[(&str, &std::path::Path)]) -> Self {
        Self::launch(arguments, environment, "")
    }

    /// Starts it with more in its configuration file.
    pub fn start_configured(more: &str) -> Self {
        Self::launch(&[], &[], more)
    }

    /// Starts another one on the same data, when this has ended.
    pub fn again(self) -> Self {
        let Self { directory, .. } = self;
        Self::launch_in(directory, &[], &[], "")
    }

    /// Starts it with further arguments and more in its configuration file.
    pub fn start_world(arguments: &[&str], more: &str) -> Self {
        Self::launch(arguments, &[], more)
    }

    fn launch(arguments: &[&str], environment: &[(&str, &std::path::Path)], more: &str) -> Self {
        Self::launch_in(tempfile::tempdir().unwrap(), arguments, environment, more)
    }

    fn launch_in(
        directory: TempDir,
        arguments: &[&str],
        environment: &[(&str, &std::path::Path)],
        more: &str,
    ) -> Self {
        let config = directory.path().join("tongguan.toml");
        let other = format!(
            "[[principal]]\naccount_id = '1999999999999999'\naccess_key_id = '{OTHER_KEY}'\n\
             access_key_secret = '{OTHER_SECRET}'\n{more}"
        );
        std::fs::write(&config, other).unwrap();
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).unwrap();
        let serve = ["serve", "--listen", "127.0.0.1:0", "--log-json"];
        let mut command = program::program_with_key(&serve, KEY, SECRET);
        if !arguments.contains(&"--apply-delay") {
            command.args(["--apply-delay", "0"]);
        }
        if !arguments.contains(&"--admin-listen") {
            command.args(["--admin-listen", "0"]);
        }
        command.arg("--config").arg(&config);
        command.arg("--data-dir").arg(directory.path().join("data")).args(arguments);
        command.env("TONGGUAN_LOG", "debug").envs(environment.iter().copied());
        let mut process = Process::start(command);
        let address = process.endpoint.parse().unwrap();
        let with_admin = !arguments.contains(&"off");
        let admin = with_admin.then(|| process.told("admin on http://").parse().unwrap());
        Self { process, address, admin, directory }
    }

    /// What it has logged so far.
    pub fn logged(&self) -> String {
        self.process.logged()
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("tongguan.toml")
    }

    /// Directory that holds the database.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn signal(&self, name: &str) {
        let signal = match name {
            "TERM" => rustix::process::Signal::TERM,
            "INT" => rustix::process::Signal::INT,
            "STOP" => rustix::process::Signal::STOP,
            "CONT" => rustix::process::Signal::CONT,
            _ => panic!("{name}"),
        };
        self.process.signal(signal);
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the server does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A line of `/proc/PID/status`, in KiB.
    pub fn memory_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// What the admin listener answers: status and text.
    pub async fn look(&self, path: &str) -> (u16, String) {
        self.admin_request(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await
    }

    pub async fn admin_request(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin.unwrap()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let reply = read_reply(&mut stream).await.unwrap();
        (reply.status, String::from_utf8(reply.body).unwrap())
    }

    /// The value of a metric with exactly these labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let (status, text) = self.look("/metrics").await;
        assert_eq!(status, 200);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// A signed request, as bytes.
    pub fn sign(&self, version: &str, action: &str, parameters: &[(&str, &str)]) -> Vec<u8> {
        self.sign_as((KEY, SECRET), version, action, parameters)
    }

    pub fn sign_as(
        &self,
        key: impl Into<Key>,
        version: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Vec<u8> {
        static NONCE: AtomicU64 = AtomicU64::new(0);
        let key = key.into();
        let signer = Signer {
            access_key_id: key.id,
            secret: Secret::from(key.secret),
            security_token: key.token,
            method: SignatureMethod::Acs3HmacSha256,
        };
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let request = signer.sign(&ClientCall {
            http_method: Method::POST,
            host: "vpc.test",
            action,
            version,
            parameters: &parameters.iter().map(owned).collect::<Vec<_>>(),
            placement: Placement::Form,
            format: Format::Json,
            timestamp: &jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            nonce: &format!("{}-{}", std::process::id(), NONCE.fetch_add(1, Ordering::Relaxed)),
        });
        http_bytes(&request, "")
    }

    /// One signed call over a connection of its own.
    pub async fn call(&self, version: &str, action: &str, parameters: &[(&str, &str)]) -> Reply {
        let request = self.sign(version, action, parameters);
        let mut stream = self.connect().await;
        stream.write_all(&request).await.unwrap();
        read_reply(&mut stream).await.unwrap()
    }

    /// One call signed with another key.
    pub async fn call_as(
        &self,
        key: impl Into<Key>,
        version: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Reply {
        let request = self.sign_as(key, version, action, parameters);
        let mut stream = self.connect().await;
        stream.write_all(&request).await.unwrap();
        read_reply(&mut stream).await.unwrap()
    }

    /// A caller who does nothing unusual: it must be answered, and soon. How long the slowest of some calls took.
    pub async fn well_behaved(&self, calls: u32) -> Duration {
        let mut slowest = Duration::ZERO;
        for _ in 0..calls {
            let begun = Instant::now();
            let reply = self.call(STS, "GetCallerIdentity", &[]).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            slowest = slowest.max(begun.elapsed());
        }
        slowest
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection from another address of this machine, as a caller elsewhere would have it. `receive` bytes are kept
    /// for it that it has not read yet.
    pub async fn connect_from(&self, source: [u8; 4], receive: Option<u32>) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        socket.bind((source, 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// Waits until a metric has at least this value.
    pub async fn metric_reaches(&self, name: &str, value: f64) {
        let begun = Instant::now();
        loop {
            let now = self.metric(name).await;
            if now >= value {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{name} is {now}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until so many connections are open.
    pub async fn connections_reach(&self, count: usize) {
        let begun = Instant::now();
        loop {
            let open = self.metric("tongguan_connections").await;
            if open >= count as f64 {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{open} connections of {count}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A request as HTTP/1.1 has it, with further header lines.
pub fn http_bytes(request: &OutgoingRequest, more: &str) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\n{more}", request.method, request.path_and_query);
    for (name, value) in &request.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", request.body.len()));
    [head.as_bytes(), &request.body].concat()
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn code(&self) -> String {
        self.json()["Code"].as_str().unwrap_or("OK").to_owned()
    }
}

/// Reads one answer; none if the connection ended before.
pub async fn read_reply(stream: &mut TcpStream) -> Option<Reply> {
    tokio::time::timeout(PATIENCE, read_reply_patiently(stream)).await.expect("an answer in time")
}

async fn read_reply_patiently(stream: &mut TcpStream) -> Option<Reply> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap().to_ascii_lowercase();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    if status == 100 {
        return Some(Reply { status, head: text, body: Vec::new() });
    }
    let length: usize = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap_or_else(|| panic!("{text}"))
        .parse()
        .unwrap();
    let mut body = bytes.split_off(head + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    Some(Reply { status, head: text, body })
}

/// Lets this process open as many files as it may; answers how many that are.
pub fn raise_file_limit() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap())
}
