//! How many there are of a kind, so that totals and quotas cost the same however many there are.

use tongguan_model::id::AccountId;

use super::{Answer, Done, Relation};
use crate::{Snapshot, Tx};

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "the tallies are right",
    "SELECT kind || ' ' || account || ' ' || region FROM ( \
         SELECT kind, account, region, value FROM tally UNION ALL \
         SELECT 'vpn_gateway', account, region, -count(*) FROM vpn_gateway GROUP BY account, region UNION ALL \
         SELECT 'customer_gateway', account, region, -count(*) FROM customer_gateway GROUP BY account, region \
         UNION ALL \
         SELECT 'vpn_connection', account, region, -count(*) FROM vpn_connection GROUP BY account, region UNION ALL \
         SELECT 'vpn_attachment', account, region, -count(*) FROM vpn_connection WHERE gateway IS NULL \
         GROUP BY account, region UNION ALL \
         SELECT 'vpn_route_' || kind, account, coalesce(gateway, connection), -count(*) FROM vpn_route \
         GROUP BY kind, account, coalesce(gateway, connection) UNION ALL \
         SELECT 'vpc', account, region, -count(*) FROM vpc GROUP BY account, region UNION ALL \
         SELECT 'vswitch', account, region, -count(*) FROM vswitch GROUP BY account, region UNION ALL \
         SELECT 'ram_user', account, '', -count(*) FROM ram_user GROUP BY account UNION ALL \
         SELECT 'ram_group', account, '', -count(*) FROM ram_group GROUP BY account UNION ALL \
         SELECT 'resource_group', account, '', -count(*) FROM resource_group GROUP BY account UNION ALL \
         SELECT 'certificate', account, region, -count(*) FROM certificate WHERE upload IS NULL GROUP BY account, region \
         UNION ALL SELECT 'cas_certificate', account, '', -count(*) FROM cas_certificate GROUP BY account UNION ALL \
         SELECT 'cas_csr', account, '', -count(*) FROM cas_csr GROUP BY account UNION ALL \
         SELECT 'ram_role', account, '', -count(*) FROM ram_role GROUP BY account UNION ALL \
         SELECT 'ram_policy', account, '', -count(*) FROM ram_policy GROUP BY account UNION ALL \
         SELECT 'client_token', account, '', -count(*) FROM client_token GROUP BY account UNION ALL \
         SELECT 'client_token_by', account, principal, -count(*) FROM client_token GROUP BY account, principal \
         UNION ALL \
         SELECT 'binding', account, region, -count(*) FROM binding WHERE state <> 'associating' \
         GROUP BY account, region) AS counted GROUP BY kind, account, region HAVING sum(value) <> 0",
)];

impl Snapshot<'_> {
    /// How many the account has of a kind in a region.
    ///
    /// # Errors
    /// A database error.
    pub fn tally(&self, kind: &str, account: &AccountId, region: &str) -> Answer<u64> {
        let sql = "SELECT value FROM tally WHERE kind = ?1 AND account = ?2 AND region = ?3";
        let value: Option<i64> = self.session.one(sql, &binds![kind, account, region])?;
        Ok(value.unwrap_or(0).max(0).cast_unsigned())
    }

    /// How many the account has of a kind in all regions.
    ///
    /// # Errors
    /// A database error.
    pub fn tally_everywhere(&self, kind: &str, account: &AccountId) -> Answer<u64> {
        let sql = "SELECT coalesce(sum(value), 0) FROM tally WHERE kind = ?1 AND account = ?2";
        self.number(sql, &binds![kind, account])
    }
}

impl Tx<'_> {
    pub(crate) fn count(&self, kind: &str, account: &AccountId, region: &str, by: i64) -> Done {
        insert!(
            self.session,
            "tally" { kind: kind, account: account, region: region, value: by }
            "ON CONFLICT (kind, account, region) DO UPDATE SET value = tally.value + excluded.value"
        )?;
        Ok(())
    }
}
