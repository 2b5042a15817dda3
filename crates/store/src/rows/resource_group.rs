//! Resource groups: what an account sorts its resources into. Every account has a default one from its beginning.

use aws_lc_rs::digest;
use tongguan_model::id::{self, AccountId};
use tongguan_model::wire_enum;

use super::{Answer, Done, Relation, Table as _};
use crate::session::Session;
use crate::{Snapshot, Tx};

wire_enum! {
    /// State of a resource group.
    pub enum ResourceGroupStatus {
        /// Being made; it can be used already.
        Creating = "Creating",
        /// Ready.
        Ok = "OK",
        /// Being deleted; it can be read, and nothing else.
        PendingDelete = "PendingDelete",
    }
}

/// A resource group as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceGroupRow {
    /// Place in the order of creation; of no meaning in a row that is to be inserted.
    pub seq: i64,
    /// Id, prefix `rg-`; unique in the account.
    pub id: String,
    /// Owner.
    pub account: AccountId,
    /// Identifier, unique in the account.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// State.
    pub status: ResourceGroupStatus,
    /// Whether it is the account's default one.
    pub is_default: bool,
    /// When it was made, UNIX milliseconds.
    pub created_ms: i64,
}

table! {
    ResourceGroupRow as group in "resource_group" {
        both { id, account, name, display_name, status, is_default, created_ms }
        read { seq }
    }
}

/// What [`ResourceGroupRow::key`] begins with.
const KEY: &str = "resource-group-";

impl ResourceGroupRow {
    /// What its tags and its change under way stand on: ids are unique in an account alone.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{KEY}{}", self.seq)
    }
}

/// The id of the account's default resource group: derived, so that it is always the same one.
#[must_use]
pub fn default_resource_group(account: &AccountId) -> String {
    let print = digest::digest(&digest::SHA256, account.as_str().as_bytes());
    let (letters, _) = print.as_ref().split_first_chunk().expect("a SHA-256 digest is longer than an id");
    resource_group_id(letters)
}

/// An id of a resource group with these letters.
#[must_use]
pub fn resource_group_id(letters: &[u8; 11]) -> String {
    let letter = |byte: &u8| char::from(id::ALPHABET[usize::from(*byte) % id::ALPHABET.len()]);
    "rg-acfm".chars().chain(letters.iter().map(letter)).collect()
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[
    (
        "an account has one default resource group",
        "SELECT id FROM account WHERE \
         (SELECT count(*) FROM resource_group g WHERE g.account = account.id AND g.is_default) <> 1",
    ),
    (
        "a resource group that is made or deleted has an intent",
        "SELECT id FROM resource_group WHERE status <> 'OK' \
         AND 'resource-group-' || seq NOT IN (SELECT resource FROM intent)",
    ),
    (
        "a resource is in a resource group of its account",
        "SELECT r.id FROM (SELECT id, account, resource_group FROM vpc \
         UNION ALL SELECT id, account, resource_group FROM vswitch \
         UNION ALL SELECT id, account, resource_group FROM vpn_gateway \
         UNION ALL SELECT id, account, resource_group FROM customer_gateway \
         UNION ALL SELECT id, account, resource_group FROM vpn_connection \
         UNION ALL SELECT instance, account, resource_group FROM cas_certificate) r \
         WHERE NOT EXISTS (SELECT 1 FROM resource_group g WHERE g.account = r.account AND g.id = r.resource_group)",
    ),
];

/// Tables of what is in resource groups.
const GROUPED: [&str; 6] =
    ["vpc", "vswitch", "vpn_gateway", "customer_gateway", "vpn_connection", "cas_certificate"];

/// Gives every account of an older schema its default group, and makes a group of every id that resources had been
/// given: groups were not kept then.
pub(crate) fn bring_up(session: Session<'_>) -> Done {
    let tx = Tx::new(session);
    for (account, created_ms) in session.all::<(AccountId, i64)>("SELECT id, created_ms FROM account", &[])? {
        tx.insert_default_group(&account, created_ms)?;
    }
    for table in GROUPED {
        let sql = format!(
            "SELECT DISTINCT r.account, r.resource_group, a.created_ms FROM {table} r JOIN account a ON a.id = r.account"
        );
        for (account, id, created_ms) in session.all::<(AccountId, String, i64)>(&sql, &[])? {
            if tx.resource_group(&account, &id)?.is_none() {
                tx.insert_resource_group(&ResourceGroupRow {
                    seq: 0,
                    name: id.clone(),
                    display_name: id.clone(),
                    id,
                    account,
                    status: ResourceGroupStatus::Ok,
                    is_default: false,
                    created_ms,
                })?;
            }
        }
    }
    Ok(())
}

impl Snapshot<'_> {
    /// The account's resource group of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn resource_group(&self, account: &AccountId, id: &str) -> Answer<Option<ResourceGroupRow>> {
        self.session.one(owned!(ResourceGroupRow), &binds![id, account])
    }

    /// The account's resource group of this name.
    ///
    /// # Errors
    /// A database error.
    pub fn resource_group_named(&self, account: &AccountId, name: &str) -> Answer<Option<ResourceGroupRow>> {
        let sql = sql!(ResourceGroupRow::SELECT, " WHERE account = ?1 AND name = ?2");
        self.session.one(sql, &binds![account, name])
    }

    /// The resource group, of whatever account, that [`ResourceGroupRow::key`] names.
    ///
    /// # Errors
    /// A database error.
    pub fn resource_group_of_key(&self, key: &str) -> Answer<Option<ResourceGroupRow>> {
        let seq: Option<i64> = key.strip_prefix(KEY).and_then(|seq| seq.parse().ok());
        self.session.one(sql!(ResourceGroupRow::SELECT, " WHERE seq = ?1"), &binds![seq])
    }

    /// The account's resource groups in the order of their creation, the default one first.
    ///
    /// # Errors
    /// A database error.
    pub fn resource_groups(&self, account: &AccountId) -> Answer<Vec<ResourceGroupRow>> {
        let sql = sql!(ResourceGroupRow::SELECT, " WHERE account = ?1 ORDER BY seq");
        self.session.all(sql, &binds![account])
    }

    /// Whether a resource of the account is in the group.
    ///
    /// # Errors
    /// A database error.
    pub fn resource_group_in_use(&self, group: &ResourceGroupRow) -> Answer<bool> {
        for table in GROUPED {
            let sql =
                format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE account = ?1 AND resource_group = ?2)");
            if self.session.only(&sql, &binds![group.account, group.id])? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Tx<'_> {
    /// Stores a new resource group.
    ///
    /// # Errors
    /// A database error, also if the account has one of the name.
    pub fn insert_resource_group(&self, group: &ResourceGroupRow) -> Done {
        insert(self.session, group)?;
        self.count("resource_group", &group.account, "", 1)
    }

    /// Makes sure that the account has its default group.
    pub(crate) fn insert_default_group(&self, account: &AccountId, now_ms: i64) -> Done {
        let inserted = insert!(
            self.session,
            "resource_group" {
                id: default_resource_group(account),
                account: account,
                name: "default",
                display_name: "default resource group",
                status: ResourceGroupStatus::Ok,
                is_default: true,
                created_ms: now_ms
            } "ON CONFLICT DO NOTHING"
        )?;
        if inserted > 0 { self.count("resource_group", account, "", 1) } else { Ok(()) }
    }

    /// Stores what may change on a resource group: display name and status.
    ///
    /// # Errors
    /// A database error.
    pub fn update_resource_group(&self, group: &ResourceGroupRow) -> Done {
        let ResourceGroupRow { display_name, status, .. } = group;
        update!(
            self.session,
            "resource_group" { display_name: display_name, status: status } where { seq: group.seq }
        )?;
        Ok(())
    }

    /// What was wanted of a resource group is done: it is ready, or gone with all that hangs on it.
    ///
    /// # Errors
    /// A database error.
    pub fn settle_resource_group(&self, key: &str) -> Done {
        let Some(mut group) = self.resource_group_of_key(key)? else { return Ok(()) };
        if group.status == ResourceGroupStatus::PendingDelete {
            self.forget(key)?;
            self.execute("DELETE FROM resource_group WHERE seq = ?1", &binds![group.seq])?;
            return self.count("resource_group", &group.account, "", -1);
        }
        group.status = ResourceGroupStatus::Ok;
        self.update_resource_group(&group)
    }
}
