//! Customer gateways: the devices that connections lead to.

use std::collections::BTreeMap;

use tongguan_model::id::{AccountId, CustomerGatewayId, RegionId};

use super::batch::of_all;
use super::search::{Page, Search};
use super::{Answer, Done, Table as _};
use crate::{Snapshot, TagFilter, Tx};

/// A customer gateway as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerGatewayRow {
    /// Id, prefix `cgw-`.
    pub id: CustomerGatewayId,
    /// Owner.
    pub account: AccountId,
    /// Region.
    pub region: RegionId,
    /// Name; may be empty.
    pub name: String,
    /// Description; may be empty.
    pub description: String,
    /// IPv4 address of the device; no two of an account and region have the same one.
    pub ip: String,
    /// Number of its autonomous system, if one was given.
    pub asn: Option<u32>,
    /// Key of its BGP sessions, sealed, if one was given.
    pub sealed_auth_key: Option<Vec<u8>>,
    /// Resource group.
    pub resource_group: String,
    /// Creation, UNIX milliseconds.
    pub created_ms: i64,
}

table! {
    CustomerGatewayRow as row in "customer_gateway" {
        both { id, account, region, name, description, ip, asn, sealed_auth_key, resource_group, created_ms }
    }
}

/// Which customer gateways a list asks for; everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct CustomerGatewayFilter {
    /// Id.
    pub id: Option<String>,
    /// Resource group.
    pub resource_group: Option<String>,
    /// Tags.
    pub tags: Vec<TagFilter>,
}

impl CustomerGatewayFilter {
    fn search<'v>(&'v self, account: &'v AccountId, region: &'v str) -> Search<'v> {
        let mut search = Search::of(account, Some(region));
        search.equal("id", self.id.as_ref());
        search.equal("resource_group", self.resource_group.as_ref());
        search.tags("id", &self.tags);
        search
    }
}

impl Snapshot<'_> {
    /// The account's customer gateway of this id.
    ///
    /// # Errors
    /// A database error, as for every query below.
    pub fn customer_gateway(&self, account: &AccountId, id: &str) -> Answer<Option<CustomerGatewayRow>> {
        self.session.one(owned!(CustomerGatewayRow), &binds![id, account])
    }

    /// Many customer gateways of the account, in one query.
    ///
    /// # Errors
    /// A database error.
    pub fn customer_gateways_of_all(
        &self,
        account: &AccountId,
        ids: &[&CustomerGatewayId],
    ) -> Answer<BTreeMap<CustomerGatewayId, CustomerGatewayRow>> {
        let sql = (sql!(CustomerGatewayRow::SELECT, " WHERE +account = ?1 AND id IN"), "");
        let rows: Vec<CustomerGatewayRow> =
            of_all(self.session, sql, &binds![account], ids.iter().map(|id| id.as_str()))?;
        Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
    }

    /// Whether the account has a customer gateway of this address in a region.
    ///
    /// # Errors
    /// A database error.
    pub fn customer_address_taken(&self, account: &AccountId, region: &str, ip: &str) -> Answer<bool> {
        let sql = "SELECT count(*) FROM customer_gateway WHERE account = ?1 AND region = ?2 AND ip = ?3";
        Ok(self.number(sql, &binds![account, region, ip])? > 0)
    }

    /// A page of the account's customer gateways in a region, newest first.
    ///
    /// # Errors
    /// A database error.
    pub fn customer_gateways(
        &self,
        account: &AccountId,
        region: &str,
        filter: &CustomerGatewayFilter,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<CustomerGatewayRow>> {
        self.page(&filter.search(account, region), offset, limit)
    }
}

impl Tx<'_> {
    /// Stores a new customer gateway.
    ///
    /// # Errors
    /// A database error, also if another of the account and region has the address.
    pub fn insert_customer_gateway(&self, row: &CustomerGatewayRow) -> Done {
        insert(self.session, row)?;
        self.count("customer_gateway", &row.account, row.region.as_str(), 1)
    }

    /// Stores what may change on a customer gateway: name, description, key.
    ///
    /// # Errors
    /// A database error.
    pub fn update_customer_gateway(&self, row: &CustomerGatewayRow) -> Done {
        update!(self.session, "customer_gateway" {
            name: row.name,
            description: row.description,
            sealed_auth_key: row.sealed_auth_key,
        } where { id: row.id })?;
        Ok(())
    }

    /// Moves a customer gateway to a resource group.
    ///
    /// # Errors
    /// A database error.
    pub fn move_customer_gateway(&self, id: &CustomerGatewayId, group: &str) -> Done {
        update!(self.session, "customer_gateway" { resource_group: group } where { id: id })?;
        Ok(())
    }

    /// Removes a customer gateway with its tags.
    ///
    /// # Errors
    /// A database error, also if a connection leads to it.
    pub fn delete_customer_gateway(&self, row: &CustomerGatewayRow) -> Done {
        self.forget(row.id.as_str())?;
        self.execute("DELETE FROM customer_gateway WHERE id = ?1", &binds![row.id])?;
        self.count("customer_gateway", &row.account, row.region.as_str(), -1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Columns as _;
    use crate::rows::search::plan;

    #[test]
    fn lists_of_customer_gateways_go_by_account_and_region() {
        let account = AccountId::new("1234567890123456");
        let text = Some("a".to_owned());
        let none = CustomerGatewayFilter::default;
        for (filter, index) in [
            (none(), "customer_gateway_page"),
            (CustomerGatewayFilter { resource_group: text.clone(), ..none() }, "customer_gateway_page"),
            (CustomerGatewayFilter { id: text, ..none() }, "sqlite_autoindex_customer_gateway_1"),
        ] {
            let search = filter.search(&account, "cn-hangzhou");
            let page = search.statement((CustomerGatewayRow::COLUMNS, CustomerGatewayRow::NAME), 0, 50);
            assert_eq!(plan(&page), (vec![index.to_owned()], false), "{page}");
        }
    }
}
