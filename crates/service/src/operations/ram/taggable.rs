//! Which things of product Ram carry tags, and how a call names them: by `ResourceNames`, a JSON array in one value.
//!
//! These tags are for people and lists. No condition of a policy asks for them.

use tongguan_model::id::AccountId;
use tongguan_model::wire_enum;
use tongguan_store::{Snapshot, StoreError};

use crate::args::Args;
use crate::catalogue::Refusal;
use crate::operation::{Failure, Parameter, Shape, optional, required};

use super::{names, policies, roles};

/// `ResourceType`.
pub(super) const RESOURCE_TYPE: Parameter =
    required("ResourceType", Shape::Text, "role or policy, in any case.");
/// `ResourceNames`, required.
pub(super) const RESOURCE_NAMES: Parameter = required("ResourceNames", Shape::Json, RESOURCE_NAMES_RULE);
/// `ResourceNames` of a list, or where the page leaves it out and it is needed all the same.
pub(super) const RESOURCE_NAMES_OPTIONAL: Parameter =
    optional("ResourceNames", Shape::Json, RESOURCE_NAMES_RULE);

const RESOURCE_NAMES_RULE: &str = "JSON array of at most 50 names of roles or custom policies.";

wire_enum! {
    /// Kinds of thing that carry tags.
    pub enum Taggable {
        /// A role.
        Role = "role",
        /// A custom policy.
        Policy = "policy",
    }
}

impl Taggable {
    /// The kind that `ResourceType` names.
    pub(super) fn of(args: &Args<'_>) -> Result<Self, Refusal> {
        let text = args.required("ResourceType");
        Self::parse(&text.to_ascii_lowercase()).ok_or_else(|| args.illegal("ResourceType", text))
    }

    /// The spelling in the store.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Role => "RAM_ROLE",
            Self::Policy => "RAM_POLICY",
        }
    }

    /// What the tags of the account's role or policy of this name stand on, if there is one.
    pub(super) fn tagged(
        self,
        snapshot: &Snapshot<'_>,
        account: &AccountId,
        name: &str,
    ) -> Result<Option<String>, StoreError> {
        Ok(match self {
            Self::Role => snapshot.role(account, name)?.map(|role| role.id),
            Self::Policy => snapshot.policy(account, name)?.map(|policy| policy.tagged()),
        })
    }

    /// The same, of one whose tags are to be changed.
    ///
    /// # Errors
    /// `EntityNotExist.Role` or `EntityNotExist.Policy`; `NoPermission` for a service-linked role.
    pub(super) fn own(
        self,
        snapshot: &Snapshot<'_>,
        account: &AccountId,
        name: &str,
    ) -> Result<String, Failure> {
        Ok(match self {
            Self::Role => roles::own_role(snapshot, account, name)?.id,
            Self::Policy => policies::custom(snapshot, account, name)?.tagged(),
        })
    }

    /// The name of the role or policy that the tags on `tagged` belong to.
    pub(super) fn name_of(self, snapshot: &Snapshot<'_>, tagged: &str) -> Result<Option<String>, StoreError> {
        Ok(match self {
            Self::Role => snapshot.role_by_id(tagged)?.map(|role| role.name),
            Self::Policy => snapshot.tagged_policy(tagged)?.map(|policy| policy.name),
        })
    }

    /// `ResourceNames`, each a name that one of this kind can have; empty if it is not sent.
    pub(super) fn names(self, args: &Args<'_>, most: u64) -> Result<Vec<String>, Refusal> {
        let rule = match self {
            Self::Role => names::ROLE_NAME,
            Self::Policy => names::POLICY_NAME,
        };
        let given = texts(args, "ResourceNames", most)?;
        for name in &given {
            rule.check("ResourceNames", name)?;
        }
        Ok(given)
    }
}

/// A JSON array of at most `most` texts in one value; empty if the parameter is not sent.
pub(super) fn texts(args: &Args<'_>, name: &'static str, most: u64) -> Result<Vec<String>, Refusal> {
    let Some(given) = args.text(name) else { return Ok(Vec::new()) };
    let texts: Vec<String> = serde_json::from_str(given).map_err(|_| args.illegal(name, given))?;
    if texts.len() as u64 > most {
        let detail = format!("{} values were given, at most {most} may be.", texts.len());
        return Err(args.illegal(name, given).because(detail));
    }
    Ok(texts)
}
