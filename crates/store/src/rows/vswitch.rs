//! vSwitches.

use std::collections::BTreeMap;

use tongguan_model::id::{AccountId, VSwitchId, VpcId};
use tongguan_model::network::VSwitch;

use super::batch::{by_owner, of_all};
use super::search::{Page, Search};
use super::vpc::NetworkFilter;
use super::{Answer, Done, Table as _};
use crate::{Snapshot, Tx};

/// A vSwitch as it is stored.
pub type VSwitchRow = VSwitch;

table! {
    VSwitch as vswitch in "vswitch" {
        both { id, account, region, vpc, zone, name, description, cidr, is_default, resource_group, created_ms, ready }
    }
}

impl Snapshot<'_> {
    /// The account's vSwitch of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn vswitch(&self, account: &AccountId, id: &str) -> Answer<Option<VSwitch>> {
        self.session.one(owned!(VSwitch), &binds![id, account])
    }

    /// The zones of many vSwitches of the account, in one query.
    ///
    /// # Errors
    /// A database error.
    pub fn zones_of_all(
        &self,
        account: &AccountId,
        vswitches: &[&VSwitchId],
    ) -> Answer<BTreeMap<VSwitchId, String>> {
        let sql = ("SELECT id, zone FROM vswitch WHERE +account = ?1 AND id IN", "");
        let rows: Vec<(VSwitchId, String)> =
            of_all(self.session, sql, &binds![account], vswitches.iter().map(|id| id.as_str()))?;
        Ok(rows.into_iter().collect())
    }

    /// A page of the account's vSwitches, newest first.
    ///
    /// # Errors
    /// A database error.
    pub fn vswitches(
        &self,
        account: &AccountId,
        filter: &NetworkFilter,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<VSwitch>> {
        let mut search = Search::of(account, filter.region.as_deref());
        search.any("id", &filter.ids);
        search.equal("name", filter.name.as_ref());
        search.equal("vpc", filter.vpc.as_ref());
        search.equal("zone", filter.zone.as_ref());
        search.equal("resource_group", filter.resource_group.as_ref());
        search.equal("is_default", filter.is_default.as_ref());
        if let Some(table) = &filter.route_table {
            let place = search.value(table);
            search.raw(&format!("vpc IN (SELECT id FROM vpc WHERE route_table = ?{place})"));
        }
        search.tags("id", &filter.tags);
        self.page(&search, offset, limit)
    }

    /// The vSwitches of a VPC, oldest first.
    ///
    /// # Errors
    /// A database error.
    pub fn vswitches_in(&self, vpc: &VpcId) -> Answer<Vec<VSwitch>> {
        self.session.all(sql!(VSwitch::SELECT, " WHERE vpc = ?1 ORDER BY seq"), &binds![vpc])
    }

    /// The vSwitches of many VPCs, in one query: those of each oldest first. VPCs without any are left out.
    ///
    /// # Errors
    /// A database error.
    pub fn vswitches_in_all(&self, vpcs: &[&VpcId]) -> Answer<BTreeMap<VpcId, Vec<VSwitch>>> {
        let before = sql!(VSwitch::SELECT, " WHERE vpc IN");
        let rows: Vec<VSwitch> =
            of_all(self.session, (before, "ORDER BY vpc, seq"), &[], vpcs.iter().map(|id| id.as_str()))?;
        Ok(by_owner(rows.into_iter().map(|vswitch| (vswitch.vpc.clone(), vswitch))))
    }

    /// The default vSwitch of a zone in the account.
    ///
    /// # Errors
    /// A database error.
    pub fn default_vswitch(&self, account: &AccountId, zone: &str) -> Answer<Option<VSwitch>> {
        let sql = sql!(VSwitch::SELECT, " WHERE account = ?1 AND zone = ?2 AND is_default");
        self.session.one(sql, &binds![account, zone])
    }

    /// The ids of the vSwitches of many VPCs, in one query: those of each oldest first. VPCs without any are left out.
    ///
    /// # Errors
    /// A database error.
    pub fn vswitches_of_all(&self, vpcs: &[&VpcId]) -> Answer<BTreeMap<VpcId, Vec<VSwitchId>>> {
        let sql = ("SELECT vpc, id FROM vswitch WHERE vpc IN", "ORDER BY vpc, seq");
        Ok(by_owner(of_all::<(VpcId, VSwitchId)>(self.session, sql, &[], vpcs.iter().map(|id| id.as_str()))?))
    }
}

impl Tx<'_> {
    /// Stores a new vSwitch.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_vswitch(&self, vswitch: &VSwitch) -> Done {
        insert(self.session, vswitch)?;
        self.count("vswitch", &vswitch.account, vswitch.region.as_str(), 1)
    }

    /// Removes a vSwitch and all that hangs on its id.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_vswitch(&self, vswitch: &VSwitch) -> Done {
        self.forget(vswitch.id.as_str())?;
        self.execute("DELETE FROM vswitch WHERE id = ?1", &binds![vswitch.id])?;
        self.count("vswitch", &vswitch.account, vswitch.region.as_str(), -1)
    }

    /// Marks a vSwitch as built.
    ///
    /// # Errors
    /// A database error.
    pub fn vswitch_ready(&self, id: &VSwitchId) -> Done {
        update!(self.session, "vswitch" { ready: true } where { id: id })?;
        Ok(())
    }

    /// Stores what may change on a vSwitch: name and description.
    ///
    /// # Errors
    /// A database error.
    pub fn update_vswitch(&self, vswitch: &VSwitch) -> Done {
        let VSwitch { name, description, .. } = vswitch;
        update!(self.session, "vswitch" { name: name, description: description } where { id: vswitch.id })?;
        Ok(())
    }
}
