//! Three real processes over one PostgreSQL: what is promised of one process holds for all of them.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use common::program::{program, text};
use common::{KEY, OTHER_KEY, OTHER_SECRET, PATIENCE, RAM, Reply, SECRET, Server, VPC};
use serde_json::Value;
use tongguan_cluster::{Options, Single};

const REGION: (&str, &str) = ("RegionId", "cn-hangzhou");

/// A database, and what is needed to use it.
struct Place {
    single: Single,
    folder: tempfile::TempDir,
}

impl Place {
    fn or_skip() -> Option<Self> {
        let single = Single::or_skip(&Options::default())?;
        let folder = tempfile::tempdir().unwrap();
        let place = Self { single, folder };
        place.single.create_database("tongguan", "template1").unwrap();
        Some(place)
    }

    fn url(&self) -> PathBuf {
        PathBuf::from(self.single.url("tongguan"))
    }

    fn master_key(&self) -> PathBuf {
        self.folder.path().join("master.key")
    }

    /// A command on the database.
    fn command(&self, arguments: &[&str]) -> Output {
        let mut command = program(arguments);
        command.env("TONGGUAN_DATABASE", self.url()).env("TONGGUAN_MASTER_KEY_FILE", self.master_key());
        command.env("TONGGUAN_DATA_DIR", self.folder.path().join("operator"));
        command.output().unwrap()
    }

    fn init(&self) {
        let made = self.command(&["database", "init"]);
        assert!(made.status.success(), "{}", text(&made));
        assert!(text(&made).contains("the database is ready"), "{}", text(&made));
    }

    fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("TONGGUAN_DATABASE", self.url()), ("TONGGUAN_MASTER_KEY_FILE", self.master_key())]
    }

    /// A node that is expected to end by itself.
    fn serve(&self, arguments: &[&str]) -> Output {
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
    fn node(&self, arguments: &[&str]) -> Server {
        let environment = self.environment();
        let environment: Vec<(&str, &Path)> =
            environment.iter().map(|(name, path)| (*name, path.as_path())).collect();
        Server::start_with(arguments, &environment)
    }
}

fn ok(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn field(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name}: {value}")).to_owned()
}

/// Calls until the answer is one that is waited for.
async fn until(
    node: &Server,
    action: &str,
    parameters: &[(&str, &str)],
    is: impl Fn(&Value) -> bool,
) -> Value {
    until_as((KEY, SECRET), node, action, parameters, is).await
}

async fn until_as(
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

async fn network(node: &Server) -> (String, String) {
    let vpc = field(&ok(&node.call(VPC, "CreateVpc", &[REGION, ("CidrBlock", "10.0.0.0/8")]).await), "VpcId");
    until(node, "DescribeVpcAttribute", &[REGION, ("VpcId", &vpc)], |vpc| vpc["Status"] == "Available").await;
    let parameters =
        [REGION, ("VpcId", vpc.as_str()), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "10.1.0.0/16")];
    let vswitch = field(&ok(&node.call(VPC, "CreateVSwitch", &parameters).await), "VSwitchId");
    let named = [REGION, ("VSwitchId", vswitch.as_str())];
    until(node, "DescribeVSwitchAttributes", &named, |vswitch| vswitch["Status"] == "Available").await;
    (vpc, vswitch)
}

fn gateway<'a>(vpc: &'a str, vswitch: &'a str) -> [(&'a str, &'a str); 7] {
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

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_has_answered_every_other_knows() {
    let Some(place) = Place::or_skip() else { return };
    let early = place.command(&["database", "status"]);
    assert!(!early.status.success() && text(&early).contains("schema     0"), "{}", text(&early));
    place.init();
    let again = place.command(&["database", "init"]);
    assert!(again.status.success() && text(&again).contains("it has accounts already"), "{}", text(&again));
    let nodes = [place.node(&[]), place.node(&[]), place.node(&[])];

    // What is written on one is read on the next.
    let (vpc, vswitch) = network(&nodes[0]).await;
    for node in &nodes {
        let seen = ok(&node.call(VPC, "DescribeVpcAttribute", &[REGION, ("VpcId", &vpc)]).await);
        assert_eq!(field(&seen, "VpcId"), vpc);
    }

    // One token sent to all at once has one effect.
    let mut parameters = gateway(&vpc, &vswitch).to_vec();
    parameters.push(("ClientToken", "the-only-one"));
    let answers = tokio::join!(
        nodes[0].call(VPC, "CreateVpnGateway", &parameters),
        nodes[1].call(VPC, "CreateVpnGateway", &parameters),
        nodes[2].call(VPC, "CreateVpnGateway", &parameters),
    );
    let made = [answers.0, answers.1, answers.2].map(|reply| field(&ok(&reply), "VpnGatewayId"));
    assert!(made.iter().all(|id| *id == made[0]), "{made:?}");
    let named = [REGION, ("VpnGatewayId", made[0].as_str())];
    until(&nodes[1], "DescribeVpnGateway", &named, |gateway| gateway["Status"] == "active").await;

    // The same signed request is taken once, whoever gets it.
    let request = nodes[0].sign(VPC, "DescribeVpnGateway", &named);
    assert_eq!(nodes[0].send(&request).await.status, 200);
    for node in &nodes {
        let reply = node.send(&request).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "SignatureNonceUsed"));
    }
    let request = nodes[0].sign(VPC, "DescribeVpnGateway", &named);
    let answers = tokio::join!(nodes[0].send(&request), nodes[1].send(&request), nodes[2].send(&request));
    let taken = [answers.0, answers.1, answers.2].iter().filter(|reply| reply.status == 200).count();
    assert_eq!(taken, 1);
    for node in &nodes {
        let (ready, checks) = node.look("/readyz").await;
        assert_eq!(ready, 200, "{checks}");
        assert_eq!(node.metric("tongguan_intents").await, 0.0);
    }
    // While they run, everything of it is sound: rows, what they have to do with each other, seals, every chain.
    let check = place.command(&["check"]);
    assert!(check.status.success() && text(&check).contains("the database is sound"), "{}", text(&check));
    let status = place.command(&["database", "status"]);
    assert!(status.status.success() && text(&status).contains("of 32 are taken"), "{}", text(&status));
}

/// Quotas, blocks and addresses are those of all nodes together, however many callers reach for the last one at once.
#[tokio::test(flavor = "multi_thread")]
async fn no_bound_is_exceeded_by_nodes_side_by_side() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    // There are six addresses.
    let bounds = ["--quota", "vpcs_per_region=4", "--address-pool", "198.18.0.0/29"];
    let nodes = [place.node(&bounds), place.node(&bounds), place.node(&bounds)];
    let vpc = [REGION, ("CidrBlock", "10.0.0.0/8")];
    let other = (OTHER_KEY, OTHER_SECRET);
    let mut networks = Vec::new();
    for (key, left) in [((KEY, SECRET), 4), (other, 4)] {
        let calls = (0..4).flat_map(|_| nodes.iter().map(|node| node.call_as(key, VPC, "CreateVpc", &vpc)));
        let replies = futures_util::future::join_all(calls).await;
        let made: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
        assert_eq!(made.len(), left, "{:?}", replies.iter().map(Reply::text).collect::<Vec<_>>());
        let vpc = field(&made[0].json(), "VpcId");
        let named = [REGION, ("VpcId", vpc.as_str())];
        until_as(key, &nodes[0], "DescribeVpcAttribute", &named, |vpc| vpc["Status"] == "Available").await;
        let block =
            [REGION, ("VpcId", vpc.as_str()), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "10.1.0.0/16")];
        let calls = nodes.iter().map(|node| node.call_as(key, VPC, "CreateVSwitch", &block));
        let replies = futures_util::future::join_all(calls).await;
        let made: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
        assert_eq!(
            made.len(),
            1,
            "the same block: {:?}",
            replies.iter().map(Reply::text).collect::<Vec<_>>()
        );
        let vswitch = field(&made[0].json(), "VSwitchId");
        let named = [REGION, ("VSwitchId", vswitch.as_str())];
        until_as(key, &nodes[0], "DescribeVSwitchAttributes", &named, |vswitch| {
            vswitch["Status"] == "Available"
        })
        .await;
        networks.push((key, vpc, vswitch));
    }
    // Two accounts, whose changes do not wait for each other, draw from one pool.
    let parameters: Vec<_> =
        networks.iter().map(|(key, vpc, vswitch)| (*key, gateway(vpc, vswitch))).collect();
    let calls = parameters.iter().flat_map(|(key, parameters)| {
        nodes.iter().map(|node| node.call_as(*key, VPC, "CreateVpnGateway", parameters))
    });
    let made = futures_util::future::join_all(calls).await;
    let made = made.iter().filter(|reply| reply.status == 200).count();
    let sql = "SELECT count(*) || ' ' || count(DISTINCT ip) FROM address";
    let drawn = place.single.sql("tongguan", sql).unwrap();
    let (all, distinct) = drawn.trim().split_once(' ').unwrap();
    assert!(all == distinct && (1..=6).contains(&made), "{made} gateways, {drawn}");
    let check = place.command(&["check"]);
    assert!(check.status.success(), "{}", text(&check));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_has_revoked_no_other_grants() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let nodes = [place.node(&[]), place.node(&[]), place.node(&[])];
    ok(&nodes[0].call(RAM, "CreateUser", &[("UserName", "eve")]).await);
    let key = ok(&nodes[1].call(RAM, "CreateAccessKey", &[("UserName", "eve")]).await);
    let key = &key["AccessKey"];
    let (id, secret) = (field(key, "AccessKeyId"), field(key, "AccessKeySecret"));
    let eve = (id.as_str(), secret.as_str());
    let policy = [("PolicyType", "System"), ("PolicyName", "AliyunVPCFullAccess"), ("UserName", "eve")];
    let look = |node: &Server| {
        let request = node.sign_as(eve, VPC, "DescribeVpcs", &[REGION]);
        async move { request }
    };
    for round in 0..3 {
        let (writer, readers) = (&nodes[round % 3], [&nodes[(round + 1) % 3], &nodes[(round + 2) % 3]]);
        for reader in readers {
            assert_eq!(reader.send(&look(reader).await).await.status, 403, "round {round}");
        }
        ok(&writer.call(RAM, "AttachPolicyToUser", &policy).await);
        for reader in readers {
            assert_eq!(reader.send(&look(reader).await).await.status, 200, "round {round}");
        }
        ok(&writer.call(RAM, "DetachPolicyFromUser", &policy).await);
    }
    let inactive = [("UserName", "eve"), ("UserAccessKeyId", eve.0), ("Status", "Inactive")];
    ok(&nodes[2].call(RAM, "UpdateAccessKey", &inactive).await);
    for node in &nodes {
        let reply = node.send(&look(node).await).await;
        assert_eq!(reply.code(), "InvalidAccessKeyId.Inactive");
        // However much is logged, it is not what the database is told.
        let logged = node.logged();
        assert!(!logged.contains(eve.1) && !logged.contains("executing statement"), "{logged}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_other_settings_does_not_serve() {
    let Some(place) = Place::or_skip() else { return };
    let unmade = place.serve(&[]);
    assert!(
        !unmade.status.success() && text(&unmade).contains("tongguan database init"),
        "{}",
        text(&unmade)
    );
    place.init();
    let _first = place.node(&[]);
    let other = place.serve(&["--region", "cn-beijing", "--quota", "vpcs_per_region=3"]);
    assert_eq!(other.status.code(), Some(78), "{}", text(&other));
    assert!(text(&other).contains("quotas, region"), "{}", text(&other));
    let key = place.folder.path().join("other.key");
    std::fs::write(&key, "00".repeat(32)).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let stranger = place.serve(&["--master-key-file", key.to_str().unwrap()]);
    assert!(!stranger.status.success() && text(&stranger).contains("master key"), "{}", text(&stranger));
    for (more, said) in [
        (&["--test-api"][..], "of the embedded store"),
        (&["--apply-delay", "polls:2"][..], "counts calls"),
        (&["--database", "postgres://a:secret@localhost/x"][..], "does not belong on a command line"),
    ] {
        let refused = place.serve(more);
        assert_eq!(refused.status.code(), Some(78), "{}", text(&refused));
        assert!(text(&refused).contains(said) && !text(&refused).contains("secret@"), "{}", text(&refused));
    }
}

/// Who dies with a change in hand is replaced when its lease has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_outlives_the_node_that_accepted_it() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let mut first = place.node(&["--apply-delay", "2s"]);
    let second = place.node(&["--apply-delay", "2s"]);
    let (vpc, vswitch) = network(&first).await;
    let made =
        field(&ok(&first.call(VPC, "CreateVpnGateway", &gateway(&vpc, &vswitch)).await), "VpnGatewayId");
    first.signal("KILL");
    first.ended().await;
    let named = [REGION, ("VpnGatewayId", made.as_str())];
    until(&second, "DescribeVpnGateway", &named, |gateway| gateway["Status"] == "active").await;
    ok(&second.call(VPC, "DeleteVpnGateway", &named).await);
    let check = place.command(&["check"]);
    assert!(check.status.success(), "{}", text(&check));
}

/// Who writes the database and has no master key is found, where it counts and by `check`.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_in_beside_the_service_is_found() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let node = place.node(&[]);
    ok(&node.call(RAM, "CreateUser", &[("UserName", "eve")]).await);
    let sql = |statements: &str| place.single.sql("tongguan", statements);
    // The triggers refuse who does not come as a lane does.
    let attach = "INSERT INTO ram_attachment (account, system, user_seq, attached_ms) \
                  SELECT account, 'AdministratorAccess', seq, 0 FROM ram_user WHERE name = 'eve'";
    assert!(sql(attach).is_err());
    sql(&format!("SET session_replication_role = replica; {attach}")).unwrap();
    let check = place.command(&["check"]);
    assert_eq!(check.status.code(), Some(65), "{}", text(&check));
    assert!(text(&check).contains("user `eve`"), "{}", text(&check));
    let audited = sql("SELECT count(*) FROM audit WHERE action = 'CreateUser'").unwrap();
    assert_eq!(audited.trim(), "1");
    let records = |lane: &u32| sql(&format!("SELECT count(*) FROM lane_{lane}.audit")).unwrap();
    let lane = (1..=32).find(|lane| records(lane).trim() != "0").unwrap();
    sql(&format!("UPDATE lane_{lane}.audit SET source = '192.0.2.1' WHERE seq = 1")).unwrap();
    let check = place.command(&["check"]);
    assert!(text(&check).contains(&format!("lane {lane}: record 1")), "{}", text(&check));
}

/// The database goes away and comes back: nobody is answered wrongly meanwhile, and everybody is served again.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_away_is_used_again() {
    let Some(mut place) = Place::or_skip() else { return };
    place.init();
    let nodes = [place.node(&[]), place.node(&[])];
    let (vpc, _) = network(&nodes[0]).await;
    place.single.kill();
    for node in &nodes {
        let reply = node.call(VPC, "DescribeVpcAttribute", &[REGION, ("VpcId", &vpc)]).await;
        assert_eq!((reply.status, reply.code().as_str()), (503, "ServiceUnavailable"), "{}", reply.text());
        let (ready, checks) = node.look("/readyz").await;
        assert!(ready == 503 && checks.contains("no primary"), "{checks}");
    }
    place.single.boot().unwrap();
    for node in &nodes {
        let named = [REGION, ("VpcId", vpc.as_str())];
        until(node, "DescribeVpcAttribute", &named, |seen| seen["VpcId"] == vpc.as_str()).await;
        ok(&node.call(VPC, "ModifyVpcAttribute", &[REGION, ("VpcId", &vpc), ("VpcName", "again")]).await);
    }
    // Sessions that the server ends are replaced without anybody noticing.
    place.single.terminate_sessions().unwrap();
    for node in &nodes {
        until(node, "DescribeVpcAttribute", &[REGION, ("VpcId", &vpc)], |seen| seen["VpcName"] == "again")
            .await;
    }
}
