//! VPN gateways.

use rusqlite::{Row, params};
use tongguan_model::gateway::{BusinessStatus, ChargeType, NetworkType, Phase, Status, VpnGateway, VpnType};
use tongguan_model::id::{AccountId, RegionId, VSwitchId, VpcId, VpnGatewayId};

use super::search::{Page, Search};
use super::{Answer, Done, Relation, word};
use crate::{Snapshot, TagFilter, Tx};

pub(crate) const GATEWAY_COLUMNS: &str = columns!(GATEWAY);

/// A gateway as it is stored.
pub type GatewayRow = VpnGateway;

/// Which gateways a list asks for; everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct GatewayFilter {
    /// Id.
    pub id: Option<String>,
    /// VPC.
    pub vpc: Option<String>,
    /// Status.
    pub status: Option<Status>,
    /// Business status.
    pub business_status: Option<BusinessStatus>,
    /// Resource group.
    pub resource_group: Option<String>,
    /// Tags.
    pub tags: Vec<TagFilter>,
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "a gateway that is not settled has an intent of its generation, and no other has one",
    "SELECT g.id FROM vpn_gateway g LEFT JOIN intent i ON i.resource = g.id \
         WHERE g.phase <> 'unpaid' AND ((g.applied < g.intended) <> (i.resource IS NOT NULL) \
         OR (i.resource IS NOT NULL AND i.generation <> g.intended))",
)];

impl Snapshot<'_> {
    /// The account's gateway of this id.
    ///
    /// # Errors
    /// A database error, as for every question below.
    pub fn gateway(&self, account: &AccountId, id: &str) -> Answer<Option<VpnGateway>> {
        let sql = concat_columns!("SELECT ", GATEWAY, " FROM vpn_gateway WHERE id = ?1 AND account = ?2");
        self.own(sql, account, id, gateway)
    }

    /// The gateway of this id, whoever owns it: for the engine.
    ///
    /// # Errors
    /// A database error.
    pub fn gateway_of_any_account(&self, id: &str) -> Answer<Option<VpnGateway>> {
        self.one(concat_columns!("SELECT ", GATEWAY, " FROM vpn_gateway WHERE id = ?1"), id, gateway)
    }

    /// A page of the account's gateways in a region, newest first.
    ///
    /// # Errors
    /// A database error.
    pub fn gateways(
        &self,
        account: &AccountId,
        region: &str,
        filter: &GatewayFilter,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<VpnGateway>> {
        let mut search = Search::of(account, Some(region));
        search.equal("id", filter.id.as_deref());
        search.equal("vpc", filter.vpc.as_deref());
        search.equal("business_status", filter.business_status.map(BusinessStatus::as_str));
        search.equal("resource_group", filter.resource_group.as_deref());
        search.tags("id", &filter.tags);
        if let Some(status) = filter.status {
            search.raw(match status {
                Status::Init => "phase = 'unpaid'",
                Status::Provisioning => "phase = 'live' AND applied = 0",
                Status::Updating => "phase = 'live' AND applied > 0 AND applied < intended",
                Status::Active => "phase = 'live' AND applied > 0 AND applied = intended",
                Status::Deleting => "phase = 'deleting'",
            });
        }
        self.page("vpn_gateway", columns!(GATEWAY), &search, offset, limit, gateway)
    }

    /// How many gateways stand in a VPC.
    ///
    /// # Errors
    /// A database error.
    pub fn gateways_in_vpc(&self, vpc: &VpcId) -> Answer<u64> {
        self.number("SELECT count(*) FROM vpn_gateway WHERE vpc = ?1", params![vpc.as_str()])
    }

    /// How many gateways stand in a vSwitch.
    ///
    /// # Errors
    /// A database error.
    pub fn gateways_in_vswitch(&self, vswitch: &VSwitchId) -> Answer<u64> {
        self.number(
            "SELECT (SELECT count(*) FROM vpn_gateway WHERE vswitch = ?1) \
             + (SELECT count(*) FROM vpn_gateway WHERE dr_vswitch = ?1)",
            params![vswitch.as_str()],
        )
    }
}

impl Tx<'_> {
    /// Stores a new gateway.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_gateway(&self, gateway: &VpnGateway) -> Done {
        self.execute(
            "INSERT INTO vpn_gateway (id, account, region, name, description, vpc, vswitch, dr_vswitch, bandwidth, \
             network_type, vpn_type, ipsec, ssl, ssl_connections, charge_type, auto_propagate, resource_group, \
             internet_ip, dr_ip, order_id, created_ms, end_ms, business_status, phase, intended, applied) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
             ?22, ?23, ?24, ?25, ?26)",
            params![
                gateway.id.as_str(),
                gateway.account.as_str(),
                gateway.region.as_str(),
                gateway.name,
                gateway.description,
                gateway.vpc.as_str(),
                gateway.vswitch.as_ref().map(VSwitchId::as_str),
                gateway.disaster_recovery_vswitch.as_ref().map(VSwitchId::as_str),
                gateway.bandwidth,
                gateway.network_type.as_str(),
                gateway.vpn_type.as_str(),
                gateway.ipsec,
                gateway.ssl,
                gateway.ssl_connections,
                gateway.charge_type.as_str(),
                gateway.auto_propagate,
                gateway.resource_group,
                gateway.internet_ip,
                gateway.disaster_recovery_ip,
                gateway.order_id,
                gateway.created_ms,
                gateway.end_ms,
                gateway.business_status.as_str(),
                gateway.phase.as_str(),
                gateway.intended.cast_signed(),
                gateway.applied.cast_signed()
            ],
        )?;
        self.count("vpn_gateway", &gateway.account, gateway.region.as_str(), 1)
    }

    /// Stores what may change on a gateway: name, description, route propagation, phase, generations.
    ///
    /// # Errors
    /// A database error.
    pub fn update_gateway(&self, gateway: &VpnGateway) -> Done {
        self.execute(
            "UPDATE vpn_gateway SET name = ?2, description = ?3, auto_propagate = ?4, phase = ?5, intended = ?6, \
             applied = ?7 WHERE id = ?1",
            params![
                gateway.id.as_str(),
                gateway.name,
                gateway.description,
                gateway.auto_propagate,
                gateway.phase.as_str(),
                gateway.intended.cast_signed(),
                gateway.applied.cast_signed()
            ],
        )
    }

    /// Moves a gateway to a resource group.
    ///
    /// # Errors
    /// A database error.
    pub fn move_gateway(&self, id: &VpnGatewayId, group: &str) -> Done {
        self.execute("UPDATE vpn_gateway SET resource_group = ?2 WHERE id = ?1", params![id.as_str(), group])
    }

    /// Stores a gateway's generations alone.
    ///
    /// # Errors
    /// A database error.
    pub fn update_generations(&self, id: &VpnGatewayId, intended: u64, applied: u64) -> Done {
        self.execute(
            "UPDATE vpn_gateway SET intended = ?2, applied = ?3 WHERE id = ?1",
            params![id.as_str(), intended.cast_signed(), applied.cast_signed()],
        )
    }

    /// Writes down which of a gateway's bound certificates are out of service.
    ///
    /// # Errors
    /// A database error.
    pub fn refresh_certificate_alert(&self, id: &VpnGatewayId) -> Done {
        self.execute(
            "UPDATE vpn_gateway SET certificate_alert = (SELECT group_concat(b.role || ' ' || c.id || ' ' || c.status, \
             ', ') FROM binding b JOIN certificate c ON c.id = b.certificate \
             WHERE b.gateway = vpn_gateway.id AND c.status <> 'ACTIVE') WHERE id = ?1",
            params![id.as_str()],
        )
    }

    /// Removes a gateway with its bindings, addresses, tags and intent.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_gateway(&self, gateway: &VpnGateway) -> Done {
        for binding in self.bindings_of(&gateway.id)? {
            self.delete_binding(gateway, &binding)?;
        }
        self.execute("DELETE FROM address WHERE gateway = ?1", params![gateway.id.as_str()])?;
        self.forget(gateway.id.as_str())?;
        self.execute("DELETE FROM vpn_gateway WHERE id = ?1", params![gateway.id.as_str()])?;
        self.count("vpn_gateway", &gateway.account, gateway.region.as_str(), -1)
    }
}

pub(crate) fn gateway(row: &Row<'_>) -> rusqlite::Result<VpnGateway> {
    Ok(VpnGateway {
        id: VpnGatewayId::new(row.get::<_, String>(0)?),
        account: AccountId::new(row.get::<_, String>(1)?),
        region: RegionId::new(row.get::<_, String>(2)?),
        name: row.get(3)?,
        description: row.get(4)?,
        vpc: VpcId::new(row.get::<_, String>(5)?),
        vswitch: row.get::<_, Option<String>>(6)?.map(VSwitchId::new),
        disaster_recovery_vswitch: row.get::<_, Option<String>>(7)?.map(VSwitchId::new),
        bandwidth: row.get(8)?,
        network_type: word(row, 9, NetworkType::parse)?,
        vpn_type: word(row, 10, VpnType::parse)?,
        ipsec: row.get(11)?,
        ssl: row.get(12)?,
        ssl_connections: row.get(13)?,
        charge_type: word(row, 14, ChargeType::parse)?,
        auto_propagate: row.get(15)?,
        resource_group: row.get(16)?,
        internet_ip: row.get(17)?,
        disaster_recovery_ip: row.get(18)?,
        order_id: row.get(19)?,
        created_ms: row.get(20)?,
        end_ms: row.get(21)?,
        business_status: word(row, 22, BusinessStatus::parse)?,
        phase: word(row, 23, Phase::parse)?,
        intended: row.get::<_, i64>(24)?.cast_unsigned(),
        applied: row.get::<_, i64>(25)?.cast_unsigned(),
        certificate_alert: row.get(26)?,
    })
}
