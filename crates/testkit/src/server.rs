//! The real program on a loopback port with a configuration file, two accounts and an admin listener, as most tests of
//! the running service want it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::api::STS;
use crate::http::{self, Reply, read_reply};
use crate::program::{Program, memory_kib, program_with_key};
use crate::{Call, Caller, Manner, PATIENCE, Stamp};

/// Id of the root key.
pub const KEY: &str = "LTAItest";
/// Its secret.
pub const SECRET: &str = "a secret that no log may hold";
/// Another account.
pub const OTHER_ACCOUNT: &str = "1999999999999999";
/// Id of the root key of another account.
pub const OTHER_KEY: &str = "LTAIother";
/// Its secret.
pub const OTHER_SECRET: &str = "another secret that no log may hold";

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    program: Program,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its admin listener is.
    pub admin: Option<SocketAddr>,
    directory: TempDir,
}

impl Server {
    /// Starts it with further arguments.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Starts it with further arguments and environment.
    pub fn start_with(arguments: &[&str], environment: &[(&str, &Path)]) -> Self {
        Self::launch(new_directory(), arguments, environment, "")
    }

    /// Starts it with more in its configuration file.
    pub fn start_configured(more: &str) -> Self {
        Self::launch(new_directory(), &[], &[], more)
    }

    /// Starts it with further arguments and more in its configuration file.
    pub fn start_world(arguments: &[&str], more: &str) -> Self {
        Self::launch(new_directory(), arguments, &[], more)
    }

    /// Starts another one on the same data, when this has ended.
    #[must_use]
    pub fn again(self) -> Self {
        self.again_with(&[])
    }

    /// The same, with further arguments.
    #[must_use]
    pub fn again_with(self, arguments: &[&str]) -> Self {
        self.restarted(arguments, || ())
    }

    /// The same, when something was done to the data meanwhile.
    #[must_use]
    pub fn restarted(self, arguments: &[&str], meanwhile: impl FnOnce()) -> Self {
        let Self { directory, program, .. } = self;
        drop(program);
        meanwhile();
        Self::launch(directory, arguments, &[], "")
    }

    fn launch(directory: TempDir, arguments: &[&str], environment: &[(&str, &Path)], more: &str) -> Self {
        let config = directory.path().join("tongguan.toml");
        let other = format!(
            "[[principal]]\naccount_id = '{OTHER_ACCOUNT}'\naccess_key_id = '{OTHER_KEY}'\n\
             access_key_secret = '{OTHER_SECRET}'\n{more}"
        );
        std::fs::write(&config, other).unwrap();
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).unwrap();
        let serve = ["serve", "--listen", "127.0.0.1:0", "--log-json"];
        let mut command = program_with_key(&serve, KEY, SECRET);
        if !arguments.contains(&"--apply-delay") {
            command.args(["--apply-delay", "0"]);
        }
        if !arguments.contains(&"--admin-listen") {
            command.args(["--admin-listen", "0"]);
        }
        command.arg("--config").arg(&config);
        command.arg("--data-dir").arg(directory.path().join("data")).args(arguments);
        command.env("TONGGUAN_LOG", "debug").envs(environment.iter().copied());
        let mut program = Program::start(command);
        let address = program.address();
        let with_admin = !arguments.contains(&"off");
        let admin = with_admin.then(|| program.told("admin on http://").parse().unwrap());
        Self { program, address, admin, directory }
    }

    /// What it has logged so far.
    pub fn logged(&self) -> String {
        self.program.logged()
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("tongguan.toml")
    }

    /// Directory that holds the database.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Sends a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let signal = match name {
            "TERM" => Signal::TERM,
            "INT" => Signal::INT,
            "STOP" => Signal::STOP,
            "CONT" => Signal::CONT,
            "KILL" => Signal::KILL,
            _ => panic!("{name}"),
        };
        self.program.signal(signal);
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.program.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the server does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A line of `/proc/PID/status`, in KiB.
    pub fn memory_kib(&self, name: &str) -> u64 {
        memory_kib(self.program.pid(), name).unwrap()
    }

    /// What the admin listener answers: status and text.
    pub async fn look(&self, path: &str) -> (u16, String) {
        self.admin_request(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await
    }

    /// What the admin listener answers to a request.
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

    /// Waits until a metric has at least this value.
    pub async fn metric_reaches(&self, name: &str, value: f64) {
        let begun = Instant::now();
        loop {
            let now = self.metric(name).await;
            if now >= value {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{name} is {now}, not yet {value}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until so many connections are open.
    pub async fn connections_reach(&self, count: usize) {
        self.metric_reaches("tongguan_connections", count as f64).await;
    }

    /// A signed request, as bytes.
    pub fn sign(&self, version: &str, action: &str, parameters: &[(&str, &str)]) -> Vec<u8> {
        self.sign_as((KEY, SECRET), version, action, parameters)
    }

    /// A request signed with another key, as bytes.
    pub fn sign_as(
        &self,
        key: impl Into<Caller>,
        version: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Vec<u8> {
        let call = Call::new(version, action, parameters).form();
        http::bytes(&key.into().sign(&call, &Manner::V3, &Stamp::now()), "")
    }

    /// One signed call over a connection of its own.
    pub async fn call(&self, version: &str, action: &str, parameters: &[(&str, &str)]) -> Reply {
        self.call_as((KEY, SECRET), version, action, parameters).await
    }

    /// One call signed with another key.
    pub async fn call_as(
        &self,
        key: impl Into<Caller>,
        version: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Reply {
        self.send(&self.sign_as(key, version, action, parameters)).await
    }

    /// One request, as bytes, over a connection of its own.
    pub async fn send(&self, request: &[u8]) -> Reply {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
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

    /// A connection.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection from another address of this machine, as a caller elsewhere would have it. `receive` bytes are kept
    /// for it that it has not read yet.
    pub async fn connect_from(&self, source: [u8; 4], receive: Option<u32>) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        socket.bind((source, 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }
}

fn new_directory() -> TempDir {
    tempfile::tempdir().unwrap()
}
