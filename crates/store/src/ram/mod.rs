//! Rows of resource access management: users, access keys, groups, roles, policies and their attachments. Names are
//! looked up without regard to case, and kept as they were given.
//!
//! Queries are methods of [`Snapshot`](crate::Snapshot), changes of [`Tx`](crate::Tx), one file per thing.

mod attachment;
mod group;
mod key;
mod policy;
mod role;
mod session;
mod task;
mod user;

pub use attachment::{Attachment, Entities, EntityRow, Holder, PolicyKey};
pub use group::{GroupRow, MemberRow};
pub use key::{AccessKeyRow, KeyOwner, NewKey, OwnKeyRow, SessionsFrom};
pub use policy::{AttachedPolicy, PolicyRow, PolicyVersionRow, Via};
pub use role::RoleRow;
pub use session::SessionsOf;
pub use task::{DeletionStatus, RoleDeletion};
pub use user::UserRow;

use std::fmt::Write as _;

use rusqlite::types::Value;
use tongguan_model::id::AccountId;

use crate::TagFilter;
use crate::inspect::Reader;

/// Tables whose rows are read whole, with their columns and what reads them.
pub(crate) const READ: [(&str, &str, Reader); 4] = [
    ("ram_user", user::COLUMNS, |row| user::user(row).map(drop)),
    ("ram_group", group::COLUMNS, |row| group::group(row).map(drop)),
    ("ram_role", role::COLUMNS, |row| role::role(row).map(drop)),
    ("ram_policy", policy::COLUMNS, |row| policy::policy(row).map(drop)),
];

/// A name as it is looked up. Names are ASCII, so this is the whole of it.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// The WHERE clause of a page of an account's things, and its values: those after place `after` whose tags, which
/// stand on `tagged`, include every one of `tags`.
fn page_of(account: &AccountId, after: i64, tags: &[TagFilter], tagged: &str) -> (String, Vec<Value>) {
    let mut clause = String::from("account = ?1 AND seq > ?2");
    let mut values = vec![Value::Text(account.as_str().to_owned()), Value::Integer(after)];
    for tag in tags {
        values.push(Value::Text(tag.key.clone()));
        let key = values.len();
        values.push(tag.value.clone().map_or(Value::Null, Value::Text));
        let _ = write!(
            clause,
            " AND EXISTS (SELECT 1 FROM tag WHERE resource = {tagged} AND key = ?{key} \
             AND value = coalesce(?{}, value))",
            key + 1
        );
    }
    (clause, values)
}
