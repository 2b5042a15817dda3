//! DeleteVcoRouteEntry: removes a destination route from an attachment, at once.
//!
//! Source: `docs/api/vpc/DeleteVcoRouteEntry.json`.

use tongguan_model::route::RouteKind;
use tongguan_store::Tx;

use crate::api::vpc::{DeleteVcoRouteEntry, DeleteVcoRouteEntryOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::attachments::attachment_in;
use super::vpn_routes::NamedRoute;

impl Write for DeleteVcoRouteEntry {
    type Output = DeleteVcoRouteEntryOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.connection(&call.principal.account, &self.vpn_connection_id)?;
        let attachment = attachment_in(found, self.region)?;
        let named = NamedRoute {
            kind: RouteKind::Attachment,
            next_hop: &self.next_hop,
            source: None,
            destination: self.route_dest,
            weight: self.weight,
            priority: None,
        };
        tx.delete_route(&named.of(tx, &attachment)?)?;
        Ok(Self::Output {})
    }
}
