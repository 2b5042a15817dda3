//! Addresses in use, so that no two gateways get the same one.

use tongguan_model::id::VpnGatewayId;

use super::{Answer, Done, Relation};
use crate::postgres::locks;
use crate::session::Session;
use crate::{Snapshot, Tx};

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "the addresses in use are those of the gateways",
    "SELECT ip FROM address JOIN vpn_gateway ON id = gateway \
         WHERE ip <> internet_ip AND ip IS DISTINCT FROM dr_ip",
)];

impl Snapshot<'_> {
    /// Whether a gateway or a tunnel has this address.
    ///
    /// # Errors
    /// A database error.
    pub fn address_in_use(&self, ip: &str) -> Answer<bool> {
        let sql = "SELECT (SELECT count(*) FROM address WHERE ip = ?1) \
                   + (SELECT count(*) FROM vpn_tunnel WHERE ip = ?1)";
        Ok(self.number(sql, &binds![ip])? > 0)
    }
}

impl Tx<'_> {
    /// [`Snapshot::address_in_use`]; what is free stays so until the change is committed, on all nodes.
    ///
    /// # Errors
    /// A database error.
    pub fn address_in_use(&self, ip: &str) -> Answer<bool> {
        if let Session::Postgres(link) = self.session {
            link.script(locks::ADDRESSES)?;
        }
        Snapshot::address_in_use(self, ip)
    }

    /// Reserves an address for a gateway.
    ///
    /// # Errors
    /// A database error, also if the address is taken.
    pub fn reserve_address(&self, ip: &str, gateway: &VpnGatewayId) -> Done {
        insert!(self.session, "address" { ip: ip, gateway: gateway })?;
        Ok(())
    }
}
