//! VPN gateways.

use std::collections::BTreeMap;

use tongguan_model::gateway::{BusinessStatus, Phase, Status, VpnGateway, VpnType};
use tongguan_model::id::{AccountId, VSwitchId, VpcId, VpnGatewayId};

use super::batch::of_all;
use super::search::{Page, Search};
use super::tag::TagRow;
use super::{Answer, Columns as _, Done, Relation, Table as _};
use crate::{Snapshot, TagFilter, Tx};

/// A gateway as it is stored.
pub type GatewayRow = VpnGateway;

table! {
    VpnGateway as gateway in "vpn_gateway" {
        both {
            id, account, region, name, description, vpc, vswitch, disaster_recovery_vswitch = "dr_vswitch", bandwidth,
            network_type, vpn_type, ipsec, ssl, ssl_connections, charge_type, auto_propagate, resource_group, internet_ip,
            disaster_recovery_ip = "dr_ip", order_id, created_ms, end_ms, business_status, phase, intended, applied,
        }
        read { certificate_alert }
    }
}

/// What is shown of a gateway with the connections on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayEnds {
    /// Id.
    pub id: VpnGatewayId,
    /// First vSwitch.
    pub vswitch: Option<VSwitchId>,
    /// Second vSwitch.
    pub disaster_recovery_vswitch: Option<VSwitchId>,
    /// Bandwidth, Mbit/s.
    pub bandwidth: u32,
    /// Kind.
    pub vpn_type: VpnType,
    /// First address.
    pub internet_ip: String,
    /// Second address, if it has two vSwitches.
    pub disaster_recovery_ip: Option<String>,
    /// Locked or not.
    pub business_status: BusinessStatus,
}

columns! {
    GatewayEnds {
        id, vswitch, disaster_recovery_vswitch = "dr_vswitch", bandwidth, vpn_type, internet_ip,
        disaster_recovery_ip = "dr_ip", business_status,
    }
}

/// How far a gateway is, for whoever watches what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingGateway {
    /// Id.
    pub id: VpnGatewayId,
    /// Life phase.
    pub phase: Phase,
    /// Generation that is wanted.
    pub intended: u64,
    /// Generation that the data plane has.
    pub applied: u64,
}

columns! { StandingGateway { id, phase, intended, applied } }

impl StandingGateway {
    /// Whether no change of it is under way.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        self.phase == Phase::Live && self.applied > 0 && self.applied == self.intended
    }
}

/// Which gateways a query selects; every condition that is given must hold.
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
    /// A database error, as for every query below.
    pub fn gateway(&self, account: &AccountId, id: &str) -> Answer<Option<VpnGateway>> {
        let sql = sql!(VpnGateway::PLACES, " WHERE id = ?1 AND account = ?2");
        self.session.whole_row(sql, &binds![id, account])
    }

    /// The account's gateway of this id, with its tags by key.
    ///
    /// # Errors
    /// A database error.
    pub fn gateway_and_tags(
        &self,
        account: &AccountId,
        id: &str,
    ) -> Answer<Option<(VpnGateway, Vec<TagRow>)>> {
        // Most have none, which costs less to see here than by a query of its own.
        let sql = sql!(
            "SELECT ",
            VpnGateway::PLACE,
            ", EXISTS (SELECT 1 FROM tag WHERE resource = ?1) FROM vpn_gateway \
             WHERE id = ?1 AND account = ?2"
        );
        let Some((gateway, tagged)) = self.session.whole_row_with(sql, &binds![id, account])? else {
            return Ok(None);
        };
        let tags = if tagged { self.tags_of(id)? } else { Vec::new() };
        Ok(Some((gateway, tags)))
    }

    /// The gateway of this id, whoever owns it: for the engine.
    ///
    /// # Errors
    /// A database error.
    pub fn gateway_of_any_account(&self, id: &str) -> Answer<Option<VpnGateway>> {
        self.session.whole_row(sql!(VpnGateway::PLACES, " WHERE id = ?1"), &binds![id])
    }

    /// How far each gateway is, whoever owns it.
    ///
    /// # Errors
    /// A database error.
    pub fn standing_gateways(&self) -> Answer<Vec<StandingGateway>> {
        self.session.all(sql!("SELECT ", StandingGateway::COLUMNS, " FROM vpn_gateway"), &[])
    }

    /// What is shown of many gateways of the account with their connections, in one query.
    ///
    /// # Errors
    /// A database error.
    pub fn ends_of_all(
        &self,
        account: &AccountId,
        ids: &[&VpnGatewayId],
    ) -> Answer<BTreeMap<VpnGatewayId, GatewayEnds>> {
        let before = sql!("SELECT ", GatewayEnds::COLUMNS, " FROM vpn_gateway WHERE +account = ?1 AND id IN");
        let sql = (before, "");
        let rows: Vec<GatewayEnds> =
            of_all(self.session, sql, &binds![account], ids.iter().map(|id| id.as_str()))?;
        Ok(rows.into_iter().map(|gateway| (gateway.id.clone(), gateway)).collect())
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
        search.equal("id", filter.id.as_ref());
        search.equal("vpc", filter.vpc.as_ref());
        search.equal("business_status", filter.business_status.as_ref());
        search.equal("resource_group", filter.resource_group.as_ref());
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
        self.page(&search, offset, limit)
    }

    /// Number of gateways in a VPC.
    ///
    /// # Errors
    /// A database error.
    pub fn gateways_in_vpc(&self, vpc: &VpcId) -> Answer<u64> {
        self.number("SELECT count(*) FROM vpn_gateway WHERE vpc = ?1", &binds![vpc])
    }

    /// Number of gateways in a vSwitch.
    ///
    /// # Errors
    /// A database error.
    pub fn gateways_in_vswitch(&self, vswitch: &VSwitchId) -> Answer<u64> {
        self.number(
            "SELECT (SELECT count(*) FROM vpn_gateway WHERE vswitch = ?1) \
             + (SELECT count(*) FROM vpn_gateway WHERE dr_vswitch = ?1)",
            &binds![vswitch],
        )
    }

    /// Number of gateways in each of many vSwitches, in two queries. vSwitches without any are left out.
    ///
    /// # Errors
    /// A database error.
    pub fn gateways_in_all(&self, vswitches: &[&VSwitchId]) -> Answer<BTreeMap<VSwitchId, u64>> {
        let first = ("SELECT vswitch, count(*) FROM vpn_gateway WHERE vswitch IN", "GROUP BY vswitch");
        let second =
            ("SELECT dr_vswitch, count(*) FROM vpn_gateway WHERE dr_vswitch IN", "GROUP BY dr_vswitch");
        let mut counts = BTreeMap::new();
        for sql in [first, second] {
            for (vswitch, count) in
                of_all::<(VSwitchId, u64)>(self.session, sql, &[], vswitches.iter().map(|id| id.as_str()))?
            {
                *counts.entry(vswitch).or_default() += count;
            }
        }
        Ok(counts)
    }
}

/// Which of a gateway's bound certificates are out of service.
const ALERT: &str = "UPDATE vpn_gateway SET certificate_alert = \
                     (SELECT string_agg(b.role || ' ' || b.named || ' ' || c.status, ', ') \
                     FROM binding b JOIN certificate c ON c.id = b.certificate \
                     WHERE b.gateway = vpn_gateway.id AND c.status <> 'ACTIVE') WHERE id = ?1";

impl Tx<'_> {
    /// Stores a new gateway.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_gateway(&self, gateway: &VpnGateway) -> Done {
        insert(self.session, gateway)?;
        self.count("vpn_gateway", &gateway.account, gateway.region.as_str(), 1)
    }

    /// Stores what may change on a gateway: name, description, route propagation, phase, generations.
    ///
    /// # Errors
    /// A database error.
    pub fn update_gateway(&self, gateway: &VpnGateway) -> Done {
        update!(self.session, "vpn_gateway" {
            name: gateway.name,
            description: gateway.description,
            auto_propagate: gateway.auto_propagate,
            phase: gateway.phase,
            intended: gateway.intended,
            applied: gateway.applied,
        } where { id: gateway.id })?;
        Ok(())
    }

    /// Moves a gateway to a resource group.
    ///
    /// # Errors
    /// A database error.
    pub fn move_gateway(&self, id: &VpnGatewayId, group: &str) -> Done {
        update!(self.session, "vpn_gateway" { resource_group: group } where { id: id })?;
        Ok(())
    }

    /// Stores a gateway's generations alone.
    ///
    /// # Errors
    /// A database error.
    pub fn update_generations(&self, id: &VpnGatewayId, intended: u64, applied: u64) -> Done {
        update!(self.session, "vpn_gateway" { intended: intended, applied: applied } where { id: id })?;
        Ok(())
    }

    /// Stores the generation that the data plane has.
    ///
    /// # Errors
    /// A database error.
    pub fn generation_applied(&self, id: &VpnGatewayId, applied: u64) -> Done {
        update!(self.session, "vpn_gateway" { applied: applied } where { id: id })?;
        Ok(())
    }

    /// Writes down which of a gateway's bound certificates are out of service.
    ///
    /// # Errors
    /// A database error.
    pub fn refresh_certificate_alert(&self, id: &VpnGatewayId) -> Done {
        self.execute(ALERT, &binds![id])
    }

    /// The same of a gateway that had one that was: none of its others has changed.
    ///
    /// # Errors
    /// A database error.
    pub fn renew_certificate_alert(&self, id: &VpnGatewayId) -> Done {
        self.execute(sql!(ALERT, " AND certificate_alert IS NOT NULL"), &binds![id])
    }

    /// Removes a gateway with its bindings, addresses, diagnosis, tags and intent.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_gateway(&self, gateway: &VpnGateway) -> Done {
        for binding in self.bindings_of(&gateway.id)? {
            self.delete_binding(gateway, &binding)?;
        }
        self.execute("DELETE FROM address WHERE gateway = ?1", &binds![gateway.id])?;
        self.execute("DELETE FROM vpn_diagnosis WHERE gateway = ?1", &binds![gateway.id])?;
        self.forget(gateway.id.as_str())?;
        self.execute("DELETE FROM vpn_gateway WHERE id = ?1", &binds![gateway.id])?;
        self.count("vpn_gateway", &gateway.account, gateway.region.as_str(), -1)
    }
}
