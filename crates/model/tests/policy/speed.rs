//! What a decision costs: nothing from the heap, and time that `--ignored` prints.
//!
//! `cargo test --release -p tongguan-model --test policy -- --ignored --nocapture speed`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use tongguan_model::policy::{AccessRequest, Attached, Budget, Context, Decision, Policy, PolicySet};

const GATEWAY: &str = "acs:vpc:cn-hangzhou:1234567890123456:vpngateway/vpn-bp1q8bgx4xnkm2ogj";
const ROLE: &str = "acs:ram:*:1234567890123456:role/AliyunServiceRoleForVPNCertificate";

const POLICIES: usize = 10;
const STATEMENTS: usize = 20;

fn set(statement: impl Fn(usize) -> String) -> PolicySet {
    let attached = (0..POLICIES).map(|policy| {
        let statements: Vec<String> = (0..STATEMENTS).map(|n| statement(policy * STATEMENTS + n)).collect();
        let document = format!(r#"{{"Version": "1", "Statement": [{}]}}"#, statements.join(","));
        Attached { origin: format!("policy/{policy}"), policy: Arc::new(Policy::parse(&document).unwrap()) }
    });
    PolicySet::new(attached.collect())
}

/// As people write them: reads by prefix, single operations, NotAction, a few conditions.
fn mixed(n: usize) -> String {
    let verbs = ["Describe", "Create", "Delete", "Modify", "List", "Associate"];
    let things = ["Vpc", "VSwitch", "RouteEntry", "VpnGateway", "VpnConnection", "CustomerGateway", "HaVip"];
    let (verb, thing) = (verbs[n % verbs.len()], things[n % things.len()]);
    let resource = format!("acs:vpc:*:1234567890123456:{}/{}-{n}*", thing.to_lowercase(), &verb[..3]);
    match n % 10 {
        0 => format!(r#"{{"Effect": "Allow", "Action": "vpc:{verb}*", "Resource": "{resource}"}}"#),
        1 => format!(r#"{{"Effect": "Deny", "Action": ["ram:{verb}*", "ims:*"], "Resource": "*"}}"#),
        2 => format!(
            r#"{{"Effect": "Deny", "NotAction": ["vpc:*", "kms:*", "sts:*{n}", "ram:*"], "Resource": "*"}}"#
        ),
        3 => format!(
            r#"{{"Effect": "Allow", "Action": ["kms:{verb}{thing}", "kms:Get*"], "Resource": "acs:kms:*:*:key/{n}"}}"#
        ),
        4 => format!(
            r#"{{"Effect": "Deny", "Action": "vpc:Delete{thing}{n}", "Resource": "*",
                "Condition": {{"NotIpAddress": {{"acs:SourceIp": ["10.0.0.0/8", "203.0.113.0/24"]}}}}}}"#
        ),
        _ => format!(
            r#"{{"Effect": "Allow", "Action": ["vpc:{verb}{thing}{n}", "vpc:{verb}{thing}s{n}"], "Resource": ["{resource}", "*"]}}"#
        ),
    }
}

/// Every statement covers the action, none the resource.
fn other_resources(n: usize) -> String {
    let action = ["vpc:*", "*", "vpc:Describe*", "vpc:DescribeVpnGateway"][n % 4];
    let resource = match n % 3 {
        0 => format!("acs:vpc:*:*:vpngateway/vpn-bp1{n:05}*"),
        1 => format!("acs:vpc:cn-*:1234567890123456:vpngateway/vpn-{n:05}"),
        _ => format!("acs:vpc:*:*:vpngateway/*{n:03}"),
    };
    let effect = if n.is_multiple_of(5) { "Deny" } else { "Allow" };
    format!(r#"{{"Effect": "{effect}", "Action": "{action}", "Resource": "{resource}"}}"#)
}

/// One condition on each statement, and none holds.
fn unmet_conditions(n: usize) -> String {
    format!(
        r#"{{"Effect": "Allow", "Action": "vpc:*", "Resource": "*",
            "Condition": {{"IpAddress": {{"acs:SourceIp": "10.{n}.0.0/16"}}}}}}"#
    )
}

fn request<'a>(action: &'a str, resource: &'a str, context: &'a Context) -> AccessRequest<'a> {
    AccessRequest { action, resource, context }
}

fn context() -> Context {
    Context::from_iter([
        ("acs:SourceIp", "192.0.2.7"),
        ("acs:CurrentTime", "2026-07-09T08:00:00Z"),
        ("acs:SecureTransport", "true"),
    ])
}

#[test]
fn deciding_takes_nothing_from_the_heap() {
    let context = context();
    let everything = |n: usize| {
        let (operator, value) = [
            ("StringEquals", "a"),
            ("StringNotEqualsIgnoreCase", "192.0.2.7"),
            ("StringLike", "1?2.*x"),
            ("NumericLessThan", "-12.50"),
            ("DateLessThan", "2026-01-01T00:00:00.5+08:00"),
            ("Bool", "false"),
            ("IpAddress", "2001:db8::/32"),
        ][n % 7];
        format!(
            r#"{{"Effect": "Deny", "Action": "*:*e*", "Resource": "acs:*:*:*:*",
                "Condition": {{"{operator}": {{"acs:SourceIp": "{value}"}}}}}}"#
        )
    };
    let sets = [set(mixed), set(other_resources), set(unmet_conditions), set(everything)];
    for set in &sets {
        for (action, resource) in [("vpc:DescribeVpnGateway", GATEWAY), ("ram:GetRole", ROLE), ("网:Be", "*")]
        {
            let request = request(action, resource, &context);
            let count = allocation_counter::measure(|| {
                black_box(set.decide(&request, &Budget::default())).unwrap();
            });
            assert_eq!(count.count_total, 0, "{request:?}");
        }
    }
}

#[test]
#[ignore = "prints figures, which mean something in a release build only"]
fn speed() {
    let context = context();
    let one = PolicySet::new(vec![Attached {
        origin: String::new(),
        policy: tongguan_model::policy::system_policy("AliyunVPNGatewayReadOnlyAccess").unwrap(),
    }]);
    let tagged = request("vpc:TagResources", GATEWAY, &context);
    let describe = request("vpc:DescribeVpnGateway", GATEWAY, &context);
    let role = request("ram:GetRole", ROLE, &context);
    for (name, set, request, expected) in [
        ("one system policy, allowed", &one, describe, Decision::Allow),
        ("200 statements, few match the action", &set(mixed), tagged, Decision::ImplicitDeny),
        ("200 statements, a tenth matches the action", &set(mixed), describe, Decision::ImplicitDeny),
        ("200 statements, denied RAM resource", &set(mixed), role, Decision::ImplicitDeny),
        ("200 statements, only resources differ", &set(other_resources), describe, Decision::ImplicitDeny),
        ("200 statements, only an address differs", &set(unmet_conditions), describe, Decision::ImplicitDeny),
    ] {
        assert_eq!(set.decide(&request, &Budget::default()), Ok(expected), "{name}");
        const TIMES: u32 = 200_000;
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            for _ in 0..TIMES {
                black_box(set.decide(black_box(&request), &Budget::default())).unwrap();
            }
            best = best.min(start.elapsed().as_secs_f64() / f64::from(TIMES) * 1e9);
        }
        println!("{name}: {best:.0} ns");
    }
}
