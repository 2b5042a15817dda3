//! CreateVcoRouteEntry: adds a destination route to an attachment, at once.
//!
//! Source: `docs/api/vpc/CreateVcoRouteEntry.json`. The vendor wants the attachment to be bound to a transit router;
//! there are none here, so any takes routes.

use tongguan_model::route::RouteKind;
use tongguan_store::{RouteOwner, Tx};

use crate::api::vpc::{CreateVcoRouteEntry, CreateVcoRouteEntryOutput};
use crate::call::Call;
use crate::catalogue as c;
use crate::operation::{Failure, Write};

use super::attachments::attachment_in;
use super::vpn_routes::{NamedRoute, NewRoute};

impl Write for CreateVcoRouteEntry {
    type Output = CreateVcoRouteEntryOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        let attachment = attachment_in(tx.connection(account, &self.vpn_connection_id)?, self.region)?;
        let held = tx.routes_in(account, RouteOwner::Attachment(&attachment.id))?;
        if held >= call.context.settings.quotas.vco_routes_per_attachment {
            return Err((&c::ROUTE_QUOTA).into());
        }
        if self.next_hop != attachment.id.as_str() {
            let refusal = call.operation.illegal("NextHop", &self.next_hop);
            return Err(refusal.because("It must be the attachment itself.").into());
        }
        let named = NamedRoute {
            kind: RouteKind::Attachment,
            next_hop: &self.next_hop,
            source: None,
            destination: self.route_dest,
            weight: self.weight,
            priority: None,
        };
        let new = NewRoute { named, published: true, description: self.description.as_ref() };
        new.leads_somewhere(call, &attachment)?;
        let others = named.alike(tx)?;
        let route = new.put(call, tx, &attachment, others.iter().map(|row| &row.route))?;
        Ok(Self::Output {
            state: route.shown_state().as_str().into(),
            vpn_connection_id: attachment.id.into(),
            route_dest: route.destination.into(),
            next_hop: route.next_hop.into(),
            weight: route.weight.into(),
            overlay_mode: self.overlay_mode.clone().into(),
            description: route.description.into(),
            create_time: route.created_ms,
        })
    }
}
