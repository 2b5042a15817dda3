//! Groups, and who is in them.

use tongguan_model::id::AccountId;

use super::folded;
use crate::rows::{Columns as _, Relation, Table as _};
use crate::{Snapshot, StoreError, Tx};

/// A group as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// Place in the order of creation; of no meaning in a row that is to be inserted.
    pub seq: i64,
    /// Decimal id.
    pub id: String,
    /// Account.
    pub account: AccountId,
    /// Name, unique in the account without regard to case.
    pub name: String,
    /// Remarks.
    pub comments: String,
    /// When it was made, UNIX milliseconds.
    pub created_ms: i64,
    /// When it was last changed, UNIX milliseconds.
    pub updated_ms: i64,
}

/// A user as a member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// The user's place in the order of creation.
    pub user: i64,
    /// The user's name.
    pub name: String,
    /// The user's display name.
    pub display_name: String,
    /// When it joined, UNIX milliseconds.
    pub joined_ms: i64,
}

table! {
    GroupRow as group in "ram_group" {
        both { id, account, name, comments, created_ms, updated_ms }
        read { seq }
        write { folded = folded(&group.name) }
    }
}

columns! { MemberRow { user = "u.seq", name = "u.name", display_name = "u.display_name", joined_ms = "m.joined_ms" } }

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "a member and its group are of one account",
    "SELECT u.name || ' ' || g.name FROM ram_membership m JOIN ram_user u ON u.seq = m.user_seq \
         JOIN ram_group g ON g.seq = m.ram_group WHERE u.account <> g.account",
)];

impl Snapshot<'_> {
    /// The account's group of this name.
    ///
    /// # Errors
    /// A database error.
    pub fn group(&self, account: &AccountId, name: &str) -> Result<Option<GroupRow>, StoreError> {
        self.session.one(
            sql!(GroupRow::SELECT, " WHERE account = ?1 AND folded = ?2"),
            &binds![account, folded(name)],
        )
    }

    /// The account's groups after this place in the order of creation, at most `most` of them.
    ///
    /// # Errors
    /// A database error.
    pub fn groups(&self, account: &AccountId, after: i64, most: u64) -> Result<Vec<GroupRow>, StoreError> {
        let sql = sql!(GroupRow::SELECT, " WHERE account = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3");
        self.session.all(sql, &binds![account, after, most])
    }

    /// The groups that a user is in, in the order of their creation, each with when it joined (UNIX milliseconds).
    ///
    /// # Errors
    /// A database error.
    pub fn groups_of_user(&self, user: i64) -> Result<Vec<(GroupRow, i64)>, StoreError> {
        let sql = sql!(
            "SELECT ",
            GroupRow::COLUMNS,
            ", joined_ms FROM ram_membership JOIN ram_group ON seq = ram_group \
             WHERE user_seq = ?1 ORDER BY ram_group"
        );
        self.session.all(sql, &binds![user])
    }

    /// In how many groups a user is.
    ///
    /// # Errors
    /// A database error.
    pub fn group_count_of_user(&self, user: i64) -> Result<u64, StoreError> {
        self.number("SELECT count(*) FROM ram_membership WHERE user_seq = ?1", &binds![user])
    }

    /// Whether a user is in a group.
    ///
    /// # Errors
    /// A database error.
    pub fn is_member(&self, user: i64, group: i64) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM ram_membership WHERE user_seq = ?1 AND ram_group = ?2)";
        self.session.only(sql, &binds![user, group])
    }

    /// The members of a group after this user in the order of the users' creation, at most `most` of them.
    ///
    /// # Errors
    /// A database error.
    pub fn members(&self, group: i64, after: i64, most: u64) -> Result<Vec<MemberRow>, StoreError> {
        let sql = sql!(
            "SELECT ",
            MemberRow::COLUMNS,
            " FROM ram_membership m JOIN ram_user u ON u.seq = m.user_seq \
             WHERE m.ram_group = ?1 AND m.user_seq > ?2 ORDER BY m.user_seq LIMIT ?3"
        );
        self.session.all(sql, &binds![group, after, most])
    }

    /// Whether anybody is in the group.
    ///
    /// # Errors
    /// A database error.
    pub fn group_has_members(&self, group: i64) -> Result<bool, StoreError> {
        self.session.only("SELECT EXISTS (SELECT 1 FROM ram_membership WHERE ram_group = ?1)", &binds![group])
    }

    /// Whether a policy is attached to the group.
    ///
    /// # Errors
    /// A database error.
    pub fn group_has_policies(&self, group: i64) -> Result<bool, StoreError> {
        self.session.only("SELECT EXISTS (SELECT 1 FROM ram_attachment WHERE ram_group = ?1)", &binds![group])
    }
}

impl Tx<'_> {
    /// Stores a new group.
    ///
    /// # Errors
    /// A database error, also if the account has a group of the name.
    pub fn insert_group(&self, group: &GroupRow) -> Result<(), StoreError> {
        self.rights_changed(&group.account)?;
        insert(self.session, group)?;
        self.count("ram_group", &group.account, "", 1)
    }

    /// Removes a group.
    ///
    /// # Errors
    /// A database error, also if it has members or policies.
    pub fn delete_group(&self, group: &GroupRow) -> Result<(), StoreError> {
        self.rights_changed(&group.account)?;
        self.execute("DELETE FROM ram_group WHERE seq = ?1", &binds![group.seq])?;
        self.count("ram_group", &group.account, "", -1)
    }

    /// Puts a user into a group.
    ///
    /// # Errors
    /// A database error, also if it is in it.
    pub fn insert_member(&self, user: i64, group: i64, now_ms: i64) -> Result<(), StoreError> {
        self.rights_changed_of_group(group)?;
        insert!(self.session, "ram_membership" { user_seq: user, ram_group: group, joined_ms: now_ms })?;
        Ok(())
    }

    /// Takes a user out of a group.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_member(&self, user: i64, group: i64) -> Result<(), StoreError> {
        self.rights_changed_of_group(group)?;
        self.execute(
            "DELETE FROM ram_membership WHERE user_seq = ?1 AND ram_group = ?2",
            &binds![user, group],
        )
    }
}
