//! Tags, on whatever carries them.

use rusqlite::types::Value;
use rusqlite::{Row, params, params_from_iter};
use tongguan_model::id::AccountId;

use super::search::Search;
use super::{Answer, Done, Relation};
use crate::{Snapshot, Tx};

/// One tag with what it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRow {
    /// Id of the resource.
    pub resource: String,
    /// Key.
    pub key: String,
    /// Value; may be empty.
    pub value: String,
}

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
         UNION ALL SELECT id FROM vswitch UNION ALL SELECT id FROM ram_role \
         UNION ALL SELECT 'ram-policy-' || seq FROM ram_policy)",
)];

impl Snapshot<'_> {
    /// A resource's tags, by key.
    ///
    /// # Errors
    /// A database error.
    pub fn tags_of(&self, resource: &str) -> Answer<Vec<TagRow>> {
        self.all(
            "SELECT resource, key, value FROM tag WHERE resource = ?1 ORDER BY key",
            params![resource],
            tag,
        )
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
            search.values.push(Value::Text(resource.into()));
            search.values.push(Value::Text(key.into()));
            let place = search.values.len();
            search.raw(&format!("(resource, key) > (?{}, ?{place})", place - 1));
        }
        let sql = format!(
            "SELECT resource, key, value FROM tag WHERE {} ORDER BY resource, key LIMIT {limit}",
            search.clause()
        );
        self.all(&sql, params_from_iter(&search.values), tag)
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
        self.execute(
            "INSERT INTO tag (resource, key, value, kind, account, region) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (resource, key) DO UPDATE SET value = excluded.value",
            params![resource, key, value, kind, account.as_str(), region],
        )
    }

    /// Removes a tag, or all of a resource's tags.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_tags(&self, resource: &str, key: Option<&str>) -> Done {
        self.execute(
            "DELETE FROM tag WHERE resource = ?1 AND (?2 IS NULL OR key = ?2)",
            params![resource, key],
        )
    }
}

fn tag(row: &Row<'_>) -> rusqlite::Result<TagRow> {
    Ok(TagRow { resource: row.get(0)?, key: row.get(1)?, value: row.get(2)? })
}
