//! ModifyCustomerGatewayAttribute: changes name, description or BGP key of a customer gateway.
//!
//! Source: `docs/api/vpc/ModifyCustomerGatewayAttribute.json`. What is left out stays as it is. Another key concerns
//! the VPN gateways whose connections speak BGP with the customer gateway: they are `updating` until they have it.
//! Should one of them not take it, the key stays, and the gateway's next change hands it over again. The answer does
//! not show it.

use std::collections::BTreeMap;

use tongguan_store::{CustomerGatewayRow, Tx};

use crate::api::vpc::{ModifyCustomerGatewayAttribute, ModifyCustomerGatewayAttributeOutput};
use crate::call::Call;
use crate::operation::{Disclosed, Failure, Write};

use super::connections::gateway_of;
use super::customer_gateways::{opened_key, sealed_key};
use super::{customer_gateway_in, intend};

impl Write for ModifyCustomerGatewayAttribute {
    type Output = ModifyCustomerGatewayAttributeOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.customer_gateway(&call.principal.account, &self.customer_gateway_id)?;
        let mut row = customer_gateway_in(found, self.region)?;
        row.name = self.name.clone().unwrap_or(row.name);
        row.description = self.description.clone().unwrap_or(row.description);
        if let Some(key) = &self.auth_key
            && opened_key(&call.context, &row)? != Some(Disclosed::from(key.expose()))
        {
            row.sealed_auth_key = sealed_key(&call.context.vault, row.id.as_str(), Some(key))?;
            hand_over(call, tx, &row)?;
        }
        tx.update_customer_gateway(&row)?;
        Ok(Self::Output {
            customer_gateway_id: row.id.into(),
            name: row.name.into(),
            description: row.description.into(),
            ip_address: row.ip.into(),
            create_time: row.created_ms,
            resource_group_id: row.resource_group.into(),
        })
    }
}

/// Every VPN gateway that speaks BGP with the customer gateway gets its key with its next generation.
fn hand_over(call: &Call, tx: &Tx<'_>, row: &CustomerGatewayRow) -> Result<(), Failure> {
    let mut gateways = BTreeMap::new();
    for (id, _) in tx.connections_to(&row.id)? {
        let connection = tx.connection(&row.account, id.as_str())?;
        let Some(connection) = connection.filter(|one| one.gateway.is_some() && one.settings.any_bgp())
        else {
            continue;
        };
        let gateway = gateway_of(tx, &connection)?;
        gateways.insert(gateway.id.clone(), gateway);
    }
    for gateway in gateways.values_mut() {
        gateway.usable()?;
        intend(&call.context, tx, gateway, "modify-customer-gateway", call.now_ms)?;
        tx.update_generations(&gateway.id, gateway.intended, gateway.applied)?;
    }
    Ok(())
}
