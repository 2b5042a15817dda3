//! Rows of resource access management: users, access keys, groups, roles, policies and their attachments. Names are
//! looked up without regard to case, and kept as they were given.
//!
//! Queries are methods of [`Snapshot`](crate::Snapshot), changes of [`Tx`](crate::Tx), one file per thing.

pub(crate) mod attachment;
pub(crate) mod group;
pub(crate) mod key;
pub(crate) mod policy;
mod role;
mod session;
pub(crate) mod task;
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

use tongguan_model::id::AccountId;

use crate::rows::{Relation, Table};
use crate::session::{AsBind as _, Bind};
use crate::{Snapshot, StoreError, TagFilter};

/// A name as it is looked up. Names are ASCII, so this is the whole of it.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "a name is looked up in lower case",
    "SELECT account || ' ' || name FROM (SELECT account, name, folded FROM ram_user UNION ALL \
     SELECT account, name, folded FROM ram_group UNION ALL SELECT account, name, folded FROM ram_role UNION ALL \
     SELECT account, name, folded FROM ram_policy) WHERE folded <> lower(name)",
)];

impl Snapshot<'_> {
    /// The account's rows after place `after` whose tags, which stand on `tagged`, include every one of `tags`, in the
    /// order of their creation: at most `limit`.
    fn page_by_tags<T: Table>(
        &self,
        account: &AccountId,
        tags: &[TagFilter],
        tagged: &str,
        after: i64,
        limit: u64,
    ) -> Result<Vec<T>, StoreError> {
        let mut sql = format!("{} WHERE account = ?1 AND seq > ?2", T::SELECT);
        let mut values = vec![account.bind(), Bind::Integer(after)];
        for tag in tags {
            values.extend([tag.key.bind(), tag.value.bind()]);
            let (key, value) = (values.len() - 1, values.len());
            let _ = write!(
                sql,
                " AND EXISTS (SELECT 1 FROM tag WHERE resource = {tagged} AND key = ?{key} \
                 AND value = coalesce(?{value}, value))"
            );
        }
        let _ = write!(sql, " ORDER BY seq LIMIT {limit}");
        self.session.all(&sql, &values)
    }
}
