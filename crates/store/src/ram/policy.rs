//! Policies, and what they are attached to.

use rusqlite::{OptionalExtension as _, Row, params, params_from_iter};
use tongguan_model::id::AccountId;

use super::{folded, page_of};
use crate::{Bearer, Snapshot, StoreError, TagFilter, Tx};

/// A custom policy as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRow {
    /// Place in the order of creation; of no meaning in a row that is to be inserted.
    pub seq: i64,
    /// Account.
    pub account: AccountId,
    /// Name, unique in the account without regard to case.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Version in force.
    pub default_version: u32,
    /// Number of the next version: none is used twice.
    pub next_version: u32,
    /// When it was made, UNIX milliseconds.
    pub created_ms: i64,
    /// When it was last changed, UNIX milliseconds.
    pub updated_ms: i64,
}

/// A version of a custom policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersionRow {
    /// Number, from 1.
    pub version: u32,
    /// The document as it was given.
    pub document: String,
    /// When it was made, UNIX milliseconds.
    pub created_ms: i64,
}

pub(super) const COLUMNS: &str =
    "seq, account, name, description, default_version, next_version, created_ms, updated_ms";

impl PolicyRow {
    /// The resource of its tags.
    #[must_use]
    pub fn tagged(&self) -> String {
        format!("ram-policy-{}", self.seq)
    }
}

pub(super) fn policy(row: &Row<'_>) -> rusqlite::Result<PolicyRow> {
    Ok(PolicyRow {
        seq: row.get(0)?,
        account: AccountId::new(row.get::<_, String>(1)?),
        name: row.get(2)?,
        description: row.get(3)?,
        default_version: row.get(4)?,
        next_version: row.get(5)?,
        created_ms: row.get(6)?,
        updated_ms: row.get(7)?,
    })
}

fn version(row: &Row<'_>) -> rusqlite::Result<PolicyVersionRow> {
    Ok(PolicyVersionRow { version: row.get(0)?, document: row.get(1)?, created_ms: row.get(2)? })
}

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
    /// The account's custom policy of this name.
    ///
    /// # Errors
    /// A database error.
    pub fn policy(&self, account: &AccountId, name: &str) -> Result<Option<PolicyRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM ram_policy WHERE account = ?1 AND folded = ?2");
        let mut statement = self.connection().prepare_cached(&sql)?;
        Ok(statement.query_row(params![account.as_str(), folded(name)], policy).optional()?)
    }

    /// The policy that has tags, by what [`PolicyRow::tagged`] says.
    ///
    /// # Errors
    /// A database error.
    pub fn tagged_policy(&self, tagged: &str) -> Result<Option<PolicyRow>, StoreError> {
        let seq: Option<i64> = tagged.strip_prefix("ram-policy-").and_then(|seq| seq.parse().ok());
        let sql = format!("SELECT {COLUMNS} FROM ram_policy WHERE seq = ?1");
        Ok(self.connection().prepare_cached(&sql)?.query_row([seq], policy).optional()?)
    }

    /// The account's custom policies that carry every tag of `tags`, in the order of their creation, after place
    /// `after`: at most `limit`.
    ///
    /// # Errors
    /// A database error.
    pub fn policies(
        &self,
        account: &AccountId,
        tags: &[TagFilter],
        after: i64,
        limit: u64,
    ) -> Result<Vec<PolicyRow>, StoreError> {
        let (clause, values) = page_of(account, after, tags, "'ram-policy-' || seq");
        let sql = format!("SELECT {COLUMNS} FROM ram_policy WHERE {clause} ORDER BY seq LIMIT {limit}");
        let mut statement = self.connection().prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), policy)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A version of a policy.
    ///
    /// # Errors
    /// A database error.
    pub fn policy_version(&self, policy: i64, number: u32) -> Result<Option<PolicyVersionRow>, StoreError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT version, document, created_ms FROM ram_policy_version WHERE policy = ?1 AND version = ?2",
        )?;
        Ok(statement.query_row(params![policy, number], version).optional()?)
    }

    /// Every version of a policy, oldest first.
    ///
    /// # Errors
    /// A database error.
    pub fn policy_versions(&self, policy: i64) -> Result<Vec<PolicyVersionRow>, StoreError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT version, document, created_ms FROM ram_policy_version WHERE policy = ?1 ORDER BY version",
        )?;
        let rows = statement.query_map([policy], version)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The policies of a user, those of its groups included.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`] for the user, a group or a policy of it.
    pub fn effective_policies_of_user(&self, user: i64) -> Result<Vec<AttachedPolicy>, StoreError> {
        let sql = format!(
            "{ATTACHED} WHERE a.user = ?1 UNION ALL {ATTACHED} \
             WHERE a.ram_group IN (SELECT ram_group FROM ram_membership WHERE user = ?1)"
        );
        self.vouch(Bearer::User(user))?;
        let groups = "SELECT ram_group FROM ram_membership WHERE user = ?1";
        self.vouch_for_each(Bearer::Group, groups, user)?;
        let policies = "SELECT policy FROM ram_attachment WHERE user = ?1 AND policy IS NOT NULL UNION \
             SELECT policy FROM ram_attachment WHERE policy IS NOT NULL \
             AND ram_group IN (SELECT ram_group FROM ram_membership WHERE user = ?1)";
        self.vouch_for_each(Bearer::Policy, policies, user)?;
        self.attached(&sql, user)
    }

    /// The policies of a role.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`] for the role or a policy of it.
    pub fn effective_policies_of_role(&self, role: i64) -> Result<Vec<AttachedPolicy>, StoreError> {
        self.vouch(Bearer::Role(role))?;
        let policies = "SELECT policy FROM ram_attachment WHERE role = ?1 AND policy IS NOT NULL";
        self.vouch_for_each(Bearer::Policy, policies, role)?;
        self.attached(&format!("{ATTACHED} WHERE a.role = ?1"), role)
    }

    /// Vouches for each of those that a query names by their row numbers.
    fn vouch_for_each(
        &self,
        bearer: fn(i64) -> Bearer<'static>,
        sql: &str,
        principal: i64,
    ) -> Result<(), StoreError> {
        if self.rights().is_none_or(|rights| rights.key().is_none()) {
            return Ok(());
        }
        let mut statement = self.connection().prepare_cached(sql)?;
        let mut rows = statement.query([principal])?;
        while let Some(row) = rows.next()? {
            self.vouch(bearer(row.get(0)?))?;
        }
        Ok(())
    }

    fn attached(&self, sql: &str, principal: i64) -> Result<Vec<AttachedPolicy>, StoreError> {
        let mut statement = self.connection().prepare_cached(sql)?;
        let rows = statement.query_map([principal], attached)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// Stores a new policy with its first version, which is in force, and answers its place.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_policy(&self, policy: &PolicyRow, document: &str) -> Result<i64, StoreError> {
        self.execute(
            "INSERT INTO ram_policy (account, name, folded, description, default_version, next_version, created_ms, \
             updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                policy.account.as_str(),
                policy.name,
                folded(&policy.name),
                policy.description,
                policy.default_version,
                policy.next_version,
                policy.created_ms,
                policy.updated_ms
            ],
        )?;
        let seq = self.connection().last_insert_rowid();
        self.put_policy_version(seq, policy.default_version, document, policy.created_ms)?;
        self.count("ram_policy", &policy.account, "", 1)?;
        Ok(seq)
    }

    /// Stores a policy's next version, which is in force from now on if `default`.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_policy_version(
        &self,
        policy: &PolicyRow,
        document: &str,
        default: bool,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.put_policy_version(policy.seq, policy.next_version, document, now_ms)?;
        self.execute(
            "UPDATE ram_policy SET next_version = next_version + 1, updated_ms = ?2, \
             default_version = iif(?3, ?4, default_version) WHERE seq = ?1",
            params![policy.seq, now_ms, default, policy.next_version],
        )
    }

    /// Puts a version of a policy in force.
    ///
    /// # Errors
    /// A database error.
    pub fn set_default_version(
        &self,
        policy: &PolicyRow,
        version: u32,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE ram_policy SET default_version = ?2, updated_ms = ?3 WHERE seq = ?1",
            params![policy.seq, version, now_ms],
        )
    }

    /// Removes a version of a policy.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_policy_version(
        &self,
        policy: &PolicyRow,
        version: u32,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM ram_policy_version WHERE policy = ?1 AND version = ?2",
            params![policy.seq, version],
        )?;
        self.execute("UPDATE ram_policy SET updated_ms = ?2 WHERE seq = ?1", params![policy.seq, now_ms])
    }

    /// Stores the description of a policy.
    ///
    /// # Errors
    /// A database error.
    pub fn describe_policy(
        &self,
        policy: &PolicyRow,
        description: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE ram_policy SET description = ?2, updated_ms = ?3 WHERE seq = ?1",
            params![policy.seq, description, now_ms],
        )
    }

    /// Removes a policy with its versions and tags.
    ///
    /// # Errors
    /// A database error, also if it is attached to anybody.
    pub fn delete_policy(&self, policy: &PolicyRow) -> Result<(), StoreError> {
        self.delete_tags(&policy.tagged(), None)?;
        self.execute("DELETE FROM ram_policy_version WHERE policy = ?1", params![policy.seq])?;
        self.execute("DELETE FROM ram_policy WHERE seq = ?1", params![policy.seq])?;
        self.count("ram_policy", &policy.account, "", -1)
    }

    fn put_policy_version(
        &self,
        policy: i64,
        version: u32,
        document: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO ram_policy_version (policy, version, document, created_ms) VALUES (?1, ?2, ?3, ?4)",
            params![policy, version, document, now_ms],
        )
    }
}
