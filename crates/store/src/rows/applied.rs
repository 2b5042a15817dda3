//! What the data plane has.

use super::{Answer, Done, Relation};
use crate::{Snapshot, Tx};

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[
    (
        "what the data plane has is what is bound",
        "SELECT g.id FROM vpn_gateway g JOIN applied a ON a.resource = g.id \
         WHERE g.applied = g.intended AND g.applied > 0 AND g.phase = 'live' \
         AND g.id NOT IN (SELECT resource FROM fault WHERE outcome = 'diverged') \
         AND (a.generation <> g.applied OR (SELECT coalesce(string_agg(key || value, ' '), '') \
         FROM (SELECT key, value FROM json_each(a.document, '$.certificates') ORDER BY key)) <> \
         (SELECT coalesce(string_agg(role || certificate, ' '), '') \
         FROM (SELECT role, certificate FROM binding WHERE gateway = g.id ORDER BY role)))",
    ),
    (
        "a gateway that was built has a record of what the data plane has",
        "SELECT id FROM vpn_gateway WHERE applied > 0 AND id NOT IN (SELECT resource FROM applied) \
         AND id NOT IN (SELECT resource FROM fault WHERE outcome = 'diverged')",
    ),
];

impl Snapshot<'_> {
    /// What the data plane has for a resource: generation and document.
    ///
    /// # Errors
    /// A database error.
    pub fn applied(&self, resource: &str) -> Answer<Option<(u64, String)>> {
        self.session.one("SELECT generation, document FROM applied WHERE resource = ?1", &binds![resource])
    }
}

impl Tx<'_> {
    /// Writes down what the data plane has.
    ///
    /// # Errors
    /// A database error.
    pub fn put_applied(&self, resource: &str, generation: u64, document: &str, now_ms: i64) -> Done {
        upsert!(self.session, "applied" { resource: resource } set {
            generation: generation,
            document: document,
            applied_ms: now_ms,
        })?;
        Ok(())
    }
}
