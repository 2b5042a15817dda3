//! Rows of resource access management: users, access keys, groups, roles, policies and what is attached to
//! whom. Names are looked up without regard to case, and kept as they were given.
//!
//! Questions are methods of [`Snapshot`](crate::Snapshot), changes of [`Tx`](crate::Tx), one file per thing.

mod group;
mod key;
mod policy;
mod role;
mod user;

pub use group::{GroupRow, MemberRow};
pub use key::{AccessKeyRow, KeyOwner, NewKey, OwnKeyRow};
pub use policy::{AttachedPolicy, Via};
pub use role::RoleRow;
pub use user::UserRow;

/// A name as it is looked up. Names are ASCII, so this is the whole of it.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}
