//! Policies, and what they are attached to.

use tongguan_model::id::AccountId;

use super::folded;
use crate::rows::{Columns as _, Relation, Table as _};
use crate::session::{Cells, FromRow};
use crate::{Bearer, DatabaseError, Snapshot, StoreError, TagFilter, Tx};

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

table! {
    PolicyRow as policy in "ram_policy" {
        both { account, name, description, default_version, next_version, created_ms, updated_ms }
        read { seq }
        write { folded = folded(&policy.name) }
    }
}

columns! { PolicyVersionRow { version, document, created_ms } }

/// Versions of one policy.
const VERSIONS: &str =
    sql!("SELECT ", PolicyVersionRow::COLUMNS, " FROM ram_policy_version WHERE policy = ?1");

impl PolicyRow {
    /// The resource of its tags.
    #[must_use]
    pub fn tagged(&self) -> String {
        format!("ram-policy-{}", self.seq)
    }
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

impl FromRow for AttachedPolicy {
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        let (name, version): (_, Option<u32>) = cells.next()?;
        let custom = match version {
            Some(version) => Some((version, cells.next()?)),
            None => {
                cells.skip(1);
                None
            }
        };
        let group: Option<String> = cells.next()?;
        Ok(Self { name, custom, via: group.map_or(Via::Own, Via::Group) })
    }
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "a policy has the version that is in force, and none of a number still to come",
    "SELECT p.account || ' ' || p.name FROM ram_policy p WHERE NOT EXISTS (SELECT 1 FROM ram_policy_version v \
         WHERE v.policy = p.seq AND v.version = p.default_version) OR EXISTS (SELECT 1 FROM ram_policy_version v \
         WHERE v.policy = p.seq AND v.version >= p.next_version)",
)];

impl Snapshot<'_> {
    /// The account's custom policy of this name.
    ///
    /// # Errors
    /// A database error.
    pub fn policy(&self, account: &AccountId, name: &str) -> Result<Option<PolicyRow>, StoreError> {
        self.session.one(
            sql!(PolicyRow::SELECT, " WHERE account = ?1 AND folded = ?2"),
            &binds![account, folded(name)],
        )
    }

    /// The policy that has tags, by what [`PolicyRow::tagged`] says.
    ///
    /// # Errors
    /// A database error.
    pub fn tagged_policy(&self, tagged: &str) -> Result<Option<PolicyRow>, StoreError> {
        let seq: Option<i64> = tagged.strip_prefix("ram-policy-").and_then(|seq| seq.parse().ok());
        self.session.one(sql!(PolicyRow::SELECT, " WHERE seq = ?1"), &binds![seq])
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
        self.page_by_tags(account, tags, "'ram-policy-' || seq", after, limit)
    }

    /// A version of a policy.
    ///
    /// # Errors
    /// A database error.
    pub fn policy_version(&self, policy: i64, number: u32) -> Result<Option<PolicyVersionRow>, StoreError> {
        self.session.one(sql!(VERSIONS, " AND version = ?2"), &binds![policy, number])
    }

    /// Every version of a policy, oldest first.
    ///
    /// # Errors
    /// A database error.
    pub fn policy_versions(&self, policy: i64) -> Result<Vec<PolicyVersionRow>, StoreError> {
        self.session.all(sql!(VERSIONS, " ORDER BY version"), &binds![policy])
    }

    /// The policies of a user, those of its groups included.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`] for the user, a group or a policy of it.
    pub fn effective_policies_of_user(&self, user: i64) -> Result<Vec<AttachedPolicy>, StoreError> {
        let sql = sql!(
            ATTACHED,
            " WHERE a.user_seq = ?1 UNION ALL ",
            ATTACHED,
            " WHERE a.ram_group IN (SELECT ram_group FROM ram_membership WHERE user_seq = ?1)"
        );
        self.vouch(Bearer::User(user))?;
        let groups = "SELECT ram_group FROM ram_membership WHERE user_seq = ?1";
        self.vouch_for_each(Bearer::Group, groups, user)?;
        let policies = "SELECT policy FROM ram_attachment WHERE user_seq = ?1 AND policy IS NOT NULL UNION \
             SELECT policy FROM ram_attachment WHERE policy IS NOT NULL \
             AND ram_group IN (SELECT ram_group FROM ram_membership WHERE user_seq = ?1)";
        self.vouch_for_each(Bearer::Policy, policies, user)?;
        self.session.all(sql, &binds![user])
    }

    /// The policies of a role.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`] for the role or a policy of it.
    pub fn effective_policies_of_role(&self, role: i64) -> Result<Vec<AttachedPolicy>, StoreError> {
        self.vouch(Bearer::Role(role))?;
        let policies = "SELECT policy FROM ram_attachment WHERE role = ?1 AND policy IS NOT NULL";
        self.vouch_for_each(Bearer::Policy, policies, role)?;
        self.session.all(sql!(ATTACHED, " WHERE a.role = ?1"), &binds![role])
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
        let mut statement = self.session.prepare(sql)?;
        let mut rows = statement.query_few(&binds![principal])?;
        while let Some(row) = rows.next()? {
            self.vouch(bearer(row.read()?))?;
        }
        Ok(())
    }
}

impl Tx<'_> {
    /// Stores a new policy with its first version, which is in force, and answers its place.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_policy(&self, policy: &PolicyRow, document: &str) -> Result<i64, StoreError> {
        self.rights_changed(&policy.account)?;
        insert(self.session, policy)?;
        let seq = self.session.inserted()?;
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
        self.rights_changed(&policy.account)?;
        self.put_policy_version(policy.seq, policy.next_version, document, now_ms)?;
        self.execute(
            "UPDATE ram_policy SET next_version = next_version + 1, updated_ms = ?2, \
             default_version = CASE WHEN ?3 THEN ?4 ELSE default_version END WHERE seq = ?1",
            &binds![policy.seq, now_ms, default, policy.next_version],
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
        self.rights_changed(&policy.account)?;
        update!(self.session, "ram_policy" { default_version: version, updated_ms: now_ms } where { seq: policy.seq })?;
        Ok(())
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
        self.rights_changed(&policy.account)?;
        self.execute(
            "DELETE FROM ram_policy_version WHERE policy = ?1 AND version = ?2",
            &binds![policy.seq, version],
        )?;
        update!(self.session, "ram_policy" { updated_ms: now_ms } where { seq: policy.seq })?;
        Ok(())
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
        self.rights_changed(&policy.account)?;
        update!(self.session, "ram_policy" { description: description, updated_ms: now_ms } where { seq: policy.seq })?;
        Ok(())
    }

    /// Removes a policy with its versions and tags.
    ///
    /// # Errors
    /// A database error, also if it is attached to anybody.
    pub fn delete_policy(&self, policy: &PolicyRow) -> Result<(), StoreError> {
        self.rights_changed(&policy.account)?;
        self.delete_all_tags(&policy.tagged())?;
        self.execute("DELETE FROM ram_policy_version WHERE policy = ?1", &binds![policy.seq])?;
        self.execute("DELETE FROM ram_policy WHERE seq = ?1", &binds![policy.seq])?;
        self.count("ram_policy", &policy.account, "", -1)
    }

    fn put_policy_version(
        &self,
        policy: i64,
        version: u32,
        document: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        insert!(self.session, "ram_policy_version" {
            policy: policy,
            version: version,
            document: document,
            created_ms: now_ms,
        })?;
        Ok(())
    }
}
