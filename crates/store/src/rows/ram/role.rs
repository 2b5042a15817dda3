//! Roles.

use tongguan_model::id::AccountId;

use super::folded;
use crate::rows::Table as _;
use crate::{Bearer, Snapshot, StoreError, TagFilter, Tx};

/// A role as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// Place in the order of creation; of no meaning in a row that is to be inserted.
    pub seq: i64,
    /// Decimal id.
    pub id: String,
    /// Account.
    pub account: AccountId,
    /// Name, unique in the account without regard to case.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Trust policy: the document as it was given.
    pub trust: String,
    /// Longest session, seconds.
    pub max_session_seconds: u32,
    /// Service of a service-linked role; none for all others.
    pub service: Option<String>,
    /// Whether it may be used at a console.
    pub console_login: bool,
    /// When it was made, UNIX milliseconds.
    pub created_ms: i64,
    /// When it was last changed, UNIX milliseconds.
    pub updated_ms: i64,
    /// What a session of the role must have been made under ([`Tx::end_sessions`](crate::Tx::end_sessions)); of no
    /// meaning in a row that is to be inserted.
    pub sessions_from_ms: i64,
}

table! {
    RoleRow as role in "ram_role" {
        both {
            id, account, name, description, trust, max_session_seconds, service, console_login, created_ms, updated_ms,
        }
        read { seq, sessions_from_ms }
        write { folded = folded(&role.name) }
    }
}

impl Snapshot<'_> {
    /// The account's role of this name.
    ///
    /// # Errors
    /// A database error.
    pub fn role(&self, account: &AccountId, name: &str) -> Result<Option<RoleRow>, StoreError> {
        self.session
            .one(sql!(RoleRow::SELECT, " WHERE account = ?1 AND folded = ?2"), &binds![account, folded(name)])
    }

    /// The account's roles that carry every tag of `tags`, in the order of their creation, after place
    /// `after`: at most `limit`.
    ///
    /// # Errors
    /// A database error.
    pub fn roles(
        &self,
        account: &AccountId,
        tags: &[TagFilter],
        after: i64,
        limit: u64,
    ) -> Result<Vec<RoleRow>, StoreError> {
        self.page_by_tags(account, tags, "id", after, limit)
    }

    /// The role of this id, for use.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`].
    pub fn role_by_id(&self, id: &str) -> Result<Option<RoleRow>, StoreError> {
        let role: Option<RoleRow> = self.session.one(sql!(RoleRow::SELECT, " WHERE id = ?1"), &binds![id])?;
        role.iter().try_for_each(|role| self.vouch(Bearer::Role(role.seq)))?;
        Ok(role)
    }
}

impl Tx<'_> {
    /// Stores a new role and answers its place.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_role(&self, role: &RoleRow) -> Result<i64, StoreError> {
        self.rights_changed(&role.account)?;
        insert(self.session, role)?;
        let seq = self.session.inserted()?;
        self.count("ram_role", &role.account, "", 1)?;
        Ok(seq)
    }

    /// Stores what may change on a role: description, trust policy, longest session, use at a console.
    ///
    /// # Errors
    /// A database error.
    pub fn update_role(&self, role: &RoleRow) -> Result<(), StoreError> {
        self.rights_changed_of_role(role.seq)?;
        update!(self.session, "ram_role" {
            description: role.description,
            trust: role.trust,
            max_session_seconds: role.max_session_seconds,
            console_login: role.console_login,
            updated_ms: role.updated_ms,
        } where { seq: role.seq })?;
        Ok(())
    }

    /// Removes a role with its tags.
    ///
    /// # Errors
    /// A database error, also if a policy is attached to it.
    pub fn delete_role(&self, role: &RoleRow) -> Result<(), StoreError> {
        self.rights_changed(&role.account)?;
        self.delete_all_tags(&role.id)?;
        self.execute("DELETE FROM ram_role WHERE seq = ?1", &binds![role.seq])?;
        self.count("ram_role", &role.account, "", -1)
    }
}
