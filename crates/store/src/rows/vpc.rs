//! VPCs.

use rusqlite::{Row, params};
use tongguan_model::id::{AccountId, RegionId, VpcId};
use tongguan_model::network::Vpc;

use super::search::{Page, Search};
use super::{Answer, Done, Relation};
use crate::{Snapshot, TagFilter, Tx};

pub(crate) const VPC_COLUMNS: &str = columns!(VPC);

/// A VPC as it is stored.
pub type VpcRow = Vpc;

/// Which VPCs or vSwitches a list asks for; everything given must hold.
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
    /// Tags.
    pub tags: Vec<TagFilter>,
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "a VPC or vSwitch that is not ready has an intent",
    "SELECT id FROM (SELECT id FROM vpc WHERE NOT ready UNION ALL SELECT id FROM vswitch WHERE NOT ready) \
         WHERE id NOT IN (SELECT resource FROM intent)",
)];

impl Snapshot<'_> {
    /// The account's VPC of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn vpc(&self, account: &AccountId, id: &str) -> Answer<Option<Vpc>> {
        let sql = concat_columns!("SELECT ", VPC, " FROM vpc WHERE id = ?1 AND account = ?2");
        self.own(sql, account, id, vpc)
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
        search.equal("name", filter.name.as_deref());
        search.equal("resource_group", filter.resource_group.as_deref());
        search.equal("route_table", filter.route_table.as_deref());
        search.equal("vrouter", filter.router.as_deref());
        search.tags("id", &filter.tags);
        self.page("vpc", columns!(VPC), &search, offset, limit, vpc)
    }
}

impl Tx<'_> {
    /// Stores a new VPC.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_vpc(&self, vpc: &Vpc) -> Done {
        self.execute(
            "INSERT INTO vpc (id, account, region, name, description, cidr, user_cidrs, dns_hostname, vrouter, \
             route_table, resource_group, created_ms, ready) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                vpc.id.as_str(),
                vpc.account.as_str(),
                vpc.region.as_str(),
                vpc.name,
                vpc.description,
                vpc.cidr,
                vpc.user_cidrs,
                vpc.dns_hostname,
                vpc.vrouter,
                vpc.route_table,
                vpc.resource_group,
                vpc.created_ms,
                vpc.ready
            ],
        )?;
        self.count("vpc", &vpc.account, vpc.region.as_str(), 1)
    }

    /// Removes a VPC and all that hangs on its id.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_vpc(&self, vpc: &Vpc) -> Done {
        self.forget(vpc.id.as_str())?;
        self.execute("DELETE FROM vpc WHERE id = ?1", params![vpc.id.as_str()])?;
        self.count("vpc", &vpc.account, vpc.region.as_str(), -1)
    }

    /// Marks a VPC as built.
    ///
    /// # Errors
    /// A database error.
    pub fn vpc_ready(&self, id: &VpcId) -> Done {
        self.execute("UPDATE vpc SET ready = 1 WHERE id = ?1", params![id.as_str()])
    }

    /// Stores what may change on a VPC: name, description, block, DNS host names.
    ///
    /// # Errors
    /// A database error.
    pub fn update_vpc(&self, vpc: &Vpc) -> Done {
        self.execute(
            "UPDATE vpc SET name = ?2, description = ?3, cidr = ?4, dns_hostname = ?5 WHERE id = ?1",
            params![vpc.id.as_str(), vpc.name, vpc.description, vpc.cidr, vpc.dns_hostname],
        )
    }

    /// Moves a VPC and its vSwitches to a resource group.
    ///
    /// # Errors
    /// A database error.
    pub fn move_vpc(&self, id: &VpcId, group: &str) -> Done {
        self.execute("UPDATE vpc SET resource_group = ?2 WHERE id = ?1", params![id.as_str(), group])?;
        self.execute("UPDATE vswitch SET resource_group = ?2 WHERE vpc = ?1", params![id.as_str(), group])
    }
}

pub(crate) fn vpc(row: &Row<'_>) -> rusqlite::Result<Vpc> {
    Ok(Vpc {
        id: VpcId::new(row.get::<_, String>(0)?),
        account: AccountId::new(row.get::<_, String>(1)?),
        region: RegionId::new(row.get::<_, String>(2)?),
        name: row.get(3)?,
        description: row.get(4)?,
        cidr: row.get(5)?,
        user_cidrs: row.get(6)?,
        dns_hostname: row.get(7)?,
        vrouter: row.get(8)?,
        route_table: row.get(9)?,
        resource_group: row.get(10)?,
        created_ms: row.get(11)?,
        ready: row.get(12)?,
    })
}
