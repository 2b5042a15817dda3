//! What the operations about policies share: finding one by type and name, its documents, how it is shown.
//!
//! The pair of type and name is the key of a policy; a name is looked up without regard to case. System policies are
//! part of the program (`system.rs`) and cannot be changed: the operations that change look among custom ones alone.

use tongguan_model::id::AccountId;
use tongguan_model::policy::{Policy, PolicyError, Warning};
use tongguan_model::wire_enum;
use tongguan_store::{PolicyKey, PolicyRow, PolicyVersionRow, Snapshot, StoreError};

use crate::api::ram::{PolicyInfo, PolicyVersionInfo};
use crate::args::Args;
use crate::catalogue::{self as c, Refusal};
use crate::context::iso8601;
use crate::operation::{self, Failure};

use super::names;
use super::system::{self, SystemPolicy};

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

    /// What its tags stand on; a system policy carries none.
    pub(super) fn tagged(&self) -> Option<String> {
        match self {
            Self::System(_) => None,
            Self::Custom(policy) => Some(policy.tagged()),
        }
    }

    /// The policy as lists show it, to how many it is attached included.
    pub(super) fn shown(
        &self,
        snapshot: &Snapshot<'_>,
        account: &AccountId,
    ) -> Result<PolicyInfo, StoreError> {
        let count = snapshot.attachment_count(account, self.key())?;
        let shown = match self {
            Self::System(policy) => PolicyInfo::from(*policy),
            Self::Custom(policy) => PolicyInfo::from(policy),
        };
        Ok(PolicyInfo { attachment_count: Some(count.cast_signed()), ..shown })
    }

    /// Its versions, oldest first, each as it is shown.
    pub(super) fn versions(&self, snapshot: &Snapshot<'_>) -> Result<Vec<PolicyVersionInfo>, StoreError> {
        match self {
            Self::System(policy) => Ok(vec![PolicyVersionInfo::from(*policy)]),
            Self::Custom(policy) => {
                let versions = snapshot.policy_versions(policy.seq)?.into_iter();
                Ok(versions.map(|row| shown_version(row, policy.default_version)).collect())
            }
        }
    }

    /// One of its versions as it is shown; none: the one in force.
    pub(super) fn version(
        &self,
        snapshot: &Snapshot<'_>,
        number: Option<u32>,
    ) -> Result<PolicyVersionInfo, Failure> {
        match self {
            Self::System(policy) if number.is_none_or(|number| number == policy.version) => {
                Ok(PolicyVersionInfo::from(*policy))
            }
            Self::System(_) => Err((&c::VERSION_NOT_FOUND).into()),
            Self::Custom(policy) => {
                let number = number.unwrap_or(policy.default_version);
                let row = snapshot.policy_version(policy.seq, number)?;
                let row = row.ok_or_else(|| Refusal::new(&c::VERSION_NOT_FOUND))?;
                Ok(shown_version(row, policy.default_version))
            }
        }
    }
}

/// A policy that a call brings, checked; it is kept as it was given.
#[derive(Debug, Clone)]
pub struct Document {
    /// The parameter that held it.
    parameter: &'static str,
    text: String,
    policy: Policy,
}

impl Document {
    /// The document that the parameter holds.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn accept(parameter: &'static str, text: &str) -> Result<Self, PolicyError> {
        Ok(Self { parameter, text: text.to_owned(), policy: Policy::accept(text)? })
    }

    /// As it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What of it has no effect here, for its author.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let actions: Vec<&str> = operation::ALL.iter().filter_map(|known| known.permission).collect();
        told(self.parameter, &self.policy.warnings(&actions))
    }
}

/// The number of a version that is named by its id.
pub(crate) fn version_number(args: &Args<'_>, name: &'static str) -> Result<u32, Refusal> {
    let digits = args.required(name).strip_prefix('v').unwrap_or_default();
    let well_formed = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if digits.is_empty() || !well_formed {
        return Err(names::ill_formed(name));
    }
    // Numbers do not come near the end of their type: a larger one is of no version.
    Ok(digits.parse().unwrap_or(u32::MAX))
}

/// The version's id.
pub(super) fn version_id(number: u32) -> String {
    format!("v{number}")
}

/// A policy to write.
pub(crate) fn document(args: &Args<'_>, name: &'static str) -> Result<Document, Refusal> {
    Document::accept(name, args.required(name)).map_err(|error| unfit(name, &error))
}

/// Warnings about the document that `parameter` holds: parameter, place and text in ASCII, as a header may hold them.
pub(super) fn told(parameter: &str, warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(|warning| ascii(&format!("{parameter}: {warning}"))).collect()
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
pub(super) fn shown_version(row: PolicyVersionRow, default: u32) -> PolicyVersionInfo {
    PolicyVersionInfo {
        version_id: version_id(row.version).into(),
        is_default_version: row.version == default,
        policy_document: row.document.into(),
        create_date: iso8601(row.created_ms).into(),
    }
}

impl From<&SystemPolicy> for PolicyVersionInfo {
    fn from(policy: &SystemPolicy) -> Self {
        Self {
            version_id: version_id(policy.version).into(),
            is_default_version: true,
            policy_document: policy.document().into(),
            create_date: policy.date.into(),
        }
    }
}

impl From<&SystemPolicy> for PolicyInfo {
    fn from(policy: &SystemPolicy) -> Self {
        Self {
            policy_type: PolicyType::System.as_str().into(),
            policy_name: policy.name.into(),
            description: policy.description.into(),
            default_version: version_id(policy.version).into(),
            create_date: policy.date.into(),
            update_date: Some(policy.date.into()),
            ..Self::default()
        }
    }
}

impl From<&PolicyRow> for PolicyInfo {
    fn from(policy: &PolicyRow) -> Self {
        Self {
            policy_type: PolicyType::Custom.as_str().into(),
            policy_name: policy.name.clone().into(),
            description: policy.description.clone().into(),
            default_version: version_id(policy.default_version).into(),
            create_date: iso8601(policy.created_ms).into(),
            update_date: Some(iso8601(policy.updated_ms).into()),
            ..Self::default()
        }
    }
}
