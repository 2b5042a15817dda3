//! Attaching policies to users, groups and roles, and taking them away: one rule for the three.

use tongguan_model::limits::Quotas;
use tongguan_store::{Attachment, Holder, Snapshot, Tx};

use crate::api::ram::AttachedPolicyInfo;
use crate::call::Call;
use crate::catalogue::{self as c, Code};
use crate::context::iso8601;
use crate::operation::Failure;

use super::policies::{Found, PolicyType, find, version_id};
use super::{roles, system};

/// A kind of thing that policies are attached to.
pub(super) struct Kind {
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
    holder: Holder::User,
    most: |quotas| quotas.ram_policies_per_user,
    unknown: &c::USER_NOT_FOUND,
    attached: &c::USER_POLICY_EXISTS,
    full: &c::USER_POLICY_QUOTA,
    not_attached: &c::USER_POLICY_NOT_FOUND,
};
/// Groups.
pub(super) static GROUPS: Kind = Kind {
    holder: Holder::Group,
    most: |quotas| quotas.ram_policies_per_group,
    unknown: &c::GROUP_NOT_FOUND,
    attached: &c::GROUP_POLICY_EXISTS,
    full: &c::GROUP_POLICY_QUOTA,
    not_attached: &c::GROUP_POLICY_NOT_FOUND,
};
/// Roles.
pub(super) static ROLES: Kind = Kind {
    holder: Holder::Role,
    most: |quotas| quotas.ram_policies_per_role,
    unknown: &c::ROLE_NOT_FOUND,
    attached: &c::ROLE_POLICY_EXISTS,
    full: &c::ROLE_POLICY_QUOTA,
    not_attached: &c::ROLE_POLICY_NOT_FOUND,
};

impl Kind {
    /// The one of this name.
    fn find(&self, snapshot: &Snapshot<'_>, call: &Call, name: &str) -> Result<Holder, Failure> {
        let holder = snapshot.holder(&call.principal.account, self.holder, name)?;
        holder.ok_or_else(|| self.unknown.into())
    }

    /// The one of this name, which callers may change.
    fn own(&self, snapshot: &Snapshot<'_>, call: &Call, name: &str) -> Result<Holder, Failure> {
        let holder = self.find(snapshot, call, name)?;
        if let Holder::Role(_) = holder {
            roles::own_role(snapshot, &call.principal.account, name)?;
        }
        Ok(holder)
    }
}

/// Attaches a policy to the one of this name.
pub(super) fn attach(
    kind: &Kind,
    name: &str,
    policy_type: PolicyType,
    policy: &str,
    call: &Call,
    tx: &Tx<'_>,
) -> Result<(), Failure> {
    let account = &call.principal.account;
    let holder = kind.own(tx, call, name)?;
    let policy = find(tx, account, policy_type, policy)?;
    if let Found::System(system) = &policy
        && system.is_of_a_service()
    {
        return Err((&c::OF_A_SERVICE).into());
    }
    if tx.is_attached(policy.key(), holder)? {
        return Err(kind.attached.into());
    }
    let quotas = &call.context.settings.quotas;
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
    Ok(tx.attach(account, policy.key(), holder, call.now_ms)?)
}

/// Takes a policy away from the one of this name.
pub(super) fn detach(
    kind: &Kind,
    name: &str,
    policy_type: PolicyType,
    policy: &str,
    call: &Call,
    tx: &Tx<'_>,
) -> Result<(), Failure> {
    let holder = kind.own(tx, call, name)?;
    let policy = find(tx, &call.principal.account, policy_type, policy)?;
    if !tx.is_attached(policy.key(), holder)? {
        return Err(kind.not_attached.into());
    }
    Ok(tx.detach(policy.key(), holder)?)
}

/// What is attached to the one of this name, in the order of attachment.
pub(super) fn list(
    kind: &Kind,
    name: &str,
    call: &Call,
    snapshot: &Snapshot<'_>,
) -> Result<Vec<AttachedPolicyInfo>, Failure> {
    let holder = kind.find(snapshot, call, name)?;
    Ok(snapshot.attachments(holder)?.into_iter().map(Into::into).collect())
}

impl From<Attachment> for AttachedPolicyInfo {
    fn from(held: Attachment) -> Self {
        let (policy_type, description, version) = match held.custom {
            Some((description, version)) => (PolicyType::Custom, description.into(), version),
            None => {
                // One that this release does not know any more grants nothing; it is still listed.
                let known = system::find(&held.name);
                let description = known.map_or("", |known| known.description);
                (PolicyType::System, description.into(), known.map_or(1, |known| known.version))
            }
        };
        Self {
            policy_type: policy_type.as_str().into(),
            policy_name: held.name.into(),
            description,
            default_version: version_id(version).into(),
            attach_date: iso8601(held.attached_ms).into(),
        }
    }
}
