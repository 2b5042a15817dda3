//! What authorisation costs: the same read by the account itself, which is not evaluated, and by RAM users
//! with ten policies of twenty statements each, in turns on one server; and what the worst set of policies costs.

use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tongguan_testkit::Caller;
use tongguan_testkit::api::ACCOUNT;
use tongguan_testkit::world::settled;

use crate::api::{self, Client, Scheme};
use crate::load::{self, Window};
use crate::report::Row;
use crate::world;

use super::{CONNECTIONS, Suite, say, target};

/// Policies of a user: as many as may be attached.
const POLICIES: usize = 10;
/// Statements of a policy.
const STATEMENTS: usize = 20;
/// Most that a call may cost more for its authorisation: part of what it costs without.
const MOST: f64 = 0.10;

/// Calls of the user with the worst set, one after the other.
const WORST_CALLS: usize = 500;
/// Most that one of them may take, milliseconds.
const WORST_MS: f64 = 5.0;

/// A user, and what its policies look like.
struct User {
    name: &'static str,
    about: &'static str,
    /// One statement of the many, before the one that allows.
    statement: fn(usize) -> Value,
}

const USERS: [User; 2] = [
    User { name: "mixed", about: "200 statements as people write them", statement: mixed },
    User { name: "worst", about: "200 statements, all about this action", statement: about_the_action },
];

/// Other products, other operations, wildcards, conditions; some about the action, on other resources.
fn mixed(n: usize) -> Value {
    match n % 10 {
        0 => {
            json!({"Effect": "Allow", "Action": ["oss:GetObject", "oss:PutObject"], "Resource": format!("acs:oss:*:*:bucket-{n}/*")})
        }
        1 => json!({"Effect": "Allow", "Action": "ecs:Describe*", "Resource": "*"}),
        2 => json!({"Effect": "Allow", "Action": ["vpc:CreateVpc", "vpc:DeleteVpc"], "Resource": "*"}),
        3 => {
            json!({"Effect": "Deny", "Action": "vpc:Delete*", "Resource": format!("acs:vpc:*:{ACCOUNT}:vpngateway/vpn-{n}*")})
        }
        4 => {
            json!({"Effect": "Allow", "Action": "kms:*", "Resource": format!("acs:kms:cn-hangzhou:{ACCOUNT}:certificate/{n}*")})
        }
        5 => {
            json!({"Effect": "Allow", "Action": "vpc:Describe*", "Resource": format!("acs:vpc:cn-beijing:{ACCOUNT}:vpngateway/*")})
        }
        6 => json!({"Effect": "Allow", "Action": "log:*", "Resource": "*",
            "Condition": {"IpAddress": {"acs:SourceIp": ["10.0.0.0/8", "192.168.0.0/16"]}}}),
        7 => json!({"Effect": "Deny", "Action": "ram:*", "Resource": "*",
            "Condition": {"Bool": {"acs:SecureTransport": "false"}}}),
        8 => {
            json!({"Effect": "Allow", "Action": ["rds:Describe*", "slb:Describe*", "cen:Describe*"], "Resource": "*"})
        }
        _ => {
            json!({"Effect": "Allow", "Action": "vpc:DescribeVpnGateway", "Resource": format!("acs:vpc:*:{ACCOUNT}:vpngateway/vpn-{n}")})
        }
    }
}

/// Each must be looked at to its end: the action, a pattern for the resource, a condition.
fn about_the_action(n: usize) -> Value {
    let resource = format!("acs:vpc:*:{}:vpngateway/vpn-*{n:03}", ACCOUNT);
    json!({"Effect": if n.is_multiple_of(4) { "Deny" } else { "Allow" }, "Action": "vpc:Describe*", "Resource": resource,
        "Condition": {"IpAddress": {"acs:SourceIp": format!("10.{n}.0.0/16")}}})
}

impl Suite {
    /// Reads by the account and by users.
    pub(super) async fn rights(&mut self) -> Result<()> {
        say("authorisation");
        let program = self.server()?.start(&self.directory.join("rights"))?;
        let world = world::make(program.address(), &self.caller, 10, true).await?;
        let describe = api::gateway(&world.gateways[0]);
        let account = Rc::clone(&self.caller);
        let mut client = Client::open(&account, program.address()).await?;
        let mut callers = vec![("the account itself", Rc::clone(&account))];
        for user in &USERS {
            callers.push((user.about, Rc::new(make(&mut client, user).await?)));
        }
        let mut windows: Vec<Vec<Window>> = callers.iter().map(|_| Vec::new()).collect();
        let host = target(&program).address.to_string();
        for round in 1..=self.scale.rounds {
            say(&format!("  round {round} of {}", self.scale.rounds));
            for ((name, caller), windows) in callers.iter().zip(&mut windows) {
                let mut make = || api::signed(caller, Scheme::V3, &host, &describe);
                let window = load::measure(target(&program), self.plan(), &mut make).await;
                windows.push(window.with_context(|| format!("reads by {name}"))?);
            }
        }
        let mut rows = Vec::new();
        let mut base = None;
        for ((name, _), windows) in callers.iter().zip(&windows) {
            self.count_disturbed(windows);
            let window = load::median(load::undisturbed(windows))?;
            let row = Row::new(format!("DescribeVpnGateway, V3, by {name}"), window.cpu_us, "µs/request");
            let base = *base.get_or_insert(window.cpu_us);
            let met = window.cpu_us <= (1.0 + MOST) * base;
            rows.push(match rows.is_empty() {
                true => row,
                false => row.against(base).target("≤ 110 %", met).disturbed(window.disturbed()),
            });
            rows.push(Row::new("  rate", window.rate, "requests/s"));
        }
        let bomber = worst_set(&mut client).await?;
        let mut bomber = Client::open(&bomber, program.address()).await?;
        let mut times = Vec::with_capacity(WORST_CALLS);
        for _ in 0..WORST_CALLS {
            let begun = Instant::now();
            let code = bomber.code(&api::tag_fifty()).await?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            anyhow::ensure!(code.as_deref() == Some("Forbidden.PolicyTooComplex"), "{code:?}");
        }
        times.sort_by(f64::total_cmp);
        let (half, most) = (times[WORST_CALLS / 2], times[WORST_CALLS * 99 / 100]);
        rows.push(Row::new("TagResources of 50, the worst set that is accepted, p50", half, "ms"));
        rows.push(Row::new("  p99", most, "ms").target("< 5.00", most < WORST_MS));
        let title = format!(
            "Authorisation: {POLICIES} policies of {STATEMENTS} statements, processor time, {CONNECTIONS} connections"
        );
        self.report.section(title, "without evaluation", rows);
        program.end()
    }
}

/// Makes a user with as many policies as limits allow, of its own and of its groups, each as costly as a new one may be:
/// together they need more steps than a decision may take.
async fn worst_set(client: &mut Client<'_>) -> Result<Caller> {
    let mut ask = async |action: &'static str, parameters: &[(&str, &str)]| {
        settled(client, &api::ram(action, parameters)).await
    };
    let user = ("UserName", "worst-set");
    ask("CreateUser", &[user]).await?;
    let administrator = [user, ("PolicyName", "AdministratorAccess"), ("PolicyType", "System")];
    ask("AttachPolicyToUser", &administrator).await?;
    let pattern = format!("*{}?b*", "a".repeat(60));
    let document = json!({"Version": "1", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": {"StringLike": {"acs:RequestTag/abcde": vec![pattern; 56]}}}]})
    .to_string();
    for n in 0..35 {
        let name = format!("worst-set-{n}");
        ask("CreatePolicy", &[("PolicyName", &name), ("PolicyDocument", &document)]).await?;
        let attached = [("PolicyName", name.as_str()), ("PolicyType", "Custom")];
        if n < 10 {
            ask("AttachPolicyToUser", &[user, attached[0], attached[1]]).await?;
            continue;
        }
        let group = format!("worst-set-{}", n / 5);
        if n % 5 == 0 {
            ask("CreateGroup", &[("GroupName", &group)]).await?;
            ask("AddUserToGroup", &[user, ("GroupName", &group)]).await?;
        }
        ask("AttachPolicyToGroup", &[("GroupName", &group), attached[0], attached[1]]).await?;
    }
    let key = ask("CreateAccessKey", &[user]).await?;
    Ok(Caller::created(&key))
}

/// Makes a user with its policies and its key.
async fn make(client: &mut Client<'_>, user: &User) -> Result<Caller> {
    let mut ask = async |action: &'static str, parameters: &[(&str, &str)]| {
        settled(client, &api::ram(action, parameters)).await
    };
    ask("CreateUser", &[("UserName", user.name)]).await?;
    for policy in 0..POLICIES {
        let mut statements: Vec<Value> =
            (0..STATEMENTS).map(|n| (user.statement)(policy * STATEMENTS + n)).collect();
        if policy + 1 == POLICIES {
            // The one that allows comes last.
            let gateways = format!("acs:vpc:*:{}:vpngateway/*", ACCOUNT);
            statements[STATEMENTS - 1] =
                json!({"Effect": "Allow", "Action": "vpc:DescribeVpnGateway*", "Resource": gateways});
        }
        let document = json!({"Version": "1", "Statement": statements}).to_string();
        let name = format!("{}-{policy}", user.name);
        ask("CreatePolicy", &[("PolicyName", &name), ("PolicyDocument", &document)]).await?;
        let attach = [("UserName", user.name), ("PolicyName", &name), ("PolicyType", "Custom")];
        ask("AttachPolicyToUser", &attach).await?;
    }
    let key = ask("CreateAccessKey", &[("UserName", user.name)]).await?;
    Ok(Caller::created(&key))
}
