//! Attaching policies to users, groups and roles, and taking them away: one rule for the three.

use serde_json::{Value, json};
use tongguan_model::limits::Quotas;
use tongguan_store::{Holder, Snapshot};

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue::{self as c, Code, Refusal};
use crate::context::{Context, iso8601};
use crate::operation::{Answer, Failure, Parameter, Shape, UntypedChange, optional};

use super::names::{self, Rule};
use super::policies::{Found, PolicyType, find, policy_name, policy_type, version_id};
use super::system;

/// `ResourceGroupId`.
pub const RESOURCE_GROUP: Parameter = optional(
    "ResourceGroupId",
    Shape::Text,
    "Not offered: refused, since the grant would reach further than was asked for.",
);

/// A kind of thing that policies are attached to.
pub(super) struct Kind {
    /// Parameter that names one.
    pub parameter: &'static str,
    /// What its name may look like.
    pub rule: Rule,
    /// Makes one from its place.
    pub holder: fn(i64) -> Holder,
    /// Custom policies that one may have.
    pub most: fn(&Quotas) -> u64,
    /// There is none of the name.
    pub unknown: &'static Code,
    /// The policy is attached already.
    pub attached: &'static Code,
    /// It has as many policies as it may.
    pub full: &'static Code,
    /// The policy is not attached.
    pub not_attached: &'static Code,
}

/// Users.
pub(super) static USERS: Kind = Kind {
    parameter: "UserName",
    rule: names::PLAIN_NAME,
    holder: Holder::User,
    most: |quotas| quotas.ram_policies_per_user,
    unknown: &c::USER_NOT_FOUND,
    attached: &c::USER_POLICY_EXISTS,
    full: &c::USER_POLICY_QUOTA,
    not_attached: &c::USER_POLICY_NOT_FOUND,
};
/// Groups.
pub(super) static GROUPS: Kind = Kind {
    parameter: "GroupName",
    rule: names::PLAIN_NAME,
    holder: Holder::Group,
    most: |quotas| quotas.ram_policies_per_group,
    unknown: &c::GROUP_NOT_FOUND,
    attached: &c::GROUP_POLICY_EXISTS,
    full: &c::GROUP_POLICY_QUOTA,
    not_attached: &c::GROUP_POLICY_NOT_FOUND,
};
/// Roles.
pub(super) static ROLES: Kind = Kind {
    parameter: "RoleName",
    rule: names::ROLE_NAME,
    holder: Holder::Role,
    most: |quotas| quotas.ram_policies_per_role,
    unknown: &c::ROLE_NOT_FOUND,
    attached: &c::ROLE_POLICY_EXISTS,
    full: &c::ROLE_POLICY_QUOTA,
    not_attached: &c::ROLE_POLICY_NOT_FOUND,
};

/// What a call names: which policy, and whom.
struct Named {
    policy_type: PolicyType,
    policy: String,
    holder: String,
}

impl Kind {
    fn named(&self, args: &Args<'_>) -> Result<Named, Refusal> {
        let policy_type = policy_type(args)?;
        let policy = policy_name(args)?.to_owned();
        let holder = names::required_name(args, self.parameter, self.rule)?.to_owned();
        if let Some(group) = args.text("ResourceGroupId") {
            let why = "Grants that are limited to a resource group are not offered.";
            return Err(args.illegal("ResourceGroupId", group).because(why));
        }
        Ok(Named { policy_type, policy, holder })
    }

    /// The one of this name, which callers may change.
    fn own(&self, snapshot: &Snapshot<'_>, call: &Call, name: &str) -> Result<Holder, Failure> {
        let account = &call.principal.account;
        let holder = snapshot.holder(account, self.holder, name)?;
        let holder = holder.ok_or_else(|| Refusal::new(self.unknown))?;
        if let Holder::Role(_) = holder {
            super::roles::own_role(snapshot, account, name)?;
        }
        Ok(holder)
    }
}

/// Attaches a policy.
pub(super) fn attach(
    kind: &'static Kind,
    context: &Context,
    call: &Call,
    args: &Args<'_>,
) -> Result<UntypedChange, Failure> {
    let named = kind.named(args)?;
    let (context, call) = (context.clone(), call.clone());
    Ok(Box::new(move |tx| {
        let account = &call.principal.account;
        let holder = kind.own(tx, &call, &named.holder)?;
        let policy = find(tx, account, named.policy_type, &named.policy)?;
        if let Found::System(system) = &policy
            && system.is_of_a_service()
        {
            return Err((&c::OF_A_SERVICE).into());
        }
        if tx.is_attached(policy.key(), holder)? {
            return Err(kind.attached.into());
        }
        let quotas = &context.settings.quotas;
        let most = match policy {
            Found::System(_) => quotas.ram_system_policies_per_principal,
            Found::Custom(_) => (kind.most)(quotas),
        };
        let custom = matches!(policy, Found::Custom(_));
        let attachments = tx.attachments(holder)?;
        let number = attachments.iter().filter(|held| held.custom.is_some() == custom).count();
        if number as u64 >= most {
            return Err(kind.full.into());
        }
        tx.attach(account, policy.key(), holder, call.now_ms)?;
        Ok(Answer::new())
    }))
}

/// Takes a policy away.
pub(super) fn detach(kind: &'static Kind, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let named = kind.named(args)?;
    let call = call.clone();
    Ok(Box::new(move |tx| {
        let holder = kind.own(tx, &call, &named.holder)?;
        let policy = find(tx, &call.principal.account, named.policy_type, &named.policy)?;
        if !tx.is_attached(policy.key(), holder)? {
            return Err(kind.not_attached.into());
        }
        tx.detach(policy.key(), holder)?;
        Ok(Answer::new())
    }))
}

/// Lists what is attached to one, in the order of attachment.
pub(super) fn list(
    kind: &'static Kind,
    call: &Call,
    args: &Args<'_>,
    snapshot: &Snapshot<'_>,
) -> Result<Reply, Failure> {
    let name = names::required_name(args, kind.parameter, kind.rule)?;
    let holder = snapshot.holder(&call.principal.account, kind.holder, name)?;
    let holder = holder.ok_or_else(|| Refusal::new(kind.unknown))?;
    let mut shown: Vec<Value> = Vec::new();
    for held in snapshot.attachments(holder)? {
        let (policy_type, description, version) = match held.custom {
            Some((description, version)) => (PolicyType::Custom, description, version),
            None => {
                // One that this release does not know any more grants nothing; it is still listed.
                let known = system::find(&held.name);
                let description = known.map_or("", |known| known.description).to_owned();
                (PolicyType::System, description, known.map_or(1, |known| known.version))
            }
        };
        shown.push(json!({
            "PolicyType": policy_type.as_str(),
            "PolicyName": held.name,
            "Description": description,
            "DefaultVersion": version_id(version),
            "AttachDate": iso8601(held.attached_ms),
        }));
    }
    let mut answer = Answer::new();
    answer.insert("Policies".into(), json!({ "Policy": shown }));
    call.answer(answer)
}
