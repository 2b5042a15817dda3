//! What an operator wants to see of the whole store at once: for metrics, not for callers.
//!
//! Five counts over whole tables. With 100,000 gateways they take some ten milliseconds (`overview_is_quick`
//! measures it), so the result should be cached for a while.

use super::table::Columns as _;
use crate::{Node, Snapshot, StoreError};

/// Upper bounds of the expiry buckets, in days; a certificate is counted in the first that fits.
pub const EXPIRY_DAYS: [i64; 4] = [1, 7, 30, 90];

/// The state of the whole store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// Gateways by status.
    pub gateways: GatewayCounts,
    /// Changes that are wanted and not applied.
    pub intents: u64,
    /// How long the oldest of them has waited, milliseconds; 0 if there is none.
    pub oldest_intent_ms: u64,
    /// Those of them of which a try has failed.
    pub intents_failing: u64,
    /// Changes that could not be applied, by what became of them.
    pub faults: FaultCounts,
    /// Issued certificates by time to their expiry.
    pub certificates: CertificateCounts,
    /// What this process has, where others share the store.
    pub claims: Option<ClaimCounts>,
}

/// What one process of several has to itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClaimCounts {
    /// Changes that it works on.
    pub intents: u64,
    /// Other work that one process does at a time.
    pub leases: u64,
}

/// Changes that could not be applied (see [`crate::FaultOutcome`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Tried on, without end.
    pub retrying: u64,
    /// What was applied before is being brought back.
    pub withdrawing: u64,
    /// What was applied before is in force again.
    pub withdrawn: u64,
    /// Bringing it back failed too.
    pub diverged: u64,
}

/// Gateways by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GatewayCounts {
    /// Ordered and not paid.
    pub init: u64,
    /// Being made.
    pub provisioning: u64,
    /// A change is under way.
    pub updating: u64,
    /// Settled.
    pub active: u64,
    /// Being deleted.
    pub deleting: u64,
}

/// Issued certificates by time to their expiry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CertificateCounts {
    /// Expired.
    pub expired: u64,
    /// Within each of [`EXPIRY_DAYS`].
    pub within: [u64; EXPIRY_DAYS.len()],
    /// Later than that.
    pub later: u64,
}

columns! {
    GatewayCounts {
        init = "count(*) FILTER (WHERE phase = 'unpaid')",
        provisioning = "count(*) FILTER (WHERE phase = 'live' AND applied = 0)",
        updating = "count(*) FILTER (WHERE phase = 'live' AND applied > 0 AND applied < intended)",
        active = "count(*) FILTER (WHERE phase = 'live' AND applied > 0 AND applied = intended)",
        deleting = "count(*) FILTER (WHERE phase = 'deleting')",
    }
}

columns! {
    FaultCounts {
        retrying = "count(*) FILTER (WHERE outcome = 'retrying')",
        withdrawing = "count(*) FILTER (WHERE outcome = 'withdrawing')",
        withdrawn = "count(*) FILTER (WHERE outcome = 'withdrawn')",
        diverged = "count(*) FILTER (WHERE outcome = 'diverged')",
    }
}

impl Snapshot<'_> {
    /// The state of the whole store at `now_ms`, UNIX milliseconds.
    ///
    /// # Errors
    /// A database error.
    pub fn overview(&self, now_ms: i64) -> Result<Overview, StoreError> {
        let (intents, oldest_intent_ms, intents_failing) = self.session.only(
            "SELECT count(*), coalesce(CASE WHEN min(since_ms) < ?1 THEN ?1 - min(since_ms) END, 0), \
             count(*) FILTER (WHERE last_error IS NOT NULL) FROM intent",
            &binds![now_ms],
        )?;
        let gateways = sql!("SELECT ", GatewayCounts::COLUMNS, " FROM vpn_gateway");
        let faults = sql!("SELECT ", FaultCounts::COLUMNS, " FROM fault");
        Ok(Overview {
            gateways: self.session.only(gateways, &[])?,
            intents,
            oldest_intent_ms,
            intents_failing,
            faults: self.session.only(faults, &[])?,
            certificates: self.certificates_by_expiry(now_ms.div_euclid(1000))?,
            claims: self.node().filter(|node| node.shares()).map(|node| self.claims(node)).transpose()?,
        })
    }

    fn claims(&self, node: &Node) -> Result<ClaimCounts, StoreError> {
        let sql = "SELECT (SELECT count(*) FROM intent WHERE owner = ?1), \
                   (SELECT count(*) FROM lease WHERE owner = ?1 AND until > 0)";
        let (intents, leases) = self.session.only(sql, &binds![node.id()])?;
        Ok(ClaimCounts { intents, leases })
    }

    fn certificates_by_expiry(&self, now: i64) -> Result<CertificateCounts, StoreError> {
        const DAY: i64 = 86_400;
        let [one, two, three, four] = EXPIRY_DAYS.map(|days| now.saturating_add(days * DAY));
        // `not_after` is the last second of validity.
        let sql = "SELECT count(*) FILTER (WHERE not_after < ?1), \
                   count(*) FILTER (WHERE not_after >= ?1 AND not_after < ?2), \
                   count(*) FILTER (WHERE not_after >= ?2 AND not_after < ?3), \
                   count(*) FILTER (WHERE not_after >= ?3 AND not_after < ?4), \
                   count(*) FILTER (WHERE not_after >= ?4 AND not_after < ?5), \
                   count(*) FILTER (WHERE not_after >= ?5) FROM certificate";
        let (expired, one_day, week, month, quarter, later) =
            self.session.only(sql, &binds![now, one, two, three, four])?;
        Ok(CertificateCounts { expired, within: [one_day, week, month, quarter], later })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rusqlite::Connection;

    use super::*;
    use crate::{DATABASE_FILE, Options, Store};

    const NOW: i64 = 1_800_000_000;

    /// A store with what this SQL makes; rules and tallies do not matter here.
    fn store(sql: &str) -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        drop(Store::open(directory.path(), &Options::default()).unwrap());
        let connection = Connection::open(directory.path().join(DATABASE_FILE)).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF; BEGIN").unwrap();
        connection.execute_batch(sql).unwrap();
        connection.execute_batch("COMMIT").unwrap();
        drop(connection);
        let store = Store::open(directory.path(), &Options::default()).unwrap();
        (directory, store)
    }

    fn numbers(many: u32) -> String {
        format!("WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {many}) ")
    }

    fn gateways(many: u32, phase: &str, intended: i64, applied: i64) -> String {
        format!(
            "INSERT INTO vpn_gateway (id, account, region, name, description, vpc, bandwidth, network_type, vpn_type, \
             ipsec, ssl, ssl_connections, charge_type, auto_propagate, resource_group, internet_ip, order_id, \
             created_ms, end_ms, business_status, phase, intended, applied) {} \
             SELECT '{phase}{intended}{applied}' || n, '1234567890123456', 'cn-hangzhou', 'name', 'description', \
             'vpc-bp1aaaaaaaaaaaaaaaaaa', 10, 'public', 'NationalStandard', 1, 0, 5, 'POSTPAY', 0, \
             'rg-acfmaaaaaaaaaaa', '198.18.0.1', n, 0, 0, 'Normal', '{phase}', {intended}, {applied} FROM n;",
            numbers(many)
        )
    }

    fn certificates(many: u32, not_after: &str) -> String {
        format!(
            "INSERT INTO certificate (id, account, region, key_spec, status, exportable, subject, dns_names, csr, \
             public_key, sealed_private_key, created_ms, updated_ms, certificate, chain, not_after) {} \
             SELECT 'c' || n || '{not_after}', '1234567890123456', 'cn-hangzhou', 'EC_SM2', 'ACTIVE', 0, 'CN=a', '[]', \
             hex(zeroblob(300)), hex(zeroblob(90)), zeroblob(200), 0, 0, hex(zeroblob(450)), hex(zeroblob(900)), \
             {not_after} FROM n;",
            numbers(many)
        )
    }

    #[test]
    fn an_overview_counts_everything_once() {
        let day = 86_400;
        let mut sql = String::new();
        for (many, phase, intended, applied) in [
            (1, "unpaid", 1, 0),
            (2, "live", 1, 0),
            (3, "live", 2, 1),
            (4, "live", 2, 2),
            (5, "deleting", 3, 2),
        ] {
            sql += &gateways(many, phase, intended, applied);
        }
        for after in [-1, 0, day - 1, day, 8 * day, 31 * day, 90 * day] {
            sql += &certificates(1, &(NOW + after).to_string());
        }
        sql += &certificates(1, "NULL");
        sql += "INSERT INTO intent (resource, kind, generation, change, since_ms, due_ms, attempts, last_error) \
                VALUES ('a', 'gateway', 1, 'create', 1799999990000, 0, 0, NULL), \
                ('b', 'gateway', 1, 'create', 1799999995000, 0, 3, 'no route');";
        let (_directory, store) = store(&sql);
        let overview = store.read(|snapshot| snapshot.overview(NOW * 1000)).unwrap();
        let expected = Overview {
            claims: None,
            faults: FaultCounts::default(),
            gateways: GatewayCounts { init: 1, provisioning: 2, updating: 3, active: 4, deleting: 5 },
            intents: 2,
            oldest_intent_ms: 10_000,
            intents_failing: 1,
            certificates: CertificateCounts { expired: 1, within: [2, 1, 1, 1], later: 1 },
        };
        assert_eq!(overview, expected);
        // A clock that was set back gives no negative age.
        let earlier = store.read(|snapshot| snapshot.overview(0)).unwrap();
        assert_eq!(earlier.oldest_intent_ms, 0);
    }

    #[test]
    fn an_empty_store_has_an_overview() {
        let (_directory, store) = store("");
        assert_eq!(store.read(|snapshot| snapshot.overview(0)).unwrap(), Overview::default());
    }

    #[test]
    fn overview_is_quick() {
        let sql = gateways(100_000, "live", 2, 2) + &certificates(20_000, "1800000000");
        let (_directory, store) = store(&sql);
        for _ in 0..3 {
            let begun = Instant::now();
            let overview = store.read(|snapshot| snapshot.overview(NOW * 1000)).unwrap();
            let took = begun.elapsed();
            println!("overview of 100,000 gateways and 20,000 certificates: {took:?}");
            assert_eq!(overview.gateways.active, 100_000);
            assert!(took.as_secs() < 2, "{took:?}");
        }
    }
}
