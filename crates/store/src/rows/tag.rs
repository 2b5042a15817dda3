//! Tags, on whatever carries them.

use std::collections::BTreeMap;

use tongguan_model::id::AccountId;

use super::batch::{by_owner, of_all};
use super::search::Search;
use super::{Answer, Columns as _, Done, Relation};
use crate::{Snapshot, Tx};

/// One tag with its resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRow {
    /// Id of the resource.
    pub resource: String,
    /// Key.
    pub key: String,
    /// Value; may be empty.
    pub value: String,
}

columns! { TagRow { resource, key, value } }

/// One tag to look for: the key, and the value if it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagFilter {
    /// Key.
    pub key: String,
    /// Value; none matches every value.
    pub value: Option<String>,
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "tags are on what exists",
    "SELECT resource FROM tag WHERE resource NOT IN (SELECT id FROM vpn_gateway UNION ALL SELECT id FROM vpc \
         UNION ALL SELECT id FROM customer_gateway UNION ALL SELECT id FROM vpn_connection \
         UNION ALL SELECT id FROM vswitch UNION ALL SELECT id FROM ram_role UNION ALL SELECT instance FROM cas_certificate \
         UNION ALL SELECT 'ram-policy-' || seq FROM ram_policy \
         UNION ALL SELECT 'resource-group-' || seq FROM resource_group)",
)];

impl Snapshot<'_> {
    /// A resource's tags, by key.
    ///
    /// # Errors
    /// A database error.
    pub fn tags_of(&self, resource: &str) -> Answer<Vec<TagRow>> {
        self.session.all(
            sql!("SELECT ", TagRow::COLUMNS, " FROM tag WHERE resource = ?1 ORDER BY key"),
            &binds![resource],
        )
    }

    /// The tags of many resources of an account, in one query: those of each by key. Resources without any are left
    /// out.
    ///
    /// # Errors
    /// A database error.
    pub fn tags_of_all(
        &self,
        account: &AccountId,
        resources: &[&str],
    ) -> Answer<BTreeMap<String, Vec<TagRow>>> {
        // Many accounts have none: a look at the index costs a fiftieth of looking for those of a page.
        let any: bool =
            self.session.only("SELECT EXISTS (SELECT 1 FROM tag WHERE account = ?1)", &binds![account])?;
        if !any {
            return Ok(BTreeMap::new());
        }
        let before = sql!("SELECT ", TagRow::COLUMNS, " FROM tag WHERE resource IN");
        let rows: Vec<TagRow> =
            of_all(self.session, (before, "ORDER BY resource, key"), &[], resources.iter().copied())?;
        Ok(by_owner(rows.into_iter().map(|tag| (tag.resource.clone(), tag))))
    }

    /// Tags on resources of one kind, by resource and key, from (resource, key) `after` on: those on
    /// `resources` (all if empty) that carry every tag of `filter`.
    ///
    /// # Errors
    /// A database error.
    #[expect(clippy::too_many_arguments, reason = "one argument per parameter of ListTagResources")]
    pub fn tags(
        &self,
        account: &AccountId,
        region: &str,
        kind: &str,
        resources: &[String],
        filter: &[TagFilter],
        after: Option<(&str, &str)>,
        limit: u64,
    ) -> Answer<Vec<TagRow>> {
        let mut search = Search::of(account, Some(region));
        search.equal("kind", Some(kind));
        search.any("resource", resources);
        search.tags("resource", filter);
        if let Some((resource, key)) = after {
            let (resource, key) = (search.value(resource), search.value(key));
            search.raw(&format!("(resource, key) > (?{resource}, ?{key})"));
        }
        let sql = format!(
            "SELECT {} FROM tag WHERE {} ORDER BY resource, key LIMIT {limit}",
            TagRow::COLUMNS,
            search.clause()
        );
        self.session.all(&sql, &search.values)
    }
}

impl Tx<'_> {
    /// Writes a tag, replacing the value of its key.
    ///
    /// # Errors
    /// A database error.
    pub fn put_tag(
        &self,
        account: &AccountId,
        region: &str,
        kind: &str,
        resource: &str,
        key: &str,
        value: &str,
    ) -> Done {
        insert!(
            self.session,
            "tag" { resource: resource, key: key, value: value, kind: kind, account: account, region: region }
            "ON CONFLICT (resource, key) DO UPDATE SET value = excluded.value"
        )?;
        Ok(())
    }

    /// Removes the tags of these keys from a resource; without keys all.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_tags<'k>(&self, resource: &str, keys: impl IntoIterator<Item = &'k String>) -> Done {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() {
            return self.delete_all_tags(resource);
        }
        keys.try_for_each(|key| {
            self.execute("DELETE FROM tag WHERE resource = ?1 AND key = ?2", &binds![resource, key])
        })
    }

    /// Removes all of a resource's tags.
    pub(crate) fn delete_all_tags(&self, resource: &str) -> Done {
        self.execute("DELETE FROM tag WHERE resource = ?1", &binds![resource])
    }
}
