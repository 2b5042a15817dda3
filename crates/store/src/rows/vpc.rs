//! VPCs.

use std::collections::BTreeMap;

use tongguan_model::id::{AccountId, VpcId};
use tongguan_model::network::Vpc;

use super::batch::of_all;
use super::search::{Page, Search};
use super::{Answer, Done, Relation, Table as _};
use crate::{Snapshot, TagFilter, Tx};

/// A VPC as it is stored.
pub type VpcRow = Vpc;

table! {
    Vpc as vpc in "vpc" {
        both {
            id, account, region, name, description, cidr, user_cidrs, dns_hostname, secondary_cidrs, is_default,
            classic_link, vrouter, route_table, route_table_name, route_table_description, route_propagation,
            resource_group, created_ms, ready,
        }
    }
}

/// Which VPCs or vSwitches a query selects; every condition that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct NetworkFilter {
    /// Region; none means every region.
    pub region: Option<String>,
    /// Ids; empty means all.
    pub ids: Vec<String>,
    /// Name.
    pub name: Option<String>,
    /// VPC (vSwitches only).
    pub vpc: Option<String>,
    /// Zone (vSwitches only).
    pub zone: Option<String>,
    /// Resource group.
    pub resource_group: Option<String>,
    /// Route table.
    pub route_table: Option<String>,
    /// vRouter (VPCs only).
    pub router: Option<String>,
    /// Name of the route table (VPCs only).
    pub route_table_name: Option<String>,
    /// Whether it is a default one.
    pub is_default: Option<bool>,
    /// Tags.
    pub tags: Vec<TagFilter>,
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[
    (
        "a VPC or vSwitch that is not ready has an intent",
        "SELECT id FROM (SELECT id FROM vpc WHERE NOT ready UNION ALL SELECT id FROM vswitch WHERE NOT ready) \
         WHERE id NOT IN (SELECT resource FROM intent)",
    ),
    (
        "a default vSwitch is in a default VPC",
        "SELECT s.id FROM vswitch s JOIN vpc v ON v.id = s.vpc WHERE s.is_default AND NOT v.is_default",
    ),
];

impl Snapshot<'_> {
    /// The account's VPC of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn vpc(&self, account: &AccountId, id: &str) -> Answer<Option<Vpc>> {
        self.session.one(owned!(Vpc), &binds![id, account])
    }

    /// The system route tables of many VPCs of the account, in one query.
    ///
    /// # Errors
    /// A database error.
    pub fn route_tables_of_all(
        &self,
        account: &AccountId,
        vpcs: &[&VpcId],
    ) -> Answer<BTreeMap<VpcId, String>> {
        let sql = ("SELECT id, route_table FROM vpc WHERE +account = ?1 AND id IN", "");
        let rows: Vec<(VpcId, String)> =
            of_all(self.session, sql, &binds![account], vpcs.iter().map(|id| id.as_str()))?;
        Ok(rows.into_iter().collect())
    }

    /// A page of the account's VPCs, newest first.
    ///
    /// # Errors
    /// A database error.
    pub fn vpcs(
        &self,
        account: &AccountId,
        filter: &NetworkFilter,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<Vpc>> {
        let mut search = Search::of(account, filter.region.as_deref());
        search.any("id", &filter.ids);
        search.equal("name", filter.name.as_ref());
        search.equal("resource_group", filter.resource_group.as_ref());
        search.equal("route_table", filter.route_table.as_ref());
        search.equal("vrouter", filter.router.as_ref());
        search.equal("route_table_name", filter.route_table_name.as_ref());
        search.equal("is_default", filter.is_default.as_ref());
        search.tags("id", &filter.tags);
        self.page(&search, offset, limit)
    }
}

impl Snapshot<'_> {
    /// The account's VPC with this system route table.
    ///
    /// # Errors
    /// A database error.
    pub fn vpc_of_route_table(&self, account: &AccountId, table: &str) -> Answer<Option<Vpc>> {
        self.session
            .one(sql!(Vpc::SELECT, " WHERE account = ?1 AND route_table = ?2"), &binds![account, table])
    }

    /// The account's default VPC in a region.
    ///
    /// # Errors
    /// A database error.
    pub fn default_vpc(&self, account: &AccountId, region: &str) -> Answer<Option<Vpc>> {
        let sql = sql!(Vpc::SELECT, " WHERE account = ?1 AND region = ?2 AND is_default");
        self.session.one(sql, &binds![account, region])
    }
}

impl Tx<'_> {
    /// Stores a new VPC.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_vpc(&self, vpc: &Vpc) -> Done {
        insert(self.session, vpc)?;
        self.count("vpc", &vpc.account, vpc.region.as_str(), 1)
    }

    /// Removes a VPC and all that hangs on its id.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_vpc(&self, vpc: &Vpc) -> Done {
        self.forget(vpc.id.as_str())?;
        self.execute("DELETE FROM vpc WHERE id = ?1", &binds![vpc.id])?;
        self.count("vpc", &vpc.account, vpc.region.as_str(), -1)
    }

    /// Marks a VPC as built.
    ///
    /// # Errors
    /// A database error.
    pub fn vpc_ready(&self, id: &VpcId) -> Done {
        update!(self.session, "vpc" { ready: true } where { id: id })?;
        Ok(())
    }

    /// Stores what may change on a VPC: name, description, blocks, DNS host names, ClassicLink, and what is said of its
    /// route table.
    ///
    /// # Errors
    /// A database error.
    pub fn update_vpc(&self, vpc: &Vpc) -> Done {
        update!(self.session, "vpc" {
            name: vpc.name,
            description: vpc.description,
            cidr: vpc.cidr,
            dns_hostname: vpc.dns_hostname,
            secondary_cidrs: vpc.secondary_cidrs,
            classic_link: vpc.classic_link,
            route_table_name: vpc.route_table_name,
            route_table_description: vpc.route_table_description,
            route_propagation: vpc.route_propagation,
        } where { id: vpc.id })?;
        Ok(())
    }

    /// Moves a VPC and its vSwitches to a resource group.
    ///
    /// # Errors
    /// A database error.
    pub fn move_vpc(&self, id: &VpcId, group: &str) -> Done {
        update!(self.session, "vpc" { resource_group: group } where { id: id })?;
        update!(self.session, "vswitch" { resource_group: group } where { vpc: id })?;
        Ok(())
    }
}
