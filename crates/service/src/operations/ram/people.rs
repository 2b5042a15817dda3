//! Users, groups and the owners of access keys: how a call finds them, and how they are shown.

use tongguan_model::id::AccountId;
use tongguan_model::principal::Identity;
use tongguan_store::{GroupRow, OwnKeyRow, Snapshot, UserRow};

use crate::api::ram::{GroupInfo, UserInfo};
use crate::args::Args;
use crate::catalogue::{self as c, Refusal};
use crate::context::iso8601;
use crate::operation::Failure;

use super::names;

/// The account's user of this name.
///
/// # Errors
/// `EntityNotExist.User`, or the store fails.
pub fn find_user(snapshot: &Snapshot<'_>, account: &AccountId, name: &str) -> Result<UserRow, Failure> {
    snapshot.user(account, name)?.ok_or_else(|| (&c::USER_NOT_FOUND).into())
}

/// The account's group of this name.
///
/// # Errors
/// `EntityNotExist.Group`, or the store fails.
pub fn find_group(snapshot: &Snapshot<'_>, account: &AccountId, name: &str) -> Result<GroupRow, Failure> {
    snapshot.group(account, name)?.ok_or_else(|| (&c::GROUP_NOT_FOUND).into())
}

/// The places of the account's user and group of these names.
///
/// # Errors
/// `EntityNotExist.User`, else `EntityNotExist.Group`, or the store fails.
pub fn find_both(
    snapshot: &Snapshot<'_>,
    account: &AccountId,
    user: &str,
    group: &str,
) -> Result<(i64, i64), Failure> {
    let user = find_user(snapshot, account, user)?;
    Ok((user.seq, find_group(snapshot, account, group)?.seq))
}

/// Texts that were not given are empty.
impl From<UserRow> for UserInfo {
    fn from(user: UserRow) -> Self {
        Self {
            comments: user.comments.into(),
            create_date: iso8601(user.created_ms).into(),
            display_name: user.display_name.into(),
            email: user.email.into(),
            mobile_phone: user.mobile_phone.into(),
            update_date: Some(iso8601(user.updated_ms).into()),
            user_id: user.id.into(),
            user_name: user.name.into(),
        }
    }
}

impl From<GroupRow> for GroupInfo {
    fn from(group: GroupRow) -> Self {
        Self {
            comments: group.comments.into(),
            create_date: iso8601(group.created_ms).into(),
            group_id: group.id.into(),
            group_name: group.name.into(),
            update_date: Some(iso8601(group.updated_ms).into()),
        }
    }
}

/// Whether an access key may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// It may.
    Active,
    /// It may not, until it is made active again.
    Inactive,
}

impl KeyStatus {
    /// The status of a key that is active, or is not.
    #[must_use]
    pub const fn of(active: bool) -> Self {
        if active { Self::Active } else { Self::Inactive }
    }

    /// The API's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Inactive => "Inactive",
        }
    }

    /// The status of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Active, Self::Inactive].into_iter().find(|status| status.as_str() == word)
    }
}

/// Whose access keys a call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The account itself.
    Account,
    /// The user of this name.
    Named(String),
    /// The calling user, by its id: its name may have changed since it signed.
    Caller(String),
}

impl Owner {
    /// The key of this id, if it is the owner's.
    ///
    /// # Errors
    /// `EntityNotExist.User` or `EntityNotExist.User.AccessKey`, or the store fails.
    pub(super) fn key(
        &self,
        snapshot: &Snapshot<'_>,
        account: &AccountId,
        id: &str,
    ) -> Result<OwnKeyRow, Failure> {
        let user = self.row(snapshot, account)?;
        Ok(snapshot.key_of(account, user, id)?.ok_or(&c::KEY_NOT_FOUND)?)
    }

    /// Row of the user; none for the account itself.
    ///
    /// # Errors
    /// `EntityNotExist.User`, or the store fails.
    pub fn row(&self, snapshot: &Snapshot<'_>, account: &AccountId) -> Result<Option<i64>, Failure> {
        let user = match self {
            Self::Account => return Ok(None),
            Self::Named(name) => find_user(snapshot, account, name)?,
            Self::Caller(id) => snapshot.user_by_id(account, id)?.ok_or(&c::USER_NOT_FOUND)?,
        };
        Ok(Some(user.seq))
    }
}

/// The owner that a parameter names; without it the caller.
///
/// # Errors
/// `InvalidParameter.<Param>.*` for a bad name; `Missing<Param>` for a role session, which has no keys.
pub(crate) fn owner(args: &Args<'_>, name: &'static str) -> Result<Owner, Refusal> {
    if let Some(name) = names::optional_user_name(args, name)? {
        return Ok(Owner::Named(name));
    }
    match &args.caller().identity {
        Identity::Root => Ok(Owner::Account),
        Identity::User { id, .. } => Ok(Owner::Caller(id.clone())),
        Identity::Session(_) => Err(args.missing(name)),
    }
}
