//! The world of the cases: tenant A, which does nothing unusual and must notice nothing; tenant B; a user of A
//! without any right; strangers are connections.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::program::program;
use crate::common::{ACCOUNT, KEY, Key, OTHER_KEY, OTHER_SECRET, PATIENCE, Reply, SECRET, Server, VPC};

/// No call of tenant A may take longer while somebody else fills a bound. Of the development build, beside the
/// attack, on a machine that is busy with other tests.
pub(crate) const SOON: Duration = Duration::from_secs(4);

const WEAK_KEY: &str = "LTAIweak";
const WEAK_SECRET: &str = "the secret of who may do nothing";

/// See the module's text.
pub(crate) struct World {
    pub server: Server,
    vpc: String,
    /// Request ids of A's calls that were granted.
    granted: std::sync::Mutex<BTreeSet<String>>,
}

/// Tenant A's own key.
pub(crate) fn tenant_a() -> Key {
    Key::of(KEY, SECRET)
}

/// Tenant B's own key.
pub(crate) fn tenant_b() -> Key {
    Key::of(OTHER_KEY, OTHER_SECRET)
}

/// A user of A that no policy allows anything.
pub(crate) fn powerless() -> Key {
    Key::of(WEAK_KEY, WEAK_SECRET)
}

impl World {
    /// Starts the service with further arguments and lines of configuration, and gives A something to lose.
    pub(crate) async fn start(arguments: &[&str], more: &str) -> Self {
        let weak = format!(
            "[[principal]]\naccount_id = '{ACCOUNT}'\naccess_key_id = '{WEAK_KEY}'\n\
             access_key_secret = '{WEAK_SECRET}'\nuser_name = 'weak'\n{more}"
        );
        let server = Server::start_world(arguments, &weak);
        let made = server
            .call_as(
                tenant_a(),
                VPC,
                "CreateVpc",
                &[("RegionId", "cn-hangzhou"), ("CidrBlock", "10.0.0.0/8")],
            )
            .await;
        assert_eq!(made.status, 200, "{}", made.text());
        let vpc = made.json()["VpcId"].as_str().unwrap().to_owned();
        let world = Self { server, vpc, granted: std::sync::Mutex::default() };
        world.note(&made);
        world.settled().await;
        world
    }

    /// Waits until A's VPC is there to be changed.
    async fn settled(&self) {
        let begun = Instant::now();
        loop {
            let seen = self.read().await;
            if seen.json()["Vpcs"]["Vpc"][0]["Status"] == "Available" {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{}", seen.text());
        }
    }

    async fn read(&self) -> Reply {
        let parameters = [("RegionId", "cn-hangzhou"), ("VpcId", self.vpc.as_str())];
        self.server.call_as(tenant_a(), VPC, "DescribeVpcs", &parameters).await
    }

    async fn change(&self, value: &str) -> Reply {
        let parameters = [
            ("RegionId", "cn-hangzhou"),
            ("ResourceType", "VPC"),
            ("ResourceId.1", self.vpc.as_str()),
            ("Tag.1.Key", "round"),
            ("Tag.1.Value", value),
        ];
        self.server.call_as(tenant_a(), VPC, "TagResources", &parameters).await
    }

    fn note(&self, reply: &Reply) {
        assert_eq!(reply.status, 200, "a call of tenant A was refused: {}", reply.text());
        let id = reply.json()["RequestId"].as_str().unwrap().to_owned();
        self.granted.lock().unwrap().insert(id);
    }

    /// While `attack` goes on, and some rounds in any case, tenant A reads and changes: every call succeeds and is
    /// answered soon, what was changed is there, and each call stands in the audit record afterwards.
    pub(crate) async fn hold<T>(&self, attack: impl Future<Output = T>) -> T {
        const ROUNDS: u32 = 10;
        let mut attack = std::pin::pin!(attack);
        let mut done = None;
        let (mut round, mut slowest) = (0, Duration::ZERO);
        while done.is_none() || round < ROUNDS {
            round += 1;
            let one = self.round(round);
            let mut one = std::pin::pin!(one);
            let took = loop {
                if done.is_some() {
                    break one.await;
                }
                tokio::select! {
                    outcome = &mut attack => done = Some(outcome),
                    took = &mut one => break took,
                }
            };
            slowest = slowest.max(took);
            assert!(slowest < SOON, "tenant A waited {slowest:?} for an answer");
        }
        println!("  {round} rounds of tenant A, the slowest call {slowest:?}");
        self.recorded();
        done.unwrap()
    }

    /// A change and a read; answers how long the slower one took.
    async fn round(&self, round: u32) -> Duration {
        let value = round.to_string();
        let begun = Instant::now();
        let changed = self.change(&value).await;
        let first = begun.elapsed();
        self.note(&changed);
        let begun = Instant::now();
        let seen = self.read().await;
        let second = begun.elapsed();
        self.note(&seen);
        let tags = &seen.json()["Vpcs"]["Vpc"][0]["Tags"]["Tag"];
        let kept = tags.as_array().and_then(|tags| tags.iter().find(|tag| tag["Key"] == "round").cloned());
        assert_eq!(kept.unwrap()["Value"], value.as_str());
        first.max(second)
    }

    /// Every granted call of A stands in the audit record.
    pub(crate) fn recorded(&self) {
        let begun = Instant::now();
        loop {
            let seen: BTreeSet<String> = self
                .audit(&["--account", ACCOUNT])
                .iter()
                .filter_map(|record| record["requestId"].as_str().map(ToOwned::to_owned))
                .collect();
            let granted = self.granted.lock().unwrap();
            let missing: Vec<_> = granted.difference(&seen).collect();
            if missing.is_empty() {
                return;
            }
            // Records of reads are moved into the database a moment after their answer.
            assert!(begun.elapsed() < PATIENCE, "not in the audit record: {missing:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Audit records as `tongguan audit` shows them with these filters.
    pub(crate) fn audit(&self, filters: &[&str]) -> Vec<Value> {
        let mut command = program(&["audit", "--format", "json", "--limit", "0", "--data-dir"]);
        let output = command.arg(self.server.data_dir()).args(filters).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What `tongguan check` says: its exit code and text.
    pub(crate) fn check(&self) -> (i32, String) {
        let mut command = program(&["check", "--data-dir"]);
        let output = command.arg(self.server.data_dir()).output().unwrap();
        (output.status.code().unwrap(), crate::common::program::text(&output))
    }
}
