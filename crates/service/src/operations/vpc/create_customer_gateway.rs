//! CreateCustomerGateway: registers the address of a device that connections lead to.
//!
//! Source: `docs/api/vpc/CreateCustomerGateway.json`. It is done at once. The name may be empty.

use tongguan_model::id::{CustomerGatewayId, RegionId};
use tongguan_store::{CustomerGatewayRow, Tx};

use crate::api::vpc::{CreateCustomerGateway, CreateCustomerGatewayOutput};
use crate::call::Call;
use crate::catalogue as c;
use crate::context::new_id;
use crate::operation::{Failure, Write};
use crate::operations::resourcemanager::groups::group_or_default;

use super::customer_gateways::sealed_key;
use super::networks::put_tags;
use super::taggable::Taggable;

impl Write for CreateCustomerGateway {
    type Output = CreateCustomerGatewayOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (account, region) = (&call.principal.account, self.region.id);
        let ip = self.ip_address.to_string();
        if tx.customer_address_taken(account, region, &ip)? {
            return Err((&c::CUSTOMER_ADDRESS_TAKEN).into());
        }
        let held = tx.tally("customer_gateway", account, region)?;
        if held >= call.context.settings.quotas.customer_gateways_per_region {
            return Err((&c::CUSTOMER_GATEWAY_QUOTA).into());
        }
        let id = new_id("cgw", self.region, call.now_ms);
        let row = CustomerGatewayRow {
            sealed_auth_key: sealed_key(&call.context.vault, &id, self.auth_key.as_ref())?,
            id: CustomerGatewayId::new(id),
            account: account.clone(),
            region: RegionId::new(region),
            name: self.name.clone().unwrap_or_default(),
            description: self.description.clone().unwrap_or_default(),
            ip,
            asn: self.asn,
            resource_group: group_or_default(call, tx, self.resource_group_id.as_deref())?,
            created_ms: call.now_ms,
        };
        tx.insert_customer_gateway(&row)?;
        put_tags(tx, account, region, Taggable::CustomerGateway.as_str(), row.id.as_str(), &self.tags)?;
        Ok(Self::Output {
            customer_gateway_id: row.id.into(),
            name: row.name.into(),
            description: row.description.into(),
            ip_address: row.ip.into(),
            create_time: row.created_ms,
        })
    }
}
