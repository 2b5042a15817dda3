//! Policies, and to whom they are attached.

use rusqlite::Row;

use crate::{Snapshot, StoreError};

/// A policy as a principal comes by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedPolicy {
    /// Name.
    pub name: String,
    /// Default version and its document, of a custom policy; none: a system policy.
    pub custom: Option<(u32, String)>,
    /// What it is attached to.
    pub via: Via,
}

/// What a policy is attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// The principal itself.
    Own,
    /// A group of this name.
    Group(String),
}

const ATTACHED: &str = "SELECT coalesce(p.name, a.system), v.version, v.document, g.name FROM ram_attachment a \
     LEFT JOIN ram_policy p ON p.seq = a.policy \
     LEFT JOIN ram_policy_version v ON v.policy = p.seq AND v.version = p.default_version \
     LEFT JOIN ram_group g ON g.seq = a.ram_group ";

fn attached(row: &Row<'_>) -> rusqlite::Result<AttachedPolicy> {
    let version: Option<u32> = row.get(1)?;
    let group: Option<String> = row.get(3)?;
    let custom = match version {
        Some(version) => Some((version, row.get(2)?)),
        None => None,
    };
    Ok(AttachedPolicy { name: row.get(0)?, custom, via: group.map_or(Via::Own, Via::Group) })
}

impl Snapshot<'_> {
    /// The policies of a user, those of its groups included.
    ///
    /// # Errors
    /// A database error.
    pub fn effective_policies_of_user(&self, user: i64) -> Result<Vec<AttachedPolicy>, StoreError> {
        let sql = format!(
            "{ATTACHED} WHERE a.user = ?1 UNION ALL {ATTACHED} \
             WHERE a.ram_group IN (SELECT ram_group FROM ram_membership WHERE user = ?1)"
        );
        self.attached(&sql, user)
    }

    /// The policies of a role.
    ///
    /// # Errors
    /// A database error.
    pub fn effective_policies_of_role(&self, role: i64) -> Result<Vec<AttachedPolicy>, StoreError> {
        self.attached(&format!("{ATTACHED} WHERE a.role = ?1"), role)
    }

    fn attached(&self, sql: &str, principal: i64) -> Result<Vec<AttachedPolicy>, StoreError> {
        let mut statement = self.connection().prepare_cached(sql)?;
        let rows = statement.query_map([principal], attached)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
