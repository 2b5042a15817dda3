//! vSwitches.

use rusqlite::types::Value;
use rusqlite::{Row, params};
use tongguan_model::id::{AccountId, RegionId, VSwitchId, VpcId};
use tongguan_model::network::VSwitch;

use super::search::{Page, Search};
use super::vpc::NetworkFilter;
use super::{Answer, Done};
use crate::{Snapshot, Tx};

pub(crate) const VSWITCH_COLUMNS: &str = columns!(VSWITCH);

/// A vSwitch as it is stored.
pub type VSwitchRow = VSwitch;

impl Snapshot<'_> {
    /// The account's vSwitch of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn vswitch(&self, account: &AccountId, id: &str) -> Answer<Option<VSwitch>> {
        let sql = concat_columns!("SELECT ", VSWITCH, " FROM vswitch WHERE id = ?1 AND account = ?2");
        self.own(sql, account, id, vswitch)
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
        search.equal("name", filter.name.as_deref());
        search.equal("vpc", filter.vpc.as_deref());
        search.equal("zone", filter.zone.as_deref());
        search.equal("resource_group", filter.resource_group.as_deref());
        if let Some(table) = &filter.route_table {
            search.values.push(Value::Text(table.clone()));
            let place = search.values.len();
            search.raw(&format!("vpc IN (SELECT id FROM vpc WHERE route_table = ?{place})"));
        }
        search.tags("id", &filter.tags);
        self.page("vswitch", columns!(VSWITCH), &search, offset, limit, vswitch)
    }

    /// The vSwitches of a VPC, oldest first.
    ///
    /// # Errors
    /// A database error.
    pub fn vswitches_in(&self, vpc: &VpcId) -> Answer<Vec<VSwitch>> {
        self.all(
            concat_columns!("SELECT ", VSWITCH, " FROM vswitch WHERE vpc = ?1 ORDER BY seq"),
            params![vpc.as_str()],
            vswitch,
        )
    }
}

impl Tx<'_> {
    /// Stores a new vSwitch.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_vswitch(&self, vswitch: &VSwitch) -> Done {
        self.execute(
            "INSERT INTO vswitch (id, account, region, vpc, zone, name, description, cidr, resource_group, created_ms, \
             ready) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                vswitch.id.as_str(),
                vswitch.account.as_str(),
                vswitch.region.as_str(),
                vswitch.vpc.as_str(),
                vswitch.zone,
                vswitch.name,
                vswitch.description,
                vswitch.cidr,
                vswitch.resource_group,
                vswitch.created_ms,
                vswitch.ready
            ],
        )?;
        self.count("vswitch", &vswitch.account, vswitch.region.as_str(), 1)
    }

    /// Removes a vSwitch and all that hangs on its id.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_vswitch(&self, vswitch: &VSwitch) -> Done {
        self.forget(vswitch.id.as_str())?;
        self.execute("DELETE FROM vswitch WHERE id = ?1", params![vswitch.id.as_str()])?;
        self.count("vswitch", &vswitch.account, vswitch.region.as_str(), -1)
    }

    /// Marks a vSwitch as built.
    ///
    /// # Errors
    /// A database error.
    pub fn vswitch_ready(&self, id: &VSwitchId) -> Done {
        self.execute("UPDATE vswitch SET ready = 1 WHERE id = ?1", params![id.as_str()])
    }

    /// Stores what may change on a vSwitch: name and description.
    ///
    /// # Errors
    /// A database error.
    pub fn update_vswitch(&self, vswitch: &VSwitch) -> Done {
        self.execute(
            "UPDATE vswitch SET name = ?2, description = ?3 WHERE id = ?1",
            params![vswitch.id.as_str(), vswitch.name, vswitch.description],
        )
    }
}

pub(crate) fn vswitch(row: &Row<'_>) -> rusqlite::Result<VSwitch> {
    Ok(VSwitch {
        id: VSwitchId::new(row.get::<_, String>(0)?),
        account: AccountId::new(row.get::<_, String>(1)?),
        region: RegionId::new(row.get::<_, String>(2)?),
        vpc: VpcId::new(row.get::<_, String>(3)?),
        zone: row.get(4)?,
        name: row.get(5)?,
        description: row.get(6)?,
        cidr: row.get(7)?,
        resource_group: row.get(8)?,
        created_ms: row.get(9)?,
        ready: row.get(10)?,
    })
}
