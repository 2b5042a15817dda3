//! What the operations about policies share: finding one by type and name, its documents, how it is shown.
//!
//! The pair of type and name is the key of a policy; a name is looked up without regard to case. System policies are
//! part of the program (`system.rs`) and cannot be changed: the operations that change look among custom ones alone.

use serde_json::{Value, json};
use tongguan_model::id::AccountId;
use tongguan_model::policy::{Policy, PolicyError, TrustPolicy};
use tongguan_model::wire_enum;
use tongguan_store::{PolicyKey, PolicyRow, PolicyVersionRow, Snapshot, StoreError};

use crate::args::Args;
use crate::catalogue::{self as c, Refusal};
use crate::context::iso8601;
use crate::operation::{self, Answer, Failure, Parameter, Product, Shape, required};

use super::names;
use super::system::{self, SystemPolicy};

/// `PolicyName`.
pub(crate) const POLICY_NAME: Parameter =
    required("PolicyName", Shape::Text, "Name of the policy: 1 to 128 ASCII letters, digits and hyphens.");
/// `PolicyType`.
pub(crate) const POLICY_TYPE: Parameter =
    required("PolicyType", Shape::Text, "System or Custom, exactly as written here.");
/// `PolicyDocument`.
pub(crate) const POLICY_DOCUMENT: Parameter =
    required("PolicyDocument", Shape::Json, "The policy as JSON, 1 to 6144 characters.");
/// `VersionId`.
pub(crate) const VERSION_ID: Parameter =
    required("VersionId", Shape::Text, "v and the version's number, from 1.");

wire_enum! {
    /// Whose a policy is.
    pub enum PolicyType {
        /// The system's.
        System = "System",
        /// The account's own.
        Custom = "Custom",
    }
}

/// A policy that was found.
#[derive(Debug)]
pub(super) enum Found {
    /// A system policy.
    System(&'static SystemPolicy),
    /// A custom policy.
    Custom(PolicyRow),
}

impl Found {
    /// What attachments name it by.
    pub(super) fn key(&self) -> PolicyKey<'_> {
        match self {
            Self::System(policy) => PolicyKey::System(policy.name),
            Self::Custom(policy) => PolicyKey::Custom(policy.seq),
        }
    }

    /// The policy as lists show it, to how many it is attached included.
    pub(super) fn shown(&self, snapshot: &Snapshot<'_>, account: &AccountId) -> Result<Answer, StoreError> {
        let mut shown = Answer::new();
        let (kind, name, description) = match self {
            Self::System(policy) => (PolicyType::System, policy.name, policy.description),
            Self::Custom(policy) => (PolicyType::Custom, &*policy.name, &*policy.description),
        };
        let (version, created, updated) = match self {
            Self::System(policy) => (policy.version, policy.date.to_owned(), policy.date.to_owned()),
            Self::Custom(policy) => {
                (policy.default_version, iso8601(policy.created_ms), iso8601(policy.updated_ms))
            }
        };
        shown.insert("PolicyType".into(), kind.as_str().into());
        shown.insert("PolicyName".into(), name.into());
        shown.insert("Description".into(), description.into());
        shown.insert("DefaultVersion".into(), version_id(version).into());
        shown.insert("CreateDate".into(), created.into());
        shown.insert("UpdateDate".into(), updated.into());
        let count = snapshot.attachment_count(account, self.key())?;
        shown.insert("AttachmentCount".into(), count.into());
        Ok(shown)
    }

    /// Its versions, oldest first, each as it is shown.
    pub(super) fn versions(&self, snapshot: &Snapshot<'_>) -> Result<Vec<Value>, StoreError> {
        match self {
            Self::System(policy) => Ok(vec![shown_system(policy)]),
            Self::Custom(policy) => {
                let versions = snapshot.policy_versions(policy.seq)?;
                Ok(versions.iter().map(|row| shown_version(row, policy.default_version)).collect())
            }
        }
    }

    /// One of its versions as it is shown; none: the one in force.
    pub(super) fn version(&self, snapshot: &Snapshot<'_>, number: Option<u32>) -> Result<Value, Failure> {
        match self {
            Self::System(policy) if number.is_none_or(|number| number == policy.version) => {
                Ok(shown_system(policy))
            }
            Self::System(_) => Err((&c::VERSION_NOT_FOUND).into()),
            Self::Custom(policy) => {
                let number = number.unwrap_or(policy.default_version);
                let row = snapshot.policy_version(policy.seq, number)?;
                let row = row.ok_or_else(|| Refusal::new(&c::VERSION_NOT_FOUND))?;
                Ok(shown_version(&row, policy.default_version))
            }
        }
    }
}

/// `PolicyType`, which is required.
pub(super) fn policy_type(args: &Args<'_>) -> Result<PolicyType, Refusal> {
    let text = args.required("PolicyType");
    PolicyType::parse(text).ok_or_else(|| args.illegal("PolicyType", text))
}

/// `PolicyName`, which is required.
pub(super) fn policy_name<'a>(args: &Args<'a>) -> Result<&'a str, Refusal> {
    names::required_name(args, "PolicyName", names::POLICY_NAME)
}

/// The number that `VersionId` names.
pub(super) fn version_number(args: &Args<'_>) -> Result<u32, Refusal> {
    let digits = args.required("VersionId").strip_prefix('v').unwrap_or_default();
    let well_formed = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if digits.is_empty() || !well_formed {
        return Err(names::ill_formed("VersionId"));
    }
    // Numbers do not come near the end of their type: a larger one is of no version.
    Ok(digits.parse().unwrap_or(u32::MAX))
}

/// The version's id.
pub(super) fn version_id(number: u32) -> String {
    format!("v{number}")
}

/// `PolicyDocument`, which is required, checked; it is kept as it was given.
pub(super) fn document(args: &Args<'_>) -> Result<String, Refusal> {
    let document = args.required("PolicyDocument");
    match Policy::accept(document) {
        Ok(_) => Ok(document.to_owned()),
        Err(error) => Err(unfit("PolicyDocument", &error)),
    }
}

/// What of the documents of a call has no effect here, for its author: parameter, place and text in ASCII.
///
/// An answer has the members that are documented and no others, so the warnings go beside it, as headers
/// (`x-tongguan-warning`), which clients that do not know them leave alone, and into the log.
pub(crate) fn warnings(args: &Args<'_>) -> Vec<String> {
    let identity = |policy: Policy| {
        let actions: Vec<&str> = operation::ALL.iter().filter_map(|known| known.permission).collect();
        policy.warnings(&actions)
    };
    let (name, warnings) = match (args.operation().product, args.operation().action) {
        (Product::Ram, "CreatePolicy" | "CreatePolicyVersion") => (
            "PolicyDocument",
            args.bare("PolicyDocument").and_then(|text| Policy::accept(text).ok()).map(identity),
        ),
        (Product::Sts, "AssumeRole") => {
            ("Policy", args.bare("Policy").and_then(|text| Policy::accept(text).ok()).map(identity))
        }
        (Product::Ram, action @ ("CreateRole" | "UpdateRole")) => {
            let name = if action == "CreateRole" {
                "AssumeRolePolicyDocument"
            } else {
                "NewAssumeRolePolicyDocument"
            };
            let policy = args.bare(name).and_then(|text| TrustPolicy::accept(text).ok());
            (name, policy.map(|policy| policy.warnings()))
        }
        _ => return Vec::new(),
    };
    warnings.unwrap_or_default().iter().map(|warning| ascii(&format!("{name}: {warning}"))).collect()
}

/// A text as a header may hold it.
fn ascii(text: &str) -> String {
    let escaped = |letter: char| {
        let plain = (' '..='~').contains(&letter);
        if plain { letter.to_string() } else { letter.escape_unicode().to_string() }
    };
    text.chars().map(escaped).collect()
}

/// The refusal for a document that the parameter `name` holds.
pub(super) fn unfit(name: &'static str, error: &PolicyError) -> Refusal {
    match error {
        PolicyError::TooLong { .. } => names::too_long(name),
        error => malformed(error.to_string()),
    }
}

/// The refusal for a document with this fault.
pub(super) fn malformed(fault: String) -> Refusal {
    Refusal::new(&c::MALFORMED_POLICY).whole_value(fault)
}

/// The policy of this type and name.
pub(super) fn find(
    snapshot: &Snapshot<'_>,
    account: &AccountId,
    kind: PolicyType,
    name: &str,
) -> Result<Found, Failure> {
    match kind {
        PolicyType::System => {
            let found = system::find(name).map(Found::System);
            found.ok_or_else(|| (&c::POLICY_NOT_FOUND).into())
        }
        PolicyType::Custom => custom(snapshot, account, name).map(Found::Custom),
    }
}

/// The custom policy of this name.
pub(super) fn custom(snapshot: &Snapshot<'_>, account: &AccountId, name: &str) -> Result<PolicyRow, Failure> {
    snapshot.policy(account, name)?.ok_or_else(|| (&c::POLICY_NOT_FOUND).into())
}

/// A version of a custom policy as it is shown.
pub(super) fn shown_version(row: &PolicyVersionRow, default: u32) -> Value {
    json!({
        "VersionId": version_id(row.version),
        "IsDefaultVersion": row.version == default,
        "PolicyDocument": row.document,
        "CreateDate": iso8601(row.created_ms),
    })
}

fn shown_system(policy: &SystemPolicy) -> Value {
    json!({
        "VersionId": version_id(policy.version),
        "IsDefaultVersion": true,
        "PolicyDocument": policy.document(),
        "CreateDate": policy.date,
    })
}
