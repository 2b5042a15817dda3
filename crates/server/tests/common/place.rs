//! A database that several nodes share, the nodes on it, and what tests of them ask for.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;
use tongguan_cluster::{Options, Single};

use super::common::program::{program, text};
use super::common::{KEY, PATIENCE, Reply, SECRET, Server, VPC};

pub const REGION: (&str, &str) = ("RegionId", "cn-hangzhou");

/// Who owns the database: no superuser, so whatever a node does is what such a role may do.
const OWNER: &str = "tongguan";

/// A database, and what is needed to use it.
pub struct Place {
    /// The server.
    pub single: Single,
    /// What belongs to nobody's node.
    pub folder: tempfile::TempDir,
    /// Name of the database.
    pub database: &'static str,
}

impl Place {
    pub fn or_skip() -> Option<Self> {
        let single = Single::or_skip(&Options::default())?;
        let folder = tempfile::tempdir().unwrap();
        let place = Self { single, folder, database: "tongguan" };
        place.single.sql("postgres", &format!("CREATE ROLE {OWNER} LOGIN")).unwrap();
        place.create_database("tongguan", "template1");
        Some(place)
    }

    /// Makes another database.
    pub fn create_database(&self, name: &str, template: &str) {
        self.single.create_database(name, template).unwrap();
        self.single.sql("postgres", &format!("ALTER DATABASE {name} OWNER TO {OWNER}")).unwrap();
    }

    pub fn url(&self) -> PathBuf {
        let url = self.single.url(self.database);
        PathBuf::from(url.replacen("//postgres@", &format!("//{OWNER}@"), 1))
    }

    pub fn master_key(&self) -> PathBuf {
        self.folder.path().join("master.key")
    }

    /// A command on the database.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = program(arguments);
        command.env("TONGGUAN_DATABASE", self.url()).env("TONGGUAN_MASTER_KEY_FILE", self.master_key());
        command.env("TONGGUAN_DATA_DIR", self.folder.path().join("operator"));
        command.output().unwrap()
    }

    pub fn init(&self) {
        let made = self.command(&["database", "init"]);
        assert!(made.status.success(), "{}", text(&made));
        assert!(text(&made).contains("the database is ready"), "{}", text(&made));
    }

    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("TONGGUAN_DATABASE", self.url()), ("TONGGUAN_MASTER_KEY_FILE", self.master_key())]
    }

    /// A node that is expected to end by itself.
    pub fn serve(&self, arguments: &[&str]) -> Output {
        let mut command =
            program(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir"]);
        command.arg(self.folder.path().join("other")).args(arguments);
        for (name, path) in self.environment() {
            if !(name == "TONGGUAN_MASTER_KEY_FILE" && arguments.contains(&"--master-key-file")) {
                command.env(name, path);
            }
        }
        command.output().unwrap()
    }

    /// A node of the service.
    pub fn node(&self, arguments: &[&str]) -> Server {
        self.node_in(arguments, &[])
    }

    /// A node on a machine whose clock is so far ahead, and the file that says so.
    pub fn node_ahead(&self, seconds: i64) -> (Server, PathBuf) {
        let file = self.folder.path().join(format!("clock of {seconds}"));
        std::fs::write(&file, (seconds * 1_000).to_string()).unwrap();
        (self.node_in(&[], &[("TONGGUAN_TEST_CLOCK_FILE", file.clone())]), file)
    }

    pub fn node_in(&self, arguments: &[&str], more: &[(&'static str, PathBuf)]) -> Server {
        let environment = [&self.environment()[..], more].concat();
        let environment: Vec<(&str, &Path)> =
            environment.iter().map(|(name, path)| (*name, path.as_path())).collect();
        Server::start_with(arguments, &environment)
    }
}

pub fn ok(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

pub fn field(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name}: {value}")).to_owned()
}

/// Calls until the answer is one that is waited for.
pub async fn until(
    node: &Server,
    action: &str,
    parameters: &[(&str, &str)],
    is: impl Fn(&Value) -> bool,
) -> Value {
    until_as((KEY, SECRET), node, action, parameters, is).await
}

pub async fn until_as(
    key: (&str, &str),
    node: &Server,
    action: &str,
    parameters: &[(&str, &str)],
    is: impl Fn(&Value) -> bool,
) -> Value {
    let begun = Instant::now();
    loop {
        let reply = node.call_as(key, VPC, action, parameters).await;
        if reply.status == 200 && is(&reply.json()) {
            return reply.json();
        }
        assert!(begun.elapsed() < PATIENCE, "{}", reply.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn network(node: &Server) -> (String, String) {
    let vpc = field(&ok(&node.call(VPC, "CreateVpc", &[REGION, ("CidrBlock", "10.0.0.0/8")]).await), "VpcId");
    until(node, "DescribeVpcAttribute", &[REGION, ("VpcId", &vpc)], |vpc| vpc["Status"] == "Available").await;
    let parameters =
        [REGION, ("VpcId", vpc.as_str()), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "10.1.0.0/16")];
    let vswitch = field(&ok(&node.call(VPC, "CreateVSwitch", &parameters).await), "VSwitchId");
    let named = [REGION, ("VSwitchId", vswitch.as_str())];
    until(node, "DescribeVSwitchAttributes", &named, |vswitch| vswitch["Status"] == "Available").await;
    (vpc, vswitch)
}

pub fn gateway<'a>(vpc: &'a str, vswitch: &'a str) -> [(&'a str, &'a str); 7] {
    [
        REGION,
        ("VpcId", vpc),
        ("VSwitchId", vswitch),
        ("Bandwidth", "5"),
        ("EnableIpsec", "true"),
        ("EnableSsl", "false"),
        ("InstanceChargeType", "POSTPAY"),
    ]
}
