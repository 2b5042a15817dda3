//! Which policies are attached to which users, groups and roles.

use tongguan_model::id::AccountId;

use super::folded;
use crate::rows::Relation;
use crate::session::{AsBind, Bind, Cells, FromRow};
use crate::{DatabaseError, Snapshot, StoreError, Tx};

/// Something that policies are attached to, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A user.
    User(i64),
    /// A group.
    Group(i64),
    /// A role.
    Role(i64),
}

/// A policy that is attached: a custom one by its place, a system policy by its exact name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKey<'a> {
    /// A custom policy.
    Custom(i64),
    /// A system policy.
    System(&'a str),
}

impl AsBind for PolicyKey<'_> {
    fn bind(&self) -> Bind<'_> {
        match self {
            Self::Custom(seq) => Bind::Integer(*seq),
            Self::System(name) => Bind::Text(name),
        }
    }
}

/// A policy as it is attached to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Name.
    pub name: String,
    /// Description and version in force, of a custom policy; none: a system policy.
    pub custom: Option<(String, u32)>,
    /// Since when, UNIX milliseconds.
    pub attached_ms: i64,
}

/// Somebody to whom a policy is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityRow {
    /// Decimal id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Display name of a user, remarks on a group, description of a role.
    pub text: String,
    /// Service of a service-linked role.
    pub service: Option<String>,
    /// Since when, UNIX milliseconds.
    pub attached_ms: i64,
}

/// All to whom a policy is attached, each list in the order of attachment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entities {
    /// Users.
    pub users: Vec<EntityRow>,
    /// Groups.
    pub groups: Vec<EntityRow>,
    /// Roles.
    pub roles: Vec<EntityRow>,
}

impl Holder {
    /// The column that names it, and its place.
    fn column(self) -> (&'static str, i64) {
        match self {
            Self::User(seq) => ("user_seq", seq),
            Self::Group(seq) => ("ram_group", seq),
            Self::Role(seq) => ("role", seq),
        }
    }
}

impl<'a> PolicyKey<'a> {
    /// Values of the columns `policy` and `system`.
    fn columns(self) -> (Option<i64>, Option<&'a str>) {
        match self {
            Self::Custom(seq) => (Some(seq), None),
            Self::System(name) => (None, Some(name)),
        }
    }

    /// The condition that a row is of this policy, in which ?1 is the account and ?2 the policy: one that its index
    /// answers.
    fn condition(self) -> &'static str {
        match self {
            Self::Custom(_) => "+a.account = ?1 AND a.policy = ?2",
            Self::System(_) => "a.account = ?1 AND a.system = ?2",
        }
    }
}

impl FromRow for EntityRow {
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        let (id, name, text, service, attached_ms) = cells.next()?;
        Ok(Self { id, name, text, service, attached_ms })
    }
}

impl FromRow for Attachment {
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        let (name, description): (_, Option<String>) = cells.next()?;
        let custom = match description {
            Some(description) => Some((description, cells.next()?)),
            None => {
                cells.skip(1);
                None
            }
        };
        Ok(Self { name, custom, attached_ms: cells.next()? })
    }
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "a policy and what it is attached to are of one account",
    "SELECT a.seq FROM ram_attachment a LEFT JOIN ram_policy p ON p.seq = a.policy \
         LEFT JOIN ram_user u ON u.seq = a.user_seq LEFT JOIN ram_group g ON g.seq = a.ram_group \
         LEFT JOIN ram_role r ON r.seq = a.role WHERE a.account <> coalesce(p.account, a.account) \
         OR a.account IS DISTINCT FROM coalesce(u.account, g.account, r.account)",
)];

impl Snapshot<'_> {
    /// The account's user, group or role of this name, as `kind` makes it from its place.
    ///
    /// # Errors
    /// A database error.
    pub fn holder(
        &self,
        account: &AccountId,
        kind: fn(i64) -> Holder,
        name: &str,
    ) -> Result<Option<Holder>, StoreError> {
        let sql = match kind(0) {
            Holder::User(_) => "SELECT seq FROM ram_user WHERE account = ?1 AND folded = ?2",
            Holder::Group(_) => "SELECT seq FROM ram_group WHERE account = ?1 AND folded = ?2",
            Holder::Role(_) => "SELECT seq FROM ram_role WHERE account = ?1 AND folded = ?2",
        };
        Ok(self.session.one(sql, &binds![account, folded(name)])?.map(kind))
    }

    /// The policies attached to somebody, in the order of attachment.
    ///
    /// # Errors
    /// A database error.
    pub fn attachments(&self, holder: Holder) -> Result<Vec<Attachment>, StoreError> {
        let (column, seq) = holder.column();
        let sql = format!(
            "SELECT coalesce(p.name, a.system), p.description, p.default_version, a.attached_ms \
             FROM ram_attachment a LEFT JOIN ram_policy p ON p.seq = a.policy WHERE a.{column} = ?1 ORDER BY a.seq"
        );
        self.session.all(&sql, &binds![seq])
    }

    /// Whether a policy is attached to somebody.
    ///
    /// # Errors
    /// A database error.
    pub fn is_attached(&self, policy: PolicyKey<'_>, holder: Holder) -> Result<bool, StoreError> {
        let (column, seq) = holder.column();
        let (custom, system) = policy.columns();
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM ram_attachment WHERE {column} = ?1 \
             AND coalesce(policy, 0) = coalesce(?2, 0) AND coalesce(system, '') = coalesce(?3, ''))"
        );
        self.session.only(&sql, &binds![seq, custom, system])
    }

    /// To how many users, groups and roles of the account a policy is attached.
    ///
    /// # Errors
    /// A database error.
    pub fn attachment_count(&self, account: &AccountId, policy: PolicyKey<'_>) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM ram_attachment a WHERE {}", policy.condition());
        self.number(&sql, &binds![account, policy])
    }

    /// The users, groups and roles of the account to which a policy is attached.
    ///
    /// # Errors
    /// A database error.
    pub fn entities(&self, account: &AccountId, policy: PolicyKey<'_>) -> Result<Entities, StoreError> {
        let list = |columns: &str, join: &str| -> Result<Vec<EntityRow>, StoreError> {
            let sql = format!(
                "SELECT {columns}, a.attached_ms FROM ram_attachment a JOIN {join} WHERE {} ORDER BY a.seq",
                policy.condition()
            );
            self.session.all(&sql, &binds![account, policy])
        };
        Ok(Entities {
            users: list("e.id, e.name, e.display_name, NULL", "ram_user e ON e.seq = a.user_seq")?,
            groups: list("e.id, e.name, e.comments, NULL", "ram_group e ON e.seq = a.ram_group")?,
            roles: list("e.id, e.name, e.description, e.service", "ram_role e ON e.seq = a.role")?,
        })
    }
}

impl Tx<'_> {
    /// Attaches a policy to somebody of the account.
    ///
    /// # Errors
    /// A database error, also if it is attached already.
    pub fn attach(
        &self,
        account: &AccountId,
        policy: PolicyKey<'_>,
        holder: Holder,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.rights_changed(account)?;
        let (column, seq) = holder.column();
        let (custom, system) = policy.columns();
        self.execute(
            &format!(
                "INSERT INTO ram_attachment (account, policy, system, {column}, attached_ms) \
                 VALUES (?1, ?2, ?3, ?4, ?5)"
            ),
            &binds![account, custom, system, seq, now_ms],
        )
    }

    /// Takes a policy away from somebody.
    ///
    /// # Errors
    /// A database error.
    pub fn detach(&self, policy: PolicyKey<'_>, holder: Holder) -> Result<(), StoreError> {
        self.rights_changed_of_holder(holder)?;
        let (column, seq) = holder.column();
        let (custom, system) = policy.columns();
        self.execute(
            &format!(
                "DELETE FROM ram_attachment WHERE {column} = ?1 AND coalesce(policy, 0) = coalesce(?2, 0) \
                 AND coalesce(system, '') = coalesce(?3, '')"
            ),
            &binds![seq, custom, system],
        )
    }

    /// Takes every policy away from somebody.
    ///
    /// # Errors
    /// A database error.
    pub fn detach_all(&self, holder: Holder) -> Result<(), StoreError> {
        self.rights_changed_of_holder(holder)?;
        let (column, seq) = holder.column();
        self.execute(&format!("DELETE FROM ram_attachment WHERE {column} = ?1"), &binds![seq])
    }

    fn rights_changed_of_holder(&self, holder: Holder) -> Result<(), StoreError> {
        match holder {
            Holder::User(seq) => self.rights_changed_of_user(seq),
            Holder::Group(seq) => self.rights_changed_of_group(seq),
            Holder::Role(seq) => self.rights_changed_of_role(seq),
        }
    }
}
