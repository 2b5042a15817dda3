//! ModifyCustomerGatewayAttribute: changes name, description or BGP key of a customer gateway.
//!
//! Source: `docs/api/vpc/ModifyCustomerGatewayAttribute.json`. What is left out stays as it is. The answer does not
//! show the key.

use tongguan_store::Tx;

use crate::api::vpc::{ModifyCustomerGatewayAttribute, ModifyCustomerGatewayAttributeOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::customer_gateway_in;
use super::customer_gateways::sealed_key;

impl Write for ModifyCustomerGatewayAttribute {
    type Output = ModifyCustomerGatewayAttributeOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.customer_gateway(&call.principal.account, &self.customer_gateway_id)?;
        let mut row = customer_gateway_in(found, self.region)?;
        row.name = self.name.clone().unwrap_or(row.name);
        row.description = self.description.clone().unwrap_or(row.description);
        let key = sealed_key(&call.context.vault, row.id.as_str(), self.auth_key.as_ref())?;
        row.sealed_auth_key = key.or(row.sealed_auth_key);
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
