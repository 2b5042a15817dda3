//! Roles.

use rusqlite::{OptionalExtension as _, Row, params, params_from_iter};
use tongguan_model::id::AccountId;

use super::{folded, page_of};
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

pub(super) const COLUMNS: &str = "seq, id, account, name, description, trust, max_session_seconds, service, console_login, created_ms, \
     updated_ms, sessions_from_ms";

pub(super) fn role(row: &Row<'_>) -> rusqlite::Result<RoleRow> {
    Ok(RoleRow {
        seq: row.get(0)?,
        id: row.get(1)?,
        account: AccountId::new(row.get::<_, String>(2)?),
        name: row.get(3)?,
        description: row.get(4)?,
        trust: row.get(5)?,
        max_session_seconds: row.get(6)?,
        service: row.get(7)?,
        console_login: row.get(8)?,
        created_ms: row.get(9)?,
        updated_ms: row.get(10)?,
        sessions_from_ms: row.get(11)?,
    })
}

impl Snapshot<'_> {
    /// The account's role of this name.
    ///
    /// # Errors
    /// A database error.
    pub fn role(&self, account: &AccountId, name: &str) -> Result<Option<RoleRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM ram_role WHERE account = ?1 AND folded = ?2");
        let mut statement = self.connection().prepare_cached(&sql)?;
        Ok(statement.query_row(params![account.as_str(), folded(name)], role).optional()?)
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
        let (clause, values) = page_of(account, after, tags, "id");
        let sql = format!("SELECT {COLUMNS} FROM ram_role WHERE {clause} ORDER BY seq LIMIT {limit}");
        let mut statement = self.connection().prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), role)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The role of this id, for use.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`].
    pub fn role_by_id(&self, id: &str) -> Result<Option<RoleRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM ram_role WHERE id = ?1");
        let role = self.connection().prepare_cached(&sql)?.query_row([id], role).optional()?;
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
        self.execute(
            "INSERT INTO ram_role (id, account, name, folded, description, trust, max_session_seconds, service, \
             console_login, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                role.id,
                role.account.as_str(),
                role.name,
                folded(&role.name),
                role.description,
                role.trust,
                role.max_session_seconds,
                role.service,
                role.console_login,
                role.created_ms,
                role.updated_ms
            ],
        )?;
        let seq = self.connection().last_insert_rowid();
        self.count("ram_role", &role.account, "", 1)?;
        Ok(seq)
    }

    /// Stores what may change on a role: description, trust policy, longest session, use at a console.
    ///
    /// # Errors
    /// A database error.
    pub fn update_role(&self, role: &RoleRow) -> Result<(), StoreError> {
        self.execute(
            "UPDATE ram_role SET description = ?2, trust = ?3, max_session_seconds = ?4, console_login = ?5, \
             updated_ms = ?6 WHERE seq = ?1",
            params![
                role.seq,
                role.description,
                role.trust,
                role.max_session_seconds,
                role.console_login,
                role.updated_ms
            ],
        )
    }

    /// Removes a role with its tags.
    ///
    /// # Errors
    /// A database error, also if a policy is attached to it.
    pub fn delete_role(&self, role: &RoleRow) -> Result<(), StoreError> {
        self.delete_tags(&role.id, None)?;
        self.execute("DELETE FROM ram_role WHERE seq = ?1", params![role.seq])?;
        self.count("ram_role", &role.account, "", -1)
    }
}
