//! Users, groups and the owners of access keys: how a call finds them, and how they are shown.

use serde_json::{Value, json};
use tongguan_model::id::AccountId;
use tongguan_model::principal::Identity;
use tongguan_store::{GroupRow, Snapshot, UserRow};

use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::iso8601;
use crate::operation::{Answer, Failure};

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

/// A new user as CreateUser shows it. Texts that were not given are empty.
#[must_use]
pub fn new_user(user: &UserRow) -> Value {
    json!({
        "UserId": user.id,
        "UserName": user.name,
        "DisplayName": user.display_name,
        "MobilePhone": user.mobile_phone,
        "Email": user.email,
        "Comments": user.comments,
        "CreateDate": iso8601(user.created_ms),
    })
}

/// A user as all others show it. There is no logon to a console here, hence no LastLoginDate.
#[must_use]
pub fn whole_user(user: &UserRow) -> Value {
    let mut shown = new_user(user);
    shown["UpdateDate"] = iso8601(user.updated_ms).into();
    shown
}

/// A new group as CreateGroup shows it.
#[must_use]
pub fn new_group(group: &GroupRow) -> Value {
    json!({
        "GroupId": group.id,
        "GroupName": group.name,
        "Comments": group.comments,
        "CreateDate": iso8601(group.created_ms),
    })
}

/// A group as all others show it.
#[must_use]
pub fn whole_group(group: &GroupRow) -> Value {
    let mut shown = new_group(group);
    shown["UpdateDate"] = iso8601(group.updated_ms).into();
    shown
}

/// An answer of one member.
#[must_use]
pub fn one(name: &str, value: Value) -> Answer {
    let mut answer = Answer::new();
    answer.insert(name.into(), value);
    answer
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
    /// The owner that `UserName` names; without it the caller.
    ///
    /// # Errors
    /// `InvalidParameter.UserName.*` for a bad name; `MissingUserName` for a role session, which has no keys.
    pub fn of(call: &Call, args: &Args<'_>) -> Result<Self, Refusal> {
        if let Some(name) = names::checked(args, "UserName", names::PLAIN_NAME)? {
            return Ok(Self::Named(name.to_owned()));
        }
        match &call.principal.identity {
            Identity::Root => Ok(Self::Account),
            Identity::User { id, .. } => Ok(Self::Caller(id.clone())),
            Identity::Session(_) => Err(args.missing("UserName")),
        }
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
