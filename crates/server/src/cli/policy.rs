//! `tongguan policy explain`: which statement decides a call, and why the others do not.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tongguan_model::id::AccountId;
use tongguan_model::policy::{
    AccessRequest, Context, Decision, Explanation, Policy, PolicySet, TrustCaller, TrustPolicy, TrustRequest,
};
use tongguan_service::authority::{policies_of_role, policies_of_user, session_policy};
use tongguan_service::context::{Clock as _, SystemClock, iso8601};
use tongguan_service::operation;
use tongguan_store::{Snapshot, StoreError};

use super::MarkArgs;
use super::place::PlaceArgs;
use super::terminal::{self, Screen, harmless};
use crate::config::{Configured, PrincipalEntry};
use crate::database::DatabaseArgs;

/// Look into policies
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Say which statement decides whether a principal may do something, and why the others do not
    Explain(Box<ExplainArgs>),
    /// Check policy documents as CreatePolicy and CreateRole do
    Check {
        /// Files with policy documents; `-` for standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// They are trust policies
        #[arg(long)]
        trust: bool,
    },
}

#[derive(Debug, Args)]
struct ExplainArgs {
    /// Who: `root`, `user/NAME`, `role/NAME`, `assumed-role/NAME/SESSION`, or the ARN of one
    #[arg(long, value_name = "PRINCIPAL")]
    principal: String,
    /// Account of the principal, if it is no ARN and several accounts have one of that name
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// What: for example vpc:DissociateVpnGatewayWithCertificate
    #[arg(long)]
    action: String,
    /// On what: an ARN, or `*` for an operation that is not checked on single resources
    #[arg(long, default_value = "*")]
    resource: String,
    /// acs:SourceIp
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    source_ip: IpAddr,
    /// acs:CurrentTime; now by default
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// acs:SecureTransport: the call comes over TLS
    #[arg(long)]
    tls: bool,
    /// A further condition key, such as sts:ExternalId=abc
    #[arg(long = "key", value_name = "KEY=VALUE")]
    keys: Vec<String>,
    /// File with the session policy of an assumed role
    #[arg(long, value_name = "FILE")]
    session_policy: Option<PathBuf>,
    /// Configuration file of the service, for its principals
    #[arg(long, env = "TONGGUAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which key of the configuration's user, if it has several
    #[arg(long, value_name = "ID", requires = "config")]
    access_key: Option<String>,
    /// Directory that holds the database [default: the configuration's, or data]
    #[arg(long, env = "TONGGUAN_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// End with exit code 1 unless it is allowed
    #[arg(long)]
    assert_allowed: bool,
}

/// Carries out `tongguan policy`.
pub(crate) fn run(args: &PolicyArgs) -> Result<ExitCode> {
    match &args.command {
        PolicyCommand::Explain(args) => explain(args),
        PolicyCommand::Check { files, trust } => check(files, *trust),
    }
}

fn read(path: &PathBuf) -> Result<String> {
    if path.as_os_str() == "-" {
        return Ok(std::io::read_to_string(std::io::stdin())?);
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn check(files: &[PathBuf], trust: bool) -> Result<ExitCode> {
    let actions: Vec<&str> = operation::ALL.iter().filter_map(|known| known.permission).collect();
    let mut bad = 0;
    let mut out = terminal::out();
    for path in files {
        let text = read(path)?;
        let found = if trust {
            TrustPolicy::accept(&text).map(|policy| policy.warnings())
        } else {
            Policy::accept(&text).map(|policy| policy.warnings(&actions))
        };
        match found {
            Ok(warnings) if warnings.is_empty() => {
                writeln!(out, "{}: ok", harmless(&path.display().to_string()))?
            }
            Ok(warnings) => {
                writeln!(out, "{}: ok, with warnings", harmless(&path.display().to_string()))?;
                for warning in warnings {
                    writeln!(out, "  {}", harmless(&warning.to_string()))?;
                }
            }
            Err(error) => {
                bad += 1;
                let path = harmless(&path.display().to_string());
                writeln!(out, "{path}: {}", harmless(&error.to_string()))?;
            }
        }
    }
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The principal that is asked about.
#[derive(Debug, PartialEq, Eq)]
enum Who<'a> {
    Root,
    User(&'a str),
    Role { name: &'a str, session: Option<&'a str> },
}

/// Account, if the text names one, and principal.
fn who(text: &str) -> Result<(Option<&str>, Who<'_>)> {
    let unclear = || {
        anyhow!(
            "`{text}` is no principal: root, user/NAME, role/NAME, assumed-role/NAME/SESSION, or the ARN of one"
        )
    };
    let (account, rest) = match text.strip_prefix("acs:ram::") {
        None => (None, text),
        Some(rest) => {
            let (account, rest) = rest.split_once(':').ok_or_else(unclear)?;
            (Some(account), rest)
        }
    };
    let who = match rest.split_once('/') {
        None if rest == "root" => Who::Root,
        Some(("user", name)) if !name.is_empty() => Who::User(name),
        Some(("role", name)) if !name.is_empty() && !name.contains('/') => Who::Role { name, session: None },
        Some(("assumed-role" | "role", rest)) => {
            let (name, session) = rest.split_once('/').ok_or_else(unclear)?;
            Who::Role { name, session: Some(session) }
        }
        _ => return Err(unclear()),
    };
    Ok((account, who))
}

/// One set of policies, and what it says.
struct Part {
    of: String,
    explanation: Explanation,
}

fn explain(args: &ExplainArgs) -> Result<ExitCode> {
    let configured = args.config.as_deref().map(Configured::read).transpose()?.unwrap_or_default();
    let data_dir = args.data_dir.clone().or(configured.data_dir);
    let data_dir = data_dir.unwrap_or_else(|| super::data_directory().into());
    let database = args.database.clone().or(configured.database);
    let archive = PlaceArgs { data_dir, database, mark: MarkArgs::default() }.look_at_rows()?;
    let principals = configured.principals;
    let (named, who) = who(&args.principal)?;
    let session = match &args.session_policy {
        None => None,
        Some(path) => Some(session_policy(&read(path)?).with_context(|| format!("`{}`", path.display()))?),
    };
    let accounts = archive.read(|snapshot| snapshot.accounts())?;
    let ids: Vec<AccountId> = accounts.into_iter().map(|account| account.id).collect();
    let account = match (named.or(args.account.as_deref()), ids.as_slice()) {
        (Some(id), all) => all.iter().find(|account| account.as_str() == id).cloned(),
        (None, [only]) => Some(only.clone()),
        (None, all) => Some(archive.read(|snapshot| Ok(only_one_with(snapshot, all, &who, &principals)))??),
    };
    let account = account.ok_or_else(|| anyhow!("there is no such account"))?;
    let context = context(args, &account, &who)?;
    let question =
        Question { args, account: &account, who: &who, configured: &principals, context: &context };
    let parts = archive.read(|snapshot| Ok(question.parts(snapshot, session.as_ref())))??;
    let decision = combined(&who, args, &parts);
    let mut out = terminal::out();
    if args.json {
        out.json(&as_json(args, &account, decision, &parts))?;
    } else {
        tell(&mut out, args, &who, decision, &parts)?;
    }
    let refused = args.assert_allowed && decision != Decision::Allow;
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The account that is meant where none is named: the only one that has such a user or role.
fn only_one_with(
    snapshot: &Snapshot<'_>,
    accounts: &[AccountId],
    who: &Who<'_>,
    configured: &[PrincipalEntry],
) -> Result<AccountId> {
    let what = match who {
        Who::Root => bail!("there are several accounts: name one with --account, or give an ARN"),
        Who::User(name) => format!("user `{name}`"),
        Who::Role { name, .. } => format!("role `{name}`"),
    };
    let mut having = Vec::new();
    for account in accounts {
        let has = match who {
            Who::Root => false,
            Who::User(name) => {
                let in_file = |entry: &PrincipalEntry| {
                    let user = entry.user_name.as_deref();
                    entry.account_id == account.as_str()
                        && user.is_some_and(|user| user.eq_ignore_ascii_case(name))
                };
                configured.iter().any(in_file) || snapshot.user(account, name)?.is_some()
            }
            Who::Role { name, .. } => snapshot.role(account, name)?.is_some(),
        };
        if has {
            having.push(account);
        }
    }
    match having.as_slice() {
        [only] => Ok((*only).clone()),
        [] => bail!("no account has a {what} (for one of the configuration file name that with --config)"),
        several => {
            let ids: Vec<&str> = several.iter().map(|id| id.as_str()).collect();
            bail!(
                "{what} is in several accounts: name one with --account, {}, or give its ARN",
                ids.join(" or ")
            )
        }
    }
}

/// The condition keys as a call would have them.
fn context(args: &ExplainArgs, account: &AccountId, who: &Who<'_>) -> Result<Context> {
    let mut context = Context::new();
    context.insert("acs:SourceIp", args.source_ip.to_string());
    context.insert("acs:SecureTransport", args.tls.to_string());
    context.insert("acs:CurrentTime", args.time.clone().unwrap_or_else(|| iso8601(SystemClock.now_ms())));
    context.insert("acs:MFAPresent", "false");
    context.insert(
        "acs:PrincipalArn",
        match who {
            Who::Root => format!("acs:ram::{account}:root"),
            Who::User(name) => format!("acs:ram::{account}:user/{name}"),
            Who::Role { name, session } => {
                format!("acs:ram::{account}:assumed-role/{name}/{}", session.unwrap_or("session"))
            }
        },
    );
    for pair in &args.keys {
        let (key, value) = pair.split_once('=').ok_or_else(|| anyhow!("`{pair}` is no KEY=VALUE"))?;
        context.insert(key, value);
    }
    Ok(context)
}

/// Who asks for what, and what is known of it beside the database.
struct Question<'a> {
    args: &'a ExplainArgs,
    account: &'a AccountId,
    who: &'a Who<'a>,
    /// The principals of the configuration file.
    configured: &'a [PrincipalEntry],
    context: &'a Context,
}

impl Question<'_> {
    /// Every set of policies that must allow it.
    fn parts(&self, snapshot: &Snapshot<'_>, session: Option<&PolicySet>) -> Result<Vec<Part>> {
        let (action, resource) = (self.args.action.as_str(), self.args.resource.as_str());
        let request = AccessRequest { action, resource, context: self.context };
        let unreadable = |failure| anyhow!("the policies cannot be read: {failure:?}");
        let mut parts = Vec::new();
        let mut add = |of, set: &PolicySet| parts.push(Part { of, explanation: set.explain(&request) });
        let caller = match self.who {
            Who::Root => return Ok(parts),
            Who::User(name) => {
                if let Some(entry) = self.configured(name)? {
                    let of = format!("the configuration's policies of user/{name}");
                    add(of, &entry.policies()?);
                } else if let Some(user) = snapshot.user(self.account, name)? {
                    let of = format!("the policies of user/{} and its groups", user.name);
                    add(of, &policies_of_user(snapshot, user.seq).map_err(unreadable)?);
                } else if self.args.config.is_none() {
                    bail!(
                        "there is no user `{name}` in RAM; for one of the configuration file name that with --config"
                    );
                } else {
                    bail!("there is no user `{name}`, neither in RAM nor in the configuration file");
                }
                TrustCaller::User(name)
            }
            Who::Role { name, .. } => {
                let role = snapshot.role(self.account, name)?;
                let role = role.ok_or_else(|| anyhow!("there is no role `{name}`"))?;
                if let Some(set) = session {
                    add("the session policy".into(), set);
                }
                let of = format!("the policies of role/{}", role.name);
                add(of, &policies_of_role(snapshot, role.seq).map_err(unreadable)?);
                TrustCaller::Role(name)
            }
        };
        if action.eq_ignore_ascii_case("sts:AssumeRole") {
            parts.extend(self.trust(snapshot, caller)?);
        }
        Ok(parts)
    }

    /// The configuration's key of this user; each has policies of its own.
    fn configured(&self, name: &str) -> Result<Option<&PrincipalEntry>> {
        let mut entries = self.configured.iter().filter(|entry| {
            entry.account_id == self.account.as_str()
                && entry.user_name.as_deref().is_some_and(|user| user.eq_ignore_ascii_case(name))
                && self.args.access_key.as_ref().is_none_or(|id| *id == entry.access_key_id)
        });
        match (entries.next(), entries.next(), &self.args.access_key) {
            (Some(_), Some(_), _) => {
                bail!("the configuration has several keys of user `{name}`: name one with --access-key")
            }
            (None, _, Some(id)) => bail!("the configuration has no key `{id}` of user `{name}`"),
            (entry, ..) => Ok(entry),
        }
    }

    /// What the role that is to be assumed says, if the resource is one.
    fn trust(&self, snapshot: &Snapshot<'_>, caller: TrustCaller<'_>) -> Result<Option<Part>> {
        let resource = self.args.resource.strip_prefix("acs:ram::");
        let Some((owner, name)) = resource.and_then(|rest| rest.split_once(":role/")) else {
            return Ok(None);
        };
        let role = snapshot.role(&AccountId::new(owner), name)?;
        let role = role.ok_or_else(|| anyhow!("there is no role `{name}` in account `{owner}`"))?;
        let of = format!("the trust policy of role/{}", role.name);
        let (action, account) = (self.args.action.as_str(), self.account.as_str());
        let request = TrustRequest { action, account, caller, context: self.context };
        let policy =
            TrustPolicy::parse(&role.trust).map_err(|error| StoreError::Damaged(error.to_string()))?;
        Ok(Some(Part { explanation: policy.explain(&of, &request), of }))
    }
}

/// All parts must allow; an explicit Deny is reported before an implicit one.
fn combined(who: &Who<'_>, args: &ExplainArgs, parts: &[Part]) -> Decision {
    if *who == Who::Root {
        let assumes = args.action.eq_ignore_ascii_case("sts:AssumeRole");
        return if assumes { Decision::ExplicitDeny } else { Decision::Allow };
    }
    let says = |wanted| parts.iter().any(|part| part.explanation.decision == wanted);
    if says(Decision::ExplicitDeny) {
        Decision::ExplicitDeny
    } else if says(Decision::ImplicitDeny) {
        Decision::ImplicitDeny
    } else {
        Decision::Allow
    }
}

fn tell(
    out: &mut Screen,
    args: &ExplainArgs,
    who: &Who<'_>,
    decision: Decision,
    parts: &[Part],
) -> Result<()> {
    writeln!(out, "{decision}: {} on {}", harmless(&args.action), harmless(&args.resource))?;
    let known = operation::ALL
        .iter()
        .any(|known| known.permission.is_some_and(|action| action.eq_ignore_ascii_case(&args.action)));
    if !known {
        writeln!(out, "(no operation of this release asks for {})", harmless(&args.action))?;
    }
    match (who, decision) {
        (Who::Root, Decision::Allow) => {
            writeln!(out, "The account itself may do everything but assume roles; no policy is asked.")?;
        }
        (Who::Root, _) => writeln!(out, "Roles may not be assumed by the account itself.")?,
        _ if parts.len() > 1 => writeln!(out, "All of these must allow it:")?,
        _ => {}
    }
    for part in parts {
        writeln!(out)?;
        writeln!(out, "{}:", harmless(&capital(&part.of)))?;
        for line in part.explanation.lines() {
            writeln!(out, "{}", harmless(&line))?;
        }
    }
    Ok(())
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

fn as_json(args: &ExplainArgs, account: &AccountId, decision: Decision, parts: &[Part]) -> Value {
    let parts: Vec<Value> = parts
        .iter()
        .map(|part| {
            let statements: Vec<Value> = (part.explanation.statements.iter())
                .map(|considered| {
                    json!({
                        "Origin": considered.place.origin,
                        "Statement": considered.place.statement,
                        "Sid": considered.place.sid,
                        "Effect": considered.place.effect.to_string(),
                        "Text": considered.to_string(),
                    })
                })
                .collect();
            json!({
                "Policies": part.of,
                "Decision": part.explanation.decision.to_string(),
                "Deciding": part.explanation.deciding.as_ref().map(ToString::to_string),
                "Statements": statements,
            })
        })
        .collect();
    json!({
        "AccountId": account.as_str(),
        "Principal": args.principal,
        "Action": args.action,
        "Resource": args.resource,
        "Decision": decision.to_string(),
        "Parts": parts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_read_in_every_form() {
        assert_eq!(who("root").unwrap(), (None, Who::Root));
        assert_eq!(who("user/alice").unwrap(), (None, Who::User("alice")));
        assert_eq!(who("acs:ram::12:user/alice").unwrap(), (Some("12"), Who::User("alice")));
        assert_eq!(who("role/ops").unwrap().1, Who::Role { name: "ops", session: None });
        let session = Who::Role { name: "ops", session: Some("alice") };
        assert_eq!(who("acs:ram::12:assumed-role/ops/alice").unwrap(), (Some("12"), session));
        for bad in ["", "alice", "user/", "acs:ram::12", "group/a", "assumed-role/ops"] {
            assert!(who(bad).is_err(), "{bad}");
        }
    }
}
