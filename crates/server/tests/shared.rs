//! Three real processes over one PostgreSQL: what is promised of one process holds for all of them.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;
#[path = "common/place.rs"]
mod place;

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use common::program::{Process, binary, program, text};
use common::{ACCOUNT, KEY, OTHER_KEY, OTHER_SECRET, PATIENCE, RAM, Reply, SECRET, STS, Server, VPC};
use place::{Place, REGION, field, gateway, network, ok, until, until_as};
use tongguan_testkit::skipped;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_has_answered_every_other_knows() {
    let Some(place) = Place::or_skip() else { return };
    let early = place.command(&["database", "status"]);
    assert!(!early.status.success() && text(&early).contains("schema     0"), "{}", text(&early));
    place.init();
    let again = place.command(&["database", "init"]);
    assert!(again.status.success() && text(&again).contains("it has accounts already"), "{}", text(&again));
    let nodes = [place.node(&[]), place.node(&[]), place.node(&[])];
    one_service(&place, &nodes).await;
}

/// What makes one service of three nodes, in short.
async fn one_service(place: &Place, nodes: &[Server; 3]) {
    // What is written on one is read on the next.
    let (vpc, vswitch) = network(&nodes[0]).await;
    for node in nodes {
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
    for node in nodes {
        let reply = node.send(&request).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "SignatureNonceUsed"));
    }
    let request = nodes[0].sign(VPC, "DescribeVpnGateway", &named);
    let answers = tokio::join!(nodes[0].send(&request), nodes[1].send(&request), nodes[2].send(&request));
    let taken = [answers.0, answers.1, answers.2].iter().filter(|reply| reply.status == 200).count();
    assert_eq!(taken, 1);
    for node in nodes {
        let (ready, checks) = node.look("/readyz").await;
        assert_eq!(ready, 200, "{checks}");
        assert_eq!(node.metric("tongguan_intents").await, 0.0);
        every_metric_is_explained(node).await;
    }
    // While they run, everything of it is sound: rows, what they have to do with each other, seals, every chain.
    let check = place.command(&["check"]);
    assert!(check.status.success() && text(&check).contains("the database is sound"), "{}", text(&check));
    let status = place.command(&["database", "status"]);
    assert!(status.status.success() && text(&status).contains("of 32 are taken"), "{}", text(&status));
}

/// Clocks of nodes that differ by twenty seconds change nothing; one that is a minute off serves nobody.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_change_nothing_and_one_that_is_wrong_is_refused() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let nodes = [place.node_ahead(10).0, place.node_ahead(0).0, place.node_ahead(-10).0];
    for (node, seconds) in nodes.iter().zip([10.0, 0.0, -10.0]) {
        let difference = node.metric("tongguan_clock_difference_seconds").await;
        assert!((difference - seconds).abs() < 2.0, "{difference} instead of {seconds}");
    }
    one_service(&place, &nodes).await;
    // Whoever writes a moment, it is that of the database.
    let sql =
        "SELECT max(abs(now_ms() - created_ms)) < 60000 AND max(created_ms) <= now_ms() FROM vpn_gateway";
    assert_eq!(place.single.sql("tongguan", sql).unwrap().trim(), "t");
    let sql = "SELECT count(*) > 0 AND max(time_ms) <= now_ms() + 1000 FROM audit";
    assert_eq!(place.single.sql("tongguan", sql).unwrap().trim(), "t");
    // A session that one has made lives and ends on the others as on itself.
    let trust = serde_json::json!({
        "Version": "1",
        "Statement": [{
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"RAM": [format!("acs:ram::{ACCOUNT}:root")]},
        }],
    })
    .to_string();
    let role = [("RoleName", "walker"), ("AssumeRolePolicyDocument", trust.as_str())];
    let role = ok(&nodes[0].call(RAM, "CreateRole", &role).await);
    ok(&nodes[1].call(RAM, "CreateUser", &[("UserName", "eve")]).await);
    let key = ok(&nodes[2].call(RAM, "CreateAccessKey", &[("UserName", "eve")]).await);
    let eve = (field(&key["AccessKey"], "AccessKeyId"), field(&key["AccessKey"], "AccessKeySecret"));
    let assume = [
        ("RoleArn", role["Role"]["Arn"].as_str().unwrap()),
        ("RoleSessionName", "walk"),
        ("DurationSeconds", "900"),
    ];
    let policy = [("PolicyType", "System"), ("PolicyName", "AliyunSTSAssumeRoleAccess"), ("UserName", "eve")];
    ok(&nodes[0].call(RAM, "AttachPolicyToUser", &policy).await);
    for node in &nodes {
        let session = ok(&node.call_as((eve.0.as_str(), eve.1.as_str()), STS, "AssumeRole", &assume).await);
        let expires = field(&session["Credentials"], "Expiration");
        let sql = format!(
            "SELECT abs(extract(epoch FROM '{expires}'::timestamptz - clock_timestamp()) - 900) < 60"
        );
        assert_eq!(place.single.sql("tongguan", &sql).unwrap().trim(), "t", "{expires}");
    }

    let (wrong, file) = place.node_ahead(60);
    let said = "60 s ahead of that of the database, 15 s are allowed";
    let reply = wrong.call(VPC, "DescribeVpcs", &[REGION]).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "ServiceUnavailable"), "{}", reply.text());
    assert!(reply.text().contains(said), "{}", reply.text());
    let (status, checks) = wrong.look("/readyz").await;
    assert!(status == 503 && checks.contains(said), "{checks}");
    let ready = program(&["ready", "--url", &format!("http://{}", wrong.admin.unwrap())]).output().unwrap();
    assert!(ready.status.code() == Some(1) && text(&ready).contains(said), "{}", text(&ready));
    assert!(wrong.logged().contains(said), "{}", wrong.logged());
    // Nobody starts it again when its clock is right.
    std::fs::write(&file, "0").unwrap();
    until(&wrong, "DescribeVpcs", &[REGION], |_| true).await;
    assert_eq!(wrong.look("/readyz").await.0, 200);
    // And one whose clock is set while it serves is told.
    std::fs::write(&file, "-60000").unwrap();
    let begun = Instant::now();
    while wrong.call(VPC, "DescribeVpcs", &[REGION]).await.status == 200 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(wrong.look("/readyz").await.1.contains("60 s behind that of the database"));
    assert_eq!(nodes[0].call(VPC, "DescribeVpcs", &[REGION]).await.status, 200);
}

/// Sends more calls to these nodes than may be: how many are served, and how many more may be for the time that passed.
async fn served(nodes: &[Server], key: (&str, &str)) -> (usize, usize) {
    let begun = Instant::now();
    let calls =
        (0..50).flat_map(|_| nodes.iter().map(|node| node.call_as(key, VPC, "DescribeVpcs", &[REGION])));
    let replies = futures_util::future::join_all(calls).await;
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert!(refused.iter().all(|reply| reply.code() == "Throttling.User"));
    (replies.len() - refused.len(), 3 * usize::try_from(begun.elapsed().as_secs() + 1).unwrap())
}

/// An account has its rate on all nodes together, and what is over it may be sent again as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_divided_and_what_is_over_it_uses_no_nonce_up() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let rate = ["--rate-limit", "3", "--rate-burst", "60"];
    let mut nodes = [place.node(&rate), place.node(&rate), place.node(&rate)];
    for node in &nodes {
        node.metric_reaches("tongguan_nodes", 3.0).await;
    }
    let (all, more) = served(&nodes, (KEY, SECRET)).await;
    assert!((60..=60 + more).contains(&all), "{all} with {more} for the time that passed");
    let (all, more) = served(&nodes[..1], (OTHER_KEY, OTHER_SECRET)).await;
    assert!((20..=20 + more).contains(&all), "{all} with {more} for the time that passed");

    // The very same request is let in when it is its turn, and never again.
    let request = nodes[0].sign(VPC, "DescribeVpcs", &[REGION]);
    let begun = Instant::now();
    let mut refused = 0;
    loop {
        let reply = nodes[0].send(&request).await;
        if reply.status == 200 {
            break;
        }
        assert_eq!(reply.code(), "Throttling.User");
        refused += 1;
        assert!(begun.elapsed() < PATIENCE, "{refused} times");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(refused > 0);
    // A replay is told as one by whoever gets it, over his rate or not, and uses nothing of it up.
    for _ in 0..10 {
        for node in &nodes {
            assert_eq!(node.send(&request).await.code(), "SignatureNonceUsed");
        }
    }

    // Who has gone leaves his part to the others.
    for node in &mut nodes[1..] {
        node.signal("TERM");
        node.ended().await;
    }
    let begun = Instant::now();
    while nodes[0].metric("tongguan_nodes").await > 1.0 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whoever fills the nonces of all nodes by one of them has no more of them on the others, where everybody else has.
#[tokio::test(flavor = "multi_thread")]
async fn nonces_are_shared_by_all_nodes() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let few = ["--quota", "nonces=400"];
    let nodes = [place.node(&few), place.node(&few), place.node(&few)];
    let mut held = 0;
    let full = loop {
        let reply = nodes[0].call(VPC, "DescribeVpcs", &[REGION]).await;
        if reply.status != 200 {
            break reply;
        }
        held += 1;
        assert!(held < 400);
    };
    assert!(full.code() == "Throttling.User" && full.text().contains("nonces"), "{}", full.text());
    assert!(held > 200, "{held}");
    // The others hear of it; then they let the account in no more, and everybody else.
    for node in &nodes[1..] {
        let begun = Instant::now();
        while node.call(VPC, "DescribeVpcs", &[REGION]).await.status == 200 {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for _ in 0..5 {
            ok(&node.call_as((OTHER_KEY, OTHER_SECRET), VPC, "DescribeVpcs", &[REGION]).await);
        }
        assert!(node.metric("tongguan_nonces").await < 400.0);
    }
    // One that comes later knows it from the first.
    let later = place.node(&few);
    let begun = Instant::now();
    while later.call(VPC, "DescribeVpcs", &[REGION]).await.status == 200 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ok(&later.call_as((OTHER_KEY, OTHER_SECRET), VPC, "DescribeVpcs", &[REGION]).await);
}

/// What a node of several shows, the page of metrics has.
async fn every_metric_is_explained(node: &Server) {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, shown) = node.look("/metrics").await;
    let names: Vec<_> =
        shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.contains(&"tongguan_database_timeline") && names.contains(&"tongguan_claims"), "{names:?}");
    for name in names {
        assert!(page.contains(&format!("| `{name}")), "docs/metrics.md has no {name}");
    }
    node.metric_reaches("tongguan_nodes", 3.0).await;
    node.metric_reaches("tongguan_database_lanes", 1.0).await;
    assert_eq!(node.metric("tongguan_database_timeline").await, 1.0);
    assert_eq!(node.metric(r#"tongguan_database_unknown_total{outcome="untold"}"#).await, 0.0);
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

/// While releases are exchanged one node after the other, the schema says which may serve.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_two_releases_serve_side_by_side_if_the_schema_says_so() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let running = place.node(&[]);
    let newer = |oldest: &str| {
        let set = format!("UPDATE tongguan_schema SET version = version + 1, oldest = {oldest}");
        place.single.sql("tongguan", &set).unwrap();
    };
    newer("oldest");
    let upgrade = place.command(&["database", "upgrade"]);
    assert!(upgrade.status.success() && text(&upgrade).contains("newer release"), "{}", text(&upgrade));
    let status = place.command(&["database", "status"]);
    assert!(
        status.status.success() && text(&status).contains("this one may serve on it"),
        "{}",
        text(&status)
    );
    let beside = place.node(&[]);
    let (vpc, _) = network(&beside).await;
    for node in [&running, &beside] {
        ok(&node.call(VPC, "DescribeVpcAttribute", &[REGION, ("VpcId", &vpc)]).await);
    }
    let check = place.command(&["check"]);
    assert!(check.status.success(), "{}", text(&check));

    newer("version + 1");
    let status = place.command(&["database", "status"]);
    assert!(!status.status.success() && text(&status).contains("may not serve on it"), "{}", text(&status));
    for refused in [place.command(&["database", "upgrade"]), place.serve(&[])] {
        assert!(!refused.status.success() && text(&refused).contains("newer"), "{}", text(&refused));
    }
}

/// A node that is started again refuses a primary that is older than the one that it has seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_begins_anew_refuses_an_old_primary() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let node = place.node(&[]);
    let seen = std::fs::read_to_string(node.data_dir().join("database.timeline")).unwrap();
    let other = place.folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("database.timeline"), seen.replace(" 1\n", " 2\n")).unwrap();
    let refused = place.serve(&[]);
    assert!(!refused.status.success(), "{}", text(&refused));
    assert!(text(&refused).contains("an old primary: timeline 1, and 2 was seen"), "{}", text(&refused));
}

/// The tools of PostgreSQL back it up while nodes write, and bring it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_the_database_is_brought_back_whole() {
    let Some(mut place) = Place::or_skip() else { return };
    if !place.single.has("pg_dump") || !place.single.has("pg_restore") {
        return skipped("no pg_dump and pg_restore beside this PostgreSQL");
    }
    place.init();
    let nodes = [place.node(&[]), place.node(&[]), place.node(&[])];
    one_service(&place, &nodes).await;
    let used = nodes[0].sign(VPC, "DescribeVpcs", &[REGION]);
    let before = ok(&nodes[1].call(VPC, "DescribeVpnGateways", &[REGION]).await);
    assert_eq!(nodes[0].send(&used).await.status, 200);
    let said = |mut command: std::process::Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    };
    let mut dump = place.single.program("pg_dump", "tongguan");
    dump.args(["--format=custom", "--file=tongguan.dump"]);
    said(dump);
    ok(&nodes[2].call(RAM, "CreateUser", &[("UserName", "later")]).await);
    drop(nodes);

    place.create_database("again", "template0");
    let mut restore = place.single.program("pg_restore", "again");
    restore.args(["--exit-on-error", "tongguan.dump"]);
    said(restore);
    place.database = "again";
    let check = place.command(&["check"]);
    assert!(check.status.success() && text(&check).contains("the database is sound"), "{}", text(&check));
    let node = place.node(&[]);
    assert_eq!(
        ok(&node.call(VPC, "DescribeVpnGateways", &[REGION]).await)["VpnGateways"],
        before["VpnGateways"]
    );
    // What was used before the dump is known in it, and what came after it never was.
    assert_eq!(node.send(&used).await.code(), "SignatureNonceUsed");
    ok(&node.call(RAM, "CreateUser", &[("UserName", "later")]).await);
    drop(node);
    let check = place.command(&["check"]);
    assert!(check.status.success(), "{}", text(&check));
}

/// The file that systemd reads for the unit makes a node of the service.
#[tokio::test(flavor = "multi_thread")]
async fn the_unit_takes_the_database_from_its_environment() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let unit = std::fs::read_to_string(format!("{root}/dist/tongguan.service")).unwrap();
    let value = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    assert_eq!(value("EnvironmentFile="), "-/etc/tongguan/tongguan.env");
    let credentials = place.folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::copy(format!("{root}/dist/tongguan.toml"), credentials.join("tongguan.toml")).unwrap();
    let started = value("ExecStart=").replace("${CREDENTIALS_DIRECTORY}", credentials.to_str().unwrap());
    let started = started.replace("${STATE_DIRECTORY}", place.folder.path().join("state").to_str().unwrap());
    let arguments: Vec<&str> = started.split(' ').skip(1).collect();
    let mut command = program(&arguments);
    command.envs(place.environment()).env("TONGGUAN_LISTEN", "127.0.0.1:0");
    command.env("TONGGUAN_ADMIN_LISTEN", "127.0.0.1:0");
    let node = Process::start(command);
    let (nodes, _) = (place.command(&["database", "status"]), node);
    let nodes = text(&nodes);
    assert!(nodes.contains("of 32 are taken") && !nodes.contains(" 0 of 32"), "{nodes}");
}

/// What docs/cluster.md lets a reader try.
#[test]
fn the_example_of_three_nodes_does_what_it_says() {
    let Some(place) = Place::or_skip() else { return };
    let says = ["of 32 are taken", "node 1 has it", "nodes 1 and 2 go on", "the database is sound"];
    example(&place, "three-nodes.sh", ("TONGGUAN_DATABASE", place.url().as_os_str()), &says);
}

/// Runs an example of examples/cluster on ports that are free, which must end well and say all of this.
fn example(place: &Place, name: &str, with: (&str, &OsStr), says: &[&str]) {
    let script = format!("{}/../../examples/cluster/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut command = std::process::Command::new("bash");
    command.arg(script).current_dir(place.folder.path()).env_clear();
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("TONGGUAN", binary()).env(with.0, with.1);
    command.env("LISTEN", ["127.0.0.1:0"; 3].join(" ")).env("ADMIN_LISTEN", ["127.0.0.1:0"; 3].join(" "));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    for said in says {
        assert!(text(&output).contains(said), "{said}: {}", text(&output));
    }
}

#[test]
fn the_example_of_a_lost_primary_does_what_it_says() {
    let Some(place) = Place::or_skip() else { return };
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [free(), free()].map(|listener| listener.local_addr().unwrap().port().to_string());
    let says = ["node 2 has what was answered before", "node 1 goes on", "(timeline 2)", "nobody uses it"];
    example(&place, "primary-lost.sh", ("PORTS", ports.join(" ").as_ref()), &says);
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

/// What a call costs does not grow with the calls of the last half hour, though the statements were planned when there
/// were none.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_looks_at_no_nonces_but_its_own() {
    const REMEMBERED: u32 = 20_000;
    const CALLS: u32 = 40;
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let node = place.node(&[]);
    let number = |query: &str| place.single.sql("tongguan", query).unwrap().trim().parse::<u32>().unwrap();
    let calls = async || {
        for _ in 0..CALLS {
            assert_eq!(node.call(STS, "GetCallerIdentity", &[]).await.status, 200);
        }
    };
    calls().await;
    let remembered = format!(
        "INSERT INTO nonce (print, until) SELECT sha256(n::TEXT::BYTEA), now_ms() / 1000 + 1000 \
         FROM generate_series(1, {REMEMBERED}) n"
    );
    place.single.sql("tongguan", &remembered).unwrap();
    let looked = "SELECT idx_scan FROM pg_stat_user_tables WHERE relname = 'nonce'";
    let read = "SELECT coalesce(seq_tup_read, 0) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes \
                WHERE relname = 'nonce')::BIGINT FROM pg_stat_user_tables WHERE relname = 'nonce'";
    let before = (number(looked), number(read));
    calls().await;
    let begun = Instant::now();
    // A session tells of its reads once a second.
    while number(looked) < before.0 + CALLS {
        assert!(begun.elapsed() < PATIENCE, "nobody looks");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let read = number(read) - before.1;
    assert!(read < REMEMBERED, "{read} rows were read");
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

/// PostgreSQL takes no text with a zero byte: who sends one is refused as on the embedded store, and nobody else
/// notices.
#[tokio::test(flavor = "multi_thread")]
async fn who_sends_zero_bytes_harms_nobody() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let node = place.node(&[]);
    for (action, vpc) in [("Describe\0Vpcs", "vpc"), ("DescribeVpcAttribute", "vpc-\0"), ("DeleteVpc", "\0")]
    {
        let reply = node.call(VPC, action, &[REGION, ("VpcId", vpc)]).await;
        assert!((400..500).contains(&reply.status), "{action}: {}", reply.text());
    }
    let stranger = node.call_as(("LTAI\0", SECRET), VPC, "DescribeVpcs", &[REGION]).await;
    assert!((400..500).contains(&stranger.status), "{}", stranger.text());
    ok(&node.call(VPC, "DescribeVpcs", &[REGION]).await);
    ok(&node.call(VPC, "CreateVpc", &[REGION]).await);
    assert!(place.command(&["check"]).status.success());
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
