//! Which things of product Ram carry tags, and how a call names them: by `ResourceNames`, a JSON array in one value.
//!
//! These tags are for people and lists. No condition of a policy asks for them.

use tongguan_model::id::AccountId;
use tongguan_model::wire_enum;
use tongguan_store::{Snapshot, StoreError, TagRow, Tx};

use crate::api::ram::TagInfo;
use crate::args::{Args, Tag};
use crate::catalogue::Refusal;
use crate::operation::Failure;

use super::{names, policies, roles};

wire_enum! {
    /// Kinds of thing that carry tags.
    pub enum Taggable {
        /// A role.
        Role = "role",
        /// A custom policy.
        Policy = "policy",
    }
}

/// The kind of thing, named in any case.
pub(crate) fn kind(args: &Args<'_>, name: &'static str) -> Result<Taggable, Refusal> {
    let text = args.required(name);
    Taggable::parse(&text.to_ascii_lowercase()).ok_or_else(|| args.illegal(name, text))
}

/// Names that things of this kind can have, as many as a call may tag; empty if none are sent.
pub(crate) fn names(args: &Args<'_>, name: &'static str, kind: &Taggable) -> Result<Vec<String>, Refusal> {
    let rule = match kind {
        Taggable::Role => names::ROLE_NAME,
        Taggable::Policy => names::POLICY_NAME,
    };
    let given = texts(args, name, args.quotas().tagged_resources_per_call)?;
    for one in &given {
        rule.check(name, one)?;
    }
    Ok(given)
}

/// As [`names`], one at least.
pub(crate) fn some_names(
    args: &Args<'_>,
    name: &'static str,
    kind: &Taggable,
) -> Result<Vec<String>, Refusal> {
    let given = names(args, name, kind)?;
    if given.is_empty() { Err(args.missing(name)) } else { Ok(given) }
}

impl Taggable {
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

    /// Puts tags on what [`Self::tagged`] or [`Self::own`] gave.
    pub(super) fn put(
        self,
        tx: &Tx<'_>,
        account: &AccountId,
        tagged: &str,
        tags: &[Tag],
    ) -> Result<(), StoreError> {
        for tag in tags {
            tx.put_tag(account, "", self.kind(), tagged, &tag.key, &tag.value)?;
        }
        Ok(())
    }
}

/// Tags as lists show them.
pub(super) fn shown(tags: Option<Vec<TagRow>>) -> Vec<TagInfo> {
    tags.unwrap_or_default().into_iter().map(Into::into).collect()
}

impl From<TagRow> for TagInfo {
    fn from(tag: TagRow) -> Self {
        Self { tag_key: tag.key.into(), tag_value: tag.value.into() }
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
